//! The store's protocol on a disk that records, is full or has no locks, and against SIGKILL between
//! any two steps. Nothing here opens a connection: models come from files of this machine.

#![cfg(unix)]

mod clocks;
mod double;
mod kills;
mod locks;
mod order;
mod space;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bitnet_engine::quant::i2_s::FileLayout;
use bitnet_runner::manifest::Tier;
use bitnet_runner::models::disk::{Disk, LocalDisk};
use bitnet_runner::models::{
    FetchOptions, LockedModel, ModelSource, Progress, Provided, Store, StoreError,
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Three buffers and a bit.
const BYTES: usize = (3 << 20) + 12_345;

/// A folder with a source file, an empty cache, and the model that pins the file.
struct Bench {
    folder: TempDir,
    model: LockedModel,
    contents: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        let contents: Vec<u8> = (0..BYTES).map(|at| (at * 7 + at / 251) as u8).collect();
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("source"), &contents).expect("the source");
        let model = model(&folder.path().join("source"), &contents);
        Self { folder, model, contents }
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// The model's folder in the cache.
    fn room(&self) -> PathBuf {
        self.cache().join("models").join(&self.model.sha256)
    }

    fn file(&self) -> PathBuf {
        self.room().join("model.gguf")
    }

    fn fetch(&self) -> Result<Provided, StoreError> {
        self.fetch_on(Arc::new(LocalDisk), &|_| ())
    }

    fn fetch_on(
        &self,
        disk: Arc<dyn Disk>,
        hear: &(dyn Fn(Progress<'_>) + Sync),
    ) -> Result<Provided, StoreError> {
        let store = Store::on(disk, self.cache(), self.folder.path().to_owned());
        store.fetch(&self.model, &FetchOptions::default(), hear)
    }

    /// Under the final name is the right file or none.
    #[track_caller]
    fn nothing_wrong_is_in_place(&self, when: &str) {
        match std::fs::read(self.file()) {
            Ok(found) => assert!(found == self.contents, "{when}: a wrong file in place"),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{when}"),
        }
    }

    /// Names in the model's folder.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.room()).expect("the model's folder");
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.expect("an entry").file_name().into_string().expect("UTF-8")
        };
        let mut names: Vec<String> = entries.map(name).collect();
        names.sort();
        names
    }
}

fn model(source: &Path, contents: &[u8]) -> LockedModel {
    LockedModel {
        id: "small".into(),
        tier: Tier::CiLight,
        sha256: Sha256::digest(contents).iter().map(|byte| format!("{byte:02x}")).collect(),
        bytes: contents.len() as u64,
        license: "MIT".into(),
        terms: None,
        references: Vec::new(),
        i2s_layout: FileLayout::default(),
        source: ModelSource::Url {
            url: format!("file://{}", source.display()),
            mirrors: Vec::new(),
        },
        line: 1,
    }
}
