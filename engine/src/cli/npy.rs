//! NumPy's .npy, version 1.0: the header of a matrix of little-endian f32. Writes no data.

/// Magic, version, length of the rest.
const FIXED: usize = 10;

/// Everything before the first value of a C-ordered matrix of `rows` × `columns` f32.
pub(crate) fn header(rows: usize, columns: usize) -> Vec<u8> {
    let facts =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    // The data begins at a multiple of 64; the line break is the header's last byte.
    let length = (FIXED + facts.len() + 1).next_multiple_of(64) - FIXED;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    // Two numbers of at most 20 digits: never near the 65,535 that version 1.0 can say.
    bytes.extend_from_slice(&(length as u16).to_le_bytes());
    bytes.extend_from_slice(facts.as_bytes());
    bytes.resize(FIXED + length - 1, b' ');
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_numpys() {
        let header = header(3, 768);
        assert_eq!(header.len(), 128);
        assert_eq!(header[..10], *b"\x93NUMPY\x01\x00\x76\x00");
        let facts = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 768), }";
        assert_eq!(std::str::from_utf8(&header[10..]).unwrap().trim_end(), facts);
        assert_eq!(header.last(), Some(&b'\n'));
        assert_eq!(super::header(usize::MAX, usize::MAX).len() % 64, 0);
    }
}
