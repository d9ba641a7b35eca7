//! `parity models list --matrix`: every architecture in every tensor type that the engine can make,
//! against every reference, measured here and now.

#![expect(clippy::print_stderr, reason = "a command tells how far it is")]

use std::path::Path;

use bitnet_engine::synth::architectures;
use clap::Args;
use serde::Serialize;

use super::run::Format;
use crate::escape;
use crate::exit::Exit;
use crate::report::print_line;
use crate::run::coverage::{self, Cell};
use crate::run::{Engines, REFERENCES, ReferenceProgram};

/// Characters of a reason that a table shows; JSON has all of it.
const REASON: usize = 100;

/// Flags of `parity models list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Measure instead: a tiny model of each architecture and type, by our engine and each reference
    #[arg(long)]
    matrix: bool,
    /// Only this architecture; may be repeated
    #[arg(long, value_name = "NAME", requires = "matrix")]
    arch: Vec<String>,
    /// Only this tensor type; may be repeated
    #[arg(long = "type", value_name = "NAME", requires = "matrix")]
    tensor_type: Vec<String>,
    /// Only this reference; may be repeated
    #[arg(long, value_name = "NAME", requires = "matrix")]
    reference: Vec<String>,
    /// How to print the matrix
    #[arg(long, value_enum, default_value_t = Format::Human, requires = "matrix")]
    format: Format,
}

impl ListArgs {
    /// Whether the matrix is asked for.
    pub(super) fn matrix(&self) -> bool {
        self.matrix
    }
}

/// One line of JSON.
#[derive(Debug, Serialize)]
struct Line<'a> {
    architecture: &'a str,
    #[serde(rename = "type")]
    tensor_type: &'a str,
    reference: &'a str,
    result: &'static str,
    mean_kl: Option<f64>,
    why: Option<&'a str>,
}

/// Measures and prints the matrix.
pub(super) fn execute(args: &ListArgs) -> Exit {
    let names: Vec<&str> = REFERENCES.iter().map(|reference| reference.name).collect();
    let chosen = chosen("--arch", &args.arch, &architectures()).and_then(|architectures| {
        let types = chosen("--type", &args.tensor_type, &coverage::types())?;
        Ok((architectures, types, chosen("--reference", &args.reference, &names)?))
    });
    let (architectures, types, names) = match chosen {
        Ok(chosen) => chosen,
        Err(why) => {
            eprintln!("error: {why}");
            return Exit::Usage;
        }
    };
    let programs: Vec<&'static ReferenceProgram> =
        REFERENCES.iter().filter(|reference| names.contains(&reference.name)).collect();
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => {
            eprintln!("error: no temporary folder for the models: {error}");
            return Exit::Environment;
        }
    };
    let mut table = Table::new(&architectures, &types, &programs, args.format);
    table.head();
    let mut engines = Engines::default();
    let pairs = architectures.iter().flat_map(|a| types.iter().map(move |t| (*a, *t)));
    let count = architectures.len() * types.len();
    for (index, (architecture, tensor_type)) in pairs.enumerate() {
        eprintln!("  Measuring {architecture} {tensor_type} ({} of {count})", index + 1);
        let path = folder.path().join(format!("{index}.gguf"));
        let cells = cells(&mut engines, &programs, architecture, tensor_type, &path);
        if let Err(error) = table.row(architecture, tensor_type, &cells) {
            eprintln!("error: a result has no JSON: {error}");
            return Exit::Environment;
        }
    }
    table.exit()
}

/// The names of `known` that `wanted` lists, or all.
fn chosen<'k>(flag: &str, wanted: &[String], known: &[&'k str]) -> Result<Vec<&'k str>, String> {
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(&name.as_str())) {
        let unknown = escape::text(unknown);
        return Err(format!("{flag} knows no '{unknown}'; known are {}", known.join(", ")));
    }
    let taken = known.iter().filter(|name| wanted.is_empty() || wanted.iter().any(|w| w == *name));
    Ok(taken.copied().collect())
}

/// One row: a model is made, compared with each reference and removed.
fn cells(
    engines: &mut Engines,
    programs: &[&'static ReferenceProgram],
    architecture: &str,
    tensor_type: &str,
    path: &Path,
) -> Vec<Cell> {
    if let Err(why) = coverage::make(architecture, tensor_type, path) {
        return vec![Cell::NotByUs(escape::text(&why)); programs.len()];
    }
    let cells = programs
        .iter()
        .map(|program| coverage::compare(engines, program, tensor_type, path))
        .collect();
    // The folder goes at the end in any case; until then one model at a time takes room.
    drop(std::fs::remove_file(path));
    cells
}

/// Prints rows as they come.
struct Table<'a> {
    programs: &'a [&'static ReferenceProgram],
    format: Format,
    widths: [usize; 3],
    mismatches: usize,
    missing: usize,
}

