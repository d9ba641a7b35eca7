//! Splitting a text into words, as the regular expressions behind `tokenizer.ggml.pre` would.
//!
//! The expressions are llama.cpp's (`llama-vocab.cpp`, October 2024), which for some names differ
//! from those of the model's own tokenizer.json. They are scanned by hand: one pass per stage, no
//! backtracking. A stage sees each word of the stage before on its own, so that its look-ahead
//! ends where the word ends. No word is lost, changed or empty.
//!
//! Names that llama.cpp has added since are known where it gives them expressions that it had
//! then.

mod cased;
mod cut;
mod stage;
mod words;

use stage::Stage;

/// A named way of splitting, with the settings that llama.cpp ties to the name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PreTokenizer {
    /// Name in `tokenizer.ggml.pre`; of aliases the first one.
    pub(crate) name: &'static str,
    /// A word that is a token is taken as it is, without merging.
    pub(super) ignore_merges: bool,
    /// BOS is added unless the file says otherwise.
    pub(super) add_bos: bool,
    /// Without a key in the file, BOS is the format's default id; if not, there is no BOS.
    pub(super) default_bos: bool,
    /// Detokenising removes the spaces before punctuation.
    pub(super) clean_up_spaces: bool,
    stages: &'static [Stage],
}

const DEFAULT: PreTokenizer = PreTokenizer {
    name: "default",
    ignore_merges: false,
    add_bos: false,
    default_bos: true,
    clean_up_spaces: true,
    stages: &[Stage::Punctuation, Stage::Gpt2, Stage::Numbers, Stage::ThreeDigits],
};

const GPT_2: PreTokenizer = PreTokenizer { name: "gpt-2", stages: &[Stage::Gpt2], ..DEFAULT };

const TRILLION: PreTokenizer = PreTokenizer { name: "trillion", clean_up_spaces: false, ..GPT_2 };

const LLAMA_BPE: PreTokenizer = PreTokenizer {
    name: "llama-bpe",
    ignore_merges: true,
    add_bos: true,
    stages: &[Stage::Llama3],
    ..DEFAULT
};

const DBRX: PreTokenizer = PreTokenizer { name: "dbrx", stages: &[Stage::Llama3], ..DEFAULT };

const CHATGLM: PreTokenizer = PreTokenizer { name: "chatglm-bpe", default_bos: false, ..DBRX };

const STABLELM_2: PreTokenizer =
    PreTokenizer { name: "stablelm2", stages: &[Stage::Qwen2], ..DEFAULT };

const QWEN_2: PreTokenizer = PreTokenizer { name: "qwen2", clean_up_spaces: false, ..STABLELM_2 };

const TEKKEN: PreTokenizer = PreTokenizer {
    name: "tekken",
    ignore_merges: true,
    add_bos: true,
    clean_up_spaces: false,
    stages: &[Stage::Tekken],
    ..DEFAULT
};

const STARCODER: PreTokenizer =
    PreTokenizer { name: "starcoder", stages: &[Stage::Number, Stage::Gpt2], ..DEFAULT };

const SMOLLM: PreTokenizer = PreTokenizer { name: "smollm", clean_up_spaces: false, ..STARCODER };

const FALCON: PreTokenizer = PreTokenizer {
    name: "falcon",
    stages: &[Stage::PunctuationOrBacktick, Stage::Gpt2, Stage::ThreeDigits],
    ..DEFAULT
};

const FALCON_3: PreTokenizer = PreTokenizer {
    name: "falcon3",
    stages: &[Stage::PunctuationOrBacktick, Stage::Gpt2, Stage::Digit],
    ..DEFAULT
};

const DEEPSEEK_LLM: PreTokenizer = PreTokenizer {
    name: "deepseek-llm",
    clean_up_spaces: false,
    stages: &[
        Stage::LineBreak,
        Stage::SpacedCasedLetters,
        Stage::SpacedSigns,
        Stage::TrailingSpaces,
        Stage::Cjk,
        Stage::Numbers,
    ],
    ..DEFAULT
};

const DEEPSEEK_CODER: PreTokenizer = PreTokenizer {
    name: "deepseek-coder",
    clean_up_spaces: false,
    stages: &[
        Stage::LineBreak,
        Stage::SpacedLetters,
        Stage::SpacedPunctuation,
        Stage::Cjk,
        Stage::Number,
    ],
    ..DEFAULT
};

const BLOOM: PreTokenizer =
    PreTokenizer { name: "bloom", stages: &[Stage::SpacedClauses], ..DEFAULT };

