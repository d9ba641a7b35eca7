//! What is inside the tensors and the vocabulary: scales and weights that are no numbers, and
//! vocabularies that contradict themselves. `Gnn` and `Tnn` are the ids of our fault list.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bitnet_engine::gguf::{Directory, TensorType};
use bitnet_engine::model::{LogitsOf, Model};
use bitnet_engine::sample;
use bitnet_engine::session::Session;

use crate::edited::{Edit, edited, key, no_key, tensor};
use crate::refusal::{accepted, check, refused};
use crate::synthetic::{self, TINY};

fn logits(model: Model) -> Vec<f32> {
    let mut session = Session::new(&Arc::new(model), 8, NonZeroUsize::MIN).unwrap();
    session.prefill(&[1, 2, 3], LogitsOf::Last).unwrap()
}

/// An I2_S matrix of a file with another scale.
fn scaled(file: &[u8], name: &str, scale: f32) -> Edit {
    let directory = Directory::parse(file).unwrap();
    let info = directory.tensor(name).unwrap();
    assert_eq!(info.tensor_type, TensorType::I2S);
    let mut bytes = file[info.range()].to_vec();
    let tail = bytes.len() - 32;
    bytes[tail..tail + 4].copy_from_slice(&scale.to_le_bytes());
    tensor(name, info.tensor_type, &info.dims, bytes)
}

#[test]
fn g16_scales_that_are_no_numbers() {
    let (base, name) = (synthetic::bytes(&TINY), "blk.1.attn_output.weight");
    for (scale, shown) in [
        (f32::NAN, "NaN"),
        (f32::INFINITY, "inf"),
        (f32::NEG_INFINITY, "-inf"),
        (0.0, "0"),
        (-0.5, "-0.5"),
    ] {
        let words = format!(
            "tensor '{name}' has the scale {shown}, which is not a finite number above 0; the file is \
             damaged: fetch or convert it again"
        );
        assert_eq!(refused(&base, &[scaled(&base, name, scale)]), ("Scale", words));
    }
}

#[test]
fn g16_codes_that_stand_for_no_weight() {
    let (base, name) = (synthetic::bytes(&TINY), "blk.1.ffn_up.weight");
    let info = Directory::parse(&base).unwrap().tensor(name).unwrap().clone();
    let mut bytes = base[info.range()].to_vec();
    bytes[777] |= 0b00_11_00_00;
    let words = format!(
        "tensor '{name}' has a code of 3 in its byte 777, which stands for no weight; the file is \
         damaged: fetch or convert it again"
    );
    let edit = tensor(name, info.tensor_type, &info.dims, bytes);
    assert_eq!(refused(&base, &[edit]), ("UnusedCode", words));
}

#[test]
fn g16_weights_that_are_no_numbers_show_when_a_token_is_chosen() {
    let mut norm: Vec<u8> = 1f32.to_le_bytes().repeat(256);
    norm[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let edit = tensor("output_norm.weight", TensorType::F32, &[256], norm);
    // Opening does not read all weights; nothing that comes of this one passes for a result.
    let model = accepted(&edited(&synthetic::bytes(&TINY), &[edit]));
    let error = sample::greedy(&logits(model)).unwrap_err();
    assert_eq!(error.to_string(), "the logits cannot be sampled: one of them is NaN");
}

#[test]
fn t01_to_t04_vocabularies() {
    let of = |name: &str| format!("tokenizer.ggml.{name}");
    let id = |name, id| key(&of(name), move |w, k| w.u32(k, id).map(drop));
    let types = |types: Vec<i32>| key(&of("token_type"), move |w, k| w.array(k, &types).map(drop));
    let merges = |merges: &'static [&'static str]| {
        key(&of("merges"), move |w, k| w.strings(k, merges).map(drop))
    };
    let twice = key(&of("tokens"), |w, k| {
        let mut tokens: Vec<String> = (0..768).map(|i| format!("t{i}")).collect();
        tokens[700] = "t12".into();
        w.strings(k, &tokens).map(drop)
    });
    let cases = [
        (
            types(vec![1; 767]),
            "tokenizer.ggml.token_type has 767 elements for 768 tokens; the file is damaged: fetch \
             or convert it again",
        ),
        (
            types([vec![1; 767], vec![7]].concat()),
            "tokenizer.ggml.token_type[767] is 7, and GGUF knows 0 to 6; fetch or convert the file \
             again",
        ),
        (
            id("bos_token_id", 768),
            "tokenizer.ggml.bos_token_id is 768, but the vocabulary has 768 tokens; fetch or \
             convert the file again",
        ),
        (
            id("padding_token_id", u32::MAX),
            "tokenizer.ggml.padding_token_id is 4294967295, but the vocabulary has 768 tokens; \
             fetch or convert the file again",
        ),
        (
            no_key(&of("merges")),
            "tokenizer.ggml.merges is missing; convert the model again with its tokenizer files",
        ),
        (
            merges(&["a b", "ab"]),
            "tokenizer.ggml.merges[1] is `ab`, not two texts with a space between them; fetch or \
             convert the file again",
        ),
        (
            twice,
            "tokens 12 and 700 are both `t12`; the reference aborts on such a file. Convert the \
             model again",
        ),
        (
            key(&of("model"), |w, k| w.str(k, "bert").map(drop)),
            "tokenizer.ggml.model is `bert`, and only `gpt2` (byte-level BPE) and `llama` \
             (SentencePiece) are supported; feed token ids instead of text",
        ),
    ];
    let cause = "the tokenizer cannot be built from this file's metadata: ";
    let expected = cases.map(|(edit, fault)| (edit, ("Tokenizer", format!("{cause}{fault}"))));
    check(&TINY, expected);

    // Scores count for SentencePiece only.
    let scores = key(&of("scores"), |w, k| w.array(k, &[0f32; 767]).map(drop));
    let llama = key(&of("model"), |w, k| w.str(k, "llama").map(drop));
    let fault = "tokenizer.ggml.scores has 767 elements for 768 tokens; the file is damaged: fetch \
                 or convert it again";
    let expected = ("Tokenizer", format!("{cause}{fault}"));
    assert_eq!(refused(&synthetic::bytes(&TINY), &[scores, llama]), expected);
}

#[test]
fn oddities_of_a_usable_file_are_warnings() {
    let pre = "tokenizer.ggml.pre is missing: words are split by the `default` rules, as the \
               reference does; the model may have been trained with others";
    let base = synthetic::bytes(&TINY);
    assert_eq!(accepted(&base).warnings(), [pre]);

    let merges =
        key("tokenizer.ggml.merges", |w, k| w.strings(k, &["a b", "a b", "zq x"]).map(drop));
    let no_scores = no_key("tokenizer.ggml.scores"); // merges alone decide: no warning
    let mut odd = edited(&base, &[merges, no_key("tokenizer.ggml.token_type"), no_scores]);
    let end = odd.len();
    odd.extend([0; 5]);
    let trailing = format!("byte {end}: 5 bytes follow the last tensor and belong to nothing");
    assert_eq!(
        accepted(&odd).warnings(),
        [
            &trailing,
            pre,
            "tokenizer.ggml.token_type is missing: every token is taken as ordinary text",
            "token 521 `<|eot_id|>` is not of type CONTROL: it is treated as if it were",
            "1 merges repeat an earlier one (the first is number 1): ignored",
            "3 merges use texts that are no tokens (the first is number 0)",
        ]
    );
}
