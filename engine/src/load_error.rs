//! `error[E10]` as text: why a model cannot be loaded, three likely causes, and what to type next.
//!
//! Pure: it opens nothing, prints nothing and knows no way round the failure.

use std::io::ErrorKind;
use std::path::{Component, Path};

use crate::escape;
use crate::gguf::{Fault, GgufError, KeyFault, ShapeFault};
use crate::model::ModelError;
use crate::tokenizer::TokenizerError;

/// The document that `error[E10]` sends its reader to.
pub const DOC: &str = "docs/models.md";

/// The whole message, five headings and no line break at its end: what failed, the engine's own
/// reason (file, byte or tensor), the three likely causes of this kind of failure, `next` (the
/// command that helps) and the document.
///
/// `path`, the reason and `next` may hold any text: all are shown escaped.
pub fn text(path: &Path, error: &ModelError, next: &str) -> String {
    let path = escape::text(&path.display().to_string());
    let cause = escape::text(&error.to_string());
    let next = escape::text(next);
    let [first, second, third] = likely(error);
    format!(
        "error[E10]: cannot load the model '{path}'\n  cause: {cause}\n  likely: 1. {first}\n          \
         2. {second}\n          3. {third}\n  next: {next}\n  doc: {DOC}"
    )
}

/// What to type about the model at `path`, where no lock tells its id.
///
/// A file of the model cache (`…/models/<sha256>/model.gguf`) is verified and had again if it is
/// wrong; for any other there is a model that is known to load.
pub fn next_step(path: &Path) -> String {
    match in_cache(path) {
        true => "parity fetch --verify".into(),
        false => "parity fetch --id ci-light (a model that is known to load; `parity models list` \
                  shows all)"
            .into(),
    }
}

