//! Documents made from a command line's definition: Markdown, completions, man pages.
//!
//! For any [`clap::Command`]; it knows no program and writes nothing but man pages.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Arg, Command};
pub use clap_complete::Shell;

/// Completions of `command` for a shell, as the text of its script.
pub fn completions(mut command: Command, shell: Shell) -> Vec<u8> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    script
}

/// Writes a man page of `command` and of each of its verbs into `folder`, which is made if it is not
/// there. Returns the files in the order of writing.
///
/// # Errors
/// If the folder or a file cannot be written.
pub fn man_pages(command: Command, folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::create_dir_all(folder)?;
    let mut written = Vec::new();
    for command in visible(&built(command)) {
        written.push(clap_mangen::Man::new(command.clone()).generate_to(folder)?);
    }
    Ok(written)
}

/// `command` and its verbs in Markdown: a section of level 3 each, with usage, arguments and options.
///
/// Options that all verbs share stand at the command only. What the definition prints below its help
/// is left to the document around.
pub fn markdown(command: Command) -> String {
    let mut text = String::new();
    for command in visible(&built(command)) {
        // Writing to a string does not fail.
        let _ = section(&mut text, command);
    }
    text.trim_end().to_owned() + "\n"
}

/// Why a document has no place for a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("needs the lines `{}` and `{}`, once each and in this order", begin(.0), end(.0))]
pub struct RegionError(String);

/// `document` with `text` between the lines `<!-- name: begin -->` and `<!-- name: end -->`, in place
/// of what stood there.
///
/// # Errors
/// If the two lines are not there, once each and in this order.
pub fn replace_region(document: &str, name: &str, text: &str) -> Result<String, RegionError> {
    let missing = || RegionError(name.to_owned());
    let (begin, end) = (begin(name) + "\n", end(name) + "\n");
    let (before, rest) = document.split_once(&begin).ok_or_else(missing)?;
    let (old, after) = rest.split_once(&end).ok_or_else(missing)?;
    let again =
        [before, old, after].iter().any(|part| part.contains(&begin) || part.contains(&end));
    if again {
        return Err(missing());
    }
    Ok(format!("{before}{begin}{text}{end}{after}"))
}

fn begin(name: &str) -> String {
    format!("<!-- {name}: begin -->")
}

fn end(name: &str) -> String {
    format!("<!-- {name}: end -->")
}

/// With the names of all verbs complete, and without `help`, which is a verb of every command.
fn built(command: Command) -> Command {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    command
}

/// The command and its verbs, each before its own verbs.
fn visible(command: &Command) -> Vec<&Command> {
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    std::iter::once(command).chain(verbs.flat_map(visible)).collect()
}

fn section(out: &mut String, command: &Command) -> std::fmt::Result {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    writeln!(out, "### `{name}`\n")?;
    if let Some(about) = command.get_long_about().or_else(|| command.get_about()) {
        writeln!(out, "{}.\n", escaped(about.to_string().trim_end_matches('.')))?;
    }
    let usage = command.clone().render_usage().to_string();
    writeln!(out, "```text\n{}\n```\n", usage.trim_start_matches("Usage: ").trim())?;
    let is_root = !name.contains(' ');
    let shown = |arg: &&Arg| {
        let own = !matches!(arg.get_id().as_str(), "help" | "version");
        own && !arg.is_hide_set() && (is_root || !arg.is_global_set())
    };
    let args: Vec<&Arg> = command.get_arguments().filter(shown).collect();
    let (positionals, options): (Vec<&Arg>, Vec<&Arg>) =
        args.into_iter().partition(|arg| arg.is_positional());
    for arg in positionals.iter().chain(&options) {
        item(out, arg)?;
    }
    if !(positionals.is_empty() && options.is_empty()) {
        writeln!(out)?;
    }
    let verbs: Vec<&Command> = command.get_subcommands().filter(|v| !v.is_hide_set()).collect();
    for verb in &verbs {
        let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
        writeln!(out, "- `{name} {}`: {}", verb.get_name(), escaped(&about))?;
    }
    if !verbs.is_empty() {
        writeln!(out)?;
    }
    Ok(())
}

