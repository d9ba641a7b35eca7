//! A server that breaks the rules it is told to break, and records what it was asked. It checks
//! nothing itself, and every answer ends its connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::reply::{Reply, Step};
use crate::tls::Identity;

/// One request, as it arrived.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub target: String,
    headers: Vec<(String, String)>,
    pub came: Instant,
    pub at: SystemTime,
}

impl Request {
    fn parse(head: &str) -> Self {
        let mut lines = head.lines();
        let mut words = lines.next().unwrap_or_default().split(' ');
        let mut word = || words.next().unwrap_or_default().to_owned();
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
        let (method, target) = (word(), word());
        Self {
            method,
            target,
            headers: headers.collect(),
            came: Instant::now(),
            at: SystemTime::now(),
        }
    }

    /// The value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// `n` of `Range: bytes=n-`; `None` if the whole file is asked for.
    pub fn range(&self) -> Option<usize> {
        let value = self.header("range")?;
        let start = value.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
        Some(start.and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("Range: {value}")))
    }
}

type Script = dyn Fn(&Request, usize) -> Reply + Send + Sync;

struct State {
    script: Box<Script>,
    identity: Option<Identity>,
    requests: Mutex<Vec<Request>>,
    connections: AtomicUsize,
    sent: AtomicUsize,
    stop: AtomicBool,
}

/// Listens on a loopback port of its own until it is dropped.
pub struct Server {
    address: SocketAddr,
    state: Arc<State>,
}

impl Server {
    /// Answers over plain HTTP. `script` gets each request and how many of its method came before.
    pub fn start(script: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::with(None, script)
    }

    /// Answers over TLS.
    pub fn start_tls(
        identity: Identity,
        script: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::with(Some(identity), script)
    }

    fn with(
        identity: Option<Identity>,
        script: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(State {
            script: Box::new(script),
            identity,
            requests: Mutex::default(),
            connections: AtomicUsize::new(0),
            sent: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.stop.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), state) = (stream, Arc::clone(&shared)) else { continue };
                state.connections.fetch_add(1, Ordering::SeqCst);
                // A client that goes away is what many trials want.
                thread::spawn(move || state.serve(stream));
            }
        });
        Self { address, state }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:port` and `path`, or https.
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.state.identity.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    /// What was asked so far, in order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.state.requests).clone()
    }

    /// The requests for bytes.
    pub fn gets(&self) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.method == "GET").collect()
    }

    /// How many connections were opened, with or without a request.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Bytes of bodies that left so far.
    pub fn sent(&self) -> usize {
        self.state.sent.load(Ordering::SeqCst)
    }

    /// Waits until `n` bytes of bodies have left.
    #[track_caller]
    pub fn wait_for_sent(&self, n: usize) {
        let start = Instant::now();
        while self.sent() < n {
            assert!(
                start.elapsed() < crate::PATIENCE,
                "{} of {n} bytes were asked for",
                self.sent()
            );
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        if let Some(identity) = &self.identity {
            let mut connection = identity.accept();
            let mut stream = rustls::Stream::new(&mut connection, &mut stream);
            let reply = self.ask(&read_head(&mut stream)?);
            self.play(&reply, &mut stream)?;
            stream.conn.send_close_notify();
            return stream.flush();
        }
        let Some(head) = peek_head(&stream)? else {
            return stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        };
        let reply = self.ask(&head);
        // The kernel ends a connection with RST, not FIN, where a byte of the request stays unread.
        let unread = usize::from(reply.resets());
        stream.read_exact(&mut vec![0; head.len() - unread])?;
        if let Some(Step::Tunnel(target)) = reply.steps.first() {
            stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
            return tunnel(stream, *target);
        }
        self.play(&reply, &mut stream)
    }

    /// The script's answer; without its body if the request is HEAD.
    fn ask(&self, head: &str) -> Reply {
        let request = Request::parse(head);
        let mut requests = lock(&self.requests);
        let earlier = requests.iter().filter(|other| other.method == request.method).count();
        requests.push(request.clone());
        drop(requests);
        let reply = (self.script)(&request, earlier);
        if request.method == "HEAD" { reply.head_only() } else { reply }
    }

    fn play(&self, reply: &Reply, stream: &mut impl Write) -> std::io::Result<()> {
        stream.write_all(reply.head().as_bytes())?;
        let send = |stream: &mut dyn Write, bytes: &[u8]| {
            stream.write_all(bytes)?;
            stream.flush()?;
            self.sent.fetch_add(bytes.len(), Ordering::SeqCst);
            std::io::Result::Ok(())
        };
        for step in &reply.steps {
            match step {
                Step::Send(bytes) => send(stream, bytes)?,
                // What was sent must reach the client before the reset overtakes it.
                Step::Reset => thread::sleep(Duration::from_millis(50)),
                Step::Until(condition) => {
                    while !condition() && !self.stop.load(Ordering::SeqCst) {
                        thread::sleep(Duration::from_millis(2));
                    }
                }
                Step::Drip(bytes, pause) => {
                    for byte in bytes.chunks(1).take_while(|_| !self.stop.load(Ordering::SeqCst)) {
                        send(stream, byte)?;
                        thread::sleep(*pause);
                    }
                }
                Step::Endless => {
                    while !self.stop.load(Ordering::SeqCst) {
                        send(stream, &[b'x'; 1 << 14])?;
                    }
                }
                Step::Tunnel(_) => {}
            }
        }
        stream.flush()
    }
}

/// The head of a request, byte by byte so that nothing behind it is taken.
fn read_head(stream: &mut impl Read) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// The head of a request, which stays unread; `None` if this is TLS's hello.
fn peek_head(stream: &TcpStream) -> std::io::Result<Option<String>> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = stream.peek(&mut buffer)?;
        if let Some(end) = buffer[..n].windows(4).position(|four| four == b"\r\n\r\n") {
            return String::from_utf8(buffer[..end + 4].to_vec())
                .map(Some)
                .map_err(|error| std::io::Error::new(ErrorKind::InvalidData, error));
        }
        // RFC 8446, 5.1: a handshake record.
        if n > 0 && buffer[0] == 22 {
            return Ok(None);
        }
        if n == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Passes bytes both ways until both sides have said all.
fn tunnel(mut client: TcpStream, target: SocketAddr) -> std::io::Result<()> {
    let mut server = TcpStream::connect(target)?;
    let (mut from, mut to) = (server.try_clone()?, client.try_clone()?);
    let back = thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut client, &mut server);
    let _ = server.shutdown(Shutdown::Write);
    let _ = back.join();
    Ok(())
}
