//! What is kept of a reference's rows: a hash of all, a short one of each, and figures of as many as there
//! is room for. It judges nothing.

use sha2::{Digest, Sha256};

use super::sketch::{Directions, Sketch};
use crate::compare::{
    CompareError, Rows, SLOPE_TOKENS,
    metrics::{mean, softmax_terms},
    rows::{key_id, select_top},
};

/// Best tokens whose logits are kept.
pub const HEAD_TOKENS: usize = 16;

/// What is kept of one path's rows.
#[derive(Debug, Clone, PartialEq)]
pub struct PathDigest {
    /// SHA-256 over the SHA-256 of each row's logits, little-endian.
    pub sha256: [u8; 32],
    /// The rows.
    pub rows: Vec<RowDigest>,
}

/// What is kept of one row.
#[derive(Debug, Clone, PartialEq)]
pub struct RowDigest {
    /// The first four bytes of the row's SHA-256: which rows differ, once the whole does.
    pub bits: [u8; 4],
    /// Figures; none where there was no room.
    pub figures: Option<RowFigures>,
}

/// Figures of a row `r` of `n` logits.
#[derive(Debug, Clone, PartialEq)]
pub struct RowFigures {
    /// The best 16 tokens with their logits, best first; of equals the lowest id first.
    pub head: Vec<(u32, f32)>,
    /// `ln Σ e^r`.
    pub ln_z: f64,
    /// `r̄`.
    pub mean: f64,
    /// `Σ(r − r̄)²`.
    pub spread: f64,
    /// The same of the best 1,024 tokens around their own mean.
    pub best_spread: f64,
    /// The logit of the id that follows in the text, where one does.
    pub next: Option<f32>,
    /// The projection of `r − r̄`.
    pub sketch: Sketch,
}

impl PathDigest {
    /// The digest of `rows` with the figures of every row. `next[i]` is the id that follows row `i`; the
    /// last row may have none.
    ///
    /// # Errors
    /// A row without spread.
    pub fn of(rows: &Rows<'_>, next: &[u32]) -> Result<Self, CompareError> {
        let directions = Directions::new(rows.vocab_size());
        let mut kept = Vec::with_capacity(rows.len());
        let mut whole = Sha256::new();
        for index in 0..rows.len() {
            let row = rows.row(index);
            let hash = row_hash(row);
            whole.update(hash);
            if row.iter().all(|v| *v == row[0]) {
                let (what, position) = (rows.label().to_owned(), rows.position(index));
                return Err(CompareError::Constant { what, position });
            }
            let next = next.get(index).and_then(|id| row.get(*id as usize)).copied();
            let figures = RowFigures::of(row, next, &directions);
            kept.push(RowDigest { bits: short(&hash), figures: Some(figures) });
        }
        Ok(Self { sha256: whole.finalize().into(), rows: kept })
    }

    /// Which of `rows` have the bits that were kept: all of them by the whole's hash, single ones by
    /// their short hashes. A short hash is equal by chance once in 2³² rows.
    pub(super) fn equal_rows(&self, rows: &Rows<'_>) -> Vec<bool> {
        let hashes: Vec<[u8; 32]> = (0..rows.len()).map(|i| row_hash(rows.row(i))).collect();
        let mut whole = Sha256::new();
        hashes.iter().for_each(|hash| whole.update(hash));
        if self.rows.len() == rows.len() && self.sha256 == <[u8; 32]>::from(whole.finalize()) {
            return vec![true; rows.len()];
        }
        let equal: Vec<bool> =
            self.rows.iter().zip(&hashes).map(|(kept, hash)| kept.bits == short(hash)).collect();
        // The whole says that one of them differs: which one is not known, so none counts as equal.
        if equal.iter().all(|equal| *equal) { vec![false; equal.len()] } else { equal }
    }
}

fn row_hash(row: &[f32]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut bytes = [0; 4096];
    for chunk in row.chunks(bytes.len() / 4) {
        for (four, value) in bytes.chunks_exact_mut(4).zip(chunk) {
            four.copy_from_slice(&value.to_le_bytes());
        }
        hash.update(&bytes[..4 * chunk.len()]);
    }
    hash.finalize().into()
}

fn short(hash: &[u8; 32]) -> [u8; 4] {
    [hash[0], hash[1], hash[2], hash[3]]
}

impl RowFigures {
    fn of(row: &[f32], next: Option<f32>, directions: &Directions) -> Self {
        let mut keys = Vec::new();
        select_top(row, SLOPE_TOKENS, &mut keys);
        keys.sort_unstable();
        let best: Vec<f64> = keys.iter().map(|k| f64::from(row[key_id(*k) as usize])).collect();
        let mean = mean(row);
        let head = keys.iter().take(HEAD_TOKENS).map(|k| (key_id(*k), row[key_id(*k) as usize]));
        Self {
            head: head.collect(),
            ln_z: softmax_terms(row, &mut Vec::new()),
            mean,
            spread: spread(row.iter().map(|v| f64::from(*v)), mean),
            best_spread: spread(best.iter().copied(), best.iter().sum::<f64>() / best.len() as f64),
            next,
            sketch: directions.sketch(row.iter().map(|v| f64::from(*v) - mean)),
        }
    }
}

/// `Σ(x − mean)²`.
pub(super) fn spread(values: impl Iterator<Item = f64>, mean: f64) -> f64 {
    values.map(|v| (v - mean) * (v - mean)).sum()
}
