//! Good GGUF files that are no model of ours: each is refused with the name of the key or tensor,
//! what was found, what is allowed and what to do. `Gnn` are the ids of our fault list.

use bitnet_engine::gguf::{Directory, TensorType, Value};
use bitnet_engine::synth::SynthSpec;

use crate::edited::{edited, float, key, no_key, no_tensor, number, zeros};
use crate::refusal::{AGAIN, Refusal, accepted, check, refused};
use crate::synthetic::{self, TINY};

fn hyper_parameter(key: &str, found: impl ToString, rule: &str) -> Refusal {
    let found = found.to_string();
    let words = format!("metadata key 'bitnet-b1.58.{key}' is {found}, but {rule}; {AGAIN}");
    ("HyperParameter", words)
}

fn key_fault(key: &str, fault: &str) -> Refusal {
    let place = if fault.starts_with("is missing") { "" } else { "byte N: " };
    ("Gguf", format!("FILE: {place}metadata key '{key}' {fault}"))
}

pub fn missing(name: &str) -> Refusal {
    let next = "the file is not a whole model of its architecture: fetch or convert it again";
    ("MissingTensor", format!("tensor '{name}' is missing; {next}"))
}

pub fn superfluous(name: &str) -> Refusal {
    let what = "not part of a model with this architecture and these hyper-parameters";
    let words = format!("tensor '{name}' is {what}; ignoring it would give wrong results: {AGAIN}");
    ("UnknownTensor", words)
}

pub fn shape(name: &str, found: &[usize], wanted: &[usize]) -> Refusal {
    let asked = format!("but the hyper-parameters ask for {wanted:?}");
    ("Shape", format!("tensor '{name}' has shape {found:?}, {asked}; {AGAIN}"))
}

pub fn wrong_type(name: &str, found: &str, must: &str) -> Refusal {
    let words =
        format!("tensor '{name}' is of type {found}, but {must}; convert the model to that");
    ("TensorType", words)
}

const NORM: &str = "a norm must be F32";
const MATRIX: &str = "a layer's matrix must be I2_S, TL1, TL2, F32, F16, BF16, Q8_0, Q4_0, Q4_K, \
                      Q5_K, Q6_K, TQ1_0 or TQ2_0";
const TABLE: &str = "the embedding or the head must be F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q5_K, Q6_K, \
                     TQ1_0 or TQ2_0";

#[test]
fn g14_hyper_parameters_out_of_bounds() {
    let no_tokens = key("tokenizer.ggml.tokens", |w, k| w.strings::<&str>(k, &[]).map(drop));
    let no_tokens_message = "metadata key 'tokenizer.ggml.tokens' is an array of 0, but it must hold 1 to 16777216 tokens";
    let no_tokens_message = format!("{no_tokens_message}; {AGAIN}");
    let cases = [
        ("block_count", 0, "it must be from 1 to 512"),
        ("block_count", 1_000_000, "it must be from 1 to 512"),
        ("context_length", 0, "it must be from 1 to 16777216"),
        ("context_length", u32::MAX, "it must be from 1 to 16777216"),
        ("embedding_length", 0, "it must be from 1 to 1048576"),
        ("embedding_length", 1 << 21, "it must be from 1 to 1048576"),
        ("feed_forward_length", 0, "it must be from 1 to 1048576"),
        ("attention.head_count", 0, "it must be from 1 to 256"),
        ("attention.head_count", 257, "it must be from 1 to 256"),
        ("attention.head_count", 3, "it must divide embedding_length, 256"),
        (
            "attention.head_count",
            256,
            "embedding_length / head_count is then 1, and RoPE needs an even number",
        ),
        ("attention.head_count_kv", 0, "it must be from 1 to 4"),
        ("attention.head_count_kv", 8, "it must be from 1 to 4"),
        ("attention.head_count_kv", 3, "it must divide attention.head_count, 4"),
        ("rope.dimension_count", 63, "the length of a head is 64"),
        ("rope.dimension_count", 32, "the length of a head is 64"),
        ("vocab_size", 767, "the number of tokenizer.ggml.tokens is 768"),
    ];
    let cases = cases.map(|(key, n, rule)| (number(key, n), hyper_parameter(key, n, rule)));
    check(&TINY, cases);
    check(&TINY, [(no_tokens, ("HyperParameter", no_tokens_message))]);
}

