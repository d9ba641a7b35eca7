//! One operation of both engines against the same computed anew: who is at fault, and why. Asks no engine.

use super::evaluate::{Captured, Site};
use super::graph::{Node, Operation, Stage};
use super::hypotheses::{self, Hypothesis};
use super::measure::{Distance, rows, same_bits};
use super::{Alone, Evidence, Local, Look, Origin};

/// How far above the noise a difference counts.
pub(super) const KAPPA: f64 = 2.5;
/// A relative distance that another order of sums makes: an operation within it is not at fault.
pub(super) const ROUNDING: f64 = 1e-5;
/// The same for attention, where a last bit may turn a weight's rounding to f16.
const ROUNDING_OF_WEIGHTS: f64 = 5e-4;

/// What another order of sums makes of an operation.
fn rounding(operation: &Operation) -> f64 {
    if *operation == Operation::Attention { ROUNDING_OF_WEIGHTS } else { ROUNDING }
}

/// An operation's result and the same computed anew.
struct Anew {
    actual: Option<Vec<f32>>,
    expected: Result<Vec<f32>, String>,
    local: Local,
}

impl Anew {
    fn new(site: Site<'_>) -> Self {
        let node = site.node;
        let actual = site.captured.get(&node.key);
        let actual = actual.map(|values| rows(values, node.columns, site.positions));
        let expected = site.expected();
        let local = match (&actual, &expected) {
            (None, _) => Local::NotComputed("this engine has no such tensor".into()),
            (_, Err(why)) => Local::NotComputed(why.clone()),
            (Some(actual), Ok(expected)) => {
                Local::Computed(Distance::of(actual, expected, node.columns, site.positions))
            }
        };
        Self { actual, expected, local }
    }
}

/// One operation in both engines.
pub(super) struct Both<'a> {
    stage: Stage,
    nodes: &'a [Node],
    mine: Site<'a>,
    its: Site<'a>,
    subject: Anew,
    reference: Anew,
    distance: Option<Distance>,
}

impl<'a> Both<'a> {
    /// The operation of `mine`, the subject's, and `its`, the reference's, among the `nodes` of `stage`.
    pub(super) fn new(stage: Stage, nodes: &'a [Node], mine: Site<'a>, its: Site<'a>) -> Self {
        let (subject, reference) = (Anew::new(mine), Anew::new(its));
        let pair = subject.actual.as_ref().zip(reference.actual.as_ref());
        let distance = pair
            .map(|(ours, theirs)| Distance::of(ours, theirs, mine.node.columns, mine.positions));
        Self { stage, nodes, mine, its, subject, reference, distance }
    }

    /// How far the engines are apart, and what each adds.
    pub(super) fn look(&self) -> Look {
        Look {
            stage: self.stage.to_string(),
            tensor: self.mine.node.key.to_string(),
            operation: self.mine.node.operation.words(),
            distance: self.distance,
            subject: self.subject.local.clone(),
            reference: self.reference.local.clone(),
        }
    }

    /// The operation as the origin of a difference, if it is at fault.
    pub(super) fn origin(&self) -> Option<Origin> {
        let (alone, words) = fault(self)?;
        let node = self.mine.node;
        let (site, anew) = match alone {
            Alone::Reference => (self.its, &self.reference),
            Alone::Subject | Alone::Undecided => (self.mine, &self.subject),
        };
        let mut hypotheses = match (&anew.actual, &anew.expected) {
            (Some(actual), Ok(expected)) => hypotheses::explain(site, actual, expected),
            (None, _) => vec![left_out(node)],
            (Some(_), Err(_)) => Vec::new(),
        };
        if let Some(skipped) = skipped(self.stage, self.nodes, site.captured) {
            hypotheses.insert(0, skipped);
        }
        let worst = anew.local.distance().or(self.distance.as_ref());
        Some(Origin {
            stage: self.stage.to_string(),
            layer: if let Stage::Layer(layer) = self.stage { Some(layer) } else { None },
            tensor: node.key.to_string(),
            operation: node.operation.words(),
            alone,
            worst: worst.map_or((0, 0), |distance| distance.worst),
            words,
            hypotheses,
        })
    }

