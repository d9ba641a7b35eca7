//! A golden as bytes, as docs/goldens.md describes them. Reading refuses whatever is not whole, and checks
//! every figure that a comparison divides by or takes as an index.

use super::bytes::{Reader, Result, Writer};
use super::document::{Answer, Back, Golden, Header, ParityAnswer, StoredTokens, TextAnswer};
use crate::compare::NoiseProfile;
use crate::compare::golden::{HEAD_TOKENS, PROJECTIONS, PathDigest, RowDigest, RowFigures, Sketch};

/// The first bytes of every golden; the digit is the version.
const MAGIC: &[u8; 8] = b"golden1\n";

impl Golden {
    /// The golden's bytes.
    ///
    /// # Errors
    /// If the header has no JSON.
    pub fn encode(&self) -> serde_json::Result<Vec<u8>> {
        let mut to = Writer::default();
        to.bytes.extend(MAGIC);
        to.blob(&serde_json::to_vec(&self.header)?);
        match &self.answer {
            Answer::Parity(answer) => {
                to.bytes.push(b'p');
                parity(&mut to, answer)?;
            }
            Answer::Tokenizer(texts) => {
                to.bytes.push(b't');
                to.count(texts.len() as u64);
                for text in texts {
                    for (ids, tokens) in [&text.asked, &text.plain] {
                        to.ids(ids);
                        stored_tokens(&mut to, tokens);
                    }
                }
            }
        }
        Ok(to.bytes)
    }

    /// Reads a golden.
    ///
    /// # Errors
    /// What is wrong with the bytes, in words.
    pub fn decode(bytes: &[u8]) -> std::result::Result<Self, String> {
        let mut from = Reader::new(bytes);
        if from.array::<8>("the first line")? != *MAGIC {
            return Err("it does not begin as a golden of version 1".to_owned());
        }
        let header: Header = serde_json::from_slice(from.blob("the header")?)
            .map_err(|error| format!("the header: {error}"))?;
        let vocab_size = header.facts.vocab_size;
        if u32::try_from(vocab_size).is_err() || vocab_size < 2 {
            return Err(format!("a vocabulary of {vocab_size}"));
        }
        let answer = match from.byte("the kind")? {
            b'p' => Answer::Parity(Box::new(read_parity(&mut from, vocab_size)?)),
            b't' => {
                let texts = from.count("texts")?;
                let read = |from: &mut Reader<'_>| -> Result<_> {
                    let ids = from.ids(vocab_size, "ids of a text")?;
                    let tokens = read_tokens(from, ids.len())?;
                    Ok((ids, tokens))
                };
                let text = |_| Ok(TextAnswer { asked: read(&mut from)?, plain: read(&mut from)? });
                Answer::Tokenizer((0..texts).map(text).collect::<Result<_>>()?)
            }
            kind => return Err(format!("kind {kind} is none")),
        };
        from.end()?;
        Ok(Self { header, answer })
    }
}

fn stored_tokens(to: &mut Writer, tokens: &StoredTokens) {
    tokens.byte_lengths.iter().for_each(|len| to.count(*len as u64));
    let (kind, bytes) = match &tokens.back {
        Back::Before(bytes) => (0, bytes),
        Back::Bytes(bytes) => (1, bytes),
    };
    to.bytes.push(kind);
    to.blob(bytes);
}

fn read_tokens(from: &mut Reader<'_>, ids: usize) -> Result<StoredTokens> {
    let length = |from: &mut Reader<'_>| {
        let value = from.number("bytes of an id")?;
        usize::try_from(value).map_err(|_| format!("an id stands for {value} bytes"))
    };
    let byte_lengths = (0..ids).map(|_| length(from)).collect::<Result<_>>()?;
    let kind = from.byte("how the bytes are kept")?;
    let bytes = from.blob("bytes of a text")?.to_vec();
    let back = match kind {
        0 => Back::Before(bytes),
        1 => Back::Bytes(bytes),
        other => return Err(format!("bytes kept in way {other}")),
    };
    Ok(StoredTokens { byte_lengths, back })
}

fn parity(to: &mut Writer, answer: &ParityAnswer) -> serde_json::Result<()> {
    to.ids(&answer.prompt);
    to.bytes.push(u8::from(answer.tokens.is_some()));
    answer.tokens.iter().for_each(|tokens| stored_tokens(to, tokens));
    to.ids(&answer.chosen);
    to.blob(&answer.noise.as_ref().map_or(Ok(Vec::new()), serde_json::to_vec)?);
    path(to, &answer.prefill);
    // The decode path mostly has the bits of the prefill: then its rows are those.
    let shared = steps_of(&answer.prefill, answer.prompt.len(), &answer.chosen);
    let same = shared.as_ref() == Some(&answer.steps.rows);
    to.bytes.push(u8::from(same));
    if same {
        to.bytes.extend(answer.steps.sha256);
    } else {
        path(to, &answer.steps);
    }
    Ok(())
}

