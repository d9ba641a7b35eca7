//! Errors of the network in words: the whole chain of causes on one line, and what to do about it.
//! Opens nothing and retries nothing.

use std::error::Error;

/// What to do about a proxy that refuses.
pub(super) const PROXY_HINT: &str = "the proxy wants credentials; put them into HTTPS_PROXY or HTTP_PROXY as http://user:password@host";

/// The next step by what a chain of causes holds.
const HINTS: [(&str, &str); 7] = [
    ("No CA certificates", CA_HINT),
    ("certificate", CA_HINT),
    ("UnknownIssuer", CA_HINT),
    ("proxy authorization required", PROXY_HINT),
    ("tunnel", "see whether HTTPS_PROXY names a proxy that serves this host"),
    (
        "dns error",
        "see whether the name is right and there is a network; behind a proxy set HTTPS_PROXY",
    ),
    ("Connection refused", "see whether the server runs; behind a proxy set HTTPS_PROXY"),
];
const CA_HINT: &str = "see whether the package ca-certificates is installed, this machine's clock is \
                       right, and SSL_CERT_FILE names the certificate of a company's proxy";

/// The chain of causes of `error` on one line, made safe by `clean`, and the next step.
pub(super) fn describe(error: &dyn Error, clean: impl Fn(&str) -> String) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut cause = Some(error);
    while let Some(error) = cause {
        let text = error.to_string();
        // Many wrappers repeat what they wrap.
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        cause = error.source();
    }
    let chain = clean(&parts.join(": "));
    let hint = HINTS.iter().find(|(sign, _)| chain.contains(sign));
    hint.map_or_else(|| chain.clone(), |(_, hint)| format!("{chain}; {hint}"))
}

/// The words of [`describe`] without the next step.
pub(super) fn without_hint(text: &str) -> &str {
    let cut = |(_, hint): &(&str, &str)| text.strip_suffix(hint)?.strip_suffix("; ");
    HINTS.iter().find_map(cut).unwrap_or(text)
}

/// Whether trying again may help, by the words of [`describe`].
pub(super) fn passes(text: &str) -> bool {
    ![CA_HINT, PROXY_HINT].iter().any(|hint| text.ends_with(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    fn chain(texts: &[&'static str]) -> Layer {
        let (text, rest) = texts.split_first().unwrap();
        let source = (!rest.is_empty()).then(|| Box::new(chain(rest)));
        Layer { text, source }
    }

    #[test]
    fn causes_stand_on_one_line_with_the_next_step() {
        let refused = chain(&["request failed", "Connection refused (os error 111)"]);
        let text = describe(&refused, str::to_owned);
        assert_eq!(
            text,
            "request failed: Connection refused (os error 111); see whether the server runs; behind \
             a proxy set HTTPS_PROXY"
        );
        assert!(passes(&text));
        assert_eq!(without_hint(&text), "request failed: Connection refused (os error 111)");
        assert_eq!(without_hint("answers 503"), "answers 503");
        let unknown = chain(&["a: b", "b", "c"]);
        assert_eq!(describe(&unknown, str::to_owned), "a: b: c");
        let text = describe(&chain(&["invalid peer certificate: Expired"]), str::to_owned);
        assert!(text.contains("SSL_CERT_FILE"), "{text}");
        assert!(!passes(&text), "a certificate does not get better by itself");
    }
}
