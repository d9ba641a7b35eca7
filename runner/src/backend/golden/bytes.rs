//! The smallest parts of a golden's bytes: numbers of variable and fixed length. Every length is held
//! against what is left before anything is taken or allocated.

/// Why bytes cannot be read: what was wanted.
pub(super) type Result<T> = std::result::Result<T, String>;

/// Bytes as they are written.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
}

impl Writer {
    /// Seven bits a byte, the lowest first; the highest bit of a byte says that more follow (LEB128).
    pub(super) fn count(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    pub(super) fn f32(&mut self, value: f32) {
        self.bytes.extend(value.to_le_bytes());
    }

    pub(super) fn f64(&mut self, value: f64) {
        self.bytes.extend(value.to_le_bytes());
    }

    /// A count and as many bytes.
    pub(super) fn blob(&mut self, bytes: &[u8]) {
        self.count(bytes.len() as u64);
        self.bytes.extend(bytes);
    }

    pub(super) fn ids(&mut self, ids: &[u32]) {
        self.count(ids.len() as u64);
        ids.iter().for_each(|id| self.count(u64::from(*id)));
    }
}

/// Bytes as they are read.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn take(&mut self, len: usize, what: &str) -> Result<&'a [u8]> {
        let (head, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or_else(|| format!("{what} needs {len} bytes, {} are left", self.rest.len()))?;
        self.rest = rest;
        Ok(head)
    }

    pub(super) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        self.take(N, what)?.try_into().map_err(|_| format!("{what} is cut off"))
    }

    pub(super) fn byte(&mut self, what: &str) -> Result<u8> {
        Ok(self.array::<1>(what)?[0])
    }

    pub(super) fn number(&mut self, what: &str) -> Result<u64> {
        let mut value = 0_u64;
        for shift in (0..63).step_by(7) {
            let byte = self.byte(what)?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(format!("{what} is larger than 63 bits"))
    }

    /// A number of things that each take at least one more byte.
    pub(super) fn count(&mut self, what: &str) -> Result<usize> {
        let value = self.number(what)?;
        match usize::try_from(value) {
            Ok(count) if count <= self.rest.len() => Ok(count),
            _ => Err(format!("{what} are {value}, but {} bytes are left", self.rest.len())),
        }
    }

    pub(super) fn id(&mut self, below: usize, what: &str) -> Result<u32> {
        let value = self.number(what)?;
        match u32::try_from(value) {
            Ok(id) if (id as usize) < below => Ok(id),
            _ => Err(format!("{what} {value} is not below the vocabulary size {below}")),
        }
    }

    pub(super) fn f32(&mut self, what: &str) -> Result<f32> {
        let value = f32::from_le_bytes(self.array(what)?);
        if value.is_finite() { Ok(value) } else { Err(format!("{what} is {value}")) }
    }

    pub(super) fn f64(&mut self, what: &str) -> Result<f64> {
        let value = f64::from_le_bytes(self.array(what)?);
        if value.is_finite() { Ok(value) } else { Err(format!("{what} is {value}")) }
    }

    pub(super) fn blob(&mut self, what: &str) -> Result<&'a [u8]> {
        let len = self.count(what)?;
        self.take(len, what)
    }

    pub(super) fn ids(&mut self, below: usize, what: &str) -> Result<Vec<u32>> {
        (0..self.count(what)?).map(|_| self.id(below, what)).collect()
    }

    /// Nothing may be left.
    pub(super) fn end(&self) -> Result<()> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(format!("{left} bytes follow its end")),
        }
    }
}
