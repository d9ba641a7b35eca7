//! Valid GGUF files: what is read from them, by which types, and from which kinds of file.

mod support;

use std::path::{Path, PathBuf};

use bitnet_engine::gguf::{Directory, GgufFile, Items, Strings, TensorType, Text, Value};
use support::*;

fn sample_directory() -> Directory {
    Directory::parse(&sample(true).0).expect("the sample is valid")
}

fn file_with(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).expect("the temporary folder is writable");
    (folder, path)
}

#[test]
fn keys_in_file_order_and_by_name() {
    let directory = sample_directory();
    let metadata = directory.metadata();
    let keys: Vec<&str> = metadata.iter().map(|(key, _)| key).collect();
    let expected = ["general.architecture", "a.flag", "a.bytes", "a.eps", "a.tokens", "a.types"];
    assert_eq!(keys[..6], expected);
    assert_eq!(keys.len(), metadata.len());

    assert_eq!(metadata.str("general.architecture").unwrap(), "bitnet-b1.58");
    assert!(metadata.bool("a.flag").unwrap());
    assert_eq!(metadata.f32("a.eps").unwrap(), 1e-5);
    assert_eq!(metadata.u32("a.width").unwrap(), 64);
    assert_eq!(metadata.u64("a.width").unwrap(), 64);
    assert_eq!(metadata.i32s("a.types").unwrap().to_vec(), [1, 2, -1, 4]);
    assert_eq!(metadata.require::<Items<u8>>("a.bytes").unwrap().get(2), Some(3));
    assert_eq!(metadata.require::<Items<u8>>("a.bytes").unwrap().get(3), None);
    assert_eq!(metadata.require::<Items<u8>>("a.bytes").unwrap().get(usize::MAX), None);
    assert!(metadata.strings("a.empty").unwrap().is_empty());
    assert_eq!(metadata.get("general.architectur"), None);
    assert_eq!(metadata.get(""), None);
    assert_eq!(metadata.optional::<u32>("absent").unwrap(), None);
    assert_eq!(metadata.optional::<u32>("a.width").unwrap(), Some(64));

    // The position of the value itself: behind 24 bytes of header, the key and the type.
    assert_eq!(metadata.offset("general.architecture"), Some(24 + 8 + 20 + 4));
}

