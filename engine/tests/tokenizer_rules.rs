//! Every rule of the tokenizers on vocabularies small enough to follow by hand.

use bitnet_engine::tokenizer::{
    DetokenizeOptions, SpecialIds, StreamDecoder, TokenType, Tokenizer, TokenizerError,
    TokenizerWarning, VocabularyKind, VocabularySource, pre_tokenizers,
};

/// Owned parts of a source, so that tests can change one of them.
#[derive(Clone)]
struct Parts {
    model: &'static str,
    pre: Option<&'static str>,
    tokens: Vec<Vec<u8>>,
    scores: Option<Vec<f32>>,
    types: Option<Vec<i32>>,
    merges: Option<Vec<Vec<u8>>>,
    ids: SpecialIds,
    add_bos: Option<bool>,
    add_eos: Option<bool>,
    add_space_prefix: Option<bool>,
}

const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;
const BYTE: i32 = 6;

impl Parts {
    fn build(&self) -> Result<Tokenizer, TokenizerError> {
        fn slices(texts: &[Vec<u8>]) -> Vec<&[u8]> {
            texts.iter().map(Vec::as_slice).collect()
        }
        Tokenizer::new(&VocabularySource {
            model: self.model,
            pre: self.pre,
            tokens: slices(&self.tokens),
            scores: self.scores.as_deref(),
            token_types: self.types.as_deref(),
            merges: self.merges.as_deref().map(slices),
            ids: self.ids,
            add_bos: self.add_bos,
            add_eos: self.add_eos,
            add_space_prefix: self.add_space_prefix,
        })
    }

    fn push(&mut self, text: impl AsRef<[u8]>, token_type: i32, score: f32) -> u32 {
        self.tokens.push(text.as_ref().to_vec());
        if let Some(types) = &mut self.types {
            types.push(token_type);
        }
        if let Some(scores) = &mut self.scores {
            scores.push(score);
        }
        self.tokens.len() as u32 - 1
    }

    fn merge(&mut self, left: &str, right: &str) -> u32 {
        self.merges.as_mut().unwrap().push(format!("{left} {right}").into_bytes());
        self.push(format!("{left}{right}"), NORMAL, 0.0)
    }
}

/// Byte-level BPE: ids 0 to 255 are the bytes, no merges yet.
fn bpe() -> Parts {
    let mut shifted = 256;
    let letters = (0..=255_u32).map(|byte| {
        let own = matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
        let letter = if own { byte } else { shifted };
        shifted += u32::from(!own);
        char::from_u32(letter).unwrap().to_string().into_bytes()
    });
    Parts {
        model: "gpt2",
        pre: Some("gpt-2"),
        tokens: letters.collect(),
        scores: None,
        types: Some(vec![NORMAL; 256]),
        merges: Some(Vec::new()),
        ids: SpecialIds::default(),
        add_bos: None,
        add_eos: None,
        add_space_prefix: None,
    }
}

/// SentencePiece: `<unk>`, `<s>`, `</s>`, then ids 3 to 258 are the bytes.
fn spm() -> Parts {
    let mut parts = Parts { model: "llama", pre: None, scores: Some(vec![]), ..bpe() };
    (parts.tokens, parts.types, parts.merges) = (vec![], Some(vec![]), None);
    parts.push("<unk>", UNKNOWN, 0.0);
    parts.push("<s>", CONTROL, 0.0);
    parts.push("</s>", CONTROL, 0.0);
    for byte in 0..=255 {
        parts.push(format!("<0x{byte:02X}>"), BYTE, 0.0);
    }
    parts
}

fn encode(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    tokenizer.encode(text, false, false).unwrap()
}

fn decode(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    String::from_utf8(tokenizer.decode(ids).unwrap()).unwrap()
}

