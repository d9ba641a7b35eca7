//! What a conversion leaves as it is: keys, order, alignment, norms; and which type each tensor gets.

use bitnet_engine::gguf::{Directory, GgufWriter, TensorType};
use bitnet_engine::quantize::{Options, Plan, Target};
use bitnet_engine::synth::{SynthSpec, WeightType};

use crate::edited::{edited, key, no_key};
use crate::files::{convert, options};
use crate::synthetic::{self, TINY};

const UNTIED: SynthSpec = SynthSpec { tied: false, weights: WeightType::F32, ..TINY };

#[test]
fn keys_order_alignment_and_norms_are_the_files_own() {
    let wide = [key("general.alignment", |w, k| w.u32(k, 128).map(drop))];
    for base in [synthetic::bytes(&UNTIED), edited(&synthetic::bytes(&UNTIED), &wide)] {
        for target in Target::ALL.into_iter().filter(|target| *target != Target::F32) {
            let (out, _) = convert(&base, options(Target::F32, target)).unwrap();
            let (old, new) = (Directory::parse(&base).unwrap(), Directory::parse(&out).unwrap());
            assert_eq!(new.alignment(), old.alignment());
            let keys =
                |d: &Directory| d.metadata().iter().map(|e| e.0.to_owned()).collect::<Vec<_>>();
            assert_eq!(keys(&new), keys(&old), "{target}");
            for (key, value) in old.metadata().iter().filter(|e| e.0 != "general.file_type") {
                assert_eq!(new.metadata().get(key), Some(value), "{target}");
            }
            let file_type = new.metadata().require::<u32>("general.file_type").unwrap();
            assert_eq!(file_type, target.file_type());
            assert_eq!(new.tensors().len(), old.tensors().len());
            for (old, new) in old.tensors().iter().zip(new.tensors()) {
                assert_eq!((&new.name, &new.dims), (&old.name, &old.dims));
                let table = matches!(&*new.name, "token_embd.weight" | "output.weight");
                let copied = new.name.ends_with("_norm.weight") || table && target.is_ternary();
                if copied {
                    assert_eq!(new.tensor_type, old.tensor_type, "{}", new.name);
                    assert!(out[new.range()] == base[old.range()], "{}", new.name);
                } else {
                    assert_eq!(new.tensor_type, target.tensor_type(), "{}", new.name);
                }
            }
        }
    }
}

#[test]
fn a_file_without_a_file_type_gets_one() {
    let base = edited(&synthetic::bytes(&TINY), &[no_key("general.file_type")]);
    let (out, _) = convert(&base, Options::new(Target::F16)).unwrap();
    let directory = Directory::parse(&out).unwrap();
    assert_eq!(directory.metadata().require::<u32>("general.file_type").unwrap(), 1);
    assert_eq!(directory.metadata().iter().last().unwrap().0, "general.file_type");
}

#[test]
fn embedding_and_head_get_the_types_that_are_asked_for() {
    let base = synthetic::bytes(&UNTIED);
    let asked = Options {
        embedding: Some(Target::Q8_0),
        output: Some(Target::Q6K),
        ..Options::new(Target::I2S)
    };
    let (out, _) = convert(&base, asked).unwrap();
    let directory = Directory::parse(&out).unwrap();
    let type_of = |name| directory.tensor(name).unwrap().tensor_type;
    assert_eq!(type_of("token_embd.weight"), TensorType::Q8_0);
    assert_eq!(type_of("output.weight"), TensorType::Q6K);
    assert_eq!(type_of("blk.1.ffn_down.weight"), TensorType::I2S);
    assert_eq!(type_of("output_norm.weight"), TensorType::F32);
}

#[test]
fn a_plan_tells_sizes_and_copies_what_has_the_type_already() {
    let file = synthetic::open(&synthetic::bytes(&TINY));
    let plan = Plan::new(&file, Options::new(Target::I2S)).unwrap();
    assert!(plan.steps().iter().all(|step| step.is_copy() && step.from == step.to));
    assert_eq!(plan.bytes_before(), plan.bytes_after());
    let plan = Plan::new(&file, Options::new(Target::Q8_0)).unwrap();
    for step in plan.steps() {
        let tensor = plan.tensor(step);
        assert_eq!(Ok(step.bytes), step.to.tensor_bytes(&tensor.dims));
        assert_eq!(step.is_copy(), tensor.dims.len() == 1, "{}", tensor.name);
    }
}

#[test]
fn tensors_that_are_no_matrices_of_weights_stay() {
    let mut writer = GgufWriter::new();
    for (name, dims) in [
        ("blk.0.attn_q.bias", &[256, 2][..]),
        ("blk.0.attn_norm.weight", &[256, 2]),
        ("rope_freqs.weight", &[512]),
    ] {
        writer.tensor_bytes(name, TensorType::F32, dims, &[1; 2048]).unwrap();
    }
    let mut base = Vec::new();
    writer.write(&mut base).unwrap();
    let (out, _) = convert(&base, Options::new(Target::Q8_0)).unwrap();
    let types = Directory::parse(&out).unwrap();
    assert!(types.tensors().iter().all(|t| t.tensor_type == TensorType::F32));
}
