//! Exit codes of every program of this project: one table, printed by `--help`.

use std::process::ExitCode;

/// How a program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything asked for was done, and passed.
    Ok,
    /// A case failed.
    CaseFailed,
    /// Wrong usage, or a manifest that breaks rules. Nothing ran.
    Usage,
    /// The surroundings refused: network, disk, a checksum, a missing model or reference.
    Environment,
    /// Nothing was selected.
    NothingSelected,
    /// The work is done, but a report of it could not be written.
    ReportNotWritten,
    /// What was measured does not decide: INCONCLUSIVE or NOT_COMPARABLE, and nothing failed.
    Undecided,
    /// A model was there and could not be loaded; printed as `error[E10]`.
    ModelLoad,
    /// Ended by SIGINT (Ctrl-C).
    Interrupted,
    /// Ended by SIGTERM.
    Terminated,
}

/// What Rust's runtime ends with after a panic.
const BUG: u8 = 101;

impl Exit {
    /// All of them, by code.
    pub const ALL: [Exit; 10] = [
        Exit::Ok,
        Exit::CaseFailed,
        Exit::Usage,
        Exit::Environment,
        Exit::NothingSelected,
        Exit::ReportNotWritten,
        Exit::Undecided,
        Exit::ModelLoad,
        Exit::Interrupted,
        Exit::Terminated,
    ];

    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::CaseFailed => 1,
            Exit::Usage => 2,
            Exit::Environment => 3,
            Exit::NothingSelected => 4,
            Exit::ReportNotWritten => 5,
            Exit::Undecided => 6,
            Exit::ModelLoad => 10,
            // Shells report a death by signal as 128 and its number.
            Exit::Interrupted => 128 + 2,
            Exit::Terminated => 128 + 15,
        }
    }

    /// What it means, in a few words.
    pub fn meaning(self) -> &'static str {
        match self {
            Exit::Ok => "done, and all passed",
            Exit::CaseFailed => "a case failed",
            Exit::Usage => "wrong usage or manifest; nothing ran",
            Exit::Environment => {
                "network, disk or checksum; a model or a reference that is missing or cannot start"
            }
            Exit::NothingSelected => "nothing selected",
            Exit::ReportNotWritten => "done, but a report could not be written",
            Exit::Undecided => "measurements that do not decide; nothing failed",
            Exit::ModelLoad => "a model cannot be loaded (error[E10])",
            Exit::Interrupted => "interrupted (SIGINT, Ctrl-C)",
            Exit::Terminated => "terminated (SIGTERM)",
        }
    }

    /// The table for `--help`.
    pub fn table() -> String {
        let mut rows = Exit::ALL.map(|exit| (exit.code(), exit.meaning())).to_vec();
        rows.push((BUG, "a bug in this program"));
        rows.sort_unstable();
        let lines = rows.iter().map(|(code, meaning)| format!("  {code:>3}  {meaning}\n"));
        format!("Exit codes:\n{}", lines.collect::<String>()).trim_end().to_owned()
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
        assert_eq!(Exit::ALL.map(Exit::code), [0, 1, 2, 3, 4, 5, 6, 10, 130, 143]);
        let table = Exit::table();
        assert!(table.contains("    4  nothing selected\n"), "{table}");
        assert!(table.contains("   10  a model cannot be loaded (error[E10])\n"), "{table}");
        assert!(table.contains("  101  a bug in this program\n"), "{table}");
        assert_eq!(table.lines().count(), Exit::ALL.len() + 2);
    }
}
