//! Compiles or links llama.cpp and the bridge's shim against it.
//!
//! Which sources, which flags and why: the README of the bridge. Changes no file of the reference.

use std::env;
use std::path::{Path, PathBuf};

use compile::Unit;
use reference::{Plan, Reference};
use sources::{Origin, Sources};
use toolchain::Profile;

#[path = "../build/compile.rs"]
mod compile;
#[path = "../build/existing.rs"]
mod existing;
#[path = "../build/fingerprint.rs"]
mod fingerprint;
#[path = "build/generated.rs"]
mod generated;
#[path = "../build/provider.rs"]
mod provider;
#[path = "../build/reference.rs"]
mod reference;
#[path = "../build/shim.rs"]
mod shim;
#[path = "../build/sources.rs"]
mod sources;
#[path = "../build/stamp.rs"]
mod stamp;
#[path = "../build/toolchain.rs"]
mod toolchain;

const DEFINES: [&str; 5] =
    ["NDEBUG", "_GNU_SOURCE", "_XOPEN_SOURCE=600", "GGML_SCHED_MAX_COPIES=4", "GGML_USE_CPU"];

/// Rustc's names of architectures, with the folder that holds ggml's kernels for them.
const KERNELS: [(&str, &str); 9] = [
    ("x86_64", "x86"),
    ("x86", "x86"),
    ("aarch64", "arm"),
    ("arm", "arm"),
    ("loongarch64", "loongarch"),
    ("powerpc64", "powerpc"),
    ("riscv64", "riscv"),
    ("s390x", "s390"),
    ("wasm32", "wasm"),
];

fn main() {
    println!("cargo::rerun-if-changed=build");
    let reference = Reference {
        name: "llama-cpp",
        origin: Origin {
            dir: "LLAMA_CPP_DIR",
            source: "LLAMA_CPP_SOURCE",
            package: "llama-cpp-sys-2",
            nested: "llama.cpp",
            required: &[
                "CMakeLists.txt",
                "include/llama.h",
                "ggml/CMakeLists.txt",
                "ggml/src/ggml-cpu/ggml-cpu.c",
                "src/llama-model.cpp",
                "src/models/bitnet.cpp",
            ],
        },
        march: "LLAMA_CPP_MARCH",
        library: "llama_cpp",
        plan,
    };
    reference.build();
}

fn plan(sources: &Sources, profile: Profile, folder: &Path) -> Result<Plan, String> {
    let root = &sources.root;
    let (src, models, ggml) = (root.join("src"), root.join("src/models"), root.join("ggml/src"));
    let cpu = ggml.join("ggml-cpu");
    let includes = vec![
        root.join("ggml/include"),
        root.join("include"),
        ggml.clone(),
        cpu.clone(),
        src.clone(),
        folder.to_owned(),
    ];
    let headers = includes[..2].to_vec();
    let unit = |cpp, files: Vec<PathBuf>| Unit {
        cpp,
        files,
        includes: includes.clone(),
        defines: DEFINES.to_vec(),
        ..Unit::default()
    };
    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let kernels = KERNELS.iter().find(|(name, _)| *name == arch).map(|(_, dir)| *dir);
    let mut of_cpu = generated::files_of(&cpu)?;
    of_cpu.extend(generated::files_of(&cpu.join("amx"))?);
    let fastest = profile == Profile::Fastest;
    if fastest {
        for kernels_of_several_tokens in ["llamafile", "tiled"] {
            of_cpu.extend(generated::files_of(&cpu.join(kernels_of_several_tokens))?);
        }
    }
    if let Some(kernels) = kernels {
        // cpu-feats.cpp chooses among libraries at run time; this is the only one.
        let all = generated::files_of(&cpu.join("arch").join(kernels))?;
        of_cpu.extend(all.into_iter().filter(|file| !file.ends_with("cpu-feats.cpp")));
    }
    let compute = |cpp, files| {
        let mut unit = unit(cpp, files);
        unit.defines.push("GGML_USE_CPU_REPACK");
        unit.defines.extend(fastest.then_some("GGML_USE_LLAMAFILE"));
        unit.defines.extend(kernels.is_none().then_some("GGML_CPU_GENERIC"));
        unit
    };

    let mut generated = vec![
        generated::version_header(root, "GGML", "ggml/CMakeLists.txt")?,
        generated::version_header(root, "LLAMA", "CMakeLists.txt")?,
        generated::squared_relu(),
    ];
    generated.extend((!fastest).then(generated::untiled));
    generated.extend(generated::unity(&generated::files_of(&models)?));
    let of_generated =
        |name: &(String, String)| name.0.ends_with(".cpp").then(|| folder.join(&name.0));
    let mut library = generated::files_of(&src)?;
    library.extend(generated.iter().filter_map(of_generated));

    let is_c = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "c");
    let (base_c, base_cpp) = generated::files_of(&ggml)?.into_iter().partition(is_c);
    let (cpu_c, cpu_cpp) = of_cpu.into_iter().partition(is_c);
    // The flags of the last unit are the ones that results name: those of the kernels.
    let units = vec![
        unit(false, base_c),
        unit(true, base_cpp),
        unit(true, library),
        compute(false, cpu_c),
        compute(true, cpu_cpp),
    ];
    let mut watched = vec![root.join("include"), root.join("ggml/include"), src, cpu];
    watched.extend(generated::top_level(&ggml)?);
    let mut remark = generated::SQUARED_RELU.to_owned();
    if !fastest {
        remark = format!("{remark}, {}", generated::UNTILED);
    }
    let remark = Some(remark);
    Ok(Plan { watched, generated, units, headers, remark })
}
