//! Thirty faults put into the engine on purpose: the parity gate catches each, and localisation says where
//! and why. The table is printed; what it must show is asserted.

mod damage;
mod kernels;
mod subject;

use std::path::Path;
use std::sync::Arc;

use bitnet_engine::gguf::GgufFile;
use bitnet_engine::model::{Activation, RopeStyle};
use bitnet_runner::compare::Word;
use bitnet_runner::localize::{Finding, Localization, report, reproducer, safetensors, vote};
use bitnet_runner::run::{Engines, Obstacle, Outcome, Project, Runner, Settings};
use bitnet_runner::suite::Trial;
use subject::{Fault, Faulty};

/// Ternary weights, an F32 head: nothing is rounded that the layers do not round.
const TERNARY: &str = "ci-light::parity::types::i2s-f32";
/// RoPE stretched by a factor of the file.
const STRETCHED: &str = "ci-light::parity::architectures::llama-linear-rope";

/// One per cent in one matrix of the last layer stays within the contract: the gate warns, and a norm behind
/// it takes most of the error away.
const DRIFTS: &str = "scale of one matrix × 1.01";

/// A fault, and what must be said of it.
struct Row {
    fault: &'static str,
    inject: Fault,
    trial: &'static str,
    /// Tensors that may be named, by their place in the graph; `ids` for the tokeniser.
    tensors: &'static [&'static str],
    /// The hypothesis that must come first.
    cause: &'static str,
}

fn row(
    fault: &'static str,
    inject: Fault,
    tensors: &'static [&'static str],
    cause: &'static str,
) -> Row {
    Row { fault, inject, trial: TERNARY, tensors, cause }
}

fn rows() -> Vec<Row> {
    use Fault::{CacheNotCleared, Config, File, Kernels, Logits, NoBos, StaleStep};
    let stretched = Config(|config| config.rope_scaling.frequency = 1.0);
    vec![
        row("BOS dropped", NoBos, &["ids"], "bos-missing"),
        row(
            "SiLU for ReLU²",
            Config(|c| c.graph.activation = Activation::Silu),
            &["ffn_out-0"],
            "silu",
        ),
        row("ReLU without its square", Kernels(kernels::unsquared_gate), &["ffn_out-0"], "relu"),
        row("ε 1e-2", Config(|c| c.rms_epsilon = 1e-2), &["attn_norm-0"], "epsilon"),
        row("LayerNorm for RMS norm", Kernels(kernels::layer_norm), &["attn_norm-0"], "layer-norm"),
        row("RoPE base 1e4", Config(|c| c.rope_base = 1e4), &["Qcur-0#1"], "rope-base"),
        row(
            "RoPE over neighbours",
            Config(|c| c.graph.rope = RopeStyle::Norm),
            &["Qcur-0#1"],
            "rope-layout",
        ),
        row("cache not cleared: positions + 1", CacheNotCleared, &["Qcur-0#1"], "rope-offset"),
        Row {
            trial: STRETCHED,
            ..row("RoPE not stretched", stretched, &["Qcur-0#1"], "rope-scaling-missing")
        },
        row(
            "no sub-norm of attention",
            Kernels(kernels::without_norms::<0>),
            &["attn_sub_norm-0"],
            "norm-missing",
        ),
        row(
            "no sub-norms at all",
            Config(|c| c.graph.sub_norms = false),
            &["attn_sub_norm-0"],
            "operation-missing",
        ),
        row(
            "no sub-norm of the feed-forward block",
            Kernels(kernels::without_norms::<1>),
            &["ffn_sub_norm-0"],
            "norm-missing",
        ),
        row(
            "gate and up swapped",
            File(damage::swapped_gate_and_up),
            &["ffn_up-1", "ffn_gate-1"],
            "other-matrix",
        ),
        row("KV slot stale", Kernels(kernels::stale_slot), &["kqv_out-0"], "kv-stale"),
        row("KV slot stale while decoding", StaleStep(4), &["decode"], "kv-stale"),
        row("query heads permuted", File(damage::permuted_heads), &["Qcur-1"], "heads"),
        row(DRIFTS, File(damage::larger_scale), &["ffn_down-1"], "scale"),
        row("one row of one matrix", File(damage::one_row), &["attn_o_out-1"], "one-row"),
        row("one matrix with the other sign", File(damage::other_sign), &["Vcur-1"], "sign"),
        row(
            "another layer's matrix",
            File(damage::other_layers_matrix),
            &["Kcur-1"],
            "other-matrix",
        ),
        row("layer 1 skipped", File(damage::skipped_layer), &["attn_o_out-1"], "layer-skipped"),
        row(
            "int8 codes truncated",
            Kernels(kernels::truncated_codes),
            &["Qcur-0"],
            "int8-truncated",
        ),
        row(
            "no position sees itself",
            Kernels(kernels::strict_mask),
            &["kqv_out-0"],
            "mask-behind",
        ),
        row(
            "every position sees its successor",
            Kernels(kernels::early_mask),
            &["kqv_out-0"],
            "mask-ahead",
        ),
        row(
            "query heads grouped wrongly",
            Kernels(kernels::first_kv_head),
            &["kqv_out-0"],
            "kv-heads-first",
        ),
        row(
            "scores not scaled",
            Kernels(kernels::unscaled_scores),
            &["kqv_out-0"],
            "attention-scale",
        ),
        row(
            "residual stream lost",
            Kernels(kernels::without_residual),
            &["ffn_inp-0"],
            "residual-missing",
        ),
        row(
            "norm by 1 + weight",
            File(damage::norm_plus_one),
            &["ffn_norm-1"],
            "norm-weights-plus-one",
        ),
        row("last norm × 1.01", File(damage::larger_output_norm), &["result_norm"], "scale"),
        row("logits × 1.1", Logits(1.1), &["result_output"], "scale"),
    ]
}

