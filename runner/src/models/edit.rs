//! Writes an entry into `models.toml` without touching anything else in it: comments, order and
//! spacing stay. It asks nobody: what stands in the entry was found out elsewhere.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use bitnet_engine::quant::i2_s::FileLayout;
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, Value, value};

use super::lock::{LockedModel, ModelLock, ModelSource};

/// Why the lock was not changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The operating system refused.
    #[error("{}: cannot {action}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is no TOML, or has no place for a model.
    #[error("{}: {why}; nothing was written", .path.display())]
    Document {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Somebody else changed the file at the same time.
    #[error("{}: was changed by another program meanwhile; nothing was written, try again", .0.display())]
    Changed(PathBuf),
}

/// Adds `model` to the lock at `path`, or replaces the keys of the entry with its id. The file is
/// replaced as a whole, and only if the result is a good lock that says what `model` says.
///
/// # Errors
/// If the file cannot be read or replaced, or the result would break the lock's rules.
pub fn write_entry(path: &Path, model: &LockedModel) -> Result<(), EditError> {
    let io = |action| {
        let path = path.to_owned();
        move |source| EditError::Io { path, action, source }
    };
    let wrong = |why: String| EditError::Document { path: path.to_owned(), why };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Held until the end, so that two updates follow each other. Not every system can lock a
    // folder; the comparison below then notices most of what a lock would have prevented.
    let guard = File::open(folder).ok().filter(|folder| folder.lock().is_ok());
    let before = fs::read_to_string(path).map_err(io("read"))?;
    let after = with_entry(&before, model).map_err(wrong)?;
    let mut temporary = tempfile::Builder::new()
        .prefix(".models-")
        .suffix(".toml")
        .tempfile_in(folder)
        .map_err(io("write beside"))?;
    temporary.write_all(after.as_bytes()).map_err(io("write"))?;
    let result = ModelLock::read(temporary.path()).map_err(|error| wrong(error.to_string()))?;
    let written =
        result.get(&model.id).map(|written| LockedModel { line: model.line, ..written.clone() });
    if written.as_ref() != Some(model) {
        return Err(wrong(format!("the entry '{}' would not say what was found", model.id)));
    }
    if fs::read_to_string(path).map_err(io("read"))? != before {
        return Err(EditError::Changed(path.to_owned()));
    }
    let permissions = fs::metadata(path).map_err(io("read"))?.permissions();
    temporary.as_file().set_permissions(permissions).map_err(io("write"))?;
    temporary.as_file().sync_all().map_err(io("write"))?;
    temporary.persist(path).map_err(|error| io("replace")(error.error))?;
    drop(guard);
    Ok(())
}

/// The text of a lock, with `model` in it.
fn with_entry(text: &str, model: &LockedModel) -> Result<String, String> {
    let mut document: DocumentMut = text.parse().map_err(|error| format!("no TOML: {error}"))?;
    let models = document
        .entry("model")
        .or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()))
        .as_array_of_tables_mut()
        .ok_or("`model` is no list of tables `[[model]]`")?;
    let known = models
        .iter_mut()
        .find(|table| table.get("id").and_then(Item::as_str).is_some_and(|id| id == model.id));
    match known {
        Some(table) => fill(table, model),
        None => {
            let mut table = Table::new();
            table.decor_mut().set_prefix("\n");
            fill(&mut table, model);
            models.push(table);
        }
    }
    Ok(document.to_string())
}

fn fill(table: &mut Table, model: &LockedModel) {
    set(table, "id", model.id.as_str().into());
    set(table, "tier", model.tier.name().into());
    set(table, "sha256", model.sha256.as_str().into());
    set(table, "bytes", grouped(model.bytes));
    set(table, "license", model.license.as_str().into());
    if let Some(terms) = &model.terms {
        set(table, "terms", terms.as_str().into());
    }
    set(table, "references", Value::Array(model.references.iter().collect::<Array>()));
    if model.i2s_layout != FileLayout::default() {
        set(table, "i2s-layout", model.i2s_layout.name().into());
    }
    set(table, "source", Value::InlineTable(source(&model.source)));
}

/// Puts `new` under `key`, keeping the comment and the spaces around a value that was there. A value
/// that says the same already stays as it was written.
fn set(table: &mut Table, key: &str, mut new: Value) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) if meaning(old) == meaning(&new) => {}
        Some(old) => {
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        None => table[key] = value(new),
    }
}

/// A value without its spelling.
fn meaning(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{:?}", text.value()),
        Value::Integer(number) => number.value().to_string(),
        Value::Array(array) => array.iter().map(|item| meaning(item) + ",").collect(),
        Value::InlineTable(table) => {
            table.iter().map(|(key, item)| format!("{key}={},", meaning(item))).collect()
        }
        other => other.to_string(),
    }
}

/// Digits in groups of three, as people write sizes in a lock.
fn grouped(number: u64) -> Value {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    // A size fits TOML's 64 bits, or the check of the result refuses it.
    text.parse().unwrap_or_else(|_| Value::from(i64::MAX))
}

