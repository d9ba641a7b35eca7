//! Runs a call into C++ on a thread with a large stack. Knows nothing of what runs there.

use std::{panic, thread};

use crate::Error;

/// bitnet.cpp's I2_S product has a variable-length array of `rows / threads × micro_batch` floats
/// (6912 × 256 × 4 bytes = 7 MB at one thread), and tokenizers of the family recurse in
/// `std::regex`. The pages are touched only when used. At more than one thread the reference's own
/// threads hold such an array each, on stacks of the system's default size: `shim/stack.cc` weighs it.
pub(crate) const STACK_BYTES: usize = 64 << 20;

/// The result of `work`, run on a thread of its own; the caller's thread waits.
pub(crate) fn on_large_stack<T: Send>(
    call: &'static str,
    work: impl FnOnce() -> Result<T, cxx::Exception> + Send,
) -> Result<T, Error> {
    thread::scope(|scope| {
        let worker = thread::Builder::new()
            .name("reference".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .map_err(|error| Error::Thread { call, reason: error.to_string() })?;
        match worker.join() {
            Ok(result) => {
                result.map_err(|error| Error::Call { call, reason: error.what().to_owned() })
            }
            Err(payload) => panic::resume_unwind(payload),
        }
    })
}
