//! Holds measured figures against a tolerance and writes down every breach with its place and the
//! limit that would have passed. Measures nothing itself.

use super::{
    Contract, Finding, FreeRun, GreedyReport, Metric, NoisePair, Path, Policy, RowMetrics, Rung,
    Sense, Severity, Summary, TokenComparison, Tolerance,
    explain::{damage_in_words, figure},
    summary::row_slope_shown,
    tolerance::plain,
};
use crate::stats::{certifying_count, student_t, wilson, z_one_sided};

/// Results above this many times the reference's own noise are drift.
const DRIFT_FACTOR: f64 = 4.0;
const CONFIDENCE: f64 = 0.95;
/// Two-sided confidence at which a mean counts as shown to differ. Not 95 %: a suite holds hundreds of
/// cases, and one in twenty right engines would fail.
const SHOWN: f64 = 0.9999;

/// Rung 1.
pub(super) fn token_findings(tokens: &TokenComparison) -> Vec<Finding> {
    let finding = |name: &str, rule: &str, position: Option<usize>, note: String| Finding {
        rung: Rung::Tokens,
        path: None,
        name: name.to_owned(),
        severity: Severity::Fail,
        rule: rule.to_owned(),
        sense: Sense::AtMost,
        limit: 0.0,
        measured: 1.0,
        position,
        worst_position: None,
        minimum_to_pass: None,
        note: Some(note),
    };
    let mut findings = Vec::new();
    if let Some(d) = &tokens.difference {
        let (reference, test) = (tokens.reference_ids, tokens.test_ids);
        let note = format!(
            "first difference at id {} (byte {}); {reference} ids in the reference, {test} in the test",
            d.index, d.byte_offset
        );
        let rule = "both engines give the same ids for the text";
        findings.push(finding("ids", rule, Some(d.index), note));
    }
    if let Some(byte) = tokens.first_different_byte {
        let note = format!("first difference at byte {byte}");
        let rule = "both engines turn their ids into the same bytes";
        findings.push(finding("bytes", rule, None, note));
    }
    findings
}

/// Rung 2 for one path: every line of the table that [`Summary`] answers.
pub(super) fn logit_findings(
    path: Path,
    rows: &[RowMetrics],
    summary: &Summary,
    tolerance: &Tolerance,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for line in super::table() {
        let Some(limit) = tolerance.limit(line.metric) else { continue };
        let Some((measured, worst)) = measured(line.metric, summary) else { continue };
        if line.keeps(measured, limit) {
            continue;
        }
        let breaks = |row: &&RowMetrics| {
            row_figure(line.metric, row).is_some_and(|value| !line.keeps(value, limit))
        };
        let mut severity = Severity::Fail;
        if line.advisory(tolerance.contract()) {
            severity = Severity::Advisory;
        }
        let mut note = None;
        if line.metric == Metric::MeanKl {
            note = Some(damage_in_words(measured));
        }
        if line.metric == Metric::RawCosine
            && tolerance.contract().excuses_shift()
            && line.keeps(summary.min_unshifted_cosine.value, limit)
        {
            severity = Severity::Drift;
            note = Some(format!(
                "a constant shift explains it ({:+.4} at position {}): without it the cosine is {}, \
                 and softmax cannot see it",
                summary.max_shift.value,
                summary.max_shift.position,
                figure(summary.min_unshifted_cosine.value, Sense::AtLeast)
            ));
        }
        findings.push(Finding {
            rung: Rung::Logits,
            path: Some(path),
            name: line.name.to_owned(),
            severity,
            rule: format!("{} {}{}", line.rule, plain(limit), line.unit),
            sense: line.sense,
            limit,
            measured,
            position: rows.iter().find(breaks).map(|row| row.position).or(worst),
            worst_position: worst,
            minimum_to_pass: Some(measured),
            note,
        });
    }
    findings
}

