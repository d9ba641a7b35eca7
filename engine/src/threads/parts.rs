//! Slices cut into disjoint parts, which the threads of a pool take one by one. It decides where a part
//! begins and ends; which thread takes it, and what is done with it, it does not know.

use std::marker::PhantomData;
use std::ops::Range;

/// What is cut into parts.
pub trait Parts: Sync {
    /// What one thread gets.
    type Part;

    /// How many parts there are.
    fn count(&self) -> usize;

    /// Part `index`.
    ///
    /// # Safety
    /// `index` is below the count, and no other part of this index is in use.
    unsafe fn part(&self, index: usize) -> Self::Part;
}

/// A pointer into a slice whose parts are given to threads without overlap.
#[derive(Debug)]
struct Shareable<'a, T>(*mut T, PhantomData<&'a mut [T]>);

// SAFETY: every element belongs to one part, a part to one thread, and `T: Send` is required for it.
unsafe impl<T: Send> Sync for Shareable<'_, T> {}

impl<'a, T> Shareable<'a, T> {
    fn new(slice: &'a mut [T]) -> Self {
        Self(slice.as_mut_ptr(), PhantomData)
    }
}

/// Neighbouring values, so many a part; the last part may have fewer.
#[derive(Debug)]
pub struct Chunks<'a, T> {
    first: Shareable<'a, T>,
    values: usize,
    length: usize,
}

impl<'a, T> Chunks<'a, T> {
    /// # Panics
    /// If `length` is 0.
    pub fn new(slice: &'a mut [T], length: usize) -> Self {
        assert!(length > 0, "parts of something");
        let values = slice.len();
        Self { first: Shareable::new(slice), values, length }
    }
}

impl<'a, T: Send> Parts for Chunks<'a, T> {
    type Part = &'a mut [T];

    fn count(&self) -> usize {
        self.values.div_ceil(self.length)
    }

    unsafe fn part(&self, index: usize) -> &'a mut [T] {
        let start = index * self.length;
        // SAFETY: the index is below the count, so the part lies in the slice; parts do not overlap, and each is
        // asked for once.
        unsafe {
            let length = self.length.min(self.values - start);
            std::slice::from_raw_parts_mut(self.first.0.add(start), length)
        }
    }
}

/// A matrix cut into tiles of some rows and some columns, those of the first rows first.
#[derive(Debug)]
pub struct Tiles<'a, T> {
    first: Shareable<'a, T>,
    row_length: usize,
    rows: usize,
    tile: (usize, usize),
}

impl<'a, T> Tiles<'a, T> {
    /// Rows of `row_length` values, in tiles of up to `tile.0` rows and `tile.1` columns.
    ///
    /// # Panics
    /// If `matrix` is not whole rows, or a tile is empty.
    pub fn new(matrix: &'a mut [T], row_length: usize, tile: (usize, usize)) -> Self {
        assert!(row_length > 0 && matrix.len().is_multiple_of(row_length), "whole rows");
        assert!(tile.0 > 0 && tile.1 > 0, "tiles of something");
        let rows = matrix.len() / row_length;
        Self { first: Shareable::new(matrix), row_length, rows, tile }
    }

    fn across(&self) -> usize {
        self.row_length.div_ceil(self.tile.1)
    }
}

