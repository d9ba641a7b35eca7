//! How far an engine is within one request: what a listener hears while it computes. It shows nothing.

use std::sync::Arc;

use super::Feed;

/// A place within a pass over ids. A pass is heard from its beginning to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// How the ids are fed.
    pub feed: Feed,
    /// Ids that have been computed: of steps from 1, the first one with its prompt; otherwise from 0.
    pub done: usize,
    /// All of the pass.
    pub of: usize,
}

/// Who hears of positions, on the thread that computes.
pub type Listener = Arc<dyn Fn(Position) + Send + Sync>;
