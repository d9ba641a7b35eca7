//! From outputs to a verdict: the ladder of tokens, logits and greedy choices, each rung in full, the
//! first that fails being the headline. Runs no engine and asks for no output.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    CompareError, Contract, Finding, FreeRun, GreedyReport, Metric, NoisePair, NoiseProfile, Path,
    RowMetrics, Rows, Rung, Severity, Summary, Targets, Tau, TokenComparison, Tokenised, Tolerance,
    compare_rows, compare_tokens, gate, judge_free_run, judge_greedy, summarise,
};

/// The result of a comparison in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Word {
    /// Equal bit by bit, and the same ids.
    Exact,
    /// Within the contract, and every choice the same.
    Match,
    /// Within the contract; some choice differs where noise decides it.
    TieFlip,
    /// Within the contract, but further off than noise explains. Passes with a warning.
    Drift,
    /// Outside the contract.
    Diverged,
    /// Not comparable.
    Error,
}

impl Word {
    /// As reports print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "EXACT",
            Self::Match => "MATCH",
            Self::TieFlip => "TIE_FLIP",
            Self::Drift => "DRIFT",
            Self::Diverged => "DIVERGED",
            Self::Error => "ERROR",
        }
    }

    /// Whether the case passes.
    pub fn passes(self) -> bool {
        !matches!(self, Self::Diverged | Self::Error)
    }
}

/// What was measured on the rows of one path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PathResult {
    /// Which path.
    pub path: Path,
    /// Figures of every position: the raw data of this path.
    pub rows: Vec<RowMetrics>,
    /// Derived from `rows`.
    pub summary: Summary,
    /// Greedy choices at these rows.
    pub greedy: GreedyReport,
}

/// The verdict on a case with everything it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// The word.
    pub word: Word,
    /// The first rung that fails; none when the case passes.
    pub rung: Option<Rung>,
    /// What it was judged by.
    pub tolerance: Tolerance,
    /// One engine had to repeat itself bit by bit.
    pub bit_equal_required: bool,
    /// Ids of the prompt, for turning steps into positions.
    pub prompt_len: usize,
    /// Rules not kept, by rung.
    pub findings: Vec<Finding>,
    /// What a pass does not show, in sentences.
    pub untested: Vec<String>,
    /// Rung 1; none when the case starts from ids.
    pub tokens: Option<TokenComparison>,
    /// Rungs 2 and 3 by path.
    pub paths: Vec<PathResult>,
    /// The test's own continuation; none when it was not run.
    pub free_run: Option<FreeRun>,
    /// Both engines' self-noise; none when it was not measured.
    pub noise: Option<NoisePair>,
    /// Why nothing could be compared; only with ERROR.
    pub error: Option<String>,
}

impl Verdict {
    /// The verdict when the outputs could not be compared.
    pub fn error(error: &CompareError, tolerance: &Tolerance) -> Self {
        let empty = Self::empty(tolerance, 0);
        Self { word: Word::Error, error: Some(error.to_string()), ..empty }
    }

    /// Whether the case passes.
    pub fn passes(&self) -> bool {
        self.word.passes()
    }

    /// The finding that fails the case.
    pub fn headline(&self) -> Option<&Finding> {
        self.findings.iter().find(|f| f.severity == Severity::Fail)
    }

    /// The same verdict derived anew from the raw rows, the greedy reports and the tolerance, for
    /// checking one that was read from a file. None for ERROR, without rows, when the rows give no
    /// summary, and when a greedy report does not count the rows' own choices.
    pub fn recomputed(&self) -> Option<Self> {
        if self.word == Word::Error || self.paths.is_empty() {
            return None;
        }
        let mut again = self.clone();
        for path in &mut again.paths {
            path.summary = summarise(&path.rows)?;
            let differ = |row: &&RowMetrics| row.reference_top != row.test_top;
            let places = path.rows.iter().filter(differ).map(|row| row.position);
            let listed = path.greedy.flips.iter().map(|flip| flip.position);
            if path.greedy.judged != path.rows.len() || !places.eq(listed) {
                return None;
            }
        }
        again.conclude();
        Some(again)
    }