fn in_cache(path: &Path) -> bool {
    let mut parts = path.components().rev().map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    let mut next = || parts.next().flatten();
    let is_digest = |name: &str| {
        name.len() == 64 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    next() == Some("model.gguf") && next().is_some_and(is_digest) && next() == Some("models")
}

/// The likely causes, most likely first.
fn likely(error: &ModelError) -> [&'static str; 3] {
    match error {
        ModelError::Gguf(error) => container(error),
        ModelError::Tokenizer(error) => vocabulary(error),
        ModelError::Architecture { .. } => [
            "it is a model of another family (Gemma, Phi, Falcon, …), and this engine computes the \
             architectures named above only",
            "it is only a part: an adapter (LoRA), a projector (mmproj) or a draft model",
            "the converter wrote an architecture name of its own",
        ],
        ModelError::Unsupported { .. } => [
            "the model is a variant of its architecture that this engine does not compute: experts, a \
             sliding window, another scaling of RoPE",
            "a newer converter wrote a key that the architecture did not have before",
            "the key was written by hand to make another program do something",
        ],
        ModelError::TensorType { .. } | ModelError::Columns { .. } => UNSUPPORTED_TYPE,
        ModelError::Memory { .. } => [
            "other programs hold most of the memory",
            "a container or a limit (ulimit -v) allows this process less than the machine has",
            "the model is too large for this machine",
        ],
        ModelError::Scale { .. }
        | ModelError::LookupIndex { .. }
        | ModelError::UnusedCode { .. } => [
            "bytes of the file were changed or lost: a resumed download or a failing disk",
            "the quantisation tool wrote the scale in another place or form",
            "the model was quantised from weights that were damaged already",
        ],
        ModelError::RowsTogether { .. } | ModelError::I2sLayout { .. } => [
            "the file was quantised on an ARM machine, or by a build that packs four rows together",
            "the I2_S layout was stated for another file",
            "the file was edited, merged or pruned, and its matrices no longer belong to its norms",
        ],
        ModelError::Tiles { .. } => [
            "the file was made for kernels that were generated for its shapes (TL1, TL2)",
            "the kernel_config.ini was stated for another file",
            "the file was converted with tiles that its kernels do not have",
        ],
        ModelError::HyperParameter { .. }
        | ModelError::MissingTensor(_)
        | ModelError::Shape { .. }
        | ModelError::UnknownTensor(_) => [
            "the converter made the file for a newer or another variant of the architecture",
            "the file was edited, merged or pruned, and its keys and tensors no longer agree",
            "the conversion ended early, or its input lacked some of the weights",
        ],
    }
}

const UNSUPPORTED_TYPE: [&str; 3] = [
    "the model was quantised to a type that other programs compute (Q3_K_M, IQ2_XS, …) and this \
     engine does not",
    "it was quantised to llama.cpp's MXFP4, which has the number of bitnet.cpp's TL2",
    "a newer or a forked quantisation tool wrote it",
];

fn container(error: &GgufError) -> [&'static str; 3] {
    match error {
        GgufError::Io { source, .. } => system(source.kind()),
        GgufError::NotAFile { found: "a directory", .. } => [
            "the folder of the model was given instead of the .gguf file in it",
            "a repository was downloaded whole: its safetensors files must be converted to GGUF",
            "a variable in the path is empty, so that only the folder is left",
        ],
        GgufError::NotAFile { .. } => [
            "a pipe or a process substitution was given: models are mapped into memory, which needs a \
             file on a disk",
            "a device or a socket has that name",
            "a tool that writes the model to that place has not replaced it by a file yet",
        ],
        GgufError::Malformed { fault, .. } => bytes(fault),
        GgufError::Key { fault: KeyFault::Missing { .. }, .. } => [
            "the file holds no language model: a vocabulary alone, an adapter (LoRA), a projector \
             (mmproj)",
            "an old or a home-made converter left the key out",
            "the file was edited, and the key was lost",
        ],
        GgufError::Key { .. } => [
            "a faulty or a home-made converter wrote the key",
            "the file was edited by a tool that changed the key's type",
            "bytes of the file were changed: a resumed download or a failing disk",
        ],
    }
}

fn system(kind: ErrorKind) -> [&'static str; 3] {
    match kind {
        ErrorKind::NotFound | ErrorKind::NotADirectory => [
            "the path is mistyped, or relative to another folder than the current one",
            "the model was never fetched on this machine, or into another BITNET_CACHE_DIR",
            "the file was moved or deleted, or is a link to one that was",
        ],
        ErrorKind::PermissionDenied => [
            "the file belongs to another user and may not be read by this one",
            "a folder on the way may not be entered",
            "a container or a sandbox keeps this program from it",
        ],
        _ => [
            "the disk or the network drive has failed, or was removed",
            "the file system does not allow mapping files into memory",
            "a limit of the system was reached: memory, open files, length of a path",
        ],
    }
}

fn bytes(fault: &Fault) -> [&'static str; 3] {
    match fault {
        Fault::Empty => [
            "a download or an export ended before its first byte",
            "the disk was full when the file was written",
            "the file is a placeholder: touch, or a cloud drive that has not synchronised it",
        ],
        Fault::NotGguf { found } if is_text(*found) => [
            "a web page or a Git LFS pointer was saved in place of the model",
            "another file of the model was named: a configuration, a readme, a template",
            "the model is in a text format and was never converted to GGUF",
        ],
        Fault::NotGguf { .. } => [
            "the model is in another format (safetensors, PyTorch, ggml of before 2023): convert it",
            "the file is compressed or an archive: unpack it",
            "the beginning of the file was overwritten",
        ],
        Fault::Ends { .. } | Fault::TooMany { .. } | Fault::DataEnds { .. } => [
            "the download or the copy was cut short",
            "the disk was full, or the program that wrote the file was ended",
            "the file is still being written, or its header was damaged",
        ],
        Fault::BigEndian { .. } | Fault::VersionOne | Fault::Version { .. } => [
            "the file was exported long ago, or for a big-endian machine",
            "a newer tool wrote a version that this program does not know",
            "the first bytes of the file were damaged",
        ],
        Fault::Shard { .. } => [
            "the model was published in parts (-00001-of-0000N.gguf), and one of them was given",
            "the parts were downloaded and not merged",
            "the parts were joined with cat, which keeps the first one's header",
        ],
        Fault::UnknownTensorType { .. }
        | Fault::Shape { fault: ShapeFault::NoTl2 | ShapeFault::Mxfp4, .. } => UNSUPPORTED_TYPE,
        _ => [
            "bytes of the file were changed: a resumed download or a failing disk",
            "a faulty or a home-made tool wrote it",
            "another program is writing to it at this moment",
        ],
    }
}

/// Whether a file that begins like this is for people to read.
fn is_text(start: [u8; 4]) -> bool {
    start.iter().all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace())
        || start.starts_with(&[0xef, 0xbb, 0xbf])
}

