//! What the build of llama.cpp writes beside its sources, and how those are listed.
//!
//! Changes no file of the reference. Part of the build script.

use std::fs;
use std::path::{Path, PathBuf};

/// What a result says of [`squared_relu`].
pub const SQUARED_RELU: &str = "squared ReLU where bitnet.hidden_activation is relu2";
/// What a result says of [`untiled`].
pub const UNTILED: &str = "no tiled kernels for K-quants";

/// Architectures compiled at once, as llama.cpp's own build does: their headers cost more than they.
const MODELS_A_FILE: usize = 16;

/// The C and C++ files that lie in `folder` itself, sorted.
///
/// # Errors
/// The folder that cannot be read.
pub fn files_of(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let is_source = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "c" || extension == "cpp")
    };
    Ok(top_level(folder)?.into_iter().filter(is_source).collect())
}

/// The files that lie in `folder` itself, sorted.
///
/// # Errors
/// The folder that cannot be read.
pub fn top_level(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder)
        .map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    let mut files: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    Ok(files)
}

/// `<name>-version.h`, which CMake would make. The version is the one that `cmake` states; an
/// unpacked crate says nothing of its commit.
///
/// # Errors
/// The file that cannot be read, or that states no version.
pub fn version_header(root: &Path, name: &str, cmake: &str) -> Result<(String, String), String> {
    let file = root.join(cmake);
    let text = fs::read_to_string(&file)
        .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let version = version(&text, name).ok_or_else(|| {
        format!("{} states no {name}_VERSION_MAJOR, _MINOR, _PATCH", file.display())
    })?;
    let header =
        format!("#define {name}_VERSION \"{version}\"\n#define {name}_COMMIT \"unknown\"\n");
    Ok((format!("{}-version.h", name.to_lowercase()), header))
}

/// `<major>.<minor>.<patch>` from CMake's `set(<name>_VERSION_MAJOR <major>)` and so on.
pub fn version(cmake: &str, name: &str) -> Option<String> {
    let part = |part: &str| {
        let (_, rest) = cmake.split_once(&format!("set({name}_VERSION_{part} "))?;
        let value = rest.split(')').next()?.trim();
        value.parse::<u32>().ok().map(|number| number.to_string())
    };
    Some([part("MAJOR")?, part("MINOR")?, part("PATCH")?].join("."))
}

/// One file for every [`MODELS_A_FILE`] of `models`, without the one that [`squared_relu`] includes.
pub fn unity(models: &[PathBuf]) -> Vec<(String, String)> {
    let names: Vec<String> = models
        .iter()
        .filter_map(|file| Some(file.file_name()?.to_string_lossy().into_owned()))
        .filter(|name| name != "bitnet.cpp")
        .collect();
    let chunks = names.chunks(MODELS_A_FILE).enumerate();
    chunks
        .map(|(index, names)| {
            let text = names.iter().map(|name| format!("#include \"models/{name}\"\n")).collect();
            (format!("models-{index:02}.cpp"), text)
        })
        .collect()
}

/// llama.cpp computes SiLU for every BitNet. BitNet b1.58 2B-4T needs squared ReLU, and llama.cpp has
/// the operation: the file's own key `bitnet.hidden_activation` chooses it here. Files without the
/// key compute what they always did, another value is refused.
pub fn squared_relu() -> (String, String) {
    let text = r#"#include <stdexcept>
#include <string>

#include "models/models.h"

static llm_ffn_op_type gate_of(const llama_model & model) {
    const auto found = model.gguf_kv.find("bitnet.hidden_activation");
    if (found == model.gguf_kv.end() || found->second == "silu") return LLM_FFN_SILU;
    if (found->second == "relu2") return LLM_FFN_RELU_SQR;
    throw std::runtime_error("bitnet.hidden_activation is '" + found->second + "', known are silu and relu2");
}

#define LLM_FFN_SILU gate_of(model)
#include "models/bitnet.cpp"
"#;
    ("bitnet-with-activation.cpp".to_owned(), text.to_owned())
}

/// In the place of ggml-cpu/tiled: its kernels serve eight tokens and more but not one, and round
/// elsewhere, as llamafile's do.
pub fn untiled() -> (String, String) {
    let text = r#"#include "ggml-cpu-impl.h"
#include "tiled/tiled.h"

size_t ggml_tiled_wdata_size(int, ggml_tensor *) { return 0; }

bool ggml_compute_forward_mul_mat_tiled(const ggml_compute_params *, ggml_tensor *) { return false; }

bool ggml_compute_forward_mul_mat_id_tiled(const ggml_compute_params *, ggml_tensor *, int64_t, int64_t,
                                           const int32_t *, char *) {
    return false;
}
"#;
    ("untiled.cpp".to_owned(), text.to_owned())
}
