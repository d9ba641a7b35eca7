//! Which ids have a task of their own: from the file's keys, else by text, as llama.cpp
//! (`llm_load_vocab`, October 2024) does. It adds no id that llama.cpp would not find.

use super::error::TokenizerError;
use super::source::SpecialIds;

/// Texts by which llama.cpp finds an id that the file does not name, most telling first. llama.cpp
/// takes them in the order of a hash table; where a vocabulary has two of a list, ours is the
/// first one.
const EOT: &[&str] = &[
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<EOT>",
    "<｜end▁of▁sentence｜>",
];
const EOM: &[&str] = &["<|eom_id|>"];
const FIM_PRE: &[&str] = &["<|fim_prefix|>", "<fim-prefix>", "<｜fim▁begin｜>", "<PRE>"];
const FIM_SUF: &[&str] = &["<|fim_suffix|>", "<fim-suffix>", "<｜fim▁hole｜>", "<SUF>"];
const FIM_MID: &[&str] = &["<|fim_middle|>", "<fim-middle>", "<｜fim▁end｜>", "<MID>"];
const FIM_PAD: &[&str] = &["<|fim_pad|>", "<fim-pad>", "<PAD>"];
const FIM_REP: &[&str] = &["<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>"];
const FIM_SEP: &[&str] = &["<|file_sep|>"];
/// Texts that end generation wherever they occur.
const ENDS: &[&str] = &[
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|eom_id|>",
    "<EOT>",
];

/// The ids of a vocabulary after llama.cpp's rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resolved {
    pub(super) ids: SpecialIds,
    /// Ascending, each once.
    pub(super) end_of_generation: Vec<u32>,
    /// Ids that were found by their text, which makes them control tokens.
    pub(super) control: Vec<u32>,
}

/// Settles the special ids of a vocabulary of `size` tokens, given what the file says, the
/// format's defaults and a search by text.
pub(super) fn resolve(
    stated: &SpecialIds,
    default: SpecialIds,
    size: usize,
    find: impl Fn(&str) -> Option<u32>,
) -> Result<Resolved, TokenizerError> {
    check(stated, size)?;
    let within = |id: &u32| (*id as usize) < size;
    let mut control = Vec::new();
    let mut by_text = |stated: Option<u32>, texts: &[&str]| {
        stated.or_else(|| {
            let found = texts.iter().find_map(|text| find(text))?;
            control.push(found);
            Some(found)
        })
    };
    let ids = SpecialIds {
        bos: stated.bos.or(default.bos.filter(within)),
        eos: stated.eos.or(default.eos.filter(within)),
        unk: stated.unk.or(default.unk.filter(within)),
        pad: stated.pad,
        eot: by_text(stated.eot, EOT),
        eom: by_text(stated.eom, EOM),
        fim_pre: by_text(stated.fim_pre, FIM_PRE),
        fim_suf: by_text(stated.fim_suf, FIM_SUF),
        fim_mid: by_text(stated.fim_mid, FIM_MID),
        fim_pad: by_text(stated.fim_pad, FIM_PAD),
        fim_rep: by_text(stated.fim_rep, FIM_REP),
        fim_sep: by_text(stated.fim_sep, FIM_SEP),
    };
    control.extend(ENDS.iter().filter_map(|text| find(text)));
    let named = [ids.fim_pad, ids.fim_rep, ids.fim_sep, ids.eos, ids.eot, ids.eom];
    let mut end_of_generation: Vec<u32> = named.into_iter().flatten().collect();
    end_of_generation.extend(ENDS.iter().filter_map(|text| find(text)));
    for list in [&mut control, &mut end_of_generation] {
        list.sort_unstable();
        list.dedup();
    }
    Ok(Resolved { ids, end_of_generation, control })
}

fn check(stated: &SpecialIds, vocab_size: usize) -> Result<(), TokenizerError> {
    let keys = [
        ("bos_token_id", stated.bos),
        ("eos_token_id", stated.eos),
        ("eot_token_id", stated.eot),
        ("eom_token_id", stated.eom),
        ("unknown_token_id", stated.unk),
        ("padding_token_id", stated.pad),
        ("fim_pre_token_id", stated.fim_pre),
        ("fim_suf_token_id", stated.fim_suf),
        ("fim_mid_token_id", stated.fim_mid),
        ("fim_pad_token_id", stated.fim_pad),
        ("fim_rep_token_id", stated.fim_rep),
        ("fim_sep_token_id", stated.fim_sep),
    ];
    for (key, id) in keys {
        if let Some(id) = id
            && id as usize >= vocab_size
        {
            return Err(TokenizerError::SpecialIdOutOfRange { key, id, vocab_size });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GPT2: SpecialIds = SpecialIds {
        bos: Some(11),
        eos: Some(11),
        eot: None,
        eom: None,
        unk: None,
        pad: None,
        fim_pre: None,
        fim_suf: None,
        fim_mid: None,
        fim_pad: None,
        fim_rep: None,
        fim_sep: None,
    };

    fn find<'a>(texts: &'a [&str]) -> impl Fn(&str) -> Option<u32> + 'a {
        |wanted| texts.iter().position(|&text| text == wanted).map(|id| id as u32)
    }

    #[test]
    fn the_file_comes_before_the_text_and_the_default() {
        let texts = ["a", "<|eot_id|>", "<|im_end|>", "<|fim_pad|>", "</s>"];
        let stated = SpecialIds { eos: Some(4), ..SpecialIds::default() };
        let found = resolve(&stated, GPT2, texts.len(), find(&texts)).unwrap();
        assert_eq!((found.ids.bos, found.ids.eos, found.ids.eot), (None, Some(4), Some(1)));
        assert_eq!(found.end_of_generation, [1, 2, 3, 4]);
        assert_eq!(found.control, [1, 2, 3]);

        let stated = SpecialIds { eot: Some(0), ..stated };
        let found = resolve(&stated, GPT2, texts.len(), find(&texts)).unwrap();
        assert_eq!(found.ids.eot, Some(0));
        assert_eq!(found.end_of_generation, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn defaults_hold_where_they_are_ids() {
        let texts = ["x"; 12];
        let found = resolve(&SpecialIds::default(), GPT2, texts.len(), find(&texts)).unwrap();
        assert_eq!((found.ids.bos, found.end_of_generation), (Some(11), vec![11]));
        let found = resolve(&SpecialIds::default(), GPT2, 11, find(&texts[..11])).unwrap();
        assert_eq!((found.ids.bos, found.end_of_generation), (None, vec![]));
    }

    #[test]
    fn ids_outside_the_vocabulary_are_refused_by_key() {
        let stated = SpecialIds { pad: Some(u32::MAX), ..SpecialIds::default() };
        let error = resolve(&stated, GPT2, 3, find(&["a", "b", "c"])).unwrap_err();
        assert_eq!(
            error,
            TokenizerError::SpecialIdOutOfRange {
                key: "padding_token_id",
                id: u32::MAX,
                vocab_size: 3
            }
        );
    }
}