#[test]
fn bpe_merges_by_rank_and_not_by_length() {
    let mut parts = bpe();
    let bc = parts.merge("b", "c");
    let ab = parts.merge("a", "b");
    let abc = parts.merge("a", "bc");
    let tokenizer = parts.build().unwrap();
    assert_eq!(tokenizer.kind(), VocabularyKind::ByteLevelBpe);
    assert_eq!(tokenizer.pre_tokenizer(), Some("gpt-2"));
    assert_eq!(encode(&tokenizer, "abc"), [abc]);
    assert_eq!(encode(&tokenizer, "ab"), [ab]);
    assert_eq!(encode(&tokenizer, "bcb"), [bc, u32::from(b'b')]);
    // A merge does not cross the border between words.
    assert_eq!(encode(&tokenizer, "b c"), [98, 32, 99]);
    assert_eq!(encode(&tokenizer, ""), [] as [u32; 0]);
}

#[test]
fn bpe_decodes_every_byte() {
    let tokenizer = bpe().build().unwrap();
    let text = "\0\u{7f} é\n\u{ad}😀";
    let ids = encode(&tokenizer, text);
    assert_eq!(ids, text.bytes().map(u32::from).collect::<Vec<_>>());
    assert_eq!(decode(&tokenizer, &ids), text);
    assert_eq!(tokenizer.decode(&[0xF0, 0x20]), Ok(vec![0xF0, 0x20]));
}

#[test]
fn whole_words_skip_merging_under_llama_bpe_only() {
    let mut parts = bpe();
    let word = parts.push("Ġok", NORMAL, 0.0);
    assert_eq!(encode(&parts.build().unwrap(), " ok"), [32, 111, 107]);
    parts.pre = Some("llama-bpe");
    parts.ids.bos = Some(0);
    let tokenizer = parts.build().unwrap();
    assert_eq!(encode(&tokenizer, " ok ok!"), [word, word, 33]);
    assert!(tokenizer.adds_bos(), "llama-bpe adds BOS unless told otherwise");
}

#[test]
fn merges_through_texts_that_are_no_tokens_work_and_are_reported() {
    let mut parts = bpe();
    let abcd = parts.push("abcd", NORMAL, 0.0);
    parts.merges = Some(vec![b"a b".to_vec(), b"c d".to_vec(), b"ab cd".to_vec()]);
    let tokenizer = parts.build().unwrap();
    assert_eq!(encode(&tokenizer, "abcd"), [abcd]);
    // `ab` is no token: it comes apart into the letters of its spelling.
    assert_eq!(encode(&tokenizer, "abx"), [97, 98, 120]);
    let expected = TokenizerWarning::MergesOutsideVocabulary { count: 3, first: 0 };
    assert_eq!(tokenizer.warnings(), [expected]);
}

#[test]
fn of_repeated_merges_the_first_counts() {
    let mut parts = bpe();
    let ab = parts.merge("a", "b");
    let bc = parts.merge("b", "c");
    parts.merges.as_mut().unwrap().extend([b"b c".to_vec(), b"a b".to_vec()]);
    let tokenizer = parts.build().unwrap();
    assert_eq!(encode(&tokenizer, "abc"), [ab, 99]);
    assert_eq!(encode(&tokenizer, "bc"), [bc]);
    let expected = TokenizerWarning::DuplicateMerges { count: 2, first: 2 };
    assert_eq!(tokenizer.warnings(), [expected]);
}

#[test]
fn malformed_merges_are_refused_by_number() {
    for bad in ["", "ab", " ab", "ab ", "a"] {
        let mut parts = bpe();
        parts.merges = Some(vec![b"a b".to_vec(), bad.as_bytes().to_vec()]);
        parts.push("ab", NORMAL, 0.0);
        let expected = TokenizerError::MalformedMerge { index: 1, text: bad.to_owned() };
        assert_eq!(parts.build().unwrap_err(), expected, "{bad:?}");
    }
    let mut parts = bpe();
    parts.merges = None;
    assert_eq!(parts.build().unwrap_err(), TokenizerError::MissingMerges);
}

