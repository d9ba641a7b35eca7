//! Which intermediate tensors a tap is shown, and that showing them changes nothing.

use bitnet_engine::model::LogitsOf;

use crate::recorder::Recorder;
use crate::session::{LENGTH, bits, ids, model, session, specs};

/// Names and columns of one layer's tensors, in order of evaluation.
const LAYER: [(&str, &str, usize); 17] = [
    ("attn_norm", "", 256),
    ("Qcur", "", 256),
    ("Kcur", "", 128),
    ("Vcur", "", 128),
    ("Qcur", "#1", 256),
    ("Kcur", "#1", 128),
    ("kqv_out", "", 256),
    ("attn_sub_norm", "", 256),
    ("attn_o_out", "", 256),
    ("ffn_inp", "", 256),
    ("ffn_norm", "", 256),
    ("ffn_up", "", 768),
    ("ffn_gate", "", 768),
    ("ffn_out", "", 768),
    ("ffn_sub_norm", "", 768),
    ("ffn_down", "", 256),
    ("l_out", "", 256),
];

#[test]
fn a_tap_sees_every_tensor_and_changes_none() {
    for spec in specs() {
        let model = model(&spec);
        let ids = ids(&model);
        for wanted in [LogitsOf::All, LogitsOf::Last, LogitsOf::Nothing] {
            let plain = session(&model, 2).prefill(&ids, wanted).unwrap();
            let mut seen = Recorder::default();
            let tapped = session(&model, 2).prefill_tapped(&ids, wanted, Some(&mut seen)).unwrap();
            assert_eq!(bits(&tapped), bits(&plain), "{spec:?}, {wanted:?}");

            let mut expected = Vec::new();
            for (rows, last) in [(64, false), (LENGTH - 64, true)] {
                expected.push(("inp_embd".to_owned(), 256, rows));
                for layer in 0..2 {
                    let of =
                        |(name, again, columns)| (format!("{name}-{layer}{again}"), columns, rows);
                    expected.extend(LAYER.map(of));
                }
                let rows = match wanted {
                    LogitsOf::All => rows,
                    LogitsOf::Last if last => 1,
                    _ => continue,
                };
                expected.push(("result_norm".into(), 256, rows));
                expected.push(("result_output".into(), 768, rows));
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
