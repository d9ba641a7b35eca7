//! The one rule for paths that a file names: relative, and staying where they are joined. Opens
//! nothing, so that a link may still lead out.

use std::path::{Component, Path};

/// Whether `path` is names joined by `/` and nothing else, on every system: no `..`, no root, no
/// drive, no `\\`.
pub(crate) fn is_plain(path: &str) -> bool {
    !path.is_empty()
        && !path.contains(['\\', ':', '\0'])
        && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[test]
    fn only_names_joined_by_slashes() {
        for path in ["a", "a/b.txt", "prompts/four pages.txt"] {
            assert!(is_plain(path), "{path}");
        }
        for path in ["", "/a", "../a", "a/../b", "./a", "a\\b", "C:/a", "C:a", "a\0"] {
            assert!(!is_plain(path), "{path:?}");
        }
    }
}