#[test]
fn a_byte_without_a_token_is_an_error_with_its_place() {
    let mut parts = bpe();
    parts.tokens[usize::from(b'q')] = b"<no q>".to_vec();
    let tokenizer = parts.build().unwrap();
    assert_eq!(
        tokenizer.encode("a b q", false, false).unwrap_err(),
        TokenizerError::NoTokenForByte { byte: b'q', offset: 4 }
    );
    let mut parts = spm();
    parts.tokens[3 + 0xC3] = b"<0xC3".to_vec();
    parts.types.as_mut().unwrap()[3 + 0xC3] = NORMAL;
    let tokenizer = parts.build().unwrap();
    assert_eq!(
        tokenizer.encode("a é", false, false).unwrap_err(),
        TokenizerError::NoTokenForByte { byte: 0xC3, offset: 2 }
    );
}

#[test]
fn a_missing_pre_tokenizer_is_the_default_one_with_a_warning() {
    let mut parts = bpe();
    parts.pre = None;
    let tokenizer = parts.build().unwrap();
    assert_eq!(tokenizer.pre_tokenizer(), Some("default"));
    assert_eq!(tokenizer.warnings(), [TokenizerWarning::MissingPreTokenizer]);
    parts.pre = Some("default");
    assert_eq!(parts.build().unwrap().warnings(), []);
}

#[test]
fn a_name_that_the_references_read_differently_is_told() {
    let mut parts = bpe();
    parts.pre = Some("falcon3");
    let tokenizer = parts.build().unwrap();
    let [warning] = tokenizer.warnings() else { panic!("{:?}", tokenizer.warnings()) };
    let message = warning.to_string();
    assert!(message.contains("`falcon3`") && message.contains("Llama 3"), "{message}");
    assert_eq!(encode(&tokenizer, "12"), [u32::from(b'1'), u32::from(b'2')]);
    parts.pre = Some("falcon_e");
    assert_eq!(parts.build().unwrap().warnings(), []);
}

#[test]
fn chatglm_has_no_bos_without_a_key() {
    let mut parts = bpe();
    parts.pre = Some("dbrx");
    assert_eq!(parts.build().unwrap().bos(), Some(11));
    parts.pre = Some("chatglm-bpe");
    assert_eq!(parts.build().unwrap().bos(), None);
    parts.add_bos = Some(true);
    assert_eq!(
        parts.build().unwrap_err().to_string(),
        "BOS or EOS is to be added (tokenizer.ggml.add_bos_token), but there is no \
         tokenizer.ggml.bos_token_id and no default in the vocabulary; convert the model again"
    );
    parts.ids.bos = Some(3);
    assert_eq!(parts.build().unwrap().encode("a", true, false), Ok(vec![3, 97]));
}

#[test]
fn words_that_are_tokens_are_not_merged_where_merges_are_ignored() {
    let mut parts = bpe();
    let ab = parts.merge("a", "b");
    let abc = parts.push("abc", NORMAL, 0.0);
    parts.ids.bos = Some(0);
    for (pre, expected) in [("tekken", vec![abc]), ("llama-bpe", vec![abc]), ("dbrx", vec![ab, 99])]
    {
        parts.pre = Some(pre);
        assert_eq!(encode(&parts.build().unwrap(), "abc"), expected, "{pre}");
    }
}

#[test]
fn unknown_kinds_and_pre_tokenizers_are_refused_by_name() {
    let mut parts = bpe();
    parts.pre = Some("qwen");
    let message = parts.build().unwrap_err().to_string();
    assert!(message.contains("`qwen`,") && message.contains("`llama-bpe`"), "{message}");
    parts.model = "bert";
    let message = parts.build().unwrap_err().to_string();
    assert!(message.contains("`bert`") && message.contains("`gpt2`"), "{message}");
}

