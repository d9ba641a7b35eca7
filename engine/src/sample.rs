//! From logits to a token: greedy, or seeded random after repetition penalty, top-k, top-p, min-p and
//! temperature.
//!
//! In this order, which is llama.cpp's (`common/common.h`): temperature changes how often the kept
//! ids are drawn, never which ids are kept.
//! Same logits, same options, same seed: same token, on every machine. It reads no model.

mod penalty;

use penalty::Recent;

/// Why no token can be chosen.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SampleError {
    /// A logit that is no number, or none that is finite.
    #[error("the logits cannot be sampled: {0}")]
    Logits(&'static str),
    /// An option outside its range.
    #[error("{name} is {value}, but {rule}")]
    Option {
        /// The option.
        name: &'static str,
        /// Its value.
        value: f32,
        /// What must hold.
        rule: &'static str,
    },
}

/// The id of the largest logit; the lowest id among equals, as in the reference.
///
/// # Errors
/// If there are no logits, one is NaN, or all are −∞.
pub fn greedy(logits: &[f32]) -> Result<u32, SampleError> {
    if logits.is_empty() {
        return Err(SampleError::Logits("there are none"));
    }
    // In lanes, so that the compiler keeps them side by side: a vocabulary has many ids.
    let (mut lanes, mut nan) = ([f32::NEG_INFINITY; 16], false);
    for group in logits.chunks(lanes.len()) {
        for (largest, logit) in lanes.iter_mut().zip(group) {
            *largest = if *logit > *largest { *logit } else { *largest };
            nan |= logit.is_nan();
        }
    }
    if nan {
        return Err(SampleError::Logits("one of them is NaN"));
    }
    let largest = lanes.into_iter().fold(f32::NEG_INFINITY, f32::max);
    if largest == f32::NEG_INFINITY {
        return Err(SampleError::Logits("all of them are -inf"));
    }
    let id =
        logits.iter().position(|logit| *logit == largest).and_then(|id| u32::try_from(id).ok());
    id.ok_or(SampleError::Logits("there are too many"))
}

/// How a random token is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleOptions {
    /// Divides the logits of the ids that are kept; 0 means greedy.
    pub temperature: f32,
    /// Keep this many of the most likely ids; 0 keeps all.
    pub top_k: usize,
    /// Keep the most likely ids until their probabilities reach this sum; 1 keeps all.
    pub top_p: f32,
    /// Keep ids at least this fraction as likely as the most likely one; 0 keeps all.
    pub min_p: f32,
    /// Makes ids of the last tokens less likely; 1 changes nothing, below 1 makes them likelier.
    pub repeat_penalty: f32,
    /// How many of the last tokens the penalty looks at; 0 looks at none.
    pub repeat_last_n: usize,
    /// Start of the random sequence.
    pub seed: u64,
}

impl Default for SampleOptions {
    /// llama.cpp's defaults, with seed 0.
    fn default() -> Self {
        Self {
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            repeat_penalty: 1.0,
            repeat_last_n: 64,
            seed: 0,
        }
    }
}

/// Chooses tokens one after the other.
#[derive(Debug, Clone)]
pub struct Sampler {
    options: SampleOptions,
    state: u64,
    recent: Recent,
    banned: Vec<u32>,
    /// The logits after penalty and bans, reused from token to token.
    changed: Vec<f32>,
    /// (id, logit less the largest), reused from token to token.
    candidates: Vec<(u32, f64)>,
}

impl Sampler {
    /// A sampler at the start of its random sequence.
    ///
    /// # Errors
    /// If an option is NaN or outside its range.
    pub fn new(options: SampleOptions) -> Result<Self, SampleError> {
        let check = |name, value: f32, ok: bool, rule| match ok {
            true => Ok(()),
            false => Err(SampleError::Option { name, value, rule }),
        };
        let SampleOptions { temperature, top_p, min_p, repeat_penalty, .. } = options;
        let finite = temperature.is_finite() && temperature >= 0.0;
        check("temperature", temperature, finite, "it must be 0 or a finite number above 0")?;
        check("top-p", top_p, top_p > 0.0 && top_p <= 1.0, "it must be above 0 and at most 1")?;
        check("min-p", min_p, (0.0..=1.0).contains(&min_p), "it must be from 0 to 1")?;
        let positive = repeat_penalty.is_finite() && repeat_penalty > 0.0;
        check("repeat-penalty", repeat_penalty, positive, "it must be a finite number above 0")?;
        let window = if repeat_penalty == 1.0 { 0 } else { options.repeat_last_n };
        Ok(Self {
            options,
            state: options.seed,
            recent: Recent::new(window),
            banned: Vec::new(),
            changed: Vec::new(),
            candidates: Vec::new(),
        })
    }

    /// What it chooses by.
    pub fn options(&self) -> &SampleOptions {
        &self.options
    }

    /// Takes the next id of the sequence, of the prompt as well: the penalty looks back on it.
    pub fn accept(&mut self, id: u32) {
        self.recent.accept(id);
    }

