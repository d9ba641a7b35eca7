//! What a generation took, as llama.cpp prints it. A rate of nothing is not printed.

use std::time::{Duration, Instant};

use bitnet_engine::generate::Generation;
use serde::Serialize;

/// Measured times of one generation, in nanoseconds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Timings {
    /// Opening and loading the model, where this generation had to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) load_ns: Option<u64>,
    /// Positions of the prompt that were computed.
    pub(crate) prompt_tokens: usize,
    /// Computing them.
    pub(crate) prompt_ns: u64,
    /// From the start of loading, or of this generation, to the first token; none where none was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first_token_ns: Option<u64>,
    /// Tokens that were chosen, one that ended the text included.
    pub(crate) sampled: usize,
    /// Choosing them.
    pub(crate) sampling_ns: u64,
    /// Each step that computed the logits behind a generated token.
    pub(crate) step_ns: Vec<u64>,
    /// From the start of loading, or of this generation, to its end.
    pub(crate) total_ns: u64,
}

/// Rates that follow from [`Timings`]; none where nothing was measured.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Rates {
    /// Positions of the prompt a second.
    pub(crate) prompt_tokens_per_second: Option<f64>,
    /// Steps a second.
    pub(crate) generated_tokens_per_second: Option<f64>,
}

impl Timings {
    /// What `generation` measured, which ends now and began at `start`, with loading where it had to load.
    pub(crate) fn of(generation: &Generation<'_>, load: Option<Duration>, start: Instant) -> Self {
        let (sampled, sampling) = generation.sampling();
        Self {
            load_ns: load.map(nanoseconds),
            prompt_tokens: generation.prompt_computed(),
            prompt_ns: nanoseconds(generation.prefill_time()),
            first_token_ns: generation.first_token().map(|first| nanoseconds(first - start)),
            sampled,
            sampling_ns: nanoseconds(sampling),
            step_ns: generation.step_nanoseconds().to_vec(),
            total_ns: nanoseconds(start.elapsed()),
        }
    }

    /// Rates of the prompt and of the steps.
    pub(crate) fn rates(&self) -> Rates {
        Rates {
            prompt_tokens_per_second: rate(self.prompt_tokens, self.prompt_ns),
            generated_tokens_per_second: rate(self.step_ns.len(), self.steps()),
        }
    }

    fn steps(&self) -> u64 {
        self.step_ns.iter().sum()
    }

    /// The lines that llama.cpp's users know, and when the first token came.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(load) = self.load_ns {
            lines.push(format!("        load time = {}", milliseconds(load)));
        }
        let (prompt, steps) = (self.prompt_tokens, self.step_ns.len());
        lines.push(counted(" prompt eval time", self.prompt_ns, prompt, "tokens"));
        if let Some(first) = self.first_token_ns {
            lines.push(format!(" first token time = {}", milliseconds(first)));
        }
        lines.push(counted("        eval time", self.steps(), steps, "runs  "));
        lines.push(counted("    sampling time", self.sampling_ns, self.sampled, "runs  "));
        let total = milliseconds(self.total_ns);
        let tokens = self.prompt_tokens + self.step_ns.len();
        lines.push(format!("       total time = {total} / {tokens:>5} tokens"));
        lines
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn milliseconds(ns: u64) -> String {
    format!("{:>10.2} ms", ns as f64 / 1e6)
}

fn counted(name: &str, ns: u64, count: usize, unit: &str) -> String {
    let time = milliseconds(ns);
    match rate(count, ns) {
        Some(rate) => {
            let each = ns as f64 / 1e6 / count as f64;
            format!(
                "{name} = {time} / {count:>5} {unit} ({each:>8.2} ms per token, {rate:>8.2} tokens \
                 per second)"
            )
        }
        None => format!("{name} = {time} / {count:>5} {}", unit.trim_end()),
    }
}

fn rate(count: usize, ns: u64) -> Option<f64> {
    (count > 0 && ns > 0).then(|| count as f64 / (ns as f64 / 1e9))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timings() -> Timings {
        Timings {
            load_ns: Some(12_340_000),
            prompt_tokens: 5,
            prompt_ns: 10_000_000,
            first_token_ns: Some(23_450_000),
            sampled: 4,
            sampling_ns: 400_000,
            step_ns: vec![20_000_000, 30_000_000, 10_000_000],
            total_ns: 99_990_000,
        }
    }

    #[test]
    fn lines_are_llama_cpps() {
        assert_eq!(
            timings().lines(),
            [
                "        load time =      12.34 ms",
                " prompt eval time =      10.00 ms /     5 tokens (    2.00 ms per token,   500.00 \
                 tokens per second)",
                " first token time =      23.45 ms",
                "        eval time =      60.00 ms /     3 runs   (   20.00 ms per token,    50.00 \
                 tokens per second)",
                "    sampling time =       0.40 ms /     4 runs   (    0.10 ms per token, 10000.00 \
                 tokens per second)",
                "       total time =      99.99 ms /     8 tokens",
            ]
        );
    }

    #[test]
    fn nothing_measured_gives_no_rate() {
        let none = Timings {
            load_ns: None,
            first_token_ns: None,
            step_ns: vec![],
            prompt_ns: 0,
            ..timings()
        };
        let lines = none.lines();
        assert_eq!(lines[0], " prompt eval time =       0.00 ms /     5 tokens");
        assert_eq!(lines[1], "        eval time =       0.00 ms /     0 runs");
        let rates = none.rates();
        assert_eq!(rates.prompt_tokens_per_second, None);
        assert_eq!(rates.generated_tokens_per_second, None);
        assert_eq!(timings().rates().generated_tokens_per_second, Some(50.0));
    }
}
