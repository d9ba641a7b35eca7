//! One tensor in another type: its bytes, in pieces that are written as they are made.

use std::io::{self, Write};

use half::{bf16, f16};
use rayon::prelude::*;

use super::error::QuantizeError;
use super::source::{Data, Source};
use super::target::Target;
use super::ternary::{self, Ternary};
use super::write::Loss;
use crate::quant::i2_s;
use crate::quant::tiles::Tile;

/// Values that are converted between two writes.
const PIECE: usize = 1 << 22;

/// Why a tensor was not written.
pub(super) enum Failed {
    /// Its contents do not allow it.
    Refused(QuantizeError),
    /// The output does not take it.
    Io(io::Error),
}

impl From<QuantizeError> for Failed {
    fn from(error: QuantizeError) -> Self {
        Failed::Refused(error)
    }
}

/// Writes `source` as `target`; `tile` is that of TL1 and TL2. Says what was lost.
///
/// # Errors
/// If its contents do not fit the type, or `out` cannot be written.
pub(super) fn convert(
    source: Source<'_>,
    target: Target,
    tile: Option<Tile>,
    allow_lossy: bool,
    out: &mut dyn Write,
) -> Result<Loss, Failed> {
    if target.tensor_type().is_whole() {
        return whole(source, target, tile, allow_lossy, out);
    }
    let lossy = match (target.block(), &source.data) {
        (Some(block_type), Data::Rows(..)) if target.is_ternary() => {
            let misfit = ternary::of_blocks(&source, block_type.block())?;
            let not_ternary = misfit.others > 0;
            if not_ternary && !allow_lossy {
                let (name, target) = (source.name(), target.name());
                return Err(QuantizeError::NotTernary { name, target, misfit }.into());
            }
            not_ternary.then_some(Loss::Ternary(misfit))
        }
        _ => None,
    };
    let scale = match source.data {
        Data::Ternary { scale, .. } => Some(scale),
        Data::Rows(..) => None,
    };
    let exact = lossy.is_none() && (scale.is_some() || target.is_ternary());
    let changed = rows(&source, target, exact, out)?;
    Ok(match (lossy, scale) {
        (Some(loss), _) => loss,
        // A ternary matrix has one magnitude, which is its scale.
        (None, Some(_)) if changed == 0.0 => Loss::None,
        (None, Some(_)) if target.block().is_none() || target.is_ternary() => Loss::Scale(changed),
        (None, None) if target.is_ternary() && changed > 0.0 => Loss::Scale(changed),
        _ if changed > 0.0 => Loss::Rounded,
        _ => Loss::None,
    })
}

/// I2_S, TL1 and TL2: the weights of the whole matrix, then their scale.
fn whole(
    source: Source<'_>,
    target: Target,
    tile: Option<Tile>,
    allow_lossy: bool,
    out: &mut dyn Write,
) -> Result<Loss, Failed> {
    let (name, columns) = (source.name(), source.columns);
    let (weights, scale, loss) = match source.data {
        Data::Ternary { weights, scale } => (weights, scale, Loss::None),
        Data::Rows(..) => {
            let Ternary { weights, scale, misfit } = ternary::of_matrix(&source)?;
            let target = target.name();
            if scale == 0.0 {
                return Err(QuantizeError::Zeros { name, target }.into());
            }
            if misfit.others > 0 && !allow_lossy {
                return Err(QuantizeError::NotTernary { name, target, misfit }.into());
            }
            (weights, scale, if misfit.others > 0 { Loss::Ternary(misfit) } else { Loss::None })
        }
    };
    let bytes = match (target.lookup(), tile) {
        (Some(lookup), Some(tile)) => lookup.pack(&weights, scale, columns, tile),
        _ => i2_s::tensor(&weights, scale),
    };
    out.write_all(&bytes).map_err(Failed::Io)?;
    Ok(loss)
}

/// Types whose rows stand alone. Says by how much a number changed at most, in parts of it; where all are
/// ternary and stay so (`exact`), none may become 0.
fn rows(
    source: &Source<'_>,
    target: Target,
    exact: bool,
    out: &mut dyn Write,
) -> Result<f32, Failed> {
    let columns = source.columns;
    let width = match target.block() {
        Some(block_type) => columns / block_type.block() * block_type.block_bytes(),
        None if target == Target::F32 => columns * 4,
        None => columns * 2,
    };
    let at_once = (PIECE / columns).max(1);
    let mut bytes = vec![0u8; at_once.min(source.rows) * width];
    let mut changed = 0f32;
    for first in (0..source.rows).step_by(at_once) {
        let piece = &mut bytes[..at_once.min(source.rows - first) * width];
        let largest = piece
            .par_chunks_exact_mut(width)
            .enumerate()
            .map_init(
                || (vec![0f32; columns], vec![0f32; columns]),
                |(x, back), (row, bytes)| {
                    source.row(first + row, x)?;
                    write_row(target, x, bytes);
                    read_row(target, bytes, back);
                    change(x, back, exact).map_err(|value| {
                        let (name, target) = (source.name(), target.name());
                        QuantizeError::Range { name, target, value }
                    })
                },
            )
            .try_reduce(|| 0f32, |a, b| Ok(a.max(b)))?;
        changed = changed.max(largest);
        out.write_all(piece).map_err(Failed::Io)?;
    }
    Ok(changed)
}

fn write_row(target: Target, x: &[f32], bytes: &mut [u8]) {
    match target.block() {
        Some(block_type) => block_type.quantize_row(x, bytes),
        None => {
            let width = bytes.len() / x.len();
            for (b, v) in bytes.chunks_exact_mut(width).zip(x) {
                match target {
                    Target::F16 => b.copy_from_slice(&f16::from_f32(*v).to_le_bytes()),
                    Target::Bf16 => b.copy_from_slice(&bf16::from_f32(*v).to_le_bytes()),
                    _ => b.copy_from_slice(&v.to_le_bytes()),
                }
            }
        }
    }
}

fn read_row(target: Target, bytes: &[u8], x: &mut [f32]) {
    match target.block() {
        Some(block_type) => block_type.dequantize_row(bytes, x),
        None => {
            let width = bytes.len() / x.len();
            for (v, b) in x.iter_mut().zip(bytes.chunks_exact(width)) {
                *v = match target {
                    Target::F16 => f16::from_le_bytes([b[0], b[1]]).to_f32(),
                    Target::Bf16 => bf16::from_le_bytes([b[0], b[1]]).to_f32(),
                    _ => f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
                };
            }
        }
    }
}

/// The largest change of a number of a row, in parts of it.
///
/// # Errors
/// A number that became infinite, or 0 where none may: the type's scales are too small for it.
fn change(x: &[f32], back: &[f32], exact: bool) -> Result<f32, f32> {
    let mut largest = 0f32;
    for (&v, &b) in x.iter().zip(back) {
        if !b.is_finite() || exact && v != 0.0 && b == 0.0 {
            return Err(v);
        }
        if v != b {
            largest = largest.max(((v - b) / v).abs().min(1.0));
        }
    }
    Ok(largest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::blocks::BlockType;

    #[test]
    fn every_target_is_whole_or_has_rows() {
        for target in Target::ALL {
            let blocks = target.block().map(BlockType::name);
            match target {
                Target::F32 | Target::F16 | Target::Bf16 => assert_eq!(blocks, None),
                _ if target.tensor_type().is_whole() => assert_eq!(blocks, None),
                _ => assert_eq!(blocks, Some(target.name())),
            }
        }
    }
}