#[test]
fn spm_merges_the_best_score_first_and_ties_from_the_left() {
    let mut parts = spm();
    parts.add_space_prefix = Some(false);
    let [a, b] = ["a", "b"].map(|text| parts.push(text, NORMAL, -9.0));
    let ab = parts.push("ab", NORMAL, -2.0);
    let ba = parts.push("ba", NORMAL, -1.0);
    let aa = parts.push("aa", NORMAL, -3.0);
    let tokenizer = parts.build().unwrap();
    assert_eq!(tokenizer.kind(), VocabularyKind::SentencePiece);
    assert_eq!(tokenizer.pre_tokenizer(), None);
    assert_eq!(encode(&tokenizer, "aba"), [a, ba]);
    assert_eq!(encode(&tokenizer, "abb"), [ab, b]);
    assert_eq!(encode(&tokenizer, "aaa"), [aa, a]);
}

#[test]
fn spm_marks_spaces_and_takes_bytes_for_what_it_lacks() {
    let mut parts = spm();
    let space = parts.push("▁", NORMAL, -5.0);
    let x = parts.push("x", NORMAL, -5.0);
    let space_x = parts.push("▁x", NORMAL, -1.0);
    let tokenizer = parts.build().unwrap();
    // The prefix is a space, which joins the word.
    assert_eq!(encode(&tokenizer, "x"), [space_x]);
    assert_eq!(encode(&tokenizer, " x"), [space, space_x]);
    assert_eq!(encode(&tokenizer, "xé"), [space_x, 3 + 0xC3, 3 + 0xA9]);
    for text in ["x", " x", "xé", "", "  x  x "] {
        assert_eq!(decode(&tokenizer, &encode(&tokenizer, text)), text);
    }
    parts.add_space_prefix = Some(false);
    let tokenizer = parts.build().unwrap();
    assert_eq!(encode(&tokenizer, "x"), [x]);
    assert_eq!(decode(&tokenizer, &[space_x]), " x");
}

#[test]
fn spm_adds_the_prefix_after_every_special_token() {
    let mut parts = spm();
    let space_x = parts.push("▁x", NORMAL, -1.0);
    parts.push("▁", NORMAL, -5.0);
    parts.push("x", NORMAL, -5.0);
    let tokenizer = parts.build().unwrap();
    assert_eq!(tokenizer.encode("x</s>x", true, true).unwrap(), [1, space_x, 2, space_x]);
}

#[test]
fn a_user_defined_space_at_the_start_is_taken_for_the_prefix() {
    let mut parts = spm();
    let spaces = parts.push("  ", USER_DEFINED, 0.0);
    let tokenizer = parts.build().unwrap();
    assert_eq!(encode(&tokenizer, "  "), [spaces]);
    // The one text that does not come back, and does not in the reference either.
    assert_eq!(decode(&tokenizer, &[spaces]), " ");
}

#[test]
fn scores_and_types_may_be_missing_but_not_wrong() {
    let mut parts = spm();
    parts.scores = None;
    assert_eq!(parts.build().unwrap().warnings(), [TokenizerWarning::MissingScores]);
    parts = spm();
    parts.types = None;
    assert_eq!(parts.build().unwrap().warnings(), [TokenizerWarning::MissingTokenTypes]);

    parts = spm();
    parts.scores.as_mut().unwrap().pop();
    let short = TokenizerError::ArrayLength { key: "scores", found: 258, tokens: 259 };
    assert_eq!(parts.build().unwrap_err(), short);
    parts = spm();
    parts.types.as_mut().unwrap().push(NORMAL);
    let long = TokenizerError::ArrayLength { key: "token_type", found: 260, tokens: 259 };
    assert_eq!(parts.build().unwrap_err(), long);
    parts = spm();
    parts.scores.as_mut().unwrap()[7] = f32::NAN;
    assert_eq!(parts.build().unwrap_err(), TokenizerError::ScoreNotANumber { id: 7 });
    parts = spm();
    parts.types.as_mut().unwrap()[7] = 7;
    assert_eq!(parts.build().unwrap_err(), TokenizerError::UnknownTokenType { id: 7, found: 7 });
}

