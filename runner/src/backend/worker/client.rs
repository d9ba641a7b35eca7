//! Talks to one worker program: starts it, insists on who it is, and turns what goes wrong into
//! [`BackendError`]s. It knows no model and checks the content of no answer but `hello`.

use std::process::Command;
use std::time::Duration;

use super::super::protocol::{Answer, Array, Request, VERSION};
use super::super::{BackendError, Identity};
use super::WorkerSpec;
use super::process::{Failure, Process, describe};

/// A worker program, running or not.
pub(super) struct Client {
    pub(super) spec: WorkerSpec,
    /// None before the first [`Client::greet`], and after a failure.
    pub(super) process: Option<Process>,
}

impl Client {
    /// Starts the program and asks who it is.
    pub(super) fn greet(&mut self) -> Result<Identity, BackendError> {
        let spec = &self.spec;
        let mut command = Command::new(&spec.program);
        command.args(&spec.args).envs(spec.env.iter().map(|(key, value)| (key, value)));
        let process = Process::spawn(command).map_err(|error| BackendError::Unavailable {
            what: format!("{}: cannot start {}: {error}", spec.name, spec.program.display()),
            remedy: spec.remedy.clone(),
        })?;
        self.process = Some(process);

        let hello = Request::Hello {};
        let seconds = self.spec.handshake_seconds;
        let (answer, arrays) =
            self.ask_within(&hello, Vec::new(), 0, seconds).inspect_err(|_| self.kill())?;
        let (Answer::Hello { identity, build }, []) = (&answer, arrays.as_slice()) else {
            return Err(self.unexpected(&hello, &answer, &arrays));
        };
        if let Some(expected) = self.spec.build.as_ref().filter(|&expected| expected != build) {
            let found = format!("expected build {expected}, got {build}");
            self.kill();
            return Err(self.other_sources(&found));
        }
        if identity.name != self.spec.name {
            let program = self.spec.program.display();
            let what = format!("{program} says that it is the engine `{}`", identity.name);
            return Err(self.broken(&what));
        }
        Ok(identity.clone())
    }

    /// Sends a request; its answer may bring up to `payload_cap` array bytes.
    pub(super) fn ask(
        &mut self,
        request: &Request,
        arrays: Vec<Array>,
        payload_cap: u64,
    ) -> Result<(Answer, Vec<Array>), BackendError> {
        self.ask_within(request, arrays, payload_cap, self.spec.request_seconds)
    }

    fn ask_within(
        &mut self,
        request: &Request,
        arrays: Vec<Array>,
        payload_cap: u64,
        seconds: u64,
    ) -> Result<(Answer, Vec<Array>), BackendError> {
        let engine = self.spec.name.clone();
        let Some(process) = &mut self.process else {
            return Err(BackendError::Refused(format!("{engine}: no process is running")));
        };
        let limit = Duration::from_secs(seconds);
        match process.ask(request, arrays, payload_cap, limit) {
            Ok((Answer::Refused { message }, _)) => Err(BackendError::Refused(message)),
            Ok((Answer::Unavailable { what, remedy }, _)) => {
                Err(BackendError::Unavailable { what, remedy })
            }
            Ok(answer) => Ok(answer),
            Err(Failure::Unsendable(error)) => {
                Err(BackendError::Refused(format!("{engine}: {error}")))
            }
            Err(Failure::Died(how)) => {
                let last_log = self.last_log();
                Err(BackendError::Died { engine, how, last_log })
            }
            Err(Failure::TimedOut) => {
                let (request, last_log) = (request.name().to_owned(), self.last_log());
                Err(BackendError::TimedOut { engine, request, seconds, last_log })
            }
            Err(Failure::OtherVersion(theirs)) => {
                self.kill();
                Err(self.other_sources(&format!(
                    "expected worker protocol version {VERSION}, got version {theirs}"
                )))
            }
            Err(Failure::Broken(what)) => Err(self.broken(&what)),
        }
    }

    pub(super) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Says `bye` and waits for the end.
    pub(super) fn close(mut self) -> Result<(), BackendError> {
        if self.process.is_none() {
            return Ok(());
        }
        let bye = Request::Bye {};
        let (answer, arrays) = self.ask(&bye, Vec::new(), 0)?;
        let (Answer::Bye {}, []) = (&answer, arrays.as_slice()) else {
            return Err(self.unexpected(&bye, &answer, &arrays));
        };
        match self.process.as_mut().map(Process::end) {
            Some(None) => Err(self.broken("it did not end after `bye`")),
            Some(Some(status)) if !status.success() => {
                let (engine, last_log) = (self.spec.name.clone(), self.last_log());
                Err(BackendError::Died { engine, how: describe(status), last_log })
            }
            _ => Ok(()),
        }
    }

    /// An answer that belongs to another request; the process is not asked again.
    pub(super) fn unexpected(
        &mut self,
        request: &Request,
        answer: &Answer,
        arrays: &[Array],
    ) -> BackendError {
        let arrays: Vec<_> = arrays.iter().map(Array::element).collect();
        self.broken(&format!(
            "`{}` with arrays {arrays:?} is no answer to `{}`",
            answer.name(),
            request.name()
        ))
    }

    /// An answer that cannot be trusted; the process is not asked again.
    pub(super) fn broken(&mut self, what: &str) -> BackendError {
        let engine = self.spec.name.clone();
        let last_log = self.last_log();
        BackendError::Protocol { engine, what: format!("{what}; its log ends: {last_log}") }
    }

    /// Ends the process and gives its last words.
    fn last_log(&mut self) -> String {
        let nothing = || "it logged nothing".to_owned();
        let Some(mut process) = self.process.take() else { return nothing() };
        process.kill();
        process.last_words().unwrap_or_else(nothing)
    }

    fn other_sources(&self, found: &str) -> BackendError {
        let (name, program) = (&self.spec.name, self.spec.program.display());
        let (why, remedy) = match self.spec.build {
            Some(_) => ("was built from other sources", "run `cargo build`"),
            None => ("speaks another protocol", "see docs/worker-protocol.md"),
        };
        BackendError::Unavailable {
            what: format!("{name}: the worker {program} {why}: {found}"),
            remedy: remedy.to_owned(),
        }
    }
}