    /// Forgets the sequence; the random one goes on.
    pub fn forget(&mut self) {
        self.recent.clear();
    }

    /// Never chooses these ids from now on.
    pub fn ban(&mut self, ids: &[u32]) {
        self.banned.extend_from_slice(ids);
    }

    /// How many of the largest logits decide, if the others may as well be −∞; none where every one counts.
    pub fn deciding(&self) -> Option<usize> {
        let SampleOptions { temperature, top_k, .. } = self.options;
        if !(self.recent.is_empty() && self.banned.is_empty()) {
            return None;
        }
        if temperature == 0.0 { Some(1) } else { Some(top_k).filter(|k| *k > 0) }
    }

    /// Chooses the next token; [`Sampler::accept`] it if it becomes part of the sequence.
    ///
    /// # Errors
    /// As for [`greedy`].
    pub fn choose(&mut self, logits: &[f32]) -> Result<u32, SampleError> {
        if self.recent.is_empty() && self.banned.is_empty() {
            return self.pick(logits);
        }
        let mut changed = std::mem::take(&mut self.changed);
        changed.clear();
        changed.extend_from_slice(logits);
        for &id in &self.banned {
            if let Some(logit) = changed.get_mut(id as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
        self.recent.penalise(self.options.repeat_penalty, &mut changed);
        let chosen = self.pick(&changed);
        self.changed = changed;
        chosen
    }

    fn pick(&mut self, logits: &[f32]) -> Result<u32, SampleError> {
        let best = greedy(logits)?;
        let SampleOptions { temperature, top_k, top_p, min_p, .. } = self.options;
        if temperature == 0.0 || logits[best as usize] == f32::INFINITY {
            return Ok(best);
        }
        let max = f64::from(logits[best as usize]);
        self.candidates.clear();
        let distance = |logit: &f32| f64::from(*logit) - max;
        self.candidates.extend((0u32..).zip(logits.iter().map(distance)));
        // Most likely first; equal logits in order of id, so that the cuts below are defined.
        let order = |a: &(u32, f64), b: &(u32, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if top_k != 0 && top_k < self.candidates.len() {
            self.candidates.select_nth_unstable_by(top_k, order);
            self.candidates.truncate(top_k);
        }
        self.candidates.sort_unstable_by(order);
        let total: f64 = self.candidates.iter().map(|(_, distance)| distance.exp()).sum();
        let mut sum = 0.0;
        let kept = self.candidates.iter().take_while(|(_, distance)| {
            let (weight, reached) = (distance.exp(), sum >= f64::from(top_p) * total);
            sum += weight;
            !reached && weight >= f64::from(min_p)
        });
        let kept = kept.count().max(1);
        self.candidates.truncate(kept);
        for (_, weight) in &mut self.candidates {
            *weight = (*weight / f64::from(temperature)).exp();
        }
        let mut left = self.uniform() * self.candidates.iter().map(|(_, w)| w).sum::<f64>();
        let chosen = self.candidates.iter().find(|(_, weight)| {
            left -= weight;
            left < 0.0
        });
        // Rounding can leave a remainder of the last weight's size: then it is the last one's turn.
        Ok(chosen.unwrap_or(&self.candidates[kept - 1]).0)
    }

    /// The next number of SplitMix64 (Steele, Lea, Flood 2014) as a fraction in [0, 1).
    fn uniform(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every id keeps its chance.
    const UNCUT: SampleOptions = SampleOptions {
        temperature: 1.0,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        repeat_penalty: 1.0,
        repeat_last_n: 64,
        seed: 0,
    };

    #[test]
    fn greedy_takes_the_lowest_id_of_equals() {
        assert_eq!(greedy(&[1.0, 3.0, 3.0, -1.0]), Ok(1));
        assert_eq!(greedy(&[f32::NEG_INFINITY, -5.0]), Ok(1));
        let mut many = [-1.0; 100];
        (many[41], many[24], many[70]) = (0.5, 0.5, 0.25);
        assert_eq!(greedy(&many), Ok(24));
        many[99] = f32::NAN;
        assert_eq!(greedy(&many), Err(SampleError::Logits("one of them is NaN")));
    }

    #[test]
    fn what_cannot_be_sampled_is_refused_by_reason() {
        let reason = |logits: &[f32]| greedy(logits).expect_err("refused").to_string();
        assert_eq!(reason(&[]), "the logits cannot be sampled: there are none");
        assert_eq!(reason(&[0.0, f32::NAN]), "the logits cannot be sampled: one of them is NaN");
        assert_eq!(
            reason(&[f32::NEG_INFINITY; 2]),
            "the logits cannot be sampled: all of them are -inf"
        );
        let bad = |options| Sampler::new(options).expect_err("refused").to_string();
        let good = SampleOptions::default();
        assert_eq!(
            bad(SampleOptions { temperature: -1.0, ..good }),
            "temperature is -1, but it must be 0 or a finite number above 0"
        );
        assert!(bad(SampleOptions { top_p: 0.0, ..good }).starts_with("top-p is 0,"));
        assert!(bad(SampleOptions { min_p: f32::NAN, ..good }).starts_with("min-p is NaN,"));
        assert_eq!(
            bad(SampleOptions { repeat_penalty: 0.0, ..good }),
            "repeat-penalty is 0, but it must be a finite number above 0"
        );
        let mut sampler = Sampler::new(good).expect("good options");
        sampler.ban(&[0, 1]);
        assert_eq!(
            sampler.choose(&[1.0, 2.0]).expect_err("refused").to_string(),
            "the logits cannot be sampled: all of them are -inf"
        );
    }

    #[test]
    fn the_penalty_holds_for_greedy_and_random_choice() {
        let options =
            SampleOptions { temperature: 0.0, repeat_penalty: 2.0, ..SampleOptions::default() };
        let mut sampler = Sampler::new(options).expect("good options");
        let logits = [3.0, 2.0, -1.0];
        assert_eq!(sampler.choose(&logits), Ok(0));
        sampler.accept(0);
        assert_eq!(sampler.choose(&logits), Ok(1), "3 / 2 is less than 2");
        sampler.forget();
        assert_eq!(sampler.choose(&logits), Ok(0));

        // At temperature 1 without cuts the frequencies are the softmax of the penalised logits.
        let options = SampleOptions { repeat_penalty: 2.0, seed: 5, ..UNCUT };
        let mut sampler = Sampler::new(options).expect("good options");
        sampler.accept(0);
        sampler.accept(2);
        let weights = [1.5f64, 2.0, -2.0].map(f64::exp);
        let total: f64 = weights.iter().sum();
        let found = frequencies_of(&mut sampler, &logits);
        for (f, w) in found.iter().zip(weights) {
            assert!((f - w / total).abs() < 4.0 * (0.25f64 / 20_000.0).sqrt(), "{found:?}");
        }
    }

    #[test]
    fn banned_ids_are_never_chosen_and_impossible_ones_neither() {
        let mut sampler = Sampler::new(SampleOptions::default()).expect("good options");
        sampler.ban(&[0, 99]);
        let logits = [9.0, 1.0, f32::NEG_INFINITY, 1.0];
        let found = frequencies_of(&mut sampler, &logits);
        assert_eq!((found[0], found[2]), (0.0, 0.0), "{found:?}");
    }

    fn frequencies(options: SampleOptions, logits: &[f32]) -> Vec<f64> {
        frequencies_of(&mut Sampler::new(options).expect("good options"), logits)
    }

    fn frequencies_of(sampler: &mut Sampler, logits: &[f32]) -> Vec<f64> {
        let mut counts = vec![0.0; logits.len()];
        for _ in 0..20_000 {
            counts[sampler.choose(logits).expect("good logits") as usize] += 1.0 / 20_000.0;
        }
        counts
    }

    #[test]
    fn frequencies_follow_the_softmax_at_any_temperature() {
        let logits = [0.0, 1.0, 2.0, -1.0];
        for temperature in [0.5, 1.0, 2.0] {
            let options = SampleOptions { temperature, seed: 7, ..UNCUT };
            let weights = logits.map(|l: f32| f64::from(l / temperature).exp());
            let total: f64 = weights.iter().sum();
            for (f, w) in frequencies(options, &logits).iter().zip(weights) {
                // four standard errors of a rate over 20,000 draws
                assert!((f - w / total).abs() < 4.0 * (0.25f64 / 20_000.0).sqrt());
            }
        }
    }

    #[test]
    fn cuts_keep_exactly_the_likely_ids() {
        let logits = [0.6f32, 0.3, 0.08, 0.02].map(f32::ln);
        let kept = |options| frequencies(options, &logits).iter().filter(|f| **f > 0.0).count();
        // Hot or not, the same ids are kept: by the probabilities at temperature 1.
        for temperature in [1.0, 2.0] {
            let all = SampleOptions { temperature, seed: 1, ..UNCUT };
            assert_eq!(kept(all), 4);
            assert_eq!(kept(SampleOptions { top_k: 2, ..all }), 2);
            assert_eq!(kept(SampleOptions { top_k: 5, ..all }), 4, "more than there are");
            assert_eq!(kept(SampleOptions { top_p: f32::MIN_POSITIVE, ..all }), 1, "never none");
            assert_eq!(kept(SampleOptions { top_p: 0.85, ..all }), 2);
            assert_eq!(kept(SampleOptions { min_p: 0.1, ..all }), 3);
            assert_eq!(kept(SampleOptions { temperature: 0.0, ..all }), 1);
        }
    }

    #[test]
    fn a_seed_repeats_its_sequence() {
        let logits: Vec<f32> = (0..100).map(|i| (i * 37 % 11) as f32 / 3.0).collect();
        let run = |seed| {
            let options = SampleOptions { seed, ..SampleOptions::default() };
            let mut sampler = Sampler::new(options).expect("good options");
            (0..50).map(|_| sampler.choose(&logits).expect("good logits")).collect::<Vec<_>>()
        };
        assert_eq!(run(3), run(3));
        assert_ne!(run(3), run(4));
    }
}