/// Rung 2, where one engine must repeat itself bit by bit.
pub(super) fn bit_finding(path: Path, rows: &[RowMetrics]) -> Option<Finding> {
    let first = rows.iter().find(|row| !row.bit_equal)?;
    let worst = rows.iter().max_by(|a, b| a.nmse.total_cmp(&b.nmse))?;
    Some(Finding {
        rung: Rung::Logits,
        path: Some(path),
        name: "bits".to_owned(),
        severity: Severity::Fail,
        rule: "every logit is equal bit by bit; rows that may differ: 0".to_owned(),
        sense: Sense::AtMost,
        limit: 0.0,
        measured: rows.iter().filter(|row| !row.bit_equal).count() as f64,
        position: Some(first.position),
        worst_position: Some(worst.position),
        minimum_to_pass: None,
        note: Some(format!(
            "the worst row has a centred NMSE of {}",
            figure(worst.nmse, Sense::AtMost)
        )),
    })
}

fn measured(metric: Metric, s: &Summary) -> Option<(f64, Option<usize>)> {
    let at = |e: super::Extreme| Some((e.value, Some(e.position)));
    match metric {
        Metric::MeanKl => Some((s.mean_kl, Some(s.max_kl.position))),
        Metric::P99Kl => Some((s.p99_kl, Some(s.max_kl.position))),
        Metric::MaxKl => at(s.max_kl),
        Metric::P99Nmse => Some((s.p99_nmse, Some(s.max_nmse.position))),
        Metric::MaxNmse => at(s.max_nmse),
        Metric::CentredCosine => Some((s.p1_centred_cosine, Some(s.min_centred_cosine.position))),
        Metric::RawCosine => at(s.min_raw_cosine),
        Metric::Slope => at(s.slope_shown),
        // Not judged on one position, which has no interval.
        Metric::LnPplRatio => {
            let ratio = s.ln_ppl_ratio?;
            let t = student_t(ratio.count.checked_sub(1)?, 0.5 + SHOWN / 2.0)?;
            Some(((ratio.mean.abs() - t * ratio.standard_error?).max(0.0), None))
        }
        Metric::Top10Overlap => Some((s.mean_top10_overlap, None)),
        Metric::StableAgreement | Metric::FlipProbability | Metric::TauMax => None,
    }
}

fn row_figure(metric: Metric, row: &RowMetrics) -> Option<f64> {
    match metric {
        Metric::MeanKl | Metric::P99Kl | Metric::MaxKl => Some(row.kl),
        Metric::P99Nmse | Metric::MaxNmse => Some(row.nmse),
        Metric::CentredCosine => Some(row.centred_cosine),
        Metric::RawCosine => Some(row.raw_cosine),
        Metric::Slope => Some(row_slope_shown(row)),
        Metric::Top10Overlap => Some(row.top10_overlap),
        Metric::LnPplRatio | Metric::StableAgreement | Metric::FlipProbability | Metric::TauMax => {
            None
        }
    }
}

/// Between the ceiling and the reference's own noise: passing, but more than noise.
///
/// The floor of the warning is what the `self` contract allows one engine to differ from itself: a
/// reference that repeats itself exactly would otherwise make every rounding a drift.
pub(super) fn drift_findings(
    path: Path,
    rows: &[RowMetrics],
    summary: &Summary,
    noise: &NoisePair,
    tolerance: &Tolerance,
) -> Vec<Finding> {
    if !tolerance.contract().warns_of_drift() {
        return Vec::new();
    }
    let figures = [
        (Metric::P99Kl, noise.reference.p99_kl, "KL"),
        (Metric::P99Nmse, noise.reference.p99_nmse, "centred NMSE"),
    ];
    let mut findings = Vec::new();
    for (metric, own, what) in figures {
        let Some((measured, worst)) = measured(metric, summary) else { continue };
        let floor = metric.line().limit(Contract::Itself).unwrap_or(0.0);
        let limit = (DRIFT_FACTOR * own).max(floor);
        let failed = tolerance.limit(metric).is_some_and(|l| !metric.line().keeps(measured, l));
        if measured <= limit || failed {
            continue;
        }
        let bad = |row: &&RowMetrics| row_figure(metric, row).is_some_and(|v| v > limit);
        findings.push(Finding {
            rung: Rung::Logits,
            path: Some(path),
            name: "drift".to_owned(),
            severity: Severity::Drift,
            rule: format!(
                "the 99 % quantile of the {what} stays within 4 times the reference's own noise \
                 ({}), or {floor:e} where that is more",
                figure(own, Sense::AtMost)
            ),
            sense: Sense::AtMost,
            limit,
            measured,
            position: rows.iter().find(bad).map(|row| row.position).or(worst),
            worst_position: worst,
            minimum_to_pass: None,
            note: Some("within the contract, but not explained by noise".to_owned()),
        });
    }
    findings
}

