//! Malformed GGUF files: each must be refused at the right byte with the right words.
//!
//! The ids in capitals are those of llama.cpp's `tests/test-gguf.cpp`; `Gnn` those of our own list.

mod support;

use bitnet_engine::gguf::{Directory, GgufError};
use support::*;

/// The id, the file, and what its error says: `byte <offset>: <this>`.
type Bad = (&'static str, Raw, usize, String);

fn check(cases: Vec<Bad>) {
    let mut wrong = Vec::new();
    for (id, raw, offset, words) in cases {
        let expected = format!("byte {offset}: {words}");
        match Directory::parse(&raw.0) {
            Ok(_) => wrong.push(format!("{id}: was accepted, expected\n    {expected}")),
            Err(error) => {
                let message = error.to_string();
                let same_offset = error.offset() == Some(offset as u64);
                if !message.starts_with(&expected) || !same_offset {
                    wrong.push(format!("{id}: gave\n    {message}\n  expected\n    {expected}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn bad(id: &'static str, raw: Raw, offset: usize, words: impl Into<String>) -> Bad {
    (id, raw, offset, words.into())
}

fn accept(id: &str, raw: &Raw) -> Directory {
    Directory::parse(&raw.0).unwrap_or_else(|error| panic!("{id} was refused: {error}"))
}

/// A file of one key whose value begins at byte 37: 24 of header, 8 + 1 of key, 4 of type.
fn one_key(value_type: u32) -> Raw {
    Raw::file(0, 1).key("k", value_type)
}

/// A file of one tensor `t`; its dimensions begin at byte 33.
fn one_tensor(dims: &[u64], tensor_type: u32, offset: u64) -> Raw {
    Raw::file(1, 0).tensor("t", dims, tensor_type, offset).pad(32).zeros(64)
}

fn aligned(alignment: u32, tensors: u64) -> Raw {
    Raw::file(tensors, 1).key("general.alignment", U32).u32(alignment)
}

/// Two tensors of 20 and 32 bytes, the second at `offset`; its offset's own position.
fn two_tensors(offset: u64) -> (Raw, usize) {
    let raw = Raw::file(2, 0).tensor("a", &[5], T_F32, 0).tensor("b", &[8], T_F32, offset);
    let position = raw.len() - 8;
    (raw.pad(32).zeros(64), position)
}

#[test]
fn header() {
    let magic = |bytes: &[u8]| Raw(bytes.to_vec()).u32(3).u64(0).u64(0);
    let version = |v: u32| Raw(b"GGUF".to_vec()).u32(v).u64(0).u64(0);
    check(vec![
        bad("empty file", Raw(vec![]), 0, "the file is empty; fetch or export it again"),
        bad(
            "HEADER_BAD_MAGIC",
            magic(b"FUGG"),
            0,
            r#"not a GGUF file: it begins with "FUGG", a GGUF file with "GGUF"; check the path"#,
        ),
        bad(
            "unprintable magic",
            magic(b"\x1b[2J"),
            0,
            r#"not a GGUF file: it begins with "\x1b[2J""#,
        ),
        bad(
            "HEADER_BAD_VERSION_0",
            version(0),
            4,
            "GGUF version 0 is not known; versions 2 and 3 are read",
        ),
        bad(
            "HEADER_BAD_VERSION_1",
            version(1),
            4,
            "GGUF version 1 is no longer read, versions 2 and 3 are; export the model again with a tool",
        ),
        bad(
            "HEADER_BAD_VERSION_FUTURE",
            version(4),
            4,
            "GGUF version 4 is not known; versions 2 and 3 are read; export the model again with",
        ),
        bad(
            "G03_big_endian",
            version(3u32.swap_bytes()),
            4,
            "the file is big-endian: its version field reads 0x03000000; only little-endian files are \
             read; export the model as little-endian",
        ),
        bad(
            "HEADER_BAD_N_TENSORS",
            Raw::file(u64::MAX, 0),
            8,
            "number of tensors: 18446744073709551615 claimed, but the 0 bytes that follow hold at \
             most 0",
        ),
        bad(
            "HEADER_BAD_N_KV",
            Raw::file(0, u64::MAX).zeros(29),
            16,
            "number of keys: 18446744073709551615 claimed, but the 29 bytes that follow hold at \
             most 2",
        ),
        bad(
            "too many keys",
            Raw::file(0, 65_537).zeros(65_537 * 14),
            16,
            "number of keys: 65537 claimed, at most 65536 are read",
        ),
        bad(
            "too many tensors",
            Raw::file((1 << 20) + 1, 0).zeros(33 * ((1 << 20) + 1)),
            8,
            "number of tensors: 1048577 claimed, at most 1048576 are read",
        ),
    ]);
    let empty = accept("HEADER_EMPTY", &Raw::file(0, 0));
    assert_eq!((empty.version(), empty.alignment()), (3, 32));
    assert!(empty.metadata().is_empty() && empty.tensors().is_empty());
    assert_eq!(accept("version 2", &version(2)).version(), 2);
}

#[test]
fn keys() {
    check(vec![
        bad(
            "KV_BAD_KEY_SIZE",
            Raw::file(0, 1).u64(u64::MAX).zeros(20),
            24,
            "key of 18446744073709551615 bytes, at most 65535 are allowed",
        ),
        bad(
            "G05_key_too_long",
            Raw::file(0, 1).string(&vec![b'x'; 65_536]).u32(U8).u8(0),
            24,
            "key of 65536 bytes, at most 65535 are allowed",
        ),
        bad(
            "key beyond the end",
            Raw::file(0, 1).u64(100).zeros(20),
            32,
            "the file ends inside key: 100 bytes needed, 20 left",
        ),
        bad(
            "KV_EMPTY_KEY",
            Raw::file(0, 1).key("", U32).u32(0),
            24,
            "key is empty, at least one byte is needed",
        ),
        bad(
            "G05_key_not_utf8",
            Raw::file(0, 1).string(b"a\xff\x1b").u32(U8).u8(0),
            24,
            r"key 'a\xff\u{1b}' is not UTF-8",
        ),
        bad(
            "G05_key_with_nul",
            Raw::file(0, 1).string(b"a\0b").u32(U8).u8(0),
            24,
            r"key 'a\0b' contains a NUL byte",
        ),
        bad(
            "KV_DUPLICATE_KEY, G13",
            Raw::file(0, 4)
                .key("b", U8)
                .u8(1)
                .key("a", U8)
                .u8(1)
                .key("b", U8)
                .u8(2)
                .key("b", U8)
                .u8(3),
            24 + 14 + 14,
            "key 'b' appears a second time; each may appear once",
        ),
        bad(
            "KV_BAD_TYPE",
            one_key(13).zeros(8),
            33,
            "key 'k' has the unknown value type 13, known are 0 to 12",
        ),
        bad(
            "type of all ones",
            one_key(u32::MAX).zeros(8),
            33,
            "key 'k' has the unknown value type 4294967295",
        ),
    ]);
    accept("longest key", &Raw::file(0, 1).string(&vec![b'x'; 65_535]).u32(U8).u8(0));
}

#[test]
fn values() {
    check(vec![
        bad("G04_bool_2", one_key(BOOL).u8(2), 37, "key 'k' has the bool 2, allowed are 0 and 1"),
        bad(
            "G04_bool_in_array",
            one_key(ARRAY).u32(BOOL).u64(3).put(&[1, 0, 0xff]),
            51,
            "key 'k' has the bool 255, allowed are 0 and 1",
        ),
        bad(
            "KV_BAD_VALUE_SIZE",
            one_key(STRING).u64(u64::MAX).zeros(8),
            37,
            "a string value of 18446744073709551615 bytes, at most 67108864 are allowed",
        ),
        bad(
            "string beyond the end",
            one_key(STRING).u64(9).zeros(8),
            45,
            "the file ends inside a string value: 9 bytes needed, 8 left",
        ),
        bad(
            "array beyond the end",
            one_key(ARRAY).u32(U32).u64(3).zeros(11),
            41,
            "items of an array: 3 claimed, but the 11 bytes that follow hold at most 2",
        ),
        bad(
            "array whose size wraps",
            one_key(ARRAY).u32(U32).u64((1 << 62) + 1).zeros(16),
            41,
            "items of an array: 4611686018427387905 claimed, but the 16 bytes that follow hold at \
             most 4",
        ),
        bad(
            "array of strings beyond the end",
            one_key(ARRAY).u32(STRING).u64(3).zeros(23),
            41,
            "items of an array: 3 claimed, but the 23 bytes that follow hold at most 2",
        ),
        bad(
            "string in array beyond the end",
            one_key(ARRAY).u32(STRING).u64(2).string(b"ab").u64(2).u8(0),
            67,
            "the file ends inside a string value: 2 bytes needed, 1 left",
        ),
        bad(
            "too many items",
            one_key(ARRAY).u32(U8).u64((1 << 26) + 1).zeros((1 << 26) + 1),
            41,
            "items of an array: 67108865 claimed, at most 67108864 are read",
        ),
        bad(
            "G07_item_type_invalid",
            one_key(ARRAY).u32(13).u64(1).zeros(8),
            37,
            "key 'k' has the unknown value type 13",
        ),
        bad(
            "G07_item_type_array_of_none",
            one_key(ARRAY).u32(ARRAY).u64(0),
            37,
            "key 'k' is an array of arrays, which no reader of GGUF supports",
        ),
    ]);
    let empty = accept("G07_length_0", &one_key(ARRAY).u32(U32).u64(0));
    assert_eq!(format!("{:?}", empty.metadata().get("k")), "Some(Array(U32([])))");
    accept("KV_SUCCESS", &Raw(sample(false).0));
}

#[test]
fn g06_nested_arrays() {
    let cases = (1..=1000).map(|depth| {
        let raw = (0..depth).fold(one_key(ARRAY), |raw, _| raw.u32(ARRAY).u64(1));
        bad("G06", raw.u32(U8).u64(1).u8(0), 37, "key 'k' is an array of arrays")
    });
    check(cases.collect());
}

#[test]
fn alignment() {
    let value = 24 + 8 + "general.alignment".len() + 4;
    let power =
        |n: u32| format!("'general.alignment' is {n}, a power of two from 1 to 65536 is needed");
    let tensor = |raw: Raw| raw.tensor("t", &[8], T_F32, 0).pad(32).zeros(64);
    let twice = aligned(32, 0).key("general.alignment", U32).u32(64);
    check(vec![
        bad("KV_BAD_ALIGN", aligned(13, 0), value, power(13)),
        bad("TENSORS_BAD_ALIGN", tensor(aligned(13, 1)), value, power(13)),
        bad("DATA_BAD_ALIGN", tensor(aligned(13, 1)).zeros(100), value, power(13)),
        bad("G08_alignment_0", tensor(aligned(0, 1)), value, power(0)),
        bad("G08_alignment_3", tensor(aligned(3, 1)), value, power(3)),
        bad("G08_alignment_2^31", tensor(aligned(1 << 31, 1)), value, power(1 << 31)),
        bad(
            "KV_WRONG_TYPE_ALIGN",
            Raw::file(0, 1).key("general.alignment", I32).u32(32),
            value,
            "'general.alignment' is of type i32, u32 is needed",
        ),
        bad(
            "G08_alignment_string",
            Raw::file(0, 1).key("general.alignment", STRING).string(b"32"),
            value,
            "'general.alignment' is of type string, u32 is needed",
        ),
        bad(
            "G08_alignment_twice",
            Raw(twice.0).patch_keys(2),
            value + 4,
            "key 'general.alignment' appears a second time",
        ),
    ]);
    assert_eq!(accept("G08_alignment_1", &aligned(1, 0)).alignment(), 1);
    assert_eq!(accept("largest alignment", &aligned(1 << 16, 0)).alignment(), 1 << 16);
}

#[test]
fn tensor_names() {
    let named = |name: &[u8]| {
        let raw = Raw::file(1, 0).string(name).u32(1).u64(8).u32(T_F32).u64(0);
        raw.pad(32).zeros(32)
    };
    check(vec![
        bad(
            "TENSORS_BAD_NAME_SIZE",
            named(&[b'n'; 64]),
            24,
            "tensor name of 64 bytes, at most 63 are allowed",
        ),
        bad("empty name", named(b"").zeros(33), 24, "tensor name is empty"),
        bad("name with NUL", named(b"a\0"), 24, r"tensor name 'a\0' contains a NUL byte"),
        bad("name not UTF-8", named(b"\xc3("), 24, r"tensor name '\xc3(' is not UTF-8"),
        bad(
            "TENSORS_DUPLICATE_NAME, G13",
            Raw::file(3, 0)
                .tensor("b", &[8], T_F32, 0)
                .tensor("a", &[4, 2], T_F32, 32)
                .tensor("b", &[8], T_F32, 64)
                .pad(32)
                .zeros(96),
            24 + 33 + 41,
            "tensor name 'b' appears a second time; each may appear once",
        ),
    ]);
    accept("longest name", &named(&[b'n'; 63]));
}

#[test]
fn shapes() {
    const MAX: u64 = i64::MAX as u64;
    let dimensions = |n: u32| format!("tensor 't' has {n} dimensions, allowed are 1 to 4");
    let overflow = "tensor 't' is too large: its number of elements or bytes overflows";
    check(vec![
        bad("G09_n_dims_0", one_tensor(&[], T_F32, 0), 33, dimensions(0)),
        bad("TENSORS_BAD_N_DIMS", one_tensor(&[1; 5], T_F32, 0), 33, dimensions(5)),
        bad(
            "n_dims of all ones",
            Raw::file(1, 0).string(b"t").u32(u32::MAX).zeros(64),
            33,
            dimensions(u32::MAX),
        ),
        bad("TENSORS_BAD_SHAPE", one_tensor(&[u64::MAX], T_F32, 0), 33, overflow),
        bad(
            "TENSORS_ZERO_DIM, which llama.cpp accepts since 2026",
            one_tensor(&[8, 0], T_F32, 0),
            33,
            "tensor 't' has 0 elements in dimension 1, at least 1 is needed",
        ),
        bad("TENSORS_NE_TOO_BIG", one_tensor(&[4 * 0x7fff_ffff; 4], T_F32, 0), 33, overflow),
        bad("G09_product_overflow", one_tensor(&[MAX, 2, 1, 1], T_I8, 0), 33, overflow),
        bad("2^63 elements", one_tensor(&[1 << 63], T_I8, 0), 33, overflow),
        bad("TENSORS_NBYTES_TOO_BIG", one_tensor(&[1 << 61, 2], 27, 0), 33, overflow),
        bad(
            "G09_row_no_multiple_of_block",
            one_tensor(&[48, 2], 8, 0),
            33,
            "tensor 't' has 48 elements a row, which is no multiple of Q8_0's block of 32",
        ),
        bad(
            "a whole number of blocks, but not in each row",
            one_tensor(&[128, 2], 35, 0),
            33,
            "tensor 't' has 128 elements a row, which is no multiple of TQ2_0's block of 256",
        ),
        bad(
            "G10_i2_s_no_multiple_of_4",
            one_tensor(&[5, 2], T_I2_S, 0),
            33,
            "tensor 't' has 10 elements in all, which is no multiple of I2_S's block of 4",
        ),
    ]);
}

#[test]
fn tensor_types() {
    let unknown = |id: u32| format!("tensor 't' has the unknown ggml type {id}");
    let at = 24 + 9 + 4 + 8;
    let mut cases: Vec<Bad> = [4, 5, 31, 32, 33, 40, 41, 255, 1 << 31, u32::MAX]
        .into_iter()
        .map(|id| bad("TENSORS_BAD_TYPE, G10", one_tensor(&[256], id, 0), at, unknown(id)))
        .collect();
    cases.push(bad(
        "G10_TL1",
        one_tensor(&[250], 38, 0),
        33,
        "tensor 't' has 250 elements in all, which is no multiple of TL1's block of 4; the file is",
    ));
    cases.push(bad(
        "G10_TL2",
        one_tensor(&[256], 39, 0),
        33,
        "tensor 't' is of type TL2 (ggml type 39 of bitnet.cpp; MXFP4 in llama.cpp), but no matrix with \
         rows of at least 256 elements; convert the model to I2_S, TQ1_0 or TQ2_0",
    ));
    let mxfp4 = Raw::file(2, 0).tensor("t", &[256, 4], 39, 0);
    let at = mxfp4.len() + 9 + 4 + 8 + 4;
    cases.push(bad(
        "G10_MXFP4",
        mxfp4.tensor("u", &[1], T_F32, 256 * 4 / 32 * 17).pad(32).zeros(1024),
        at,
        "tensor 't' is of type MXFP4 (ggml type 39 of llama.cpp; TL2 in bitnet.cpp); convert the model \
         to I2_S, TQ1_0 or TQ2_0",
    ));
    check(cases);
}

#[test]
fn offsets() {
    let second = |id, offset: u64, words: &str| {
        let (raw, position) = two_tensors(offset);
        bad(id, raw, position, format!("tensor 'b' has data offset {offset}, {words}"))
    };
    let first = |id, offset: u64, words: &str| {
        let words = format!("tensor 't' has data offset {offset}, {words}");
        bad(id, one_tensor(&[8], T_F32, offset), 24 + 9 + 4 + 8 + 4, words)
    };
    let unaligned = "not a multiple of the alignment 32";
    check(vec![
        second("TENSORS_INCONSISTENT_ALIGN", 20, unaligned),
        second("DATA_INCONSISTENT_ALIGN", 52, unaligned),
        second("G11_unaligned", 33, unaligned),
        second("TENSORS_BAD_OFFSET, G11_u64_max", u64::MAX, unaligned),
        second("G11_overlap", 0, "but the tensors before it reach to 32: they overlap"),
        second("G11_gap", 64, "but the tensors before it end at 32: there is a gap"),
        second(
            "G11_past_end_of_file",
            1 << 40,
            "but the tensors before it end at 32: there is a gap",
        ),
        second(
            "largest aligned offset",
            u64::MAX - 31,
            "but the tensors before it end at 32: there is a gap",
        ),
        first("first tensor not at 0", 32, "but the tensors before it end at 0: there is a gap"),
        {
            let raw = Raw::file(2, 0).tensor("a", &[8], T_F32, 32).tensor("b", &[8], T_F32, 0);
            let words = "tensor 'a' has data offset 32, but the tensors before it end at 0";
            bad("G11_descending", raw.pad(32).zeros(64), 24 + 9 + 4 + 8 + 4, words)
        },
        {
            let raw =
                Raw::file(2, 0).tensor("w", &[128, 2], T_I2_S, 0).tensor("n", &[8], T_F32, 64);
            let position = raw.len() - 8;
            let words = "tensor 'n' has data offset 64, but the tensors before it reach to 96: they \
                         overlap";
            bad("G10_i2_s_without_its_tail", raw.pad(32).zeros(128), position, words)
        },
        {
            let raw =
                Raw::file(2, 0).tensor("w", &[128, 2], T_I2_S, 0).tensor("n", &[8], T_F32, 128);
            let position = raw.len() - 8;
            let words = "tensor 'n' has data offset 128, but the tensors before it end at 96: there \
                         is a gap";
            bad("G10_i2_s_too_large", raw.pad(32).zeros(192), position, words)
        },
    ]);
    accept("TENSORS_SUCCESS", &two_tensors(32).0);
    let custom = aligned(1, 2).tensor("a", &[5], T_F32, 0).tensor("b", &[8], T_F32, 20);
    let custom = accept("TENSORS_CUSTOM_ALIGN, DATA_CUSTOM_ALIGN", &custom.zeros(52));
    assert_eq!(custom.tensors()[1].offset - custom.tensors()[0].offset, 20);
}

#[test]
fn data() {
    let huge = 0x7fff_ffff_ffff_ffc0;
    let overflow = Raw::file(3, 0)
        .tensor("a", &[huge], T_I8, 0)
        .tensor("b", &[huge], T_I8, huge)
        .tensor("c", &[huge], T_I8, huge.wrapping_mul(2));
    let overflow_at = 24 + 3 * 33 - 8;
    let two_huge = Raw::file(2, 0).tensor("a", &[huge], T_I8, 0).tensor("b", &[huge], T_I8, huge);
    let missing = |mut raw: Raw, n: usize| {
        raw.0.truncate(raw.len() - n);
        raw
    };
    let whole = Raw::file(1, 0).tensor("t", &[8], T_F32, 0).pad(32).zeros(32);
    let padded = Raw::file(1, 0).tensor("t", &[5], T_F32, 0).pad(32).zeros(32);
    let i2_s = Raw::file(1, 0).tensor("t", &[128], T_I2_S, 0).pad(32).zeros(64);
    let ends = |name: &str, end: u64, length: usize| {
        format!(
            "the data of tensor '{name}' with its padding ends at byte {end}, but the file has \
             {length} bytes; the file is damaged or incomplete, fetch or export it again"
        )
    };
    check(vec![
        bad("DATA_NOT_ENOUGH_DATA, G12", missing(whole.clone(), 1), 95, ends("t", 96, 95)),
        bad("no data at all", missing(whole.clone(), 32), 64, ends("t", 96, 64)),
        bad("not even the padding before it", missing(whole.clone(), 39), 57, ends("t", 96, 57)),
        bad("last byte of padding missing", missing(padded.clone(), 1), 95, ends("t", 96, 95)),
        bad("G10_i2_s_last_byte_missing", missing(i2_s.clone(), 1), 127, ends("t", 128, 127)),
        bad(
            "DATA_MEM_SIZE_OVERFLOW",
            two_huge.pad(32).zeros(64),
            24 + 66 + 6 + 64,
            ends("a", huge + 96, 160),
        ),
        bad("sum beyond 64 bits", overflow, overflow_at, "tensor 'c' ends beyond what 64 bits"),
    ]);
    for (id, raw) in [("DATA_SUCCESS", whole), ("padded", padded), ("I2_S", i2_s)] {
        assert_eq!(accept(id, &raw).trailing_bytes(), 0, "{id}");
        assert_eq!(accept(id, &raw.zeros(1)).trailing_bytes(), 1, "{id}");
    }
}

#[test]
fn g17_shards() {
    let at = 24 + 8 + "split.count".len() + 4;
    let split =
        |value_type: u32, value: &[u8]| Raw::file(0, 1).key("split.count", value_type).put(value);
    check(vec![
        bad(
            "u16",
            split(2, &[3, 0]),
            at,
            "the file is one of the 3 shards of a split model ('split.count'), which are not read; \
             merge the shards first (llama-gguf-split --merge)",
        ),
        bad("u32", split(U32, &[2, 0, 0, 0]), at, "the file is one of the 2 shards"),
        bad("negative", split(3, &[0xff; 2]), at, "the file is one of the -1 shards"),
        bad("bool", split(BOOL, &[1]), at, "'split.count' is of type bool, an integer is needed"),
    ]);
    accept("one shard is a whole model", &split(2, &[1, 0]));
}

#[test]
fn g01_every_prefix_is_refused() {
    for with_i2_s in [false, true] {
        let (file, _) = sample(with_i2_s);
        Directory::parse(&file).expect("the whole file is valid");
        for length in 1..file.len() {
            let error = Directory::parse(&file[..length]).expect_err("a prefix is no file");
            assert!(matches!(error, GgufError::Malformed { .. }), "{length}: {error}");
            let message = error.to_string();
            let incomplete = message.ends_with("incomplete, fetch or export it again");
            assert!(incomplete, "{length} of {}: {message}", file.len());
        }
    }
}

impl Raw {
    /// The same bytes with another number of keys in the header.
    fn patch_keys(mut self, keys: u64) -> Raw {
        self.0[16..24].copy_from_slice(&keys.to_le_bytes());
        self
    }
}