    fn empty(tolerance: &Tolerance, prompt_len: usize) -> Self {
        Self {
            word: Word::Error,
            rung: None,
            tolerance: tolerance.clone(),
            bit_equal_required: false,
            prompt_len,
            findings: Vec::new(),
            untested: Vec::new(),
            tokens: None,
            paths: Vec::new(),
            free_run: None,
            noise: None,
            error: None,
        }
    }

    /// Derives findings, rung and word from what was measured.
    fn conclude(&mut self) {
        let tolerance = &self.tolerance;
        let mut findings: Vec<Finding> =
            self.tokens.iter().flat_map(gate::token_findings).collect();
        let mut untested = Vec::new();
        for p in &self.paths {
            if self.bit_equal_required {
                findings.extend(gate::bit_finding(p.path, &p.rows));
            }
            findings.extend(gate::logit_findings(p.path, &p.rows, &p.summary, tolerance));
            if let Some(noise) = &self.noise {
                let drift = gate::drift_findings(p.path, &p.rows, &p.summary, noise, tolerance);
                findings.extend(drift);
            }
            findings.extend(gate::greedy_findings(p.path, &p.greedy, tolerance));
            untested.extend(gate::untested(p.path, &p.summary, &p.greedy, tolerance));
        }
        if let Some(run) = &self.free_run {
            findings.extend(gate::free_run_findings(run, self.prompt_len, tolerance));
        }
        if self.paths.iter().all(|p| p.path == Path::Prefill) {
            untested.push("decode: the case has no steps".to_owned());
        }
        if self.noise.is_none() && tolerance.contract() == Contract::SameNumerics {
            untested.push(format!(
                "self-noise was not measured: margins up to {} nat count as ties, and drift is not \
                 judged",
                tau_max(tolerance)
            ));
        }
        // Stable: within a rung, failures before warnings, each in the order of the table.
        findings.sort_by_key(|f| (f.rung, f.severity));
        self.rung = findings.iter().find(|f| f.severity == Severity::Fail).map(|f| f.rung);
        self.findings = findings;
        self.untested = untested;
        self.word = self.concluded_word();
    }

    fn concluded_word(&self) -> Word {
        let any = |severity| self.findings.iter().any(|f| f.severity == severity);
        let same_run = self.free_run.as_ref().is_none_or(FreeRun::equal);
        let bits = !self.paths.is_empty()
            && self.paths.iter().all(|p| p.summary.bit_equal_rows == p.summary.rows);
        if any(Severity::Fail) {
            Word::Diverged
        } else if bits && same_run {
            Word::Exact
        } else if any(Severity::Drift) {
            Word::Drift
        } else if !same_run || self.paths.iter().any(|p| !p.greedy.flips.is_empty()) {
            Word::TieFlip
        } else {
            Word::Match
        }
    }
}

/// The outputs of a parity case. All logits are for the reference's ids.
#[derive(Debug, Clone, Copy)]
pub struct ParityInput<'a> {
    /// Logits in a row.
    pub vocab_size: usize,
    /// Prompt and the reference's continuation, as fed. The last chosen id may be left out: nothing
    /// follows it.
    pub ids: &'a [u32],
    /// Ids of the prompt, at least one.
    pub prompt_len: usize,
    /// The reference's prefill: one row an id.
    pub reference_prefill: &'a [f32],
    /// The test's prefill of the same ids.
    pub test_prefill: &'a [f32],
    /// The reference's decode path: row `i` is what `chosen[i]` was chosen from.
    pub reference_steps: &'a [f32],
    /// The test's decode path on the same ids.
    pub test_steps: &'a [f32],
    /// The reference's greedy choices, one a step.
    pub chosen: &'a [u32],
    /// The test's own greedy continuation of the prompt, as many ids.
    pub free_run: Option<&'a [u32]>,
    /// Both tokenisations of the prompt's text, reference first; none when the case gives ids.
    pub tokens: Option<(Tokenised<'a>, Tokenised<'a>)>,
    /// Self-noise known from other perturbations, joined with what is measured here between each
    /// engine's prefill and decode path.
    pub known_noise: Option<&'a NoisePair>,
}

