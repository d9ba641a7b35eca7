//! From the outputs of two engines to a verdict: measures every rung and hands the measurements over
//! to be concluded. Runs no engine and asks for no output.

use super::{
    CompareError, Contract, GreedyReport, NoisePair, NoiseProfile, Path, PathResult, RowMetrics,
    Rows, Targets, Tau, Tokenised, Tolerance, Verdict, compare_rows, compare_tokens,
    judge_free_run, judge_greedy, summarise, verdict::tau_max,
};

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

pub(super) fn check_ids(input: &ParityInput<'_>) -> Result<(), CompareError> {
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

pub(super) fn path_result(
    path: Path,
    rows: Vec<RowMetrics>,
    greedy: GreedyReport,
) -> Result<PathResult, CompareError> {
    let summary =
        summarise(&rows).ok_or_else(|| CompareError::Empty { what: path.name().to_owned() })?;
    Ok(PathResult { path, rows, summary, greedy })
}

pub(super) fn tie_limit(tolerance: &Tolerance, noise: Option<&NoisePair>) -> Tau {
    let ceiling = tau_max(tolerance);
    if !tolerance.contract().ties_are_noise() {
        return Tau::Fixed(ceiling);
    }
    // Noise that was not measured excuses nothing: without any, τ is at its minimum.
    let (reference, test) =
        noise.map_or((0.0, 0.0), |noise| (noise.reference.sigma(), noise.test.sigma()));
    Tau::Noise { reference, test, ceiling }
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
    // The difference judged here must not excuse itself.
    let tau = tie_limit(tolerance, None);
    let greedy = judge_greedy(&expected, &actual, None, &tau)?;
    let mut verdict = Verdict::empty(tolerance, first_position);
    verdict.bit_equal_required = bit_equal_required;
    verdict.paths.push(path_result(Path::Relation, rows, greedy)?);
    verdict.conclude();
    Ok(verdict)
}
