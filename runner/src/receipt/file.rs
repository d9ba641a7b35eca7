//! Receipts as files: written whole or not at all, and read with the reason why one is refused. It
//! looks at the version and the form; whether figures are right is not its question.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::bench::{BenchReceipt, SCHEMA_VERSION};
use crate::escape;

/// The largest file that is read: raw times of the longest benchmark are far below it.
const MOST_BYTES: u64 = 64 << 20;

/// Why a receipt cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// The system's reason.
    #[error("cannot {verb} the receipt {}: {why}", escape::text(&path.display().to_string()))]
    Io {
        /// `read` or `write`.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's words.
        why: io::Error,
    },
    /// It is no receipt of this program.
    #[error(
        "{} is no receipt of a benchmark: {}\n  receipts are written by `parity bench --receipts DIR`; \
         their form is docs/receipt.schema.json",
        escape::text(&path.display().to_string()),
        escape::text(why)
    )]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, with its place.
        why: String,
    },
}

/// The name of a trial's receipt: its id, with what no file name should hold written as `-`, then the
/// reference.
pub fn file_name(id: &str, reference: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' };
    let id: String =
        id.replace("::", ".").chars().map(|c| if c == '.' { c } else { safe(c) }).collect();
    format!("{id}.{}.json", reference.chars().map(safe).collect::<String>())
}

/// Writes `receipt` into `folder`, which is made if it is not there, and gives the file's path. A file
/// of that name is replaced at once, never half.
///
/// # Errors
/// [`ReceiptError::Io`].
pub fn write(folder: &Path, receipt: &BenchReceipt) -> Result<PathBuf, ReceiptError> {
    let path = folder.join(file_name(&receipt.case.id, &receipt.reference.name));
    let attempt = || -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut json = serde_json::to_vec_pretty(receipt)?;
        json.push(b'\n');
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&json)?;
        file.as_file().sync_all()?;
        file.persist(&path)?;
        Ok(())
    };
    attempt().map_err(|why| ReceiptError::Io { verb: "write", path: path.clone(), why })?;
    Ok(path)
}

/// Reads a receipt.
///
/// # Errors
/// [`ReceiptError::Io`], and [`ReceiptError::Form`] for anything that is no receipt of this major
/// version: an unknown field, a missing one, a wrong kind.
pub fn read(path: &Path) -> Result<BenchReceipt, ReceiptError> {
    let io = |why| ReceiptError::Io { verb: "read", path: path.to_owned(), why };
    let form = |why: String| ReceiptError::Form { path: path.to_owned(), why };
    let bytes = fs::metadata(path).map_err(io)?.len();
    if bytes > MOST_BYTES {
        return Err(form(format!("it has {bytes} bytes, a receipt at most {MOST_BYTES}")));
    }
    let text = fs::read_to_string(path).map_err(io)?;
    let document: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| form(error.to_string()))?;
    let version = document["schema_version"].as_str().unwrap_or_default();
    let major = |version: &str| version.split('.').next().map(str::to_owned);
    if major(version) != major(SCHEMA_VERSION) {
        return Err(form(format!(
            "its schema_version is '{version}', this program reads {SCHEMA_VERSION} and later ones of \
             the same major version"
        )));
    }
    serde_json::from_str(&text).map_err(|error| form(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_hold_nothing_but_letters_digits_and_marks() {
        let name = file_name("bench::bench::ci-light::threads-2", "bitnet-cpp");
        assert_eq!(name, "bench.bench.ci-light.threads-2.bitnet-cpp.json");
        assert_eq!(file_name("a/../b", "x/y"), "a-..-b.x-y.json");
    }

    #[test]
    fn another_version_and_no_json_are_refused_with_their_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        fs::write(&path, r#"{"schema_version": "2.0.0"}"#).unwrap();
        let text = read(&path).unwrap_err().to_string();
        assert!(text.contains("its schema_version is '2.0.0', this program reads 1.0.0"), "{text}");
        fs::write(&path, "{").unwrap();
        let text = read(&path).unwrap_err().to_string();
        assert!(text.contains("a.json is no receipt of a benchmark: EOF while parsing"), "{text}");
        let text = read(&folder.path().join("b.json")).unwrap_err().to_string();
        assert!(text.starts_with("cannot read the receipt "), "{text}");
    }
}
