//! How the project writes a hash: lower-case hex. Hashes nothing itself.

/// Bytes in lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::hex;

    #[test]
    fn every_byte_has_two_digits() {
        assert_eq!(hex(&[0, 9, 0xa, 0xff]), "00090aff");
        assert_eq!(hex(&[]), "");
    }
}
