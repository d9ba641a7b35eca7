//! What the machine could do at best, taken before the tests and behind them: the better figure counts, because a
//! machine that others use as well has slow moments and no fast ones. It times no model.

use std::num::NonZeroUsize;

use bitnet_engine::exit::Exit;
use bitnet_engine::roofline::{self, Int8Peak, MemoryProbe, RooflineError};

use super::super::terminal::Terminal;

/// What the machine could do at best with so many threads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes a second.
    pub(super) bandwidth: f64,
    /// None where the engine knows no int8 instruction of this processor.
    pub(super) peak: Option<Int8Peak>,
}

impl Limits {
    /// The better of both in each.
    fn or_better(self, other: Self) -> Self {
        let rate = |peak: &Option<Int8Peak>| peak.map_or(0.0, |peak| peak.macs_per_second);
        let peak = if rate(&other.peak) > rate(&self.peak) { other.peak } else { self.peak };
        Self { bandwidth: self.bandwidth.max(other.bandwidth), peak }
    }
}

/// The best that was measured, by numbers of threads.
#[derive(Debug, Default)]
pub(super) struct Machine {
    known: Vec<(NonZeroUsize, Limits)>,
}

impl Machine {
    /// Measures with each of these numbers of threads, in a buffer that is given back.
    pub(super) fn measure(
        &mut self,
        threads: &[NonZeroUsize],
        terminal: &Terminal,
    ) -> Result<(), Exit> {
        terminal.note("measuring what the machine could do at best");
        let failed = |error: RooflineError| {
            terminal.error(format_args!("{error}; --no-roofline does without"));
            Exit::Environment
        };
        let probe = MemoryProbe::new().map_err(failed)?;
        for &threads in threads {
            let bandwidth = probe.read_bandwidth(threads).map_err(failed)?;
            let peak = roofline::int8_peak(threads).map_err(failed)?;
            self.note(threads, Limits { bandwidth, peak });
        }
        Ok(())
    }

    fn note(&mut self, threads: NonZeroUsize, limits: Limits) {
        match self.known.iter_mut().find(|(count, _)| *count == threads) {
            Some((_, best)) => *best = best.or_better(limits),
            None => self.known.push((threads, limits)),
        }
    }

    /// The best with so many threads; none where nothing was measured.
    pub(super) fn limits(&self, threads: usize) -> Option<Limits> {
        let (_, limits) = self.known.iter().find(|(count, _)| count.get() == threads)?;
        Some(*limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_better_of_two_measurements_counts_in_each_figure() {
        let limits = |bandwidth, macs_per_second: Option<f64>| Limits {
            bandwidth,
            peak: macs_per_second
                .map(|macs_per_second| Int8Peak { macs_per_second, instruction: "test" }),
        };
        let two = NonZeroUsize::new(2).expect("not zero");
        let mut machine = Machine::default();
        machine.note(two, limits(30.0, Some(700.0)));
        machine.note(two, limits(34.0, Some(650.0)));
        machine.note(NonZeroUsize::MIN, limits(17.0, None));
        let best = machine.limits(2).expect("measured");
        assert_eq!(best.bandwidth, 34.0);
        assert_eq!(best.peak.map(|peak| peak.macs_per_second), Some(700.0));
        let alone = machine.limits(1).expect("measured");
        assert_eq!((alone.bandwidth, alone.peak), (17.0, None));
        assert!(machine.limits(3).is_none());
    }
}