const PORO: PreTokenizer = PreTokenizer { name: "poro-chat", clean_up_spaces: false, ..BLOOM };

const VIKING: PreTokenizer = PreTokenizer {
    name: "viking",
    clean_up_spaces: false,
    stages: &[Stage::SpacedClauses, Stage::Number],
    ..DEFAULT
};

const CHAMELEON: PreTokenizer = PreTokenizer {
    name: "chameleon",
    add_bos: true,
    clean_up_spaces: false,
    stages: &[
        Stage::Sentinel,
        Stage::ImageToken,
        Stage::Indent,
        Stage::Number,
        Stage::PunctuationMark,
        Stage::Gpt2,
    ],
    ..DEFAULT
};

/// Names with the same rules, grouped; the first of a group is that of the rules.
const GROUPS: [(&PreTokenizer, &[&str]); 19] = [
    (&DEFAULT, &["default"]),
    (&LLAMA_BPE, &["llama-bpe", "llama3", "llama-v3", "falcon-h1", "lfm2", "midm-2.0", "pixtral"]),
    (&DBRX, &["dbrx", "smaug-bpe"]),
    (&CHATGLM, &["chatglm-bpe", "glm4"]),
    (
        &GPT_2,
        &[
            "gpt-2", "phi-2", "mpt", "olmo", "jais", "jina-de", "jina-es", "a.x-4.0", "exaone4",
            "gigachat", "mellum",
        ],
    ),
    (&TRILLION, &["trillion", "granite-docling"]),
    (&STABLELM_2, &["stablelm2", "megrez"]),
    (
        &QWEN_2,
        &["qwen2", "deepseek-r1-qwen", "f2llmv2", "grok-2", "hunyuan", "kormo", "solar-open"],
    ),
    (&TEKKEN, &["tekken"]),
    (&STARCODER, &["starcoder", "refact", "codeshell", "exaone", "mellum2", "minerva-7b"]),
    (&SMOLLM, &["smollm", "command-r"]),
    (&FALCON, &["falcon"]),
    (&FALCON_3, &["falcon3", "falcon_e"]),
    (&DEEPSEEK_LLM, &["deepseek-llm"]),
    (&DEEPSEEK_CODER, &["deepseek-coder"]),
    (&BLOOM, &["bloom", "gpt3-finnish"]),
    (&PORO, &["poro-chat"]),
    (&VIKING, &["viking"]),
    (&CHAMELEON, &["chameleon"]),
];

