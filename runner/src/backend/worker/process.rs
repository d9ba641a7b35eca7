//! One worker process: its pipes, its time limits and its end. It restarts nothing and checks no
//! answer's content.
//!
//! A thread of its own writes and reads the pipes, so that the caller can give up: a worker may
//! hang while it is written to as well as while it is read. A process group of its own, so that a
//! wrapper script dies together with the engine it started.

use std::io;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use super::super::protocol::{
    Answer, Array, FrameError, FrameReader, Message, Request, encode_head, write_frame,
};
use super::log::Log;

/// How long a worker whose pipes are closed may take to end, and its last words to arrive.
const GRACE: Duration = Duration::from_secs(2);

/// How often a worker that should end is looked at.
const POLL: Duration = Duration::from_millis(5);

/// Why a request got no answer. Except after `Unsendable`, the process is of no more use; it may
/// still run.
pub(super) enum Failure {
    /// The request does not fit a frame; nothing was sent.
    Unsendable(FrameError),
    /// The process ended by itself.
    Died(String),
    /// The process was killed at the time limit.
    TimedOut,
    /// The worker speaks this version of the protocol.
    OtherVersion(u32),
    /// What came was no answer to this request.
    Broken(String),
}

type Reply = Result<Option<Message<Answer>>, FrameError>;

struct Job {
    head: Vec<u8>,
    arrays: Vec<Array>,
    payload_cap: u64,
    reply: Sender<Reply>,
}

/// A running worker. Dropping it closes its input, gives it [`GRACE`] to end, and kills it then.
pub(super) struct Process {
    child: Child,
    /// None once its input has been closed.
    jobs: Option<Sender<Job>>,
    log: Log,
    next_id: u64,
}

