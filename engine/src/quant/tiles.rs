//! How bitnet.cpp's lookup-table types TL1 and TL2 cut a matrix into tiles: what is published, what a
//! caller states, and which tiles can be. It packs nothing.
//!
//! The kernels of both types are generated for each shape of a matrix, and its bytes lie in the order in
//! which those kernels read them. A file does not say for which kernels it was made. Known here are the
//! configurations that microsoft/BitNet publishes (commit 16da220, `preset_kernels/` and `setup_env.py`);
//! for any other shape somebody has to state the `kernel_config.ini` that the kernels were generated
//! with.

use std::fmt;

/// A type made for lookup-table kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LookupType {
    /// ARM: two weights an index.
    Tl1,
    /// x86: three weights an index and a sign.
    Tl2,
}

impl LookupType {
    /// ggml's name in upper case.
    pub fn name(self) -> &'static str {
        match self {
            LookupType::Tl1 => "TL1",
            LookupType::Tl2 => "TL2",
        }
    }
}

/// How a matrix is cut, in the reference's names: `rows` is BM, `columns` BK, `lanes` bmm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    /// Rows of a tile.
    pub rows: usize,
    /// Columns of a tile.
    pub columns: usize,
    /// Rows that one vector instruction computes.
    pub lanes: usize,
}

/// Why no tile fits a matrix. The text says what to do and names no tensor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TileFault {
    /// Nobody has published kernels for the shape.
    #[error(
        "no {} kernels are published for matrices of {rows} rows and {columns} columns, and their tiles \
         decide where a weight lies; state the kernel_config.ini that the kernels were generated with",
        .lookup.name()
    )]
    Unknown {
        /// The type.
        lookup: LookupType,
        /// Rows of the matrix.
        rows: usize,
        /// Columns of the matrix.
        columns: usize,
    },
    /// Two different ones are published.
    #[error(
        "two {} kernels with different tiles are published for matrices of {rows} rows and {columns} \
         columns (preset_kernels and setup_env.py of bitnet.cpp); state the kernel_config.ini of the one \
         that is meant",
        .lookup.name()
    )]
    Ambiguous {
        /// The type.
        lookup: LookupType,
        /// Rows of the matrix.
        rows: usize,
        /// Columns of the matrix.
        columns: usize,
    },
    /// The stated tile does not fit.
    #[error(
        "{} tiles of bm = {}, bk = {}, bmm = {} do not fit matrices of {rows} rows and {columns} columns: \
         {rule}; state the kernel_config.ini that the kernels were generated with",
        .lookup.name(), .tile.rows, .tile.columns, .tile.lanes
    )]
    Unfit {
        /// The type.
        lookup: LookupType,
        /// Rows of the matrix.
        rows: usize,
        /// Columns of the matrix.
        columns: usize,
        /// What was stated.
        tile: Tile,
        /// What must hold.
        rule: &'static str,
    },
}

/// Published tiles: rows and columns of the matrix, then its tile.
pub(super) type Published = (usize, usize, Tile);

const fn published(rows: usize, columns: usize, tile: [usize; 3]) -> Published {
    (rows, columns, Tile { rows: tile[0], columns: tile[1], lanes: tile[2] })
}

/// bitnet_b1_58-large, then bitnet_b1_58-3B: `preset_kernels` and `setup_env.py` agree.
const TL1: [Published; 6] = [
    published(1536, 4096, [256, 128, 32]),
    published(1536, 1536, [128, 64, 64]),
    published(4096, 1536, [256, 128, 32]),
    published(3200, 8640, [160, 64, 32]),
    published(3200, 3200, [320, 128, 64]),
    published(8640, 3200, [320, 64, 32]),
];

/// Llama3-8B-1.58-100B-tokens and Falcon3 with TL1: `preset_kernels` and `setup_env.py` differ.
const TL1_TWICE: [(usize, usize); 4] = [(14336, 4096), (4096, 14336), (1024, 4096), (4096, 4096)];

/// As for TL1, then Llama3-8B-1.58-100B-tokens. For 4096 × 1536 the published `kernel_config_tl2.ini`
/// says bmm = 64, with which the converter fails; the published kernels have 32, as `setup_env.py`.
const TL2: [Published; 10] = [
    published(1536, 4096, [256, 96, 32]),
    published(1536, 1536, [128, 192, 32]),
    published(4096, 1536, [256, 96, 32]),
    published(3200, 8640, [160, 96, 32]),
    published(3200, 3200, [320, 96, 32]),
    published(8640, 3200, [320, 96, 32]),
    published(14336, 4096, [256, 96, 32]),
    published(4096, 14336, [128, 96, 32]),
    published(1024, 4096, [256, 96, 32]),
    published(4096, 4096, [128, 96, 32]),
];

