//! Asks both engines for named tensors, from coarse to fine, and lets the others judge them. Memory is bounded:
//! so many positions, so many stages at a time.

use super::evaluate::{Captured, Site};
use super::graph::{Key, Node, Stage, nodes, output, stages};
use super::hypotheses::Candidates;
use super::ladder;
use super::measure::{Distance, same_bits};
use super::names::Names;
use super::origin::{Both, KAPPA, ROUNDING};
use super::question::{LocalizeError, Pair, Question, Result, ask};
use super::tokens;
use super::{Capture, DecodeDifference, Evidence, Finding, Level, Localization, Look};
use crate::backend::{BackendError, Feed, Logits};

/// Positions that are captured, from the first one; a reference computes them in one graph.
pub const MOST_POSITIONS: usize = 128;
/// Bytes of stages' outputs that are held of each engine at a time, beside the logits.
const HELD: usize = 64 << 20;
/// Stages that are looked into: the first above the floor, then those with the largest jumps.
const STAGES: usize = 4;
/// Positions at which operations are computed anew.
const COMPUTED: usize = 12;
/// Slots that are tried as stale where decoding alone differs.
const SLOTS: usize = 64;

/// Finds where the engines of `pair` part on `question`.
///
/// # Errors
/// If an engine gives no tensors, or the reference's graph has not the nodes that it is known for.
pub fn localize(pair: &mut Pair<'_>, question: &Question<'_>) -> Result<(Localization, Evidence)> {
    let ids = &question.ids[..question.ids.len().min(MOST_POSITIONS)];
    if ids.is_empty() {
        return Err(LocalizeError::Empty);
    }
    let (subject, reference) = (pair.subject.identity(), pair.reference.identity());
    let names = Names::of(&reference.name).map_err(LocalizeError::Names)?;
    let mut found = Localization {
        subject: format!("{} {}", subject.name, subject.version),
        reference: format!("{} {}", reference.name, reference.version),
        positions: ids.len(),
        positions_of_case: question.ids.len(),
        finding: Finding::Nothing,
        tokens: question.tokens.and_then(|(ours, theirs)| tokens::difference(ours, theirs)),
        capture: Capture { subject_unchanged: true, reference_unchanged: true },
        profile: Vec::new(),
        nodes: Vec::new(),
        origin: None,
        ladders: Vec::new(),
        decode: None,
    };
    let mut search = Search { pair, names, ids };
    let (ours, theirs) = search.logits(Feed::Prefill)?;
    (found.profile, found.capture) = search.profile(&ours, &theirs)?;
    let mut evidence = Evidence::default();
    for stage in candidates(&found.profile, &stages(search.pair.operations)) {
        evidence = search.look_into(stage, &mut found)?;
        if found.origin.is_some() {
            break;
        }
    }
    if found.profile.iter().all(|level| level.distance.is_some_and(|d| d.is_none())) {
        found.decode = search.decode(&ours, &theirs)?;
    }
    found.finding = finding(&found);
    Ok((found, evidence))
}

fn finding(found: &Localization) -> Finding {
    let small = |look: &Look| look.subject.distance().is_some_and(|d| !d.exceeds(ROUNDING));
    match found {
        Localization { tokens: Some(_), .. } => Finding::Tokens,
        Localization { origin: Some(_), .. } => Finding::Operation,
        Localization { decode: Some(_), .. } => Finding::Decode,
        _ if found.profile.iter().all(|l| l.distance.is_some_and(|d| d.is_none())) => {
            Finding::Nothing
        }
        _ if !found.nodes.is_empty() && found.nodes.iter().all(small) => Finding::Rounding,
        _ => Finding::Unexplained,
    }
}

/// The stages to look into, in order of suspicion.
fn candidates(profile: &[Level], stages: &[Stage]) -> Vec<Stage> {
    let differs = |level: &&(usize, &Level)| level.1.distance.is_none_or(|d| !d.is_none());
    let levels: Vec<(usize, &Level)> = profile.iter().enumerate().collect();
    let first = (levels.iter().find(|(_, level)| level.flagged)).or(levels.iter().find(differs));
    let mut chosen: Vec<usize> = first.map(|(index, _)| *index).into_iter().collect();
    let mut jumps: Vec<&(usize, &Level)> = levels.iter().filter(differs).collect();
    jumps.sort_by(|a, b| b.1.jump.unwrap_or(0.0).total_cmp(&a.1.jump.unwrap_or(0.0)));
    for (index, _) in jumps {
        if !chosen.contains(index) && chosen.len() < STAGES {
            chosen.push(*index);
        }
    }
    chosen.into_iter().map(|index| stages[index]).collect()
}

