//! What an answer's status and headers mean for a file that is being fetched. Asks nobody.

use std::time::{Duration, SystemTime};

use bitnet_engine::escape;
use reqwest::blocking::Response;
use reqwest::header::{self, HeaderMap};
use reqwest::{StatusCode, Url};

use super::address;

/// Where an answer leads instead, if it is a redirect that may be followed.
pub(super) fn redirection(response: &Response, url: &Url) -> Result<Option<Url>, String> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = response.headers().get(header::LOCATION) else { return Ok(None) };
    let next = location.to_str().ok().and_then(|location| url.join(location).ok());
    let Some(next) = next else { return Err("redirects to something that is no URL".to_owned()) };
    match (url.scheme(), next.scheme()) {
        (_, "https") | ("http", "http") => Ok(Some(next)),
        ("https", "http") => Err(format!(
            "redirects from https to {}, which is not encrypted: refused",
            address::shown(&next)
        )),
        (_, other) => Err(format!("redirects to the scheme {}: refused", escape::text(other))),
    }
}

/// Whether an answer goes on at `offset` in the file that was begun.
pub(super) fn continues(response: &Response, offset: u64, bytes: u64, etag: Option<&str>) -> bool {
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let same = match (etag, header(header::ETAG)) {
        (Some(known), Some(found)) => known == found,
        _ => true,
    };
    let range = header(header::CONTENT_RANGE).and_then(content_range);
    same && response.status() == StatusCode::PARTIAL_CONTENT && range == Some((offset, bytes))
}

/// First byte and size of the whole from `bytes 5-9/10`.
fn content_range(text: &str) -> Option<(u64, u64)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, total.trim().parse().ok()?))
}

/// Whether asking without a range may be answered better.
pub(super) fn is_about_ranges(status: StatusCode) -> bool {
    matches!(status, StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE)
}

pub(super) fn content_type(response: &Response) -> Option<String> {
    let kind = response.headers().get(header::CONTENT_TYPE)?;
    let kind = String::from_utf8_lossy(kind.as_bytes());
    Some(escape::text(kind.split(';').next().unwrap_or_default().trim()))
}

pub(super) fn is_text(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    kind.starts_with("text/") || kind.ends_with("json") || kind.ends_with("xml")
}

/// How long the server asks to wait: seconds, or until a date.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are no shorter wait.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn content_ranges_are_read_strictly() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, 10)));
        for bad in ["bytes */10", "bytes 5-9/*", "5-9/10", "bytes -9/10", "items 5-9/10", ""] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let asked = |text: &'static str| {
            let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
            let headers = [(header::RETRY_AFTER, HeaderValue::from_static(text))];
            retry_after(&headers.into_iter().collect(), now).map(|wait| wait.as_secs())
        };
        assert_eq!(asked("120"), Some(120));
        assert_eq!(asked("Sun, 06 Nov 1994 08:50:07 GMT"), Some(30));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:07 GMT"), Some(0), "a date that has passed");
        assert_eq!(asked("99999999999999999999"), Some(u64::MAX), "more than fits");
        assert_eq!(asked("soon"), None);
    }
}