/// Norm weights of the project's model for [`TERNARY`].
fn norm_weights(runner: &mut Runner, trial: &Trial, names: &[&str]) -> Vec<Vec<f32>> {
    let request = runner.localize(trial).expect("the model").request;
    let file = GgufFile::open(&request.model).expect("a model");
    let values = |name: &&str| {
        let tensor = file.tensor(name).unwrap_or_else(|| panic!("no {name}"));
        let bytes = file.data(tensor).as_chunks::<4>().0;
        bytes.iter().map(|value| f32::from_le_bytes(*value)).collect()
    };
    names.iter().map(values).collect()
}

fn project() -> Arc<Project> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    Arc::new(Project::load(&root).unwrap_or_else(|error| panic!("{error}")))
}

fn trial<'a>(project: &'a Project, id: &str) -> &'a Trial {
    project.trials.iter().find(|trial| trial.id == id).unwrap_or_else(|| panic!("no {id}"))
}

fn runner(fault: Fault) -> Runner {
    let settings = Settings { allow_skip: false, progress: Box::new(|_| ()) };
    Runner::new(project(), Engines::with_subject(Box::new(Faulty::new(fault))), settings)
}

/// The tensor and the first hypothesis of what was found.
fn named(found: &Localization) -> (String, String) {
    let first = |hypotheses: &[bitnet_runner::localize::Hypothesis]| {
        hypotheses.first().map_or_else(|| "none".to_owned(), |h| h.name.clone())
    };
    match (found.finding, &found.tokens, &found.origin, &found.decode) {
        (Finding::Tokens, Some(tokens), _, _) => ("ids".into(), first(&tokens.hypotheses)),
        (Finding::Operation, _, Some(origin), _) => {
            (origin.tensor.clone(), first(&origin.hypotheses))
        }
        (Finding::Decode, _, _, Some(decode)) => ("decode".into(), first(&decode.hypotheses)),
        _ => (format!("{:?}", found.finding), "none".into()),
    }
}