struct Search<'a, 'b> {
    pair: &'a mut Pair<'b>,
    names: Names,
    ids: &'a [u32],
}

impl Search<'_, '_> {
    /// Logits of all positions: the subject's, the reference's.
    fn logits(&mut self, feed: Feed) -> Result<(Logits, Logits)> {
        Ok((self.pair.subject.logits(self.ids, feed)?, self.pair.reference.logits(self.ids, feed)?))
    }

    fn nodes(&self, stage: Stage) -> Vec<Node> {
        nodes(self.pair.operations, stage)
    }

    /// The results of `nodes` in both engines, by our names.
    fn tap(&mut self, nodes: &[Node]) -> Result<(Captured, Captured)> {
        let own: Vec<(Key, &Node)> = nodes.iter().map(|node| (node.key.clone(), node)).collect();
        let named: Vec<(Key, &Node)> = nodes
            .iter()
            .filter_map(|node| Some((self.names.key(self.pair.operations, node)?, node)))
            .collect();
        let subject = ask(self.pair.subject, self.ids, &own)?.0;
        let reference = self.ask_reference(self.ids, &named)?;
        Ok((subject, reference))
    }

    /// Asks the reference, and holds its graph against what is known of it.
    fn ask_reference(&mut self, ids: &[u32], named: &[(Key, &Node)]) -> Result<Captured> {
        let unknown = |what: &str, names: Names, engine: &str| {
            LocalizeError::Names(format!(
                "the graph of {engine} is not the one that its names were written for ({}): {what}\n  \
                 to mend it: correct runner/src/localize/names.rs for this version",
                names.versions()
            ))
        };
        let engine = self.pair.reference.identity();
        let engine = format!("{} {}", engine.name, engine.version);
        let answer = ask(self.pair.reference, ids, named);
        let (captured, missing) = match answer {
            Err(LocalizeError::Backend(BackendError::Refused(why)))
                if why.contains("no tensor named") =>
            {
                return Err(unknown(&crate::escape::text(&why), self.names, &engine));
            }
            other => other?,
        };
        match missing.first() {
            Some(key) => Err(unknown(&format!("it has no {key}"), self.names, &engine)),
            None => Ok(captured),
        }
    }

    /// The distance of every stage's output, with the reference's own noise; and whether the captured logits are
    /// `ours` and `theirs`, which were computed without capture.
    fn profile(&mut self, ours: &Logits, theirs: &Logits) -> Result<(Vec<Level>, Capture)> {
        let (subject, reference) = (&ours.values, &theirs.values);
        let mut capture = Capture { subject_unchanged: false, reference_unchanged: false };
        let all = stages(self.pair.operations);
        let bytes =
            self.pair.operations.config().embedding_length * self.ids.len() * size_of::<f32>();
        let mut levels: Vec<Level> = Vec::new();
        for part in all.chunks((HELD / bytes).max(1)) {
            let last: Vec<Node> =
                part.iter().filter_map(|stage| self.nodes(*stage).pop()).collect();
            let (ours, theirs) = self.tap(&last)?;
            let noise = self.noise(&last, &theirs)?;
            for ((stage, node), noise) in part.iter().zip(&last).zip(noise) {
                let places: Vec<usize> = (0..self.ids.len()).collect();
                let pair = ours.get(&node.key).zip(theirs.get(&node.key));
                let distance =
                    pair.map(|(ours, theirs)| Distance::of(ours, theirs, node.columns, &places));
                let before = levels.last().and_then(|level| level.distance);
                let jump = before.zip(distance).and_then(|(before, now)| {
                    let growth = (now.relative? / before.relative?).ln();
                    growth.is_finite().then_some(growth)
                });
                let flagged = distance.is_none_or(|d| d.exceeds(KAPPA * noise));
                let (stage, tensor) = (stage.to_string(), node.key.to_string());
                levels.push(Level { stage, tensor, distance, noise, jump, flagged });
            }
            let same = |captured: &Captured, logits: &[f32]| {
                let head = captured.get(&output(Stage::Head));
                head.is_some_and(|seen| same_bits(seen, logits))
            };
            capture.subject_unchanged |= same(&ours, subject);
            capture.reference_unchanged |= same(&theirs, reference);
        }
        Ok((levels, capture))
    }

    /// How far the reference is from itself when it is fed one position less.
    fn noise(&mut self, nodes: &[Node], whole: &Captured) -> Result<Vec<f64>> {
        let fewer = self.ids.len() - 1;
        if fewer == 0 {
            return Ok(vec![0.0; nodes.len()]);
        }
        let named: Vec<(Key, &Node)> = nodes
            .iter()
            .filter_map(|node| Some((self.names.key(self.pair.operations, node)?, node)))
            .collect();
        let ids = &self.ids[..fewer];
        let part = self.ask_reference(ids, &named)?;
        let places: Vec<usize> = (0..fewer).collect();
        let size = |node: &Node| {
            let (part, whole) = part.get(&node.key).zip(whole.get(&node.key))?;
            Distance::of(part, &whole[..part.len()], node.columns, &places).relative
        };
        Ok(nodes.iter().map(|node| size(node).unwrap_or(0.0)).collect())
    }

