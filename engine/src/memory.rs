//! Memory whose size a file or a caller decides: a refusal in place of an abort. It holds nothing.

use std::ops::{Deref, DerefMut};

use bytemuck::Zeroable;

/// The system refused this many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutOfMemory {
    pub(crate) bytes: usize,
}

/// `count` zeros. Fresh pages come from the system as zeros, so those that are never touched cost
/// nothing.
///
/// # Errors
/// If the system refuses.
pub(crate) fn zeros<T: Zeroable>(count: usize) -> Result<Vec<T>, OutOfMemory> {
    bytemuck::allocation::try_zeroed_vec(count).map_err(|()| refused::<T>(count))
}

/// Values that begin on a cache line, so that a 512-bit register of them touches one line.
#[derive(Debug)]
pub(crate) struct Aligned<T> {
    values: Vec<T>,
    /// Values in front of the line.
    skipped: usize,
}

/// `count` zeros on cache lines of their own.
///
/// # Errors
/// If the system refuses.
pub(crate) fn aligned_zeros<T: Zeroable>(count: usize) -> Result<Aligned<T>, OutOfMemory> {
    let values = zeros::<T>(count.saturating_add(CACHE_LINE / size_of::<T>()))?;
    let skipped = values.as_ptr().align_offset(CACHE_LINE).min(values.len() - count);
    Ok(Aligned { values, skipped })
}

const CACHE_LINE: usize = 64;

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        let spare = CACHE_LINE / size_of::<T>();
        &self.values[self.skipped..][..self.values.len() - spare]
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        let spare = CACHE_LINE / size_of::<T>();
        let count = self.values.len() - spare;
        &mut self.values[self.skipped..][..count]
    }
}

/// `count` default values, for types that zeros are no value of.
///
/// # Errors
/// If the system refuses.
pub(crate) fn defaults<T: Clone + Default>(count: usize) -> Result<Vec<T>, OutOfMemory> {
    let mut values = Vec::new();
    values.try_reserve_exact(count).map_err(|_| refused::<T>(count))?;
    values.resize(count, T::default());
    Ok(values)
}

fn refused<T>(count: usize) -> OutOfMemory {
    OutOfMemory { bytes: count.saturating_mul(size_of::<T>()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned_values_begin_on_a_line() {
        for count in [0, 1, 16, 1000] {
            let mut values = aligned_zeros::<f32>(count).expect("room");
            assert_eq!(*values, vec![0.0; count]);
            assert!(values.as_ptr().addr().is_multiple_of(64));
            values.fill(1.0);
            assert_eq!(*values, vec![1.0; count]);
        }
        assert_eq!(aligned_zeros::<f32>(usize::MAX / 4).err().map(|e| e.bytes), Some(usize::MAX));
    }

    #[test]
    fn what_is_too_large_is_refused_with_its_size() {
        assert_eq!(zeros::<f32>(3), Ok(vec![0.0; 3]));
        assert_eq!(defaults::<Option<u8>>(2), Ok(vec![None; 2]));
        for count in [usize::MAX, usize::MAX / 4, usize::MAX / 16] {
            let error = OutOfMemory { bytes: count.saturating_mul(4) };
            assert_eq!(zeros::<f32>(count), Err(error));
            assert_eq!(defaults::<f32>(count), Err(error));
        }
    }
}
