//! The libtest-mimic harness.
fn main() {}