    /// Looks at every operation of `stage`; the first that is at fault becomes the origin.
    fn look_into(&mut self, stage: Stage, found: &mut Localization) -> Result<Evidence> {
        let nodes = self.nodes(stage);
        let mut all = nodes.clone();
        // What the stage reads comes from the one before.
        let produced: Vec<&Key> = nodes.iter().map(|node| &node.key).collect();
        let read: Vec<&Key> =
            nodes.iter().flat_map(|n| &n.inputs).filter(|k| !produced.contains(k)).collect();
        let before = stages(self.pair.operations).into_iter().take_while(|s| *s < stage).last();
        if let Some(before) = before {
            all.extend(self.nodes(before).into_iter().filter(|node| read.contains(&&node.key)));
        }
        let (ours, theirs) = self.tap(&all)?;
        let positions = self.positions(found, &nodes, &ours, &theirs);
        let mut evidence = Evidence::default();
        for node in &nodes {
            let site = |captured| Site {
                operations: self.pair.operations,
                node,
                captured,
                positions: &positions,
                ids: self.ids,
            };
            let both = Both::new(stage, &nodes, site(&ours), site(&theirs));
            found.nodes.push(both.look());
            if found.origin.is_none()
                && let Some(origin) = both.origin()
            {
                found.origin = Some(origin);
                found.ladders.extend(ladder::climb(site(&ours), site(&theirs)).ok());
                evidence = both.evidence();
            }
        }
        Ok(evidence)
    }

    /// The positions at which operations are computed anew: the first three, the last one, the one where the
    /// stage differs most, and others evenly between.
    fn positions(
        &self,
        found: &Localization,
        nodes: &[Node],
        ours: &Captured,
        theirs: &Captured,
    ) -> Vec<usize> {
        let count = self.ids.len();
        if count <= COMPUTED {
            return (0..count).collect();
        }
        let places: Vec<usize> = (0..count).collect();
        let worst = nodes.iter().find_map(|node| {
            let (ours, theirs) = ours.get(&node.key).zip(theirs.get(&node.key))?;
            let distance = Distance::of(ours, theirs, node.columns, &places);
            (!distance.is_none()).then_some(distance.worst.0)
        });
        let worst = worst.or(found.profile.iter().find_map(|l| Some(l.distance?.worst.0)));
        let between = (1..COMPUTED - 4).map(|i| i * (count - 1) / (COMPUTED - 4));
        let mut chosen: Vec<usize> =
            [0, 1, 2, count - 1].into_iter().chain(worst).chain(between).collect();
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    }

    /// Where the engines part while decoding, which they do not in the prefill.
    fn decode(&mut self, ours: &Logits, theirs: &Logits) -> Result<Option<DecodeDifference>> {
        let (steps, reference_steps) = self.logits(Feed::Steps)?;
        let width = steps.vocab_size;
        let rows = steps.values.chunks(width).zip(reference_steps.values.chunks(width));
        let Some(position) = rows.into_iter().position(|(a, b)| !same_bits(a, b)) else {
            return Ok(None);
        };
        let from = position * width;
        let places: Vec<usize> = (position..self.ids.len()).collect();
        let distance =
            Distance::of(&steps.values[from..], &reference_steps.values[from..], width, &places);
        let mut candidates =
            Candidates::new(&steps.values[from..], &reference_steps.values[from..]);
        for slot in 1..=position.min(SLOTS) {
            let mut stale = self.ids.to_vec();
            stale[slot] = stale[slot - 1];
            let logits = self.pair.subject.logits(&stale, Feed::Prefill)?;
            let words = format!(
                "from position {position} on, slot {slot} of the KV cache holds the id of slot {}",
                slot - 1
            );
            candidates.add("kv-stale", words, &logits.values[from..]);
        }
        for back in 1..=position.min(2) {
            let late = &ours.values[from - back * width..ours.values.len() - back * width];
            let words = format!("each step gives the logits of {back} position(s) before");
            candidates.add("rows-late", words, late);
        }
        Ok(Some(DecodeDifference {
            position,
            distance,
            subject_consistent: same_bits(&steps.values, &ours.values),
            reference_consistent: same_bits(&reference_steps.values, &theirs.values),
            hypotheses: candidates.best(),
        }))
    }
}
