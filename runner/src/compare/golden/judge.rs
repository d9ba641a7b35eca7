//! From a golden and the outputs of the engine under test to a verdict. It decides only what the golden
//! decides: a rule is broken if it is so at the best figures that are possible, kept if it is so at the
//! worst, and open otherwise.

use super::bounds::{End, RowBounds};
use super::digest::{PathDigest, RowFigures};
use super::sketch::Directions;
use crate::compare::{
    Bounded, CompareError, Metric, NoisePair, NoiseProfile, ParityInput, Path, RowMetrics, Rows,
    Targets, Tokenised, Tolerance, Verdict, compare_rows, compare_tokens,
    judge::{check_ids, judge, path_result, tie_limit},
    judge_free_run, judge_greedy,
    summary::row_slope_shown,
};

/// What a parity case compares with a golden. All logits are for the reference's ids.
#[derive(Debug, Clone, Copy)]
pub struct GoldenInput<'a> {
    /// Logits in a row.
    pub vocab_size: usize,
    /// Prompt and the reference's continuation, as fed; as in [`ParityInput`].
    pub ids: &'a [u32],
    /// Ids of the prompt, at least one.
    pub prompt_len: usize,
    /// The reference's greedy choices, one a step.
    pub chosen: &'a [u32],
    /// What is kept of the reference's prefill: one row an id.
    pub reference_prefill: &'a PathDigest,
    /// What is kept of its decode path: one row a choice.
    pub reference_steps: &'a PathDigest,
    /// The reference's self-noise; none without steps.
    pub reference_noise: Option<&'a NoiseProfile>,
    /// The test's prefill.
    pub test_prefill: &'a [f32],
    /// The test's decode path on the same ids.
    pub test_steps: &'a [f32],
    /// The test's own greedy continuation of the prompt.
    pub free_run: Option<&'a [u32]>,
    /// Both tokenisations of the prompt's text, reference first.
    pub tokens: Option<(Tokenised<'a>, Tokenised<'a>)>,
}

/// Judges a parity case against a golden.
///
/// Where every row has the kept bits, the verdict is the one that [`judge`] gives with the reference's
/// rows: they are the test's.
///
/// # Errors
/// As [`judge`], and [`CompareError::Undecided`].
pub fn judge_golden(
    input: &GoldenInput<'_>,
    tolerance: &Tolerance,
) -> Result<Verdict, CompareError> {
    let live = ParityInput {
        vocab_size: input.vocab_size,
        ids: input.ids,
        prompt_len: input.prompt_len,
        reference_prefill: input.test_prefill,
        test_prefill: input.test_prefill,
        reference_steps: input.test_steps,
        test_steps: input.test_steps,
        chosen: input.chosen,
        free_run: input.free_run,
        tokens: input.tokens,
    };
    check_ids(&live)?;
    let first = input.prompt_len - 1;
    let prefill = Side::new(Path::Prefill, input, input.reference_prefill, input.test_prefill, 0)?;
    let steps = Side::new(Path::Decode, input, input.reference_steps, input.test_steps, first)?;
    if prefill.equal() && steps.equal() {
        return judge(&live, tolerance);
    }
    let directions = Directions::new(input.vocab_size);
    let sides = [prefill.bounded(&directions), steps.bounded(&directions)];
    let at = |end| verdict_at(input, tolerance, &sides, end);
    let best = at(End::Best)?;
    if let Some(finding) = best.headline()
        && (finding.name != Metric::Slope.line().name || one_row_shows_it(&best, tolerance))
    {
        return Ok(best);
    }
    let unknown: usize = sides.iter().map(BoundedSide::unknown).sum();
    for end in [End::WorstSteep, End::WorstFlat] {
        let worst = at(end)?;
        if let Some(open) = worst.headline() {
            let same = |v: &Verdict| {
                v.findings.iter().find(|f| f.name == open.name && f.path == open.path).cloned()
            };
            return Err(CompareError::Undecided {
                name: open.name.clone(),
                rule: open.rule.clone(),
                low: same(&best).map_or(open.limit, |f| f.measured),
                high: open.measured,
                unknown: unknown_rows(unknown),
            });
        }
        if end == End::WorstFlat && unknown == 0 {
            return Ok(worst);
        }
    }
    let line = Metric::MaxKl.line();
    Err(CompareError::Undecided {
        name: line.name.to_owned(),
        rule: format!("{} {}{}", line.rule, tolerance.limit(line.metric).unwrap_or(0.0), line.unit),
        low: best.paths.iter().map(|p| p.summary.max_kl.value).fold(0.0, f64::max),
        high: f64::INFINITY,
        unknown: unknown_rows(unknown),
    })
}

