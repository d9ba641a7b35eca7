//! Whether the host is quiet enough to measure on: pressure, stolen time, throttling, free memory and
//! what other programs take. It reads what Linux tells and judges that alone; it measures no engine and
//! changes nothing of the host.

use std::fmt;
use std::fs;
use std::thread::{available_parallelism, sleep};
use std::time::{Duration, Instant};

/// How a reason of a noisy host begins, in receipts as well.
pub const NOISY_HOST: &str = "noisy host";

/// Share of the last ten seconds in which something waited for a processor (PSI `some avg10`), percent.
const MOST_PRESSURE: f64 = 10.0;
/// Share of processor time that the hypervisor gave to others.
const MOST_STOLEN: f64 = 0.01;
/// Processors that other programs keep busy while nothing is measured.
const MOST_BUSY: f64 = 0.2;
/// Free memory, as a multiple of what is asked for.
const ROOM: f64 = 1.3;
/// How long the host is watched before it is judged.
const WATCH: Duration = Duration::from_secs(1);

/// Why a measurement on this host would not count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Noise {
    /// Percent of the last ten seconds in which a task waited for a processor.
    Pressure(f64),
    /// Share of processor time that the hypervisor took.
    Stolen(f64),
    /// Periods in which the control group's quota ran out.
    Throttled(u64),
    /// Processors that others keep busy.
    Busy(f64),
    /// Bytes that are free, and that are needed.
    Memory {
        /// Free without swapping.
        free: u64,
        /// What is asked for, with room.
        needed: u64,
    },
}

impl fmt::Display for Noise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{NOISY_HOST}: ")?;
        match *self {
            Self::Pressure(percent) => write!(
                f,
                "tasks waited for a processor in {percent:.1} % of the last 10 s, at most \
                 {MOST_PRESSURE} % may be"
            ),
            Self::Stolen(share) => write!(
                f,
                "the hypervisor took {:.1} % of the processors' time, at most {:.0} % may be",
                share * 100.0,
                MOST_STOLEN * 100.0
            ),
            Self::Throttled(periods) => {
                write!(f, "the control group's quota ran out in {periods} periods")
            }
            Self::Busy(processors) => write!(
                f,
                "other programs keep {processors:.2} processors busy, at most {MOST_BUSY} may be"
            ),
            Self::Memory { free, needed } => {
                write!(f, "{free} bytes of memory are free, {needed} are needed")
            }
        }
    }
}

/// What the host's counters were at one moment. What the system does not tell is none, and no reason.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    at: Instant,
    pressure: Option<f64>,
    ticks: Option<Ticks>,
    throttled: Option<u64>,
    free: Option<u64>,
}

/// Time of all processors since the host's start, in clock ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticks {
    all: u64,
    /// Idle, or waiting for a disk.
    idle: u64,
    stolen: u64,
}

impl Reading {
    /// The counters now.
    pub fn now() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let throttled = ["/sys/fs/cgroup/cpu.stat", "/sys/fs/cgroup/cpu/cpu.stat"];
        Self {
            at: Instant::now(),
            pressure: pressure(&text("/proc/pressure/cpu")),
            ticks: ticks(&text("/proc/stat")),
            throttled: throttled.iter().find_map(|path| field(&text(path), "nr_throttled")),
            free: field(&text("/proc/meminfo"), "MemAvailable:").map(|kib| kib * 1024),
        }
    }

    /// What was noisy in the time from `self` to `later`, in which the caller itself did nothing, before
    /// a measurement that needs `memory` bytes.
    fn before_measuring(&self, later: &Self, memory: u64, processors: usize) -> Vec<Noise> {
        let mut noises = self.while_measuring(later);
        let pressure = later.pressure.filter(|percent| *percent > MOST_PRESSURE);
        noises.extend(pressure.map(Noise::Pressure));
        noises.extend(self.shares(later).and_then(|(busy, _)| {
            let busy = busy * processors as f64;
            (busy > MOST_BUSY).then_some(Noise::Busy(busy))
        }));
        let needed = (memory as f64 * ROOM) as u64;
        let short = later.free.filter(|free| *free < needed);
        noises.extend(short.map(|free| Noise::Memory { free, needed }));
        noises
    }

    /// What was noisy in the time from `self` to `later`, in which the measurement itself kept the
    /// processors busy.
    pub fn while_measuring(&self, later: &Self) -> Vec<Noise> {
        let stolen =
            self.shares(later).map(|(_, stolen)| stolen).filter(|share| *share > MOST_STOLEN);
        let throttled = self.throttled.zip(later.throttled).and_then(|(a, b)| b.checked_sub(a));
        let stolen = stolen.map(Noise::Stolen);
        stolen.into_iter().chain(throttled.filter(|&n| n > 0).map(Noise::Throttled)).collect()
    }

    /// Shares of all processors' time that programs and that the hypervisor took; none where no tick
    /// has passed.
    fn shares(&self, later: &Self) -> Option<(f64, f64)> {
        let (a, b) = (self.ticks?, later.ticks?);
        let all = b.all.checked_sub(a.all).filter(|&all| all > 0)? as f64;
        let stolen = b.stolen.saturating_sub(a.stolen) as f64;
        let idle = b.idle.saturating_sub(a.idle) as f64;
        Some((((all - idle - stolen) / all).max(0.0), stolen / all))
    }
}