#[test]
fn g05_strings_are_bytes() {
    let directory = sample_directory();
    let tokens = directory.metadata().strings("a.tokens").unwrap();
    let expected: [&[u8]; 4] = [b"a", b"", b"\xff\xfe", b"\xc4\xa0the"];
    assert_eq!(tokens.iter().map(Text::as_bytes).collect::<Vec<_>>(), expected);
    assert_eq!(tokens.iter().len(), 4);
    assert_eq!(tokens.get(3).unwrap().as_str().unwrap(), "Ġthe");
    assert_eq!(tokens.get(2).unwrap().as_str().unwrap_err().valid_up_to(), 0);
    assert_eq!(tokens.get(4), None);
    assert_eq!(format!("{:?}", tokens.get(2).unwrap()), r#""\xff\xfe""#);

    let text = b"ok\xff\0";
    let raw = Raw::file(0, 1).key("k", STRING).string(text);
    let directory = Directory::parse(&raw.0).unwrap();
    assert_eq!(directory.metadata().get("k"), Some(Value::String(Text(text))));
    assert_eq!(
        directory.metadata().str("k").unwrap_err().to_string(),
        "byte 37: metadata key 'k' is not UTF-8 from byte 2 of the text on"
    );
}

#[test]
fn a_wrong_type_names_key_types_and_offset() {
    let directory = sample_directory();
    let metadata = directory.metadata();
    let at = |key: &str| metadata.offset(key).unwrap();
    let expect = |error: String, words: String| assert_eq!(error, words);
    expect(
        metadata.u32("a.eps").unwrap_err().to_string(),
        format!("byte {}: metadata key 'a.eps' is of type f32, u32 is needed", at("a.eps")),
    );
    expect(
        metadata.f32("a.width").unwrap_err().to_string(),
        format!("byte {}: metadata key 'a.width' is of type u32, f32 is needed", at("a.width")),
    );
    expect(
        metadata.strings("a.types").unwrap_err().to_string(),
        format!(
            "byte {}: metadata key 'a.types' is of type array of i32, array of string is needed",
            at("a.types")
        ),
    );
    expect(
        metadata.str("a.flag").unwrap_err().to_string(),
        format!("byte {}: metadata key 'a.flag' is of type bool, string is needed", at("a.flag")),
    );
    let missing = metadata.u32("a.heads").unwrap_err();
    assert_eq!(missing.offset(), None);
    assert_eq!(
        missing.to_string(),
        "metadata key 'a.heads' is missing, u32 is needed; `bitnet inspect` lists the keys that \
         there are"
    );
    let long = "x".repeat(70);
    let shown = metadata.u32(&long).unwrap_err().to_string();
    assert!(shown.contains(&format!("'{}…'", "x".repeat(64))), "{shown}");
}

#[test]
fn integers_of_any_width_convert_if_they_fit() {
    let read = |value_type: u32, bytes: &[u8]| {
        let raw = Raw::file(0, 1).key("k", value_type).put(bytes);
        Directory::parse(&raw.0).expect("a valid file")
    };
    let u32_of = |value_type, bytes: &[u8]| {
        read(value_type, bytes).metadata().u32("k").map_err(|error| error.to_string())
    };
    let ids = [(0, 1), (1, 1), (2, 2), (3, 2), (4, 4), (5, 4), (10, 8), (11, 8)];
    for (value_type, width) in ids {
        let mut bytes = vec![0; width];
        bytes[0] = 0x7b;
        assert_eq!(u32_of(value_type, &bytes), Ok(0x7b), "type {value_type}");
    }
    let refused =
        |found: &str| Err(format!("byte 37: metadata key 'k' is {found}, which does not fit u32"));
    assert_eq!(u32_of(1, &[0xff]), refused("-1"));
    assert_eq!(u32_of(11, &(-5i64).to_le_bytes()), refused("-5"));
    assert_eq!(u32_of(10, &(1u64 << 32).to_le_bytes()), refused("4294967296"));
    assert_eq!(u32_of(4, &[0xff; 4]), Ok(u32::MAX));
    assert_eq!(read(10, &[0xff; 8]).metadata().u64("k").unwrap(), u64::MAX);
    assert_eq!(read(5, &[0xff; 4]).metadata().require::<i32>("k").unwrap(), -1);
    assert!(u32_of(7, &[1]).is_err(), "a bool is no number");
}

#[test]
fn tensors_have_names_shapes_and_places() {
    let (bytes, start) = sample(true);
    let (_folder, path) = file_with("sample.gguf", &bytes);
    let file = GgufFile::open(&path).expect("the sample is valid");
    assert_eq!((file.path(), file.len()), (path.as_path(), bytes.len() as u64));
    assert!(file.warnings().is_empty());

    let names: Vec<&str> = file.tensors().iter().map(|t| &*t.name).collect();
    assert_eq!(names, ["norm.weight", "codes", "w"]);
    let norm = file.tensor("norm.weight").unwrap();
    assert_eq!((norm.offset, norm.size, &*norm.dims), (start, 20, &[5][..]));
    assert_eq!(norm.tensor_type, TensorType::F32);
    let floats = file.data(norm).chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
    assert_eq!(floats.collect::<Vec<_>>(), [0.0, 1.0, 2.0, 3.0, 4.0]);

    let codes = file.tensor("codes").unwrap();
    assert_eq!((codes.offset, codes.elements(), &*codes.dims), (start + 32, 12, &[3, 2, 2][..]));
    assert_eq!(file.data(codes), [7; 12]);
    let w = file.tensor("w").unwrap();
    assert_eq!((w.offset, w.size, w.tensor_type), (start + 64, 256 / 4 + 32, TensorType::I2S));
    assert_eq!(file.data(w)[60..68], [0x55, 0x55, 0x55, 0x55, 0, 0, 0, 0x3f]);
    assert_eq!(file.tensor("W"), None);

    fn shared_between_threads<T: Send + Sync>(_: &T) {}
    shared_between_threads(&file);
}

#[test]
fn g12_trailing_bytes_are_a_warning() {
    let (mut bytes, _) = sample(false);
    let end = bytes.len();
    bytes.extend_from_slice(b"left over");
    let (_folder, path) = file_with("trailing.gguf", &bytes);
    let file = GgufFile::open(&path).expect("trailing bytes do no harm");
    let expected = format!("byte {end}: 9 bytes follow the last tensor and belong to nothing");
    assert_eq!(file.warnings(), [expected]);
}

#[test]
fn errors_name_the_file() {
    let (_folder, path) = file_with("broken.gguf", b"GGML");
    let shown = path.display();
    let error = GgufFile::open(&path).unwrap_err().to_string();
    let expected = format!("{shown}: byte 0: not a GGUF file: it begins with \"GGML\"");
    assert!(error.starts_with(&expected), "{error}");

    let (_folder, path) = file_with("sample.gguf", &sample(false).0);
    let shown = path.display();
    let file = GgufFile::open(&path).unwrap();
    let error = file.metadata().u32("absent").unwrap_err().to_string();
    assert!(error.starts_with(&format!("{shown}: metadata key 'absent' is missing")), "{error}");
    let error = file.metadata().u32("a.flag").unwrap_err().to_string();
    let at = file.metadata().offset("a.flag").unwrap();
    assert!(error.starts_with(&format!("{shown}: byte {at}: metadata key 'a.flag'")), "{error}");

    let (_folder, path) = file_with("empty.gguf", b"");
    let error = GgufFile::open(&path).unwrap_err();
    let expected =
        format!("{}: byte 0: the file is empty; fetch or export it again", path.display());
    assert_eq!(error.to_string(), expected);
}

#[test]
fn missing_files_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("absent.gguf");
    let error = GgufFile::open(&path).unwrap_err();
    let message = error.to_string();
    assert!(message.starts_with(&format!("{}: cannot open: ", path.display())), "{message}");
    assert!(message.ends_with("; check the path and its permissions"), "{message}");
    assert_eq!(error.offset(), None);
}

