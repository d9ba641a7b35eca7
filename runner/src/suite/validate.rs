//! From wire types to cases: the keys that all kinds share, defaults, and what is missing.
//!
//! What a kind checks is read in `checks`; files are found and read in `load`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::case::{Case, Kind, Known, KnownFailure, Tier, Variant};
use super::checks;
use super::wire::{KEYS, WireCase, WireKnownFailure, WireVariants};
use crate::manifest::diagnostic::{Diagnostic, Source, nearest};
use crate::manifest::document::{self, Table};
use crate::manifest::name;
use crate::models::ModelLock;

/// Most threads that a variant may ask for.
const MAX_THREADS: i64 = 1024;

/// Keys of which a case gives one; one of its own drops all of the defaults.
const ALTERNATIVES: [&[&str]; 2] =
    [&["prompt", "prompt-file", "prompt-tokens"], &["text", "text-file", "texts"]];

/// What all cases of a file are read with.
pub(super) struct Context<'a> {
    pub source: &'a Arc<Source>,
    pub root: &'a Path,
    pub lock: &'a ModelLock,
    pub known: &'a Known,
    pub kind: Kind,
}

/// Reads one case and collects what is wrong with it.
pub(super) struct Reader<'a> {
    pub context: &'a Context<'a>,
    /// The line `[[case]]`, for what is missing.
    pub header: Range<usize>,
    /// Whether every key of the case and of the defaults could be used. If not, a key that seems
    /// to be missing may be the one that was reported, and is not reported again.
    pub readable: bool,
    pub problems: &'a mut Vec<Diagnostic>,
}

impl Reader<'_> {
    pub fn problem(
        &mut self,
        span: Range<usize>,
        rule: impl Into<String>,
        label: impl Into<String>,
    ) {
        self.problems.push(Diagnostic::new(self.context.source, span, rule, label));
    }

    /// Reports a key that the kind cannot do without.
    pub fn required<T>(&mut self, key: &str, value: Option<T>) {
        if value.is_none() && self.readable {
            let kind = self.context.kind;
            let rule = format!("a case of kind `{kind}` needs the key `{key}`");
            self.problem(self.header.clone(), rule, format!("`{key}` is missing in this case"));
        }
    }

    /// Reports an integer outside `range`.
    pub fn integer(
        &mut self,
        key: &str,
        value: &Spanned<i64>,
        range: std::ops::RangeInclusive<i64>,
    ) -> Option<i64> {
        let number = *value.get_ref();
        if range.contains(&number) {
            return Some(number);
        }
        let rule = format!("`{key}` is between {} and {}", range.start(), range.end());
        self.problem(value.span(), rule, format!("{number} is outside"));
        None
    }

    /// Reports a text without content.
    pub fn text(&mut self, key: &str, value: Spanned<String>) -> Option<String> {
        if value.get_ref().trim().is_empty() {
            self.problem(value.span(), format!("`{key}` says nothing"), "empty");
            return None;
        }
        Some(value.into_inner())
    }
}

/// What cases fall back on.
pub(super) struct Defaults<'t> {
    table: Table<'t>,
    /// Whether every entry could be used; if not, what a case seems to lack may be there.
    readable: bool,
}

impl Defaults<'_> {
    /// No `[defaults]` in the file.
    pub fn none() -> Self {
        Self { table: Table::new(), readable: true }
    }
}

/// Reads `[defaults]`; what is wrong there is reported once and not passed on to the cases.
pub(super) fn defaults<'t>(
    context: &Context<'_>,
    value: Spanned<DeValue<'t>>,
    problems: &mut Vec<Diagnostic>,
) -> Defaults<'t> {
    let before = problems.len();
    let span = value.span();
    let DeValue::Table(mut table) = value.into_inner() else {
        problems.push(Diagnostic::new(
            context.source,
            span,
            "`defaults` has the wrong type",
            "expected the table `[defaults]`",
        ));
        return Defaults { table: Table::new(), readable: false };
    };
    if let Some((key, _)) = table.remove_entry("name") {
        problems.push(Diagnostic::new(
            context.source,
            key.span(),
            "a name is a case's own and has no default",
            "move it into a `[[case]]`",
        ));
    }
    let table = without_foreign_keys(context, table, "[defaults]", problems);
    let (_, table) = document::wire::<WireCase>(context.source, &table, "[defaults]", problems);
    Defaults { table, readable: problems.len() == before }
}

