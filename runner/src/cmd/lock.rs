//! `parity models lock`: asks a source what it has and writes the answer into models.toml.

use std::path::Path;

use bitnet_engine::quant::i2_s::FileLayout;
use clap::Args;

use crate::escape;
use crate::exit::Exit;
use crate::manifest::{Tier, name};
use crate::models::{FetchOptions, LockedModel, ModelLock, ModelSource, look_up, write_entry};
use crate::report::{Colour, Reporter, print_line};

/// References of a new entry that names none.
const REFERENCES: [&str; 1] = ["bitnet-cpp"];
/// Revision of a hub that is asked if none is given: what the page shows.
const BRANCH: &str = "main";

/// Flags of `parity models lock`.
#[derive(Debug, Args)]
pub struct LockArgs {
    /// Id of the entry to add or to bring up to date
    #[arg(long)]
    id: String,
    /// Repository of a hub, owner/name
    #[arg(long, value_name = "OWNER/NAME", requires = "file")]
    hf: Option<String>,
    /// File in the repository
    #[arg(long, requires = "hf")]
    file: Option<String>,
    /// Branch, tag or commit of the repository; the entry gets the commit [default: main]
    #[arg(long, conflicts_with_all = ["url", "path"])]
    revision: Option<String>,
    /// URL of the file, which is downloaded to be hashed
    #[arg(long, conflicts_with_all = ["hf", "path"])]
    url: Option<String>,
    /// URL that is asked after the first one; may be repeated
    #[arg(long, requires = "url")]
    mirror: Vec<String>,
    /// File of this project, relative to models.toml
    #[arg(long, conflicts_with = "hf")]
    path: Option<String>,
    /// Lowest tier that may use the model [default: integration]
    #[arg(long, value_parser = super::fetch::tier)]
    tier: Option<Tier>,
    /// Licence of the weights, as an SPDX expression; by default what the hub states
    #[arg(long)]
    license: Option<String>,
    /// URL of terms that a user accepts once before the model is fetched
    #[arg(long, value_name = "URL")]
    terms: Option<String>,
    /// Engine that can serve as reference; may be repeated [default: bitnet-cpp]
    #[arg(long, value_name = "NAME")]
    reference: Vec<String>,
    /// How the program that made the file packs I2_S: x86, arm or four-rows [default: x86]
    #[arg(long, value_name = "LAYOUT")]
    i2s_layout: Option<FileLayout>,
    /// Ask servers without encryption on other machines too
    #[arg(long)]
    allow_http: bool,
    /// Say what would be written and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// Updates the lock of the project in `root`, which was read as `lock`.
pub(super) fn execute(root: &Path, lock: &ModelLock, args: &LockArgs, colour: Colour) -> Exit {
    let reporter = Reporter::new(false, colour);
    let known = lock.get(&args.id);
    let source = match source(args, known) {
        Ok(source) => source,
        Err(why) => {
            reporter.error(&why);
            return Exit::Usage;
        }
    };
    let options = FetchOptions::from_environment()
        .map(|options| FetchOptions { allow_http: args.allow_http, ..options });
    let found = options.and_then(|options| {
        look_up(&args.id, &source, root, &options, &|step| reporter.hear(step))
    });
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            reporter.error(&error.to_string());
            return Exit::Environment;
        }
    };
    let stated = args.license.clone().or(found.license);
    let license = match (stated, known) {
        (Some(license), _) => license,
        (None, Some(known)) => known.license.clone(),
        (None, None) => {
            reporter.error("the source states no licence; look it up and give it with --license");
            return Exit::Usage;
        }
    };
    let given = (!args.reference.is_empty()).then(|| args.reference.clone());
    let model = LockedModel {
        id: args.id.clone(),
        tier: args.tier.or(known.map(|known| known.tier)).unwrap_or(Tier::Integration),
        sha256: found.sha256,
        bytes: found.bytes,
        license,
        terms: args.terms.clone().or(known.and_then(|known| known.terms.clone())),
        references: given
            .or(known.map(|known| known.references.clone()))
            .unwrap_or(REFERENCES.map(str::to_owned).to_vec()),
        i2s_layout: args.i2s_layout.or(known.map(|known| known.i2s_layout)).unwrap_or_default(),
        source: found.source,
        line: known.map_or(0, |known| known.line),
    };
    if !args.dry_run
        && known != Some(&model)
        && let Err(error) = write_entry(Path::new(lock.path()), &model)
    {
        reporter.error(&error.to_string());
        return Exit::Environment;
    }
    print_line(&changes(known, &model, args.dry_run));
    Exit::Ok
}

/// Where to look: the flags, else where the known entry looks.
fn source(args: &LockArgs, known: Option<&LockedModel>) -> Result<ModelSource, String> {
    name::check(&args.id).map_err(|why| format!("--id: {why}; {}", name::NAME_RULE))?;
    let branch = || args.revision.clone().unwrap_or_else(|| BRANCH.to_owned());
    if let (Some(hf), Some(file)) = (&args.hf, &args.file) {
        let (repository, revision, file) = (hf.clone(), branch(), file.clone());
        return Ok(ModelSource::HuggingFace { repository, revision, file });
    }
    if let Some(url) = &args.url {
        return Ok(ModelSource::Url { url: url.clone(), mirrors: args.mirror.clone() });
    }
    if let Some(path) = &args.path {
        return Ok(ModelSource::Path(path.clone()));
    }
    match known.map(|known| known.source.clone()) {
        Some(ModelSource::HuggingFace { repository, file, .. }) => {
            Ok(ModelSource::HuggingFace { repository, revision: branch(), file })
        }
        Some(_) if args.revision.is_some() => {
            Err(format!("'{}' comes from no hub, so that it has no revision", args.id))
        }
        Some(source) => Ok(source),
        None => Err(format!(
            "models.toml has no '{}'; to add it, say where it is: --hf OWNER/NAME --file FILE, \
             --url URL, or --path PATH",
            args.id
        )),
    }
}

/// What is new, a line a key.
fn changes(known: Option<&LockedModel>, model: &LockedModel, dry_run: bool) -> String {
    let rows = |model: &LockedModel| {
        [
            ("tier", model.tier.to_string()),
            ("sha256", model.sha256.clone()),
            ("bytes", model.bytes.to_string()),
            ("license", escape::text(&model.license)),
            ("terms", escape::text(model.terms.as_deref().unwrap_or("none"))),
            ("references", escape::text(&model.references.join(", "))),
            ("i2s-layout", model.i2s_layout.to_string()),
            ("source", crate::models::Store::origin(model)),
        ]
    };
    if known == Some(model) {
        return format!("'{}' is up to date: sha256 {}", model.id, model.sha256);
    }
    let verb = match (dry_run, known.is_some()) {
        (true, _) => "would lock",
        (false, true) => "updated",
        (false, false) => "added",
    };
    let old = known.map(rows);
    let mut text = format!("{verb} '{}'", model.id);
    for (index, (key, new)) in rows(model).into_iter().enumerate() {
        match old.as_ref().map(|old| &old[index].1) {
            Some(old) if *old == new => {}
            Some(old) => text += &format!("\n    {key}: {old} -> {new}"),
            None => text += &format!("\n    {key}: {new}"),
        }
    }
    text
}
