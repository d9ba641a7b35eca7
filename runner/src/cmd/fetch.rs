//! `parity fetch`: verified files for the models of the lock, and a cache without garbage.

#![expect(clippy::print_stderr, reason = "a command prints its complaints")]

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use clap::Args;
use serde::Serialize;

use super::manifest;
use super::run::Format;
use crate::escape;
use crate::exit::Exit;
use crate::manifest::{Tier, diagnostic::nearest};
use crate::models::{
    FetchOptions, How, LockedModel, ModelLock, ModelSource, Provided, State, Store, StoreError,
};
use crate::report::{Colour, Reporter, print_line, rate};

/// Flags of `parity fetch`.
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// Ids of models; all of models.toml if none is given
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// Id of a model, the same as without --id
    #[arg(long = "id", value_name = "ID")]
    more_ids: Vec<String>,
    /// Only models of tiers up to and including this one
    #[arg(long, value_name = "TIER", value_parser = tier)]
    tier: Option<Tier>,
    /// Hash files again that were verified before
    #[arg(long)]
    verify: bool,
    /// Say what would be done and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Open no connection; also BITNET_OFFLINE=1 or HF_HUB_OFFLINE=1
    #[arg(long)]
    offline: bool,
    /// Fetch without encryption from other machines too
    #[arg(long)]
    allow_http: bool,
    /// Accept the terms of this model
    #[arg(long, value_name = "ID")]
    accept_terms: Vec<String>,
    /// Models that are fetched at the same time
    #[arg(short, long, value_name = "N", default_value_t = 4,
          value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
    /// Remove from the cache what models.toml does not know, unfinished and wrong files
    #[arg(long, conflicts_with_all = ["ids", "more_ids", "tier", "verify", "accept_terms"])]
    gc: bool,
    /// How to print results
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Print results, warnings and errors only
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn tier(word: &str) -> Result<Tier, String> {
    let names = Tier::ALL.map(Tier::name);
    let found = Tier::ALL.into_iter().find(|tier| tier.name() == word);
    found.ok_or_else(|| format!("allowed are {}", names.join(" and ")))
}

/// One line of JSON.
#[derive(Debug, Serialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
enum Line<'a> {
    Model {
        id: &'a str,
        state: &'static str,
        path: Option<String>,
        bytes: u64,
        seconds: f64,
        source: Option<String>,
        error: Option<String>,
    },
    Removed {
        path: String,
        bytes: u64,
        dry_run: bool,
    },
    Summary {
        models: usize,
        failed: usize,
        seconds: f64,
    },
    #[serde(rename = "summary")]
    GcSummary {
        removed: usize,
        bytes: u64,
        busy: usize,
        dry_run: bool,
    },
}

/// Fetches for the project in `root`.
pub fn execute(root: &Path, args: &FetchArgs, colour: Colour) -> Exit {
    let lock = match manifest::lock(root, colour) {
        Ok(lock) => lock,
        Err(exit) => return exit,
    };
    let reporter = Reporter::new(args.quiet, colour);
    let models = match selection(&lock, args) {
        Ok(models) => models,
        Err((exit, text)) => {
            reporter.error(&text);
            return exit;
        }
    };
    let prepared = Store::from_environment(root).and_then(|store| {
        let mut options = FetchOptions::from_environment()?;
        options.verify = args.verify;
        options.offline |= args.offline;
        options.allow_http = args.allow_http;
        options.accepted_terms = args.accept_terms.clone();
        Ok((store, options))
    });
    let (store, mut options) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            reporter.error(&error.to_string());
            return Exit::Environment;
        }
    };
    let job = Job { args, reporter: &reporter, store: &store };
    if args.gc {
        return job.clean(&lock);
    }
    if args.dry_run {
        return job.dry_run(&models, &options);
    }
    ask_for_terms(&store, &models, &mut options);
    job.fetch(&models, &options)
}

