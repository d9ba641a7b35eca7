//! Block formats of weights and activations: layouts, packing, and the scalar truth of each.

pub mod activation;
pub mod i2_s;
pub mod q6_k;
