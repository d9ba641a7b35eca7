//! Rules of every receipt: who measured, with what, on which machine, by which kernels.

use std::collections::BTreeSet;

use bitnet_engine::kernels::{Isa, kernel_names};

use super::Reasons;
use crate::backend::engine::{ALTERED, NAME};
use crate::backend::{Identity, KernelCalls};
use crate::machine::Machine;
use crate::receipt::{CaseFacts, ModelFacts, Tool};

/// Words of an identity that claim another processor than the machine's own.
const GPU_WORDS: [&str; 8] = ["cuda", "gpu", "hip", "metal", "opencl", "rocm", "sycl", "vulkan"];
/// Threads that no machine of these engines has.
const MOST_THREADS: usize = 4096;

pub(super) fn tool(tool: &Tool, reasons: &mut Reasons) {
    reasons.check(tool.name == "parity", "tool.name", "is not 'parity', which writes receipts");
    reasons.check(!tool.version.trim().is_empty(), "tool.version", "is empty");
    if let Some(commit) = &tool.commit {
        let form = matches!(commit.len(), 40 | 64) && commit.bytes().all(is_hex);
        reasons.check(form, "tool.commit", format!("'{commit}' is no commit in full"));
    }
    reasons.check(
        tool.commit.is_some() == tool.dirty.is_some(),
        "tool.dirty",
        "is told with a commit, and only with one",
    );
}

/// `2026-01-31T08:05:09Z`.
pub(super) fn time(time: &str, reasons: &mut Reasons) {
    let pattern = "dddd-dd-ddTdd:dd:ddZ";
    let form = time.len() == pattern.len()
        && time.bytes().zip(pattern.bytes()).all(|(found, wanted)| match wanted {
            b'd' => found.is_ascii_digit(),
            mark => found == mark,
        });
    let part = |from: usize, to: usize| time.get(from..to).and_then(|s| s.parse::<u32>().ok());
    let within = |value: Option<u32>, low: u32, high: u32| {
        value.is_some_and(|value| (low..=high).contains(&value))
    };
    let sensible = form
        && within(part(5, 7), 1, 12)
        && within(part(8, 10), 1, 31)
        && within(part(11, 13), 0, 23)
        && within(part(14, 16), 0, 59)
        && within(part(17, 19), 0, 60);
    reasons.check(sensible, "time", format!("'{time}' is no RFC 3339 time in UTC"));
}

pub(super) fn sha256(path: &str, digest: &str, reasons: &mut Reasons) {
    let form = digest.len() == 64 && digest.bytes().all(is_hex);
    reasons.check(form, path, format!("'{digest}' is no SHA-256: 64 lower-case hex digits"));
    let placeholder = form && digest.bytes().all(|byte| byte == digest.as_bytes()[0]);
    reasons.check(!placeholder, path, "is one digit repeated: no file has that SHA-256");
}

fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// `<kind>::<suite>::<case>[::<variant>]`, whose variant names these threads and this instruction set.
pub(super) fn case(
    case: &CaseFacts,
    kind: &str,
    threads: usize,
    isa: Option<&str>,
    reasons: &mut Reasons,
) {
    let CaseFacts { id, tier: _, suite_sha256 } = case;
    let parts: Vec<&str> = id.split("::").collect();
    let form = matches!(parts.len(), 3 | 4) && parts[0] == kind && !parts.contains(&"");
    reasons.check(form, "case.id", format!("'{id}' is no id of a {kind} trial"));
    let variant = if form { parts.get(3).copied().unwrap_or_default() } else { "" };
    if let Some(rest) = variant.strip_prefix("threads-") {
        let named = rest.split('-').next().and_then(|count| count.parse::<usize>().ok());
        let why = format!("is {threads}, and the case's id says '{variant}'");
        reasons.check(named == Some(threads), "threads", why);
    }
    if let Some(isa) = isa {
        let named = variant.contains(&format!("isa-{isa}"));
        reasons.check(named, "isa", format!("is '{isa}', and the case's id does not name it"));
    }
    sha256("case.suite_sha256", suite_sha256, reasons);
}

pub(super) fn model(model: &ModelFacts, reasons: &mut Reasons) {
    sha256("model.sha256", &model.sha256, reasons);
    reasons.check(!model.id.is_empty(), "model.id", "is empty");
    reasons.check(!model.architecture.is_empty(), "model.architecture", "is empty");
    let types = &model.tensor_types;
    reasons.check(!types.is_empty(), "model.tensor_types", "names no tensor");
    for (name, count) in types {
        reasons.check(*count > 0, format!("model.tensor_types.{name}"), "counts no tensor");
    }
    let tensors: usize = types.values().sum();
    let why = format!("is {}, too few for {tensors} tensors", model.bytes);
    // A tensor has a name, a shape and a type in the header, and data of at least one alignment.
    reasons.check(model.bytes >= 32 * tensors.max(1) as u64, "model.bytes", why);
}