/// Watches the host for a second, again and again, until it is quiet or `patience` is over. `waiting` is
/// told each time what is in the way.
///
/// # Errors
/// What was noisy in the last second.
pub fn wait_for_quiet(
    memory: u64,
    patience: Duration,
    mut waiting: impl FnMut(&[Noise]),
) -> Result<Reading, Vec<Noise>> {
    let processors = available_parallelism().map_or(1, usize::from);
    let start = Instant::now();
    let mut before = Reading::now();
    loop {
        sleep(WATCH);
        let now = Reading::now();
        let noises = before.before_measuring(&now, memory, processors);
        if noises.is_empty() {
            return Ok(now);
        }
        if now.at.duration_since(start) >= patience {
            return Err(noises);
        }
        waiting(&noises);
        before = now;
    }
}

/// `avg10` of the line `some` of a PSI file, percent.
fn pressure(text: &str) -> Option<f64> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    some.split_whitespace().find_map(|part| part.strip_prefix("avg10="))?.parse().ok()
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal; guests' time is
/// in user's already.
fn ticks(text: &str) -> Option<Ticks> {
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let counts: Option<Vec<u64>> =
        line.split_whitespace().take(8).map(|part| part.parse().ok()).collect();
    let counts = counts.filter(|counts| counts.len() == 8)?;
    Some(Ticks { all: counts.iter().sum(), idle: counts[3] + counts[4], stolen: counts[7] })
}

/// The first number behind `key` at the start of a line.
fn field(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(key)).then(|| words.next()?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(stat: &str, pressure_text: &str, throttled: u64, free: u64) -> Reading {
        Reading {
            at: Instant::now(),
            pressure: pressure(pressure_text),
            ticks: ticks(stat),
            throttled: Some(throttled),
            free: Some(free),
        }
    }

    const PSI: &str = "some avg10=3.25 avg60=1.35 avg300=11.03 total=15\nfull avg10=0.00 total=0\n";

    #[test]
    fn counters_are_read_as_the_kernel_writes_them() {
        assert_eq!(pressure(PSI), Some(3.25));
        assert_eq!(pressure(""), None);
        let got = ticks("cpu  100 20 30 800 40 0 5 5 0 0\ncpu0 1 2 3\n").unwrap();
        assert_eq!(got, Ticks { all: 1000, idle: 840, stolen: 5 });
        assert_eq!(ticks("cpu  1 2 3\n"), None);
        assert_eq!(field("nr_periods 7\nnr_throttled 3\n", "nr_throttled"), Some(3));
        assert_eq!(field("MemAvailable:   12 kB\n", "MemAvailable:"), Some(12));
    }

    #[test]
    fn a_quiet_second_has_no_reason() {
        let a = reading("cpu  100 0 0 1000 0 0 0 10 0 0", PSI, 3, 2_000);
        let b = reading("cpu  104 0 0 1196 0 0 0 10 0 0", PSI, 3, 2_000);
        assert_eq!(a.before_measuring(&b, 1_000, 2), []);
        // The measurement's own work is no noise.
        let b = reading("cpu  300 0 0 1000 0 0 0 10 0 0", PSI, 3, 2_000);
        assert_eq!(a.while_measuring(&b), []);
    }

    #[test]
    fn every_kind_of_noise_is_named_with_its_figure() {
        let psi = "some avg10=48.50 avg60=1.35 avg300=11.03 total=15\n";
        let a = reading("cpu  100 0 0 1000 0 0 0 10 0 0", PSI, 3, 2_000);
        let b = reading("cpu  150 0 0 1140 0 0 0 20 0 0", psi, 5, 1_200);
        let texts: Vec<String> =
            a.before_measuring(&b, 1_000, 2).iter().map(ToString::to_string).collect();
        let truth = [
            "noisy host: the hypervisor took 5.0 % of the processors' time, at most 1 % may be",
            "noisy host: the control group's quota ran out in 2 periods",
            "noisy host: tasks waited for a processor in 48.5 % of the last 10 s, at most 10 % may be",
            "noisy host: other programs keep 0.50 processors busy, at most 0.2 may be",
            "noisy host: 1200 bytes of memory are free, 1300 are needed",
        ];
        assert_eq!(texts, truth);
        assert_eq!(a.while_measuring(&b), [Noise::Stolen(0.05), Noise::Throttled(2)]);
    }

    #[test]
    fn a_system_that_tells_nothing_gives_no_reason() {
        let silent = Reading {
            at: Instant::now(),
            pressure: None,
            ticks: None,
            throttled: None,
            free: None,
        };
        assert_eq!(silent.before_measuring(&silent, u64::MAX, 2), []);
    }
}
