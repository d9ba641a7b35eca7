//! The engine's kernels with one of them broken. The engine itself is the real one.

use std::cell::{Cell, RefCell};
use std::sync::OnceLock;

use bitnet_engine::kernels::Kernels;
use bitnet_engine::quant::activation::Int8Row;
use half::f16;

/// Weights of norms that [`without_norms`] leaves out: of attention, of the feed-forward block.
pub static LEFT_OUT: [OnceLock<Vec<Vec<f32>>>; 2] = [OnceLock::new(), OnceLock::new()];

/// Slot of the cache that [`stale_slot`] reads wrongly.
const STALE: usize = 5;

thread_local! {
    /// Ids of the prefill that is being computed: how many positions there are to see.
    pub static PREFILL: Cell<usize> = const { Cell::new(0) };
    /// Scores of a tile of attention, how many there are of a query, and how many queries are done.
    static SCORES: RefCell<(Vec<f32>, usize, usize)> = const { RefCell::new((Vec::new(), 0, 0)) };
    /// Keys and values of the first KV head, between its tile and that of the second.
    static FIRST_KEYS: RefCell<Option<Vec<f32>>> = const { RefCell::new(None) };
    static FIRST_VALUES: RefCell<Option<Vec<f16>>> = const { RefCell::new(None) };
}

fn right() -> &'static Kernels {
    Kernels::best()
}

fn leaked(kernels: Kernels) -> &'static Kernels {
    Box::leak(Box::new(kernels))
}

/// int8 codes rounded towards zero.
pub fn truncated_codes() -> &'static Kernels {
    fn quantize(x: &[f32], codes: &mut [i8]) -> Int8Row {
        let scale = (right().quantize_int8)(x, codes).scale;
        for (code, v) in codes.iter_mut().zip(x) {
            *code = (v * scale).trunc() as i8;
        }
        Int8Row { scale, sum: codes.iter().map(|code| i32::from(*code)).sum() }
    }
    leaked(Kernels { quantize_int8: quantize, ..*right() })
}

/// ReLU without the square.
pub fn unsquared_gate() -> &'static Kernels {
    fn gate(gate: &mut [f32], up: &[f32]) {
        for (g, u) in gate.iter_mut().zip(up) {
            *g = g.max(0.0) * u;
        }
    }
    leaked(Kernels { relu_squared_gate: gate, ..*right() })
}

/// Norms with the weights of one of [`LEFT_OUT`] hand on their input.
pub fn without_norms<const WHICH: usize>() -> &'static Kernels {
    fn norm<const WHICH: usize>(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
        match LEFT_OUT[WHICH].get().is_some_and(|all| all.iter().any(|known| known == weight)) {
            true => out.copy_from_slice(x),
            false => (right().rms_norm)(x, weight, eps, out),
        }
    }
    leaked(Kernels { rms_norm: norm::<WHICH>, ..*right() })
}

/// LayerNorm in place of RMS norm.
pub fn layer_norm() -> &'static Kernels {
    fn norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
        let mean = x.iter().sum::<f32>() / x.len() as f32;
        let centred: Vec<f32> = x.iter().map(|v| v - mean).collect();
        (right().rms_norm)(&centred, weight, eps, out);
    }
    leaked(Kernels { rms_norm: norm, ..*right() })
}

/// Attention in which no position sees itself.
pub fn strict_mask() -> &'static Kernels {
    fn softmax(scores: &mut [f32], scale: f32) {
        let last = scores.iter().rposition(|score| score.is_finite()).unwrap_or(0);
        if last > 0 {
            scores[last] = f32::NEG_INFINITY;
        }
        (right().softmax)(scores, scale);
    }
    leaked(Kernels { softmax, ..*right() })
}

/// Attention in which a position of a prefill sees its successor, where there is one. Rows of scores end at a
/// multiple of 32 positions, and one thread computes: it holds for prompts of fewer ids, on one thread.
pub fn early_mask() -> &'static Kernels {
    fn keys(rows: &[f32], length: usize, x: &[f32], out: &mut [f32]) {
        (right().dots_f32)(rows, length, x, out);
        SCORES.set((out.to_vec(), rows.len() / length, 0));
    }
    fn softmax(scores: &mut [f32], scale: f32) {
        let seen = scores.iter().rposition(|score| score.is_finite()).map_or(0, |last| last + 1);
        SCORES.with_borrow_mut(|(all, width, query)| {
            if seen < PREFILL.get() {
                scores[seen] = all[*query * *width + seen];
            }
            *query += 1;
        });
        (right().softmax)(scores, scale);
    }
    leaked(Kernels { dots_f32: keys, softmax, ..*right() })
}

/// Attention in which every query head reads the first of two KV heads. On one thread their tiles take turns.
pub fn first_kv_head() -> &'static Kernels {
    fn keys(rows: &[f32], length: usize, x: &[f32], out: &mut [f32]) {
        let first = FIRST_KEYS.take();
        (right().dots_f32)(first.as_deref().unwrap_or(rows), length, x, out);
        FIRST_KEYS.set(first.is_none().then(|| rows.to_vec()));
    }
    fn values(rows: &[f16], stride: usize, length: usize, x: &[f16], out: &mut [f32]) {
        let first = FIRST_VALUES.take();
        (right().dots_f16)(first.as_deref().unwrap_or(rows), stride, length, x, out);
        FIRST_VALUES.set(first.is_none().then(|| rows.to_vec()));
    }
    leaked(Kernels { dots_f32: keys, dots_f16: values, ..*right() })
}

/// Scores that are not scaled.
pub fn unscaled_scores() -> &'static Kernels {
    leaked(Kernels { softmax: |scores, _| (right().softmax)(scores, 1.0), ..*right() })
}

/// A slot of the cache that still holds what the one before it does.
pub fn stale_slot() -> &'static Kernels {
    fn keys(rows: &[f32], length: usize, x: &[f32], out: &mut [f32]) {
        let mut rows = rows.to_vec();
        rows.copy_within((STALE - 1) * length..STALE * length, STALE * length);
        (right().dots_f32)(&rows, length, x, out);
    }
    fn values(rows: &[f16], stride: usize, length: usize, x: &[f16], out: &mut [f32]) {
        let mut rows = rows.to_vec();
        rows.chunks_mut(stride).for_each(|row| row[STALE] = row[STALE - 1]);
        (right().dots_f16)(&rows, stride, length, x, out);
    }
    leaked(Kernels { dots_f32: keys, dots_f16: values, ..*right() })
}

/// A branch in place of the stream and the branch.
pub fn without_residual() -> &'static Kernels {
    leaked(Kernels { add: |a, b| a.copy_from_slice(b), ..*right() })
}
