//! What follows from the raw times of a benchmark: pure functions over rounds, so that anyone with the
//! receipt can recompute its figures. It reads no file and gives no verdict.

use super::bench::{Measure, Metrics, Round, Side, Visit};
use crate::stats::{Interval, Moments, Sample, paired_mean};

/// The quantile of a visit's token times that decodes are compared by: a preempted token moves the
/// mean and the upper quantiles, and not this.
pub const DECODE_QUANTILE: f64 = 0.2;

/// Nanoseconds that a visit stands for: the quantile at 0.2 of a decode's token times, the smallest
/// time of a prefill or a load, which both do the whole work each time. None without times, or with a
/// time of 0.
pub fn statistic(measure: Measure, visit: &Visit) -> Option<f64> {
    let smallest = *visit.nanos.iter().min().filter(|&&nanos| nanos > 0)?;
    match measure {
        Measure::Decode => Some(sample(&visit.nanos)?.quantile(DECODE_QUANTILE)),
        Measure::Prefill | Measure::Load => Some(smallest as f64),
    }
}

/// ln(subject's time ÷ reference's time) of each round, by [`statistic`]. None if a visit has none.
pub fn ln_time_ratios(measure: Measure, rounds: &[Round]) -> Option<Vec<f64>> {
    let ratio = |round: &Round| {
        let subject = statistic(measure, &round.subject)?;
        Some((subject / statistic(measure, &round.reference)?).ln())
    };
    rounds.iter().map(ratio).collect()
}

/// All derived figures of a measure whose visits time `tokens` ids, each decode one at a time. None
/// without rounds, and if a visit has no statistic.
pub fn metrics(measure: Measure, tokens: usize, rounds: &[Round]) -> Option<Metrics> {
    let paired = paired_mean(ln_time_ratios(measure, rounds)?)?;
    let sd = paired.standard_error.map(|error| error * (paired.count as f64).sqrt());
    // A longer time is a lower speed: the ends of the interval change places.
    let interval =
        paired.interval.map(|ln| Interval { low: (-ln.high).exp(), high: (-ln.low).exp() });
    Some(Metrics {
        subject: side(measure, tokens, rounds.iter().map(|round| &round.subject))?,
        reference: side(measure, tokens, rounds.iter().map(|round| &round.reference))?,
        ln_time_ratio: paired.mean,
        ln_time_ratio_sd: sd,
        speed_ratio: (-paired.mean).exp(),
        speed_ratio_interval: interval,
    })
}

fn side<'a>(
    measure: Measure,
    tokens: usize,
    visits: impl Iterator<Item = &'a Visit> + Clone,
) -> Option<Side> {
    // What one timed call computes.
    let units = match measure {
        Measure::Prefill => tokens as f64,
        Measure::Decode | Measure::Load => 1.0,
    };
    let rate = |visit: &Visit| {
        let seconds = visit.nanos.iter().sum::<u64>() as f64 / 1e9;
        units * visit.nanos.len() as f64 / seconds
    };
    let rates = Moments::of(visits.clone().map(rate));
    let all: Vec<u64> = visits.flat_map(|visit| visit.nanos.iter().copied()).collect();
    let times = sample(&all)?;
    Some(Side {
        per_second: rates.mean()?,
        per_second_sd: rates.sd(),
        mean_ns: all.iter().sum::<u64>() as f64 / all.len() as f64,
        p20_ns: times.quantile(DECODE_QUANTILE),
        p50_ns: times.median(),
        p95_ns: times.quantile(0.95),
        max_ns: *all.iter().max()?,
    })
}

fn sample(nanos: &[u64]) -> Option<Sample> {
    Sample::new(nanos.iter().map(|&nanos| nanos as f64).collect())
}

#[cfg(test)]
mod tests {
    use super::super::bench::Order;
    use super::*;

    fn round(subject: &[u64], reference: &[u64]) -> Round {
        Round {
            order: Order::SubjectFirst,
            subject: Visit { nanos: subject.to_vec() },
            reference: Visit { nanos: reference.to_vec() },
        }
    }

    #[test]
    fn a_decode_stands_on_its_fast_tokens_and_a_prefill_on_its_fastest_run() {
        let visit = Visit { nanos: vec![1000, 10, 20, 30, 40, 50] };
        assert_eq!(statistic(Measure::Decode, &visit), Some(20.0));
        assert_eq!(statistic(Measure::Prefill, &visit), Some(10.0));
        assert_eq!(statistic(Measure::Load, &visit), Some(10.0));
    }

    #[test]
    fn the_ratio_is_the_geometric_mean_of_the_rounds() {
        let rounds = [round(&[100], &[200]), round(&[100], &[800])];
        let got = metrics(Measure::Prefill, 512, &rounds).unwrap();
        assert!((got.speed_ratio - 4.0).abs() < 1e-12, "√(2 × 8) = 4, got {}", got.speed_ratio);
        assert!((got.ln_time_ratio + 4_f64.ln()).abs() < 1e-12);
        // Two rounds, ln ratios 1 and 3 times ln 2: the deviation is √2 ln 2, t is 12.7062.
        let sd = 2_f64.sqrt() * 2_f64.ln();
        assert!((got.ln_time_ratio_sd.unwrap() - sd).abs() < 1e-12);
        let half = 12.706_205 * sd / 2_f64.sqrt();
        let interval = got.speed_ratio_interval.unwrap();
        assert!((interval.low.ln() - (4_f64.ln() - half)).abs() < 1e-5, "{interval:?}");
        assert!((interval.high.ln() - (4_f64.ln() + half)).abs() < 1e-5, "{interval:?}");
    }

    #[test]
    fn rates_count_ids_of_a_prefill_and_calls_of_a_decode() {
        // 512 ids in half a second, then in a whole one.
        let rounds = [round(&[500_000_000], &[1]), round(&[1_000_000_000], &[1])];
        let subject = metrics(Measure::Prefill, 512, &rounds).unwrap().subject;
        assert_eq!((subject.per_second, subject.max_ns), (768.0, 1_000_000_000));
        assert!((subject.per_second_sd.unwrap() - 512.0 / 2_f64.sqrt()).abs() < 1e-9);
        // Four ids at 10, 10, 10 and 70 ms: 40 a second, whatever the fast ones promise.
        let decode = round(&[10_000_000, 10_000_000, 10_000_000, 70_000_000], &[1]);
        let subject = metrics(Measure::Decode, 4, &[decode]).unwrap().subject;
        assert_eq!((subject.per_second, subject.per_second_sd), (40.0, None));
        assert_eq!((subject.mean_ns, subject.p20_ns, subject.p50_ns), (25e6, 10e6, 10e6));
    }

    #[test]
    fn nothing_follows_from_nothing() {
        assert_eq!(metrics(Measure::Decode, 4, &[]), None);
        assert_eq!(metrics(Measure::Decode, 4, &[round(&[], &[1])]), None);
        assert_eq!(metrics(Measure::Prefill, 4, &[round(&[1], &[0])]), None, "no clock gives 0");
    }
}