/// Reads every `[[case]]`; no case at all is a problem.
pub(super) fn cases<'t>(
    context: &Context<'_>,
    value: Option<Spanned<DeValue<'t>>>,
    defaults: &Defaults<'t>,
    problems: &mut Vec<Diagnostic>,
) -> Vec<Case> {
    let span = value.as_ref().map_or(0..0, Spanned::span);
    let tables = match value.map(Spanned::into_inner) {
        None => Vec::new(),
        Some(DeValue::Array(values)) => values.into_iter().collect(),
        Some(_) => {
            problems.push(Diagnostic::new(
                context.source,
                span,
                "`case` has the wrong type",
                "each case begins with the line `[[case]]`",
            ));
            return Vec::new();
        }
    };
    if tables.is_empty() {
        problems.push(
            Diagnostic::new(
                context.source,
                span,
                "a suite has at least one case",
                "no `[[case]]` here",
            )
            .with_help("a suite of nothing would pass; add a case or delete the file"),
        );
    }
    let mut names: BTreeMap<String, Range<usize>> = BTreeMap::new();
    let mut cases = Vec::new();
    for table in tables {
        let header = table.span();
        let DeValue::Table(table) = table.into_inner() else {
            problems.push(Diagnostic::new(
                context.source,
                header,
                "a case is a table",
                "not a table",
            ));
            continue;
        };
        let reader = Reader { context, header, readable: defaults.readable, problems };
        cases.extend(case(reader, table, defaults, &mut names));
    }
    cases
}

fn case<'t>(
    mut reader: Reader<'_>,
    own: Table<'t>,
    defaults: &Defaults<'t>,
    names: &mut BTreeMap<String, Range<usize>>,
) -> Option<Case> {
    let context = reader.context;
    let before = reader.problems.len();
    let own = without_foreign_keys(context, own, "a case", reader.problems);
    if let (Some((tokens, _)), Some((special, _))) = (
        own.get_key_value("prompt-tokens"),
        own.get_key_value("add-special").or_else(|| own.get_key_value("parse-special")),
    ) {
        let problem = Diagnostic::new(
            context.source,
            special.span(),
            "`prompt-tokens` are used as they stand",
            "nothing is added to ids or parsed in them",
        );
        reader.problems.push(problem.with_context(tokens.span(), "the ids"));
    }
    let own_tolerance = own.get_key_value("tolerance").map(|(key, _)| key.span());
    let table = with_defaults(own, &defaults.table);
    let (wire, _) = document::wire::<WireCase>(context.source, &table, "a case", reader.problems);
    reader.readable &= reader.problems.len() == before;
    if let (Some(tolerance), Some(relation)) = (own_tolerance, &wire.relation)
        && relation.get_ref().demands_equal_bits()
    {
        let rule = "a relation that demands equal bits takes no `tolerance`";
        let problem = Diagnostic::new(context.source, tolerance, rule, "it would be ignored");
        reader.problems.push(problem.with_context(relation.span(), "the relation"));
    }
    let common = Common::read(&mut reader, &wire, names);
    let check = checks::read(&mut reader, wire);
    let Common { name, analysis, model, tier, known_failure, timeout, variants } = common?;
    let asked = model.as_deref().filter(|_| context.kind.asks_reference());
    let entry = asked.and_then(|id| context.lock.get(id));
    let references = entry.map(|entry| entry.references.clone()).unwrap_or_default();
    let line = context.source.position(reader.header.start).0;
    Some(Case {
        name,
        line,
        analysis,
        model,
        references,
        tier,
        known_failure,
        timeout,
        variants,
        check: check?,
    })
}

