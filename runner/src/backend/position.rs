//! How far an engine is within one request: what a listener hears while it computes. It shows nothing.

use std::sync::Arc;

/// A place within a pass over ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// All ids in one batch begin to be computed; nothing more is heard of them.
    Prefill {
        /// How many there are.
        ids: usize,
    },
    /// Ids one at a time.
    Steps {
        /// Computed so far, from 1.
        done: usize,
        /// All of the pass.
        of: usize,
    },
}

/// Who hears of positions, on the thread that computes.
pub type Listener = Arc<dyn Fn(Position) + Send + Sync>;