/// The models that the flags select, in the order of the lock.
fn selection<'l>(
    lock: &'l ModelLock,
    args: &FetchArgs,
) -> Result<Vec<&'l LockedModel>, (Exit, String)> {
    let ids: Vec<&String> = args.ids.iter().chain(&args.more_ids).collect();
    for id in ids.iter().copied().chain(&args.accept_terms) {
        if lock.get(id).is_none() {
            let known = lock.models().iter().map(|model| &*model.id);
            let near = match nearest(id, known) {
                Some(near) => format!("did you mean '{near}'?"),
                None => "`parity models list` shows all".to_owned(),
            };
            return Err((Exit::Usage, format!("models.toml has no model '{id}'; {near}")));
        }
    }
    let chosen = |model: &&LockedModel| {
        (ids.is_empty() || ids.contains(&&model.id)) && args.tier.is_none_or(|t| model.tier <= t)
    };
    let models: Vec<&LockedModel> = lock.models().iter().filter(chosen).collect();
    if models.is_empty() {
        let tier = args.tier.map_or("", Tier::name);
        return Err((Exit::NothingSelected, format!("no such model is of tier {tier} or below")));
    }
    Ok(models)
}

/// Asks on a terminal; elsewhere the models without accepted terms fail and say what to do.
fn ask_for_terms(store: &Store, models: &[&LockedModel], options: &mut FetchOptions) {
    let (mut stdin, terminal) = (std::io::stdin().lock(), std::io::stderr().is_terminal());
    for model in models {
        let Some(terms) = &model.terms else { continue };
        let open = store.has_open_terms(model)
            && !options.accepted_terms.contains(&model.id)
            && !matches!(store.state(model), State::Verified | State::Unverified);
        if !open || !terminal || !stdin.is_terminal() {
            continue;
        }
        let (id, license) = (&model.id, escape::text(&model.license));
        eprint!("Model '{id}' has terms: {license}, {}\nAccept them? [y/N] ", escape::text(terms));
        let _ = std::io::stderr().flush();
        let mut answer = String::new();
        let read = stdin.read_line(&mut answer);
        if read.is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
            options.accepted_terms.push(id.clone());
        }
    }
}

/// A call of the command.
struct Job<'a> {
    args: &'a FetchArgs,
    reporter: &'a Reporter,
    store: &'a Store,
}