#[test]
fn g15_constants_that_are_no_positive_numbers() {
    let values = [0.0, -1e-5, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    for key in ["attention.layer_norm_rms_epsilon", "rope.freq_base"] {
        let rule = "it must be a finite number above 0";
        check(&TINY, values.map(|v| (float(key, v), hyper_parameter(key, v, rule))));
    }
}

#[test]
fn g15_keys_that_are_missing_or_mistyped() {
    let required = [
        ("general.architecture", "string"),
        ("bitnet-b1.58.context_length", "usize"),
        ("bitnet-b1.58.embedding_length", "usize"),
        ("bitnet-b1.58.block_count", "usize"),
        ("bitnet-b1.58.feed_forward_length", "usize"),
        ("bitnet-b1.58.attention.head_count", "usize"),
        ("bitnet-b1.58.attention.layer_norm_rms_epsilon", "f32"),
        ("tokenizer.ggml.model", "string"),
        ("tokenizer.ggml.tokens", "array of string"),
    ];
    let hint = "`bitnet inspect` lists the keys that there are";
    check(
        &TINY,
        required.map(|(name, wanted)| {
            let fault = format!("is missing, {wanted} is needed; {hint}");
            (no_key(name), key_fault(name, &fault))
        }),
    );
    // A key that may be absent must still have its type.
    let optional = [
        ("bitnet-b1.58.vocab_size", "usize"),
        ("bitnet-b1.58.attention.head_count_kv", "usize"),
        ("bitnet-b1.58.rope.dimension_count", "usize"),
        ("bitnet-b1.58.rope.freq_base", "f32"),
        ("tokenizer.ggml.pre", "string"),
        ("tokenizer.ggml.bos_token_id", "u32"),
        ("tokenizer.ggml.scores", "array of f32"),
        ("tokenizer.ggml.token_type", "array of i32"),
        ("tokenizer.ggml.merges", "array of string"),
    ];
    let all = required.into_iter().chain(optional);
    check(
        &TINY,
        all.map(|(name, wanted)| {
            let fault = format!("is of type array of u8, {wanted} is needed");
            (key(name, |w, k| w.array(k, &[1u8]).map(drop)), key_fault(name, &fault))
        }),
    );
    let negative = |name: &str| key(name, |w, k| w.value(k, Value::I32(-1)).map(drop));
    let cases = [("bitnet-b1.58.block_count", "usize"), ("tokenizer.ggml.eos_token_id", "u32")];
    check(
        &TINY,
        cases.map(|(name, wanted)| {
            (negative(name), key_fault(name, &format!("is -1, which does not fit {wanted}")))
        }),
    );
}

#[test]
fn absent_optional_keys_have_the_defaults_of_the_format() {
    let base = synthetic::bytes(&TINY);
    let edits = ["vocab_size", "rope.freq_base", "rope.dimension_count"]
        .map(|name| no_key(&format!("bitnet-b1.58.{name}")));
    let model = accepted(&edited(&base, &edits));
    assert_eq!((model.config().vocab_size, model.config().rope_base), (768, 10_000.0));
    // Without a number of KV heads there are as many as query heads: these matrices have half.
    let expected = shape("blk.0.attn_k.weight", &[256, 128], &[256, 256]);
    check(&TINY, [(no_key("bitnet-b1.58.attention.head_count_kv"), expected)]);
}

#[test]
fn unknown_architectures() {
    let named =
        |name: &'static str| key("general.architecture", move |w, k| w.str(k, name).map(drop));
    let unknown = |shown: &str| {
        let words = "is not supported; supported are bitnet-b1.58, bitnet-25, bitnet, llama, qwen2, \
                     qwen3";
        ("Architecture", format!("architecture '{shown}' {words}"))
    };
    check(
        &TINY,
        [
            (named("falcon"), unknown("falcon")),
            (named("\u{1b}[31m"), unknown("\\u{1b}[31m")),
            (named(""), unknown("")),
        ],
    );
}

#[test]
fn g14_tensors_missing_superfluous_or_misshapen() {
    let base = synthetic::bytes(&TINY);
    let directory = Directory::parse(&base).unwrap();
    let names = directory.tensors().iter().map(|tensor| &*tensor.name);
    assert_eq!(names.len(), 24);
    check(&TINY, names.map(|name| (no_tensor(name), missing(name))));

    let bias = "blk.0.ffn_up.bias";
    let (embd, down) = ("token_embd.weight", "blk.1.ffn_down.weight");
    check(
        &TINY,
        [
            (number("block_count", 3), missing("blk.2.attn_sub_norm.weight")),
            (number("block_count", 1), superfluous("blk.1.attn_norm.weight")),
            (zeros(bias, TensorType::F32, &[768]), superfluous(bias)),
            (
                number("feed_forward_length", 640),
                shape("blk.0.ffn_sub_norm.weight", &[768], &[640]),
            ),
            (
                number("attention.head_count_kv", 1),
                shape("blk.0.attn_k.weight", &[256, 128], &[256, 64]),
            ),
            (zeros(embd, TensorType::F16, &[256, 767]), shape(embd, &[256, 767], &[256, 768])),
            (
                zeros("output_norm.weight", TensorType::F32, &[256, 1]),
                shape("output_norm.weight", &[256, 1], &[256]),
            ),
            // The same number of values, transposed.
            (zeros(down, TensorType::I2S, &[256, 768]), shape(down, &[256, 768], &[768, 256])),
        ],
    );
    let wider = [number("embedding_length", 512), number("attention.head_count", 8)];
    assert_eq!(refused(&base, &wider), shape(embd, &[256, 768], &[512, 768]));
}

#[test]
fn tensors_of_types_without_arithmetic() {
    let (norm, v, embd) = ("blk.1.ffn_norm.weight", "blk.0.attn_v.weight", "token_embd.weight");
    check(
        &TINY,
        [
            (zeros(norm, TensorType::F16, &[256]), wrong_type(norm, "F16", NORM)),
            (zeros(v, TensorType::Q4_1, &[256, 128]), wrong_type(v, "Q4_1", MATRIX)),
            (zeros(embd, TensorType::I2S, &[256, 768]), wrong_type(embd, "I2_S", TABLE)),
            (zeros(embd, TensorType::Q5_0, &[256, 768]), wrong_type(embd, "Q5_0", TABLE)),
        ],
    );
}

#[test]
fn a_wrong_head_is_an_error_and_no_reason_to_use_the_embedding() {
    let head = "output.weight";
    for tied in [true, false] {
        check(
            &SynthSpec { tied, ..TINY },
            [
                (zeros(head, TensorType::F16, &[256, 512]), shape(head, &[256, 512], &[256, 768])),
                (zeros(head, TensorType::I2S, &[256, 768]), wrong_type(head, "I2_S", TABLE)),
                (zeros(head, TensorType::Q3K, &[256, 768]), wrong_type(head, "Q3_K", TABLE)),
            ],
        );
    }
}

#[test]
fn rows_that_do_not_fill_blocks() {
    // 832 = 6.5 blocks of I2_S: the matrix as a whole fills blocks, so the container cannot object.
    let wide = |down: TensorType| {
        let mut edits = vec![number("feed_forward_length", 832)];
        for layer in 0..2 {
            let name = |part: &str| format!("blk.{layer}.{part}.weight");
            edits.push(zeros(&name("ffn_sub_norm"), TensorType::F32, &[832]));
            edits.push(zeros(&name("ffn_gate"), TensorType::I2S, &[256, 832]));
            edits.push(zeros(&name("ffn_up"), TensorType::I2S, &[256, 832]));
            edits.push(zeros(&name("ffn_down"), down, &[832, 256]));
        }
        edits
    };
    let base = synthetic::bytes(&TINY);
    let words = "tensor 'blk.0.ffn_down.weight' has 832 columns, but I2_S needs a multiple of 128; \
                 convert it to F16 or F32";
    assert_eq!(refused(&base, &wide(TensorType::I2S)), ("Columns", words.to_owned()));
    accepted(&edited(&base, &wide(TensorType::F16))); // the way out that the message names

    // Rows of Q6_K are whole blocks already for the container.
    let fault = TensorType::Q6K.tensor_bytes(&[832, 256]).unwrap_err().to_string();
    assert_eq!(fault, "has 832 elements a row, which is no multiple of Q6_K's block of 256");
}