#[test]
fn every_fault_is_caught_and_most_are_named() {
    let project = project();
    let mut healthy = runner(Fault::None);
    let names = ["blk.0.attn_sub_norm.weight", "blk.1.attn_sub_norm.weight"];
    let weights = norm_weights(&mut healthy, trial(&project, TERNARY), &names);
    kernels::LEFT_OUT[0].set(weights).expect("set once");
    let names = ["blk.0.ffn_sub_norm.weight", "blk.1.ffn_sub_norm.weight"];
    let weights = norm_weights(&mut healthy, trial(&project, TERNARY), &names);
    kernels::LEFT_OUT[1].set(weights).expect("set once");

    let rows = rows();
    let (mut places, mut causes) = (0, 0);
    println!("{:<40} {:<9} {:<18} {:<22} explains", "fault", "gate", "first", "cause");
    for row in &rows {
        let mut runner = runner(row.inject);
        let trial = trial(&project, row.trial);
        let word = match runner.run(trial) {
            Outcome::Failed { verdict: Some(verdict), .. }
            | Outcome::Passed { verdict: Some(verdict), .. } => verdict.word,
            other => panic!("{}: {other:?}", row.fault),
        };
        let right = if row.fault == DRIFTS { Word::Drift } else { Word::Diverged };
        assert_eq!(word, right, "{}", row.fault);
        let found =
            runner.localize(trial).unwrap_or_else(|why| panic!("{}: {why:?}", row.fault)).found;
        let (tensor, cause) = named(&found);
        let place = row.tensors.contains(&&*tensor);
        let tried = [
            found.tokens.as_ref().map(|tokens| &tokens.hypotheses),
            found.origin.as_ref().map(|origin| &origin.hypotheses),
            found.decode.as_ref().map(|decode| &decode.hypotheses),
        ];
        let share = tried.into_iter().flatten().flatten().next().map_or(0.0, |h| h.explained);
        let gate = format!("{word:?}");
        println!(
            "{:<40} {gate:<9} {tensor:<18} {cause:<22} {:.4}{}{}",
            row.fault,
            share,
            if place { "" } else { "  WRONG PLACE" },
            if cause == row.cause { "" } else { "  OTHER CAUSE" }
        );
        if !place || cause != row.cause {
            println!("{}", report::text(&found));
        }
        assert!(
            found.capture.subject_unchanged && found.capture.reference_unchanged,
            "{}",
            row.fault
        );
        places += usize::from(place);
        causes += usize::from(cause == row.cause);
    }
    println!("{} faults, {places} placed, {causes} explained", rows.len());
    assert_eq!((places, causes), (rows.len(), rows.len()));
}

/// Every reference and architecture of the shipped suites: the names are those of the graphs, and healthy
/// engines part nowhere.
#[test]
fn healthy_engines_part_nowhere_and_every_name_is_known() {
    let project = project();
    let mut runner = runner(Fault::None);
    let mut looked_at = 0;
    for trial in &project.trials {
        let first = |suite: &str| trial.id.starts_with(&format!("ci-light::parity::{suite}::"));
        if !(first("architectures") || first("types")) || trial.variant != Default::default() {
            continue;
        }
        let found = match runner.localize(trial) {
            Ok(localized) => localized.found,
            Err(Obstacle::Missing(_) | Obstacle::NotBuilt(_))
                if cfg!(not(feature = "llama-cpp")) =>
            {
                continue;
            }
            Err(why) => panic!("{}: {why:?}", trial.id),
        };
        let text = report::text(&found);
        assert!(!found.diverges(), "{}: {text}", trial.id);
        assert!(found.capture.subject_unchanged && found.capture.reference_unchanged, "{text}");
        if trial.reference.as_deref() == Some("bitnet-cpp") {
            assert_eq!(found.finding, Finding::Nothing, "{}: {text}", trial.id);
        }
        looked_at += 1;
    }
    assert!(looked_at >= 20, "{looked_at}");
}