pub(super) fn identity(path: &str, identity: &Identity, reasons: &mut Reasons) {
    let Identity { name, version, source, build } = identity;
    for (field, text) in
        [("name", name), ("version", version), ("source", source), ("build", build)]
    {
        let path = format!("{path}.{field}");
        reasons.check(!text.trim().is_empty(), path, "is empty: who computed is not known");
    }
}

pub(super) fn machine(machine: &Machine, threads: usize, reasons: &mut Reasons) {
    let hard = &machine.hard;
    reasons.check(!hard.os.is_empty(), "machine.hard.os", "is empty");
    reasons.check(!hard.arch.is_empty(), "machine.hard.arch", "is empty");
    reasons.check(hard.cores != Some(0), "machine.hard.cores", "is 0: nothing computed");
    let sensible = (1..=MOST_THREADS).contains(&threads);
    reasons.check(sensible, "threads", format!("is {threads}: from 1 to {MOST_THREADS}"));
}

/// Whether a passing receipt may come from this subject.
pub(super) fn unaltered(subject: &Identity, passed: bool, reasons: &mut Reasons) {
    // The mark without its reason, which may be another in another version.
    let mark = ALTERED.split_inclusive(':').next().unwrap_or(ALTERED);
    let altered = subject.build.contains(mark);
    let why = "says that the engine was changed on purpose, and the receipt that it passed";
    reasons.check(!(altered && passed), "subject.build", why);
}

/// Kernels of `subject`; `isa` is what the case asks for.
pub(super) fn kernels(
    kernels: &[KernelCalls],
    subject: &Identity,
    machine: &Machine,
    isa: Option<&str>,
    reasons: &mut Reasons,
) {
    reasons.check(!kernels.is_empty(), "kernels", "is empty: nothing says what was computed with");
    let mut seen = BTreeSet::new();
    for (index, kernel) in kernels.iter().enumerate() {
        let place = format!("kernels[{index}]");
        let name = &kernel.name;
        reasons.check(
            seen.insert(name),
            format!("{place}.name"),
            format!("'{name}' is there twice"),
        );
        reasons.check(kernel.count > 0, format!("{place}.count"), "is 0: it was not dispatched");
        let Some((set, what)) = name.split_once('/') else {
            reasons.add(format!("{place}.name"), format!("'{name}' is not `set/kernel`"));
            continue;
        };
        if subject.name != NAME {
            continue;
        }
        let known = Isa::ALL.into_iter().find(|known| known.name() == set);
        let why = format!("'{name}' is no kernel that {NAME} of this version has");
        reasons.check(
            known.is_some() && kernel_names().contains(&what),
            format!("{place}.name"),
            why,
        );
        let here = known.is_none_or(|isa| computes_on(isa, machine));
        let why = format!("'{set}' does not run on the machine of this receipt");
        reasons.check(here, format!("{place}.name"), why);
        let why = format!("'{set}' is not '{}', which the case asks for", isa.unwrap_or_default());
        reasons.check(isa.is_none_or(|isa| isa == set), format!("{place}.name"), why);
    }
    gpu(kernels, subject, reasons);
}

/// Whether a machine has what an instruction set needs.
fn computes_on(isa: Isa, machine: &Machine) -> bool {
    let flag = |name: &str| machine.hard.flags.iter().any(|flag| flag == name);
    let x86 = machine.hard.arch == "x86_64";
    // A system that tells no flags is believed.
    let told = !machine.hard.flags.is_empty();
    match isa {
        Isa::Scalar => true,
        Isa::Avx2 => x86 && (!told || (flag("avx2") && flag("fma"))),
        Isa::Avx512 => x86 && (!told || flag("avx512f")),
        Isa::Avx512Vbmi => x86 && (!told || flag("avx512vbmi")),
        Isa::Neon => machine.hard.arch == "aarch64",
        Isa::NeonDotprod => machine.hard.arch == "aarch64" && (!told || flag("asimddp")),
    }
}

/// A claim of a GPU needs its kernels, and its kernels need the claim.
fn gpu(kernels: &[KernelCalls], subject: &Identity, reasons: &mut Reasons) {
    let words = |text: &str| {
        let text = text.to_lowercase();
        let parts = text.split(|c: char| !c.is_ascii_alphanumeric());
        parts.filter(|part| GPU_WORDS.contains(part)).map(str::to_owned).next()
    };
    let claimed =
        [("name", &subject.name), ("version", &subject.version), ("build", &subject.build)];
    let claim = claimed.iter().find_map(|(field, text)| Some((field, words(text)?)));
    let set = |kernel: &KernelCalls| kernel.name.split('/').next().unwrap_or_default().to_owned();
    let on_gpu = kernels.iter().position(|kernel| words(&set(kernel)).is_some());
    match (claim, on_gpu) {
        (Some((field, word)), None) => reasons.add(
            format!("subject.{field}"),
            format!("claims '{word}', and no kernel of a GPU was dispatched"),
        ),
        (None, Some(index)) => reasons.add(
            format!("kernels[{index}].name"),
            "is a GPU's, and the subject's identity claims none",
        ),
        _ => {}
    }
}
