//! Writes a tiny BitNet model with ternary matrices and a byte-level BPE tokenizer.
//!
//! Only what a reference needs to load and compute; every value comes from a seed, and is the same
//! for every provider. Architecture and ternary type are the provider's. Layout of GGUF: the ggml
//! repository's docs/gguf.md.

use std::path::{Path, PathBuf};

use half::f16;

use crate::provider;

pub const LAYERS: u32 = 2;
pub const EMBEDDING: usize = 256;
pub const FEED_FORWARD: usize = 512;
pub const HEADS: usize = 4;
pub const KV_HEADS: usize = 2;
pub const VOCABULARY: usize = 320;
pub const CONTEXT: u32 = 512;
pub const BOS: u32 = VOCABULARY as u32 - 8;
pub const EOS: u32 = BOS + 1;

const ALIGNMENT: usize = 32;
const F32: u32 = 0;
const F16: u32 = 1;
const Q6_K: u32 = 14;

const MERGED: [&str; 8] = ["Ġthe", "Ġcat", "Ġsat", "Ġon", "he", "hello", "Ġworld", "ing"];

/// Type of the embedding table, which is also the output head.
#[derive(Debug, Clone, Copy)]
pub enum Head {
    F16,
    Q6K,
}

/// The model in a directory that lives as long as this.
pub struct Model {
    directory: tempfile::TempDir,
}

impl Model {
    pub fn new() -> Self {
        Self::with_head(Head::F16)
    }

    pub fn with_head(head: Head) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let content = file(&tensors(head));
        std::fs::write(directory.path().join("model.gguf"), content).expect("room for the model");
        Self { directory }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("model.gguf")
    }

    /// A file beside the model.
    pub fn sibling(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).expect("room for the file");
        path
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// The whole file with an F16 head.
pub fn bytes() -> Vec<u8> {
    file(&tensors(Head::F16))
}

/// The tensors, by name.
pub fn tensors(head: Head) -> Vec<(String, Tensor)> {
    let mut random = Random(7);
    let mut tensors = vec![("token_embd.weight".to_owned(), table(&mut random, head))];
    tensors.push(("output_norm.weight".to_owned(), norm(&mut random, EMBEDDING)));
    let kv = EMBEDDING / HEADS * KV_HEADS;
    for layer in 0..LAYERS {
        let mut add =
            |name: &str, tensor| tensors.push((format!("blk.{layer}.{name}.weight"), tensor));
        add("attn_norm", norm(&mut random, EMBEDDING));
        add("attn_q", matrix(&mut random, EMBEDDING, EMBEDDING));
        add("attn_k", matrix(&mut random, kv, EMBEDDING));
        add("attn_v", matrix(&mut random, kv, EMBEDDING));
        add("attn_output", matrix(&mut random, EMBEDDING, EMBEDDING));
        add("attn_sub_norm", norm(&mut random, EMBEDDING));
        add("ffn_norm", norm(&mut random, EMBEDDING));
        add("ffn_gate", matrix(&mut random, FEED_FORWARD, EMBEDDING));
        add("ffn_up", matrix(&mut random, FEED_FORWARD, EMBEDDING));
        add("ffn_down", matrix(&mut random, EMBEDDING, FEED_FORWARD));
        add("ffn_sub_norm", norm(&mut random, FEED_FORWARD));
    }
    tensors
}

fn file(tensors: &[(String, Tensor)]) -> Vec<u8> {
    let metadata = metadata();
    let mut file = b"GGUF".to_vec();
    file.extend(3_u32.to_le_bytes());
    file.extend((tensors.len() as u64).to_le_bytes());
    file.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        text(&mut file, &key);
        file.extend(value);
    }
    let mut data = Vec::new();
    for (name, tensor) in tensors {
        data.resize(data.len().next_multiple_of(ALIGNMENT), 0);
        text(&mut file, name);
        file.extend((tensor.extents.len() as u32).to_le_bytes());
        for extent in &tensor.extents {
            file.extend((*extent as u64).to_le_bytes());
        }
        file.extend(tensor.kind.to_le_bytes());
        file.extend((data.len() as u64).to_le_bytes());
        data.extend(&tensor.bytes);
    }
    file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
    file.extend(data);
    file
}

/// One tensor as the file holds it.
pub struct Tensor {
    /// Innermost first.
    pub extents: Vec<usize>,
    kind: u32,
    pub bytes: Vec<u8>,
}