/// Judges a parity case.
///
/// # Errors
/// Whatever makes the outputs incomparable: NaN or Inf, lengths or ids that do not fit, nothing to
/// compare, or a reference whose choices contradict its logits.
pub fn judge(input: &ParityInput<'_>, tolerance: &Tolerance) -> Result<Verdict, CompareError> {
    let ParityInput { vocab_size, ids, prompt_len, chosen, .. } = *input;
    check_ids(input)?;
    let rows = |label, values, first| Rows::new(label, vocab_size, values, first);
    let reference = rows("reference prefill", input.reference_prefill, 0)?;
    let test = rows("test prefill", input.test_prefill, 0)?;
    if reference.len() != ids.len() {
        return Err(CompareError::Shape {
            what: "reference prefill".to_owned(),
            found: format!("{} rows", reference.len()),
            expected: format!("{}, one an id", ids.len()),
        });
    }
    let first = prompt_len - 1;
    let reference_steps = rows("reference decode", input.reference_steps, first)?;
    let test_steps = rows("test decode", input.test_steps, first)?;
    if reference_steps.len() != chosen.len() {
        return Err(CompareError::Shape {
            what: "reference decode".to_owned(),
            found: format!("{} rows", reference_steps.len()),
            expected: format!("{}, one a chosen id", chosen.len()),
        });
    }

    let mut verdict = Verdict::empty(tolerance, prompt_len);
    if let Some((reference, test)) = &input.tokens {
        verdict.tokens = Some(compare_tokens(reference, test)?);
    }
    let prefill_rows = compare_rows(&reference, &test, &Targets { ids: &ids[1..], text: first })?;
    if !chosen.is_empty() {
        reference_steps.same_shape(&test_steps)?;
        let own = |prefill: &Rows<'_>, steps: &Rows<'_>| {
            NoiseProfile::measure(&prefill.slice(first, chosen.len())?, steps)
        };
        verdict.noise = Some(NoisePair {
            reference: own(&reference, &reference_steps)?,
            test: own(&test, &test_steps)?,
        });
    } else if !test_steps.is_empty() {
        reference_steps.same_shape(&test_steps)?;
    }
    if let Some(known) = input.known_noise {
        verdict.noise = Some(verdict.noise.map_or_else(
            || known.clone(),
            |measured| NoisePair {
                reference: measured.reference.merged(&known.reference),
                test: measured.test.merged(&known.test),
            },
        ));
    }
    let tau = tie_limit(tolerance, verdict.noise.as_ref());
    let greedy = judge_greedy(&reference, &test, None, &tau)?;
    verdict.paths.push(path_result(Path::Prefill, prefill_rows, greedy)?);
    if !chosen.is_empty() {
        let decode_rows = compare_rows(&reference_steps, &test_steps, &Targets::chosen(chosen))?;
        let greedy = judge_greedy(&reference_steps, &test_steps, Some(chosen), &tau)?;
        verdict.paths.push(path_result(Path::Decode, decode_rows, greedy)?);
    }
    if let Some(free) = input.free_run {
        verdict.free_run = Some(judge_free_run(&test_steps, chosen, free, &tau)?);
    }
    verdict.conclude();
    Ok(verdict)
}

fn check_ids(input: &ParityInput<'_>) -> Result<(), CompareError> {
    let ParityInput { vocab_size, ids, prompt_len, chosen, .. } = *input;
    if prompt_len == 0 {
        return Err(CompareError::Empty { what: "prompt".to_owned() });
    }
    for (what, list) in [("ids", ids), ("chosen ids", chosen)] {
        if let Some((index, id)) =
            list.iter().enumerate().find(|(_, id)| **id as usize >= vocab_size)
        {
            return Err(CompareError::Id { what: what.to_owned(), index, id: *id, vocab_size });
        }
    }
    let fed = ids.get(prompt_len..);
    let whole = |fed: &[u32]| fed == chosen || chosen.split_last().is_some_and(|(_, c)| fed == c);
    if !fed.is_some_and(whole) {
        return Err(CompareError::Shape {
            what: "ids".to_owned(),
            found: format!("{} ids of which {prompt_len} are the prompt", ids.len()),
            expected: format!(
                "the prompt and then the reference's {} chosen ids, the last of which may be left out",
                chosen.len()
            ),
        });
    }
    Ok(())
}

