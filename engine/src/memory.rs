//! Memory whose size a file or a caller decides: a refusal in place of an abort. It holds nothing.

use std::io;
use std::ops::{Deref, DerefMut};

use bytemuck::{Pod, Zeroable};
use memmap2::MmapMut;

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
    room: Room<T>,
    count: usize,
}

#[derive(Debug)]
enum Room<T> {
    /// A part of the heap; so many values of it lie in front of the line.
    Heap(Vec<T>, usize),
    /// Pages of their own.
    Pages(MmapMut),
}

/// `count` zeros on cache lines of their own. Where they fill huge pages they lie on such, if the system has
/// them: a table of small pages does not cover the cache of a long context.
///
/// # Errors
/// If the system refuses.
pub(crate) fn aligned_zeros<T: Pod>(count: usize) -> Result<Aligned<T>, OutOfMemory> {
    let bytes = count.saturating_mul(size_of::<T>());
    let room = if bytes < HUGE_PAGE {
        let values = zeros::<T>(count + CACHE_LINE / size_of::<T>())?;
        let skipped = values.as_ptr().align_offset(CACHE_LINE).min(values.len() - count);
        Room::Heap(values, skipped)
    } else {
        Room::Pages(huge_pages(bytes).map_err(|_| refused::<T>(count))?)
    };
    Ok(Aligned { room, count })
}

/// So many zero bytes, at least one, on pages of their own: huge ones where the system has them. Without them all is
/// as correct, and slower.
///
/// # Errors
/// If the system refuses.
pub(crate) fn huge_pages(bytes: usize) -> io::Result<MmapMut> {
    let pages = MmapMut::map_anon(bytes)?;
    #[cfg(target_os = "linux")]
    let _ = pages.advise(memmap2::Advice::HugePage);
    Ok(pages)
}

pub(crate) const CACHE_LINE: usize = 64;
const HUGE_PAGE: usize = 2 << 20;

impl<T: Pod> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.room {
            Room::Heap(values, skipped) => &values[*skipped..][..self.count],
            Room::Pages(pages) => &bytemuck::cast_slice(pages)[..self.count],
        }
    }
}

impl<T: Pod> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match &mut self.room {
            Room::Heap(values, skipped) => &mut values[*skipped..][..self.count],
            Room::Pages(pages) => &mut bytemuck::cast_slice_mut(pages)[..self.count],
        }
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
        for count in [0, 1, 16, 1000, HUGE_PAGE / 4, HUGE_PAGE] {
            let mut values = aligned_zeros::<f32>(count).expect("room");
            assert_eq!(*values, vec![0.0; count]);
            assert!(values.as_ptr().addr().is_multiple_of(64));
            values.fill(1.0);
            assert_eq!(*values, vec![1.0; count]);
        }
        for count in [usize::MAX, usize::MAX / 4] {
            let error = OutOfMemory { bytes: count.saturating_mul(4) };
            assert_eq!(aligned_zeros::<f32>(count).err(), Some(error));
        }
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
