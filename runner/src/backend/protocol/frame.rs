//! Frames of the worker protocol: bytes to header and arrays, and back; knows no request and no
//! engine, and allocates nothing that a limit has not allowed.
//!
//! The layout is in `docs/worker-protocol.md`.

use std::io::{self, BufReader, Read, Write};

use bytemuck::Pod;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// First bytes of every frame. `0xB1` begins no UTF-8 text, so a stray print is seen at once.
pub const MAGIC: [u8; 4] = [0xB1, b'B', b'W', b'P'];

/// Version of the protocol: the u32 after [`MAGIC`], the only part that no version may move.
pub const VERSION: u32 = 1;

/// Longest JSON header in bytes.
pub const HEADER_CAP: u32 = 1 << 20;

/// Most array bytes in one frame.
pub const PAYLOAD_CAP: u64 = 4 << 30;

/// Arrays are read in pieces of this many bytes; a sender that lies about a length must first send
/// one such piece before the rest is reserved.
const PIECE: usize = 1 << 20;

/// Bytes of a wrong input that an error shows.
const SHOWN: usize = 96;

/// Why a frame could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The bytes do not begin a frame, as when a library prints to standard output.
    #[error(
        "expected a frame (magic `{}`), got `{got}`: only frames may go to standard output",
        MAGIC.escape_ascii()
    )]
    NotAFrame {
        /// The first bytes, escaped.
        got: String,
    },
    /// The frame is of another version of the protocol.
    #[error("expected a frame of protocol version {VERSION}, got version {theirs}")]
    Version {
        /// The version in the frame.
        theirs: u32,
    },
    /// The input ended inside a frame.
    #[error("expected {expected} bytes of {part}, the input ended after {got}: `{first}`")]
    Truncated {
        /// The part of the frame that was being read.
        part: String,
        /// Its length in bytes.
        expected: u64,
        /// Bytes of it that came.
        got: u64,
        /// The first of them, escaped.
        first: String,
    },
    /// The header is longer than [`HEADER_CAP`].
    #[error("a header of {length} bytes; at most {HEADER_CAP} are allowed")]
    HeaderTooLong {
        /// Its length in bytes.
        length: u64,
    },
    /// The header is not the JSON that was expected.
    #[error("expected a JSON header ({cause}), got `{got}`")]
    BadHeader {
        /// What the JSON reader expected, and where.
        cause: serde_json::Error,
        /// The first bytes of the header, escaped.
        got: String,
    },
    /// The arrays together are longer than the reader allows.
    #[error("array {index} has {length} bytes; {left} are left of the {cap} allowed here")]
    PayloadTooLong {
        /// Index of the array in the frame.
        index: usize,
        /// Its length in bytes.
        length: u64,
        /// Bytes that the arrays before it left.
        left: u64,
        /// Bytes allowed for all arrays of the frame.
        cap: u64,
    },
    /// An array's length is not a whole number of elements.
    #[error("array {index} has {length} bytes, which is no whole number of {element:?} elements")]
    Ragged {
        /// Index of the array in the frame.
        index: usize,
        /// Its length in bytes.
        length: u64,
        /// Type of its elements.
        element: Element,
    },
    /// The allocator refused an array that the limits allow.
    #[error("no memory for an array of {length} bytes")]
    OutOfMemory {
        /// Its length in bytes.
        length: u64,
    },
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Type of an array's elements, as the header's `arrays` list spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Element {
    /// Bytes.
    U8,
    /// Token ids.
    U32,
    /// Nanoseconds.
    U64,
    /// Logits and tensors, IEEE 754 binary32.
    F32,
}

/// One array of a frame.
#[derive(Debug, Clone, PartialEq)]
pub enum Array {
    /// Bytes.
    U8(Vec<u8>),
    /// Token ids.
    U32(Vec<u32>),
    /// Nanoseconds.
    U64(Vec<u64>),
    /// Logits and tensors.
    F32(Vec<f32>),
}