impl PreTokenizer {
    /// The rules of a name in `tokenizer.ggml.pre`.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        GROUPS.iter().find(|(_, names)| names.contains(&name)).map(|(rules, _)| *rules)
    }

    /// The rules for a file that names none.
    pub(crate) fn unnamed() -> &'static Self {
        &DEFAULT
    }

    /// Every supported name, aliases beside each other.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        GROUPS.iter().flat_map(|(_, names)| names.iter().copied())
    }

    /// The words of a text; together they are the text.
    pub(crate) fn words<'t>(&self, text: &'t str) -> Vec<&'t str> {
        let mut words = vec![text];
        for stage in self.stages {
            let mut split = Vec::with_capacity(words.len());
            for word in words {
                stage.split(word, &mut split);
            }
            words = split;
        }
        words.retain(|word| !word.is_empty());
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words<'t>(name: &str, text: &'t str) -> Vec<&'t str> {
        let words = PreTokenizer::named(name).unwrap().words(text);
        assert_eq!(words.concat(), text);
        words
    }

    #[test]
    fn gpt_2_keeps_one_space_with_the_word_that_follows() {
        assert_eq!(words("gpt-2", "Hello  my world"), ["Hello", " ", " my", " world"]);
        assert_eq!(words("gpt-2", "a \t b"), ["a", " \t", " b"]);
        assert_eq!(words("gpt-2", "end  "), ["end", "  "]);
        assert_eq!(words("gpt-2", "a\n\nb"), ["a", "\n", "\n", "b"]);
        assert_eq!(words("gpt-2", "x\u{3000}y"), ["x", "\u{3000}", "y"]);
    }

    #[test]
    fn gpt_2_separates_letters_numbers_and_the_rest() {
        assert_eq!(
            words("gpt-2", "abc123 456?! $é½"),
            ["abc", "123", " 456", "?!", " $", "é", "½"]
        );
        assert_eq!(words("gpt-2", "e\u{301}😀"), ["e", "\u{301}😀"]);
    }

    #[test]
    fn gpt_2_contractions_are_in_lower_case() {
        assert_eq!(
            words("gpt-2", "we're I'LL 'd's'x"),
            ["we", "'re", " I", "'", "LL", " '", "d", "'s", "'", "x"]
        );
        assert_eq!(words("gpt-2", "'"), ["'"]);
        assert_eq!(words("gpt-2", "'l"), ["'", "l"]);
    }

    #[test]
    fn llama_3_takes_contractions_in_either_case_and_three_digits() {
        assert_eq!(words("llama-bpe", "We'RE 12345 x"), ["We", "'RE", " ", "123", "45", " x"]);
        assert_eq!(words("llama-bpe", "don'T"), ["don", "'T"]);
    }

    #[test]
    fn llama_3_lets_one_character_lead_a_word() {
        assert_eq!(words("llama-bpe", "(hi)\thi !hi"), ["(hi", ")", "\thi", " !", "hi"]);
        assert_eq!(words("llama-bpe", "\nhi 1a"), ["\n", "hi", " ", "1", "a"]);
    }

    #[test]
    fn llama_3_ends_words_with_line_breaks() {
        assert_eq!(
            words("llama-bpe", "a.\n\nb \n \n  c"),
            ["a", ".\n\n", "b", " \n \n", " ", " c"]
        );
        assert_eq!(words("llama-bpe", " ?\r\n "), [" ?\r\n", " "]);
        assert_eq!(words("llama-bpe", "a  "), ["a", "  "]);
    }

    #[test]
    fn default_cuts_punctuation_first_and_digits_last() {
        assert_eq!(words("default", "a (b).c"), ["a", " ", "(", "b", ").", "c"]);
        assert_eq!(words("default", "x 1234567"), ["x", " ", "123", "456", "7"]);
        assert_eq!(words("default", "a `b` |"), ["a", " `", "b", "`", " ", "|"]);
        // The apostrophe is gone before contractions are looked for.
        assert_eq!(words("default", "we're"), ["we", "'", "re"]);
        // Look-ahead ends where the first stage has cut.
        assert_eq!(words("default", "a  ."), ["a", "  ", "."]);
        assert_eq!(words("gpt-2", "a  ."), ["a", " ", " ."]);
        assert_eq!(words("default", "٣٣123"), ["٣٣", "123"]);
    }

    #[test]
    fn falcon_cuts_the_backtick_as_well_and_keeps_numbers_together() {
        assert_eq!(words("falcon", "`a` 12 1234"), ["`", "a", "`", " 12", " ", "123", "4"]);
    }

    #[test]
    fn deepseek_coder_cuts_lines_letters_punctuation_and_single_digits() {
        assert_eq!(
            words("deepseek-coder", "a  b\n(c) 12中文"),
            ["a", " ", " b", "\n", "(", "c", ")", " ", "1", "2", "中文"]
        );
        assert_eq!(words("deepseek-coder", "x中"), ["x", "中"]);
        assert_eq!(words("deepseek-coder", "  \u{3000}?"), ["  ", "\u{3000}?"]);
    }

    #[test]
    fn every_name_is_known_once_and_the_first_is_that_of_its_rules() {
        let names: Vec<&str> = PreTokenizer::names().collect();
        let distinct: std::collections::BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(distinct.len(), names.len());
        for (rules, names) in GROUPS {
            assert_eq!(rules.name, names[0]);
            assert!(names.iter().all(|name| PreTokenizer::named(name).unwrap().name == names[0]));
        }
        for name in ["Default", "qwen", "deepseek-v3", ""] {
            assert!(PreTokenizer::named(name).is_none(), "{name}");
        }
    }

    #[test]
    fn every_rule_returns_every_text() {
        let hard = "'' 's'\r\n\t 12345٣½ x\u{85}\u{3000}中文。、（）\0\u{200B}\u{1C89}e\u{301}👨‍👩‍👧 `$^~éABcD/\nIMGIMGABZ<sentinel:1>،。  ";
        for (rules, _) in GROUPS {
            for (start, _) in hard.char_indices() {
                for (end, _) in hard.char_indices().filter(|&(end, _)| end >= start) {
                    let words = rules.words(&hard[start..end]);
                    assert_eq!(words.concat(), &hard[start..end], "{}", rules.name);
                    assert!(words.iter().all(|word| !word.is_empty()), "{}", rules.name);
                }
            }
        }
    }
}
