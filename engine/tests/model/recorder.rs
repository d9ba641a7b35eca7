//! A tap that keeps all it is shown.

use bitnet_engine::model::{Tap, Tensor};

/// What a tap was shown.
#[derive(Default)]
pub struct Recorder {
    pub tensors: Vec<Shown>,
}

/// One tensor of one chunk.
pub struct Shown {
    /// `name`, `name-layer`, with `#1` behind a second occurrence.
    pub name: String,
    pub columns: usize,
    pub values: Vec<f32>,
}

impl Tap for Recorder {
    fn tensor(&mut self, t: Tensor<'_>) {
        let layer = t.layer.map_or(String::new(), |layer| format!("-{layer}"));
        let again = if t.occurrence == 0 { String::new() } else { format!("#{}", t.occurrence) };
        self.tensors.push(Shown {
            name: format!("{}{layer}{again}", t.name),
            columns: t.columns,
            values: t.values.to_vec(),
        });
    }
}
