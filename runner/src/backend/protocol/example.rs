//! The example exchange in `docs/worker-protocol.md`: what it must show, and that its bytes are
//! what they are said to be. Test code only.

use std::fmt::Write;

use super::*;
use crate::backend::Feed;

const DOC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/worker-protocol.md");

/// A NaN that carries a payload: its bits must arrive.
const NAN: u32 = 0x7FC0_1234;

enum Body {
    Runner(Request),
    Worker(Answer),
}

fn exchange() -> Vec<(u64, Body, Vec<Array>)> {
    let identity = Identity {
        name: "my-engine".to_owned(),
        version: "0.3.0".to_owned(),
        source: "commit 1f0c9d2".to_owned(),
        build: "gcc 12.2 -O3".to_owned(),
    };
    let open =
        Request::Open { model: "/models/tiny.gguf".to_owned(), context: 64, threads: 2, isa: None };
    let opened = Answer::Opened { vocab_size: 3, context_length: 4096, bos: Some(1), eos: Some(2) };
    let rows = [0.5, -1.0, 2.0, 0.0, f32::from_bits(NAN), f32::NEG_INFINITY];
    let message = "my-engine cannot read out intermediate tensors".to_owned();
    vec![
        (1, Body::Runner(Request::Hello {}), vec![]),
        (1, Body::Worker(Answer::Hello { identity, build: String::new() }), vec![]),
        (2, Body::Runner(open), vec![]),
        (2, Body::Worker(opened), vec![]),
        (3, Body::Runner(Request::Logits { feed: Feed::Prefill }), vec![Array::U32(vec![1, 258])]),
        (3, Body::Worker(Answer::Logits { vocab_size: 3 }), vec![Array::F32(rows.to_vec())]),
        (
            4,
            Body::Runner(Request::Tap { names: vec!["l_out-0".to_owned()] }),
            vec![Array::U32(vec![1])],
        ),
        (4, Body::Worker(Answer::Refused { message }), vec![]),
        (5, Body::Runner(Request::Bye {}), vec![]),
        (5, Body::Worker(Answer::Bye {}), vec![]),
    ]
}

fn encode(id: u64, body: &Body, arrays: &[Array]) -> Vec<u8> {
    let head = match body {
        Body::Runner(request) => encode_head(id, request, arrays),
        Body::Worker(answer) => encode_head(id, answer, arrays),
    };
    let mut bytes = Vec::new();
    write_frame(&mut bytes, &head.unwrap(), arrays).unwrap();
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// The section of the document that holds the example.
fn render() -> String {
    let mut text = String::new();
    for (id, body, arrays) in exchange() {
        let (from, name) = match &body {
            Body::Runner(request) => ("Runner", request.name()),
            Body::Worker(answer) => ("Worker", answer.name()),
        };
        let bytes = encode(id, &body, &arrays);
        let length = u32::from_le_bytes(bytes[8..12].try_into().unwrap()) as usize;
        let (json, mut rest) = bytes[12..].split_at(length);
        writeln!(text, "{from}: `{name}`\n\n```frame").unwrap();
        writeln!(text, "hex  {}  # magic", hex(&bytes[..4])).unwrap();
        writeln!(text, "hex  {}  # protocol version", hex(&bytes[4..8])).unwrap();
        writeln!(text, "hex  {}  # {length} bytes of header", hex(&bytes[8..12])).unwrap();
        writeln!(text, "utf8 {}", str::from_utf8(json).unwrap()).unwrap();
        for (index, array) in arrays.iter().enumerate() {
            let count = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            let values = match array {
                Array::U32(values) => format!("u32 {values:?}"),
                Array::F32(values) => format!("f32 {values:?}"),
                other => panic!("the example has no {:?} array", other.element()),
            };
            writeln!(text, "hex  {}  # array {index}: {count} bytes", hex(&rest[..8])).unwrap();
            writeln!(text, "hex  {}  # {values}", hex(&rest[8..8 + count])).unwrap();
            rest = &rest[8 + count..];
        }
        assert!(rest.is_empty(), "the frame ends with its arrays");
        text.push_str("```\n\n");
    }
    text
}

/// The bytes of every ```` ```frame ```` block of the document.
fn parse(document: &str) -> Vec<Vec<u8>> {
    let blocks = document.split("```frame\n").skip(1);
    blocks
        .map(|block| {
            let (block, _) = block.split_once("```").expect("the block ends");
            let mut bytes = Vec::new();
            for line in block.lines() {
                match line.split_at(5) {
                    ("utf8 ", text) => bytes.extend(text.as_bytes()),
                    ("hex  ", digits) => {
                        let digits = digits.split('#').next().unwrap_or("").split_whitespace();
                        bytes.extend(digits.map(|byte| u8::from_str_radix(byte, 16).unwrap()));
                    }
                    _ => panic!("expected `hex` or `utf8`, got {line:?}"),
                }
            }
            bytes
        })
        .collect()
}

#[test]
fn the_document_shows_the_exchange() {
    let document = std::fs::read_to_string(DOC).unwrap();
    let expected = render();
    assert!(
        document.contains(&expected),
        "docs/worker-protocol.md must contain this text:\n\n{expected}"
    );
}

#[test]
fn the_documented_bytes_are_what_they_are_said_to_be() {
    let frames = parse(&std::fs::read_to_string(DOC).unwrap());
    assert_eq!(frames.len(), exchange().len());
    for (bytes, (id, body, arrays)) in frames.iter().zip(exchange()) {
        let mut reader = FrameReader::new(bytes.as_slice());
        let (read, expected) = match body {
            Body::Runner(request) => {
                let message = reader.read::<Request>(PAYLOAD_CAP).unwrap().unwrap();
                assert_eq!(message.body, request);
                ((message.id, message.arrays), (id, arrays))
            }
            Body::Worker(answer) => {
                let message = reader.read::<Answer>(PAYLOAD_CAP).unwrap().unwrap();
                assert_eq!(message.body, answer);
                ((message.id, message.arrays), (id, arrays))
            }
        };
        // A NaN equals nothing: its bits are compared below.
        assert_eq!(format!("{read:?}"), format!("{expected:?}"));
        assert_eq!(reader.read::<Answer>(PAYLOAD_CAP).unwrap(), None, "one frame in a block");
    }
    let bytes = &frames[5];
    assert_eq!(bytes[bytes.len() - 8..][..4], NAN.to_le_bytes());
}

#[test]
fn the_document_names_every_request_and_answer_and_limit() {
    let document = std::fs::read_to_string(DOC).unwrap();
    let calls = [
        "hello",
        "open",
        "tokenize",
        "detokenize",
        "logits",
        "generate",
        "tap",
        "prefill",
        "decode",
        "bye",
    ];
    let answers =
        ["opened", "ids", "text", "generation", "tensors", "timed", "refused", "unavailable"];
    for name in calls.iter().chain(&answers) {
        assert!(document.contains(&format!("`{name}`")), "{name}");
    }
    for limit in [u64::from(HEADER_CAP), PAYLOAD_CAP] {
        assert!(document.contains(&format!("{limit} bytes")), "{limit}");
    }
    assert!(document.contains(&format!("protocol version {VERSION}")));
}