fn metadata() -> Vec<(String, Vec<u8>)> {
    let mut entries: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |key: &str, value: Vec<u8>| entries.push((key.to_owned(), value));
    add("general.architecture", string(provider::ARCHITECTURE));
    add("general.file_type", u32_value(provider::FILE_TYPE));
    for (key, value) in [
        ("vocab_size", VOCABULARY as u32),
        ("context_length", CONTEXT),
        ("embedding_length", EMBEDDING as u32),
        ("block_count", LAYERS),
        ("feed_forward_length", FEED_FORWARD as u32),
        ("attention.head_count", HEADS as u32),
        ("attention.head_count_kv", KV_HEADS as u32),
        ("rope.dimension_count", (EMBEDDING / HEADS) as u32),
    ] {
        add(&format!("{}.{key}", provider::ARCHITECTURE), u32_value(value));
    }
    for (key, value) in [("rope.freq_base", 500_000.0), ("attention.layer_norm_rms_epsilon", 1e-5)]
    {
        add(&format!("{}.{key}", provider::ARCHITECTURE), f32_value(value));
    }
    for (key, value) in provider::MORE_KEYS {
        add(key, string(value));
    }
    let (tokens, merges) = vocabulary();
    let normal = BOS as usize;
    add("tokenizer.ggml.model", string("gpt2"));
    add("tokenizer.ggml.pre", string("llama-bpe"));
    add("tokenizer.ggml.tokens", strings(&tokens));
    // 1 = normal, 3 = control
    let kinds = (0..VOCABULARY).flat_map(|i| if i < normal { 1_u32 } else { 3 }.to_le_bytes());
    add("tokenizer.ggml.token_type", array(5, VOCABULARY, kinds.collect()));
    add("tokenizer.ggml.merges", strings(&merges));
    add("tokenizer.ggml.bos_token_id", u32_value(BOS));
    add("tokenizer.ggml.eos_token_id", u32_value(EOS));
    add("tokenizer.ggml.add_bos_token", vec![7, 0, 0, 0, 1]);
    entries
}

/// 256 byte tokens, the words of `MERGED` with every step of their merging, fillers, 8 control tokens.
fn vocabulary() -> (Vec<String>, Vec<String>) {
    let mut tokens: Vec<String> = (0..=255).map(|byte| byte_character(byte).to_string()).collect();
    let mut merges = Vec::new();
    for word in MERGED {
        let mut joined = String::new();
        for character in word.chars() {
            let next = format!("{joined}{character}");
            if !joined.is_empty() && !tokens.contains(&next) {
                merges.push(format!("{joined} {character}"));
                tokens.push(next.clone());
            }
            joined = next;
        }
    }
    while tokens.len() < BOS as usize {
        tokens.push(format!("[unused{}]", tokens.len()));
    }
    tokens.extend(["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"].map(str::to_owned));
    while tokens.len() < VOCABULARY {
        tokens.push(format!("<|reserved_special_token_{}|>", tokens.len()));
    }
    assert_eq!(tokens.len(), VOCABULARY, "the words of MERGED leave room for the control tokens");
    (tokens, merges)
}

/// GPT-2's table: printable bytes stand for themselves, the others for characters from U+0100 on.
fn byte_character(byte: u8) -> char {
    let printable = |byte: &u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    if printable(&byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|other| !printable(other)).count() as u32;
    char::from_u32(256 + before).expect("a character below U+0200")
}

fn table(random: &mut Random, head: Head) -> Tensor {
    let (kind, bytes) = match head {
        Head::F16 => {
            let values = (0..VOCABULARY * EMBEDDING).map(|_| f16::from_f32(0.1 * random.normal()));
            (F16, values.flat_map(f16::to_le_bytes).collect())
        }
        // One block of 256 values a row: low bits, high bits, scales, block scale.
        Head::Q6K => {
            let block = |_| {
                let mut block: Vec<u8> = (0..192).map(|_| random.next() as u8).collect();
                block.extend((0..16).map(|_| 20 + random.below(80)));
                block.extend(f16::from_f32(1e-4).to_le_bytes());
                block
            };
            (Q6_K, (0..VOCABULARY).flat_map(block).collect())
        }
    };
    Tensor { extents: vec![EMBEDDING, VOCABULARY], kind, bytes }
}

fn norm(random: &mut Random, length: usize) -> Tensor {
    let values = (0..length).flat_map(|_| (1.0 + 0.1 * random.normal()).to_le_bytes());
    Tensor { extents: vec![length], kind: F32, bytes: values.collect() }
}

fn matrix(random: &mut Random, rows: usize, columns: usize) -> Tensor {
    let codes: Vec<u8> = (0..rows * columns).map(|_| random.below(3)).collect();
    let scale = (1.5 / columns as f32).sqrt() * (0.8 + 0.4 * random.unit());
    let bytes = provider::pack(&codes, scale);
    Tensor { extents: vec![columns, rows], kind: provider::TERNARY, bytes }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn string(value: &str) -> Vec<u8> {
    let mut out = 8_u32.to_le_bytes().to_vec();
    text(&mut out, value);
    out
}

fn strings(values: &[String]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        text(&mut out, value);
    }
    array(8, values.len(), out)
}

fn array(kind: u32, length: usize, content: Vec<u8>) -> Vec<u8> {
    let mut out = 9_u32.to_le_bytes().to_vec();
    out.extend(kind.to_le_bytes());
    out.extend((length as u64).to_le_bytes());
    out.extend(content);
    out
}

fn u32_value(value: u32) -> Vec<u8> {
    [4_u32.to_le_bytes(), value.to_le_bytes()].concat()
}

fn f32_value(value: f32) -> Vec<u8> {
    [6_u32.to_le_bytes(), value.to_le_bytes()].concat()
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1_u64 << 24) as f32
    }

    fn below(&mut self, limit: u8) -> u8 {
        (self.next() % u64::from(limit)) as u8
    }

    /// Sum of twelve uniform values: mean 0, variance 1, close enough to a normal distribution.
    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.unit()).sum::<f32>() - 6.0
    }
}
