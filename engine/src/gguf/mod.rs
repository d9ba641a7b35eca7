//! The GGUF container: header, metadata, tensor directory, and the mapped data they describe.
//!
//! Reads GGUF 2 and 3, little-endian, from a file ([`GgufFile`]) or from bytes ([`Directory`]), and
//! writes GGUF 3 ([`GgufWriter`]). Knows no model: what a key or a tensor means is decided elsewhere.
//!
//! Every count, length, offset and product that comes from a file is checked before it is used, and
//! nothing is allocated on a file's word: reading takes at most twice the file's size.

mod cursor;
mod directory;
mod error;
mod file;
mod from_value;
mod key_value;
pub mod limits;
mod metadata;
mod tensor_type;
mod value;
mod view;
mod writer;

pub use directory::{Directory, TensorInfo};
pub use error::{Fault, GgufError, KeyFault, Name};
pub use file::GgufFile;
pub use from_value::FromValue;
pub use metadata::Metadata;
pub use tensor_type::{ShapeFault, TensorType};
pub use value::{Array, Value, ValueType};
pub use view::{Items, Scalar, Strings, Text};
pub use writer::{GgufWriter, WriteError};