fn item(out: &mut String, arg: &Arg) -> std::fmt::Result {
    let takes_value = arg.get_action().takes_values();
    let values: Vec<String> = match arg.get_value_names() {
        _ if !takes_value => Vec::new(),
        Some(names) => names.iter().map(|name| format!("<{name}>")).collect(),
        None => vec![format!("<{}>", arg.get_id())],
    };
    let flags =
        [arg.get_short().map(|c| format!("-{c}")), arg.get_long().map(|l| format!("--{l}"))];
    let flags = flags.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let label = std::iter::once(flags).chain(values).filter(|part| !part.is_empty());
    write!(out, "- `{}`", label.collect::<Vec<_>>().join(" "))?;
    if let Some(help) = arg.get_long_help().or_else(|| arg.get_help()) {
        write!(out, ": {}", escaped(&help.to_string()))?;
    }
    let mut facts = Vec::new();
    if takes_value {
        let choices = arg.get_possible_values();
        let choices: Vec<String> = choices
            .iter()
            .filter(|choice| !choice.is_hide_set())
            .map(|choice| format!("`{}`", choice.get_name()))
            .collect();
        if !choices.is_empty() {
            facts.push(format!("one of {}", choices.join(", ")));
        }
        let defaults = arg.get_default_values().iter().map(|v| v.to_string_lossy());
        let defaults: Vec<String> = defaults.map(|default| format!("`{default}`")).collect();
        if !defaults.is_empty() && !arg.is_hide_default_value_set() {
            facts.push(format!("default {}", defaults.join(", ")));
        }
    }
    if let Some(variable) = arg.get_env() {
        facts.push(format!("environment `{}`", variable.to_string_lossy()));
    }
    match facts.is_empty() {
        true => writeln!(out),
        false => writeln!(out, " ({})", facts.join("; ")),
    }
}

/// Help text in Markdown: what is between backquotes is code already.
fn escaped(help: &str) -> String {
    let parts = help.split('`').enumerate().map(|(index, part)| match index % 2 {
        0 => ["<", "*", "_"].iter().fold(part.to_owned(), |p, c| p.replace(c, &format!("\\{c}"))),
        _ => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("`").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{ArgAction, value_parser};

    fn command() -> Command {
        let model = Arg::new("model").short('m').long("model").value_name("PATH").required(true);
        let ids =
            Arg::new("ids").long("ids").action(ArgAction::SetTrue).help("Read `<|a|>` as <b_c>");
        let file = Arg::new("FILE").help("A file").required(true);
        let quiet =
            Arg::new("quiet").short('q').action(ArgAction::SetTrue).global(true).help("Less");
        let kind = Arg::new("kind")
            .long("kind")
            .value_name("KIND")
            .value_parser(["x", "y"])
            .default_value("x");
        let shell = Arg::new("shell").value_parser(value_parser!(Shell));
        Command::new("tool")
            .about("Does things")
            .after_help("Exit codes:")
            .arg(quiet)
            .subcommand(Command::new("do").about("Does one").args([model, ids, file, kind]))
            .subcommand(Command::new("secret").hide(true).arg(shell))
    }

    #[test]
    fn markdown_has_each_verb_and_escapes_its_text() {
        let truth = "\
### `tool`

Does things.

```text
tool [OPTIONS] [COMMAND]
```

- `-q`: Less

- `tool do`: Does one

### `tool do`

Does one.

```text
tool do [OPTIONS] --model <PATH> <FILE>
```

- `<FILE>`: A file
- `-m, --model <PATH>`
- `--ids`: Read `<|a|>` as \\<b\\_c>
- `--kind <KIND>` (one of `x`, `y`; default `x`)
";
        assert_eq!(markdown(command()), truth);
    }

    #[test]
    fn man_pages_are_one_a_verb() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("man");
        let pages = man_pages(command(), &inside).unwrap();
        assert_eq!(pages, [inside.join("tool.1"), inside.join("tool-do.1")]);
        let page = fs::read_to_string(&pages[1]).unwrap();
        assert!(page.contains(".SH NAME") && page.contains("Does one"), "{page}");
    }

    #[test]
    fn completions_know_the_verbs() {
        let script = String::from_utf8(completions(command(), Shell::Bash)).unwrap();
        assert!(script.contains("_tool()") && script.contains("--model"), "{script}");
    }

    #[test]
    fn a_region_is_replaced_and_nothing_else() {
        let document = "head\n<!-- x: begin -->\nold\n<!-- x: end -->\n<!-- y: begin -->\n";
        let new = replace_region(document, "x", "new\n").unwrap();
        assert_eq!(new, document.replace("old", "new"));
        let message = "needs the lines `<!-- y: begin -->` and `<!-- y: end -->`, once each and in \
                       this order";
        assert_eq!(replace_region(document, "y", "").unwrap_err().to_string(), message);
        let twice = document.repeat(2);
        assert!(replace_region(&twice, "x", "").is_err());
    }
}
