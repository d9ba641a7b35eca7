//! Rules for URLs, from the lock, the environment and servers alike: which are allowed, and what of
//! them may be shown. Opens no connection.

use std::net::IpAddr;

use bitnet_engine::escape;
use reqwest::Url;

/// The rule for URLs of the lock in words, for messages.
pub(super) const URL_RULE: &str =
    "a URL is https://, http:// or file:///, without user name and fragment";

/// Whether `text` may stand in the lock.
///
/// # Errors
/// Says what about it breaks [`URL_RULE`].
pub(super) fn check(text: &str) -> Result<Url, &'static str> {
    let Some((scheme, rest)) = text.split_once("://") else { return Err("another scheme") };
    if !matches!(scheme, "https" | "http" | "file") {
        return Err("another scheme");
    }
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.contains('@') {
        return Err("a user name or password");
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("a space or a control character");
    }
    if text.contains('#') {
        return Err("a fragment");
    }
    match (scheme, host) {
        ("file", "") if text.contains('?') => return Err("a query"),
        ("file", "") => {}
        ("file", _) => return Err("no absolute path: write file:///…"),
        (_, "") => return Err("no host"),
        _ => {}
    }
    // The parser of URLs skips what looks like a second slash of the scheme.
    if scheme != "file" && rest.starts_with(['/', '\\']) {
        return Err("no host");
    }
    Url::parse(text).map_err(|_| "no URL")
}

/// Scheme, host, port and path: user names and the signatures in queries are nobody's business.
pub(super) fn shown(url: &Url) -> String {
    let path = escape::text(url.path());
    match url.host_str() {
        Some(host) => match url.port() {
            Some(port) => format!("{}://{host}:{port}{path}", url.scheme()),
            None => format!("{}://{host}{path}", url.scheme()),
        },
        None => format!("{}://{path}", url.scheme()),
    }
}

/// [`shown`] of a text that passed [`check`].
pub(super) fn shown_text(url: &str) -> String {
    Url::parse(url).map_or_else(|_| "a URL".to_owned(), |url| shown(&url))
}

/// Scheme, host and port: what a token is given to, and what a partial file came from.
pub(super) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Whether the host is this machine.
fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    })
}

/// Whether a request to `url` may leave: unencrypted only to this machine, or where it is wished.
///
/// # Errors
/// What is wrong with the URL, with the next step.
pub(super) fn permit(url: &Url, allow_http: bool) -> Result<(), String> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL with a user name or password: refused".to_owned());
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if allow_http || is_loopback(url) => Ok(()),
        "http" => {
            Err("not encrypted: refused; use https, or allow it with --allow-http".to_owned())
        }
        other => Err(format!("the scheme {}: refused", escape::text(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn the_lock_takes_three_schemes_and_no_secrets() {
        for good in ["https://a.example/b?c=d", "http://127.0.0.1:8080/x", "file:///a/b%20c.gguf"] {
            assert_eq!(check(good).unwrap().as_str(), good);
        }
        for (bad, why) in [
            ("ftp://a/b", "another scheme"),
            ("models/x.gguf", "another scheme"),
            ("HTTPS://a/b", "another scheme"),
            ("https://", "no host"),
            ("https:///a/b", "no host"),
            ("https://me:secret@a/b", "a user name or password"),
            ("https://a/b c", "a space or a control character"),
            ("https://a/b#c", "a fragment"),
            ("file://host/a", "no absolute path: write file:///…"),
            ("file:///a?b", "a query"),
            ("https://[::1/a", "no URL"),
        ] {
            assert_eq!(check(bad).unwrap_err(), why, "{bad}");
        }
    }

    #[test]
    fn what_is_shown_holds_no_secret() {
        let signed = url("https://me:pw@cdn.example:444/x/y?X-Signature=abc#d");
        assert_eq!(shown(&signed), "https://cdn.example:444/x/y");
        assert_eq!(shown(&url("file:///a/b")), "file:///a/b");
        assert_eq!(origin(&signed), "https://cdn.example:444");
    }

    #[test]
    fn unencrypted_goes_to_this_machine_only() {
        for near in
            ["http://127.0.0.1/", "http://127.9.9.9:80/", "http://[::1]:1/", "http://localhost/"]
        {
            assert_eq!(permit(&url(near), false), Ok(()), "{near}");
        }
        for far in
            ["http://example.org/x?secret", "http://127.0.0.1.example.org/x", "http://10.0.0.1/x"]
        {
            let why = permit(&url(far), false).unwrap_err();
            let wanted = "not encrypted: refused; use https, or allow it with --allow-http";
            assert_eq!(why, wanted, "{far}");
            assert_eq!(permit(&url(far), true), Ok(()), "{far}");
        }
        let why = permit(&url("https://me@a.example/"), true).unwrap_err();
        assert_eq!(why, "a URL with a user name or password: refused");
        assert_eq!(permit(&url("ftp://a/"), true).unwrap_err(), "the scheme ftp: refused");
    }
}