#[test]
fn g18_only_regular_files_are_opened() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |path: &Path, found: &str| {
        let expected = format!(
            "{}: is {found}, not a regular file; give the path of a GGUF file",
            path.display()
        );
        assert_eq!(GgufFile::open(path).unwrap_err().to_string(), expected);
    };
    refused(folder.path(), "a directory");
    #[cfg(unix)]
    {
        refused(Path::new("/dev/zero"), "a character device");
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        refused(&socket, "a socket");
        let fifo = folder.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.is_ok_and(|status| status.success()), "mkfifo is part of POSIX");
        refused(&fifo, "a FIFO");
    }
}

#[cfg(unix)]
#[test]
fn a_link_to_a_file_is_followed() {
    let (folder, path) = file_with("sample.gguf", &sample(false).0);
    let link = folder.path().join("link.gguf");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert_eq!(GgufFile::open(&link).unwrap().tensors().len(), 2);
}

#[test]
fn a_vocabulary_of_llama_3_s_size() {
    let tokens: u64 = 128_256;
    let merges: u64 = 280_147;
    let raw = Raw::file(0, 3).key("tokenizer.ggml.tokens", ARRAY).u32(STRING).u64(tokens);
    let raw = (0..tokens).fold(raw, |raw, i| raw.string(format!("token{i}").as_bytes()));
    let raw = raw.key("tokenizer.ggml.merges", ARRAY).u32(STRING).u64(merges);
    let raw = (0..merges).fold(raw, |raw, i| raw.string(format!("to {i}").as_bytes()));
    let raw = raw.key("last", U32).u32(7);
    let directory = Directory::parse(&raw.0).unwrap();
    let tokens: Strings = directory.metadata().require("tokenizer.ggml.tokens").unwrap();
    let merges: Strings = directory.metadata().require("tokenizer.ggml.merges").unwrap();
    assert_eq!((tokens.len(), merges.len()), (128_256, 280_147));
    assert_eq!(tokens.get(128_255).unwrap().as_bytes(), b"token128255");
    assert_eq!(merges.get(0).unwrap().as_bytes(), b"to 0");
    assert_eq!(merges.get(280_146).unwrap().as_bytes(), b"to 280146");
    assert_eq!(directory.metadata().u32("last").unwrap(), 7);
}

/// Vocabularies published with llama.cpp: file, tokenizer model, tokens, a token and its index.
const VOCABULARIES: [(&str, &str, usize, usize, &str); 4] = [
    ("deepseek-coder", "gpt2", 32_256, 0, "!"),
    ("falcon", "gpt2", 65_024, 11, "<|endoftext|>"),
    ("gpt-2", "gpt2", 50_257, 50_256, "<|endoftext|>"),
    ("llama-spm", "llama", 32_000, 1, "<s>"),
];

#[test]
fn real_vocabularies() {
    let folder =
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/vocab")).to_owned();
    if !folder.is_dir() {
        println!("not there, so not read: {}", folder.display());
        return;
    }
    for (name, model, count, index, token) in VOCABULARIES {
        let path = folder.join(format!("{name}.gguf"));
        let file = GgufFile::open(&path).unwrap_or_else(|error| panic!("{error}"));
        let metadata = file.metadata();
        assert_eq!(metadata.str("tokenizer.ggml.model").unwrap(), model, "{name}");
        let tokens = metadata.strings("tokenizer.ggml.tokens").unwrap();
        assert_eq!(tokens.len(), count, "{name}");
        assert_eq!(tokens.get(index).unwrap().as_str(), Ok(token), "{name}");
        assert_eq!(metadata.i32s("tokenizer.ggml.token_type").unwrap().len(), count, "{name}");
        assert_eq!(file.warnings(), [""; 0], "{name}");
        assert!(file.tensors().is_empty(), "{name}");

        // Downloads that broke off.
        let bytes = std::fs::read(&path).unwrap();
        for part in 1..50 {
            let length = bytes.len() / 50 * part;
            let error = Directory::parse(&bytes[..length]).unwrap_err().to_string();
            assert!(
                error.ends_with("incomplete, fetch or export it again"),
                "{name} {length}: {error}"
            );
        }
    }
}