/// The entries whose keys belong to the kind; the others become problems.
fn without_foreign_keys<'t>(
    context: &Context<'_>,
    table: Table<'t>,
    owner: &str,
    problems: &mut Vec<Diagnostic>,
) -> Table<'t> {
    let kind = context.kind;
    let of_kind: Vec<&str> =
        KEYS.iter().filter(|(_, kinds)| kinds.contains(&kind)).map(|(key, _)| *key).collect();
    let mut kept = Table::new();
    for (key, value) in table {
        let word = key.get_ref().as_ref();
        if of_kind.contains(&word) {
            kept.insert(key, value);
            continue;
        }
        let foreign = KEYS.iter().find(|(key, _)| *key == word);
        problems.push(match foreign {
            Some((_, kinds)) => {
                let kinds: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
                Diagnostic::new(
                    context.source,
                    key.span(),
                    format!("`{word}` is not a key of kind `{kind}`"),
                    format!("belongs to kind {}", document::list(&kinds)),
                )
                .with_help(format!("keys: {}", document::list(&of_kind)))
            }
            None => document::unknown_key(context.source, key.span(), word, owner, &of_kind),
        });
    }
    kept
}

/// The case's own entries over the defaults.
fn with_defaults<'t>(own: Table<'t>, defaults: &Table<'t>) -> Table<'t> {
    let mut table = defaults.clone();
    for group in ALTERNATIVES {
        if group.iter().any(|key| own.contains_key(*key)) {
            for key in group {
                table.remove(*key);
            }
        }
    }
    for (key, value) in own {
        // `insert` would keep the default's key and so its place.
        table.remove(key.get_ref().as_ref());
        table.insert(key, value);
    }
    table
}

/// What every kind of case has.
struct Common {
    name: String,
    analysis: Option<String>,
    model: Option<String>,
    tier: Tier,
    known_failure: Option<KnownFailure>,
    timeout: Option<Duration>,
    variants: Vec<Variant>,
}

impl Common {
    fn read(
        reader: &mut Reader<'_>,
        wire: &WireCase,
        names: &mut BTreeMap<String, Range<usize>>,
    ) -> Option<Self> {
        let before = reader.problems.len();
        reader.required("name", wire.name.as_ref());
        if reader.context.kind.opens_model() {
            reader.required("model", wire.model.as_ref());
        }
        reader.required("tier", wire.tier.as_ref());
        if let Some(name) = &wire.name {
            check_name(reader, name, names);
        }
        let analysis = wire.analysis.clone().and_then(|text| reader.text("analysis", text));
        let tier = wire.tier.as_ref().map(|tier| *tier.get_ref());
        if let Some(model) = &wire.model {
            check_model(reader, model, tier, wire.tier.as_ref().map(Spanned::span));
        }
        let known_failure =
            wire.known_failure.as_ref().and_then(|known| known_failure(reader, known.get_ref()));
        let timeout = wire
            .timeout_seconds
            .as_ref()
            .and_then(|seconds| reader.integer("timeout-seconds", seconds, 1..=86_400))
            .map(|seconds| Duration::from_secs(seconds.unsigned_abs()));
        let variants = match &wire.variants {
            None => vec![Variant::default()],
            Some(axes) => variants(reader, axes),
        };
        if reader.problems.len() > before {
            return None;
        }
        Some(Self {
            name: wire.name.as_ref()?.get_ref().clone(),
            analysis: analysis.map(|text| text.trim().to_owned()),
            model: wire.model.as_ref().map(|id| id.get_ref().clone()),
            tier: tier?,
            known_failure,
            timeout,
            variants,
        })
    }
}

