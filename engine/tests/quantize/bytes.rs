//! Which bytes are written: those of ggml's and bitnet.cpp's quantisers.
//!
//! The fingerprints of block types are those of `tests/quant_reference.rs`. That of I2_S was taken from
//! `quantize_i2_s` of the pinned bitnet.cpp sources (x86, `ACT_PARALLEL`), its 28 meaningless bytes at the
//! end set to 0.

use bitnet_engine::gguf::TensorType;
use bitnet_engine::quantize::{Loss, Options, Target};
use half::{bf16, f16};

use crate::files::{convert, data, losses, matrix};

const NAME: &str = "blk.0.attn_q.weight";

/// Bytes of a 64-bit linear congruential generator: the same in any language.
struct Bytes(u64);

impl Bytes {
    fn new(kind: u64) -> Self {
        Bytes(kind ^ 0x9e37_79b9_7f4a_7c15)
    }

    fn next(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 56) as u8
    }

    fn word(&mut self) -> u32 {
        u32::from_le_bytes([self.next(), self.next(), self.next(), self.next()])
    }
}

/// Uniform in ±2.
fn uniform(word: u32) -> f32 {
    (word as f32 / 2f32.powi(31) - 1.0) * 2.0
}

fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[test]
fn block_types_have_ggmls_bytes() {
    let mut bytes = Bytes::new(0);
    let uniform: Vec<f32> = (0..2048).map(|_| uniform(bytes.word())).collect();
    let mut bytes = Bytes::new(1);
    let ternary: Vec<f32> =
        (0..2048).map(|_| (f32::from(bytes.next() % 3) - 1.0) * 0.375).collect();
    let cases = [
        (Target::Q4_0, &uniform, 0xf728_561c_f2fc_3177),
        (Target::Q8_0, &uniform, 0xe3d0_df39_248f_9ed9),
        (Target::Q4K, &uniform, 0x358a_ba96_1b14_1ff3),
        (Target::Q5K, &uniform, 0xf2d1_ed5f_0229_1bdc),
        (Target::Q6K, &uniform, 0x04e5_8b86_dbad_e12a),
        (Target::Tq1_0, &ternary, 0xd7fc_257a_2bba_410d),
    ];
    for (target, values, truth) in cases {
        let file = matrix(&[1024, 2], values);
        let (out, written) = convert(&file, Options::new(target)).unwrap();
        assert_eq!(fingerprint(data(&out, NAME)), truth, "{target}");
        let loss = if target.is_ternary() { vec![] } else { vec![Loss::Rounded] };
        assert_eq!(losses(&written), loss, "{target}");
    }
}

#[test]
fn a_matrix_that_is_not_ternary_becomes_what_the_reference_makes_of_it() {
    let mut bytes = Bytes::new(77);
    let values: Vec<f32> = (0..8 * 256)
        .map(|_| {
            let word = bytes.word();
            let mut v = uniform(word);
            v = if word & 7 == 0 { 0.0 } else { v };
            if word & 15 == 1 { v * 1e-7 } else { v }
        })
        .collect();
    let options = Options { allow_lossy: true, ..Options::new(Target::I2S) };
    let (out, written) = convert(&matrix(&[256, 8], &values), options).unwrap();
    let i2_s = data(&out, NAME);
    assert_eq!((i2_s.len(), fingerprint(i2_s)), (544, 0x4095_f7b7_57ac_3de1));
    let scale = f32::from_le_bytes([i2_s[512], i2_s[513], i2_s[514], i2_s[515]]);
    assert_eq!(scale.to_bits(), 0x3fff_e886);
    let [Loss::Ternary(misfit)] = losses(&written)[..] else { panic!("{written:?}") };
    let zeros = values.iter().filter(|v| **v == 0.0).count();
    assert_eq!((misfit.weights, misfit.others), (2048, 2048 - zeros - 1));
    assert!(misfit.farthest > 0.49 && misfit.farthest <= 0.5, "{misfit}");
}

#[test]
fn plain_types_are_rounded_to_the_nearest_and_to_even() {
    let mut bytes = Bytes::new(5);
    let values: Vec<f32> = (0..512).map(|_| uniform(bytes.word())).collect();
    let file = matrix(&[256, 2], &values);
    let (out, written) = convert(&file, Options::new(Target::F16)).unwrap();
    let truth: Vec<u8> = values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect();
    assert_eq!((data(&out, NAME), losses(&written)), (&*truth, vec![Loss::Rounded]));
    let (out, _) = convert(&file, Options::new(Target::Bf16)).unwrap();
    let truth: Vec<u8> = values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect();
    assert_eq!(data(&out, NAME), truth);
    // And back: f32 holds all of it.
    let (back, written) = convert(&out, Options::new(Target::F32)).unwrap();
    let truth: Vec<u8> =
        values.iter().flat_map(|v| bf16::from_f32(*v).to_f32().to_le_bytes()).collect();
    assert_eq!((data(&back, NAME), losses(&written)), (&*truth, vec![]));
    assert_eq!(TensorType::Bf16.tensor_bytes(&[256, 2]), Ok(1024));
}
