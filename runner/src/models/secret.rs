//! Secrets of the environment: the hub's token and the proxies' credentials. They cannot be printed,
//! and they are taken out of text that others made.

use std::env;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use reqwest::header::HeaderValue;

use super::error::StoreError;
use super::options::{is_on, user_cache};

/// Shorter texts are not taken out: half of every message would be gone.
const SHORTEST: usize = 4;
/// Longest file with a token that is read.
const MAX_TOKEN: u64 = 4096;
/// What stands in a secret's place.
const HIDDEN: &str = "***";

/// A text that is never shown: there is no way to print it.
pub(super) struct Secret(String);

impl Secret {
    /// The value of `Authorization`, marked so that no log of the client shows it.
    pub(super) fn bearer(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.0)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// `text` without the secret.
    pub(super) fn scrub(&self, text: &str) -> String {
        if self.0.len() < SHORTEST {
            return text.to_owned();
        }
        text.replace(&self.0, HIDDEN)
    }
}

/// The token for the hub: `HF_TOKEN`, else the file `HF_TOKEN_PATH`, else `$HF_HOME/token`.
///
/// # Errors
/// If a file cannot be read, or what is given can be no token.
pub(super) fn token() -> Result<Option<Secret>, StoreError> {
    if is_on("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
        return Ok(None);
    }
    if let Some(text) = env::var_os("HF_TOKEN").filter(|text| !text.is_empty())
        && let Some(token) = clean("HF_TOKEN", &text.to_string_lossy())?
    {
        return Ok(Some(token));
    }
    let (name, path) = match env::var_os("HF_TOKEN_PATH").filter(|path| !path.is_empty()) {
        Some(path) => ("HF_TOKEN_PATH", PathBuf::from(path)),
        None => match hub_home() {
            Some(home) => ("HF_HOME", home.join("token")),
            None => return Ok(None),
        },
    };
    let refused = |error: io::Error| StoreError::Setting {
        name,
        why: format!("leads to {}, which cannot be read: {error}", path.display()),
    };
    match read(&path) {
        Ok(text) => clean(name, &text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(refused(error)),
    }
}

/// The folder of the hub's own tools.
pub(super) fn hub_home() -> Option<PathBuf> {
    match env::var_os("HF_HOME").filter(|home| !home.is_empty()) {
        Some(home) => Some(PathBuf::from(home)),
        None => user_cache().ok().map(|cache| cache.join("huggingface")),
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_TOKEN).read_to_string(&mut text)?;
    Ok(text)
}

fn clean(name: &'static str, text: &str) -> Result<Option<Secret>, StoreError> {
    let text = text.trim();
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        let why = "holds a token with a space, a control character or a letter beyond ASCII: \
                   copy it again from the hub's settings";
        return Err(StoreError::Setting { name, why: why.to_owned() });
    }
    Ok((!text.is_empty()).then(|| Secret(text.to_owned())))
}

/// User names and passwords of the proxies that the environment names.
pub(super) fn proxy_credentials() -> Vec<Secret> {
    let names = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];
    let names = names.iter().flat_map(|name| [name.to_string(), name.to_lowercase()]);
    names.filter_map(|name| env::var(name).ok()).flat_map(|value| credentials(&value)).collect()
}

fn credentials(proxy: &str) -> Vec<Secret> {
    let rest = proxy.split_once("://").map_or(proxy, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let Some((user_info, _)) = authority.rsplit_once('@') else { return Vec::new() };
    let password = user_info.split_once(':').map(|(_, password)| password);
    // The longer one first: taking out a part would leave the rest.
    [Some(user_info), password].into_iter().flatten().map(|text| Secret(text.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_trimmed_or_refused() {
        let token = clean("HF_TOKEN", " hf_abc\n").unwrap().unwrap();
        assert_eq!(token.bearer().unwrap().as_bytes(), b"Bearer hf_abc");
        assert_eq!(format!("{:?}", token.bearer().unwrap()), "Sensitive");
        assert!(clean("HF_TOKEN", " \n").unwrap().is_none());
        for bad in ["hf_a\nX-Evil: 1", "hf a", "hf_\u{e9}"] {
            let Err(error) = clean("HF_TOKEN", bad) else { panic!("{bad:?}") };
            let text = error.to_string();
            assert!(text.starts_with("HF_TOKEN holds a token with a space"), "{text}");
            assert!(!text.contains("hf_a"), "{text}");
        }
    }

    #[test]
    fn secrets_are_taken_out_of_text() {
        let found = credentials("http://me:pass%20word@proxy.example:3128/");
        let text = "tunnel to me:pass%20word@proxy, password pass%20word";
        let text = found.iter().fold(text.to_owned(), |text, secret| secret.scrub(&text));
        assert_eq!(text, "tunnel to ***@proxy, password ***");
        assert_eq!(credentials("proxy.example:3128").len(), 0);
        assert_eq!(Secret("a".into()).scrub("a cat"), "a cat");
    }
}
