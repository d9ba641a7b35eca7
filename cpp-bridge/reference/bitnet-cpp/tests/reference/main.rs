//! The linked reference on a tiny model of our own: what it computes, and what it refuses.

mod arithmetic;
mod computing;
mod fixture;
mod refusing;
