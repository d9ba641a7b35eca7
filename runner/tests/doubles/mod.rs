//! Worker programs for the tests. The test executable runs itself again to become one of them.

pub mod engine;
pub mod expected;
#[cfg(target_os = "linux")]
mod memory;
pub mod roles;
