//! Models: what `models.toml` pins, and the verified file behind each id.

mod access;
mod address;
pub mod disk;
mod download;
mod edit;
mod entry;
mod error;
mod gc;
mod hashing;
mod hub;
pub mod lock;
mod make;
pub(crate) mod options;
mod partial;
mod progress;
mod receive;
mod room;
mod secret;
mod sources;
mod stamp;
pub mod store;
mod terms;
mod transport;
mod tries;
mod trouble;
mod upstream;

pub use edit::{EditError, write_entry};
pub use error::{Cause, IoCause, Mismatch, StoreError};
pub use gc::{Cleaned, Garbage};
pub use lock::{LockedModel, ModelLock, ModelSource, SynthSource};
pub use make::synthesise;
pub use options::FetchOptions;
pub use progress::{Hear, Progress, Step};
pub use store::{How, Provided, State, Store};
pub use upstream::{Found, look_up};
