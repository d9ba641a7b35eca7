//! Telling people and programs how a run went. Nothing is computed or judged here.

pub mod bench;
pub mod json;
mod output;
mod progress;
mod summary;
mod terminal;

pub use output::print_line;
pub use progress::{Reporter, progress, rate};
pub use summary::{Basis, Summary};
pub use terminal::{Colour, Terminal};
