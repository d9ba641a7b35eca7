//! The block formats against ggml, bit for bit: what its quantisers wrote, its dequantisers read and
//! its AVX2 dot products gave for the same numbers.
//!
//! The figures were taken from ggml-quants.c of the pinned bitnet.cpp sources, compiled with
//! `-O2 -march=x86-64-v3 -ffp-contract=off`; no C++ is needed to check against them.

use bitnet_engine::kernels::{BlockDots, Isa, Kernels};
use bitnet_engine::quant::activation::{Q8KBlock, Q80Block};
use bitnet_engine::quant::blocks::BlockType;

const VALUES: usize = 2048;

/// Bytes of a 64-bit linear congruential generator: the same in any language.
struct Bytes(u64);

impl Bytes {
    fn next(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 56) as u8
    }

    /// Uniform in ±2.
    fn uniform(&mut self) -> f32 {
        let bytes = [self.next(), self.next(), self.next(), self.next()];
        (u32::from_le_bytes(bytes) as f32 / 2f32.powi(31) - 1.0) * 2.0
    }
}

/// 0: uniform. 1: ternary times 0.375. 2: uniform cubed, most values small. Others: blocks of zeros,
/// of one value, of almost nothing and of no negative value between uniform ones.
fn values(kind: u64) -> Vec<f32> {
    let mut bytes = Bytes(kind ^ 0x9e37_79b9_7f4a_7c15);
    let value = |i: usize| match kind {
        0 => bytes.uniform(),
        1 => (f32::from(bytes.next() % 3) - 1.0) * 0.375,
        2 => {
            let v = bytes.uniform();
            v * v * v
        }
        _ => {
            let v = bytes.uniform();
            match i {
                256..768 => 0.0,
                1024..1280 => 0.7,
                1280..1536 => v * 1e-20,
                1536.. => v.abs(),
                _ => v,
            }
        }
    };
    (0..VALUES).map(value).collect()
}

