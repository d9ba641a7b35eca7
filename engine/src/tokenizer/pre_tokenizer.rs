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
#[cfg(test)]
mod tests;
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

const GLM_4: PreTokenizer = PreTokenizer { name: "glm4", ignore_merges: true, ..CHATGLM };

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
const GROUPS: [(&PreTokenizer, &[&str]); 20] = [
    (&DEFAULT, &["default"]),
    (&LLAMA_BPE, &["llama-bpe", "llama3", "llama-v3", "falcon-h1", "lfm2", "midm-2.0", "pixtral"]),
    (&DBRX, &["dbrx", "smaug-bpe"]),
    (&CHATGLM, &["chatglm-bpe"]),
    (&GLM_4, &["glm4", "glm5"]),
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
