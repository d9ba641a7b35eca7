//! A text under both engines: chunks of one context each, of which the second half is scored, as llama.cpp's
//! perplexity tool does. It judges nothing.

use super::engines::{ModelFile, readable_by_references, request, roomy_request};
use super::outcome::{Obstacle, Result};
use super::parity::{both, rows};
use super::references::REFERENCES;
use super::runner::Runner;
use crate::backend::{Backend, Feed, TokenizeOptions};
use crate::compare::{Perplexity, RowMetrics, Rows, Targets, compare_rows, perplexity};
use crate::escape;
use crate::suite::Variant;

/// What is scored.
#[derive(Debug, Clone, Copy)]
pub struct TextQuestion<'a> {
    /// Id of the model in `models.toml`.
    pub model: &'a str,
    /// Name of the reference; none for the first that the model lists.
    pub reference: Option<&'a str>,
    /// The text.
    pub text: &'a str,
    /// Ids of a chunk.
    pub context: usize,
    /// Most chunks; none for all.
    pub chunks: Option<usize>,
    /// Compute threads of the subject.
    pub threads: usize,
}

/// A text's statistics, and how many chunks they rest on.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredText {
    /// The statistics.
    pub perplexity: Perplexity,
    /// Chunks scored.
    pub chunks: usize,
    /// Ids of the whole text.
    pub ids: usize,
}

impl Runner {
    /// Scores a text. `heard` is told the number of chunks that are done and their mean KL so far, in nats.
    ///
    /// # Errors
    /// A model or a reference that is not there, a text that is too short, an engine that fails.
    pub fn score_text(
        &mut self,
        question: &TextQuestion<'_>,
        heard: &dyn Fn(usize, usize, f64),
    ) -> Result<ScoredText> {
        let TextQuestion { context, .. } = *question;
        let project = self.project();
        let id = question.model;
        let locked = project
            .lock
            .get(id)
            .ok_or_else(|| Obstacle::Error(format!("models.toml has no '{}'", escape::text(id))))?;
        let wanted = question.reference.or(locked.references.first().map(String::as_str));
        let listed = wanted.filter(|name| locked.references.iter().any(|listed| listed == name));
        let program = REFERENCES.iter().find(|reference| Some(reference.name) == listed);
        let program = program.ok_or_else(|| {
            let (wanted, all) = (wanted.unwrap_or("any reference"), locked.references.join(", "));
            let wanted = escape::text(wanted);
            Obstacle::Error(format!(
                "model '{id}' cannot be compared with '{wanted}'; models.toml lists: {all}"
            ))
        })?;
        program.present()?;
        let path = self.resolve(locked)?;
        let model = ModelFile::of(locked, &path);
        readable_by_references(model)?;
        let variant = Variant { threads: Some(question.threads), ..Variant::default() };
        let small = request(model, &variant, 1);
        let facts = self.engines.open_subject(&small)?;
        let roomy = roomy_request(model, &variant, context, &facts)?;
        let (subject, reference, _) = self.engines.open_pair(program, &roomy, None)?;
        let options = TokenizeOptions { add_special: true, parse_special: false };
        let ids = reference.tokenize(question.text, options)?;
        if subject.tokenize(question.text, options)? != ids {
            return Err(Obstacle::Error(
                "the engines turn the text into different ids, so that nothing can be scored; a case \
                 of kind `tokenizer` says where they part"
                    .into(),
            ));
        }
        // As the tool demands: a single chunk says little.
        if ids.len() < 2 * context {
            return Err(Obstacle::Error(format!(
                "the text has {} ids, and two chunks of {context} are needed; give a longer text or a \
                 smaller --ctx-size",
                ids.len()
            )));
        }
        let first = first_id(&subject.tokenize("", options)?)?;
        let chunks = (ids.len() / context).min(question.chunks.unwrap_or(usize::MAX)).max(1);
        let mut scored: Vec<RowMetrics> = Vec::new();
        for (index, chunk) in ids.chunks_exact(context).take(chunks).enumerate() {
            let mut chunk = chunk.to_vec();
            if let Some(bos) = first {
                chunk[0] = bos;
            }
            let (theirs, ours) = both(
                || reference.logits(&chunk, Feed::Prefill),
                || subject.logits(&chunk, Feed::Prefill),
            )?;
            let theirs = rows(&theirs, &facts, "the reference's rows")?;
            let ours = rows(&ours, &facts, "the subject's rows")?;
            scored.extend(score(theirs, ours, &chunk, facts.vocab_size)?);
            let mean = scored.iter().map(|row| row.kl).sum::<f64>() / scored.len() as f64;
            heard(index + 1, chunks, mean);
        }
        let perplexity = perplexity(&scored)
            .ok_or_else(|| Obstacle::Error("the figures of the text are not finite".into()))?;
        Ok(ScoredText { perplexity, chunks, ids: ids.len() })
    }
}

