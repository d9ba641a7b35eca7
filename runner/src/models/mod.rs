//! Models: what `models.toml` pins, and the verified file behind each id.

mod edit;
pub mod lock;
mod stamp;
pub mod store;

pub use edit::{EditError, write_entry};
pub use lock::{LockedModel, ModelLock, ModelSource, SynthSource};
pub use store::{Progress, Store, StoreError};