#[test]
fn byte_tokens_have_exactly_two_hexadecimal_digits() {
    for bad in ["<0x-1>", "<0xGG>", "<0x+F>", "<0x1>", "<0x001>", "<0x 1>", "0x01", "<0x€>"] {
        let mut parts = spm();
        let id = parts.push(bad, BYTE, 0.0);
        let expected = TokenizerError::MalformedByteToken { id, text: bad.to_owned() };
        assert_eq!(parts.build().unwrap_err(), expected);
    }
    let mut parts = spm();
    let lower = parts.push("<0xab>", BYTE, 0.0);
    assert_eq!(parts.build().unwrap().piece(lower), Ok(&[0xAB][..]));
}

#[test]
fn repeated_and_empty_tokens() {
    let mut parts = bpe();
    parts.push("a", NORMAL, 0.0);
    let expected = TokenizerError::DuplicateToken { text: "a".to_owned(), first: 97, second: 256 };
    assert_eq!(parts.build().unwrap_err(), expected);

    parts = bpe();
    let empty = parts.push("", NORMAL, 0.0);
    let tokenizer = parts.build().unwrap();
    assert_eq!(tokenizer.warnings(), [TokenizerWarning::EmptyToken { id: empty }]);
    assert_eq!(tokenizer.piece(empty), Ok(&b"[EMPTY_256]"[..]));

    parts.tokens.clear();
    assert_eq!(parts.build().unwrap_err(), TokenizerError::NoTokens);
}

#[test]
fn special_ids_must_be_ids() {
    let mut parts = bpe();
    parts.ids.eos = Some(256);
    let expected =
        TokenizerError::SpecialIdOutOfRange { key: "eos_token_id", id: 256, vocab_size: 256 };
    assert_eq!(parts.build().unwrap_err(), expected);

    let mut parts = spm();
    parts.tokens.truncate(1);
    parts.types.as_mut().unwrap().truncate(1);
    parts.scores.as_mut().unwrap().truncate(1);
    let expected = TokenizerError::NoIdToAdd { flag: "add_bos_token", key: "bos_token_id" };
    assert_eq!(parts.build().unwrap_err(), expected);
}

#[test]
fn bos_and_eos_are_added_on_request_where_the_file_wants_them() {
    let mut parts = spm();
    parts.push("▁", NORMAL, -5.0);
    let tokenizer = parts.build().unwrap();
    assert_eq!(tokenizer.encode("", true, false).unwrap(), [1]);
    assert_eq!(tokenizer.encode("", false, false).unwrap(), [] as [u32; 0]);
    parts.add_bos = Some(false);
    parts.add_eos = Some(true);
    let tokenizer = parts.build().unwrap();
    assert_eq!(tokenizer.encode("", true, false).unwrap(), [2]);

    let mut parts = bpe();
    let start = parts.push("<start>", CONTROL, 0.0);
    parts.ids.bos = Some(start);
    assert_eq!(parts.build().unwrap().encode("a", true, false).unwrap(), [97]);
    parts.add_bos = Some(true);
    // A start that the text brings along is not taken away: the reference gives two.
    let ids = parts.build().unwrap().encode("<start>a", true, true).unwrap();
    assert_eq!(ids, [start, start, 97]);
}

#[test]
fn control_tokens_in_a_text_are_read_only_on_request() {
    let mut parts = bpe();
    let end = parts.push("<|end|>", CONTROL, 0.0);
    let unknown = parts.push("<?>", UNKNOWN, 0.0);
    let mine = parts.push("<mine>", USER_DEFINED, 0.0);
    let tokenizer = parts.build().unwrap();
    let text = "a<|end|><?><mine>";
    assert_eq!(tokenizer.encode(text, false, true).unwrap(), [97, end, unknown, mine]);
    let plain = tokenizer.encode(text, false, false).unwrap();
    assert!(!plain.contains(&end) && !plain.contains(&unknown), "{plain:?}");
    assert_eq!(plain.last(), Some(&mine), "user-defined tokens are read always");
    assert_eq!(decode(&tokenizer, &plain), text);
}