/// FNV-1a with 64 bits.
fn fingerprint(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Fingerprint of the written blocks, of the values read back, and bits of the product with
/// activations, for the kinds 0 to 3 of weights.
type Figures = [(u64, u64, u32); 4];

const GGML: [(BlockType, Figures); 7] = [
    (
        BlockType::Q4_0,
        [
            (0xf728_561c_f2fc_3177, 0xda42_62f7_6a55_4c68, 0x4116_b630),
            (0x0a83_5326_630a_6ff2, 0x426e_0e2c_4006_8b7d, 0xc16e_bec2),
            (0x52fd_81ba_dab3_a98f, 0x83f2_b888_0536_4325, 0x42b2_7220),
            (0x26f1_b027_4abe_b5d1, 0x5e4f_120c_cd76_b234, 0x446e_4e42),
        ],
    ),
    (
        BlockType::Q8_0,
        [
            (0xe3d0_df39_248f_9ed9, 0xfc0d_042b_3e0f_472d, 0x412a_dc80),
            (0x8ca7_98a9_6ffe_23ef, 0x342b_7d7e_9a23_df7d, 0xc157_c3aa),
            (0xcf11_31de_bc68_b414, 0x6099_3f24_fe60_1afc, 0x42ad_f397),
            (0xf568_05bd_3b72_a4bb, 0x6540_d5a7_fcaf_287c, 0x446e_6f70),
        ],
    ),
    (
        BlockType::Q4K,
        [
            (0x358a_ba96_1b14_1ff3, 0xff32_f652_63c1_382d, 0x411e_1700),
            (0x387e_971d_9f46_2abe, 0xf56d_441e_1f2c_aee9, 0xc157_f320),
            (0x0bc5_722e_9a35_1526, 0xa521_33cd_943d_6064, 0x4289_28c0),
            (0x39ce_ad6e_df74_634d, 0xc247_61b2_1d4a_b3ec, 0x446e_9bf0),
        ],
    ),
    (
        BlockType::Q5K,
        [
            (0xf2d1_ed5f_0229_1bdc, 0x80a4_f35d_4f54_564e, 0x4146_d500),
            (0xb23a_784f_df99_a0f5, 0x7e85_9db6_1ee6_0b5d, 0xc158_6b00),
            (0x957f_3733_92f2_ad1f, 0x9679_268c_fbde_03ca, 0x42ac_8a00),
            (0xd1ab_d868_1b42_426d, 0x3fa3_abd7_a959_2668, 0x446e_772d),
        ],
    ),
    (
        BlockType::Q6K,
        [
            (0x04e5_8b86_dbad_e12a, 0xd678_2532_51c5_dd04, 0x412a_5210),
            (0x3118_62ac_4bed_bd71, 0x86ce_a4f6_22ed_506e, 0xc158_02d0),
            (0xfc23_ab29_fe38_a019, 0xe008_f97f_1ee8_cd6b, 0x42b7_dee3),
            (0x9709_1643_50e5_bc78, 0xe142_1b57_7838_9a89, 0x446e_7c04),
        ],
    ),
    (
        BlockType::Tq1_0,
        [
            (0x8f8f_261c_9a17_0dc9, 0xcc4a_f62f_90fc_3869, 0x423d_02ba),
            (0xd7fc_257a_2bba_410d, 0x2cf4_8d70_399a_85a5, 0xc158_787a),
            (0x7d32_951f_a610_a99d, 0xfa9d_0a59_ec96_103d, 0x42fe_00d8),
            (0x6bc6_d018_0cb6_bf9c, 0xfafa_69f2_b725_3865, 0x446c_def0),
        ],
    ),
    (
        BlockType::Tq2_0,
        [
            (0x0d3b_085f_fa74_bc22, 0xcc4a_f62f_90fc_3869, 0x423d_02ba),
            (0x6ad5_f50d_41eb_384f, 0x2cf4_8d70_399a_85a5, 0xc158_787a),
            (0xd977_533b_bc75_0da0, 0xfa9d_0a59_ec96_103d, 0x42fe_00d8),
            (0x5336_664d_3a8d_d039, 0xfafa_69f2_b725_3865, 0x446c_def0),
        ],
    ),
];

fn row_of(block_type: BlockType, kind: u64) -> Vec<u8> {
    let mut row = vec![0; VALUES / block_type.block() * block_type.block_bytes()];
    block_type.quantize_row(&values(kind), &mut row);
    row
}

#[test]
fn quantisers_write_what_ggml_writes() {
    for (block_type, figures) in GGML {
        for (kind, figures) in (0..).zip(figures) {
            let row = row_of(block_type, kind);
            assert_eq!(fingerprint(row), figures.0, "{} of kind {kind}", block_type.name());
        }
    }
}

#[test]
fn dequantisers_read_what_ggml_reads() {
    for (block_type, figures) in GGML {
        for (kind, figures) in (0..).zip(figures) {
            let mut back = vec![0f32; VALUES];
            block_type.dequantize_row(&row_of(block_type, kind), &mut back);
            let bytes = back.iter().flat_map(|v| v.to_le_bytes());
            assert_eq!(fingerprint(bytes), figures.1, "{} of kind {kind}", block_type.name());
        }
    }
}

#[test]
fn dot_products_give_the_bits_of_ggml() {
    let x: Vec<f32> = values(7).iter().map(|v| v * 1.5).collect();
    for kernels in Isa::ALL.into_iter().filter_map(Kernels::for_isa) {
        let mut blocks_32 = [Q80Block::default(); VALUES / 32];
        (kernels.quantize_q8_0)(&x, &mut blocks_32);
        let mut blocks_256 = [Q8KBlock::default(); VALUES / 256];
        (kernels.quantize_q8_k)(&x, &mut blocks_256);
        for (block_type, figures) in GGML {
            for (kind, figures) in (0..).zip(figures) {
                let (row, mut product) = (row_of(block_type, kind), [0f32]);
                match kernels.block_dots(block_type) {
                    BlockDots::Q8_0(dots) => dots(&row, &blocks_32, &mut product),
                    BlockDots::Q8K(dots) => dots(&row, &blocks_256, &mut product),
                }
                let what = format!("{}, {} of kind {kind}", kernels.isa, block_type.name());
                let truth = f32::from_bits(figures.2);
                assert_eq!(product[0].to_bits(), figures.2, "{what}: {} for {truth}", product[0]);
            }
        }
    }
}
