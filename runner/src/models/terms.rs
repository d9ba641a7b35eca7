//! Terms that a user accepts once before a model is fetched, remembered in the cache. Asks nobody:
//! the commands do.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::LockedModel;
use super::disk::Disk;
use super::error::{Cause, io_cause};
use super::hashing::hex;
use super::stamp;

/// The terms of one model.
pub(super) struct Terms<'a> {
    model: &'a LockedModel,
    terms: &'a str,
    mark: PathBuf,
}

impl<'a> Terms<'a> {
    /// The terms of `model` in the cache `root`; `None` if it has none.
    pub(super) fn of(model: &'a LockedModel, root: &Path) -> Option<Self> {
        let terms = model.terms.as_deref()?;
        // Other terms or another licence are accepted anew.
        let text = format!("{}\n{}\n{terms}\n", model.id, model.license);
        let mark = root.join("terms").join(hex(&Sha256::digest(text)));
        Some(Self { model, terms, mark })
    }

    /// Whether they were accepted on this machine.
    pub(super) fn are_accepted(&self) -> bool {
        fs::symlink_metadata(&self.mark).is_ok_and(|metadata| metadata.is_file())
    }

    /// Remembers that they are accepted.
    pub(super) fn accept(&self, disk: &dyn Disk) -> Result<(), Cause> {
        let folder = self.mark.parent().unwrap_or(Path::new("."));
        disk.create_folders(folder).map_err(io_cause(folder, "create"))?;
        let new = self.mark.with_extension(format!("new-{}", std::process::id()));
        let text = format!("{}\n{}\n{}\n", self.model.id, self.model.license, self.terms);
        let written = stamp::replace(disk, &self.mark, &new, text.as_bytes());
        Ok(written.map_err(io_cause(&self.mark, "write"))?)
    }

    /// Why the model is not fetched.
    pub(super) fn refusal(&self) -> Cause {
        Cause::Terms {
            id: self.model.id.clone(),
            license: self.model.license.clone(),
            terms: self.terms.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use bitnet_engine::quant::i2_s::FileLayout;

    use super::super::ModelSource;
    use super::super::disk::LocalDisk;
    use super::*;

    #[test]
    fn accepting_holds_for_these_terms_and_this_licence() {
        let cache = tempfile::tempdir().unwrap();
        let mut model = LockedModel {
            id: "m".into(),
            tier: crate::manifest::Tier::CiLight,
            sha256: "0".repeat(64),
            bytes: 1,
            license: "L".into(),
            terms: Some("https://terms.example/1".into()),
            references: Vec::new(),
            i2s_layout: FileLayout::default(),
            source: ModelSource::Path("x".into()),
            line: 1,
        };
        let first = Terms::of(&model, cache.path()).unwrap();
        assert!(!first.are_accepted());
        assert_eq!(
            first.refusal().to_string(),
            "its terms (L, https://terms.example/1) have not been accepted; read them, then run \
             `parity fetch --id m --accept-terms m`"
        );
        first.accept(&LocalDisk).unwrap();
        assert!(first.are_accepted());
        model.terms = Some("https://terms.example/2".into());
        assert!(!Terms::of(&model, cache.path()).unwrap().are_accepted(), "other terms");
        model.terms = None;
        assert!(Terms::of(&model, cache.path()).is_none());
    }
}
