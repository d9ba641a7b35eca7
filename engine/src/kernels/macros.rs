//! Macros that the tables of the instruction sets share. They say how kernels are called, not what
//! they compute.

/// Calls a kernel of a table from outside its target features.
macro_rules! available {
    ($call:expr) => {
        // SAFETY: `Kernels::for_isa` hands this table out only after it has detected the target
        // features that every kernel of the table is compiled for.
        unsafe { $call }
    };
}
pub(super) use available;

/// Declares the kernel of a block type: activation rows in fours, then one by one.
macro_rules! tiled {
    ($features:literal: $($name:ident: $tile:ident * $activation:ty, $bytes:expr;)*) => {$(
        #[target_feature(enable = $features)]
        pub(super) fn $name(row: &[u8], x: &[$activation], products: &mut [f32]) {
            let blocks = $crate::kernels::scalar::blocks::blocks_a_row(x, products);
            $crate::kernels::scalar::blocks::check(row, $bytes, &x[..blocks]);
            let (fours, rest) = products.as_chunks_mut::<4>();
            let (x_fours, x_rest) = x.split_at(4 * fours.len() * blocks);
            for (products, x) in fours.iter_mut().zip(x_fours.chunks_exact(4 * blocks)) {
                *products = $tile(row, std::array::from_fn(|t| &x[t * blocks..][..blocks]));
            }
            for (product, x) in rest.iter_mut().zip(x_rest.chunks_exact(blocks)) {
                [*product] = $tile(row, [x]);
            }
        }
    )*};
}
pub(super) use tiled;