fn check_name(
    reader: &mut Reader<'_>,
    name: &Spanned<String>,
    names: &mut BTreeMap<String, Range<usize>>,
) {
    if let Err(why) = name::check(name.get_ref()) {
        reader.problem(name.span(), name::NAME_RULE, why);
    }
    match names.get(name.get_ref()) {
        None => {
            names.insert(name.get_ref().clone(), name.span());
        }
        Some(first) => {
            let rule = format!("two cases are named `{}`", name.get_ref());
            let problem = Diagnostic::new(reader.context.source, name.span(), rule, "the second");
            reader.problems.push(
                problem
                    .with_context(first.clone(), "the first")
                    .with_help("names are unique in a file: baselines hang on them"),
            );
        }
    }
}

fn check_model(
    reader: &mut Reader<'_>,
    model: &Spanned<String>,
    tier: Option<Tier>,
    tier_span: Option<Range<usize>>,
) {
    let lock = reader.context.lock;
    let Some(entry) = lock.get(model.get_ref()) else {
        let ids: Vec<&str> = lock.models().iter().map(|entry| entry.id.as_str()).collect();
        let label = match nearest(model.get_ref(), ids.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "no such id".to_owned(),
        };
        let rule = format!("`{}` is not a model of {}", model.get_ref(), lock.path());
        let problem = Diagnostic::new(reader.context.source, model.span(), rule, label);
        reader.problems.push(problem.with_help(format!("models: {}", document::list(&ids))));
        return;
    };
    if let (Some(tier), Some(span)) = (tier, tier_span)
        && tier < entry.tier
    {
        let rule = format!("a case of tier {tier} cannot use a model of tier {}", entry.tier);
        let problem = Diagnostic::new(reader.context.source, span, rule, "below the model's tier");
        reader.problems.push(problem.with_context(model.span(), "the model"));
    }
}

fn known_failure(reader: &mut Reader<'_>, wire: &WireKnownFailure) -> Option<KnownFailure> {
    let why = reader.text("why", wire.why.clone());
    let issue = reader.integer("issue", &wire.issue, 1..=i64::from(u32::MAX));
    Some(KnownFailure { why: why?, issue: u32::try_from(issue?).ok()? })
}

/// The product of the axes, threads outermost.
fn variants(reader: &mut Reader<'_>, wire: &Spanned<WireVariants>) -> Vec<Variant> {
    let WireVariants { threads, isa } = wire.get_ref();
    if threads.is_none() && isa.is_none() {
        reader.problem(wire.span(), "`variants` names at least one axis", "no `threads`, no `isa`");
    }
    let threads = match threads {
        None => vec![None],
        Some(list) => threads_axis(reader, list).into_iter().map(Some).collect(),
    };
    let isas: Vec<Option<String>> = match isa {
        None => vec![None],
        Some(list) => axis(reader, "isa", list)
            .into_iter()
            .map(|isa| Some(isa.get_ref().name().to_owned()))
            .collect(),
    };
    threads
        .iter()
        .flat_map(|threads| isas.iter().map(|isa| Variant { threads: *threads, isa: isa.clone() }))
        .collect()
}

/// Numbers of threads, each in range, none twice.
pub(super) fn threads_axis(
    reader: &mut Reader<'_>,
    list: &Spanned<Vec<Spanned<i64>>>,
) -> Vec<usize> {
    axis(reader, "threads", list)
        .into_iter()
        .filter_map(|value| reader.integer("threads", value, 1..=MAX_THREADS))
        .filter_map(|value| usize::try_from(value).ok())
        .collect()
}

/// The values of an axis; an empty axis or a repeated value is a problem.
pub(super) fn axis<'v, T: PartialEq>(
    reader: &mut Reader<'_>,
    key: &str,
    list: &'v Spanned<Vec<Spanned<T>>>,
) -> Vec<&'v Spanned<T>> {
    if list.get_ref().is_empty() {
        reader.problem(list.span(), format!("`{key}` has at least one value"), "empty");
    }
    let mut values: Vec<&Spanned<T>> = Vec::new();
    for value in list.get_ref() {
        if values.iter().any(|earlier| earlier.get_ref() == value.get_ref()) {
            reader.problem(value.span(), format!("`{key}` names each value once"), "repeated");
        } else {
            values.push(value);
        }
    }
    values
}
