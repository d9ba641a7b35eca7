//! Synthetic models: the same bytes everywhere, in the official file's form, with activations and
//! distributions like a trained model's.

use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::sync::Arc;

use bitnet_engine::gguf::{Directory, GgufFile, TensorType};
use bitnet_engine::kernels::Kernels;
use bitnet_engine::model::{LogitsOf, Model};
use bitnet_engine::quant::blocks::BlockType;
use bitnet_engine::session::Session;
use bitnet_engine::synth::{Preset, SynthSpec, WeightType, write_model};

use crate::recorder::Recorder;
use crate::synthetic::{self, TINY};

/// FNV-1a with 128 bits.
fn fingerprint(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash, byte| {
        (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    })
}

#[test]
fn the_fingerprint_is_the_published_function() {
    // From the reference code's test vectors.
    assert_eq!(fingerprint(b""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
    assert_eq!(fingerprint(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
}

/// A change of these numbers is a change of every model that `models.toml` pins.
#[test]
fn tiny_models_have_the_bytes_they_always_had() {
    use WeightType::{Bf16, F16, F32, I2S, Q4_0, Q4K, Q5K, Q6K, Q8_0, Tq1_0, Tq2_0};
    let spec = |weights, embedding| SynthSpec { weights, embedding, ..TINY };
    let cases = [
        (spec(I2S, F32), 0xf6e6_56eb_c37d_b49d_be34_96d1_6978_5044),
        (spec(I2S, F16), 0x730f_af6f_2a40_5b92_91e8_0e82_2eb4_1cb8),
        (spec(I2S, Q6K), 0x17e3_96b4_85b1_5d6b_52ba_073b_a017_5d32),
        (spec(F32, F32), 0x2ad0_16ca_7028_d920_0276_663e_d1bb_13cb),
        (spec(F32, F16), 0x2ca2_0dae_404f_414d_4e24_e42c_cac9_b40b),
        (spec(F32, Q6K), 0xa119_6d70_a4fe_418f_e72b_5b93_1393_d05b),
        (spec(F16, F32), 0xcc23_cf3b_eeb5_d227_3512_b9e0_13ab_5730),
        (spec(F16, F16), 0x6e0a_2d32_faa2_fd26_3543_fd8f_fdf9_3870),
        (spec(F16, Q6K), 0xbbbe_ff5c_c702_a90e_ee57_656a_6ece_3b4c),
        (SynthSpec { tied: false, ..TINY }, 0xf136_57f1_2830_44ab_01e7_a339_349f_a06b),
        (
            SynthSpec { architecture: "bitnet-25", ..TINY },
            0xe42b_97fa_0f8e_638b_a32c_521f_c3df_e478,
        ),
        (SynthSpec { seed: 8, ..TINY }, 0xb04e_23a3_cc9e_ae87_471f_6af1_d12c_e49d),
        (spec(Bf16, Bf16), 0x5ea5_960d_34ca_1801_428c_d253_1ce3_eaf8),
        (spec(Q8_0, Q8_0), 0xcf03_c216_4f20_6ae5_3f36_1f91_5b41_3705),
        (spec(Q4_0, Q4_0), 0xcc86_ea75_adf0_a915_72a9_a304_ae0d_0cae),
        (spec(Q4K, Q4K), 0x8778_05bb_3e10_13a1_ef29_6313_a3a5_ad3b),
        (spec(Q5K, Q5K), 0x79a7_c7d0_ad1b_d6ea_b4aa_a2ca_87c9_72d2),
        (spec(Q6K, Q6K), 0xde4e_a312_e251_9f27_1678_75e8_f20b_8b2b),
        (spec(Tq1_0, F16), 0xce05_b651_0df3_9416_712f_8b6e_99f9_de8b),
        (spec(Tq2_0, Q4K), 0xdf73_f524_5b77_d77f_6abe_7631_f957_473a),
    ];
    let found: Vec<u128> =
        cases.iter().map(|(spec, _)| fingerprint(&synthetic::bytes(spec))).collect();
    let expected: Vec<u128> = cases.iter().map(|(_, expected)| *expected).collect();
    assert!(found == expected, "fingerprints are now\n{found:#034x?}");
}

/// The other architectures and presets, by name as `models.toml` has them.
const OTHERS: [(&str, &str, &str, u128); 14] = [
    ("bitnet", "tiny", "I2_S", 0x0e60_0953_b9bb_6a7c_898b_305a_e15f_ddfc),
    ("bitnet", "tiny", "F16", 0xb628_472a_a118_7e4f_2c53_2fcf_841d_5f9c),
    ("bitnet", "tiny-heads-of-100", "F16", 0xdbe6_447b_3d78_2aff_5969_6d29_3e81_1579),
    ("bitnet-b1.58", "tiny-biases", "I2_S", 0x39cf_9351_fc3b_2298_f625_0b92_8ec2_3c09),
    ("bitnet-b1.58", "tiny-rope-factors", "I2_S", 0x6f33_259e_caf7_60dd_bfd9_1fde_80c3_2cf0),
    ("llama", "tiny", "F16", 0x4695_8ecc_29fe_a44f_46ea_6906_b2c1_9836),
    ("llama", "tiny", "I2_S", 0x5709_b1df_55aa_9d27_89f1_2d3d_7510_1442),
    ("llama", "tiny-wide-heads", "F16", 0x3c85_aaad_45b4_1a9b_2b32_e471_1ae1_0322),
    ("llama", "tiny-biases", "F16", 0x7cd2_c6ce_49b9_24af_e15b_51c3_7e67_cbe7),
    ("llama", "tiny-linear-rope", "F16", 0x6458_e827_ee56_f218_dc8e_775a_2f3a_dcff),
    ("llama", "tiny-yarn", "F16", 0xfacf_eca7_ec41_94ff_1757_a664_f494_1554),
    ("llama", "tiny-rope-factors", "F16", 0x2752_857d_4dc8_651e_bb6a_35fe_eccb_4031),
    ("qwen2", "tiny", "F16", 0x15a4_e2c3_ec88_b0f2_e14d_3fa7_7767_15c2),
    ("qwen3", "tiny-wide-heads", "F16", 0xe8e5_691f_d499_6849_cb99_2a35_9238_a1f5),
];

#[test]
fn the_other_architectures_have_the_bytes_they_always_had_and_look_alive() {
    let mut found = Vec::new();
    for (architecture, preset, weights, _) in OTHERS {
        let spec = SynthSpec::from_names(architecture, preset, weights, "F16", 1).unwrap();
        let bytes = synthetic::bytes(&spec);
        found.push(fingerprint(&bytes));
        let model = synthetic::load(&synthetic::open(&bytes), Kernels::best());
        let (rms, entropy) = look(&model);
        println!("{architecture}, {preset}, {weights}: rms {rms:.2?}, entropy {entropy:.2}");
        assert!(rms.iter().all(|rms| (0.5..50.0).contains(rms)), "{architecture}: {rms:?}");
        assert!((1.0..7.0).contains(&entropy), "{architecture}: {entropy}");
    }
    assert!(found == OTHERS.map(|(.., expected)| expected), "are now\n{found:#034x?}");
}

/// The keys of `ggml-model-i2_s.gguf` of BitNet b1.58 2B-4T, in its order.
const KEYS: [&str; 24] = [
    "general.architecture",
    "general.name",
    "bitnet-b1.58.vocab_size",
    "bitnet-b1.58.context_length",
    "bitnet-b1.58.embedding_length",
    "bitnet-b1.58.block_count",
    "bitnet-b1.58.feed_forward_length",
    "bitnet-b1.58.rope.dimension_count",
    "bitnet-b1.58.attention.head_count",
    "bitnet-b1.58.attention.head_count_kv",
    "tokenizer.ggml.add_bos_token",
    "bitnet-b1.58.attention.layer_norm_rms_epsilon",
    "bitnet-b1.58.rope.freq_base",
    "general.file_type",
    "tokenizer.ggml.model",
    "tokenizer.ggml.tokens",
    "tokenizer.ggml.scores",
    "tokenizer.ggml.token_type",
    "tokenizer.ggml.merges",
    "tokenizer.ggml.bos_token_id",
    "tokenizer.ggml.eos_token_id",
    "tokenizer.ggml.padding_token_id",
    "tokenizer.chat_template",
    "general.quantization_version",
];

/// The tensors of a layer, innermost extent first; `w` embedding, `f` feed-forward, `k` key length.
fn layer(w: usize, f: usize, k: usize) -> [(&'static str, Vec<usize>); 11] {
    [
        ("attn_norm", vec![w]),
        ("ffn_down", vec![f, w]),
        ("ffn_sub_norm", vec![f]),
        ("ffn_gate", vec![w, f]),
        ("ffn_up", vec![w, f]),
        ("ffn_norm", vec![w]),
        ("attn_sub_norm", vec![w]),
        ("attn_k", vec![w, k]),
        ("attn_output", vec![w, w]),
        ("attn_q", vec![w, w]),
        ("attn_v", vec![w, k]),
    ]
}

/// Checks keys, names, shapes and types of an I2_S/F16 file.
fn check_form(directory: &Directory) {
    let metadata = directory.metadata();
    assert_eq!(metadata.iter().map(|(key, _)| key).collect::<Vec<_>>(), KEYS);
    let number = |key: &str| metadata.u32(&format!("bitnet-b1.58.{key}")).unwrap() as usize;
    let (layers, w, f) =
        (number("block_count"), number("embedding_length"), number("feed_forward_length"));
    let k = w / number("attention.head_count") * number("attention.head_count_kv");
    let mut expected = vec![("token_embd.weight".to_owned(), vec![w, number("vocab_size")])];
    for i in 0..layers {
        expected
            .extend(layer(w, f, k).map(|(part, dims)| (format!("blk.{i}.{part}.weight"), dims)));
    }
    expected.push(("output_norm.weight".into(), vec![w]));
    assert_eq!(expected.len(), 11 * layers + 2);
    let tensors = directory.tensors();
    let found = tensors.iter().map(|t| (t.name.to_string(), t.dims.to_vec()));
    assert_eq!(found.collect::<Vec<_>>(), expected);
    for t in tensors {
        let expected = match (&*t.name, t.dims.len()) {
            ("token_embd.weight", _) => TensorType::F16,
            (_, 1) => TensorType::F32,
            _ => TensorType::I2S,
        };
        assert_eq!(t.tensor_type, expected, "{}", t.name);
    }
}

#[test]
fn tiny_has_the_form_of_the_official_file() {
    let bytes = synthetic::bytes(&TINY);
    let directory = Directory::parse(&bytes).unwrap();
    check_form(&directory);
    assert_eq!(directory.trailing_bytes(), 0);

    let untied = synthetic::bytes(&SynthSpec { tied: false, ..TINY });
    let directory = Directory::parse(&untied).unwrap();
    let last = directory.tensors().last().unwrap();
    assert_eq!((directory.tensors().len(), &*last.name), (25, "output.weight"));
    assert_eq!((&*last.dims, last.tensor_type), (&[256, 768][..], TensorType::F16));
}

/// Keeps the first bytes and then fails.
struct Beginning(Vec<u8>);

impl Write for Beginning {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() > 16 << 20 {
            return Err(io::Error::other("enough"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_2b_4t_preset_has_the_dimensions_of_the_official_file() {
    let mut beginning = Beginning(Vec::new());
    let spec = SynthSpec { preset: Preset::TwoB4T, ..TINY };
    let error = write_model(&spec, &mut beginning, |_, _| {}).unwrap_err();
    assert!(error.to_string().ends_with("enough"), "{error}");
    // Behind the beginning a hole, longer than the data: the header says where that ends.
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&beginning.0).unwrap();
    file.as_file().set_len(2 << 30).unwrap();
    let file = GgufFile::open(file.path()).unwrap();
    let directory = file.directory();
    check_form(directory);
    let number = |key: &str| directory.metadata().u32(&format!("bitnet-b1.58.{key}")).unwrap();
    let facts = [
        ("vocab_size", 128_256),
        ("context_length", 4096),
        ("embedding_length", 2560),
        ("block_count", 30),
        ("feed_forward_length", 6912),
        ("rope.dimension_count", 128),
        ("attention.head_count", 20),
        ("attention.head_count_kv", 5),
    ];
    assert_eq!(facts.map(|(key, _)| (key, number(key))), facts);
    assert_eq!(directory.tensors().len(), 332);
    let of = |t: TensorType| directory.tensors().iter().filter(move |i| i.tensor_type == t).count();
    assert_eq!([TensorType::I2S, TensorType::F32, TensorType::F16].map(of), [210, 121, 1]);
    // bitnet.cpp logs a buffer of 1124.81 MiB for the official file: this many bytes of tensors.
    let bytes: usize = directory.tensors().iter().map(|t| t.size).sum();
    assert_eq!(bytes, 1_179_449_920);
}

/// Values of a tensor of plain floats, or of I2_S.
fn values(file: &[u8], name: &str) -> Vec<f32> {
    let directory = Directory::parse(file).unwrap();
    let info = directory.tensor(name).unwrap();
    let bytes = &file[info.range()];
    let float = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    match info.tensor_type {
        TensorType::F32 => bytes.chunks_exact(4).map(float).collect(),
        TensorType::F16 => {
            bytes.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
        }
        TensorType::Tq1_0 | TensorType::Tq2_0 => {
            let [tq1, tq2] = [BlockType::Tq1_0, BlockType::Tq2_0];
            let block_type = if info.tensor_type == TensorType::Tq1_0 { tq1 } else { tq2 };
            let mut values = vec![0.0; info.dims.iter().product()];
            block_type.dequantize_row(bytes, &mut values);
            values
        }
        _ => {
            let (codes, tail) = bytes.split_at(bytes.len() - 32);
            let code = |i: usize| codes[i / 128 * 32 + i % 32] >> (6 - i % 128 / 32 * 2) & 3;
            (0..codes.len() * 4).map(|i| (f32::from(code(i)) - 1.0) * float(tail)).collect()
        }
    }
}

#[test]
fn all_types_hold_the_same_weights() {
    let of = |weights| synthetic::bytes(&SynthSpec { weights, ..TINY });
    let (i2_s, f32s, f16s) = (of(WeightType::I2S), of(WeightType::F32), of(WeightType::F16));
    let (tq1, tq2) = (of(WeightType::Tq1_0), of(WeightType::Tq2_0));
    for info in Directory::parse(&i2_s).unwrap().tensors() {
        let truth = values(&i2_s, &info.name);
        assert!(truth.iter().any(|v| *v != 0.0), "{}", info.name);
        assert!(values(&f32s, &info.name) == truth, "{} in F32", info.name);
        assert!(values(&f16s, &info.name) == truth, "{} in F16", info.name);
        assert!(values(&tq1, &info.name) == truth, "{} in TQ1_0", info.name);
        assert!(values(&tq2, &info.name) == truth, "{} in TQ2_0", info.name);
    }
    let f32s = synthetic::bytes(&SynthSpec { embedding: WeightType::F32, ..TINY });
    for (float, half) in
        values(&f32s, "token_embd.weight").iter().zip(values(&i2_s, "token_embd.weight"))
    {
        assert_eq!(half::f16::from_f32(*float).to_f32(), half);
    }
}

fn tokens(model: &Model) -> Vec<u32> {
    let text = "The quick brown fox jumps over the lazy dog. A model of this size knows nothing of \
                foxes, but its numbers should look as if it did: neither flat nor certain.";
    model.tokenizer().encode(text, true, false).unwrap()
}

/// Root mean square of every layer's output, and the mean entropy of the next token in nats.
fn look(model: &Arc<Model>) -> (Vec<f64>, f64) {
    let ids = tokens(model);
    let mut seen = Recorder::default();
    let mut session = Session::new(model, ids.len(), NonZeroUsize::MIN).unwrap();
    let logits = session.prefill_tapped(&ids, LogitsOf::All, Some(&mut seen)).unwrap();
    for t in &seen.tensors {
        assert!(t.values.iter().all(|v| v.is_finite()), "{} has numbers only", t.name);
    }
    let outputs = seen.tensors.iter().filter(|t| t.name.starts_with("l_out"));
    let rms = |v: &[f32]| (v.iter().map(|v| f64::from(v * v)).sum::<f64>() / v.len() as f64).sqrt();
    let entropy = |logits: &[f32]| {
        let max = logits.iter().fold(f32::MIN, |m, l| m.max(*l));
        let powers: Vec<f64> = logits.iter().map(|l| f64::from(l - max).exp()).collect();
        let sum: f64 = powers.iter().sum();
        -powers.iter().map(|p| p / sum * (p / sum).max(1e-300).ln()).sum::<f64>()
    };
    let rows = logits.chunks_exact(model.config().vocab_size);
    let mean = rows.clone().map(entropy).sum::<f64>() / rows.len() as f64;
    (outputs.map(|t| rms(&t.values)).collect(), mean)
}

#[test]
fn tiny_models_of_all_types_look_alive() {
    use WeightType::{Bf16, F16, F32, I2S, Q4_0, Q4K, Q5K, Q6K, Q8_0, Tq1_0, Tq2_0};
    for (weights, embedding) in [
        (I2S, F16),
        (I2S, Q6K),
        (F32, F32),
        (F16, F16),
        (Bf16, Bf16),
        (Q8_0, Q8_0),
        (Q4_0, Q4_0),
        (Q4K, Q4K),
        (Q5K, Q5K),
        (Q6K, Q6K),
        (Tq1_0, F16),
        (Tq2_0, Q4K),
    ] {
        let spec = SynthSpec { weights, embedding, ..TINY };
        let model = synthetic::load(&synthetic::open(&synthetic::bytes(&spec)), Kernels::best());
        let (rms, entropy) = look(&model);
        println!("{weights}/{embedding}: rms {rms:.2?}, entropy {entropy:.2}");
        assert!(rms.iter().all(|rms| (0.5..50.0).contains(rms)), "{weights}: {rms:?}");
        assert!((1.0..7.0).contains(&entropy), "{weights}: {entropy}");
    }
}

#[test]
fn ci_light_looks_alive() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let spec = SynthSpec { preset: Preset::CiLight, ..TINY };
    let length = write_model(&spec, File::create(file.path()).unwrap(), |_, _| {}).unwrap();
    assert_eq!(file.as_file().metadata().unwrap().len(), length);
    let opened = Arc::new(GgufFile::open(file.path()).unwrap());
    check_form(opened.directory());
    let model = synthetic::load(&opened, Kernels::best());
    assert_eq!(model.config().vocab_size, 4096);
    let (rms, entropy) = look(&model);
    println!("{length} bytes: rms {rms:.2?}, entropy {entropy:.2}");
    assert!(rms.iter().all(|rms| (0.5..50.0).contains(rms)), "{rms:?}");
    assert!((1.0..7.0).contains(&entropy), "{entropy}");
}