/// Rung 3 for one path.
pub(super) fn greedy_findings(
    path: Path,
    greedy: &GreedyReport,
    tolerance: &Tolerance,
) -> Vec<Finding> {
    let finding = |name: &str, rule: String, sense, limit, measured| Finding {
        rung: Rung::Greedy,
        path: Some(path),
        name: name.to_owned(),
        severity: Severity::Fail,
        rule,
        sense,
        limit,
        measured,
        position: greedy.flips.first().map(|f| f.position),
        worst_position: worst_flip(greedy, |_| true),
        minimum_to_pass: Some(measured),
        note: None,
    };
    if tolerance.policy() == Policy::Exact {
        let flips = greedy.flips.len();
        let rule = "every greedy choice is the reference's; choices that may differ: 0".to_owned();
        let mut found = finding("flips", rule, Sense::AtMost, 0.0, flips as f64);
        found.minimum_to_pass = None;
        let margin = greedy.flips.iter().map(|f| f.margin).fold(0.0, f64::max);
        found.note = Some(format!("largest margin {} nat", figure(margin, Sense::AtMost)));
        return if flips == 0 { Vec::new() } else { vec![found] };
    }
    let mut findings = Vec::new();
    let agreement = tolerance.limit(Metric::StableAgreement).unwrap_or(1.0);
    if greedy.hard_flips > 0 && !stable_enough(greedy, agreement) {
        let hard: Vec<_> = greedy.flips.iter().filter(|f| f.hard).collect();
        let margin = hard.iter().map(|f| f.margin).fold(0.0, f64::max);
        let tau = hard[0].tau;
        let mut found = if agreement >= 1.0 {
            let shown = figure(tau, Sense::AtMost);
            let rule = format!("no choice differs where the margin exceeds τ = {shown} nat");
            finding("tau", rule, Sense::AtMost, tau, margin)
        } else {
            let line = Metric::StableAgreement.line();
            let bound = greedy.stable.map_or(0.0, |s| one_sided_bound(s.hits, s.of));
            finding(line.name, format!("{} {agreement}", line.rule), line.sense, agreement, bound)
        };
        found.position = Some(hard[0].position);
        found.worst_position = worst_flip(greedy, |f| f.hard);
        found.note = Some(format!(
            "{} of {} choices differ beyond τ; largest margin {} nat",
            greedy.hard_flips,
            greedy.judged,
            figure(margin, Sense::AtMost)
        ));
        findings.push(found);
    }
    if let Some(limit) = tolerance.limit(Metric::FlipProbability)
        && let Some(probability) = greedy.flip_probability
        && probability < limit
    {
        let line = Metric::FlipProbability.line();
        let rule = format!("{} {limit}", line.rule);
        let mut found = finding(line.name, rule, line.sense, limit, probability);
        found.note = Some(format!("{} tie flips in {} choices", greedy.tie_flips, greedy.judged));
        findings.push(found);
    }
    findings
}

fn one_sided_bound(hits: usize, of: usize) -> f64 {
    wilson(hits, of, z_one_sided(CONFIDENCE)).map_or(0.0, |i| i.low)
}

