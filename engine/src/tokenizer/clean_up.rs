//! llama.cpp's `clean_up_tokenization_spaces` (`llama_detokenize_impl`), its quirks included.
//!
//! Three passes over the bytes: the space goes from ` ?`, ` !`, ` .`, ` ,`; both spaces go from
//! ` ' `; the space goes from ` 's`, ` 'm`, ` 're`, ` 've`. A text that holds such spaces on
//! purpose loses them: this is for showing text, not for getting it back.

/// The cleaned text.
pub(super) fn clean_up_spaces(text: &[u8]) -> Vec<u8> {
    let text = before_punctuation(text);
    let text = around_apostrophes(&text);
    before_contractions(&text)
}

fn before_punctuation(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for (i, &byte) in text.iter().enumerate() {
        if i > 0 && text[i - 1] == b' ' && matches!(byte, b'?' | b'!' | b'.' | b',') {
            out.pop();
        }
        out.push(byte);
    }
    out
}

fn around_apostrophes(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut before = 0;
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b'\'' && before == b' ' && bytes.peek() == Some(&b' ') {
            out.pop();
            bytes.next();
            // llama.cpp overwrites the space with a zero byte, so that it opens no second match.
            before = 0;
        } else {
            before = byte;
        }
        out.push(byte);
    }
    out
}

fn before_contractions(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for (i, &byte) in text.iter().enumerate() {
        if i > 0 && text[i - 1] == b' ' && byte == b'\'' {
            let joins = matches!(
                (text.get(i + 1), text.get(i + 2)),
                (Some(b's' | b'm'), _) | (Some(b'r' | b'v'), Some(b'e'))
            );
            if joins {
                out.pop();
            }
        }
        out.push(byte);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(text: &str) -> String {
        String::from_utf8(clean_up_spaces(text.as_bytes())).unwrap()
    }

    #[test]
    fn spaces_before_punctuation_go() {
        assert_eq!(cleaned("Well , no ! Why ?  . end"), "Well, no! Why? . end");
        assert_eq!(cleaned(" ."), ".");
        assert_eq!(cleaned(""), "");
        assert_eq!(cleaned("a :b"), "a :b");
    }

    #[test]
    fn lone_apostrophes_lose_both_spaces_but_not_twice() {
        assert_eq!(cleaned("a ' b"), "a'b");
        assert_eq!(cleaned("a ' ' b"), "a'' b");
        assert_eq!(cleaned("a '"), "a '");
    }

    #[test]
    fn some_contractions_are_joined() {
        assert_eq!(cleaned("it 's I 'm we 're I 've"), "it's I'm we're I've");
        assert_eq!(cleaned("don 't I 'll I 'd x 'rx 'r"), "don 't I 'll I 'd x 'rx 'r");
    }
}