fn unknown_rows(rows: usize) -> String {
    match rows {
        0 => String::new(),
        1 => "; of one row with other bits it keeps nothing but a hash".to_owned(),
        rows => format!("; of {rows} rows with other bits it keeps nothing but hashes"),
    }
}

/// Whether a slope is off at one position alone. The mean of slopes that are each as near to 1 as they
/// can be is not the nearest mean: a breach of the mean is no proof.
fn one_row_shows_it(verdict: &Verdict, tolerance: &Tolerance) -> bool {
    let limit = tolerance.limit(Metric::Slope).unwrap_or(f64::INFINITY);
    verdict.paths.iter().flat_map(|p| &p.rows).any(|row| row_slope_shown(row) > limit)
}

/// One path of the test beside what is kept of the reference's.
struct Side<'a> {
    path: Path,
    kept: &'a PathDigest,
    test: Rows<'a>,
    equal: Vec<bool>,
    targets: Targets<'a>,
}

impl<'a> Side<'a> {
    fn new(
        path: Path,
        input: &GoldenInput<'a>,
        kept: &'a PathDigest,
        values: &'a [f32],
        first: usize,
    ) -> Result<Self, CompareError> {
        let (label, targets) = match path {
            Path::Prefill => {
                ("test prefill", Targets { ids: &input.ids[1..], text: input.prompt_len - 1 })
            }
            _ => ("test decode", Targets::chosen(input.chosen)),
        };
        let expected = if path == Path::Prefill { input.ids.len() } else { input.chosen.len() };
        let test = Rows::new(label, input.vocab_size, values, first)?;
        let shape = |what: &str, found: usize| CompareError::Shape {
            what: what.to_owned(),
            found: format!("{found} rows"),
            expected: format!("{expected}, as in the golden's ids"),
        };
        if kept.rows.len() != expected {
            return Err(shape("golden", kept.rows.len()));
        }
        if test.len() != expected {
            return Err(shape(label, test.len()));
        }
        let equal = kept.equal_rows(&test);
        Ok(Self { path, kept, test, equal, targets })
    }

    fn equal(&self) -> bool {
        self.equal.iter().all(|equal| *equal)
    }

    fn bounded(self, directions: &Directions) -> BoundedSide<'a> {
        let rows = (0..self.test.len()).map(|index| {
            let next = self.targets.ids.get(index).copied();
            match &self.kept.rows[index].figures {
                _ if self.equal[index] => Row::Equal,
                Some(kept) => {
                    let bounds = RowBounds::new(kept, self.test.row(index), next, directions);
                    Row::Bounded(kept, Box::new(bounds))
                }
                None => Row::Unknown,
            }
        });
        BoundedSide { rows: rows.collect(), side: self }
    }
}

enum Row<'a> {
    Equal,
    Bounded(&'a RowFigures, Box<RowBounds>),
    /// Its bits differ, and nothing else is known of it.
    Unknown,
}

struct BoundedSide<'a> {
    side: Side<'a>,
    rows: Vec<Row<'a>>,
}