fn stable_enough(greedy: &GreedyReport, agreement: f64) -> bool {
    // A limit of 1 allows no miss, and no sample certifies it.
    if agreement >= 1.0 {
        return greedy.hard_flips == 0;
    }
    greedy.stable.is_none_or(|s| one_sided_bound(s.hits, s.of) >= agreement)
}

fn worst_flip(greedy: &GreedyReport, which: impl Fn(&super::Flip) -> bool) -> Option<usize> {
    let flips = greedy.flips.iter().filter(|f| which(f));
    flips.max_by(|a, b| a.margin.total_cmp(&b.margin)).map(|f| f.position)
}

/// Rung 3, the test's own continuation. `prompt_len` turns steps into positions.
pub(super) fn free_run_findings(
    run: &FreeRun,
    prompt_len: usize,
    tolerance: &Tolerance,
) -> Vec<Finding> {
    if run.equal() {
        return Vec::new();
    }
    let position = (prompt_len + run.equal_steps).checked_sub(1);
    let finding = |name: &str, rule: &str, limit: f64, measured: f64, note: String| Finding {
        rung: Rung::Greedy,
        path: None,
        name: name.to_owned(),
        severity: Severity::Fail,
        rule: rule.to_owned(),
        sense: Sense::AtMost,
        limit,
        measured,
        position,
        worst_position: None,
        minimum_to_pass: None,
        note: Some(note),
    };
    let mut findings = Vec::new();
    if run.regret > run.tau {
        let note = "it chooses another token than its logits for the same ids prefer".to_owned();
        let rule = "the free run chooses the best of the test's own logits";
        findings.push(finding("regret", rule, run.tau, run.regret, note));
    } else if run.tie_rule_broken {
        let note = "the choice has the best logit, but so has a lower id".to_owned();
        let rule = "of equal logits the lowest id is chosen";
        findings.push(finding("tie-rule", rule, 0.0, 1.0, note));
    }
    if tolerance.policy() == Policy::Exact {
        let note = format!("{} of {} steps are equal", run.equal_steps, run.steps);
        let rule = "the free run gives the reference's ids; steps that may differ: 0";
        let differing = (run.steps - run.equal_steps) as f64;
        findings.push(finding("flips", rule, 0.0, differing, note));
    }
    findings
}

/// What a pass does not show, in sentences.
pub(super) fn untested(
    path: Path,
    summary: &Summary,
    greedy: &GreedyReport,
    t: &Tolerance,
) -> Vec<String> {
    let mut out = Vec::new();
    let path = path.name();
    if let Some(limit) = t.limit(Metric::LnPplRatio) {
        match summary.ln_ppl_ratio.map(|r| (r.mean, r.interval)) {
            None if path == Path::Decode.name() => {}
            None => {
                out.push(format!("{path}: no position is followed by given text, so no perplexity"))
            }
            Some((_, None)) => out.push(format!("{path}: one perplexity position has no interval")),
            Some((mean, Some(i))) if i.low < -limit || i.high > limit => out.push(format!(
                "{path}: ln PPL ratio {mean:.2e} in [{:.2e}, {:.2e}] is not placed inside ±{limit}",
                i.low, i.high
            )),
            Some(_) => {}
        }
    }
    if greedy.near_ties.is_none() {
        out.push(format!("{path}: no near tie was met"));
    }
    match (greedy.stable, t.limit(Metric::StableAgreement)) {
        (None, _) => out.push(format!("{path}: no choice with a margin above τ was met")),
        (Some(s), Some(limit)) if limit < 1.0 => {
            let bound = one_sided_bound(s.hits, s.of);
            if bound < limit {
                let needed = certifying_count(limit, z_one_sided(CONFIDENCE)).unwrap_or(usize::MAX);
                out.push(format!(
                    "{path}: {} stable choices certify an agreement of {}, not {limit}; that takes \
                     {needed}",
                    s.of,
                    figure(bound, Sense::AtLeast)
                ));
            }
        }
        _ => {}
    }
    out
}