fn path_result(
    path: Path,
    rows: Vec<RowMetrics>,
    greedy: GreedyReport,
) -> Result<PathResult, CompareError> {
    let summary =
        summarise(&rows).ok_or_else(|| CompareError::Empty { what: path.name().to_owned() })?;
    Ok(PathResult { path, rows, summary, greedy })
}

fn tau_max(tolerance: &Tolerance) -> f64 {
    tolerance.limit(Metric::TauMax).unwrap_or(0.0)
}

fn tie_limit(tolerance: &Tolerance, noise: Option<&NoisePair>) -> Tau {
    let ceiling = tau_max(tolerance);
    match noise {
        Some(noise) if tolerance.contract().ties_are_noise() => {
            Tau::Noise { reference: noise.reference.sigma(), test: noise.test.sigma(), ceiling }
        }
        _ => Tau::Fixed(ceiling),
    }
}

/// Two runs of one engine that should give the same.
#[derive(Debug, Clone, Copy)]
pub struct SelfInput<'a> {
    /// Logits in a row.
    pub vocab_size: usize,
    /// The ids that both runs were fed.
    pub ids: &'a [u32],
    /// Position of the first row: the rows are those of `ids[first_position..]`.
    pub first_position: usize,
    /// Rows of the run that counts as the reference.
    pub expected: &'a [f32],
    /// Rows of the other run.
    pub actual: &'a [f32],
    /// The engine's self-noise from another perturbation than this one. Without it margins up to the
    /// tolerance's `tau-max` count as ties: the difference judged here must not excuse itself.
    pub noise: Option<&'a NoiseProfile>,
}

/// How alike two runs of one engine must be.
#[derive(Debug, Clone, Copy)]
pub enum SelfRequirement<'a> {
    /// Equal bit by bit.
    BitEqual,
    /// Within a contract, usually `self`.
    Within(&'a Tolerance),
}

/// Judges a metamorphic relation: the same engine, the same ids, another way of computing.
///
/// # Errors
/// As [`judge`].
pub fn judge_self(
    input: &SelfInput<'_>,
    requirement: SelfRequirement<'_>,
) -> Result<Verdict, CompareError> {
    let strictest = Tolerance::from(Contract::Itself);
    let (tolerance, bit_equal_required) = match requirement {
        SelfRequirement::BitEqual => (&strictest, true),
        SelfRequirement::Within(tolerance) => (tolerance, false),
    };
    let SelfInput { vocab_size, ids, first_position, .. } = *input;
    let expected = Rows::new("expected run", vocab_size, input.expected, first_position)?;
    let actual = Rows::new("actual run", vocab_size, input.actual, first_position)?;
    let fed = ids.get(first_position..).unwrap_or_default();
    if expected.len() != fed.len() {
        return Err(CompareError::Shape {
            what: "expected run".to_owned(),
            found: format!("{} rows", expected.len()),
            expected: format!("{}, one an id from position {first_position} on", fed.len()),
        });
    }
    let rows =
        compare_rows(&expected, &actual, &Targets::of_text(fed.get(1..).unwrap_or_default()))?;
    let noise = input.noise.map(|own| NoisePair { reference: own.clone(), test: own.clone() });
    let tau = tie_limit(tolerance, noise.as_ref());
    let greedy = judge_greedy(&expected, &actual, None, &tau)?;
    let mut verdict = Verdict::empty(tolerance, first_position);
    verdict.bit_equal_required = bit_equal_required;
    verdict.noise = noise;
    verdict.paths.push(path_result(Path::Relation, rows, greedy)?);
    verdict.conclude();
    Ok(verdict)
}