impl Job<'_> {
    fn fetch(&self, models: &[&LockedModel], options: &FetchOptions) -> Exit {
        let begun = Instant::now();
        let queue = Mutex::new(models.iter().copied());
        let failed = Mutex::new(0);
        let next = || queue.lock().ok().and_then(|mut queue| queue.next());
        thread::scope(|scope| {
            for _ in 0..models.len().min(self.args.jobs.into()) {
                scope.spawn(|| {
                    while let Some(model) = next() {
                        if !self.fetch_one(model, options)
                            && let Ok(mut failed) = failed.lock()
                        {
                            *failed += 1;
                        }
                    }
                });
            }
        });
        let failed = failed.into_inner().unwrap_or_else(|broken| broken.into_inner());
        let seconds = begun.elapsed().as_secs_f64();
        self.json(&Line::Summary { models: models.len(), failed, seconds });
        match failed {
            0 => Exit::Ok,
            1 if models.len() == 1 => Exit::Environment,
            _ => {
                let count = models.len();
                self.reporter.error(&format!("{failed} of {count} models could not be had"));
                Exit::Environment
            }
        }
    }

    /// Whether the model is verified now.
    fn fetch_one(&self, model: &LockedModel, options: &FetchOptions) -> bool {
        let begun = Instant::now();
        // A wait for another process is no time of ours, but it is time that passed.
        let provided = self.store.fetch(model, options, &|step| self.reporter.hear(step));
        let time = begun.elapsed();
        if let Ok(Provided { how: How::Fetched(source), .. }) = &provided {
            let (id, bytes, rate) = (&model.id, model.bytes, rate(model.bytes, time));
            let seconds = time.as_secs_f64();
            let text = format!("{id} ({bytes} bytes in {seconds:.1} s, {rate}) from {source}");
            self.reporter.status("Fetched", &text);
        }
        self.tell(model, &provided, time.as_secs_f64());
        provided.is_ok()
    }

    fn tell(&self, model: &LockedModel, provided: &Result<Provided, StoreError>, seconds: f64) {
        let (state, path, source, error) = match provided {
            Ok(Provided { path, how }) => {
                let (state, source) = match how {
                    How::Present => ("present", None),
                    How::Verified => ("verified", None),
                    How::Made => ("made", None),
                    How::Fetched(source) => ("fetched", Some(source.clone())),
                };
                (state, Some(path.display().to_string()), source, None)
            }
            Err(error) => ("failed", None, None, Some(escape::text(&error.to_string()))),
        };
        if let Some(error) = &error {
            self.reporter.error(error);
        } else if let (Format::Human, Some(path)) = (self.args.format, &path) {
            self.reporter.print(path);
        }
        let (id, bytes) = (&*model.id, model.bytes);
        self.json(&Line::Model { id, state, path, bytes, seconds, source, error });
    }

    fn dry_run(&self, models: &[&LockedModel], options: &FetchOptions) -> Exit {
        let (all_begun, mut failed) = (Instant::now(), 0);
        for model in models {
            // Looking is all that is ever done with a file of the user's own.
            if matches!(model.source, ModelSource::Path(_)) {
                failed += usize::from(!self.fetch_one(model, options));
                continue;
            }
            let begun = Instant::now();
            let found = match (self.store.state(model), options.verify) {
                (State::Verified, false) => Some("present"),
                (State::Verified | State::Unverified, _) => {
                    let right = self.store.inspect(model, &|step| self.reporter.hear(step));
                    right.then_some("verified")
                }
                _ => None,
            };
            let path = self.store.place(model).display().to_string();
            let state = match (&model.source, found) {
                (_, Some(state)) => state,
                (ModelSource::Synth(_), None) => "would-make",
                (_, None) => "would-fetch",
            };
            let source = found.is_none().then(|| Store::origin(model));
            if let Some(source) = &source {
                let (id, bytes) = (&model.id, model.bytes);
                let verb = if state == "would-make" { "Would make" } else { "Would fetch" };
                self.reporter
                    .status(verb, &format!("{id} ({bytes} bytes) from {source} to {path}"));
            } else if self.args.format == Format::Human {
                self.reporter.print(&path);
            }
            let (id, bytes, error) = (&*model.id, model.bytes, None);
            let (path, seconds) = (Some(path), begun.elapsed().as_secs_f64());
            self.json(&Line::Model { id, state, path, bytes, seconds, source, error });
        }
        let seconds = all_begun.elapsed().as_secs_f64();
        self.json(&Line::Summary { models: models.len(), failed, seconds });
        if failed == 0 { Exit::Ok } else { Exit::Environment }
    }

    fn clean(&self, lock: &ModelLock) -> Exit {
        let dry_run = self.args.dry_run;
        let cleaned = match self.store.clean(lock, dry_run) {
            Ok(cleaned) => cleaned,
            Err(error) => {
                self.reporter.error(&error.to_string());
                return Exit::Environment;
            }
        };
        for folder in &cleaned.busy {
            let folder = folder.display();
            self.reporter.warn(&format!("{folder} may be in use by another process: left alone"));
        }
        let sum: u64 = cleaned.removed.iter().map(|garbage| garbage.bytes).sum();
        for garbage in &cleaned.removed {
            let (path, bytes) = (garbage.path.display().to_string(), garbage.bytes);
            if self.args.format == Format::Human {
                print_line(&format!("{bytes:>14} {}", escape::text(&path)));
            }
            self.json(&Line::Removed { path, bytes, dry_run });
        }
        let removed = cleaned.removed.len();
        let verb = if dry_run { "Would remove" } else { "Removed" };
        if removed > 0 {
            self.reporter.status(verb, &format!("{removed} files and folders, {sum} bytes"));
        }
        self.json(&Line::GcSummary { removed, bytes: sum, busy: cleaned.busy.len(), dry_run });
        Exit::Ok
    }

    /// A line of JSON, where JSON is wished.
    fn json(&self, line: &Line<'_>) {
        // Numbers and text always have a JSON.
        if let (Format::Json, Ok(text)) = (self.args.format, serde_json::to_string(line)) {
            self.reporter.print(&text);
        }
    }
}
