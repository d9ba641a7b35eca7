//! Where the lines of a chat come from: a line editor with a history at a terminal, else standard
//! input as it is.

use std::fs;
use std::io::{self, BufRead, IsTerminal, Read};
use std::path::{Path, PathBuf};

use bitnet_engine::escape;
use bitnet_engine::exit::Exit;
use etcetera::BaseStrategy;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{Config, Editor};

use super::super::format::Format;
use super::super::terminal::Terminal;

/// Longer lines are refused: no context holds them.
const MAX_LINE: u64 = 16 << 20;
/// Lines that the history keeps.
const HISTORY: usize = 1000;

/// What came.
#[derive(Debug)]
pub(super) enum Line {
    /// A line without its break.
    Text(String),
    /// There are no more: end of file, or Ctrl-D.
    End,
    /// Ctrl-C at the prompt.
    Interrupted,
}

/// The source of lines.
pub(super) enum Input {
    /// A terminal.
    Editor(Box<Editor<(), DefaultHistory>>, Option<PathBuf>),
    /// Anything else.
    Lines {
        /// Of the last line read, from 1.
        number: usize,
    },
}

impl Input {
    /// An editor where people read and write, else plain lines.
    pub(super) fn new(format: Format, terminal: &Terminal) -> Self {
        let people = io::stdin().is_terminal() && io::stdout().is_terminal();
        if !people || format == Format::Json {
            return Input::Lines { number: 0 };
        }
        match editor() {
            Ok(mut editor) => {
                let history = history(&mut editor, terminal);
                Input::Editor(Box::new(editor), history)
            }
            Err(error) => {
                terminal.warning(format_args!("no line editor: {error}; lines are read plainly"));
                Input::Lines { number: 0 }
            }
        }
    }

    /// Whether a person is at the other end.
    pub(super) fn is_interactive(&self) -> bool {
        matches!(self, Input::Editor(..))
    }

    /// The next line.
    ///
    /// # Errors
    /// [`Exit::Usage`], with the reason printed, if it is no text or too long, and
    /// [`Exit::Environment`] if nothing can be read.
    pub(super) fn next(&mut self, terminal: &Terminal) -> Result<Line, Exit> {
        match self {
            Input::Editor(editor, history) => edited(editor, history, terminal).map_err(|error| {
                terminal.error(format_args!("cannot read from the terminal: {error}"));
                Exit::Environment
            }),
            Input::Lines { number } => {
                *number += 1;
                plain(&mut io::stdin().lock(), *number).map_err(|why| {
                    terminal.error(why);
                    Exit::Usage
                })
            }
        }
    }
}

fn editor() -> rustyline::Result<Editor<(), DefaultHistory>> {
    let config = Config::builder().max_history_size(HISTORY)?.auto_add_history(false).build();
    Editor::with_config(config)
}

/// Loads the history and says where it is kept; none where that is impossible.
fn history(editor: &mut Editor<(), DefaultHistory>, terminal: &Terminal) -> Option<PathBuf> {
    let state = etcetera::choose_base_strategy().ok()?.state_dir()?.join("bitnet");
    let path = state.join("history");
    let loaded = private_folder(&state).map_err(ReadlineError::Io);
    match loaded.and_then(|()| editor.load_history(&path)) {
        Err(ReadlineError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Some(path),
        Err(error) => {
            unkept(&path, &error, terminal);
            None
        }
        Ok(()) => Some(path),
    }
}

fn private_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn unkept(path: &Path, error: &ReadlineError, terminal: &Terminal) {
    let shown = escape::text(&path.display().to_string());
    let error = escape::text(&error.to_string());
    terminal.warning(format_args!("what you type is not kept in '{shown}': {error}"));
}

fn edited(
    editor: &mut Editor<(), DefaultHistory>,
    history: &mut Option<PathBuf>,
    terminal: &Terminal,
) -> rustyline::Result<Line> {
    loop {
        match editor.readline("> ") {
            Ok(line) => {
                if !line.trim().is_empty() {
                    editor.add_history_entry(line.as_str())?;
                    // Line by line, so that what ends the process loses none.
                    let kept = history.as_ref().map(|path| (editor.append_history(path), path));
                    if let Some((Err(error), path)) = kept {
                        unkept(path, &error, terminal);
                        *history = None;
                    }
                }
                return Ok(Line::Text(line));
            }
            Err(ReadlineError::Eof) => return Ok(Line::End),
            Err(ReadlineError::Interrupted) => return Ok(Line::Interrupted),
            Err(ReadlineError::Signal(rustyline::error::Signal::Resize)) => {}
            #[cfg(unix)]
            Err(ReadlineError::Signal(rustyline::error::Signal::Interrupt)) => {
                return Ok(Line::Interrupted);
            }
            Err(error) => return Err(error),
        }
    }
}

/// A line of a stream that nobody edits.
fn plain(source: &mut impl BufRead, number: usize) -> Result<Line, String> {
    let mut bytes = Vec::new();
    let read = source.take(MAX_LINE + 1).read_until(b'\n', &mut bytes);
    read.map_err(|error| format!("cannot read line {number} of standard input: {error}"))?;
    if bytes.is_empty() {
        return Ok(Line::End);
    }
    if bytes.len() as u64 > MAX_LINE {
        return Err(format!("line {number} of standard input has more than {MAX_LINE} bytes"));
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        bytes.pop_if(|last| *last == b'\r');
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        format!("line {number} of standard input is no UTF-8 at its byte {at}; convert it to UTF-8")
    })?;
    Ok(Line::Text(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines_lose_their_breaks_and_nothing_else() {
        let mut source: &[u8] = b"a \r\n\nlast";
        let mut next = || match plain(&mut source, 1) {
            Ok(Line::Text(text)) => Some(text),
            Ok(Line::End) => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(next().as_deref(), Some("a "));
        assert_eq!(next().as_deref(), Some(""));
        assert_eq!(next().as_deref(), Some("last"));
        assert_eq!(next(), None);
    }

    #[test]
    fn what_is_no_text_is_refused_by_its_line() {
        let error = plain(&mut &b"ab\xff\n"[..], 3).expect_err("refused");
        assert_eq!(
            error,
            "line 3 of standard input is no UTF-8 at its byte 2; convert it to UTF-8"
        );
        let long = vec![b'x'; 16 * 1024 * 1024 + 1];
        let error = plain(&mut long.as_slice(), 1).expect_err("refused");
        assert_eq!(error, "line 1 of standard input has more than 16777216 bytes");
    }
}
