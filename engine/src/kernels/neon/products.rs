//! The integer products of all types, for each set of instructions that multiplies: the loops over
//! blocks, written once.
//!
//! A tile multiplies one row with `T` activation rows, so that its codes are unpacked once for all.
//! It is a macro because a function with a type parameter cannot have target features that depend
//! on it, and without them the products would not be inlined.

/// Declares `ternary_dots` and the products of all block types for some target features. In scope
/// are the instructions' own `Sums`, `BLOCKS_PER_SUM`, `no_sums`, `add_small`, `lanes` and `dot_16`.
macro_rules! integer_kernels {
    ($features:literal) => {
        use $crate::kernels::macros::tiled;
        use $crate::kernels::neon::blocks::{self, Group, half_at, load_i8};
        use $crate::kernels::scalar;
        use $crate::quant::activation::{Q8KBlock, Q80Block};
        use $crate::quant::super_blocks::Factors;
        use $crate::quant::{q4_0, q4_k, q5_k, q6_k, q8_0, tq1_0, tq2_0};

        tiled! {
            $features:
            dot_q4_0: tile_q4_0 * Q80Block, q4_0::BLOCK_BYTES;
            dot_q8_0: tile_q8_0 * Q80Block, q8_0::BLOCK_BYTES;
            dot_q4_k: tile_q4_k * Q8KBlock, q4_k::BLOCK_BYTES;
            dot_q5_k: tile_q5_k * Q8KBlock, q5_k::BLOCK_BYTES;
            dot_q6_k: tile_q6_k * Q8KBlock, q6_k::BLOCK_BYTES;
            dot_tq1_0: tile_tq1_0 * Q8KBlock, tq1_0::BLOCK_BYTES;
            dot_tq2_0: tile_tq2_0 * Q8KBlock, tq2_0::BLOCK_BYTES;
        }

        #[target_feature(enable = $features)]
        pub(super) fn ternary_dots(
            rows: &[u8],
            columns: usize,
            activations: &[i8],
            sums: &mut [i32],
        ) {
            let (row_bytes, row_count, tokens) =
                scalar::ternary_shape(rows, columns, activations, sums);
            let mut token = 0;
            while token < tokens {
                let tile = if tokens - token >= 4 { 4 } else { 1 };
                let x = &activations[token * columns..(token + tile) * columns];
                for (r, row) in rows.chunks_exact(row_bytes).enumerate() {
                    let out = |t: usize| (token + t) * row_count + r;
                    if tile == 4 {
                        let dots = ternary_tile::<4, 1>(row, columns, x);
                        for (t, dot) in dots.into_iter().enumerate() {
                            sums[out(t)] = dot;
                        }
                    } else {
                        [sums[out(0)]] = ternary_tile::<1, 4>(row, columns, x);
                    }
                }
                token += tile;
            }
        }

        /// One row times `T` activation rows, in `C` sums each that do not wait for one another.
        #[inline]
        #[target_feature(enable = $features)]
        fn ternary_tile<const T: usize, const C: usize>(
            row: &[u8],
            columns: usize,
            activations: &[i8],
        ) -> [i32; T] {
            let row = row.as_chunks::<32>().0;
            let x: [&[[i8; 128]]; T] = std::array::from_fn(|t| {
                activations[t * columns..(t + 1) * columns].as_chunks::<128>().0
            });
            let mut wide = [vdupq_n_s32(0); T];
            let mut block = 0;
            while block < row.len() {
                let end = row.len().min(block + BLOCKS_PER_SUM);
                let mut sums = [[no_sums(); C]; T];
                while block < end {
                    // The first group lies in the high bits.
                    let mut groups = blocks::two_bit_codes(&row[block]);
                    groups.reverse();
                    for t in 0..T {
                        // One bounds check for the four groups of the block.
                        let x = x[t][block].as_chunks::<32>().0;
                        for (g, codes) in groups.into_iter().enumerate() {
                            let x = load_i8(&x[g]);
                            for h in 0..2 {
                                let c = (2 * g + h) % C;
                                sums[t][c] = add_small(sums[t][c], codes[h], x[h]);
                            }
                        }
                    }
                    block += 1;
                }
                for t in 0..T {
                    for sums in sums[t] {
                        wide[t] = vaddq_s32(wide[t], lanes(sums));
                    }
                }
            }
            wide.map(|v| vaddvq_s32(v))
        }

        /// The lanes of one group's products.
        #[inline]
        #[target_feature(enable = $features)]
        fn dot_32(codes: Group, x: Group) -> [int32x4_t; 2] {
            [dot_16(codes[0], x[0]), dot_16(codes[1], x[1])]
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn tile_q8_0<const T: usize>(row: &[u8], x: [&[Q80Block]; T]) -> [f32; T] {
            let mut acc = [[vdupq_n_f32(0.0); 2]; T];
            for (b, block) in row.as_chunks::<{ q8_0::BLOCK_BYTES }>().0.iter().enumerate() {
                let bytes = &block[q8_0::CODES..].as_chunks::<32>().0[0];
                let (codes, scale) = (blocks::q8_0_codes(bytes), half_at(block, 0));
                for t in 0..T {
                    let x = &x[t][b];
                    let lanes = dot_32(codes, load_i8(&x.codes));
                    blocks::add_fused(&mut acc[t], lanes, scale * x.scale);
                }
            }
            blocks::finish(acc)
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn tile_q4_0<const T: usize>(row: &[u8], x: [&[Q80Block]; T]) -> [f32; T] {
            let mut acc = [[vdupq_n_f32(0.0); 2]; T];
            for (b, block) in row.as_chunks::<{ q4_0::BLOCK_BYTES }>().0.iter().enumerate() {
                let bytes = &block[q4_0::CODES..].as_chunks::<16>().0[0];
                let (codes, scale) = (blocks::q4_0_codes(bytes), half_at(block, 0));
                for t in 0..T {
                    let x = &x[t][b];
                    let lanes = dot_32(codes, load_i8(&x.codes));
                    blocks::add_fused(&mut acc[t], lanes, scale * x.scale);
                }
            }
            blocks::finish(acc)
        }

        /// Adds the products of one group of ternary codes to the sums.
        #[inline]
        #[target_feature(enable = $features)]
        fn add_group<const T: usize>(
            sums: &mut [[Sums; 2]; T],
            codes: Group,
            x: &[&[[i8; 32]]; T],
            group: usize,
        ) {
            for t in 0..T {
                let x = load_i8(&x[t][group]);
                for h in 0..2 {
                    sums[t][h] = add_small(sums[t][h], codes[h], x[h]);
                }
            }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn tile_tq2_0<const T: usize>(row: &[u8], x: [&[Q8KBlock]; T]) -> [f32; T] {
            let mut acc = [[vdupq_n_f32(0.0); 2]; T];
            for (b, block) in row.as_chunks::<{ tq2_0::BLOCK_BYTES }>().0.iter().enumerate() {
                let groups = blocks::groups(&x, b);
                let mut sums = [[no_sums(); 2]; T];
                for (half, bytes) in block.as_chunks::<32>().0.iter().enumerate() {
                    for (l, codes) in blocks::two_bit_codes(bytes).into_iter().enumerate() {
                        add_group(&mut sums, codes, &groups, 4 * half + l);
                    }
                }
                let scale = half_at(block, tq2_0::SCALE);
                for t in 0..T {
                    let lanes = [lanes(sums[t][0]), lanes(sums[t][1])];
                    blocks::add_ternary(&mut acc[t], lanes, scale, &x[t][b]);
                }
            }
            blocks::finish(acc)
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn tile_tq1_0<const T: usize>(row: &[u8], x: [&[Q8KBlock]; T]) -> [f32; T] {
            let mut acc = [[vdupq_n_f32(0.0); 2]; T];
            for (b, block) in row.as_chunks::<{ tq1_0::BLOCK_BYTES }>().0.iter().enumerate() {
                let groups = blocks::groups(&x, b);
                let mut sums = [[no_sums(); 2]; T];
                for (group, codes) in blocks::tq1_0_codes(block).into_iter().enumerate() {
                    add_group(&mut sums, codes, &groups, group);
                }
                let scale = half_at(block, tq1_0::SCALE);
                for t in 0..T {
                    let lanes = [lanes(sums[t][0]), lanes(sums[t][1])];
                    blocks::add_ternary(&mut acc[t], lanes, scale, &x[t][b]);
                }
            }
            blocks::finish(acc)
        }

        /// Adds scale · code · activation of one group to the sums; a scale for each 16 values.
        #[inline]
        #[target_feature(enable = $features)]
        fn add_scaled<const T: usize>(
            sums: &mut [[int32x4_t; 2]; T],
            scales: [i32; 2],
            codes: Group,
            x: &[&[[i8; 32]]; T],
            group: usize,
        ) {
            for t in 0..T {
                let lanes = dot_32(codes, load_i8(&x[t][group]));
                for h in 0..2 {
                    sums[t][h] = vmlaq_n_s32(sums[t][h], lanes[h], scales[h]);
                }
            }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn tile_q4_k<const T: usize>(row: &[u8], x: [&[Q8KBlock]; T]) -> [f32; T] {
            let mut acc = [[vdupq_n_f32(0.0); 2]; T];
            let mut below = [vdupq_n_f32(0.0); T];
            for (b, block) in row.as_chunks::<{ q4_k::BLOCK_BYTES }>().0.iter().enumerate() {
                let (factors, groups) = (Factors::read(block), blocks::groups(&x, b));
                let mut sums = [[vdupq_n_s32(0); 2]; T];
                for (pair, bytes) in block[q4_k::CODES..].as_chunks::<32>().0.iter().enumerate() {
                    for (i, codes) in blocks::q4_k_codes(bytes).into_iter().enumerate() {
                        let group = 2 * pair + i;
                        let scale = i32::from(factors.scales[group]);
                        add_scaled(&mut sums, [scale; 2], codes, &groups, group);
                    }
                }
                for t in 0..T {
                    let x = &x[t][b];
                    let part = vcvtq_f32_s32(blocks::minima(&factors, x));
                    below[t] = vfmaq_n_f32(below[t], part, -x.scale * factors.d_min);
                    blocks::add_fused(&mut acc[t], sums[t], x.scale * factors.d);
                }
            }
            let mut products = blocks::finish(acc);
            for t in 0..T {
                products[t] += blocks::finish_below(below[t]);
            }
            products
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn tile_q5_k<const T: usize>(row: &[u8], x: [&[Q8KBlock]; T]) -> [f32; T] {
            let mut acc = [[vdupq_n_f32(0.0); 2]; T];
            let mut below = [0f32; T];
            for (b, block) in row.as_chunks::<{ q5_k::BLOCK_BYTES }>().0.iter().enumerate() {
                let (factors, groups) = (Factors::read(block), blocks::groups(&x, b));
                let mut sums = [[vdupq_n_s32(0); 2]; T];
                for (group, codes) in blocks::q5_k_codes(block).into_iter().enumerate() {
                    let scale = i32::from(factors.scales[group]);
                    add_scaled(&mut sums, [scale; 2], codes, &groups, group);
                }
                for t in 0..T {
                    let x = &x[t][b];
                    let part = vaddvq_s32(blocks::minima(&factors, x));
                    below[t] += -x.scale * factors.d_min * part as f32;
                    blocks::add_fused(&mut acc[t], sums[t], x.scale * factors.d);
                }
            }
            let mut products = blocks::finish(acc);
            for t in 0..T {
                products[t] += below[t];
            }
            products
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn tile_q6_k<const T: usize>(row: &[u8], x: [&[Q8KBlock]; T]) -> [f32; T] {
            let mut acc = [[vdupq_n_f32(0.0); 2]; T];
            for (b, block) in row.as_chunks::<{ q6_k::BLOCK_BYTES }>().0.iter().enumerate() {
                let scales = &block[q6_k::SCALES..q6_k::SUPER_SCALE].as_chunks::<2>().0;
                let groups = blocks::groups(&x, b);
                let mut sums = [[vdupq_n_s32(0); 2]; T];
                for half in 0..2 {
                    for (g, codes) in blocks::q6_k_codes(block, half).into_iter().enumerate() {
                        let group = 4 * half + g;
                        let scales = scales[group].map(|scale| i32::from(scale as i8));
                        add_scaled(&mut sums, scales, codes, &groups, group);
                    }
                }
                let d = half_at(block, q6_k::SUPER_SCALE);
                for t in 0..T {
                    blocks::add_fused(&mut acc[t], sums[t], x[t][b].scale * d);
                }
            }
            blocks::finish(acc)
        }
    };
}
pub(super) use integer_kernels;