#[test]
fn the_longest_special_text_goes_first_wherever_it_stands() {
    let mut parts = bpe();
    let short = parts.push("ab", USER_DEFINED, 0.0);
    let long = parts.push("bcd", USER_DEFINED, 0.0);
    let tokenizer = parts.build().unwrap();
    assert_eq!(encode(&tokenizer, "abcd"), [97, long]);
    assert_eq!(encode(&tokenizer, "ababcdab"), [short, 97, long, short]);
    // Within one token's turn, matches do not overlap.
    let mut parts = bpe();
    let twice = parts.push("aa", USER_DEFINED, 0.0);
    assert_eq!(encode(&parts.build().unwrap(), "aaaaa"), [twice, twice, 97]);
}

#[test]
fn a_special_token_that_is_not_utf_8_is_never_found() {
    let mut parts = bpe();
    let broken = parts.push([0xC3], USER_DEFINED, 0.0);
    let tokenizer = parts.build().unwrap();
    assert_eq!(encode(&tokenizer, "é"), [0xC3, 0xA9]);
    assert_eq!(tokenizer.piece(broken), Ok(&[0xC3][..]));
}

#[test]
fn end_of_turn_is_found_by_text_and_becomes_a_control_token() {
    let mut parts = bpe();
    let eot = parts.push("<|eot_id|>", NORMAL, 0.0);
    let eos = parts.push("</s>", CONTROL, 0.0);
    parts.ids.eos = Some(eos);
    let tokenizer = parts.build().unwrap();
    assert_eq!((tokenizer.eot(), tokenizer.eos()), (Some(eot), Some(eos)));
    assert_eq!(tokenizer.end_of_generation(), [eot, eos]);
    assert!(tokenizer.is_end_of_generation(eot) && !tokenizer.is_end_of_generation(97));
    assert_eq!(tokenizer.token_type(eot), Ok(TokenType::Control));
    let expected = TokenizerWarning::TypeOverridden { id: eot, text: "<|eot_id|>".to_owned() };
    assert_eq!(tokenizer.warnings(), [expected]);
    assert_eq!(tokenizer.find("<|eot_id|>"), Some(eot));
    assert_eq!(tokenizer.find("<|nope|>"), None);
}

#[test]
fn what_each_type_prints_as() {
    let mut parts = spm();
    let ids = [NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, 0]
        .map(|token_type| parts.push(format!("{token_type}▁x"), token_type, -1.0));
    let tokenizer = parts.build().unwrap();
    let pieces = ids.map(|id| String::from_utf8(tokenizer.piece(id).unwrap().to_vec()).unwrap());
    assert_eq!(pieces, ["1 x", "2▁x", "3▁x", "4▁x", "", ""]);

    let mut parts = bpe();
    let ids = [NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE, 0]
        .map(|token_type| parts.push(format!("{token_type}Ġ€"), token_type, 0.0));
    let tokenizer = parts.build().unwrap();
    let pieces = ids.map(|id| String::from_utf8(tokenizer.piece(id).unwrap().to_vec()).unwrap());
    assert_eq!(pieces, ["1 €", "2Ġ€", "3Ġ€", "4Ġ€", "", "", ""]);
}

#[test]
fn ids_outside_the_vocabulary_are_errors_with_their_place() {
    let tokenizer = bpe().build().unwrap();
    let expected = TokenizerError::UnknownId { id: 256, position: 1, vocab_size: 256 };
    assert_eq!(tokenizer.decode(&[97, 256]), Err(expected.clone()));
    assert_eq!(tokenizer.detokenize(&[97, 256], DetokenizeOptions::default()), Err(expected));
    assert!(tokenizer.piece(u32::MAX).is_err() && tokenizer.token_type(256).is_err());
    let mut decoder = StreamDecoder::new(&tokenizer);
    assert!(decoder.push(256).is_err());
    assert_eq!(decoder.push(97), Ok("a"));
}