impl Array {
    /// Type of the elements.
    pub fn element(&self) -> Element {
        match self {
            Array::U8(_) => Element::U8,
            Array::U32(_) => Element::U32,
            Array::U64(_) => Element::U64,
            Array::F32(_) => Element::F32,
        }
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Array::U8(values) => write_values(out, values),
            Array::U32(values) => write_values(out, values),
            Array::U64(values) => write_values(out, values),
            Array::F32(values) => write_values(out, values),
        }
    }
}

/// The JSON header of a frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header<B> {
    /// Number of the request; its answer carries the same.
    pub id: u64,
    /// A request or an answer.
    pub body: B,
    /// Element types of the arrays that follow, in order.
    pub arrays: Vec<Element>,
}

/// A frame that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Message<B> {
    /// Number of the request; its answer carries the same.
    pub id: u64,
    /// A request or an answer.
    pub body: B,
    /// The arrays, in the order of the header.
    pub arrays: Vec<Array>,
}

/// The part of a frame before its arrays: magic, version, header length, header.
///
/// # Errors
/// [`FrameError::HeaderTooLong`] if the header is longer than [`HEADER_CAP`].
pub fn encode_head<B: Serialize>(
    id: u64,
    body: &B,
    arrays: &[Array],
) -> Result<Vec<u8>, FrameError> {
    let header = Header { id, body, arrays: arrays.iter().map(Array::element).collect() };
    let json = serde_json::to_vec(&header)
        .map_err(|cause| FrameError::BadHeader { cause, got: String::new() })?;
    let length = u32::try_from(json.len()).ok().filter(|&length| length <= HEADER_CAP);
    let length = length.ok_or(FrameError::HeaderTooLong { length: json.len() as u64 })?;
    let mut head = Vec::with_capacity(12 + json.len());
    head.extend_from_slice(&MAGIC);
    head.extend_from_slice(&VERSION.to_le_bytes());
    head.extend_from_slice(&length.to_le_bytes());
    head.extend_from_slice(&json);
    Ok(head)
}

/// Writes a head from [`encode_head`] and the arrays it was made for, and flushes.
///
/// # Errors
/// Those of `out`.
pub fn write_frame(out: &mut impl Write, head: &[u8], arrays: &[Array]) -> io::Result<()> {
    out.write_all(head)?;
    for array in arrays {
        array.write(out)?;
    }
    out.flush()
}

/// Writes the bytes as they lie in memory: the values are not copied on a little-endian host.
fn write_values<T: Pod>(out: &mut impl Write, values: &[T]) -> io::Result<()> {
    let bytes: &[u8] = bytemuck::cast_slice(values);
    out.write_all(&(bytes.len() as u64).to_le_bytes())?;
    if cfg!(target_endian = "little") {
        return out.write_all(bytes);
    }
    for piece in bytes.chunks(PIECE) {
        let mut piece = piece.to_vec();
        reverse_elements::<T>(&mut piece);
        out.write_all(&piece)?;
    }
    Ok(())
}

fn reverse_elements<T>(bytes: &mut [u8]) {
    for element in bytes.chunks_exact_mut(size_of::<T>()) {
        element.reverse();
    }
}

/// Reads frames from a stream.
pub struct FrameReader<R> {
    input: BufReader<R>,
}

impl<R: Read> FrameReader<R> {
    /// A reader of the frames in `input`.
    pub fn new(input: R) -> FrameReader<R> {
        FrameReader { input: BufReader::with_capacity(1 << 16, input) }
    }