impl<'a> Table<'a> {
    fn new(
        architectures: &[&str],
        types: &[&str],
        programs: &'a [&'static ReferenceProgram],
        format: Format,
    ) -> Self {
        let widest = |names: &[&str], title: &str| {
            names.iter().map(|name| name.len()).chain([title.len()]).max().unwrap_or_default()
        };
        let names: Vec<&str> = programs.iter().map(|program| program.name).collect();
        let widths = [
            widest(architectures, "architecture"),
            widest(types, "type"),
            widest(&names, "reference"),
        ];
        Self { programs, format, widths, mismatches: 0, missing: 0 }
    }

    fn head(&self) {
        if self.format == Format::Human {
            self.line(["architecture", "type", "reference"], "result");
        }
    }

    fn line(&self, cells: [&str; 3], result: &str) {
        let [a, t, r] = self.widths;
        let [architecture, tensor_type, reference] = cells;
        print_line(&format!("{architecture:a$}  {tensor_type:t$}  {reference:r$}  {result}"));
    }

    fn row(
        &mut self,
        architecture: &str,
        tensor_type: &str,
        cells: &[Cell],
    ) -> serde_json::Result<()> {
        for (program, cell) in self.programs.iter().zip(cells) {
            self.mismatches += usize::from(matches!(cell, Cell::Mismatch(_)));
            self.missing += usize::from(matches!(cell, Cell::Missing(_)));
            match self.format {
                Format::Human => self.line([architecture, tensor_type, program.name], &shown(cell)),
                Format::Json => {
                    let (mean_kl, why) = match cell {
                        Cell::Match(kl) => (Some(*kl), None),
                        Cell::Mismatch(why)
                        | Cell::NotByReference(why)
                        | Cell::NotByUs(why)
                        | Cell::Missing(why) => (None, Some(why.as_str())),
                    };
                    let (reference, result) = (program.name, cell.word());
                    let line = Line { architecture, tensor_type, reference, result, mean_kl, why };
                    print_line(&serde_json::to_string(&line)?);
                }
            }
        }
        Ok(())
    }

    fn exit(&self) -> Exit {
        match (self.mismatches, self.missing) {
            (0, 0) => Exit::Ok,
            (0, _) => Exit::Environment,
            _ => Exit::CaseFailed,
        }
    }
}

/// A cell of the table.
fn shown(cell: &Cell) -> String {
    match cell {
        Cell::Match(kl) => format!("match KL {kl:.1e}"),
        Cell::Mismatch(why) => format!("MISMATCH {}", shortened(why)),
        Cell::NotByReference(why) => format!("unsupported by the reference: {}", shortened(why)),
        Cell::NotByUs(why) => format!("unsupported by us: {}", shortened(why)),
        Cell::Missing(why) => format!("MISSING {}", shortened(why)),
    }
}

fn shortened(why: &str) -> String {
    let line = why.lines().next().unwrap_or_default();
    match line.char_indices().nth(REASON) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_takes_known_names_in_their_own_order() {
        let known = ["a", "b", "c"];
        assert_eq!(chosen("--arch", &[], &known), Ok(vec!["a", "b", "c"]));
        let wanted = ["c".to_owned(), "a".to_owned()];
        assert_eq!(chosen("--arch", &wanted, &known), Ok(vec!["a", "c"]));
        let error = chosen("--type", &["Q9\n".to_owned()], &known).expect_err("unknown");
        assert_eq!(error, "--type knows no 'Q9\\n'; known are a, b, c");
    }

    #[test]
    fn cells_have_one_short_line() {
        assert_eq!(shown(&Cell::Match(0.0)), "match KL 0.0e0");
        assert_eq!(shown(&Cell::Mismatch("DIVERGED\nmore".into())), "MISMATCH DIVERGED");
        let long = "ä".repeat(REASON + 1);
        let cell = shown(&Cell::NotByReference(long));
        assert_eq!(cell, format!("unsupported by the reference: {}…", "ä".repeat(REASON)));
        assert_eq!(shown(&Cell::NotByUs("no".into())), "unsupported by us: no");
        assert_eq!(shown(&Cell::Missing("no".into())), "MISSING no");
    }

    #[test]
    fn only_a_mismatch_and_what_is_missing_change_the_exit_code() {
        let exit = |cells: &[Cell]| {
            let programs: Vec<&'static ReferenceProgram> = REFERENCES.iter().collect();
            let mut table = Table::new(&[], &[], &programs, Format::Json);
            table.row("a", "t", cells).expect("JSON");
            table.exit()
        };
        let (good, no) = (Cell::Match(0.0), Cell::NotByReference("no".into()));
        assert_eq!(exit(&[good.clone(), no]), Exit::Ok);
        assert_eq!(exit(&[good.clone(), Cell::Missing("no".into())]), Exit::Environment);
        assert_eq!(
            exit(&[Cell::Mismatch("x".into()), Cell::Missing("no".into())]),
            Exit::CaseFailed
        );
    }
}
