//! Seeded numbers that are the same on every machine.
//!
//! Each row of each tensor has a stream of its own, so rows can be made in any order and in
//! parallel. Not for cryptography.

/// SplitMix64 (Steele, Lea, Flood 2014): passes BigCrush, one addition and two multiplications.
#[derive(Debug, Clone)]
pub(super) struct Stream {
    state: u64,
}

impl Stream {
    /// The stream of `row` of the tensor `name`. The name goes in by FNV-1a.
    pub(super) fn new(seed: u64, name: &str, row: usize) -> Self {
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mut stream = Self { state: seed ^ hash };
        stream.state = stream.next().wrapping_add(row as u64);
        stream.state = stream.next();
        stream
    }

    /// 64 uniform bits.
    pub(super) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Roughly normal with mean 0: the sum of four uniform 16-bit numbers less its mean.
    ///
    /// Divide by [`BELL_DEVIATION`] for unit deviation; the values reach ±3.46 deviations.
    pub(super) fn bell(&mut self) -> i32 {
        let bits = self.next();
        let parts = [bits, bits >> 16, bits >> 32, bits >> 48].map(|b| (b & 0xffff) as i32);
        parts.iter().sum::<i32>() - 2 * 0xffff
    }

    /// Fills `weights` with −1, 0, 1 at 11/32, 10/32, 11/32: what absmean rounding makes of a
    /// normal matrix.
    pub(super) fn ternary(&mut self, weights: &mut [i8]) {
        for eight in weights.chunks_mut(8) {
            for (weight, byte) in eight.iter_mut().zip(self.next().to_le_bytes()) {
                *weight = i8::from(byte >= 168) - i8::from(byte < 88);
            }
        }
    }
}

/// Standard deviation of [`Stream::bell`]: 65536 · √(4/12).
pub(super) const BELL_DEVIATION: f32 = 37_837.23;

/// Share of weights that are not 0.
pub(super) const TERNARY_DENSITY: f64 = 22.0 / 32.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bell_has_the_stated_moments() {
        let mut stream = Stream::new(1, "bell", 0);
        let n = 200_000;
        let values: Vec<f64> =
            (0..n).map(|_| f64::from(stream.bell()) / f64::from(BELL_DEVIATION)).collect();
        let mean = values.iter().sum::<f64>() / f64::from(n);
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / f64::from(n);
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.01, "{mean} {variance}");
    }

    #[test]
    fn ternary_has_the_stated_shares() {
        let mut weights = vec![0i8; 320_000];
        Stream::new(1, "ternary", 0).ternary(&mut weights);
        let share = |w: i8| weights.iter().filter(|v| **v == w).count() as f64 / 320_000.0;
        assert!((share(0) - 10.0 / 32.0).abs() < 0.005);
        assert!((share(1) - share(-1)).abs() < 0.005);
    }

    #[test]
    fn streams_of_other_rows_names_and_seeds_differ() {
        let first = |seed, name, row| Stream::new(seed, name, row).next();
        let all = [first(1, "a", 0), first(1, "a", 1), first(1, "b", 0), first(2, "a", 0)];
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a != b), "stream {i}");
        }
    }
}
