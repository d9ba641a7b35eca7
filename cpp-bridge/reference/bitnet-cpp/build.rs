//! Compiles or links bitnet.cpp and the bridge's shim against it.
//!
//! Which sources, which flags and why: the README of the bridge. Changes no file of the reference.

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

const DEFINES: [&str; 4] =
    ["NDEBUG", "_GNU_SOURCE", "_XOPEN_SOURCE=600", "GGML_SCHED_MAX_COPIES=4"];

fn main() {
    let reference = Reference {
        name: "bitnet-cpp",
        origin: Origin {
            dir: "BITNET_CPP_DIR",
            source: "BITNET_CPP_SOURCE",
            package: "bitnet-llm-sys",
            nested: "bitnet.cpp",
            // One file of each part; the last two come from a git submodule.
            required: &[
                "src/ggml-bitnet-mad.cpp",
                "include/ggml-bitnet.h",
                "3rdparty/llama.cpp/include/llama.h",
                "3rdparty/llama.cpp/ggml/src/ggml.c",
            ],
        },
        march: "BITNET_CPP_MARCH",
        library: "bitnet_cpp",
        plan,
    };
    reference.build();
}

fn plan(sources: &Sources, profile: Profile, _generated: &Path) -> Result<Plan, String> {
    let root = &sources.root;
    let llama = root.join("3rdparty/llama.cpp");
    let ggml = llama.join("ggml/src");
    let watched = vec![
        root.join("src"),
        root.join("include"),
        llama.join("include"),
        llama.join("src"),
        llama.join("ggml/include"),
        ggml.clone(),
    ];
    let includes =
        vec![llama.join("ggml/include"), llama.join("include"), root.join("include"), ggml.clone()];
    let headers = includes[..2].to_vec();
    let llamafile = (profile == Profile::Fastest).then_some("GGML_USE_LLAMAFILE");
    let unit = |cpp, files: Vec<PathBuf>| Unit {
        cpp,
        files,
        includes: includes.clone(),
        defines: DEFINES.into_iter().chain(llamafile).collect(),
        ..Unit::default()
    };
    let c = ["ggml.c", "ggml-alloc.c", "ggml-quants.c", "ggml-aarch64.c"];
    let mut cpp = vec![ggml.join("ggml-backend.cpp")];
    cpp.extend(
        ["llama.cpp", "llama-vocab.cpp", "llama-grammar.cpp", "llama-sampling.cpp"]
            .map(|file| llama.join("src").join(file)),
    );
    cpp.extend(llamafile.map(|_| ggml.join("llamafile/sgemm.cpp")));
    cpp.extend(["unicode.cpp", "unicode-data.cpp"].map(|file| llama.join("src").join(file)));
    let bitnet =
        ["ggml-bitnet-mad.cpp", "ggml-bitnet-lut.cpp"].map(|file| root.join("src").join(file));
    let units = vec![
        unit(false, c.map(|file| ggml.join(file)).to_vec()),
        // ggml-bitnet-mad.cpp drops a const; gcc takes that for a warning under this flag.
        Unit {
            flags: vec!["-fpermissive".to_owned()],
            needs_gcc: Some(
                "bitnet.cpp's ggml-bitnet-mad.cpp drops a `const`, which only gcc can be told to accept",
            ),
            ..unit(true, bitnet.to_vec())
        },
        unit(true, cpp),
    ];
    Ok(Plan { watched, generated: Vec::new(), units, headers, remark: None })
}
