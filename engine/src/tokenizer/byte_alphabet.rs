//! GPT-2's alphabet: a printable character for every byte; it handles single characters only.
//!
//! Layout: `bytes_to_unicode` in OpenAI's gpt-2 `encoder.py`. The bytes `!`..`~`, `¡`..`¬` and
//! `®`..`ÿ` stand for themselves as Latin-1 characters; the other 68, in ascending order, for
//! U+0100, U+0101, … (so a space is `Ġ`, a line feed `Ċ`).

const fn stands_for_itself(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF)
}

const CHARS: [char; 256] = {
    let mut chars = ['\0'; 256];
    let mut shifted = 0x100;
    let mut byte = 0;
    while byte < 256 {
        let code = if stands_for_itself(byte as u8) {
            byte as u32
        } else {
            shifted += 1;
            shifted - 1
        };
        chars[byte] = match char::from_u32(code) {
            Some(c) => c,
            None => panic!("every code here is below 0x200"),
        };
        byte += 1;
    }
    chars
};

const BYTES: [Option<u8>; 0x144] = {
    let mut bytes = [None; 0x144];
    let mut byte = 0;
    while byte < 256 {
        bytes[CHARS[byte] as usize] = Some(byte as u8);
        byte += 1;
    }
    bytes
};

/// The character that stands for a byte.
pub(crate) const fn byte_to_char(byte: u8) -> char {
    CHARS[byte as usize]
}

/// The byte that a character stands for; none for characters outside the alphabet.
pub(crate) fn char_to_byte(c: char) -> Option<u8> {
    BYTES.get(c as usize).copied().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_letters() {
        for (byte, c) in
            [(b' ', 'Ġ'), (b'\n', 'Ċ'), (0, 'Ā'), (0x7F, 'ġ'), (0xAD, 'Ń'), (b'a', 'a')]
        {
            assert_eq!(byte_to_char(byte), c);
        }
    }

    #[test]
    fn every_byte_has_a_letter_of_its_own() {
        let letters: std::collections::BTreeSet<char> = (0..=255).map(byte_to_char).collect();
        assert_eq!(letters.len(), 256);
        for byte in 0..=255 {
            assert_eq!(char_to_byte(byte_to_char(byte)), Some(byte));
        }
        let known = (0..0x1000).filter_map(char::from_u32).filter_map(char_to_byte).count();
        assert_eq!(known, 256, "letters outside the alphabet must name no byte");
    }
}
