//! What a line of a chat asks for.

use super::super::signals::Signals;
use super::super::terminal::Terminal;
use super::conversation::{Conversation, Failure};

/// A line, understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Nothing.
    Empty,
    /// To be answered.
    Say(String),
    /// `/help`.
    Help,
    /// `/reset`.
    Reset,
    /// `/system TEXT`; without a text the instructions are taken away.
    System(String),
    /// `/metrics`.
    Metrics,
    /// `/exit`.
    Exit,
}

const HELP: &str = "\
/help         these lines
/reset        forget the conversation; instructions stay
/system TEXT  give other instructions and forget the conversation; without TEXT give none
/metrics      measured figures of the last answer
/exit         leave, as Ctrl-D does
//…           say a line that begins with /
Ctrl-C        stop the answer
";

impl Command {
    /// # Errors
    /// In words, if the line begins as a command and is none.
    pub(super) fn parse(line: &str) -> Result<Command, String> {
        let trimmed = line.trim();
        if trimmed.is_empty() {
            return Ok(Command::Empty);
        }
        let Some(command) = trimmed.strip_prefix('/') else {
            return Ok(Command::Say(line.to_owned()));
        };
        if command.starts_with('/') {
            return Ok(Command::Say(command.to_owned()));
        }
        let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        match (name, rest.trim()) {
            ("system", text) => Ok(Command::System(text.to_owned())),
            ("help", "") => Ok(Command::Help),
            ("reset", "") => Ok(Command::Reset),
            ("metrics", "") => Ok(Command::Metrics),
            ("exit", "") => Ok(Command::Exit),
            (name @ ("help" | "reset" | "metrics" | "exit"), _) => {
                Err(format!("/{name} takes nothing behind it"))
            }
            (name, _) => {
                let name = bitnet_engine::escape::text(name);
                Err(format!(
                    "/{name} is no command; /help lists them, and //{name} is said as text"
                ))
            }
        }
    }
}

/// Does what the line asks for; [`Command::Exit`] is the caller's.
pub(super) fn execute(
    command: &Command,
    chat: &mut Conversation<'_>,
    signals: &Signals,
    terminal: &Terminal,
) -> Result<(), Failure> {
    match command {
        Command::Empty | Command::Exit => Ok(()),
        Command::Say(text) => chat.answer(text, signals, terminal),
        Command::Help => {
            terminal.note(HELP.trim_end());
            Ok(())
        }
        Command::Metrics => chat.give_metrics().map_err(|error| super::not_given(&error, terminal)),
        Command::Reset => {
            chat.reset();
            terminal.note("the conversation is forgotten");
            Ok(())
        }
        Command::System(text) => {
            chat.reset();
            chat.instruct(Some(text.clone()).filter(|text| !text.is_empty()));
            terminal.note("the instructions are set, and the conversation is forgotten");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_said_and_commands_understood() {
        let parse = |line| Command::parse(line).expect("understood");
        assert_eq!(parse("  "), Command::Empty);
        assert_eq!(parse(" hello / there"), Command::Say(" hello / there".into()));
        assert_eq!(parse("//etc/passwd"), Command::Say("/etc/passwd".into()));
        assert_eq!(parse("/system  be brief "), Command::System("be brief".into()));
        assert_eq!(parse("/system"), Command::System(String::new()));
        assert_eq!(parse(" /reset "), Command::Reset);
        assert_eq!(parse("/exit"), Command::Exit);
        assert_eq!(parse("/help"), Command::Help);
        assert_eq!(parse("/metrics"), Command::Metrics);
    }

    #[test]
    fn what_looks_like_a_command_and_is_none_is_not_said() {
        let refusal = |line| Command::parse(line).expect_err("refused");
        assert_eq!(
            refusal("/quit\u{1b}[2J"),
            "/quit\\u{1b}[2J is no command; /help lists them, and //quit\\u{1b}[2J is said as text"
        );
        assert_eq!(refusal("/reset all"), "/reset takes nothing behind it");
    }
}
