//! The tail of a sum of independent coins with different odds. Exact: no normal or Poisson
//! approximation.

/// `P(K ≥ k)` for `K = Σ Bernoulli(odds_i)`, by dynamic programming over the first `k` counts:
/// `O(n·k)`, with the tail summed directly, so that small tails keep their digits.
///
/// Odds are clamped to `0..=1`; NaN counts as 1, which can only make the tail larger.
pub fn poisson_binomial_tail(odds: &[f64], k: usize) -> f64 {
    if k == 0 {
        return 1.0;
    }
    // exact[j] = P(count so far = j) for j < k; `reached` = P(count so far ≥ k).
    let mut exact = vec![0.0f64; k];
    exact[0] = 1.0;
    let mut reached = 0.0f64;
    for &odds in odds {
        let p = if odds.is_nan() { 1.0 } else { odds.clamp(0.0, 1.0) };
        reached += exact[k - 1] * p;
        for j in (1..k).rev() {
            exact[j] = exact[j] * (1.0 - p) + exact[j - 1] * p;
        }
        exact[0] *= 1.0 - p;
    }
    reached.min(1.0)
}

#[cfg(test)]
mod tests {
    use statrs::distribution::{Binomial, DiscreteCDF};

    use super::*;

    #[test]
    fn equals_enumeration_of_every_outcome() {
        let odds = [0.1, 0.9, 0.5, 0.03, 0.7, 0.25, 0.999, 1e-9];
        for k in 0..=odds.len() + 1 {
            let mut want = 0.0;
            for outcome in 0u32..1 << odds.len() {
                if outcome.count_ones() as usize >= k {
                    want += odds
                        .iter()
                        .enumerate()
                        .map(|(i, p)| if outcome >> i & 1 == 1 { *p } else { 1.0 - p })
                        .product::<f64>();
                }
            }
            let got = poisson_binomial_tail(&odds, k);
            assert!((got - want).abs() < 1e-14, "k {k}: {got} not {want}");
        }
    }

    #[test]
    fn equal_odds_give_the_binomial() {
        let b = Binomial::new(0.02, 300).unwrap();
        for k in 1..30 {
            let got = poisson_binomial_tail(&[0.02; 300], k);
            assert!((got / b.sf(k as u64 - 1) - 1.0).abs() < 1e-9, "k {k}");
        }
    }

    #[test]
    fn impossible_and_certain_counts() {
        assert_eq!(poisson_binomial_tail(&[], 0), 1.0);
        assert_eq!(poisson_binomial_tail(&[], 1), 0.0);
        assert_eq!(poisson_binomial_tail(&[0.0, 0.0], 1), 0.0);
        assert_eq!(poisson_binomial_tail(&[1.0, 1.0, 0.0], 2), 1.0);
        assert_eq!(poisson_binomial_tail(&[f64::NAN], 1), 1.0);
    }
}
