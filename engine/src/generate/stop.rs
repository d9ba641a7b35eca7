//! Where a text ends: strings that may begin and end inside tokens. What could still become one is
//! held back, so that no part of a stop string is ever given out. It knows no ids and no model.

/// Why stop strings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StopError {
    /// It would end every text before its first character.
    #[error("stop string {0} is empty: leave it out, or ask for 0 tokens")]
    Empty(usize),
}

/// Watches a growing text for the first stop string.
///
/// The stop string that is complete first ends the text; of two that are complete at the same
/// character, the longer one. How the text is cut into pieces changes nothing.
#[derive(Debug, Clone, Default)]
pub struct StopStrings {
    strings: Vec<String>,
    /// The end of the text that could become a stop string.
    held: String,
    /// What the last call gave out.
    ready: String,
}

impl StopStrings {
    /// A watch for any of `strings`; for none it lets everything pass.
    ///
    /// # Errors
    /// If one of them is empty.
    pub fn new(strings: Vec<String>) -> Result<Self, StopError> {
        if let Some(index) = strings.iter().position(String::is_empty) {
            return Err(StopError::Empty(index + 1));
        }
        Ok(Self { strings, ..Self::default() })
    }

    /// Takes the next piece of the text. Gives the text that is now certain to come before any stop
    /// string, and the stop string, if one is complete: the text ends there, and nothing is held.
    pub fn push(&mut self, piece: &str) -> (&str, Option<&str>) {
        self.ready.clear();
        self.held.push_str(piece);
        let found = self.strings.iter().filter_map(|string| {
            let start = self.held.find(string.as_str())?;
            Some((start + string.len(), start, string.as_str()))
        });
        if let Some((_, start, string)) = found.min() {
            self.ready.push_str(&self.held[..start]);
            self.held.clear();
            return (&self.ready, Some(string));
        }
        let certain = self.held.len() - self.start_of_stop();
        self.ready.extend(self.held.drain(..certain));
        (&self.ready, None)
    }

    /// Ends the text without a stop string: what was held back belongs to it.
    pub fn finish(&mut self) -> &str {
        self.ready.clear();
        self.ready.push_str(&self.held);
        self.held.clear();
        &self.ready
    }

    /// Bytes at the end of what is held that are the start of a stop string. Such an end begins with
    /// a character's first byte, because the stop string does.
    fn start_of_stop(&self) -> usize {
        let held = self.held.as_bytes();
        let start_of = |string: &String| {
            let longest = held.len().min(string.len() - 1);
            (1..=longest)
                .rev()
                .find(|length| held[held.len() - length..] == string.as_bytes()[..*length])
        };
        self.strings.iter().filter_map(start_of).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Text given out and the stop string, for a text that comes in these pieces.
    fn run(stops: &[&str], pieces: &[&str]) -> (String, Option<String>) {
        let stops = stops.iter().map(ToString::to_string).collect();
        let mut watch = StopStrings::new(stops).expect("none is empty");
        let mut out = String::new();
        for piece in pieces {
            let (ready, stop) = watch.push(piece);
            out.push_str(ready);
            if let Some(stop) = stop {
                return (out, Some(stop.to_owned()));
            }
        }
        out.push_str(watch.finish());
        (out, None)
    }

    /// All ways to cut a text into pieces at its characters.
    fn cuts(text: &str) -> Vec<Vec<&str>> {
        let ends: Vec<usize> = text.char_indices().map(|(i, _)| i).skip(1).collect();
        (0..1usize << ends.len())
            .map(|mask| {
                let chosen = ends.iter().enumerate().filter(|(bit, _)| mask >> bit & 1 == 1);
                let mut start = 0;
                let mut pieces = Vec::new();
                for end in chosen.map(|(_, end)| *end).chain([text.len()]) {
                    pieces.push(&text[start..end]);
                    start = end;
                }
                pieces
            })
            .collect()
    }

    #[test]
    fn every_way_to_cut_the_text_ends_it_at_the_same_place() {
        for (stops, text, out, stop) in [
            (&["END"][..], "say END now", "say ", Some("END")),
            (&["\n\nUser:", "\n\n"], "a\n\nUser:", "a", Some("\n\n")),
            (&["abcd", "bc"], "xabcdy", "xa", Some("bc")),
            (&["c", "abc"], "zabc", "z", Some("abc")),
            (&["aab"], "aaaab", "aa", Some("aab")),
            (&["été"], "l'été.", "l'", Some("été")),
            (&["🦀🦀"], "🦀é🦀🦀!", "🦀é", Some("🦀🦀")),
            (&["<|end|>"], "a <|en b", "a <|en b", None),
            (&["xyz"], "wxy", "wxy", None),
            (&[], "all of it", "all of it", None),
        ] {
            for pieces in cuts(text) {
                let found = run(stops, &pieces);
                assert_eq!(found, (out.into(), stop.map(Into::into)), "{stops:?} in {pieces:?}");
            }
        }
    }

    #[test]
    fn what_cannot_become_a_stop_string_is_given_out_at_once() {
        let mut watch = StopStrings::new(vec!["stop".into()]).expect("not empty");
        assert_eq!(watch.push("st"), ("", None));
        assert_eq!(watch.push("ar"), ("star", None));
        assert_eq!(watch.push("s"), ("", None));
        assert_eq!(watch.push("sto"), ("s", None));
        assert_eq!(watch.push("p it"), ("", Some("stop")));
        assert_eq!(watch.finish(), "", "what follows a stop string is not held");
    }

    #[test]
    fn an_empty_stop_string_is_refused_by_its_place() {
        let error = StopStrings::new(vec!["a".into(), String::new()]).expect_err("refused");
        assert_eq!(error.to_string(), "stop string 2 is empty: leave it out, or ask for 0 tokens");
    }

    proptest! {
        #[test]
        fn what_is_given_out_is_the_text_before_the_first_stop(
            pieces in prop::collection::vec("[abé]{0,3}", 0..12),
            stops in prop::collection::vec("[abé]{1,4}", 0..4),
        ) {
            let text = pieces.concat();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            // Character by character: the first end at which some stop string is complete.
            let ends = text.char_indices().map(|(i, c)| i + c.len_utf8());
            let first = ends.filter_map(|end| {
                let complete = stops.iter().filter(|s| text[..end].ends_with(**s));
                let longest = complete.max_by_key(|s| s.len())?;
                Some((text[..end - longest.len()].to_owned(), Some((*longest).to_owned())))
            }).next();
            prop_assert_eq!(run(&stops, &pieces), first.unwrap_or((text, None)));
        }
    }
}