#[test]
fn detokenising_follows_llama_detokenize() {
    let mut parts = spm();
    let space_x = parts.push("▁x", NORMAL, -1.0);
    parts.add_eos = Some(true);
    let tokenizer = parts.build().unwrap();
    let print = |ids: &[u32], remove_special, unparse_special| {
        let options = DetokenizeOptions { remove_special, unparse_special };
        String::from_utf8(tokenizer.detokenize(ids, options).unwrap()).unwrap()
    };
    let ids = [1, space_x, space_x, 2];
    assert_eq!(print(&ids, false, true), "<s> x x</s>");
    assert_eq!(print(&ids, true, true), " x x");
    assert_eq!(print(&ids, false, false), " x x");
    assert_eq!(print(&ids[1..], false, false), "x x");

    // Byte-level BPE cleans spaces up there, and never in `decode`.
    let tokenizer = bpe().build().unwrap();
    let ids = encode(&tokenizer, "Well , it 's");
    let options = DetokenizeOptions::default();
    assert_eq!(tokenizer.detokenize(&ids, options), Ok(b"Well, it's".to_vec()));
    assert_eq!(decode(&tokenizer, &ids), "Well , it 's");
}

#[test]
fn streaming_waits_for_whole_characters() {
    let tokenizer = bpe().build().unwrap();
    let mut decoder = StreamDecoder::new(&tokenizer);
    let mut push = |byte: u8| decoder.push(u32::from(byte)).unwrap().to_owned();
    assert_eq!([0xF0, 0x9F, 0x98, 0x80].map(&mut push), ["", "", "", "😀"]);
    // 0xE2 0x82 could become a euro sign; `a` shows that it will not.
    assert_eq!([0xE2, 0x82, b'a'].map(&mut push), ["", "", "\u{FFFD}a"]);
    assert_eq!([0xFF, 0xC3, 0xC3].map(&mut push), ["\u{FFFD}", "", "\u{FFFD}"]);
    assert_eq!(decoder.finish(), "\u{FFFD}");
    assert_eq!(decoder.finish(), "");
    assert_eq!(decoder.push(u32::from(b'b')), Ok("b"));
}

#[test]
fn long_runs_of_anything_come_back_under_every_rule() {
    let mut parts = bpe();
    let mut run = "a".to_owned();
    for _ in 0..6 {
        parts.merge(&run, &run);
        run = run.repeat(2);
    }
    parts.push("  ", USER_DEFINED, 0.0);
    parts.ids.bos = Some(0);
    // Aliases have the rules of their first name.
    let mut tokenizers: Vec<Tokenizer> = pre_tokenizers()
        .filter_map(|pre| {
            let tokenizer = Parts { pre: Some(pre), ..parts.clone() }.build().unwrap();
            (tokenizer.pre_tokenizer() == Some(pre)).then_some(tokenizer)
        })
        .collect();
    let mut parts = spm();
    for text in ["▁", "▁▁", "▁▁▁▁", "a", "aa", "aaaa"] {
        parts.push(text, NORMAL, -(text.len() as f32));
    }
    tokenizers.push(parts.build().unwrap());
    for unit in ["a", "A", " ", "\n", "👩‍🚀", "1", "'", " a", "éA", "<", "IMGIMGA", "<sentinel:1"]
    {
        let text = unit.repeat((1 << 18) / unit.len());
        for tokenizer in &tokenizers {
            let ids = encode(tokenizer, &text);
            let pre = tokenizer.pre_tokenizer();
            assert!(decode(tokenizer, &ids) == text, "{unit:?} came back changed: {pre:?}");
        }
    }
    assert_eq!(encode(&tokenizers[0], &"a".repeat(1 << 20)).len(), 1 << 14);
}
