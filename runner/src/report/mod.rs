//! Telling people and programs how a run went. Nothing is computed or judged here.

pub mod bench;
mod ended;
pub mod github;
pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
mod output;
mod pooled;
mod position;
mod progress;
pub mod receipt;
mod summary;
mod terminal;

pub use ended::{Ended, SLOW_SECONDS};
pub use output::print_line;
pub use position::Positions;
pub use progress::{Reporter, progress, rate};
pub use summary::{Basis, Summary};
pub use terminal::{Colour, Terminal};