    /// The reference's inputs, what is expected and what was seen.
    pub(super) fn evidence(&self) -> Evidence {
        let (its, node) = (self.its, self.mine.node);
        let mut tensors = Vec::new();
        for (index, key) in node.inputs.iter().enumerate() {
            if let (Ok(values), Some(all)) = (its.x(index), its.captured.get(key)) {
                tensors.push((format!("input.{key}"), all.len() / its.ids.len(), values));
            }
        }
        for (name, anew) in [("expected", &self.reference), ("actual", &self.subject)] {
            let values = anew.actual.clone();
            tensors.extend(values.map(|values| (name.to_owned(), node.columns, values)));
        }
        let origin = Some((node.key.to_string(), node.operation.words()));
        Evidence { origin, ids: its.ids.to_vec(), positions: its.positions.to_vec(), tensors }
    }
}

/// Whether this operation is at fault, in whom, and why.
fn fault(both: &Both<'_>) -> Option<(Alone, String)> {
    let Both { subject, reference, mine, its, distance, .. } = both;
    let rounding = rounding(&mine.node.operation);
    if subject.actual.is_none() && reference.actual.is_some() {
        return Some((Alone::Subject, "the subject computes no such tensor".into()));
    }
    let percent = |distance: &Distance| format!("{:.3e}", distance.size());
    match (subject.local.distance(), reference.local.distance()) {
        (Some(ours), Some(theirs)) => {
            let floor = if theirs.is_none() { 0.0 } else { (KAPPA * theirs.size()).max(rounding) };
            if ours.exceeds(floor) {
                let words = format!(
                    "on its own inputs the subject is {} off what the operation gives, the reference {}",
                    percent(ours),
                    if theirs.is_none() { "not at all".into() } else { percent(theirs) }
                );
                return Some((Alone::Subject, words));
            }
            let floor = (KAPPA * ours.size()).max(rounding);
            let words = || {
                format!(
                    "on its own inputs the reference is {} off what the operation gives, the subject {}",
                    percent(theirs),
                    if ours.is_none() { "not at all".into() } else { percent(ours) }
                )
            };
            theirs.exceeds(floor).then(|| (Alone::Reference, words()))
        }
        (Some(ours), None) if ours.exceeds(rounding) => {
            let words = format!(
                "on its own inputs the subject is {} off what the operation gives; the reference was not \
                 looked at",
                percent(ours)
            );
            Some((Alone::Undecided, words))
        }
        (Some(_), None) => None,
        // Not computed anew: equal inputs with another output.
        (None, _) => {
            let same = |key| {
                let pair = mine.captured.get(key).zip(its.captured.get(key));
                pair.is_some_and(|(a, b)| same_bits(a, b))
            };
            let differs = distance.is_some_and(|d| d.exceeds(0.0));
            (differs && mine.node.inputs.iter().all(same)).then(|| {
                let words = "it differs while its inputs are the same; it was not computed anew";
                (Alone::Undecided, words.into())
            })
        }
    }
}

/// An operation that the subject does not have at all.
fn left_out(node: &Node) -> Hypothesis {
    Hypothesis {
        name: "operation-missing".into(),
        words: format!("the {} is left out", node.operation.words()),
        explained: 1.0,
        exact: true,
    }
}

/// A layer whose output is its input.
fn skipped(stage: Stage, nodes: &[Node], captured: &Captured) -> Option<Hypothesis> {
    let Stage::Layer(layer) = stage else { return None };
    let (input, out) = (nodes.first()?.inputs.first()?, nodes.last()?);
    let pair = captured.get(input).zip(captured.get(&out.key));
    pair.filter(|(a, b)| same_bits(a, b)).map(|_| Hypothesis {
        name: "layer-skipped".into(),
        words: format!(
            "layer {layer} hands on what it reads: it is skipped, or its matrices are empty"
        ),
        explained: 1.0,
        exact: true,
    })
}