fn source(source: &ModelSource) -> InlineTable {
    let mut table = InlineTable::new();
    match source {
        ModelSource::Synth(synth) => {
            let mut spec = InlineTable::new();
            spec.insert("arch", synth.arch.as_str().into());
            spec.insert("preset", synth.preset.as_str().into());
            spec.insert("type", synth.tensor_type.as_str().into());
            spec.insert("embedding-type", synth.embedding_type.as_str().into());
            spec.insert("seed", i64::try_from(synth.seed).unwrap_or(i64::MAX).into());
            table.insert("synth", Value::InlineTable(spec));
        }
        ModelSource::Path(path) => {
            table.insert("path", path.as_str().into());
        }
        ModelSource::HuggingFace { repository, revision, file } => {
            table.insert("hf", repository.as_str().into());
            table.insert("revision", revision.as_str().into());
            table.insert("file", file.as_str().into());
        }
        ModelSource::Url { url, mirrors } => {
            table.insert("url", url.as_str().into());
            if !mirrors.is_empty() {
                table.insert("mirrors", Value::Array(mirrors.iter().collect::<Array>()));
            }
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Tier;

    const LOCK: &str = "# The head.\nschema_version = 1\n\n# About a.\n[[model]]\nid = \"a\" # its name\ntier = \"ci-light\"\n\
        sha256 = \"0000000000000000000000000000000000000000000000000000000000000000\"\nbytes = 1_000 # small\n\
        license = \"MIT\"\nreferences = [ \"bitnet-cpp\" ]\nsource = { hf = \"o/n\", revision = \"0000000000000000000000000000000000000000\", file = \"f.gguf\" }\n\n\
        # About b.\n[[model]]\nid = \"b\"\ntier = \"ci-light\"\nsha256 = \"1111111111111111111111111111111111111111111111111111111111111111\"\n\
        bytes = 2\nlicense = \"MIT\"\nreferences = []\nsource = { path = \"m/b.gguf\" }\n# The end.\n";

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("models.toml");
        fs::write(&path, LOCK).unwrap();
        (folder, path)
    }

    fn get(path: &Path, id: &str) -> LockedModel {
        ModelLock::read(path).unwrap().get(id).unwrap().clone()
    }

    #[test]
    fn an_update_changes_the_values_and_nothing_else() {
        let (_folder, path) = folder();
        let ModelSource::HuggingFace { repository, file, .. } = get(&path, "a").source else {
            panic!("a is of a hub")
        };
        let (sha256, revision) = ("2".repeat(64), "3".repeat(40));
        let source = ModelSource::HuggingFace { repository, revision: revision.clone(), file };
        let model =
            LockedModel { sha256: sha256.clone(), bytes: 1_234_567, source, ..get(&path, "a") };
        write_entry(&path, &model).unwrap();
        let truth = LOCK
            .replacen(&"0".repeat(64), &sha256, 1)
            .replacen(&format!("\"{}\"", "0".repeat(40)), &format!("\"{revision}\""), 1)
            .replacen("1_000", "1_234_567", 1);
        assert_eq!(fs::read_to_string(&path).unwrap(), truth);
        write_entry(&path, &model).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), truth, "the same again changes nothing");
    }

    #[test]
    fn a_new_entry_comes_last_and_reads_back() {
        let (_folder, path) = folder();
        let mirrors = vec!["https://mirror.example/c".to_owned()];
        let model = LockedModel {
            id: "c".into(),
            tier: Tier::Integration,
            sha256: "4".repeat(64),
            bytes: 999,
            license: "Apache-2.0".into(),
            references: vec!["bitnet-cpp".into()],
            source: ModelSource::Url { url: "https://origin.example/c".into(), mirrors },
            line: 0,
            ..get(&path, "b")
        };
        write_entry(&path, &model).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let sha256 = "4".repeat(64);
        let entry = format!(
            "\n[[model]]\nid = \"c\"\ntier = \"integration\"\nsha256 = \"{sha256}\"\nbytes = 999\n\
             license = \"Apache-2.0\"\nreferences = [\"bitnet-cpp\"]\nsource = {{ url = \
             \"https://origin.example/c\", mirrors = [\"https://mirror.example/c\"] }}\n"
        );
        assert!(text.contains(&entry), "{text}");
        assert!(text.starts_with(LOCK.trim_end_matches("# The end.\n")), "{text}");
        assert_eq!(LockedModel { line: 0, ..get(&path, "c") }, model);
    }

    #[test]
    fn what_would_break_the_lock_is_not_written() {
        let (folder, path) = folder();
        let model = LockedModel { bytes: u64::MAX, ..get(&path, "a") };
        let error = write_entry(&path, &model).unwrap_err().to_string();
        assert!(error.ends_with("would not say what was found; nothing was written"), "{error}");
        let model = LockedModel { sha256: "x".into(), ..get(&path, "a") };
        let error = write_entry(&path, &model).unwrap_err().to_string();
        assert!(error.contains("`sha256` is 64 lower-case hex digits"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), LOCK);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
    }
}