impl Process {
    pub(super) fn spawn(mut command: Command) -> io::Result<Process> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn()?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            unreachable!("all three were asked for as pipes");
        };
        let (jobs, todo) = mpsc::channel();
        std::thread::spawn(move || converse(stdin, stdout, todo));
        Ok(Process { child, jobs: Some(jobs), log: Log::drain(stderr), next_id: 1 })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn log_tail(&self) -> Vec<String> {
        self.log.lines()
    }

    /// The last telling line of a worker that has ended.
    pub(super) fn last_words(&self) -> Option<String> {
        self.log.last(GRACE)
    }

    /// Sends a request and waits up to `limit` for its answer, `payload_cap` array bytes at most.
    pub(super) fn ask(
        &mut self,
        request: &Request,
        arrays: Vec<Array>,
        payload_cap: u64,
        limit: Duration,
    ) -> Result<(Answer, Vec<Array>), Failure> {
        let id = self.next_id;
        self.next_id += 1;
        let head = encode_head(id, request, &arrays).map_err(Failure::Unsendable)?;
        let (reply, answer) = mpsc::channel();
        let job = Job { head, arrays, payload_cap, reply };
        if self.jobs.as_ref().is_none_or(|jobs| jobs.send(job).is_err()) {
            return Err(self.fate(None));
        }
        match answer.recv_timeout(limit) {
            Ok(Ok(Some(message))) if message.id == id => Ok((message.body, message.arrays)),
            Ok(Ok(Some(message))) => Err(self.out_of_step(id, message)),
            Ok(Ok(None)) | Err(RecvTimeoutError::Disconnected) => Err(self.fate(None)),
            Ok(Err(error)) => Err(self.fate(Some(error))),
            Err(RecvTimeoutError::Timeout) => {
                self.kill();
                Err(Failure::TimedOut)
            }
        }
    }

    fn out_of_step(&self, id: u64, message: Message<Answer>) -> Failure {
        let reason = match &message.body {
            Answer::Refused { message } => format!(": {message}"),
            _ => String::new(),
        };
        let name = message.body.name();
        Failure::Broken(format!(
            "expected an answer to request {id}, got `{name}` to request {}{reason}",
            message.id
        ))
    }

    /// What became of a worker whose output ended or could not be read.
    fn fate(&mut self, error: Option<FrameError>) -> Failure {
        match error {
            None | Some(FrameError::Io(_)) => match self.wait() {
                Some(status) => Failure::Died(describe(status)),
                None => {
                    let why = error.map(|error| format!(" ({error})")).unwrap_or_default();
                    Failure::Broken(format!("it closed its standard output and lived on{why}"))
                }
            },
            Some(error @ FrameError::Truncated { .. }) => match self.wait() {
                Some(status) if !status.success() => Failure::Died(describe(status)),
                _ => Failure::Broken(error.to_string()),
            },
            Some(FrameError::Version { theirs }) => Failure::OtherVersion(theirs),
            Some(error) => Failure::Broken(error.to_string()),
        }
    }

    /// Closes its input and waits for its end; none where it had to be killed.
    pub(super) fn end(&mut self) -> Option<ExitStatus> {
        self.jobs = None;
        self.wait()
    }

    /// Waits [`GRACE`] for the process to end by itself, then kills it; none where it was killed.
    fn wait(&mut self) -> Option<ExitStatus> {
        let patience = Instant::now() + GRACE;
        while Instant::now() < patience {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(POLL);
        }
        self.kill();
        None
    }

    /// Kills the process group and reaps the process; does nothing to one that has been reaped.
    pub(super) fn kill(&mut self) {
        self.jobs = None;
        if let Ok(Some(_)) = self.child.try_wait() {
            return;
        }
        #[cfg(unix)]
        let _ = rustix::process::kill_process_group(
            rustix::process::Pid::from_child(&self.child),
            rustix::process::Signal::KILL,
        );
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Ends at the first failure, or when no more jobs can come; both close the worker's input.
fn converse(mut stdin: ChildStdin, stdout: ChildStdout, jobs: Receiver<Job>) {
    let mut answers = FrameReader::new(stdout);
    for job in jobs {
        let sent = write_frame(&mut stdin, &job.head, &job.arrays);
        // A worker that reads no further may still have said why.
        let reply = match (answers.read(job.payload_cap), sent) {
            (Ok(None), Err(error)) => Err(error.into()),
            (reply, _) => reply,
        };
        let done = !matches!(reply, Ok(Some(_)));
        // The asker may have given up at its time limit.
        let _ = job.reply.send(reply);
        if done {
            return;
        }
    }
}

/// `exit code 3`, `signal 6 (SIGABRT)`.
pub(super) fn describe(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(number) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return match signal_name(number) {
            Some(name) => format!("signal {number} ({name})"),
            None => format!("signal {number}"),
        };
    }
    match status.code() {
        Some(code) => format!("exit code {code}"),
        None => status.to_string(),
    }
}

#[cfg(unix)]
fn signal_name(number: i32) -> Option<&'static str> {
    use rustix::process::Signal;

    let names = [
        (Signal::HUP, "SIGHUP"),
        (Signal::INT, "SIGINT"),
        (Signal::QUIT, "SIGQUIT"),
        (Signal::ILL, "SIGILL"),
        (Signal::TRAP, "SIGTRAP"),
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::KILL, "SIGKILL"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::PIPE, "SIGPIPE"),
        (Signal::TERM, "SIGTERM"),
        (Signal::XCPU, "SIGXCPU"),
        (Signal::SYS, "SIGSYS"),
    ];
    names.iter().find(|(signal, _)| signal.as_raw() == number).map(|&(_, name)| name)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    // Wait statuses as wait(2) packs them: the signal in the low 7 bits, 128 for a core dump, the
    // exit code in the second byte.
    #[test]
    fn an_end_is_named() {
        let name = |raw| describe(ExitStatus::from_raw(raw));
        assert_eq!(name(6), "signal 6 (SIGABRT)");
        assert_eq!(name(11 | 128), "signal 11 (SIGSEGV)");
        assert_eq!(name(9), "signal 9 (SIGKILL)");
        assert_eq!(name(40), "signal 40");
        assert_eq!(name(3 << 8), "exit code 3");
        assert_eq!(name(0), "exit code 0");
    }
}