fn read_parity(from: &mut Reader<'_>, vocab_size: usize) -> Result<ParityAnswer> {
    let prompt = from.ids(vocab_size, "ids of the prompt")?;
    if prompt.is_empty() {
        return Err("the prompt has no id".to_owned());
    }
    let tokens = match from.byte("whether the prompt was text")? {
        0 => None,
        1 => Some(read_tokens(from, prompt.len())?),
        other => return Err(format!("a prompt of kind {other}")),
    };
    let chosen = from.ids(vocab_size, "choices")?;
    let noise: Option<NoiseProfile> = match from.blob("the self-noise")? {
        [] => None,
        json => Some(serde_json::from_slice(json).map_err(|e| format!("the self-noise: {e}"))?),
    };
    if noise.is_some() == chosen.is_empty() {
        return Err("self-noise belongs to choices".to_owned());
    }
    let prefill = read_path(from, prompt.len() + chosen.len().saturating_sub(1), vocab_size)?;
    let steps = match from.byte("how the decode path is kept")? {
        0 => read_path(from, chosen.len(), vocab_size)?,
        1 => {
            let sha256 = from.array("the hash of the decode path")?;
            let rows = steps_of(&prefill, prompt.len(), &chosen)
                .ok_or("the prefill has no row for a choice")?;
            PathDigest { sha256, rows }
        }
        other => return Err(format!("a decode path kept in way {other}")),
    };
    Ok(ParityAnswer { prompt, tokens, chosen, prefill, steps, noise })
}

/// The prefill's rows that belong to the choices, with the choice as what follows: it is the best token.
fn steps_of(prefill: &PathDigest, prompt_len: usize, chosen: &[u32]) -> Option<Vec<RowDigest>> {
    let rows = prefill.rows.get(prompt_len - 1..prompt_len - 1 + chosen.len())?;
    let of = |(row, chosen): (&RowDigest, &u32)| {
        let next = |f: &RowFigures| f.head.iter().find(|(id, _)| id == chosen).map(|(_, v)| *v);
        let figures = row.figures.clone().map(|f| RowFigures { next: next(&f), ..f });
        RowDigest { bits: row.bits, figures }
    };
    Some(rows.iter().zip(chosen).map(of).collect())
}

fn path(to: &mut Writer, path: &PathDigest) {
    to.bytes.extend(path.sha256);
    for row in &path.rows {
        to.bytes.extend(row.bits);
        to.bytes.push(match &row.figures {
            None => 0,
            Some(figures) => 1 + u8::from(figures.next.is_some()),
        });
        row.figures.iter().for_each(|figures| row_figures(to, figures));
    }
}

fn row_figures(to: &mut Writer, figures: &RowFigures) {
    for (id, logit) in &figures.head {
        to.count(u64::from(*id));
        to.f32(*logit);
    }
    for value in [figures.ln_z, figures.mean, figures.spread, figures.best_spread] {
        to.f64(value);
    }
    figures.next.iter().for_each(|logit| to.f32(*logit));
    to.f32(figures.sketch.scale);
    figures.sketch.codes.iter().for_each(|code| to.bytes.extend(code.to_le_bytes()));
}

fn read_path(from: &mut Reader<'_>, rows: usize, vocab_size: usize) -> Result<PathDigest> {
    let sha256 = from.array("the hash of a path")?;
    let row = |_| {
        let bits = from.array("the hash of a row")?;
        let figures = match from.byte("whether a row has figures")? {
            0 => None,
            kind @ (1 | 2) => Some(read_figures(from, vocab_size, kind == 2)?),
            other => return Err(format!("a row of kind {other}")),
        };
        Ok(RowDigest { bits, figures })
    };
    Ok(PathDigest { sha256, rows: (0..rows).map(row).collect::<Result<_>>()? })
}

fn read_figures(from: &mut Reader<'_>, vocab_size: usize, next: bool) -> Result<RowFigures> {
    let mut head: Vec<(u32, f32)> = Vec::with_capacity(HEAD_TOKENS);
    for _ in 0..HEAD_TOKENS.min(vocab_size) {
        let kept = (from.id(vocab_size, "a best token")?, from.f32("a best logit")?);
        if head.iter().any(|(id, _)| *id == kept.0) || head.last().is_some_and(|l| l.1 < kept.1) {
            return Err("its best tokens are not in order".to_owned());
        }
        head.push(kept);
    }
    let mut figure = |what| from.f64(what);
    let (ln_z, mean) = (figure("ln Σ e^r")?, figure("a mean")?);
    let (spread, best_spread) = (figure("a spread")?, figure("a spread of the best")?);
    // Every figure of a row is divided by these.
    if spread <= 0.0 || best_spread <= 0.0 || ln_z < f64::from(head[0].1) {
        return Err("the figures of a row are not those of any row".to_owned());
    }
    let next = if next { Some(from.f32("the logit of what follows")?) } else { None };
    let scale = from.f32("the scale of a projection")?;
    if scale < 0.0 {
        return Err("a projection has a negative scale".to_owned());
    }
    let mut codes = [0_i16; PROJECTIONS];
    for code in &mut codes {
        *code = i16::from_le_bytes(from.array("a projection")?);
    }
    let sketch = Sketch { scale, codes };
    Ok(RowFigures { head, ln_z, mean, spread, best_spread, next, sketch })
}