    /// The next frame; none where the input ends between frames.
    ///
    /// `payload_cap` limits the bytes of all its arrays together; [`PAYLOAD_CAP`] holds anyway.
    ///
    /// # Errors
    /// Any [`FrameError`]; the stream cannot be read further after one.
    pub fn read<B: DeserializeOwned>(
        &mut self,
        payload_cap: u64,
    ) -> Result<Option<Message<B>>, FrameError> {
        if !self.read_magic()? {
            return Ok(None);
        }
        let theirs = u32::from_le_bytes(self.read_word("the protocol version")?);
        if theirs != VERSION {
            return Err(FrameError::Version { theirs });
        }
        let length = u32::from_le_bytes(self.read_word("the header's length")?);
        if length > HEADER_CAP {
            return Err(FrameError::HeaderTooLong { length: u64::from(length) });
        }
        let mut json = vec![0; length as usize];
        self.fill(&mut json, || "the header".to_owned())?;
        let header: Header<B> = serde_json::from_slice(&json)
            .map_err(|cause| FrameError::BadHeader { cause, got: shown(&json) })?;

        let cap = payload_cap.min(PAYLOAD_CAP);
        let mut left = cap;
        let mut arrays = Vec::new();
        for (index, &element) in header.arrays.iter().enumerate() {
            let length = u64::from_le_bytes(self.read_word(&format!("array {index}'s length"))?);
            if length > left {
                return Err(FrameError::PayloadTooLong { index, length, left, cap });
            }
            left -= length;
            arrays.push(match element {
                Element::U8 => Array::U8(self.read_values(index, length, element)?),
                Element::U32 => Array::U32(self.read_values(index, length, element)?),
                Element::U64 => Array::U64(self.read_values(index, length, element)?),
                Element::F32 => Array::F32(self.read_values(index, length, element)?),
            });
        }
        Ok(Some(Message { id: header.id, body: header.body, arrays }))
    }

    /// Looks at each byte as soon as it is there: three stray bytes and then silence must be an
    /// error about those bytes, not a wait for the fourth.
    fn read_magic(&mut self) -> Result<bool, FrameError> {
        for (at, &expected) in MAGIC.iter().enumerate() {
            let mut byte = [0];
            if self.read_some(&mut byte)? == 0 {
                return match at {
                    0 => Ok(false),
                    _ => Err(truncated("the magic", MAGIC.len(), &MAGIC[..at])),
                };
            }
            if byte[0] != expected {
                let mut got = MAGIC[..at].to_vec();
                got.push(byte[0]);
                got.extend_from_slice(self.input.buffer());
                return Err(FrameError::NotAFrame { got: shown(&got) });
            }
        }
        Ok(true)
    }

    fn read_word<const N: usize>(&mut self, part: &str) -> Result<[u8; N], FrameError> {
        let mut word = [0; N];
        self.fill(&mut word, || part.to_owned())?;
        Ok(word)
    }

    fn read_values<T: Pod>(
        &mut self,
        index: usize,
        length: u64,
        element: Element,
    ) -> Result<Vec<T>, FrameError> {
        let size = size_of::<T>();
        if !length.is_multiple_of(size as u64) {
            return Err(FrameError::Ragged { index, length, element });
        }
        let out_of_memory = || FrameError::OutOfMemory { length };
        let count = usize::try_from(length / size as u64).map_err(|_| out_of_memory())?;
        let mut values: Vec<T> = Vec::new();
        while values.len() < count {
            let start = values.len();
            let more = (count - start).min(PIECE / size);
            let reserved = if start == 0 { more } else { count - start };
            values.try_reserve_exact(reserved).map_err(|_| out_of_memory())?;
            values.resize(start + more, T::zeroed());
            let bytes = bytemuck::cast_slice_mut(&mut values[start..]);
            self.fill(bytes, || format!("array {index} from byte {} of {length}", start * size))?;
            if cfg!(target_endian = "big") {
                reverse_elements::<T>(bytes);
            }
        }
        Ok(values)
    }

    fn fill(&mut self, bytes: &mut [u8], part: impl Fn() -> String) -> Result<(), FrameError> {
        let mut filled = 0;
        while filled < bytes.len() {
            match self.read_some(&mut bytes[filled..])? {
                0 => return Err(truncated(&part(), bytes.len(), &bytes[..filled])),
                more => filled += more,
            }
        }
        Ok(())
    }

    fn read_some(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.input.read(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

fn truncated(part: &str, expected: usize, got: &[u8]) -> FrameError {
    FrameError::Truncated {
        part: part.to_owned(),
        expected: expected as u64,
        got: got.len() as u64,
        first: shown(got),
    }
}

fn shown(bytes: &[u8]) -> String {
    let mut text = bytes[..bytes.len().min(SHOWN)].escape_ascii().to_string();
    if bytes.len() > SHOWN {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests;
