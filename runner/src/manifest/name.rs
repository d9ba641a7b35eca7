//! The one rule for names that become ids, file names or keys of baselines; it repairs nothing.

/// Longest name in bytes, so that an id with all its parts stays below common limits of paths.
pub const MAX_NAME: usize = 64;

/// The rule in words, for messages.
pub const NAME_RULE: &str = "a name matches ^[a-z0-9]+(-[a-z0-9]+)*$ and has at most 64 characters";

/// Names that Windows resolves to devices in every folder.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];

/// Checks a case name, a suite's stem or a model id.
///
/// # Errors
/// Says what about the name breaks [`NAME_RULE`].
pub fn check(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("the name is empty".to_owned());
    }
    if name.len() > MAX_NAME {
        return Err(format!("the name has {} bytes", name.len()));
    }
    if let Some(bad) = name.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
        return Err(format!("`{}` is not allowed in a name", bad.escape_default()));
    }
    if name.split('-').any(str::is_empty) {
        return Err("a `-` stands only between letters or digits".to_owned());
    }
    let numbered = |prefix: &str| {
        name.strip_prefix(prefix)
            .is_some_and(|n| n.len() == 1 && n != "0" && n.parse::<u8>().is_ok())
    };
    if DEVICES.contains(&name) || numbered("com") || numbered("lpt") {
        return Err("the name is a device on Windows".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn good_names() {
        for name in ["a", "2b", "two-plus-two", "bitnet-2b-4t", "com", "com10", "console"] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn bad_names_say_what_is_wrong() {
        let long = "a".repeat(65);
        for (name, why) in [
            ("", "the name is empty"),
            (long.as_str(), "the name has 65 bytes"),
            ("Two", "`T` is not allowed in a name"),
            ("../x", "`.` is not allowed in a name"),
            ("a/b", "`/` is not allowed in a name"),
            ("a\\b", "`\\\\` is not allowed in a name"),
            ("a\0", "`\\u{0}` is not allowed in a name"),
            ("%2e", "`%` is not allowed in a name"),
            ("é", "`\\u{e9}` is not allowed in a name"),
            ("-a", "a `-` stands only between letters or digits"),
            ("a--b", "a `-` stands only between letters or digits"),
            ("nul", "the name is a device on Windows"),
            ("com1", "the name is a device on Windows"),
        ] {
            assert_eq!(check(name), Err(why.to_owned()), "{name:?}");
        }
    }
}
