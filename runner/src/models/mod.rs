//! Models: what `models.toml` pins.

pub mod lock;

pub use lock::{LockedModel, ModelLock, ModelSource, SynthSource};
