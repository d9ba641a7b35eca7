//! The HTTP client: requests, redirects followed by our own rules, and failures in words. The hub's
//! token goes to the hub alone, and no secret gets into a message. Builds no client before it is
//! needed, and writes no file.

use std::cell::OnceCell;
use std::time::{Duration, SystemTime};

use bitnet_engine::escape;
use reqwest::blocking::{Client, ClientBuilder, Response};
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode, Url, redirect};

use super::address;
use super::error::{Cause, StoreError};
use super::options::FetchOptions;
use super::reply::{content_type, continues, is_about_ranges, is_text, redirection, retry_after};
use super::secret::{self, Secret};
use super::sources::{Failure, Opened};
use super::trouble;

/// Most redirects that are followed.
const MAX_HOPS: usize = 10;
/// Longest wait that a server may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The client of one fetch.
pub(super) struct Transport<'a> {
    options: &'a FetchOptions,
    client: OnceCell<Client>,
    /// For servers without TLS, where this machine has no certificates.
    bare: OnceCell<Client>,
    token: OnceCell<Option<Secret>>,
    /// Never to be shown, whoever made the text.
    hidden: Vec<Secret>,
}

/// One request.
pub(super) struct Ask<'a> {
    url: &'a Url,
    method: Method,
    headers: HeaderMap,
    /// The token goes to the origin of `url`.
    hub: bool,
}

impl<'a> Ask<'a> {
    /// Asks the hub for the head of a file.
    pub(super) fn head(url: &'a Url) -> Self {
        Self { url, method: Method::HEAD, headers: HeaderMap::new(), hub: true }
    }

    /// Asks for all that is there, of the hub if `hub`.
    pub(super) fn whole(url: &'a Url, hub: bool) -> Self {
        Self::bytes(url, hub, 0, None)
    }

    /// Asks for the bytes from `offset` on, of the version `etag` if it is known.
    fn bytes(url: &'a Url, hub: bool, offset: u64, etag: Option<&str>) -> Self {
        let mut headers = HeaderMap::new();
        if offset > 0 {
            headers.insert(header::RANGE, ascii(&format!("bytes={offset}-")));
            // A weak name may stand for other bytes.
            if let Some(etag) = etag.filter(|etag| etag.starts_with('"')) {
                headers.insert(header::IF_RANGE, ascii(etag));
            }
        }
        Self { url, method: Method::GET, headers, hub }
    }
}

