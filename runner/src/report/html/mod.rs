//! Receipts as one HTML file that needs nothing from elsewhere. It reads no file and computes no verdict:
//! what it shows stands in the receipts.

mod bench;
mod chart;
mod localized;
mod page;
mod parity;
mod rows;
mod scale;

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::backend::Identity;
use crate::escape;
use crate::localize::Localization;
use crate::machine::Machine;
use crate::receipt::{BenchReceipt, ParityReceipt};
use page::{Entry, Mood};

/// Cases without a finding that get charts all the same, the worst first: a page of thousands must still
/// open.
const MOST_DETAILED: usize = 300;

/// What a page is made of.
#[derive(Debug, Default)]
pub struct Input {
    /// Of the page.
    pub title: String,
    /// Receipts of benchmarks, in any order.
    pub bench: Vec<BenchReceipt>,
    /// Receipts of comparisons, in any order.
    pub parity: Vec<ParityReceipt>,
    /// Trials and what `parity localize` found of them.
    pub localized: Vec<(String, Localization)>,
    /// Bytes a second that the machine's memory gives, where they were measured.
    pub bandwidth: Option<f64>,
}

/// The page. Of receipts of the same case and reference (and, of benchmarks, machine) the newest is shown
/// and the others are its history.
pub fn document(input: &Input) -> String {
    let mut machines = Machines::default();
    for receipt in &input.parity {
        machines.number(&receipt.machine);
    }
    let mut entries = comparisons(&input.parity, &input.localized);
    entries.extend(benchmarks(&input.bench, input.bandwidth, &mut machines));
    let times = || {
        let parity = input.parity.iter().map(|receipt| receipt.time.as_str());
        parity.chain(input.bench.iter().map(|receipt| receipt.time.as_str()))
    };
    let mut basis = vec![format!("{} receipts", input.parity.len() + input.bench.len())];
    if let (Some(first), Some(last)) = (times().min(), times().max()) {
        basis.push(escape::text(&format!("from {first} to {last}")));
    }
    basis.extend(machines.names());
    page::document(&page::Frame { title: escape::text(&input.title), basis }, entries)
}

fn comparisons(receipts: &[ParityReceipt], localized: &[(String, Localization)]) -> Vec<Entry> {
    let mut groups: BTreeMap<(&str, Option<&str>), Vec<&ParityReceipt>> = BTreeMap::new();
    for receipt in receipts {
        groups.entry((&receipt.case.id, receipt.against.as_deref())).or_default().push(receipt);
    }
    let mut groups: Vec<Vec<&ParityReceipt>> = groups.into_values().collect();
    groups.iter_mut().for_each(|group| group.sort_by(|a, b| a.time.cmp(&b.time)));
    let detailed = detailed(&groups, |group| {
        let newest = group.last()?;
        let kl = newest.metrics.as_ref().map_or(0.0, |metrics| metrics.mean_kl);
        Some((parity::mood(newest), -kl))
    });
    let entries = groups.iter().zip(detailed);
    let entry = |(group, detailed): (&Vec<&ParityReceipt>, bool)| {
        let newest = group.last()?;
        let of_it = localized.iter().find(|(id, found)| {
            // A receipt's id has no tier, and a finding has the reference's version behind its name.
            id.split_once("::").is_some_and(|(_, id)| id == newest.case.id)
                && newest.against.as_deref() == found.reference.split(' ').next()
        });
        parity::entry(group, detailed, of_it.map(|(_, found)| localized::section(found)))
    };
    entries.filter_map(entry).collect()
}

fn benchmarks<'a>(
    receipts: &'a [BenchReceipt],
    bandwidth: Option<f64>,
    machines: &mut Machines<'a>,
) -> Vec<Entry> {
    let mut groups: BTreeMap<(&str, &str, usize), Vec<&BenchReceipt>> = BTreeMap::new();
    for receipt in receipts {
        let machine = machines.number(&receipt.machine);
        let key = (&*receipt.case.id, &*receipt.reference.name, machine);
        groups.entry(key).or_default().push(receipt);
    }
    let mut groups: Vec<Vec<&BenchReceipt>> = groups.into_values().collect();
    groups.iter_mut().for_each(|group| group.sort_by(|a, b| a.time.cmp(&b.time)));
    let detailed = detailed(&groups, |group| {
        let newest = group.last()?;
        let nearest = newest.measured.iter().map(|m| m.metrics.speed_ratio / m.limit);
        Some((bench::mood(newest.verdict.word), nearest.fold(f64::INFINITY, f64::min)))
    });
    let entries = groups.iter().zip(detailed);
    entries.filter_map(|(group, detailed)| bench::entry(group, detailed, bandwidth)).collect()
}

/// Which of `items` get charts: all that need a look, and of the others those with the smallest figure.
fn detailed<T>(items: &[T], of: impl Fn(&T) -> Option<(Mood, f64)>) -> Vec<bool> {
    let judged: Vec<Option<(Mood, f64)>> = items.iter().map(of).collect();
    let mut good: Vec<(f64, usize)> = judged
        .iter()
        .enumerate()
        .filter_map(|(index, judged)| match judged {
            Some((Mood::Good, figure)) => Some((*figure, index)),
            _ => None,
        })
        .collect();
    good.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut detailed: Vec<bool> =
        judged.iter().map(|judged| judged.is_none_or(|(mood, _)| mood != Mood::Good)).collect();
    good.iter().take(MOST_DETAILED).for_each(|(_, index)| detailed[*index] = true);
    detailed
}

/// Machines, told apart by their hard keys.
#[derive(Default)]
struct Machines<'a>(Vec<(&'a Machine, String)>);

impl<'a> Machines<'a> {
    fn number(&mut self, machine: &'a Machine) -> usize {
        let known = self.0.iter().position(|(known, _)| known.hard == machine.hard);
        known.unwrap_or_else(|| {
            self.0.push((machine, machine.fingerprint()));
            self.0.len() - 1
        })
    }

    fn names(self) -> impl Iterator<Item = String> {
        self.0.into_iter().map(|(_, name)| format!("machine {}", escape::text(&name)))
    }
}

/// What stands where charts are left out.
fn undetailed() -> Markup {
    html! {
        p.faint {
            "Charts are drawn of the cases that need a look and of the " (MOST_DETAILED)
            " others that are nearest to their limit; name fewer receipts to see this one's."
        }
    }
}

/// An engine in a line.
fn identity(identity: &Identity) -> String {
    let Identity { name, version, source, build } = identity;
    escape::text(&format!("{name} {version} ({source}), {build}"))
}

/// A digest.
fn sha256(digest: &str) -> Markup {
    html! { code { (escape::text(digest)) } }
}
