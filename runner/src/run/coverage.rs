//! What two engines make of one architecture in one tensor type: a tiny model is made, opened by both and
//! compared as a parity case is. Prints nothing.

use std::fs::File;
use std::path::Path;

use bitnet_engine::gguf::GgufFile;
use bitnet_engine::quant::i2_s::FileLayout;
use bitnet_engine::quantize::{Options, Plan, Target};
use bitnet_engine::synth::{SynthSpec, weight_types, write_model};

use super::engines::{Engines, ModelFile, request};
use super::outcome::{Cause, Obstacle, Outcome};
use super::parity;
use super::references::ReferenceProgram;
use crate::suite::Variant;
use crate::suite::case::{
    GreedyPolicy, Parity, Prompt, SpecialTokens, Tolerance, ToleranceClass, ToleranceOverrides,
};

/// What both engines are asked to go on from.
const PROMPT: &str = "The lighthouse keeper wrote in his log: wind from the north, 12 knots.";
/// Greedy steps after it.
const STEPS: usize = 32;
/// Largest mean KL of a match, in nats, with ternary weights and with others.
const TERNARY_KL: f64 = 1e-4;
const OTHER_KL: f64 = 1e-3;
/// References and types whose products are sums in another grouping than ours, which follow bitnet.cpp's
/// AVX2 kernels: last bits differ, and now and then one of them turns an int8 code of the next activations.
const OTHER_ARITHMETIC: [(&str, &str); 1] = [("llama-cpp", "Q6_K")];
/// Type of the embedding and the head, whatever the layers have.
const EMBEDDING: &str = "F16";

/// How an engine and a reference agree on a model.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Within the limits, with the larger of the paths' mean KL in nats.
    Match(f64),
    /// Compared and found different, with the headline.
    Mismatch(String),
    /// The reference does not open or compute it, in its own words.
    NotByReference(String),
    /// Our engine does not make or open it, in its own words.
    NotByUs(String),
    /// The reference is not here, with what provides it.
    Missing(String),
}

impl Cell {
    /// A word for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Match(_) => "match",
            Self::Mismatch(_) => "mismatch",
            Self::NotByReference(_) => "unsupported-by-reference",
            Self::NotByUs(_) => "unsupported-by-us",
            Self::Missing(_) => "missing",
        }
    }
}

/// Types that no model is made in, and that one is converted to.
const CONVERTED: [Target; 2] = [Target::Tl1, Target::Tl2];

/// Names of the tensor types that [`make`] knows.
pub fn types() -> Vec<&'static str> {
    weight_types().into_iter().chain(CONVERTED.map(Target::name)).collect()
}

/// Makes a model of `architecture` with layers of `tensor_type` at `path`: two tiny layers, or for the types
/// whose kernels are made for one shape each, one layer of a shape that there are kernels for.
///
/// # Errors
/// In words: why it cannot be made.
pub fn make(architecture: &str, tensor_type: &str, path: &Path) -> Result<(), String> {
    let Some(target) = CONVERTED.into_iter().find(|target| target.name() == tensor_type) else {
        return synthesise(architecture, "tiny", tensor_type, path);
    };
    let source = path.with_extension("source");
    synthesise(architecture, "large-layer", Target::I2S.name(), &source)?;
    let file = GgufFile::open(&source).map_err(|error| error.to_string())?;
    let plan = Plan::new(&file, Options::new(target)).map_err(|error| error.to_string())?;
    plan.write(create(path)?, |_, _| ()).map(drop).map_err(|error| error.to_string())
}

fn synthesise(
    architecture: &str,
    preset: &str,
    tensor_type: &str,
    path: &Path,
) -> Result<(), String> {
    let spec = SynthSpec::from_names(architecture, preset, tensor_type, EMBEDDING, 1)
        .map_err(|error| error.to_string())?;
    write_model(&spec, create(path)?, |_, _| ()).map(drop).map_err(|error| error.to_string())
}

