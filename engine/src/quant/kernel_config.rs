//! The `kernel_config.ini` that bitnet.cpp's code generators write beside lookup-table kernels: which tile
//! the matrices of a shape have. Whether a tile fits is checked where it is used.

use super::tiles::{Tile, Tiles};

impl Tiles {
    /// Reads a `kernel_config.ini` as bitnet.cpp's code generators write it: sections with the keys
    /// `m`, `k`, `bm`, `bk` and `bmm`, all numbers.
    ///
    /// # Errors
    /// With the line, if it is something else; if a section lacks a key, or a shape comes twice.
    pub fn parse(text: &str) -> Result<Self, TilesError> {
        let mut tiles = Tiles::default();
        let mut section: Option<Section> = None;
        for (index, line) in text.lines().enumerate() {
            let (number, line) = (index + 1, line.trim());
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if line.starts_with('[') && line.ends_with(']') {
                tiles.add(section.replace(Section { line: number, values: [None; 5] }))?;
                continue;
            }
            let Some((section, (key, value))) = section.as_mut().zip(line.split_once('=')) else {
                return Err(TilesError::Line { line: number });
            };
            let key = KEYS.iter().position(|known| key.trim().eq_ignore_ascii_case(known));
            let (Some(key), Ok(value)) = (key, value.trim().parse()) else {
                return Err(TilesError::Line { line: number });
            };
            section.values[key] = Some(value);
        }
        tiles.add(section)?;
        match tiles.stated.is_empty() {
            true => Err(TilesError::Empty),
            false => Ok(tiles),
        }
    }

    fn add(&mut self, section: Option<Section>) -> Result<(), TilesError> {
        let Some(Section { line, values }) = section else { return Ok(()) };
        let missing = |key: usize| TilesError::Missing { line, key: KEYS[key] };
        let value = |key: usize| values[key].ok_or_else(|| missing(key));
        let (rows, columns) = (value(0)?, value(1)?);
        let tile = Tile { rows: value(2)?, columns: value(3)?, lanes: value(4)? };
        if self.stated.iter().any(|(m, k, _)| (*m, *k) == (rows, columns)) {
            return Err(TilesError::Twice { line, rows, columns });
        }
        self.stated.push((rows, columns, tile));
        Ok(())
    }
}

/// Keys of a section, in the order of its values.
const KEYS: [&str; 5] = ["m", "k", "bm", "bk", "bmm"];

struct Section {
    line: usize,
    values: [Option<usize>; 5],
}

/// Why a text is no kernel configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TilesError {
    /// A line that does not belong there.
    #[error(
        "line {line} is none of a kernel configuration: it has sections like [Kernels_0], each with \
         m, k, bm, bk and bmm = a number"
    )]
    Line {
        /// Its number, from 1.
        line: usize,
    },
    /// A section lacks a key.
    #[error("the section at line {line} has no `{key}`; each has m, k, bm, bk and bmm")]
    Missing {
        /// Where it begins.
        line: usize,
        /// What it lacks.
        key: &'static str,
    },
    /// A shape was there before.
    #[error("the section at line {line} states {rows} × {columns} for the second time; remove one")]
    Twice {
        /// Where it begins.
        line: usize,
        /// Rows.
        rows: usize,
        /// Columns.
        columns: usize,
    },
    /// There is nothing in it.
    #[error("there is no section in it; bitnet.cpp's code generators write one for each shape")]
    Empty,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::tiles::LookupType::Tl2;

    #[test]
    fn a_configuration_is_read_as_it_is_published() {
        let text = "[Kernels_0]\nm = 2560\nk = 6912\nbm = 160\nbk = 96\nbmm = 32\n\n# so too\n\
                    [Kernels_1]\nM=1536\nK=1536\nBM=64\nBK=96\nbmm=32\n";
        let tiles = Tiles::parse(text).expect("a configuration");
        let tile = Tile { rows: 160, columns: 96, lanes: 32 };
        assert_eq!(tiles.of(Tl2, 2560, 6912), Ok(tile));
        let stated = Tile { rows: 64, columns: 96, lanes: 32 };
        assert_eq!(tiles.of(Tl2, 1536, 1536), Ok(stated), "what is stated comes first");
    }

    #[test]
    fn what_is_no_configuration_is_told_with_its_line() {
        let refusal = |text: &str| Tiles::parse(text).expect_err("refused").to_string();
        assert_eq!(refusal("m = 1\n"), TilesError::Line { line: 1 }.to_string());
        assert_eq!(
            refusal("[a]\nm = many\n"),
            "line 2 is none of a kernel configuration: it has sections like [Kernels_0], each with m, \
             k, bm, bk and bmm = a number"
        );
        assert_eq!(
            refusal("[a]\nm = 1\nk = 2\nbm = 3\nbk = 4\n"),
            "the section at line 1 has no `bmm`; each has m, k, bm, bk and bmm"
        );
        let one = "[a]\nm=1\nk=2\nbm=3\nbk=4\nbmm=5\n";
        assert_eq!(
            refusal(&one.repeat(2)),
            "the section at line 7 states 1 × 2 for the second time; remove one"
        );
        assert_eq!(refusal("\n; nothing\n"), TilesError::Empty.to_string());
    }
}
