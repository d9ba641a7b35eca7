//! bitnet.cpp behind the bridge: depending on this crate is what links it.
//!
//! Adds nothing to the bridge's interface. One binary can hold one provider only: all references of
//! the family define the same symbols.

pub use bitnet_cpp_bridge::{
    BuildInfo, CacheType, CapturedTensor, Error, Generation, Reference, Settings, Timed, Timings,
    build_info, log_tail,
};