fn create(path: &Path) -> Result<File, String> {
    File::create(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Compares both engines on the model at `path`.
pub fn compare(
    engines: &mut Engines,
    program: &'static ReferenceProgram,
    tensor_type: &str,
    path: &Path,
) -> Cell {
    if let Err(missing) = program.present() {
        return Cell::Missing(words(missing));
    }
    let model = ModelFile { path, i2s_layout: FileLayout::default() };
    let variant = Variant::default();
    let opened = request(model, &variant, 1);
    if let Err(why) = engines.open_subject(&opened) {
        return Cell::NotByUs(words(why));
    }
    // Alone first: what it says then is about the file.
    if let Err(why) = engines.open_reference(program, &opened) {
        return match why {
            Obstacle::Missing(why) => Cell::Missing(why),
            other => Cell::NotByReference(of_reference(&words(other), path)),
        };
    }
    let check = check(program.name, tensor_type);
    let compared = parity::run(engines, program, model, None, &check, &variant, false);
    match compared.map(|compared| compared.outcome) {
        Ok(Outcome::Passed { verdict, .. }) => {
            let paths = verdict.map(|verdict| verdict.paths).unwrap_or_default();
            Cell::Match(paths.iter().map(|path| path.summary.mean_kl).fold(0.0, f64::max))
        }
        Ok(Outcome::Failed { cause, text, .. }) => {
            let headline = text.lines().next().unwrap_or_default().to_owned();
            // It has opened what it cannot compute: its own output is no logits.
            match cause == Cause::Engine && headline.starts_with("ERROR reference ") {
                true => Cell::NotByReference(headline),
                false => Cell::Mismatch(headline),
            }
        }
        Ok(other) => Cell::Mismatch(format!("{other:?}")),
        // A reference that dies while it computes, or refuses to.
        Err(Obstacle::Error(why)) if why.starts_with(program.name) => Cell::NotByReference(why),
        Err(other) => Cell::Mismatch(words(other)),
    }
}

fn check(reference: &str, tensor_type: &str) -> Parity {
    let class = match OTHER_ARITHMETIC.contains(&(reference, tensor_type)) {
        true => ToleranceClass::CrossNumerics,
        false => ToleranceClass::SameNumerics,
    };
    let ternary = ["I2_S", "TL1", "TL2", "TQ1_0", "TQ2_0"].contains(&tensor_type);
    let mean_kl = Some(if ternary { TERNARY_KL } else { OTHER_KL });
    Parity {
        prompt: Prompt::Text(PROMPT.into()),
        special: SpecialTokens { add: true, parse: false },
        steps: STEPS,
        tolerance: Tolerance {
            class,
            tightened: ToleranceOverrides { mean_kl, ..ToleranceOverrides::default() },
        },
        greedy: GreedyPolicy::Margin,
    }
}

/// A reference's refusal without the name of a file that is gone, and without what every refusal says.
fn of_reference(why: &str, path: &Path) -> String {
    let path = path.display().to_string();
    let opening =
        format!("the reference cannot load {path:?}: the reference could not load the file; ");
    why.strip_prefix(&opening).unwrap_or(why).replace(&path, "model.gguf")
}

fn words(obstacle: Obstacle) -> String {
    match obstacle {
        Obstacle::Missing(why)
        | Obstacle::Hardware(why)
        | Obstacle::NotBuilt(why)
        | Obstacle::Error(why) => why,
        Obstacle::Load { path, why } => {
            let why = crate::escape::text(&why.to_string());
            why.replace(&format!("{}: ", path.display()), "")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_begins_with_the_references_own_words() {
        let path = Path::new("/tmp/x/0.gguf");
        let why = "the reference cannot load \"/tmp/x/0.gguf\": the reference could not load the file; \
                   no such type; failed to load model from /tmp/x/0.gguf";
        let shown = "no such type; failed to load model from model.gguf";
        assert_eq!(of_reference(why, path), shown);
        assert_eq!(of_reference("died (signal 6)", path), "died (signal 6)");
    }
}
