//! Each rule on texts short enough to follow by hand; `runner/tests/tokenizer_differential` has the rest.

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
    assert_eq!(words("gpt-2", "abc123 456?! $é½"), ["abc", "123", " 456", "?!", " $", "é", "½"]);
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
    assert_eq!(words("llama-bpe", "a.\n\nb \n \n  c"), ["a", ".\n\n", "b", " \n \n", " ", " c"]);
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

#[test]
fn qwen_2_takes_digits_one_by_one() {
    assert_eq!(words("qwen2", "We'RE 12 x!\n"), ["We", "'RE", " ", "1", "2", " x", "!\n"]);
    assert_eq!(words("qwen2", "٣½a"), ["٣", "½", "a"]);
    assert_eq!(words("stablelm2", "\r\n\t x"), ["\r\n", "\t", " x"]);
}

#[test]
fn tekken_ends_a_word_where_capitals_follow() {
    assert_eq!(words("tekken", "camelCase HTTPServer"), ["camel", "Case", " HTTPServer"]);
    // Letters beyond ASCII count as both: the run of capitals goes back to the last of them.
    assert_eq!(words("tekken", "éAB ÉéAb ÄÖAB"), ["é", "AB", " ÉéAb", " ÄÖ", "AB"]);
    assert_eq!(words("tekken", "x中A中b"), ["x中", "A中b"]);
    assert_eq!(words("tekken", "a//\n/b 12's"), ["a", "//\n/", "b", " ", "1", "2", "'s"]);
    assert_eq!(words("tekken", "e\u{301}"), ["e", "\u{301}"]);
}

#[test]
fn starcoder_cuts_digits_before_words() {
    assert_eq!(words("starcoder", "a 12 b'll"), ["a", " ", "1", "2", " b", "'ll"]);
    assert_eq!(words("command-r", " ٣½"), [" ", "٣", "½"]);
}

#[test]
fn falcon_3_cuts_ascii_digits_only() {
    assert_eq!(words("falcon3", "`a` 123 ٣٣"), ["`", "a", "`", " ", "1", "2", "3", " ٣٣"]);
    assert_eq!(words("falcon_e", "x12"), ["x", "1", "2"]);
}

#[test]
fn deepseek_llm_knows_only_its_own_letters() {
    assert_eq!(
        words("deepseek-llm", "a  éé\n中a 12"),
        ["a", " ", " éé", "\n", "中", "a", " ", "12"]
    );
    // Armenian in lower case is not in its list, and the ASCII letters are among its signs.
    assert_eq!(words("deepseek-llm", "աb aé"), ["ա", "b", " a", "é"]);
    assert_eq!(words("deepseek-llm", "x  "), ["x", "  "]);
    assert_eq!(words("deepseek-llm", " (、\u{3000}?"), [" (", "、", "\u{3000}?"]);
}

#[test]
fn bloom_keeps_everything_but_the_ends_of_clauses_together() {
    assert_eq!(words("bloom", "a1'b (c)  d."), ["a1'b", " (", "c", ") ", " d", "."]);
    assert_eq!(words("bloom", "x\u{3000}y、z…"), ["x", "\u{3000}", "y", "、", "z", "…"]);
    assert_eq!(words("viking", "a12 3"), ["a", "1", "2", " ", "3"]);
}

#[test]
fn chameleon_cuts_its_image_tokens_and_indents() {
    assert_eq!(words("chameleon", "aIMGIMGABZb"), ["a", "IMGIMGABZ", "b"]);
    // The later stages cut what the first one put together.
    assert_eq!(words("chameleon", "a<sentinel:12>"), ["a", "<", "sentinel", ":", "1", "2", ">"]);
    assert_eq!(words("chameleon", "IMGIMGABCDEZ"), ["IMGIMGABCDEZ"]);
    assert_eq!(words("chameleon", "<sentinel:>"), ["<", "sentinel", ":", ">"]);
    assert_eq!(words("chameleon", "\tx       y$"), ["\t", "x", "    ", "  ", " y", "$"]);
}

#[test]
fn the_documentation_lists_the_names_by_their_rules() {
    let page = include_str!("../../../../docs/tokenizers.md");
    let is_row = |line: &&str| line.matches('|').count() == 5 && !line.contains("ggml");
    let rows: Vec<&str> = page.lines().filter(is_row).filter(|row| row.contains('`')).collect();
    assert_eq!(rows.len(), GROUPS.len());
    for (row, (rules, names)) in rows.into_iter().zip(GROUPS) {
        let documented: Vec<&str> = row.split('`').skip(1).step_by(2).collect();
        assert_eq!(documented, names);
        let cells: Vec<bool> = row.split('|').map(|cell| cell.trim() == "yes").collect();
        assert_eq!([cells[2], cells[3]], [rules.add_bos, rules.ignore_merges], "{row}");
    }
}
