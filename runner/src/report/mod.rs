//! Telling people and programs how a run went. Nothing is computed or judged here.

pub mod json;
mod progress;
mod summary;
mod terminal;

pub use progress::progress;
pub use summary::Summary;
pub use terminal::{Colour, Terminal};