/// A header's value; what cannot be one is left empty, which no server takes for anything.
fn ascii(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

impl<'a> Transport<'a> {
    /// Opens nothing yet.
    pub(super) fn new(options: &'a FetchOptions) -> Self {
        let (client, bare, token) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        Self { options, client, bare, token, hidden: secret::proxy_credentials() }
    }

    fn client(&self, url: &Url) -> Result<&Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        // Somebody else may have installed one, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let failed = |error: reqwest::Error| {
            Failure::Final(trouble::describe(&error, |text| self.clean(text, None)))
        };
        match self.builder().build() {
            Ok(client) => Ok(self.client.get_or_init(|| client)),
            Err(_) if url.scheme() == "http" => {
                let bare = self.builder().tls_certs_only([]).build().map_err(failed)?;
                Ok(self.bare.get_or_init(|| bare))
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn builder(&self) -> ClientBuilder {
        Client::builder()
            .user_agent(concat!("bitnet-parity/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            // Of every single operation, not of the whole body.
            .timeout(self.options.stall)
            .connect_timeout(self.options.stall)
    }

    fn token(&self) -> Result<Option<&Secret>, Failure> {
        if self.token.get().is_none() {
            let token = secret::token().map_err(|error| match error {
                StoreError::Setting { name, why } => Failure::Local(Cause::Setting { name, why }),
                other => Failure::Final(other.to_string()),
            })?;
            let _ = self.token.set(token);
        }
        Ok(self.token.get().and_then(Option::as_ref))
    }

    /// Sends a request and follows redirects; gives the answer and who gave it. The answer to HEAD is
    /// the last one of the asked host.
    pub(super) fn send(&self, ask: &Ask<'_>) -> Result<(Response, Url), Failure> {
        let mut url = ask.url.clone();
        let mut seen = Vec::new();
        loop {
            address::permit(&url, self.options.allow_http).map_err(|why| {
                match seen.is_empty() {
                    true => Failure::Final(why),
                    false => {
                        Failure::Final(format!("redirects to {}: {why}", address::shown(&url)))
                    }
                }
            })?;
            let response = self.send_once(ask, &url)?;
            let Some(next) = redirection(&response, &url).map_err(Failure::Final)? else {
                return Ok((response, url));
            };
            if ask.method == Method::HEAD && next.origin() != url.origin() {
                return Ok((response, url));
            }
            seen.push(url);
            if seen.contains(&next) {
                return Err(Failure::Final(format!(
                    "redirects in a loop to {}",
                    address::shown(&next)
                )));
            }
            if seen.len() > MAX_HOPS {
                return Err(Failure::Final(format!("more than {MAX_HOPS} redirects")));
            }
            url = next;
        }
    }

    fn send_once(&self, ask: &Ask<'_>, url: &Url) -> Result<Response, Failure> {
        let mut request = self
            .client(url)?
            .request(ask.method.clone(), url.clone())
            .header(header::ACCEPT_ENCODING, "identity")
            .headers(ask.headers.clone());
        if ask.hub
            && url.origin() == ask.url.origin()
            && let Some(bearer) = self.token()?.and_then(Secret::bearer)
        {
            request = request.header(header::AUTHORIZATION, bearer);
        }
        let mut patience = self.options.stall;
        if ask.method == Method::HEAD {
            patience = self.options.head_timeout;
            request = request.timeout(patience);
        }
        request.send().map_err(|error| {
            if error.is_timeout() {
                let origin = address::origin(url);
                let text = format!("no answer from {origin} for {} s", patience.as_secs_f64());
                return Failure::Transient(text, None);
            }
            let text = trouble::describe(&error.without_url(), |text| self.clean(text, Some(url)));
            match trouble::passes(&text) {
                true => Failure::Transient(text, None),
                false => Failure::Final(text),
            }
        })
    }

    /// Opens the file of `bytes` bytes at `url` from `offset` on, or from its beginning where the
    /// server gives no part of what it gave before. `page` is given for the hub.
    pub(super) fn open(
        &self,
        url: &Url,
        page: Option<&str>,
        (offset, bytes): (u64, u64),
        etag: Option<&str>,
    ) -> Result<Opened, Failure> {
        let ask = Ask::bytes(url, page.is_some(), offset, etag);
        let (mut response, mut at) = self.send(&ask)?;
        let mut start = offset;
        if offset > 0 && !continues(&response, offset, bytes, etag) {
            start = 0;
            if response.status() != StatusCode::OK && is_about_ranges(response.status()) {
                drop(response);
                (response, at) = self.send(&Ask::bytes(url, page.is_some(), 0, None))?;
            }
        }
        match response.status() {
            StatusCode::OK => {}
            StatusCode::PARTIAL_CONTENT if continues(&response, start, bytes, None) => {}
            _ => return Err(self.refusal(&response, &at, page)),
        }
        let text = content_type(&response).filter(|kind| is_text(kind));
        if let Some(encoding) = response.headers().get(header::CONTENT_ENCODING)
            && encoding != "identity"
        {
            let encoding = escape::text(&String::from_utf8_lossy(encoding.as_bytes()));
            return Err(Failure::Final(format!("answers in Content-Encoding {encoding}: refused")));
        }
        if let Some(length) = response.content_length()
            && start.checked_add(length) != Some(bytes)
        {
            let kind = text.map_or_else(String::new, |kind| format!(" of {kind}"));
            return Err(Failure::Final(format!(
                "offers {length} bytes{kind} from byte {start} on, but models.toml pins {bytes} bytes \
                 in all; nothing was written"
            )));
        }
        let etag = response.headers().get(header::ETAG).and_then(|etag| etag.to_str().ok());
        Ok(Opened {
            start,
            etag: etag.map(str::to_owned),
            text,
            url: Some(at),
            body: Box::new(response),
        })
    }

    /// Why an answer is no file, in words.
    pub(super) fn refusal(&self, response: &Response, at: &Url, page: Option<&str>) -> Failure {
        let status = response.status();
        let kind = content_type(response).filter(|kind| is_text(kind));
        let kind = kind.map_or_else(String::new, |kind| format!(" ({kind})"));
        let answer = format!("{} answers {status}{kind}", address::origin(at));
        let asked = retry_after(response.headers(), SystemTime::now());
        match status.as_u16() {
            408 | 429 | 500 | 502 | 503 | 504 => match asked {
                Some(wait) if wait > LONGEST_WAIT => Failure::Final(format!(
                    "{answer} and asks to wait {} s; run the command again then",
                    wait.as_secs()
                )),
                _ => Failure::Transient(answer, asked),
            },
            401 | 403 => Failure::Final(match page {
                Some(page) => format!(
                    "{answer}: ask for access, or accept the licence, at {page} and set HF_TOKEN"
                ),
                None => format!("{answer}: ask its owner for access"),
            }),
            404 => Failure::Final(match page {
                Some(_) => format!(
                    "{answer}: no such file at this revision; a private repository answers 404 \
                     without HF_TOKEN"
                ),
                None => format!("{answer}: no such file"),
            }),
            407 => Failure::Final(format!("{answer}: {}", trouble::PROXY_HINT)),
            _ => Failure::Final(answer),
        }
    }

    /// What ended a body, in words.
    pub(super) fn cut(&self, error: &std::io::Error, url: Option<&Url>) -> String {
        let timed_out = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<reqwest::Error>())
            .is_some_and(reqwest::Error::is_timeout);
        match timed_out {
            true => format!("no byte for {} s", self.options.stall.as_secs_f64()),
            false => trouble::describe(error, |text| self.clean(text, url)),
        }
    }

    /// `text` with control characters made visible and without secrets.
    fn clean(&self, text: &str, url: Option<&Url>) -> String {
        let mut text = escape::text(text);
        if let Some(url) = url {
            text = text.replace(url.as_str(), &address::shown(url));
            if let Some(query) = url.query().filter(|query| !query.is_empty()) {
                text = text.replace(query, "***");
            }
        }
        let token = self.token.get().and_then(Option::as_ref);
        self.hidden.iter().chain(token).fold(text, |text, secret| secret.scrub(&text))
    }
}