impl BoundedSide<'_> {
    fn unknown(&self) -> usize {
        self.rows.iter().filter(|row| matches!(row, Row::Unknown)).count()
    }

    fn bounded(&self) -> usize {
        self.rows.iter().filter(|row| !matches!(row, Row::Equal)).count()
    }

    /// The figures of every row. An unknown row counts as right where figures are to be the best: no real
    /// one is better, and its likelihood is left out, being none.
    fn metrics(&self, end: End) -> Result<Vec<RowMetrics>, CompareError> {
        let Side { test, targets, .. } = &self.side;
        let mut metrics = compare_rows(test, test, targets)?;
        for (index, (row, own)) in self.rows.iter().zip(&mut metrics).enumerate() {
            match row {
                Row::Equal => {}
                Row::Bounded(_, bounds) => {
                    *own = bounds.row(test.position(index), index < targets.text, end);
                }
                Row::Unknown => {
                    own.bit_equal = false;
                    own.nll = None;
                }
            }
        }
        Ok(metrics)
    }

    /// Rows with the reference's kept logits, and for all other tokens the largest or smallest logit that
    /// they can have: enough to find its choice, its runner-up and a bound of every margin.
    fn stand_in(&self, end: End) -> Vec<f32> {
        let test = &self.side.test;
        let mut values = Vec::with_capacity(test.len() * test.vocab_size());
        for (index, row) in self.rows.iter().enumerate() {
            let from = values.len();
            values.extend_from_slice(test.row(index));
            if let Row::Bounded(kept, _) = row {
                let largest = kept.head.last().map_or(0.0, |(_, logit)| *logit);
                let smallest = (kept.mean - kept.spread.sqrt()) as f32;
                let other = if end == End::Best { largest } else { smallest.min(largest) };
                values[from..].fill(other);
                for (id, logit) in &kept.head {
                    if let Some(value) = values.get_mut(from + *id as usize) {
                        *value = *logit;
                    }
                }
            }
        }
        values
    }
}

fn verdict_at(
    input: &GoldenInput<'_>,
    tolerance: &Tolerance,
    sides: &[BoundedSide<'_>; 2],
    end: End,
) -> Result<Verdict, CompareError> {
    let mut verdict = Verdict::empty(tolerance, input.prompt_len);
    if let Some((reference, test)) = &input.tokens {
        verdict.tokens = Some(compare_tokens(reference, test)?);
    }
    let [prefill, steps] = sides;
    let test_steps = &steps.side.test;
    if let Some(reference) = input.reference_noise
        && !test_steps.is_empty()
    {
        let own = prefill.side.test.slice(input.prompt_len - 1, test_steps.len())?;
        let test = NoiseProfile::measure(&own, test_steps)?;
        verdict.noise = Some(NoisePair { reference: reference.clone(), test });
    }
    let tau = tie_limit(tolerance, verdict.noise.as_ref());
    for bounded in sides {
        let Side { path, test, .. } = &bounded.side;
        if test.is_empty() {
            continue;
        }
        let stand_in = bounded.stand_in(end);
        let reference = Rows::new("golden", input.vocab_size, &stand_in, test.position(0))?;
        let forced = (*path == Path::Decode).then_some(input.chosen);
        // An unknown row stands for itself here, and need not prefer what the reference chose.
        let forced = forced.filter(|_| bounded.unknown() == 0);
        let greedy = judge_greedy(&reference, test, forced, &tau)?;
        verdict.paths.push(path_result(*path, bounded.metrics(end)?, greedy)?);
    }
    if let Some(free) = input.free_run {
        verdict.free_run = Some(judge_free_run(test_steps, input.chosen, free, &tau)?);
    }
    verdict.bounded = Some(Bounded {
        rows: sides.iter().map(BoundedSide::bounded).sum(),
        unknown: sides.iter().map(BoundedSide::unknown).sum(),
        best: end == End::Best,
    });
    verdict.conclude();
    Ok(verdict)
}
