//! What the writer writes: known bytes, its refusals, and that the reader gives back what went in.

mod support;

use std::io::{self, Read};

use bitnet_engine::gguf::{Array, Directory, GgufWriter, TensorType, Value, WriteError};
use proptest::prelude::*;
use support::*;

#[test]
fn the_bytes_of_a_small_file() {
    let norm: Vec<u8> = (0..5).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let mut ternary = vec![0x55; 64];
    ternary.extend_from_slice(&0.5f32.to_le_bytes());
    ternary.resize(96, 0);
    let write = || {
        let mut writer = GgufWriter::new();
        writer.str("general.architecture", "bitnet-b1.58").unwrap();
        writer.bool("a.flag", true).unwrap();
        writer.array("a.bytes", &[1u8, 2, 3]).unwrap();
        writer.f32("a.eps", 1e-5).unwrap();
        let tokens: [&[u8]; 4] = [b"a", b"", b"\xff\xfe", "Ġthe".as_bytes()];
        writer.strings("a.tokens", &tokens).unwrap();
        writer.array("a.types", &[1, 2, -1, 4]).unwrap();
        writer.strings::<&str>("a.empty", &[]).unwrap();
        writer.u32("a.width", 64).unwrap();
        writer.tensor_bytes("norm.weight", TensorType::F32, &[5], &norm).unwrap();
        writer
            .tensor("codes", TensorType::I8, &[3, 2, 2], |out| {
                (0..6).try_for_each(|_| out.write_all(&[7; 2]))
            })
            .unwrap();
        writer.tensor_reader("w", TensorType::I2S, &[128, 2], &ternary[..]).unwrap();
        let mut out = Vec::new();
        let length = writer.write(&mut out).unwrap();
        assert_eq!(length, out.len() as u64);
        out
    };
    assert_eq!(write(), sample(true).0);
    assert_eq!(write(), write());
}

#[test]
fn a_file_of_nothing() {
    let mut out = Vec::new();
    assert_eq!(GgufWriter::new().write(&mut out).unwrap(), 32);
    assert_eq!(out, Raw::file(0, 0).pad(32).0);
}

#[test]
fn the_alignment_is_a_key_like_others() {
    let mut writer = GgufWriter::new();
    writer.u32("general.alignment", 64).unwrap();
    writer.tensor_bytes("a", TensorType::I8, &[3], &[1, 2, 3]).unwrap();
    writer.tensor_bytes("b", TensorType::I8, &[1], &[4]).unwrap();
    let mut out = Vec::new();
    writer.write(&mut out).unwrap();
    let directory = Directory::parse(&out).unwrap();
    assert_eq!((directory.alignment(), directory.trailing_bytes()), (64, 0));
    let [a, b] = directory.tensors() else { panic!("two tensors") };
    assert_eq!((a.offset % 64, b.offset - a.offset, out.len() - b.offset), (0, 64, 64));
    assert_eq!((&out[a.range()], &out[b.range()]), (&[1, 2, 3][..], &[4][..]));
}

#[test]
fn what_no_reader_accepts_is_refused() {
    let message = |result: Result<&mut GgufWriter<'_>, WriteError>| match result {
        Ok(_) => panic!("was accepted"),
        Err(error) => error.to_string(),
    };
    let mut writer = GgufWriter::new();
    let mut refused = |key: &str, value: Value<'_>, words: &str| {
        assert_eq!(message(writer.value(key, value)), format!("not written: {words}"));
    };
    let power = "a power of two from 1 to 65536 is needed";
    let needed = "u32 is needed";
    refused("", Value::U8(1), "key is empty, at least one byte is needed");
    refused(
        "a\0",
        Value::U8(1),
        r"key 'a\0' contains a NUL byte, which readers written in C would take for its end",
    );
    refused(&"k".repeat(65_536), Value::U8(1), "key of 65536 bytes, at most 65535 are allowed");
    refused("general.alignment", Value::U32(13), &format!("'general.alignment' is 13, {power}"));
    refused(
        "general.alignment",
        Value::U64(32),
        &format!("'general.alignment' is of type u64, {needed}"),
    );
    assert_eq!(
        message(writer.str("general.alignment", "32")),
        format!("not written: 'general.alignment' is of type string, {needed}")
    );
    writer.u32("k", 1).unwrap();
    assert_eq!(
        message(writer.u32("k", 2)),
        "not written: key 'k' appears a second time; each may appear once"
    );

    let none: &[u8] = &[];
    let name = "n".repeat(64);
    assert_eq!(
        message(writer.tensor_bytes(&name, TensorType::I8, &[1], none)),
        "not written: tensor name of 64 bytes, at most 63 are allowed"
    );
    assert_eq!(
        message(writer.tensor_bytes("t", TensorType::Q8_0, &[33], none)),
        "not written: tensor 't' has 33 elements a row, which is no multiple of Q8_0's block of 32"
    );
    writer.tensor_bytes("t", TensorType::I8, &[1], &[1]).unwrap();
    assert_eq!(
        message(writer.tensor_bytes("t", TensorType::I8, &[1], &[1])),
        "not written: tensor name 't' appears a second time; each may appear once"
    );

    let mut out = Vec::new();
    writer.write(&mut out).unwrap();
    let directory = Directory::parse(&out).expect("what was refused left no trace");
    assert_eq!((directory.metadata().len(), directory.tensors().len()), (1, 1));
}

