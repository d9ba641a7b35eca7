//! Block formats of weights and activations: layouts, packing, and the scalar truth of each.

pub mod activation;
pub mod blocks;
pub mod i2_s;
pub mod kernel_config;
pub mod lookup;
pub mod panels;
pub mod q4_0;
pub mod q4_k;
pub mod q5_k;
pub mod q6_k;
pub mod q8_0;
pub mod six_bit;
pub mod super_blocks;
pub mod ternary;
pub mod ternary_layout;
pub mod tiles;
pub mod tl1;
pub mod tl2;
pub mod tq1_0;
pub mod tq2_0;

use half::f16;

/// The f16 at an offset as f32.
#[inline]
fn f16_at(block: &[u8], offset: usize) -> f32 {
    f16::from_le_bytes([block[offset], block[offset + 1]]).to_f32()
}
