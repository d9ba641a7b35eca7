//! The linked reference on a tiny model of our own: what it computes, and what it refuses.

mod computing;
mod fixture;
mod refusing;
