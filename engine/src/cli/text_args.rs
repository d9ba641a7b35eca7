//! Where a verb's text or ids come from: a flag, a file, standard input. Reads at most
//! [`MAX_BYTES`], and takes the text as it is: no escape sequence is interpreted, no line break
//! dropped.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use bitnet_engine::escape;
use bitnet_engine::exit::Exit;
use bitnet_engine::tokenizer::Tokenizer;
use clap::Args;

use super::terminal::Terminal;

/// Longer texts are refused: no context holds them.
const MAX_BYTES: u64 = 64 << 20;

/// A text.
#[derive(Debug, Clone, Args)]
pub(crate) struct TextArgs {
    /// The text itself, exactly as given
    #[arg(short, long, value_name = "TEXT", allow_hyphen_values = true, conflicts_with = "file")]
    prompt: Option<String>,
    /// File with the text; standard input is read if this is `-`, or no text is given
    #[arg(short, long, value_name = "PATH")]
    file: Option<PathBuf>,
}

impl TextArgs {
    /// The text.
    ///
    /// # Errors
    /// [`Exit::Usage`], with the reason printed, if it cannot be read, is too long or no UTF-8.
    pub(crate) fn read(&self, terminal: &Terminal) -> Result<String, Exit> {
        match (&self.prompt, &self.file) {
            (Some(text), _) => Ok(text.clone()),
            (None, Some(path)) if path.as_os_str() != "-" => {
                let name = format!("'{}'", escape::text(&path.display().to_string()));
                read(&name, open(path), terminal)
            }
            (None, _) => standard_input(terminal),
        }
    }
}

/// How a text becomes ids.
#[derive(Debug, Clone, Args)]
pub(crate) struct EncodeArgs {
    /// Leave out the BOS (and EOS) that the vocabulary asks for
    #[arg(long)]
    no_bos: bool,
    /// Read texts such as <|eot_id|> as the tokens that they name (the default, as in
    /// llama-tokenize)
    #[arg(long, overrides_with = "no_parse_special")]
    parse_special: bool,
    /// Read such texts as ordinary text
    #[arg(long, overrides_with = "parse_special")]
    no_parse_special: bool,
}

impl EncodeArgs {
    /// The names of its flags, for what excludes them.
    pub(crate) const FLAGS: [&str; 3] = ["no_bos", "parse_special", "no_parse_special"];

    /// The ids of a text.
    ///
    /// # Errors
    /// [`Exit::Usage`], with the reason printed, if the vocabulary cannot express it.
    pub(crate) fn encode(
        &self,
        tokenizer: &Tokenizer,
        text: &str,
        terminal: &Terminal,
    ) -> Result<Vec<u32>, Exit> {
        tokenizer.encode(text, !self.no_bos, !self.no_parse_special).map_err(|error| {
            terminal.error(error);
            Exit::Usage
        })
    }
}

fn open(path: &Path) -> io::Result<impl Read + use<>> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(file)
}

fn standard_input(terminal: &Terminal) -> Result<String, Exit> {
    if io::stdin().is_terminal() {
        terminal.note("reading standard input; Ctrl-D ends it");
    }
    read("standard input", Ok(io::stdin().lock()), terminal)
}

fn read(name: &str, source: io::Result<impl Read>, terminal: &Terminal) -> Result<String, Exit> {
    let refuse = |why: String| {
        terminal.error(format_args!("cannot use {name} as text: {why}"));
        Exit::Usage
    };
    let mut bytes = Vec::new();
    let got = source.and_then(|source| source.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    if let Err(error) = got {
        return Err(refuse(format!("{error}; check the path and its permissions")));
    }
    if bytes.len() as u64 > MAX_BYTES {
        return Err(refuse(format!("it has more than {MAX_BYTES} bytes; give a part of it")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        refuse(format!("byte {at} begins no UTF-8 character; convert it to UTF-8"))
    })
}

/// The ids of `list`: numbers between commas or spaces, with or without brackets around them as
/// `--ids` prints them; `-` reads them from standard input.
///
/// # Errors
/// [`Exit::Usage`], with the reason printed.
pub(crate) fn ids(list: &str, terminal: &Terminal) -> Result<Vec<u32>, Exit> {
    let given = match list {
        "-" => standard_input(terminal)?,
        _ => list.to_owned(),
    };
    parse_ids(&given).map_err(|why| {
        terminal.error(why);
        Exit::Usage
    })
}

fn parse_ids(list: &str) -> Result<Vec<u32>, String> {
    let list = list.trim();
    let inner = list.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(list);
    let words = inner.split([',', ' ', '\n', '\t', '\r']).filter(|word| !word.is_empty());
    words
        .map(|word| {
            word.parse::<u32>().map_err(|_| {
                let word: String = word.chars().take(40).collect();
                format!("'{}' is no token id; ids look like 1,2,3", escape::text(&word))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_between_commas_or_spaces() {
        assert_eq!(parse_ids("1,2, 3\n4").unwrap(), [1, 2, 3, 4]);
        assert_eq!(parse_ids(" [128000, 7]\n").unwrap(), [128_000, 7]);
        assert_eq!(parse_ids("[]").unwrap(), [0u32; 0]);
        let refusal = |list: &str| parse_ids(list).unwrap_err();
        assert_eq!(refusal("1,-2"), "'-2' is no token id; ids look like 1,2,3");
        assert_eq!(refusal("4294967296"), "'4294967296' is no token id; ids look like 1,2,3");
        assert_eq!(refusal("a\u{1b}[2J"), "'a\\u{1b}[2J' is no token id; ids look like 1,2,3");
    }
}
