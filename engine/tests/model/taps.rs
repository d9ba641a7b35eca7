//! Which intermediate tensors a tap is shown, and that showing them changes nothing.

use bitnet_engine::model::{Config, LogitsOf};
use bitnet_engine::synth::{Preset, SynthSpec};

use crate::recorder::Recorder;
use crate::session::{LENGTH, bits, ids, model, session, specs};

/// Tensors of one layer of an architecture, in order of evaluation: names, with `#1` behind a second
/// one of the same name.
fn layer(architecture: &str) -> &'static [&'static str] {
    match architecture {
        "bitnet-b1.58" | "bitnet-25" => &[
            "attn_norm",
            "Qcur",
            "Kcur",
            "Vcur",
            "Qcur#1",
            "Kcur#1",
            "kqv_out",
            "attn_sub_norm",
            "attn_o_out",
            "ffn_inp",
            "ffn_norm",
            "ffn_up",
            "ffn_gate",
            "ffn_out",
            "ffn_sub_norm",
            "ffn_down",
            "l_out",
        ],
        "bitnet" => &[
            "attn_norm",
            "Qcur",
            "Kcur",
            "Vcur",
            "Qcur#1",
            "Kcur#1",
            "kqv_out",
            "attn_sub_norm",
            "attn_o_out",
            "ffn_inp",
            "ffn_norm",
            "ffn_up",
            "ffn_gate",
            "ffn_sub_out",
            "ffn_sub_norm",
            "ffn_down",
            "l_out",
        ],
        // Here with biases.
        "llama" | "qwen2" => &[
            "attn_norm",
            "Qcur",
            "Kcur",
            "Vcur",
            "Qcur#1",
            "Kcur#1",
            "Vcur#1",
            "Qcur#2",
            "Kcur#2",
            "kqv_merged_cont",
            "kqv_out",
            "ffn_inp",
            "ffn_norm",
            "ffn_up",
            "ffn_gate",
            "ffn_gate_par",
            "ffn_out",
            "l_out",
        ],
        "qwen3" => &[
            "attn_norm",
            "Qcur",
            "Kcur",
            "Vcur",
            "Qcur_normed",
            "Kcur_normed",
            "Qcur#1",
            "Kcur#1",
            "kqv_merged_cont",
            "kqv_out",
            "ffn_inp",
            "ffn_norm",
            "ffn_up",
            "ffn_gate",
            "ffn_gate_par",
            "ffn_out",
            "l_out",
        ],
        other => panic!("no list for {other}"),
    }
}

/// Values of one position of a tensor.
fn columns(name: &str, spec: &SynthSpec, config: &Config) -> usize {
    let bitnet = spec.architecture.starts_with("bitnet");
    match name.split('#').next().expect("a name") {
        "Qcur" | "Qcur_normed" | "kqv_merged_cont" | "attn_sub_norm" => config.query_length(),
        "kqv_out" if bitnet => config.query_length(),
        "Kcur" | "Kcur_normed" | "Vcur" => config.kv_length(),
        "ffn_out" if !bitnet => config.embedding_length,
        "ffn_up" | "ffn_gate" | "ffn_gate_par" | "ffn_sub_out" | "ffn_out" | "ffn_sub_norm" => {
            config.feed_forward_length
        }
        _ => config.embedding_length,
    }
}

#[test]
fn a_tap_sees_every_tensor_and_changes_none() {
    for spec in specs() {
        // Without biases a llama's names are a qwen3's without norms: nothing new.
        if (spec.architecture, spec.preset) == ("llama", Preset::TinyYarn) {
            continue;
        }
        let model = model(&spec);
        let (ids, config) = (ids(&model), model.config());
        let (width, vocab_size) = (config.embedding_length, config.vocab_size);
        for wanted in [LogitsOf::All, LogitsOf::Last, LogitsOf::Nothing] {
            let plain = session(&model, 2).prefill(&ids, wanted).unwrap();
            let mut seen = Recorder::default();
            let tapped = session(&model, 2).prefill_tapped(&ids, wanted, Some(&mut seen)).unwrap();
            assert_eq!(bits(&tapped), bits(&plain), "{spec:?}, {wanted:?}");

            let mut expected = Vec::new();
            for (rows, last) in [(64, false), (LENGTH - 64, true)] {
                expected.push(("inp_embd".to_owned(), width, rows));
                for index in 0..2 {
                    expected.extend(layer(spec.architecture).iter().map(|name| {
                        let (plain, again) = name
                            .split_once('#')
                            .map_or((*name, String::new()), |(n, o)| (n, format!("#{o}")));
                        (format!("{plain}-{index}{again}"), columns(name, &spec, config), rows)
                    }));
                }
                let rows = match wanted {
                    LogitsOf::All => rows,
                    LogitsOf::Last if last => 1,
                    _ => continue,
                };
                expected.push(("result_norm".into(), width, rows));
                expected.push(("result_output".into(), vocab_size, rows));
            }
            let found: Vec<(String, usize, usize)> = seen
                .tensors
                .iter()
                .map(|t| (t.name.clone(), t.columns, t.values.len() / t.columns))
                .collect();
            assert_eq!(found, expected, "{spec:?}, {wanted:?}");
            let heads: Vec<f32> = seen
                .tensors
                .iter()
                .filter(|t| t.name == "result_output")
                .flat_map(|t| t.values.clone())
                .collect();
            assert_eq!(bits(&heads), bits(&plain), "the tap is shown what is returned");
        }
    }
}
