//! Opening damaged models: the refusal's variant and whole message, place checked.

use std::io::Write;

use bitnet_engine::gguf::{Directory, GgufError};
use bitnet_engine::model::{Model, ModelError};
use bitnet_engine::synth::SynthSpec;

use crate::edited::{Edit, edited};
use crate::synthetic;

/// A refusal: the variant of the error and its whole message.
pub type Refusal = (&'static str, String);

/// What most refusals advise.
pub const AGAIN: &str = "fetch or convert the file again";

fn variant(error: &ModelError) -> &'static str {
    match error {
        ModelError::Gguf(_) => "Gguf",
        ModelError::Tokenizer(_) => "Tokenizer",
        ModelError::Architecture { .. } => "Architecture",
        ModelError::HyperParameter { .. } => "HyperParameter",
        ModelError::Unsupported { .. } => "Unsupported",
        ModelError::MissingTensor(_) => "MissingTensor",
        ModelError::Shape { .. } => "Shape",
        ModelError::TensorType { .. } => "TensorType",
        ModelError::Scale { .. } => "Scale",
        ModelError::Columns { .. } => "Columns",
        ModelError::RowsTogether { .. } => "RowsTogether",
        ModelError::I2sLayout { .. } => "I2sLayout",
        ModelError::Tiles { .. } => "Tiles",
        ModelError::LookupIndex { .. } => "LookupIndex",
        ModelError::UnusedCode { .. } => "UnusedCode",
        ModelError::Memory { .. } => "Memory",
        ModelError::UnknownTensor(_) => "UnknownTensor",
    }
}

/// Opens a model from bytes. A refusal has `FILE` for the path and `N` for the offset of a key's
/// value, once both were checked.
pub fn open(bytes: &[u8]) -> Result<Model, Refusal> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    Model::open(file.path()).map_err(|error| {
        let mut message = error.to_string();
        if let ModelError::Gguf(fault) = &error {
            let prefix = format!("{}: ", file.path().display());
            message = message.strip_prefix(&prefix).expect("the file is named").to_owned();
            if let (GgufError::Key { key, .. }, Some(offset)) = (fault, fault.offset()) {
                let truth = Directory::parse(bytes).unwrap().metadata().offset(&key.to_string());
                assert_eq!(Some(offset), truth, "{message}");
                message = message.replacen(&format!("byte {offset}: "), "byte N: ", 1);
            }
            message.insert_str(0, "FILE: ");
        }
        (variant(&error), message)
    })
}

/// Every change alone to the model of `base` is refused like this.
pub fn check(base: &SynthSpec, cases: impl IntoIterator<Item = (Edit, Refusal)>) {
    let base = synthetic::bytes(base);
    assert!(open(&edited(&base, &[])).is_ok(), "the file without a change is a model");
    let mut wrong = Vec::new();
    for (edit, expected) in cases {
        match open(&edited(&base, &[edit])) {
            Ok(_) => wrong.push(format!("was accepted, expected\n    {expected:?}")),
            Err(found) if found != expected => {
                wrong.push(format!("gave\n    {found:?}\n  expected\n    {expected:?}"));
            }
            Err(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// How the model of these bytes with these changes is refused.
pub fn refused(base: &[u8], edits: &[Edit]) -> Refusal {
    open(&edited(base, edits)).err().expect("a refusal")
}

/// The model of these bytes.
pub fn accepted(bytes: &[u8]) -> Model {
    open(bytes).unwrap_or_else(|refusal| panic!("{refusal:?}"))
}
