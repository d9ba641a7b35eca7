//! Receipts as files: written whole or not at all, and read with the reason why one is refused. It
//! looks at the version and the form; whether figures are right is not its question.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::bench::BenchReceipt;
use super::canonical::{self, Ties};
use super::facts::{Kind, SCHEMA_VERSION};
use super::parity::ParityReceipt;
use super::{direct, layout};
use crate::escape;

/// The largest file that is read: raw data of the longest run are far below it.
const MOST_BYTES: u64 = 64 << 20;
/// The field that holds the digest of all others.
pub(super) const DIGEST: &str = "digest";

/// A receipt of any kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Receipt {
    /// Of a benchmark.
    Bench(Box<BenchReceipt>),
    /// Of a comparison.
    Parity(Box<ParityReceipt>),
}

/// A receipt as its file holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// What it says.
    pub receipt: Receipt,
    /// The digest that it carries; none in one that was written without.
    pub digest: Option<String>,
    /// Everything but the digest.
    pub json: Value,
}

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
        "{} is no receipt{of}: {}\n  receipts are written by `parity bench` and `parity run` with \
         `--receipts DIR`; their form is docs/receipt.schema.json",
        escape::text(&path.display().to_string()),
        escape::text(why)
    )]
    Form {
        /// The file.
        path: PathBuf,
        /// ` of a benchmark` where only such a one is asked for.
        of: &'static str,
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

/// Writes `receipt` into `folder` under its trial's name, and gives the file's path; see [`write_to`].
///
/// # Errors
/// [`ReceiptError::Io`].
pub fn write(folder: &Path, receipt: &BenchReceipt) -> Result<PathBuf, ReceiptError> {
    let path = folder.join(file_name(&receipt.case.id, &receipt.reference.name));
    write_to(&path, receipt)?;
    Ok(path)
}

/// Writes the receipt of a comparison into `folder`, as [`write()`].
///
/// # Errors
/// [`ReceiptError::Io`].
pub fn write_parity(folder: &Path, receipt: &ParityReceipt) -> Result<PathBuf, ReceiptError> {
    let reference = receipt.against.as_deref().unwrap_or("none");
    let path = folder.join(file_name(&receipt.case.id, reference));
    write_to(&path, receipt)?;
    Ok(path)
}

/// Writes `receipt` with its digest to `path`, whose folder is made if it is not there. A file of that
/// name is replaced at once, never half: a reader sees the old one or the new one, also where this
/// program is killed.
///
/// # Errors
/// [`ReceiptError::Io`].
pub fn write_to(path: &Path, receipt: &impl Serialize) -> Result<(), ReceiptError> {
    let attempt = || -> io::Result<()> {
        let folder = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(folder)?;
        let json = with_digest(serde_json::to_value(receipt)?);
        let mut file = temporary(folder)?;
        file.write_all(layout::text(&json).as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    attempt().map_err(|why| ReceiptError::Io { verb: "write", path: path.to_owned(), why })
}

/// A file of `folder` without a name that readers know, with the rights that any new file has.
fn temporary(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// A receipt's JSON with the digest of the rest, in place of one that may be there.
pub fn with_digest(mut json: Value) -> Value {
    if let Some(fields) = json.as_object_mut() {
        fields.remove(DIGEST);
    }
    let ties = match json["schema_version"].as_str() {
        Some("1.0.0") => Ties::Larger,
        _ => Ties::Even,
    };
    let digest = canonical::digest(&json, ties);
    if let Some(fields) = json.as_object_mut() {
        fields.insert(DIGEST.to_owned(), digest.into());
    }
    json
}

/// Reads the receipt of a benchmark.
///
/// # Errors
/// [`ReceiptError::Io`], and [`ReceiptError::Form`] for anything that is no receipt of a benchmark of
/// this major version: an unknown field, a missing one, a wrong kind.
pub fn read(path: &Path) -> Result<BenchReceipt, ReceiptError> {
    match read_any(path)?.receipt {
        Receipt::Bench(receipt) => Ok(*receipt),
        Receipt::Parity(_) => Err(ReceiptError::Form {
            path: path.to_owned(),
            of: " of a benchmark",
            why: "its kind is 'parity'".to_owned(),
        }),
    }
}

/// Reads a receipt of any kind, with the digest that it carries and the JSON that it is of.
///
/// # Errors
/// As [`read`].
pub fn read_any(path: &Path) -> Result<Document, ReceiptError> {
    parse(&text_of(path)?).map_err(|why| form(path, why))
}

/// Reads a receipt of any kind and leaves its digest unread: the way to thousands of them.
///
/// # Errors
/// As [`read`].
pub fn read_unverified(path: &Path) -> Result<Receipt, ReceiptError> {
    let text = text_of(path)?;
    match direct(&text) {
        Some(receipt) => Ok(receipt),
        // The slower way says what is wrong, and with what.
        None => parse(&text).map(|document| document.receipt).map_err(|why| form(path, why)),
    }
}

/// The receipt in `text`, if it is one of this major version.
fn direct(text: &str) -> Option<Receipt> {
    let is_bench =
        [r#""kind": "bench""#, r#""kind":"bench""#].iter().any(|kind| text.contains(kind));
    let (receipt, version, kind) = if is_bench {
        let receipt: Box<BenchReceipt> = Box::new(direct::typed(text).ok()?);
        let (version, kind) = (receipt.schema_version.clone(), receipt.kind);
        (Receipt::Bench(receipt), version, kind == Kind::Bench)
    } else {
        let receipt: Box<ParityReceipt> = Box::new(direct::typed(text).ok()?);
        let (version, kind) = (receipt.schema_version.clone(), receipt.kind);
        (Receipt::Parity(receipt), version, kind == Kind::Parity)
    };
    (kind && check_version(&version).is_ok()).then_some(receipt)
}

fn form(path: &Path, why: String) -> ReceiptError {
    ReceiptError::Form { path: path.to_owned(), of: "", why }
}

fn text_of(path: &Path) -> Result<String, ReceiptError> {
    let io = |why| ReceiptError::Io { verb: "read", path: path.to_owned(), why };
    let bytes = fs::metadata(path).map_err(io)?.len();
    if bytes > MOST_BYTES {
        return Err(form(path, format!("it has {bytes} bytes, a receipt at most {MOST_BYTES}")));
    }
    fs::read_to_string(path).map_err(io)
}

fn check_version(version: &str) -> Result<(), String> {
    let major = |version: &str| version.split('.').next().map(str::to_owned);
    if major(version) == major(SCHEMA_VERSION) {
        return Ok(());
    }
    Err(format!(
        "its schema_version is '{version}', this program reads {SCHEMA_VERSION} and later ones of the \
         same major version"
    ))
}

/// The receipt in `text`.
///
/// # Errors
/// In words, as [`read_any`].
pub fn parse(text: &str) -> Result<Document, String> {
    let mut json: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    check_version(json["schema_version"].as_str().unwrap_or_default())?;
    let digest = match json.as_object_mut().and_then(|fields| fields.remove(DIGEST)) {
        None => None,
        Some(Value::String(digest)) => Some(digest),
        Some(_) => return Err("`digest`: it is no text".to_owned()),
    };
    let receipt = match json["kind"].as_str() {
        Some("bench") => Receipt::Bench(Box::new(typed(&json)?)),
        Some("parity") => Receipt::Parity(Box::new(typed(&json)?)),
        _ => return Err(format!("its kind is {}, not 'bench' or 'parity'", json["kind"])),
    };
    Ok(Document { receipt, digest, json })
}

fn typed<T: DeserializeOwned>(json: &Value) -> Result<T, String> {
    T::deserialize(json).map_err(|error| error.to_string())
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
    fn another_version_another_kind_and_no_json_are_refused_with_their_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        fs::write(&path, r#"{"schema_version": "2.0.0"}"#).unwrap();
        let text = read(&path).unwrap_err().to_string();
        assert!(text.contains("its schema_version is '2.0.0', this program reads 1.1.0"), "{text}");
        fs::write(&path, "{").unwrap();
        let text = read(&path).unwrap_err().to_string();
        assert!(text.contains("a.json is no receipt: EOF while parsing"), "{text}");
        fs::write(&path, r#"{"schema_version": "1.0.0", "kind": "poem"}"#).unwrap();
        let text = read_any(&path).unwrap_err().to_string();
        assert!(text.contains("its kind is \"poem\", not 'bench' or 'parity'"), "{text}");
        let text = read(&folder.path().join("b.json")).unwrap_err().to_string();
        assert!(text.starts_with("cannot read the receipt "), "{text}");
    }

    #[test]
    fn a_receipt_that_cannot_be_written_leaves_the_old_one_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_to(&path, &serde_json::json!({"a": 1})).unwrap();
        let old = fs::read_to_string(&path).unwrap();
        // A key that is no text has no JSON.
        let unwritable = std::collections::BTreeMap::from([(vec![1], 2)]);
        let text = write_to(&path, &unwritable).unwrap_err().to_string();
        assert!(text.starts_with("cannot write the receipt ") && text.contains("key"), "{text}");
        assert_eq!(fs::read_to_string(&path).unwrap(), old);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
