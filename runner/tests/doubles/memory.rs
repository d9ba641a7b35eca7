//! Frames that lie about their lengths, read in a process that may not have much memory; asserts,
//! and ends with an error where a length was believed.

use std::io;

use bitnet_runner::backend::protocol::{
    Array, FrameError, FrameReader, MAGIC, PAYLOAD_CAP, Request, VERSION, encode_head,
};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Address space of this process: room for the test executable, and not for one lie.
const ADDRESS_SPACE: u64 = 512 << 20;

fn read(bytes: &[u8]) -> FrameError {
    match FrameReader::new(bytes).read::<Request>(PAYLOAD_CAP) {
        Ok(read) => panic!("{read:?} was read"),
        Err(error) => error,
    }
}

pub(super) fn decode_lies() -> io::Result<()> {
    let limit = Rlimit { current: Some(ADDRESS_SPACE), maximum: Some(ADDRESS_SPACE) };
    setrlimit(Resource::As, limit)?;
    let empty = [Array::U8(vec![]), Array::U32(vec![]), Array::U64(vec![]), Array::F32(vec![])];
    for array in empty {
        let head = encode_head(1, &Request::Bye {}, &[array]).map_err(io::Error::other)?;
        for length in [600 << 20, PAYLOAD_CAP - 8, PAYLOAD_CAP] {
            let mut bytes = head.clone();
            bytes.extend(u64::to_le_bytes(length));
            bytes.extend([7; 1000]);
            let error = read(&bytes);
            assert!(matches!(error, FrameError::Truncated { got: 1000, .. }), "{error}");

            // Who sends a mebibyte of it is believed, and the allocator has the last word.
            bytes.resize(bytes.len() + (2 << 20), 7);
            let error = read(&bytes);
            assert!(matches!(error, FrameError::OutOfMemory { length: l } if l == length));
        }
        let mut bytes = head;
        bytes.extend(u64::to_le_bytes(PAYLOAD_CAP + 1));
        let error = read(&bytes);
        assert!(matches!(error, FrameError::PayloadTooLong { .. }), "{error}");
    }
    let mut bytes = MAGIC.to_vec();
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(u32::MAX.to_le_bytes());
    let error = read(&bytes);
    assert!(matches!(error, FrameError::HeaderTooLong { length: 4294967295 }), "{error}");
    Ok(())
}