#[test]
fn a_source_must_give_exactly_the_tensor() {
    let write = |bytes: usize| {
        let mut writer = GgufWriter::new();
        writer
            .tensor("t", TensorType::F32, &[2], move |out| {
                (0..bytes).try_for_each(|_| out.write_all(&[0]))
            })
            .unwrap();
        writer.write(io::sink()).map_err(|error| error.to_string())
    };
    assert_eq!(write(8), Ok(96));
    let given =
        |n: u32| Err(format!("tensor 't': its source gave {n} bytes, its type and shape need 8"));
    assert_eq!(write(7), given(7));
    assert_eq!(write(9), given(9));
    assert_eq!(write(0), given(0));
}

#[test]
fn failures_of_source_and_output_are_told() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the source broke"))
        }
    }
    let mut writer = GgufWriter::new();
    writer.tensor_reader("t", TensorType::F32, &[2], Broken).unwrap();
    let error = writer.write(io::sink()).unwrap_err();
    assert_eq!(error.to_string(), "writing tensor 't': the source broke");

    let mut full = [0; 40];
    let mut writer = GgufWriter::new();
    writer.tensor_bytes("t", TensorType::I8, &[1], &[1]).unwrap();
    let error = writer.write(&mut full[..]).unwrap_err();
    assert_eq!(error.to_string(), "writing the header: failed to write whole buffer");
}

/// A value that owns what it holds.
#[derive(Debug, Clone)]
enum Owned {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    Bytes(Vec<u8>),
    U64(u64),
    I64(i64),
    F64(f64),
    Bools(Vec<bool>),
    U16s(Vec<u16>),
    I32s(Vec<i32>),
    F32s(Vec<f32>),
    U64s(Vec<u64>),
    F64s(Vec<f64>),
    Strings(Vec<Vec<u8>>),
}

fn value() -> impl Strategy<Value = Owned> {
    fn many<S: Strategy>(item: S) -> impl Strategy<Value = Vec<S::Value>> {
        prop::collection::vec(item, 0..6)
    }
    prop_oneof![
        any::<u8>().prop_map(Owned::U8),
        any::<i8>().prop_map(Owned::I8),
        any::<u16>().prop_map(Owned::U16),
        any::<i16>().prop_map(Owned::I16),
        any::<u32>().prop_map(Owned::U32),
        any::<i32>().prop_map(Owned::I32),
        any::<f32>().prop_map(Owned::F32),
        any::<bool>().prop_map(Owned::Bool),
        many(any::<u8>()).prop_map(Owned::Bytes),
        any::<u64>().prop_map(Owned::U64),
        any::<i64>().prop_map(Owned::I64),
        any::<f64>().prop_map(Owned::F64),
        many(any::<bool>()).prop_map(Owned::Bools),
        many(any::<u16>()).prop_map(Owned::U16s),
        many(any::<i32>()).prop_map(Owned::I32s),
        many(any::<f32>()).prop_map(Owned::F32s),
        many(any::<u64>()).prop_map(Owned::U64s),
        many(any::<f64>()).prop_map(Owned::F64s),
        many(many(any::<u8>())).prop_map(Owned::Strings),
    ]
}

fn add(writer: &mut GgufWriter<'_>, key: &str, value: &Owned) {
    let added = match value {
        Owned::U8(x) => writer.value(key, Value::U8(*x)),
        Owned::I8(x) => writer.value(key, Value::I8(*x)),
        Owned::U16(x) => writer.value(key, Value::U16(*x)),
        Owned::I16(x) => writer.value(key, Value::I16(*x)),
        Owned::U32(x) => writer.u32(key, *x),
        Owned::I32(x) => writer.value(key, Value::I32(*x)),
        Owned::F32(x) => writer.f32(key, *x),
        Owned::Bool(x) => writer.bool(key, *x),
        Owned::Bytes(x) => writer.str(key, x),
        Owned::U64(x) => writer.value(key, Value::U64(*x)),
        Owned::I64(x) => writer.value(key, Value::I64(*x)),
        Owned::F64(x) => writer.value(key, Value::F64(*x)),
        Owned::Bools(x) => writer.array(key, x),
        Owned::U16s(x) => writer.array(key, x),
        Owned::I32s(x) => writer.array(key, x),
        Owned::F32s(x) => writer.array(key, x),
        Owned::U64s(x) => writer.array(key, x),
        Owned::F64s(x) => writer.array(key, x),
        Owned::Strings(x) => writer.strings(key, x),
    };
    added.expect("a valid key and value");
}

