//! The commands that Markdown documents tell people to type: the lines of their `sh` blocks, and those behind
//! a prompt in their `console` blocks, as words. Just enough of a shell for documents; what it does not understand is a panic that names the place.

use std::fs;
use std::path::{Path, PathBuf};

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The document and the line, for messages.
    pub place: String,
    /// What its block is marked with, such as `sh tested`.
    pub block: String,
    /// Program and arguments, without variables in front and without redirections.
    pub words: Vec<String>,
}

/// The documents of the project in `root`.
pub fn documents(root: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(root.join("docs"))
        .expect("the documents")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    found.extend(["README.md", "cpp-bridge/README.md", "suites/README.md"].map(|p| root.join(p)));
    found.sort();
    found
}

/// The commands of all `sh` and `console` blocks of `document`, in order.
pub fn commands(document: &Path) -> Vec<Line> {
    let name = document.file_name().expect("a name").to_string_lossy().into_owned();
    let text = fs::read_to_string(document).expect("the document");
    let (mut found, mut block) = (Vec::new(), None);
    for (index, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), &block) {
            (Some(mark), None) => block = Some(mark.to_owned()),
            (Some(_), Some(_)) => block = None,
            (None, Some(mark)) => {
                let is_shell = mark == "sh" || mark.starts_with("sh ");
                let typed = if mark == "console" {
                    line.strip_prefix("$ ")
                } else {
                    is_shell.then_some(line)
                };
                let Some(line) = typed else { continue };
                let place = format!("{name}:{}", index + 1);
                for words in split(line, &place) {
                    found.push(Line { place: place.clone(), block: mark.clone(), words });
                }
            }
            (None, None) => {}
        }
    }
    found
}

/// The simple commands of a line. Those in `$(…)` come first.
pub fn split(line: &str, place: &str) -> Vec<Vec<String>> {
    let (mut done, mut words, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let mut rest = line.chars().peekable();
    let mut quote = None;
    while let Some(c) = rest.next() {
        match (c, quote) {
            (c, Some(end)) if c == end => quote = None,
            ('$', _) if quote != Some('\'') && rest.peek() == Some(&'(') => {
                rest.next();
                let inner: String = rest.by_ref().take_while(|c| *c != ')').collect();
                done.extend(split(&inner, place));
                word.get_or_insert_default().push_str("substituted");
            }
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            ('#', None) if word.is_none() => break,
            ('|' | '&' | ';', None) => {
                while rest.next_if(|next| *next == c).is_some() {}
                words.extend(word.take());
                done.push(std::mem::take(&mut words));
            }
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    assert_eq!(quote, None, "{place}: a quotation does not end");
    words.extend(word);
    done.push(words);
    done.into_iter().map(|words| plain(words, place)).filter(|words| !words.is_empty()).collect()
}

/// Without variables in front and redirections behind.
fn plain(words: Vec<String>, place: &str) -> Vec<String> {
    let is_variable = |word: &String| {
        word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
        })
    };
    let mut words: Vec<String> = words.into_iter().skip_while(is_variable).collect();
    if let Some(at) = words.iter().position(|word| matches!(word.as_str(), ">" | ">>")) {
        assert_eq!(words.len(), at + 2, "{place}: a redirection stands at the end");
        words.truncate(at);
    }
    words
}

/// Where `program` begins its own arguments in `words`, however it is called: by its name, its path, an alias
/// of cargo, or `cargo run --bin`.
pub fn arguments<'a>(words: &'a [String], program: &str) -> Option<&'a [String]> {
    let first = words.first()?;
    if first == program || first.rsplit('/').next() == Some(program) {
        return Some(&words[1..]);
    }
    let rest: Vec<&str> = words[1..].iter().map(String::as_str).collect();
    if first != "cargo" {
        return None;
    }
    let flags = rest.iter().take_while(|word| word.starts_with('-')).count();
    if rest.get(flags) == Some(&program) {
        return Some(&words[flags + 2..]);
    }
    let bin = rest.windows(2).position(|pair| pair[0] == "--bin" && pair[1] == program)?;
    let own = rest.iter().position(|word| *word == "--").map_or(words.len(), |at| at + 2);
    (rest.get(flags) == Some(&"run") && bin < own).then(|| &words[own..])
}

#[test]
fn a_line_of_a_shell_becomes_its_commands() {
    let split = |line| split(line, "here");
    assert_eq!(split("A=1 cargo test -- --list  # why"), [["cargo", "test", "--", "--list"]]);
    assert_eq!(split("a && b 'c d' \"e\" > f"), [vec!["a"], vec!["b", "c d", "e"]].to_vec());
    assert_eq!(split("a; b | c"), [["a"], ["b"], ["c"]].to_vec());
    assert_eq!(
        split("bitnet run -m \"$(cargo -q parity models path x)\" -n 1"),
        [
            vec!["cargo", "-q", "parity", "models", "path", "x"],
            vec!["bitnet", "run", "-m", "substituted", "-n", "1"]
        ]
        .to_vec()
    );
    assert_eq!(split("  # only why"), Vec::<Vec<String>>::new());
}

#[test]
fn a_programs_arguments_are_found_however_it_is_called() {
    let own = |line: &str| {
        let words = split(line, "here").remove(0);
        arguments(&words, "parity").map(<[String]>::to_vec)
    };
    for line in [
        "cargo parity run x",
        "cargo -q parity run x",
        "target/release/parity run x",
        "cargo run -p y --bin parity -- run x",
    ] {
        assert_eq!(own(line).as_deref(), Some(&["run".to_owned(), "x".to_owned()][..]), "{line}");
    }
    assert_eq!(own("cargo test --test suites -- parity::prose"), None);
    assert_eq!(own("cargo run --bin bitnet -- run"), None);
}
