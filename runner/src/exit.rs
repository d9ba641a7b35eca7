//! Exit codes of the `parity` command: one table, printed by `--help`.

use std::process::ExitCode;

/// How the command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything asked for was done, and passed.
    Ok,
    /// A case failed.
    CaseFailed,
    /// Wrong usage, or a manifest that breaks rules. Nothing ran.
    Usage,
    /// All that failed lacked a model or a reference, or the cache cannot be used.
    Environment,
    /// No trial was selected.
    NothingSelected,
}

impl Exit {
    /// All of them, by code.
    pub const ALL: [Exit; 5] =
        [Exit::Ok, Exit::CaseFailed, Exit::Usage, Exit::Environment, Exit::NothingSelected];

    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::CaseFailed => 1,
            Exit::Usage => 2,
            Exit::Environment => 3,
            Exit::NothingSelected => 4,
        }
    }

    /// What it means, in a few words.
    pub fn meaning(self) -> &'static str {
        match self {
            Exit::Ok => "done, and all passed",
            Exit::CaseFailed => "a case failed",
            Exit::Usage => "wrong usage or manifest; nothing ran",
            Exit::Environment => "a model, a reference or the cache is missing",
            Exit::NothingSelected => "nothing selected",
        }
    }

    /// The table for `--help`.
    pub fn table() -> String {
        let lines: Vec<String> =
            Exit::ALL.iter().map(|exit| format!("  {}  {}", exit.code(), exit.meaning())).collect();
        format!("Exit codes:\n{}\n  101  bug", lines.join("\n"))
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_documented_ones() {
        assert_eq!(Exit::ALL.map(Exit::code), [0, 1, 2, 3, 4]);
        assert!(Exit::table().contains("  4  nothing selected\n"));
    }
}
