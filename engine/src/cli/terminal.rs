//! Colour, and what goes to standard error: errors, warnings, notes.
//!
//! Nothing is written to standard output here, and a closed standard error ends nothing.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use clap::{Args, ColorChoice, ValueEnum};
use console::Style;

/// Flags that every verb has.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct TerminalArgs {
    /// When to colour output; without the flag CARGO_TERM_COLOR, NO_COLOR and CLICOLOR_FORCE decide
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = Color::Auto)]
    color: Color,
    /// Print results, warnings and errors only
    #[arg(short, long, global = true)]
    quiet: bool,
}

/// When output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless the environment says otherwise
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Color {
    /// The flag among `args`, which are not parsed yet; what is no value of the flag is left to the
    /// parser.
    pub(super) fn scan(args: impl IntoIterator<Item = OsString>) -> Color {
        let mut last = Color::Auto;
        let mut before = OsString::new();
        for arg in args {
            let value = match arg.to_str().and_then(|arg| arg.strip_prefix("--color=")) {
                Some(value) => Some(value.to_owned()),
                None if before == OsStr::new("--color") => arg.to_str().map(str::to_owned),
                None => None,
            };
            last = value.and_then(|v| Color::from_str(&v, false).ok()).unwrap_or(last);
            before = arg;
        }
        last
    }

    /// What the flag and the environment say; `Auto` leaves it to whether a terminal is there.
    pub(super) fn settle(self) -> Color {
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        self.settle_by(variable)
    }

    fn settle_by(self, variable: impl Fn(&str) -> Option<OsString>) -> Color {
        let cargo = variable("CARGO_TERM_COLOR");
        match (self, cargo.as_deref().and_then(OsStr::to_str)) {
            (Color::Always | Color::Never, _) => self,
            (Color::Auto, Some("always")) => Color::Always,
            (Color::Auto, Some("never")) => Color::Never,
            (Color::Auto, _) if variable("NO_COLOR").is_some() => Color::Never,
            (Color::Auto, _) if variable("CLICOLOR_FORCE").is_some_and(|v| v != "0") => {
                Color::Always
            }
            (Color::Auto, _) if variable("CLICOLOR").is_some_and(|v| v == "0") => Color::Never,
            (Color::Auto, _) if variable("TERM").is_some_and(|term| term == "dumb") => Color::Never,
            (Color::Auto, _) => Color::Auto,
        }
    }

    /// The same for clap's own help and errors.
    pub(super) fn for_clap(self) -> ColorChoice {
        match self.settle() {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        }
    }

    fn on(self, stream: &impl IsTerminal) -> bool {
        match self.settle() {
            Color::Auto => stream.is_terminal(),
            Color::Always => true,
            Color::Never => false,
        }
    }
}

/// Standard error, and whether each stream is coloured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    /// Standard output is coloured.
    pub(crate) colour_out: bool,
    /// Standard error is coloured.
    pub(crate) colour_err: bool,
    /// Only results, warnings and errors are wanted.
    pub(crate) quiet: bool,
}

impl Terminal {
    /// As the flags, the environment and the streams decide.
    pub(super) fn new(args: &TerminalArgs) -> Self {
        let (colour_out, colour_err) = (args.color.on(&io::stdout()), args.color.on(&io::stderr()));
        Self { colour_out, colour_err, quiet: args.quiet }
    }

    /// Prints `error: …`. The text must be safe to show (`bitnet_engine::escape`).
    pub(crate) fn error(&self, text: impl Display) {
        self.labelled(Style::new().red().bold(), "error", &text);
    }

    /// Prints `warning: …`. The text must be safe to show.
    pub(crate) fn warning(&self, text: impl Display) {
        self.labelled(Style::new().yellow().bold(), "warning", &text);
    }

    /// Prints `text`, whose first word up to a colon is coloured as an error's. It must be safe to
    /// show.
    pub(crate) fn report(&self, text: &str) {
        let (label, rest) = text.split_once(": ").unwrap_or(("error", text));
        self.labelled(Style::new().red().bold(), label, &rest);
    }

    /// Prints a line, unless only results, warnings and errors are wanted. It must be safe to show.
    pub(crate) fn note(&self, text: impl Display) {
        if !self.quiet {
            print(&text);
        }
    }

    /// Whether something that moves may be drawn on standard error.
    pub(crate) fn animates(&self) -> bool {
        let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        !self.quiet && io::stderr().is_terminal() && !set("CI") && !dumb
    }

    fn labelled(&self, style: Style, label: &str, text: &dyn Display) {
        let label = style.force_styling(self.colour_err).apply_to(label);
        print(&format_args!("{label}: {text}"));
    }
}

/// One line, in one piece beside those of other processes. Nobody can be told that standard error is
/// gone.
fn print(line: &dyn Display) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_comes_before_cargo_and_that_before_the_conventions() {
        let settle = |flag: Color, set: &[(&str, &str)]| {
            flag.settle_by(|name| {
                let found = set.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| OsString::from(value))
            })
        };
        let cargo = ("CARGO_TERM_COLOR", "always");
        assert_eq!(settle(Color::Never, &[cargo]), Color::Never);
        assert_eq!(settle(Color::Auto, &[cargo, ("NO_COLOR", "1")]), Color::Always);
        assert_eq!(settle(Color::Auto, &[("CARGO_TERM_COLOR", "never")]), Color::Never);
        let (no, force) = (("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1"));
        assert_eq!(settle(Color::Auto, &[no, force]), Color::Never);
        assert_eq!(settle(Color::Auto, &[force, ("TERM", "dumb")]), Color::Always);
        assert_eq!(settle(Color::Auto, &[("CLICOLOR_FORCE", "0")]), Color::Auto);
        assert_eq!(settle(Color::Auto, &[("CLICOLOR", "0")]), Color::Never);
        assert_eq!(settle(Color::Auto, &[("TERM", "dumb")]), Color::Never);
        assert_eq!(settle(Color::Auto, &[]), Color::Auto);
    }

    #[test]
    fn the_flag_is_found_before_parsing() {
        let scan = |args: &[&str]| Color::scan(args.iter().map(OsString::from));
        assert_eq!(scan(&["bitnet", "--color", "never", "--nonsense"]), Color::Never);
        assert_eq!(scan(&["bitnet", "--color=always"]), Color::Always);
        assert_eq!(scan(&["bitnet", "--color", "blue", "never"]), Color::Auto);
        assert_eq!(scan(&["bitnet", "--color=never", "--color=always"]), Color::Always);
    }
}
