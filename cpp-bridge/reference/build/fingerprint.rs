//! A short name for the content of a source tree or of libraries.
//!
//! Part of the providers' build scripts. Tells trees apart; it is no protection against forgery.

use std::fs;
use std::path::{Path, PathBuf};

/// FNV-1a over names and contents: equal for equal trees, on any machine.
///
/// # Errors
/// The first file or directory that cannot be read.
pub fn of(root: &Path, paths: &[PathBuf]) -> Result<u64, String> {
    let mut files = Vec::new();
    for path in paths {
        collect(path, &mut files)?;
    }
    files.sort();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for file in files {
        let bytes =
            fs::read(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        let name = file.strip_prefix(root).unwrap_or(&file).as_os_str().as_encoded_bytes();
        for part in [name, &(bytes.len() as u64).to_le_bytes(), &bytes] {
            hash = and(hash, part);
        }
    }
    Ok(hash)
}

/// The fingerprint `hash` continued over `bytes`.
pub fn and(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let entries =
        fs::read_dir(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    for entry in entries.flatten() {
        collect(&entry.path(), files)?;
    }
    Ok(())
}