fn same(found: Value<'_>, put_in: &Owned) -> bool {
    match (found, put_in) {
        (Value::U8(a), Owned::U8(b)) => a == *b,
        (Value::I8(a), Owned::I8(b)) => a == *b,
        (Value::U16(a), Owned::U16(b)) => a == *b,
        (Value::I16(a), Owned::I16(b)) => a == *b,
        (Value::U32(a), Owned::U32(b)) => a == *b,
        (Value::I32(a), Owned::I32(b)) => a == *b,
        (Value::F32(a), Owned::F32(b)) => a == *b,
        (Value::Bool(a), Owned::Bool(b)) => a == *b,
        (Value::String(a), Owned::Bytes(b)) => a.as_bytes() == b,
        (Value::U64(a), Owned::U64(b)) => a == *b,
        (Value::I64(a), Owned::I64(b)) => a == *b,
        (Value::F64(a), Owned::F64(b)) => a == *b,
        (Value::Array(Array::Bool(a)), Owned::Bools(b)) => a.to_vec() == *b,
        (Value::Array(Array::U16(a)), Owned::U16s(b)) => a.to_vec() == *b,
        (Value::Array(Array::I32(a)), Owned::I32s(b)) => a.to_vec() == *b,
        (Value::Array(Array::F32(a)), Owned::F32s(b)) => a.to_vec() == *b,
        (Value::Array(Array::U64(a)), Owned::U64s(b)) => a.to_vec() == *b,
        (Value::Array(Array::F64(a)), Owned::F64s(b)) => a.to_vec() == *b,
        (Value::Array(Array::String(a)), Owned::Strings(b)) => {
            a.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>() == *b
        }
        _ => false,
    }
}

type Tensor = (TensorType, Vec<usize>, Vec<u8>);

fn tensor() -> impl Strategy<Value = Tensor> {
    let sized: Vec<TensorType> = TensorType::all().filter(|t| t.block_size().is_some()).collect();
    let shape = prop::collection::vec(1usize..4, 1..=4);
    (prop::sample::select(sized), shape, any::<u8>()).prop_map(|(tensor_type, mut dims, seed)| {
        dims[0] *= tensor_type.block_size().expect("chosen for having one");
        let size = tensor_type.tensor_bytes(&dims).expect("a valid shape");
        let data = (0..size).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect();
        (tensor_type, dims, data)
    })
}

/// Keys and names unlike each other, in no order: an index makes them unique.
fn named<T>(prefixes: &[String], things: Vec<T>) -> Vec<(String, T)> {
    let name = |i: usize| format!("{}{}", prefixes[i % prefixes.len()], things.len() - i);
    let names: Vec<String> = (0..things.len()).map(name).collect();
    names.into_iter().zip(things).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_was_written_is_read(
        prefixes in prop::collection::vec("[a-zé.]{0,5}_", 1..3),
        values in prop::collection::vec(value(), 0..12),
        tensors in prop::collection::vec(tensor(), 0..5),
        alignment in prop::option::of(0u32..9),
    ) {
        let keys = named(&prefixes, values);
        let tensors = named(&prefixes, tensors);
        let mut writer = GgufWriter::new();
        for (key, value) in &keys {
            add(&mut writer, key, value);
        }
        if let Some(power) = alignment {
            writer.u32("general.alignment", 1 << power).unwrap();
        }
        for (name, (tensor_type, dims, data)) in &tensors {
            writer.tensor_bytes(name, *tensor_type, dims, data).unwrap();
        }
        let mut file = Vec::new();
        let length = writer.write(&mut file).unwrap();
        prop_assert_eq!(length, file.len() as u64);

        let directory = Directory::parse(&file).unwrap();
        prop_assert_eq!(directory.trailing_bytes(), 0);
        prop_assert_eq!(directory.alignment(), alignment.map_or(32, |power| 1 << power));
        let metadata = directory.metadata();
        prop_assert_eq!(metadata.len(), keys.len() + usize::from(alignment.is_some()));
        for ((key, value), (expected_key, expected)) in metadata.iter().zip(&keys) {
            prop_assert_eq!(key, expected_key);
            prop_assert!(same(value, expected), "{}: {:?} is not {:?}", key, value, expected);
        }
        prop_assert_eq!(directory.tensors().len(), tensors.len());
        for (info, (name, (tensor_type, dims, data))) in directory.tensors().iter().zip(&tensors) {
            prop_assert_eq!(&*info.name, name.as_str());
            prop_assert_eq!(info.tensor_type, *tensor_type);
            prop_assert_eq!(&*info.dims, dims.as_slice());
            prop_assert_eq!(&file[info.range()], data.as_slice());
        }

        // A copy made of what was read is the same file, which is what quantising relies on.
        let mut copy = GgufWriter::new();
        for (key, value) in metadata.iter() {
            copy.value(key, value).unwrap();
        }
        for t in directory.tensors() {
            copy.tensor_bytes(&t.name, t.tensor_type, &t.dims, &file[t.range()]).unwrap();
        }
        let mut copied = Vec::new();
        copy.write(&mut copied).unwrap();
        prop_assert_eq!(copied, file);
    }
}