fn vocabulary(error: &TokenizerError) -> [&'static str; 3] {
    match error {
        TokenizerError::UnsupportedModel { .. }
        | TokenizerError::UnsupportedPreTokenizer { .. } => [
            "it is a model of another family, whose tokenizer this engine does not have",
            "a newer converter gave the tokenizer another name",
            "the file was edited, and the name was mistyped",
        ],
        _ => [
            "the model was converted without its tokenizer files, or with another model's",
            "the vocabulary was edited: tokens added or removed without their types and scores",
            "bytes of the file were changed: a resumed download or a failing disk",
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::{Name, ValueType};

    fn io(kind: ErrorKind) -> ModelError {
        let path = "m.gguf".into();
        GgufError::Io { path, action: "open", source: kind.into() }.into()
    }

    fn not_a_file(found: &'static str) -> ModelError {
        GgufError::NotAFile { path: "m.gguf".into(), found }.into()
    }

    fn malformed(fault: Fault) -> ModelError {
        GgufError::Malformed { path: Some("m.gguf".into()), offset: 4, fault }.into()
    }

    fn key(fault: KeyFault) -> ModelError {
        let key = Name::new(b"general.architecture");
        GgufError::Key { path: Some("m.gguf".into()), key, offset: Some(24), fault }.into()
    }

    #[test]
    fn the_message_has_its_five_headings_and_nothing_raw() {
        let error = not_a_file("a directory");
        let message = text(Path::new("a\u{1b}[2J\nb"), &error, "parity fetch --id x\r");
        let truth = "\
error[E10]: cannot load the model 'a\\u{1b}[2J\\nb'
  cause: m.gguf: is a directory, not a regular file; give the path of a GGUF file
  likely: 1. the folder of the model was given instead of the .gguf file in it
          2. a repository was downloaded whole: its safetensors files must be converted to GGUF
          3. a variable in the path is empty, so that only the folder is left
  next: parity fetch --id x\\r
  doc: docs/models.md";
        assert_eq!(message, truth);
    }

    /// Every kind of failure, with words of its first likely cause.
    fn kinds() -> Vec<(ModelError, &'static str)> {
        let name = || Name::new(b"blk.0.attn_q.weight");
        let text_start = |start: &[u8; 4]| malformed(Fault::NotGguf { found: *start });
        vec![
            (io(ErrorKind::NotFound), "the path is mistyped"),
            (io(ErrorKind::PermissionDenied), "belongs to another user"),
            (io(ErrorKind::TimedOut), "the disk or the network drive has failed"),
            (not_a_file("a directory"), "the folder of the model was given"),
            (not_a_file("a FIFO"), "a pipe or a process substitution"),
            (malformed(Fault::Empty), "ended before its first byte"),
            (text_start(b"vers"), "a web page or a Git LFS pointer"),
            (text_start(b"PK\x03\x04"), "in another format (safetensors, PyTorch"),
            (
                malformed(Fault::Ends { what: "a key", need: 8, left: 3 }),
                "the download or the copy was cut short",
            ),
            (malformed(Fault::Version { found: 9 }), "exported long ago"),
            (malformed(Fault::Shard { count: 3 }), "was published in parts"),
            (
                malformed(Fault::UnknownTensorType { name: name(), id: 99 }),
                "quantised to a type that other programs compute",
            ),
            (malformed(Fault::Alignment { found: 3 }), "bytes of the file were changed"),
            (key(KeyFault::Missing { wanted: "string" }), "holds no language model"),
            (key(KeyFault::NotUtf8 { valid_up_to: 0 }), "home-made converter wrote the key"),
            (
                ModelError::Architecture { found: "llama".into(), supported: "x".into() },
                "a model of another family",
            ),
            (
                ModelError::Unsupported {
                    key: "x".into(),
                    found: "8".into(),
                    supported: "0".into(),
                },
                "a variant of its architecture",
            ),
            (ModelError::MissingTensor("x".into()), "a newer or another variant"),
            (ModelError::Scale { name: "x".into(), found: 0.0 }, "bytes of the file were changed"),
            (
                TokenizerError::UnsupportedModel { model: "bert".into() }.into(),
                "whose tokenizer this engine does not have",
            ),
            (TokenizerError::NoTokens.into(), "converted without its tokenizer files"),
            (
                malformed(Fault::Shape { name: name(), fault: ShapeFault::Mxfp4 }),
                "quantised to a type that other programs compute",
            ),
        ]
    }

    #[test]
    fn every_kind_of_failure_has_three_causes_of_its_own() {
        for (error, first) in kinds() {
            let message = text(Path::new("m.gguf"), &error, "x");
            let line = message.lines().nth(2).expect("the first cause");
            assert!(line.starts_with("  likely: 1. ") && line.contains(first), "{message}");
            let causes = likely(&error);
            assert!(causes[0] != causes[1] && causes[1] != causes[2], "{causes:?}");
            assert_eq!(message.lines().count(), 7, "{message}");
        }
        // All kinds but the two of unsupported types differ.
        let mut all: Vec<_> = kinds().iter().map(|(error, _)| likely(error)).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), kinds().len() - 1);
    }

    #[test]
    fn the_reason_names_file_byte_and_found() {
        let fault = Fault::ReservedKeyType {
            key: "general.alignment",
            found: ValueType::String,
            wanted: "u32",
        };
        let message = text(Path::new("m.gguf"), &malformed(fault), "x");
        let cause =
            "  cause: m.gguf: byte 4: 'general.alignment' is of type string, u32 is needed; ";
        assert!(message.contains(cause), "{message}");
    }

    #[test]
    fn only_a_file_of_the_cache_is_verified() {
        let digest = "0123456789abcdef".repeat(4);
        let verify = |path: String| next_step(Path::new(&path)) == "parity fetch --verify";
        assert!(verify(format!("/home/u/.cache/bitnet/models/{digest}/model.gguf")));
        assert!(verify(format!("models/{digest}/model.gguf")));
        assert!(!verify(format!("models/{}/model.gguf", digest.to_uppercase())));
        assert!(!verify(format!("models/{digest}/other.gguf")));
        assert!(!verify(format!("x/{digest}/model.gguf")));
        assert!(!verify("/nope/bad.gguf".into()));
        let other = next_step(Path::new("/nope/bad.gguf"));
        assert!(other.starts_with("parity fetch --id ci-light (a model that is known"), "{other}");
    }
}
