//! SHA-256 of files, with progress. Knows no model.

use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};

pub(super) use crate::manifest::digest::hex;

/// Bytes that are read, hashed and written at a time.
pub(super) const BLOCK: usize = 1 << 20;

/// Feeds all of `from` to `hasher`; gives the number of bytes. `progress` hears it so far.
pub(super) fn feed(
    mut from: impl Read,
    hasher: &mut Sha256,
    mut progress: impl FnMut(u64),
) -> io::Result<u64> {
    let mut buffer = vec![0; BLOCK];
    let mut total = 0;
    loop {
        let read = match from.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if read == 0 {
            return Ok(total);
        }
        hasher.update(&buffer[..read]);
        total += read as u64;
        progress(total);
    }
}

/// Hashes what it passes on.
pub(super) struct Hashed<W> {
    /// Where the bytes go.
    pub out: W,
    /// What has seen them.
    pub hasher: Sha256,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_gives_the_published_value() {
        let mut hasher = Sha256::new();
        let mut heard = Vec::new();
        assert_eq!(feed(&b"abc"[..], &mut hasher, |done| heard.push(done)).unwrap(), 3);
        assert_eq!(heard, [3]);
        // FIPS 180-2, appendix B.1
        assert_eq!(
            hex(&hasher.finalize()),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
