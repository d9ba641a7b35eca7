//! The last lines of a worker's standard error, kept while it runs; judges no line, but knows which
//! ones say nothing about a death.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::escape;

/// Lines kept.
const LINES: usize = 64;

/// Bytes kept of a line; the rest of it is dropped.
const LINE_BYTES: usize = 8 << 10;

/// A ring of log lines that a thread of its own fills.
pub(super) struct Log {
    lines: Arc<Mutex<VecDeque<String>>>,
    /// Disconnected when the thread has seen the end.
    open: Receiver<()>,
}

impl Log {
    /// Drains `stream` until it ends.
    pub(super) fn drain(stream: impl Read + Send + 'static) -> Log {
        let lines = Arc::new(Mutex::new(VecDeque::with_capacity(LINES)));
        let (end, open) = mpsc::channel::<()>();
        let ring = Arc::clone(&lines);
        std::thread::spawn(move || {
            fill(&ring, BufReader::new(stream));
            drop(end);
        });
        Log { lines, open }
    }

    /// The kept lines, oldest first; control characters are escaped.
    pub(super) fn lines(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect()
    }

    /// The last line that says something; none where nothing was logged.
    ///
    /// Waits up to `patience` for the end of the stream: a worker's last words are still in the
    /// pipe when its death is noticed. A process that the worker started may hold the pipe open.
    pub(super) fn last(&self, patience: Duration) -> Option<String> {
        let _ = self.open.recv_timeout(patience);
        let lines = self.lines();
        lines.iter().rev().find(|line| !is_noise(line)).or(lines.last()).cloned()
    }
}

fn fill(ring: &Mutex<VecDeque<String>>, mut stream: impl BufRead) {
    let mut line = Vec::new();
    loop {
        let (used, ended) = match stream.fill_buf() {
            Ok([]) => break,
            Ok(bytes) => {
                let end = bytes.iter().position(|&byte| byte == b'\n');
                let text = &bytes[..end.unwrap_or(bytes.len())];
                let room = LINE_BYTES - line.len();
                line.extend_from_slice(&text[..text.len().min(room)]);
                (end.map_or(bytes.len(), |end| end + 1), end.is_some())
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        stream.consume(used);
        if ended {
            push(ring, &mut line);
        }
    }
    push(ring, &mut line);
}

fn push(ring: &Mutex<VecDeque<String>>, line: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end();
    if !text.is_empty() {
        let mut ring = ring.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.len() == LINES {
            ring.pop_front();
        }
        // Loggers align columns with tabs: a space reads better than `\t`.
        ring.push_back(escape::text(&text.replace('\t', " ")));
    }
    line.clear();
}

/// What is printed after the reason of a death: GGML's `ggml_abort` prints stack frames, from glibc
/// (`…[0x7f…]`) or gdb (`#0 …`); Rust prints frames (`  4: …`, `   at …`) and a note.
fn is_noise(line: &str) -> bool {
    let text = line.trim_start();
    let indented = text.len() < line.len();
    let all_digits = |(number, _): (&str, &str)| number.bytes().all(|b| b.is_ascii_digit());
    let glibc_frame = text
        .strip_suffix(']')
        .and_then(|line| line.rsplit_once("[0x"))
        .is_some_and(|(_, digits)| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let gdb_frame =
        text.strip_prefix('#').and_then(|text| text.split_once(' ')).is_some_and(all_digits);
    let rust_frame =
        indented && (text.starts_with("at ") || text.split_once(": ").is_some_and(all_digits));
    let rust_note = text.starts_with("note: ") && text.contains("`RUST_BACKTRACE=");
    glibc_frame || gdb_frame || rust_frame || rust_note || text == "stack backtrace:"
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn last_of(text: &'static str) -> String {
        Log::drain(text.as_bytes()).last(PATIENCE).expect("something was logged")
    }

    #[test]
    fn the_last_line_is_told() {
        assert_eq!(last_of("first\nsecond\n\n"), "second");
        assert_eq!(last_of("no newline at the end"), "no newline at the end");
        assert_eq!(Log::drain(&b"\n\n"[..]).last(PATIENCE), None);
    }

    #[test]
    fn stack_frames_and_backtrace_notes_are_passed_over() {
        assert_eq!(
            last_of(
                "ggml.c:12: GGML_ASSERT(ne > 0) failed\n\
                 worker(ggml_abort+0x9d)[0x55d0c0ffee]\n\
                 /lib/libc.so.6(+0x2724a) [0x7f0123456789]\n\
                 #0  0x00007f in wait4 () from /lib/libc.so.6\n"
            ),
            "ggml.c:12: GGML_ASSERT(ne > 0) failed"
        );
        assert_eq!(
            last_of(
                "thread 'main' panicked at src/main.rs:1:2:\nindex out of bounds\n\
                 note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n"
            ),
            "index out of bounds"
        );
        assert_eq!(
            last_of(
                "index out of bounds\nstack backtrace:\n   0: __rustc::rust_begin_unwind\n\
                 \x20            at /rustc/library/std/src/panicking.rs:689:5\n\
                 note: Some details are omitted, run with `RUST_BACKTRACE=full` for more.\n"
            ),
            "index out of bounds"
        );
        assert_eq!(last_of("7: seven\nat last\n"), "at last", "not indented");
        assert_eq!(last_of("ids [0x1]\n"), "ids [0x1]", "nothing but noise is still told");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(last_of("\x1b[31mred\x07\ta\r\n"), "\\u{1b}[31mred\\u{7} a");
        assert_eq!(last_of("a \u{202e}b\n"), "a \\u{202e}b", "nor may it turn the line round");
    }

    #[test]
    fn lines_and_their_length_are_bounded() {
        let long = "x".repeat(3 * LINE_BYTES);
        let mut text: String = (0..100).map(|number| format!("{number}\n")).collect();
        text.push_str(&long);
        let log = Log::drain(std::io::Cursor::new(text));
        assert_eq!(log.last(PATIENCE), Some("x".repeat(LINE_BYTES)));
        let lines = log.lines();
        assert_eq!(lines.len(), LINES);
        assert_eq!(lines[0], "37", "100 lines and the long one: 37 were dropped");
    }
}
