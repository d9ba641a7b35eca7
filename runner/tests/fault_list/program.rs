//! A running program of a trial, and how it ended. A program that does not end is killed and fails
//! its trial.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bitnet_runner::exit::Exit;

use crate::PATIENCE;

/// What a pipe has said so far.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<u8>>>);

impl Heard {
    fn listen(&self, mut pipe: impl Read + Send + 'static) -> JoinHandle<()> {
        let heard = self.clone();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = pipe.read(&mut buffer) {
                heard.0.lock().unwrap_or_else(PoisonError::into_inner).extend(&buffer[..n]);
            }
        })
    }

    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8(bytes.clone()).expect("UTF-8")
    }
}

/// A program that was started. Killed if it is dropped before its end.
pub struct Running {
    child: Child,
    out: Heard,
    err: Heard,
    listeners: Vec<JoinHandle<()>>,
}

impl Running {
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (out, err) = (Heard::default(), Heard::default());
        let listeners = vec![
            out.listen(child.stdout.take().expect("a pipe")),
            err.listen(child.stderr.take().expect("a pipe")),
        ];
        Self { child, out, err, listeners }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has said on standard error.
    pub fn err(&self) -> String {
        self.err.text()
    }

    /// Waits until standard error holds `text`.
    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        let start = Instant::now();
        while !self.err().contains(text) {
            assert!(start.elapsed() < PATIENCE, "`{text}` was not said:\n{}", self.err());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// SIGKILL, and what it had said.
    pub fn kill(mut self) -> Ended {
        let _ = self.child.kill();
        self.end()
    }

    /// Waits for the end.
    #[track_caller]
    pub fn end(mut self) -> Ended {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("its status") {
                break status;
            }
            let (out, err) = (self.out.text(), self.err());
            assert!(start.elapsed() < PATIENCE, "it hangs\nstdout:\n{out}\nstderr:\n{err}");
            thread::sleep(Duration::from_millis(2));
        };
        for listener in std::mem::take(&mut self.listeners) {
            listener.join().expect("a listener");
        }
        Ended { status, out: self.out.text(), err: self.err.text() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a program ended.
pub struct Ended {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// Asserts the exit code.
    #[track_caller]
    pub fn with(self, exit: Exit) -> Self {
        let Self { status, out, err } = &self;
        let wanted = Some(i32::from(exit.code()));
        assert_eq!(status.code(), wanted, "{status}\nstdout:\n{out}\nstderr:\n{err}");
        self
    }

    /// Asserts that each part is said on standard error.
    #[track_caller]
    pub fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.err.contains(part), "`{part}` is not in:\n{}", self.err);
        }
        self
    }

    /// Asserts that no part is said anywhere.
    #[track_caller]
    pub fn conceals(self, secrets: &[&str]) -> Self {
        for secret in secrets {
            let said = self.out.contains(secret) || self.err.contains(secret);
            assert!(!said, "`{secret}` is in:\n{}\n{}", self.out, self.err);
        }
        self
    }

    /// How often `part` is said on standard error.
    pub fn count(&self, part: &str) -> usize {
        self.err.matches(part).count()
    }

    /// Asserts that it was ended by this signal, or ended itself as shells report one.
    #[track_caller]
    pub fn by_signal(self, number: i32) -> Self {
        let Self { status, out, err } = &self;
        let ended = status.signal() == Some(number) || status.code() == Some(128 + number);
        assert!(ended, "{status}\nstdout:\n{out}\nstderr:\n{err}");
        self
    }
}
