//! The note beside a cached file that says: these bytes were hashed, and have not changed since.
//!
//! A stamp saves hashing a gigabyte on every run. It proves nothing against somebody who writes
//! stamps; it notices every ordinary change. It hashes nothing itself.

use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

pub(super) use crate::manifest::digest::hex;

/// What must be the same for a stamp to hold.
fn state(metadata: &Metadata) -> String {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let modified = modified.map_or(0, |since| since.as_nanos());
    // The time of the last change of the inode cannot be set back by a tool that restores the other.
    #[cfg(unix)]
    let identity = {
        use std::os::unix::fs::MetadataExt;
        format!("{} {}.{}", metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
    };
    #[cfg(not(unix))]
    let identity = "-";
    format!("verified-2 {} {modified} {identity}\n", metadata.len())
}

/// Whether `file` is as it was when `stamp` was written.
pub(super) fn holds(file: &Path, stamp: &Path) -> bool {
    let current = std::fs::symlink_metadata(file).ok().filter(Metadata::is_file);
    let Some(current) = current.map(|metadata| state(&metadata)) else { return false };
    std::fs::read_to_string(stamp).is_ok_and(|written| written == current)
}

/// Writes the stamp of `file`, whose hash was just found right, by way of a temporary file.
pub(super) fn write(file: &Path, stamp: &Path) -> io::Result<()> {
    let state = state(&std::fs::symlink_metadata(file)?);
    let folder = stamp.parent().unwrap_or(Path::new("."));
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    temporary.write_all(state.as_bytes())?;
    // Temporary files are private; a cache may be shared.
    #[cfg(unix)]
    temporary.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    temporary.as_file().sync_all()?;
    temporary.persist(stamp)?;
    Ok(())
}

/// SHA-256 of a file's bytes in lower-case hex. `progress` hears the bytes read so far.
pub(super) fn sha256(path: &Path, mut progress: impl FnMut(u64)) -> io::Result<String> {
    let (mut file, mut hasher) = (File::open(path)?, Sha256::new());
    let mut buffer = vec![0; 1 << 20];
    let mut total = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&buffer[..read]);
        total += read as u64;
        progress(total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_holds_until_the_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let (file, stamp) = (folder.path().join("model"), folder.path().join("stamp"));
        std::fs::write(&file, "abc").unwrap();
        assert!(!holds(&file, &stamp), "no stamp yet");
        write(&file, &stamp).unwrap();
        assert!(holds(&file, &stamp));
        std::fs::write(&file, "abcd").unwrap();
        assert!(!holds(&file, &stamp), "another length");
        write(&file, &stamp).unwrap();
        let copy = folder.path().join("copy");
        std::fs::copy(&file, &copy).unwrap();
        std::fs::rename(&copy, &file).unwrap();
        assert!(!holds(&file, &stamp), "another file under the name");
    }

    #[test]
    fn sha256_gives_the_published_value() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("abc");
        std::fs::write(&file, "abc").unwrap();
        // FIPS 180-2, appendix B.1
        assert_eq!(
            sha256(&file, |_| ()).unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
