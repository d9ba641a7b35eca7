//! What a hostile server says: a head that may lie, and steps that send, wait, cut or reset.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::server::Request;

/// One thing that a server does behind a head.
#[derive(Clone)]
pub enum Step {
    Send(Vec<u8>),
    /// Ends the connection with RST, where another end would be FIN; the last step.
    Reset,
    /// Sends nothing until this holds.
    Until(Arc<dyn Fn() -> bool + Send + Sync>),
    /// Sends these byte by byte, with a pause behind each.
    Drip(Vec<u8>, Duration),
    /// Sends as fast as it can, for ever.
    Endless,
    /// Answers CONNECT and passes bytes to this address; the only step.
    Tunnel(SocketAddr),
}

/// An answer.
#[derive(Clone)]
pub struct Reply {
    status: String,
    headers: Vec<(String, String)>,
    pub steps: Vec<Step>,
}

impl Reply {
    /// Nothing but a status, as `404 Not Found`, and no header that tells a length.
    pub fn status(status: &str) -> Self {
        Self { status: status.to_owned(), headers: Vec::new(), steps: Vec::new() }
    }

    /// Takes the request and says nothing, not even a head.
    pub fn silence() -> Self {
        Self::status("").stall()
    }

    /// A page of text with its length.
    pub fn page(status: &str, content_type: &str, text: &str) -> Self {
        let reply = Self::status(status).header("Content-Type", content_type);
        reply.header("Content-Length", text.len()).send(text.as_bytes())
    }

    /// A redirect; `status` is as `302 Found`.
    pub fn redirect(status: &str, location: &str) -> Self {
        Self::status(status).header("Location", location).header("Content-Length", 0)
    }

    /// All of `bytes`, with their length.
    pub fn whole(bytes: &[u8]) -> Self {
        Self::status("200 OK").header("Content-Length", bytes.len()).send(bytes)
    }

    /// What an honest server with this file answers.
    pub fn honest(request: &Request, bytes: &[u8], etag: Option<&str>) -> Self {
        let fresh = request.header("if-range").is_none_or(|wanted| Some(wanted) == etag);
        let reply = match request.range().filter(|_| fresh) {
            None => Self::whole(bytes),
            Some(start) if start >= bytes.len() => Self::status("416 Range Not Satisfiable")
                .header("Content-Range", format!("bytes */{}", bytes.len()))
                .header("Content-Length", 0),
            Some(start) => Self::part(bytes, start),
        };
        match etag {
            Some(etag) => reply.header("ETag", etag),
            None => reply,
        }
    }

    /// A right 206 from `start` on.
    pub fn part(bytes: &[u8], start: usize) -> Self {
        let range = format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
        Self::part_called(&range, &bytes[start..])
    }

    /// A 206 that calls its bytes `range`.
    pub fn part_called(range: &str, bytes: &[u8]) -> Self {
        let reply = Self::status("206 Partial Content").header("Content-Range", range);
        reply.header("Content-Length", bytes.len()).send(bytes)
    }

    pub fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(key, _)| key != name);
        self
    }

    pub fn send(self, bytes: &[u8]) -> Self {
        self.step(Step::Send(bytes.to_vec()))
    }

    pub fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// The same head, and the first `n` bytes behind it.
    pub fn cut(mut self, n: usize) -> Self {
        for step in &mut self.steps {
            if let Step::Send(bytes) = step {
                bytes.truncate(n);
            }
        }
        self
    }

    pub fn reset(self) -> Self {
        self.step(Step::Reset)
    }

    /// Sends nothing more and does not end.
    pub fn stall(self) -> Self {
        self.until(|| false)
    }

    pub fn until(self, condition: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.step(Step::Until(Arc::new(condition)))
    }

    /// Puts `condition` between the first `n` bytes and the others.
    pub fn hold(mut self, n: usize, condition: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        let Some(Step::Send(mut bytes)) = self.steps.pop() else { panic!("nothing to hold") };
        let rest = bytes.split_off(n.min(bytes.len()));
        self.send(&bytes).until(condition).send(&rest)
    }

    /// Sends the first `n` bytes, and the rest as a drip.
    pub fn drip(mut self, n: usize, pause: Duration) -> Self {
        let Some(Step::Send(mut bytes)) = self.steps.pop() else { panic!("nothing to drip") };
        let rest = bytes.split_off(n);
        self.send(&bytes).step(Step::Drip(rest, pause))
    }

    pub fn resets(&self) -> bool {
        matches!(self.steps.last(), Some(Step::Reset))
    }

    pub fn head_only(mut self) -> Self {
        self.steps.clear();
        self
    }

    pub fn head(&self) -> String {
        if self.status.is_empty() {
            return String::new();
        }
        let headers = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        let headers: String = headers.collect();
        format!("HTTP/1.1 {}\r\n{headers}Connection: close\r\n\r\n", self.status)
    }
}
