//! N01–N21: what servers, proxies and wires do wrong.

pub mod bodies;
pub mod connections;
pub mod redirects;
pub mod resuming;
pub mod sources;
pub mod statuses;