/// The id that every chunk begins with, as a text does: that of an empty one, if the model puts any there.
fn first_id(empty: &[u32]) -> Result<Option<u32>> {
    match *empty {
        [] => Ok(None),
        [bos] => Ok(Some(bos)),
        // The tool stops here as well: a text's end would stand within the text.
        _ => Err(Obstacle::Error(format!(
            "the model puts {} ids around a text, and chunks of one have no end; perplexity is defined \
             for models that add BOS or nothing",
            empty.len()
        ))),
    }
}

/// The second half of a chunk: positions `n/2 … n − 2`, each with the id that follows.
fn score(
    theirs: &[f32],
    ours: &[f32],
    chunk: &[u32],
    vocab_size: usize,
) -> Result<Vec<RowMetrics>> {
    let first = chunk.len() / 2;
    let count = chunk.len() - 1 - first;
    let half = |label, values| Rows::new(label, vocab_size, values, 0)?.slice(first, count);
    let compare = || {
        let (theirs, ours) = (half("reference", theirs)?, half("test", ours)?);
        compare_rows(&theirs, &ours, &Targets::of_text(&chunk[first + 1..]))
    };
    compare().map_err(|error| Obstacle::Error(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows that give `id` the logit `ln(share/(1 − share))` and all others 0, in a vocabulary of two.
    fn rows_for(ids: &[u32], share: f64) -> Vec<f32> {
        let logit = (share / (1.0 - share)).ln() as f32;
        ids.iter().flat_map(|id| if *id == 0 { [logit, 0.0] } else { [0.0, logit] }).collect()
    }

    #[test]
    fn the_second_half_of_a_chunk_is_scored_each_position_with_the_id_that_follows() {
        for (length, scored) in [(8, 3), (9, 4), (64, 31)] {
            let chunk: Vec<u32> = (0..length).map(|i| u32::from(i % 3 == 0)).collect();
            // Position i gives what follows a probability of 0.8, or of 0.4 under the reference; before the
            // middle, and at the end, it is sure of the other id.
            let mut next = chunk[1..].to_vec();
            next.push(0);
            let (mut ours, mut theirs) = (rows_for(&next, 0.8), rows_for(&next, 0.4));
            for i in (0..length / 2).chain([length - 1]) {
                ours[2 * i + 1 - next[i] as usize] = 90.0;
                theirs[2 * i + 1 - next[i] as usize] = 70.0;
            }
            let rows = score(&theirs, &ours, &chunk, 2).expect("finite rows");
            assert_eq!(rows.len(), scored, "{length} ids");
            let statistics = perplexity(&rows).expect("statistics");
            let near =
                |got: f64, want: f64| assert!((got - want).abs() < 1e-6, "{got}, not {want}");
            near(statistics.ppl_q.value, 1.0 / 0.8);
            near(statistics.ppl_base.value, 1.0 / 0.4);
            near(statistics.kld.mean.value, 0.4 * 0.5f64.ln() + 0.6 * 3f64.ln());
            near(statistics.delta_p.mean.value, 0.4);
            assert_eq!((statistics.same_top.hits, statistics.same_top.of), (0, scored));
        }
    }

    #[test]
    fn a_chunk_begins_as_an_empty_text_does() {
        assert_eq!(first_id(&[]).expect("no id"), None);
        assert_eq!(first_id(&[7]).expect("BOS"), Some(7));
        let error = first_id(&[7, 8]).expect_err("BOS and EOS");
        let Obstacle::Error(why) = error else { panic!("{error:?}") };
        assert!(why.starts_with("the model puts 2 ids around a text"), "{why}");
    }
}
