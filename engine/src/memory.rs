//! Memory whose size a file or a caller decides: a refusal in place of an abort. It holds nothing.

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
