//! How fast `parity fetch` is, beside a plain copy and a hash of the same file: one file from a local
//! HTTP server, both measured in turn, with the fetching program's peak of resident memory.
//!
//! `cargo bench -p bitnet-runner --bench fetch` (Linux: memory is read from /proc). It asserts that the file
//! arrived, and no time. `BITNET_BENCH_BYTES` is the size of the file, 1.2 GB if not set.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

const ROUNDS: usize = 3;
const BLOCK: usize = 1 << 20;

fn main() {
    let bytes = std::env::var("BITNET_BENCH_BYTES").ok();
    let bytes = bytes.map_or(1_200_000_000, |text| text.parse().expect("a number of bytes"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("model");
    write_noise(&file, bytes);
    let sha256 = digest(&file);
    let port = serve(file.clone());
    let lock = format!(
        "schema_version = 1\n[[model]]\nid = \"m\"\ntier = \"ci-light\"\nsha256 = \"{sha256}\"\n\
         bytes = {bytes}\nlicense = \"MIT\"\nreferences = []\n\
         source = {{ url = \"http://127.0.0.1:{port}/m\" }}\n"
    );
    fs::write(folder.path().join("models.toml"), lock).expect("the lock");

    println!("{bytes} bytes, {ROUNDS} rounds");
    println!("round  copy+flush s  sha256 s   both s  fetch s  fetch/both  peak MiB");
    for round in 1..=ROUNDS {
        let copy = folder.path().join("copy");
        let start = Instant::now();
        fs::copy(&file, &copy).expect("a copy");
        File::open(&copy).and_then(|copy| copy.sync_all()).expect("on the disk");
        let copied = start.elapsed();
        assert_eq!(digest(&copy), sha256);
        let both = start.elapsed();
        fs::remove_file(&copy).expect("removed");

        let cache = folder.path().join("cache");
        let (fetched, peak) = fetch(folder.path(), &cache);
        let place = cache.join("models").join(&sha256).join("model.gguf");
        assert_eq!(fs::metadata(place).expect("the model").len(), bytes);
        fs::remove_dir_all(&cache).expect("removed");
        println!(
            "{round:>5} {:>13.2} {:>9.2} {:>8.2} {:>8.2} {:>11.2} {:>9}",
            copied.as_secs_f64(),
            (both - copied).as_secs_f64(),
            both.as_secs_f64(),
            fetched.as_secs_f64(),
            fetched.as_secs_f64() / both.as_secs_f64(),
            peak.map_or("unknown".to_owned(), |kib| format!("{:.1}", kib as f64 / 1024.0)),
        );
    }
}

/// Runs `parity fetch` into an empty cache; gives its time and its peak of resident memory in KiB.
fn fetch(project: &Path, cache: &Path) -> (Duration, Option<u64>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parity"));
    command.args(["fetch", "-q"]).current_dir(project).env("BITNET_CACHE_DIR", cache);
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(name);
    }
    let start = Instant::now();
    let mut child = command.stdout(Stdio::null()).spawn().expect("the program runs");
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut peak = None;
    loop {
        let seen = fs::read_to_string(&status).ok().and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
            line.trim().trim_end_matches(" kB").parse::<u64>().ok()
        });
        peak = peak.max(seen);
        if let Some(ended) = child.try_wait().expect("its state") {
            let time = start.elapsed();
            assert!(ended.success(), "parity fetch: {ended}");
            return (time, peak);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Serves `file` whole, whatever is asked; gives the port.
fn serve(file: PathBuf) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
    let port = listener.local_addr().expect("its address").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away has what it wants.
            let _ = answer(stream, &file);
        }
    });
    port
}

fn answer(mut stream: TcpStream, file: &Path) -> io::Result<()> {
    let mut head = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    while head.read_line(&mut line)? > 2 {
        line.clear();
    }
    let mut file = File::open(file)?;
    let length = file.metadata()?.len();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
    io::copy(&mut file, &mut stream)?;
    Ok(())
}

/// Bytes that no file system stores in less room.
fn write_noise(path: &Path, bytes: u64) {
    let mut file = File::create(path).expect("a file");
    let (mut state, mut left) = (1u64, bytes);
    let mut block = vec![0; BLOCK];
    while left > 0 {
        for word in block.as_chunks_mut::<8>().0 {
            // xorshift64 (Marsaglia 2003)
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *word = state.to_le_bytes();
        }
        let now = usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK));
        file.write_all(&block[..now]).expect("written");
        left -= now as u64;
    }
    file.sync_all().expect("on the disk");
}

fn digest(path: &Path) -> String {
    let (mut file, mut hasher) = (File::open(path).expect("a file"), Sha256::new());
    let mut block = vec![0; BLOCK];
    loop {
        match file.read(&mut block).expect("read") {
            0 => return hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
            read => hasher.update(&block[..read]),
        }
    }
}
