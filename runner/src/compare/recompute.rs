//! A verdict computed anew from what was measured: figures of rows, margins of flips, self-noise. It
//! sees no logits; what only logits can tell is taken as it is given.

use super::{
    Bounded, Flip, FreeRun, GreedyReport, NoisePair, Path, PathResult, RowMetrics, Tau,
    TokenComparison, Tolerance, Verdict,
    judge::{path_result, tie_limit},
};

/// What was measured on the rows of one path.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredPath {
    /// Which path.
    pub path: Path,
    /// Figures of every position.
    pub rows: Vec<RowMetrics>,
    /// Where choices differ: margins and places are measured, the rest follows from the rows.
    pub flips: Vec<Flip>,
}

/// All that a verdict on a parity case follows from.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurements {
    /// Ids of the prompt.
    pub prompt_len: usize,
    /// The reference's greedy choices.
    pub chosen: Vec<u32>,
    /// Rung 1; none when the case starts from ids.
    pub tokens: Option<TokenComparison>,
    /// Prefill and, with steps, decode.
    pub paths: Vec<MeasuredPath>,
    /// Of it the ids, the regret and the best logit are measured.
    pub free_run: Option<FreeRun>,
    /// Both engines' self-noise.
    pub noise: Option<NoisePair>,
    /// Where figures are bounds.
    pub bounded: Option<Bounded>,
}

impl Measurements {
    /// What `verdict` rests on; `chosen` are the reference's choices.
    pub fn of(verdict: &Verdict, chosen: &[u32]) -> Self {
        let path = |p: &PathResult| MeasuredPath {
            path: p.path,
            rows: p.rows.clone(),
            flips: p.greedy.flips.clone(),
        };
        Self {
            prompt_len: verdict.prompt_len,
            chosen: chosen.to_vec(),
            tokens: verdict.tokens.clone(),
            paths: verdict.paths.iter().map(path).collect(),
            free_run: verdict.free_run.clone(),
            noise: verdict.noise.clone(),
            bounded: verdict.bounded,
        }
    }

    /// The verdict under `tolerance`.
    ///
    /// # Errors
    /// In words: what cannot belong together, and figures that are none.
    pub fn judge(&self, tolerance: &Tolerance) -> Result<Verdict, String> {
        let tau = tie_limit(tolerance, self.noise.as_ref());
        let mut verdict = Verdict::empty(tolerance, self.prompt_len);
        verdict.tokens = self.tokens.clone();
        verdict.noise = self.noise.clone();
        verdict.bounded = self.bounded;
        for MeasuredPath { path, rows, flips } in &self.paths {
            let name = path.name();
            let greedy =
                GreedyReport::again(rows, flips, &tau).map_err(|why| format!("{name}: {why}"))?;
            let result = path_result(*path, rows.clone(), greedy)
                .map_err(|_| format!("{name}: a figure is not finite, or there is no row"))?;
            verdict.paths.push(result);
        }
        self.check_chosen(&tau)?;
        if let Some(run) = &self.free_run {
            let decode = self.paths.iter().find(|p| p.path == Path::Decode);
            let rows = decode.map_or(&[][..], |p| &p.rows);
            verdict.free_run = Some(run.again(&self.chosen, rows, &tau)?);
        }
        verdict.conclude();
        Ok(verdict)
    }
    /// Refuses choices that the reference's own rows contradict. Within τ they may: rows and choice may come
    /// from two feeds of the same ids.
    fn check_chosen(&self, tau: &Tau) -> Result<(), String> {
        let Some(decode) = self.paths.iter().find(|p| p.path == Path::Decode) else {
            return Ok(());
        };
        for (step, (row, &chosen)) in decode.rows.iter().zip(&self.chosen).enumerate() {
            let (preferred, margin) = (row.reference_top, row.reference_margin);
            if chosen != preferred && margin > tau.at(row.reference_logit as f32) {
                return Err(format!(
                    "step {step}: the reference chose id {chosen}, but its own row prefers id \
                     {preferred} by {margin}"
                ));
            }
        }
        Ok(())
    }
}