/// What a person reads, for one fault from end to end.
#[test]
fn the_story_names_tensor_row_and_cause() {
    let project = project();
    let found = runner(Fault::File(damage::one_row)).localize(trial(&project, TERNARY));
    let localized = found.expect("both engines compute");
    let text = report::text(&localized.found);
    for part in [
        "diverges at attn_o_out-1, product with blk.1.attn_output.weight (layer 1): row 17 of \
         blk.1.attn_output.weight alone\n",
        "  logits with and without capture: subject the same bits, reference the same bits\n",
        "  vote of three: the subject stands alone; the reference and our scalar code agree\n",
        "  explains 100.00 %, every bit: row 17 of blk.1.attn_output.weight alone [one-row]\n",
        "  exactness ladder of attn_o_out-1 (blk.1.attn_output.weight):\n    absmax  holds: ",
        "    codes   holds: every int8 code is the same\n",
        "    sums    BREAKS: ",
        " sums of the subject are not the exact ones for the codes of its input, first row 17 of \
         blk.1.attn_output.weight at position 0: ",
        "    scales  holds: ",
    ] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    let json = serde_json::to_string(&localized.found).expect("JSON");
    assert_eq!(serde_json::from_str::<Localization>(&json).expect("its own"), localized.found);

    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().join("reproducer");
    let test = reproducer::write_folder(&folder, &localized.evidence, &localized.request);
    let test = std::fs::read_to_string(test.expect("room").expect("an operation")).expect("text");
    for part in ["fn attn_o_out_1_is_the_references() {", "&[\"attn_o_out-1\".into()]"] {
        assert!(test.contains(part), "`{part}` is not in:\n{test}");
    }
    let bytes = std::fs::read(folder.join("tensors.safetensors")).expect("the tensors");
    let tensors = safetensors::read(&bytes).expect("safetensors");
    let names: Vec<&str> = tensors.keys().map(String::as_str).collect();
    assert_eq!(names, ["actual", "expected", "input.attn_sub_norm-1"]);
    let differ = |(i, _): &(usize, (&f32, &f32))| i % 256 != 17;
    let pairs = tensors["actual"].values.iter().zip(&tensors["expected"].values).enumerate();
    assert!(pairs.clone().filter(differ).all(|(_, (a, b))| a == b), "row 17 alone");
    assert!(pairs.filter(|pair| !differ(pair)).any(|(_, (a, b))| a != b), "row 17");
}

/// Row 17 is a fault of the scale's rung elsewhere.
#[test]
fn a_wrong_scale_breaks_the_rung_of_scales_alone() {
    let project = project();
    let found = runner(Fault::File(damage::larger_scale)).localize(trial(&project, TERNARY));
    let found = found.expect("both engines compute").found;
    let [ladder] = &found.ladders[..] else { panic!("{:?}", found.ladders) };
    let held: Vec<(&str, bool)> = ladder.rungs.iter().map(|r| (&*r.name, r.holds)).collect();
    let expected =
        [("absmax", true), ("codes", true), ("sums", true), ("scales", false), ("output", false)];
    assert_eq!(held, expected, "{ladder:?}");
    let words = &ladder.broken().expect("the scales").words;
    assert!(words.contains("blk.1.ffn_down.weight: 1.0100 times"), "{words}");
}

/// The vote of whole passes: with a fault in the subject, the reference and our scalar code agree to the bit.
#[test]
fn a_faulty_engine_stands_alone_and_a_healthy_one_does_not() {
    let project = project();
    let trial = trial(&project, TERNARY);
    for (fault, alone) in [
        (Fault::None, None),
        (Fault::Config(|c| c.rms_epsilon = 1e-2), Some("bitnet-engine")),
        (Fault::File(damage::larger_scale), Some("bitnet-engine")),
    ] {
        let mut runner = runner(fault);
        let localized = runner.localize(trial).expect("both engines compute");
        let vote = runner.vote(trial, &localized).expect("three voices");
        let text = vote::text(&vote);
        assert_eq!(vote.alone.as_deref(), alone, "{text}");
        assert!(text.contains("    bitnet-cpp and our scalar code: the same bits"), "{text}");
        assert!(vote.silent.is_empty(), "{text}");
    }
}
