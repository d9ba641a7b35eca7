//! Properties of the tokenizers on random vocabularies, texts and ids.

use std::sync::LazyLock;

use bitnet_engine::synth::bpe_training::{CORPUS, train};
use bitnet_engine::tokenizer::{
    DetokenizeOptions, SpecialIds, StreamDecoder, Tokenizer, VocabularySource, pre_tokenizers,
};
use proptest::prelude::*;

/// One small trained vocabulary, under each name.
static TRAINED: LazyLock<Vec<Tokenizer>> =
    LazyLock::new(|| pre_tokenizers().map(trained).collect());

/// A vocabulary of 512 tokens with a few special tokens after it.
fn trained(pre: &str) -> Tokenizer {
    let trained = train(CORPUS, 512).unwrap();
    let special = ["<|begin|>", "<|eot_id|>", "<mine>"];
    let mut types = vec![1; 512];
    types.extend([3, 3, 4]);
    let tokens = trained.tokens.iter().map(String::as_str).chain(special);
    Tokenizer::new(&VocabularySource {
        model: "gpt2",
        pre: Some(pre),
        tokens: tokens.map(str::as_bytes).collect(),
        token_types: Some(&types),
        merges: Some(trained.merges.iter().map(String::as_bytes).collect()),
        ids: SpecialIds { bos: Some(512), eos: Some(513), ..SpecialIds::default() },
        ..VocabularySource::default()
    })
    .unwrap()
}

fn streamed(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let mut decoder = StreamDecoder::new(tokenizer);
    let mut text = String::new();
    for &id in ids {
        text.push_str(decoder.push(id).unwrap());
    }
    text.push_str(decoder.finish());
    text
}

/// Texts with more spaces, digits and special tokens than `.*` would give.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[ a-zA-Z'0-9\n]{1,8}",
        "\\PC{1,4}",
        any::<char>().prop_map(String::from),
        Just("<|eot_id|>".to_owned()),
        Just("<mine>".to_owned()),
        Just("▁".to_owned()),
    ];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn every_text_comes_back(
        texts in prop::collection::vec(texts(), 1..20),
        parse_special: bool,
        pre in 0..pre_tokenizers().count(),
    ) {
        let tokenizer = &TRAINED[pre];
        for text in texts {
            let ids = tokenizer.encode(&text, false, parse_special).unwrap();
            prop_assert_eq!(tokenizer.decode(&ids).unwrap(), text.as_bytes());
            prop_assert_eq!(streamed(tokenizer, &ids), text);
        }
    }

    #[test]
    fn streaming_gives_what_decoding_gives(
        lists in prop::collection::vec(prop::collection::vec(0..515_u32, 0..40), 1..20),
    ) {
        let tokenizer = &TRAINED[0];
        for ids in lists {
            let whole = tokenizer.decode(&ids).unwrap();
            prop_assert_eq!(streamed(tokenizer, &ids), String::from_utf8_lossy(&whole));
        }
    }

    #[test]
    fn no_vocabulary_and_no_id_panics(
        spm: bool,
        tokens in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..4),
                "[ab▁Ġ ]{1,3}".prop_map(String::into_bytes),
                "<0x[0-9A-G+-]{1,2}>".prop_map(String::into_bytes),
            ],
            0..20,
        ),
        types in prop::option::of(prop::collection::vec(-1..8_i32, 0..20)),
        scores in prop::option::of(prop::collection::vec(any::<f32>(), 0..20)),
        merges in prop::collection::vec("[ab▁Ġ]{0,2} ?[ab▁Ġ]{0,2}", 0..10),
        bos in prop::option::of(0..24_u32),
        flags in any::<[bool; 4]>(),
        ids in prop::collection::vec(0..24_u32, 0..20),
        text in "[ab▁Ġ \u{e9}]{0,12}",
    ) {
        // Half of the time the lengths are made to fit, so that more than the first check runs.
        let fit = |len: usize| if flags[0] { tokens.len().min(len) } else { len };
        let source = VocabularySource {
            model: if spm { "llama" } else { "gpt2" },
            pre: Some("llama-bpe"),
            tokens: tokens.iter().map(Vec::as_slice).collect(),
            scores: scores.as_deref().map(|scores| &scores[..fit(scores.len())]),
            token_types: types.as_deref().map(|types| &types[..fit(types.len())]),
            merges: Some(merges.iter().map(String::as_bytes).collect()),
            ids: SpecialIds { bos, ..SpecialIds::default() },
            add_bos: Some(flags[1]),
            add_eos: Some(flags[2]),
            add_space_prefix: Some(flags[3]),
        };
        if let Ok(tokenizer) = Tokenizer::new(&source) {
            if let Ok(encoded) = tokenizer.encode(&text, flags[2], flags[3]) {
                prop_assert!(encoded.iter().all(|&id| (id as usize) < tokens.len()));
                prop_assert!(tokenizer.decode(&encoded).is_ok());
            }
            let known = ids.iter().all(|&id| (id as usize) < tokens.len());
            prop_assert_eq!(tokenizer.decode(&ids).is_ok(), known);
            let options = DetokenizeOptions { remove_special: flags[1], unparse_special: spm };
            let printed = tokenizer.detokenize(&ids, options);
            prop_assert!(printed.is_ok() || !known);
        }
    }
}