impl<'a, T: Send> Parts for Tiles<'a, T> {
    /// Its first row in the matrix, and the tile.
    type Part = (usize, ColumnShare<'a, T>);

    fn count(&self) -> usize {
        self.rows.div_ceil(self.tile.0) * self.across()
    }

    unsafe fn part(&self, index: usize) -> Self::Part {
        let (row, column) =
            (index / self.across() * self.tile.0, index % self.across() * self.tile.1);
        // SAFETY: the index is below the count, so the row exists; tiles do not overlap, and each is asked for once.
        let first = unsafe { self.first.0.add(row * self.row_length) };
        let columns = column..self.row_length.min(column + self.tile.1);
        let rows = self.tile.0.min(self.rows - row);
        let row_length = self.row_length;
        (row, ColumnShare { first, row_length, rows, columns, slice: PhantomData })
    }
}

/// Matrices side by side, cut by columns: a part has columns of one or of some neighbours.
#[derive(Debug)]
pub struct Columns<'a, T, const N: usize> {
    matrices: [(Shareable<'a, T>, usize, usize); N],
    step: usize,
    /// Steps of all matrices, and of a part.
    steps: (usize, usize),
}

impl<'a, T, const N: usize> Columns<'a, T, N> {
    /// Matrices with the length of their rows. A part has `step` columns, fewer at the end of a matrix.
    ///
    /// # Panics
    /// If a matrix is not whole rows, or `step` is 0.
    pub fn new(matrices: [(&'a mut [T], usize); N], step: usize) -> Self {
        let mut steps = 0;
        let matrices = matrices.map(|(matrix, row_length)| {
            assert!(row_length > 0 && matrix.len().is_multiple_of(row_length), "whole rows");
            steps += row_length.div_ceil(step);
            let rows = matrix.len() / row_length;
            (Shareable::new(matrix), row_length, rows)
        });
        Self { matrices, step, steps: (steps, 1) }
    }

    /// The same in parts of so many steps.
    ///
    /// # Panics
    /// If there are none in a part.
    #[must_use]
    pub fn in_parts_of(mut self, steps: usize) -> Self {
        assert!(steps > 0, "parts of something");
        self.steps.1 = steps;
        self
    }
}

impl<'a, T: Send, const N: usize> Parts for Columns<'a, T, N> {
    type Part = ColumnShares<'a, T, N>;

    fn count(&self) -> usize {
        self.steps.0.div_ceil(self.steps.1)
    }

    unsafe fn part(&self, index: usize) -> Self::Part {
        let (all, some) = self.steps;
        let mut steps = index * some..all.min((index + 1) * some);
        let shares = std::array::from_fn(|which| {
            let (first, row_length, rows) = &self.matrices[which];
            let bound = |step: usize| (step * self.step).min(*row_length);
            let columns = bound(steps.start)..bound(steps.end);
            let passed = row_length.div_ceil(self.step);
            steps = steps.start.saturating_sub(passed)..steps.end.saturating_sub(passed);
            let (first, rows, row_length) = (first.0, *rows, *row_length);
            Some(ColumnShare { first, row_length, rows, columns, slice: PhantomData })
        });
        ColumnShares { shares }
    }
}

/// Columns of neighbouring matrices.
#[derive(Debug)]
pub struct ColumnShares<'a, T, const N: usize> {
    shares: [Option<ColumnShare<'a, T>>; N],
}

impl<'a, T, const N: usize> ColumnShares<'a, T, N> {
    /// Those of one matrix; none where the part lies in others, or they were taken before.
    pub fn take(&mut self, which: usize) -> Option<ColumnShare<'a, T>> {
        self.shares[which].take().filter(|share| !share.columns.is_empty())
    }
}

/// One thread's columns of a matrix that several threads fill.
#[derive(Debug)]
pub struct ColumnShare<'a, T> {
    first: *mut T,
    row_length: usize,
    rows: usize,
    columns: Range<usize>,
    slice: PhantomData<&'a mut [T]>,
}

impl<T> ColumnShare<'_, T> {
    /// How many rows there are.
    pub fn row_count(&self) -> usize {
        self.rows
    }

    /// The columns.
    pub fn columns(&self) -> Range<usize> {
        self.columns.clone()
    }

    /// These columns of one row.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&mut self, index: usize) -> &mut [T] {
        assert!(index < self.rows, "row {index} of {}", self.rows);
        // SAFETY: the row exists, the columns lie inside it, shares of one job do not overlap, and
        // `&mut self` keeps this share's slices apart in time.
        unsafe {
            let start = self.first.add(index * self.row_length + self.columns.start);
            std::slice::from_raw_parts_mut(start, self.columns.len())
        }
    }
}

/// Parts of the same number, taken together; as many as the shorter has.
impl<A: Parts, B: Parts> Parts for (A, B) {
    type Part = (A::Part, B::Part);

    fn count(&self) -> usize {
        self.0.count().min(self.1.count())
    }

    unsafe fn part(&self, index: usize) -> Self::Part {
        // SAFETY: the index is below both counts, and asked for once.
        unsafe { (self.0.part(index), self.1.part(index)) }
    }
}

/// As many parts as wanted, of something or of nothing.
impl<P: Parts> Parts for Option<P> {
    type Part = Option<P::Part>;

    fn count(&self) -> usize {
        self.as_ref().map_or(usize::MAX, P::count)
    }

    unsafe fn part(&self, index: usize) -> Self::Part {
        // SAFETY: what is asked of these parts is asked of those.
        self.as_ref().map(|parts| unsafe { parts.part(index) })
    }
}
