//! The frame codec against hand-laid bytes, every truncation of a frame, and random bytes.

use std::io::Cursor;

use proptest::prelude::*;

use super::super::{Answer, Request};
use super::*;
use crate::backend::Feed;

fn frame<B: Serialize>(id: u64, body: &B, arrays: &[Array]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let head = encode_head(id, body, arrays).unwrap();
    write_frame(&mut bytes, &head, arrays).unwrap();
    bytes
}

fn read(bytes: &[u8]) -> Result<Option<Message<Request>>, FrameError> {
    FrameReader::new(bytes).read(PAYLOAD_CAP)
}

fn error(bytes: &[u8]) -> String {
    read(bytes).unwrap_err().to_string()
}

fn with_header(json: &str) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend((json.len() as u32).to_le_bytes());
    bytes.extend(json.as_bytes());
    bytes
}

#[test]
fn a_frame_is_laid_out_as_documented() {
    let mut expected =
        with_header(r#"{"id":7,"body":{"call":"logits","feed":"steps"},"arrays":["u32"]}"#);
    expected.extend(8_u64.to_le_bytes());
    expected.extend([1, 0, 0, 0, 0x02, 0x01, 0, 0]);
    let request = Request::Logits { feed: Feed::Steps };
    assert_eq!(frame(7, &request, &[Array::U32(vec![1, 258])]), expected);
}

#[test]
fn frames_follow_one_another_until_the_input_ends() {
    let first = (1, Request::Hello {}, vec![]);
    let second = (2, Request::Detokenize {}, vec![Array::U32(vec![5]), Array::U8(vec![])]);
    let mut bytes = frame(first.0, &first.1, &first.2);
    bytes.extend(frame(second.0, &second.1, &second.2));

    let mut reader = FrameReader::new(bytes.as_slice());
    for (id, body, arrays) in [first, second] {
        let message = reader.read::<Request>(PAYLOAD_CAP).unwrap().unwrap();
        assert_eq!(message, Message { id, body, arrays });
    }
    assert_eq!(reader.read::<Request>(PAYLOAD_CAP).unwrap(), None);
}

#[test]
fn every_truncation_is_an_error_that_says_where() {
    let arrays = [Array::F32(vec![1.0, 2.0]), Array::U64(vec![3])];
    let whole = frame(1, &Request::Bye {}, &arrays);
    assert_eq!(read(&[]).unwrap(), None);
    for end in 1..whole.len() {
        match read(&whole[..end]).unwrap_err() {
            FrameError::Truncated { expected, got, .. } => assert!(got < expected, "at {end}"),
            other => panic!("at {end}: {other}"),
        }
    }
    assert_eq!(
        error(&whole[..2]),
        "expected 4 bytes of the magic, the input ended after 2: `\\xb1B`"
    );
    assert_eq!(
        error(&whole[..14]),
        format!(
            "expected {} bytes of the header, the input ended after 2: `{{\\\"`",
            whole.len() - 12 - 16 - 16
        )
    );
    assert_eq!(
        error(&whole[..whole.len() - 5]),
        "expected 8 bytes of array 1 from byte 0 of 8, the input ended after 3: `\\x03\\x00\\x00`"
    );
}

#[test]
fn a_stray_print_is_shown() {
    let text = "llama_model_loader: \x1b[1mloaded\x1b[0m\nmeta data";
    assert_eq!(
        error(text.as_bytes()),
        "expected a frame (magic `\\xb1BWP`), got `llama_model_loader: \
         \\x1b[1mloaded\\x1b[0m\\nmeta data`: only frames may go to standard output"
    );
    let long = "x".repeat(SHOWN + 1);
    assert!(error(long.as_bytes()).contains(&format!("got `{}…`", "x".repeat(SHOWN))));
}

#[test]
fn three_stray_bytes_are_an_error_without_waiting_for_more() {
    struct ThenSilence(Option<&'static [u8]>);
    impl Read for ThenSilence {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            let text = self.0.take().expect("a second read would wait for ever");
            bytes[..text.len()].copy_from_slice(text);
            Ok(text.len())
        }
    }
    let error = FrameReader::new(ThenSilence(Some(b"ok\n"))).read::<Request>(0).unwrap_err();
    assert!(error.to_string().contains(r"got `ok\n`"), "{error}");
}

#[test]
fn another_version_is_told_apart_from_garbage() {
    let mut bytes = frame(1, &Request::Hello {}, &[]);
    bytes[4..8].copy_from_slice(&2_u32.to_le_bytes());
    assert_eq!(error(&bytes), "expected a frame of protocol version 1, got version 2");
}

#[test]
fn lengths_are_refused_before_they_are_believed() {
    let mut header = with_header("");
    header[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(error(&header), "a header of 4294967295 bytes; at most 1048576 are allowed");

    let head = encode_head(1, &Request::Bye {}, &[Array::U8(vec![]), Array::F32(vec![])]).unwrap();
    let arrays = |first: u64, second: u64| {
        let mut bytes = head.clone();
        bytes.extend(first.to_le_bytes());
        bytes.extend(vec![0; usize::try_from(first).unwrap_or(0).min(64)]);
        bytes.extend(second.to_le_bytes());
        bytes
    };
    for (bytes, cap, message) in [
        (
            arrays(u64::MAX, 0),
            u64::MAX,
            "array 0 has 18446744073709551615 bytes; 4294967296 are left of the 4294967296 \
             allowed here",
        ),
        (arrays(11, 0), 10, "array 0 has 11 bytes; 10 are left of the 10 allowed here"),
        (arrays(8, 4), 10, "array 1 has 4 bytes; 2 are left of the 10 allowed here"),
        (arrays(0, 6), 10, "array 1 has 6 bytes, which is no whole number of F32 elements"),
    ] {
        let error = FrameReader::new(bytes.as_slice()).read::<Request>(cap).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn a_wrong_header_is_named_and_shown() {
    for (json, cause) in [
        ("", "EOF while parsing a value at line 1 column 0"),
        ("7", "invalid type: integer `7`, expected struct Header"),
        (r#"{"id":1,"arrays":[]}"#, "missing field `body`"),
        (r#"{"id":-1,"body":{"call":"bye"},"arrays":[]}"#, "invalid value: integer `-1`"),
        (r#"{"id":1,"body":{"call":"bye"},"arrays":["f64"]}"#, "unknown variant `f64`"),
        (r#"{"id":1,"body":{"call":"sing"},"arrays":[]}"#, "unknown variant `sing`"),
        (r#"{"id":1,"body":{"call":"bye","now":1},"arrays":[]}"#, "unknown field `now`"),
        (r#"{"id":1,"body":{"call":"generate"},"arrays":[]}"#, "missing field `steps`"),
        (r#"{"id":1,"body":{"call":"generate","step":1},"arrays":[]}"#, "unknown field `step`"),
        (r#"{"id":1,"body":{"call":"bye"},"arrays":[],"x":0}"#, "unknown field `x`"),
    ] {
        let message = error(&with_header(json));
        assert!(message.starts_with("expected a JSON header ("), "{message}");
        assert!(message.contains(cause), "{message:?} says {cause:?}");
        let shown = json.escape_default().to_string().replace("\\'", "'");
        assert!(message.ends_with(&format!("got `{shown}`")), "{message:?} shows {shown:?}");
    }
}

#[test]
fn an_answer_is_as_strict() {
    let identity = r#""identity":{"name":"a","version":"b","source":"c","build":"d","os":"e"}"#;
    for (body, cause) in [
        (format!(r#"{{"answer":"hello",{identity},"build":"f"}}"#), "unknown field `os`"),
        (r#"{"answer":"opened","vocab_size":1}"#.to_owned(), "missing field `context_length`"),
        (
            r#"{"answer":"tensors","tensors":[{"name":"a","occurrence":0,"shape":[1,2]}]}"#
                .to_owned(),
            "invalid length 2, expected an array of length 4",
        ),
    ] {
        let bytes = with_header(&format!(r#"{{"id":1,"body":{body},"arrays":[]}}"#));
        let error = FrameReader::new(bytes.as_slice()).read::<Answer>(0).unwrap_err().to_string();
        assert!(error.contains(cause), "{error:?} says {cause:?}");
    }
}

#[test]
fn a_header_that_is_too_long_is_not_written() {
    let names = vec!["x".repeat(1024); 1024];
    let error = encode_head(1, &Request::Tap { names }, &[]).unwrap_err().to_string();
    assert!(error.ends_with("bytes; at most 1048576 are allowed"), "{error}");
}

#[test]
fn arrays_longer_than_a_piece_keep_their_bits() {
    let bits = |index: u32| index.wrapping_mul(0x9E37_79B9) | 0x7F80_0000;
    let values: Vec<f32> = (0..3 * PIECE as u32 / 4 + 1).map(|i| f32::from_bits(bits(i))).collect();
    let count = values.len();
    let bytes = frame(1, &Answer::Logits { vocab_size: 1 }, &[Array::F32(values)]);
    let message = FrameReader::new(bytes.as_slice()).read::<Answer>(PAYLOAD_CAP).unwrap().unwrap();
    let [Array::F32(values)] = message.arrays.as_slice() else { panic!("one f32 array") };
    assert_eq!(values.len(), count);
    assert!(values.iter().zip(0..).all(|(value, index)| value.to_bits() == bits(index)));
    assert!(values.capacity() < count + PIECE, "room for the array and no second one");
}

proptest! {
    #[test]
    fn random_bytes_are_an_error_and_no_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..256),
        valid in 0..5_usize,
        cap in 0..512_u64,
    ) {
        // Longer and longer valid beginnings, so that the random part meets every reader.
        let head = encode_head(1, &Request::Bye {}, &[
            Array::U8(vec![]), Array::U32(vec![]), Array::U64(vec![]), Array::F32(vec![]),
        ]).unwrap();
        let mut input = head[..[0, 4, 8, 12, head.len()][valid]].to_vec();
        input.extend(&bytes);
        if let Ok(Some(message)) = FrameReader::new(input.as_slice()).read::<Request>(cap) {
            let reserved: usize = message.arrays.iter().map(|array| match array {
                Array::U8(values) => values.capacity(),
                Array::U32(values) => 4 * values.capacity(),
                Array::U64(values) => 8 * values.capacity(),
                Array::F32(values) => 4 * values.capacity(),
            }).sum();
            prop_assert!(reserved as u64 <= cap, "{reserved} bytes reserved, {cap} allowed");
        }
    }

    #[test]
    fn a_changed_byte_is_read_or_refused(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let arrays = [Array::U32(vec![1, 2, 3]), Array::F32(vec![0.5])];
        let mut bytes = frame(1, &Request::Logits { feed: Feed::Prefill }, &arrays);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let mut input = Cursor::new(&bytes);
        if let Ok(Some(message)) = FrameReader::new(&mut input).read::<Request>(1 << 16) {
            prop_assert!(message.arrays.len() <= 2);
        }
    }

    #[test]
    fn what_is_written_is_read_bit_for_bit(
        id in any::<u64>(),
        bytes in prop::collection::vec(any::<u8>(), 0..64),
        ids in prop::collection::vec(any::<u32>(), 0..64),
        nanos in prop::collection::vec(any::<u64>(), 0..64),
        bits in prop::collection::vec(any::<u32>(), 0..64),
    ) {
        let values = bits.iter().map(|&bits| f32::from_bits(bits)).collect();
        let arrays =
            [Array::U8(bytes), Array::U32(ids), Array::U64(nanos), Array::F32(values)];
        let written = frame(id, &Request::Detokenize {}, &arrays);
        let message = read(&written).unwrap().unwrap();
        prop_assert_eq!(message.id, id);
        prop_assert_eq!(&message.arrays[..3], &arrays[..3]);
        let Array::F32(values) = &message.arrays[3] else { panic!("an f32 array") };
        prop_assert_eq!(values.iter().map(|value| value.to_bits()).collect::<Vec<_>>(), bits);
    }
}