impl Tile {
    /// Whether a matrix can be cut so, by the reference's packer and kernels.
    ///
    /// # Errors
    /// [`TileFault::Unfit`], with the rule that is broken.
    pub fn check(self, lookup: LookupType, rows: usize, columns: usize) -> Result<(), TileFault> {
        let unfit = |rule| Err(TileFault::Unfit { lookup, rows, columns, tile: self, rule });
        let multiple = |n: usize, of: usize| of > 0 && n > 0 && n.is_multiple_of(of);
        match lookup {
            LookupType::Tl1 if !matches!(self.lanes, 32 | 64) => return unfit("bmm is 32 or 64"),
            LookupType::Tl2 if self.lanes != 32 => return unfit("bmm is 32"),
            _ => {}
        }
        if !multiple(self.rows, self.lanes) {
            return unfit("bm is a multiple of bmm");
        }
        if !multiple(rows, self.rows) {
            return unfit("the rows are a multiple of bm");
        }
        match lookup {
            LookupType::Tl1 if !multiple(self.columns, 256 / self.lanes) => {
                unfit("bk is a multiple of 256 / bmm")
            }
            LookupType::Tl1 if !multiple(columns, self.columns) => {
                unfit("the columns are a multiple of bk")
            }
            LookupType::Tl2 if !multiple(self.columns, 24) => unfit("bk is a multiple of 24"),
            LookupType::Tl2 if columns < 256 || columns < self.columns => {
                unfit("there are at least bk columns, and at least 256")
            }
            LookupType::Tl2 if !(columns % self.columns).is_multiple_of(32) => {
                unfit("columns that are left over behind the last bk are a multiple of 32")
            }
            // The tensor's size has room for so many in pairs.
            LookupType::Tl2 if columns % self.columns > 256 => {
                unfit("at most 256 columns are left over behind the last bk")
            }
            _ => Ok(()),
        }
    }
}

/// Tiles by shape: those that were stated, before those that are published.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tiles {
    pub(super) stated: Vec<Published>,
}

impl Tiles {
    /// States one more tile, before what is published for its shape.
    #[must_use]
    pub fn with(mut self, rows: usize, columns: usize, tile: Tile) -> Self {
        self.stated.insert(0, (rows, columns, tile));
        self
    }

    /// The tile of matrices of this shape.
    ///
    /// # Errors
    /// If none is known, more than one is, or it does not fit.
    pub fn of(&self, lookup: LookupType, rows: usize, columns: usize) -> Result<Tile, TileFault> {
        let known: &[Published] = match lookup {
            LookupType::Tl1 => &TL1,
            LookupType::Tl2 => &TL2,
        };
        let mut all = self.stated.iter().chain(known);
        let Some((_, _, tile)) = all.find(|(m, k, _)| (*m, *k) == (rows, columns)) else {
            let twice = lookup == LookupType::Tl1 && TL1_TWICE.contains(&(rows, columns));
            return Err(match twice {
                true => TileFault::Ambiguous { lookup, rows, columns },
                false => TileFault::Unknown { lookup, rows, columns },
            });
        };
        tile.check(lookup, rows, columns)?;
        Ok(*tile)
    }
}

impl fmt::Display for LookupType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use LookupType::{Tl1, Tl2};

    #[test]
    fn every_published_tile_fits_its_shape() {
        for (lookup, table) in [(Tl1, &TL1[..]), (Tl2, &TL2[..])] {
            for &(rows, columns, tile) in table {
                assert_eq!(Tiles::default().of(lookup, rows, columns), Ok(tile));
            }
        }
    }

    #[test]
    fn shapes_without_one_certain_tile_are_refused() {
        let refusal = |lookup, rows, columns| {
            Tiles::default().of(lookup, rows, columns).expect_err("refused").to_string()
        };
        assert_eq!(
            refusal(Tl2, 2560, 6912),
            "no TL2 kernels are published for matrices of 2560 rows and 6912 columns, and their tiles \
             decide where a weight lies; state the kernel_config.ini that the kernels were generated with"
        );
        assert_eq!(
            refusal(Tl1, 1024, 4096),
            "two TL1 kernels with different tiles are published for matrices of 1024 rows and 4096 \
             columns (preset_kernels and setup_env.py of bitnet.cpp); state the kernel_config.ini of the \
             one that is meant"
        );
        let broken = |lookup, rows: usize, columns: usize, tile: [usize; 3]| {
            let tile = Tile { rows: tile[0], columns: tile[1], lanes: tile[2] };
            let error = tile.check(lookup, rows, columns).expect_err("refused");
            let TileFault::Unfit { rule, .. } = error else { panic!("{error}") };
            rule
        };
        assert_eq!(broken(Tl1, 256, 256, [128, 64, 16]), "bmm is 32 or 64");
        assert_eq!(broken(Tl2, 256, 256, [128, 96, 64]), "bmm is 32");
        assert_eq!(broken(Tl1, 256, 256, [32, 64, 64]), "bm is a multiple of bmm");
        assert_eq!(broken(Tl1, 256, 256, [0, 64, 64]), "bm is a multiple of bmm");
        assert_eq!(broken(Tl1, 250, 256, [64, 64, 64]), "the rows are a multiple of bm");
        assert_eq!(broken(Tl1, 256, 256, [64, 6, 32]), "bk is a multiple of 256 / bmm");
        assert_eq!(broken(Tl1, 256, 256, [64, 0, 32]), "bk is a multiple of 256 / bmm");
        assert_eq!(broken(Tl1, 256, 256, [64, 96, 32]), "the columns are a multiple of bk");
        assert_eq!(broken(Tl2, 256, 256, [64, 32, 32]), "bk is a multiple of 24");
        let few = "there are at least bk columns, and at least 256";
        assert_eq!(broken(Tl2, 256, 192, [64, 96, 32]), few);
        assert_eq!(broken(Tl2, 256, 256, [64, 264, 32]), few);
        let left = "columns that are left over behind the last bk are a multiple of 32";
        assert_eq!(broken(Tl2, 256, 256, [64, 72, 32]), left);
        let much = "at most 256 columns are left over behind the last bk";
        assert_eq!(broken(Tl2, 256, 768, [64, 480, 32]), much);
        assert_eq!(
            Tile { rows: 64, columns: 96, lanes: 32 }.check(Tl2, 100, 256).unwrap_err().to_string(),
            "TL2 tiles of bm = 64, bk = 96, bmm = 32 do not fit matrices of 100 rows and 256 columns: \
             the rows are a multiple of bm; state the kernel_config.ini that the kernels were generated \
             with"
        );
    }
}
