//! What only llama.cpp does: the activation of a `bitnet` file, values of the cache in F32.

use crate::fixture::{self, Model};
use crate::reference::{CacheType, Reference, Settings};
use crate::refusing::{assert_says, small};

const IDS: [u32; 5] = [312, 72, 101, 108, 111];
const KEY: &[u8] = b"bitnet.hidden_activation";

/// The fixture with another name in the place of the activation's key, of the same length.
fn with(from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = fixture::bytes();
    let at = bytes.windows(from.len()).position(|window| window == from).expect("the text");
    bytes[at..at + from.len()].copy_from_slice(to);
    bytes
}

fn logits(model: &Model, name: &str, content: &[u8]) -> Vec<f32> {
    let path = model.sibling(name, content);
    let mut reference = Reference::load(&path, &small()).expect("the reference loads it");
    reference.logits(&IDS).expect("logits")
}

#[test]
fn the_key_chooses_squared_relu() {
    let model = Model::new();
    let squared = logits(&model, "relu2.gguf", &fixture::bytes());
    let plain = logits(&model, "silu.gguf", &with(KEY, b"bitnet.hidden_activatio_"));
    let largest = squared.iter().zip(&plain).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(largest > 0.01, "without the key it is SiLU, and differs by {largest:e} only");
}

#[test]
fn an_unknown_activation_is_refused() {
    let model = Model::new();
    let path = model.sibling("gelu2.gguf", &with(b"relu2", b"gelu2"));
    assert_says(
        Reference::load(&path, &small()),
        &["bitnet.hidden_activation is 'gelu2', known are silu and relu2"],
    );
}

#[test]
fn values_of_the_cache_may_be_f32() {
    let model = Model::new();
    let rounded = Reference::load(&model.path(), &small()).and_then(|mut r| r.logits(&IDS));
    let settings = Settings { value_cache: CacheType::F32, ..small() };
    let kept = Reference::load(&model.path(), &settings).and_then(|mut r| r.logits(&IDS));
    assert_ne!(rounded.expect("logits"), kept.expect("logits"), "F16 rounds");
}
