//! How the codes of a ternary matrix lie in memory for the kernels, and how they get there from the file's
//! layout. No arithmetic, no file.

use rayon::prelude::*;

use super::{i2_s, panels};

/// How the codes of a matrix lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// As in the file ([`i2_s`], x86): blocks of 128 values, groups of 32 bytes.
    Blocks128,
    /// Blocks of 256 values in 64 bytes: byte j holds values j, 64+j, 128+j, 192+j from the high
    /// bits down, so that a 512-bit register meets its activations in natural order. A last block
    /// of 128, where there is one, stays as in the file.
    Blocks256,
    /// 64 rows together, 12 columns of them in 160 bytes: [`panels`].
    Panels,
}

impl Layout {
    /// Rows that share their bytes. A matrix takes the room of whole groups of them.
    pub const fn rows_together(self) -> usize {
        match self {
            Layout::Blocks128 | Layout::Blocks256 => 1,
            Layout::Panels => panels::ROWS,
        }
    }

    /// Bytes of [`Layout::rows_together`] rows.
    pub const fn group_bytes(self, columns: usize) -> usize {
        match self {
            Layout::Blocks128 | Layout::Blocks256 => columns / 4,
            Layout::Panels => panels::panel_bytes(columns),
        }
    }

    /// Bytes of a matrix.
    pub const fn bytes(self, rows: usize, columns: usize) -> usize {
        rows.div_ceil(self.rows_together()) * self.group_bytes(columns)
    }

    /// The code (0, 1 or 2) at a row and column of a matrix.
    ///
    /// # Panics
    /// If the matrix is smaller.
    pub fn code(self, codes: &[u8], columns: usize, row: usize, column: usize) -> u8 {
        let (together, bytes) = (self.rows_together(), self.group_bytes(columns));
        let group = &codes[row / together * bytes..][..bytes];
        match self {
            Layout::Blocks256 if column < columns / 256 * 256 => {
                let (byte, slot) = (column / 256 * 64 + column % 64, column % 256 / 64);
                (group[byte] >> (6 - 2 * slot)) & 3
            }
            // The tail of a row starts at a multiple of 256, hence also of 128.
            Layout::Blocks128 | Layout::Blocks256 => i2_s::code(group, column),
            Layout::Panels => panels::code(group, row % together, column),
        }
    }

    /// Rearranges a matrix (rows of `columns` values in the file's layout) into `arranged`.
    ///
    /// # Panics
    /// If `file` is not whole rows, the columns are no multiple of 128, or there are not just
    /// [`Layout::bytes`] bytes for them.
    pub fn arrange(self, file: &[u8], columns: usize, arranged: &mut [u8]) {
        let row_bytes = columns / 4;
        assert!(
            columns > 0 && columns.is_multiple_of(i2_s::BLOCK),
            "columns come in blocks of 128"
        );
        assert!(file.len().is_multiple_of(row_bytes), "whole rows");
        let rows = file.len() / row_bytes;
        assert_eq!(arranged.len(), self.bytes(rows, columns), "the bytes of the layout");
        let groups = arranged.par_chunks_exact_mut(self.group_bytes(columns));
        let file = file.par_chunks(row_bytes * self.rows_together());
        groups.zip(file).for_each(|(to, from)| match self {
            Layout::Blocks128 => to.copy_from_slice(from),
            Layout::Blocks256 => i2_s::join_blocks(from, to),
            Layout::Panels => panels::pack(from, columns, to),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_gives_the_weights_back() {
        for (rows, columns) in [(1, 128), (5, 256), (16, 384), (35, 640)] {
            let weights: Vec<i8> =
                (0..rows * columns).map(|i| ((i * i + i / 7) % 3) as i8 - 1).collect();
            let file = i2_s::pack(&weights);
            for layout in [Layout::Blocks128, Layout::Blocks256, Layout::Panels] {
                let mut codes = vec![0; layout.bytes(rows, columns)];
                layout.arrange(&file, columns, &mut codes);
                for (i, weight) in weights.iter().enumerate() {
                    let code = layout.code(&codes, columns, i / columns, i % columns);
                    assert_eq!(code as i8 - 1, *weight, "value {i}, {columns} columns, {layout:?}");
                }
            }
        }
    }
}
