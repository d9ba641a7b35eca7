//! The note beside a cached file that says: these bytes were hashed, and have not changed since.
//!
//! A stamp saves hashing a gigabyte on every run. It proves nothing against somebody who writes
//! stamps; it notices every ordinary change. It hashes nothing itself.

use std::fs::{self, Metadata};
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::disk::Disk;

/// What must be the same for a stamp to hold; `None` if no stamp can.
fn state(metadata: &Metadata) -> Option<String> {
    let modified = metadata.modified().ok()?;
    // A clock that was wrong once would hide every later change.
    if modified > SystemTime::now() {
        return None;
    }
    let modified = modified.duration_since(UNIX_EPOCH).ok()?.as_nanos();
    // The time of the last change of the inode cannot be set back by a tool that restores the other.
    #[cfg(unix)]
    let identity = {
        use std::os::unix::fs::MetadataExt;
        format!("{} {}.{}", metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
    };
    #[cfg(not(unix))]
    let identity = "-";
    let version = env!("CARGO_PKG_VERSION");
    Some(format!("verified-3 {version} {} {modified} {identity}\n", metadata.len()))
}

/// Whether `file` is as it was when `stamp` was written. Neither may be a link.
pub(super) fn holds(file: &Path, stamp: &Path) -> bool {
    let plain = |path: &Path| fs::symlink_metadata(path).ok().filter(Metadata::is_file);
    let Some(current) = plain(file).and_then(|metadata| state(&metadata)) else { return false };
    plain(stamp).is_some_and(|metadata| metadata.len() == current.len() as u64)
        && fs::read_to_string(stamp).is_ok_and(|written| written == current)
}

/// Writes the stamp of `file`, whose hash was just found right, by way of the file `new`.
pub(super) fn write(disk: &dyn Disk, file: &Path, stamp: &Path, new: &Path) -> io::Result<()> {
    let Some(state) = state(&fs::symlink_metadata(file)?) else { return Ok(()) };
    replace(disk, stamp, new, state.as_bytes())
}

/// Puts `bytes` under the name `path` by way of the file `new` beside it: the old ones or the new
/// ones, never a part.
pub(super) fn replace(disk: &dyn Disk, path: &Path, new: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::remove_file(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let out = disk.create(new)?;
    disk.write(&out, bytes)?;
    disk.sync(&out, new)?;
    disk.rename(new, path)?;
    disk.sync_folder(path.parent().unwrap_or(Path::new(".")))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::Duration;

    use super::super::disk::LocalDisk;
    use super::*;

    #[test]
    fn a_stamp_holds_until_the_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let [file, stamp, new] = ["model", "stamp", "new"].map(|name| folder.path().join(name));
        let write = || write(&LocalDisk, &file, &stamp, &new).unwrap();
        fs::write(&file, "abc").unwrap();
        assert!(!holds(&file, &stamp), "no stamp yet");
        write();
        assert!(holds(&file, &stamp));
        fs::write(&file, "abcd").unwrap();
        assert!(!holds(&file, &stamp), "another length");
        write();
        let copy = folder.path().join("copy");
        fs::copy(&file, &copy).unwrap();
        fs::rename(&copy, &file).unwrap();
        assert!(!holds(&file, &stamp), "another file under the name");
        write();
        let text = fs::read_to_string(&stamp).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        fs::write(&stamp, text.replacen(version, "9.9.9", 1)).unwrap();
        assert!(!holds(&file, &stamp), "a stamp of another version");
    }

    #[test]
    fn a_file_from_the_future_is_never_taken_for_verified() {
        let folder = tempfile::tempdir().unwrap();
        let [file, stamp, new] = ["model", "stamp", "new"].map(|name| folder.path().join(name));
        fs::write(&file, "abc").unwrap();
        let tomorrow = SystemTime::now() + Duration::from_secs(86_400);
        File::options().write(true).open(&file).unwrap().set_modified(tomorrow).unwrap();
        write(&LocalDisk, &file, &stamp, &new).unwrap();
        assert!(!holds(&file, &stamp));
    }

    #[cfg(unix)]
    #[test]
    fn links_hold_no_stamp() {
        let folder = tempfile::tempdir().unwrap();
        let [file, stamp, new] = ["model", "stamp", "new"].map(|name| folder.path().join(name));
        fs::write(&file, "abc").unwrap();
        write(&LocalDisk, &file, &stamp, &new).unwrap();
        let elsewhere = folder.path().join("elsewhere");
        fs::rename(&stamp, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &stamp).unwrap();
        assert!(!holds(&file, &stamp), "a link in the stamp's place");
    }
}
