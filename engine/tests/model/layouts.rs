//! I2_S files in other packings: read as stated they are the same model, and a wrong statement is
//! found where the weights show it.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bitnet_engine::kernels::{Isa, Kernels};
use bitnet_engine::model::{Config, LoadOptions, LogitsOf, Model, ModelError};
use bitnet_engine::quant::i2_s::FileLayout;
use bitnet_engine::session::Session;

use crate::packed::file;
use crate::synthetic;

fn load(bytes: &[u8], i2_s: FileLayout, isa: Isa) -> Result<Arc<Model>, ModelError> {
    let file = synthetic::open(bytes);
    let config = Config::from_file(&file).expect("good hyper-parameters");
    let kernels = Kernels::for_isa(isa).expect("asked for what is there");
    Model::load_with(&file, config, kernels, LoadOptions { i2_s, ..Default::default() })
        .map(Arc::new)
}

fn logits(model: &Arc<Model>) -> Vec<u32> {
    let ids: Vec<u32> = (0..12).map(|i| (i * 197 + 31) % 768).collect();
    let mut session = Session::new(model, 12, NonZeroUsize::MIN).unwrap();
    let logits = session.prefill(&ids, LogitsOf::All).unwrap();
    logits.iter().map(|l| l.to_bits()).collect()
}

#[test]
fn the_layout_of_a_file_changes_no_bit_when_it_is_stated() {
    let truth = logits(&load(&file(FileLayout::X86, false), FileLayout::X86, Isa::Scalar).unwrap());
    for (name, layout) in FileLayout::NAMES {
        let bytes = file(layout, false);
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let found = logits(&load(&bytes, layout, isa).unwrap());
            assert!(found == truth, "{name}, {isa}");
        }
    }
}

#[test]
fn a_wrong_layout_is_found_where_norms_and_zeros_go_together() {
    for (made, layout) in FileLayout::NAMES {
        let bytes = file(layout, true);
        for (said, stated) in FileLayout::NAMES {
            let found = load(&bytes, stated, Isa::best());
            if stated == layout {
                assert!(found.is_ok(), "{made} read as {said}");
                continue;
            }
            let error = found.err().unwrap_or_else(|| panic!("{made} read as {said}")).to_string();
            let start = format!(
                "the file was to be read in the I2_S layout {said}, but its matrices fit their norms \
                 in the layout {made}, by "
            );
            let end = format!(" deviations of chance; state the I2_S layout {made} for this file");
            assert!(error.starts_with(&start) && error.ends_with(&end), "{error}");
        }
    }
}

/// Random weights bear no trace of their layout: nothing is refused, and what is computed is wrong.
/// Whoever makes such a file has to say how.
#[test]
fn a_wrong_layout_of_random_weights_cannot_be_found() {
    let bytes = file(FileLayout::Arm, false);
    let right = logits(&load(&bytes, FileLayout::Arm, Isa::best()).unwrap());
    let wrong = logits(&load(&bytes, FileLayout::X86, Isa::best()).unwrap());
    assert!(right != wrong, "the layout makes a difference");
}
