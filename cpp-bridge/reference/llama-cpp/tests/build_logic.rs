//! What the build script of llama.cpp writes, and that its sources are pinned. Compiles nothing.

#[path = "../build/generated.rs"]
mod generated;
#[path = "../../build/sources.rs"]
mod sources;

use std::fs;
use std::path::{Path, PathBuf};

use sources::Origin;

const ORIGIN: Origin = Origin {
    dir: "THE_DIR",
    source: "THE_SOURCE",
    package: "llama-cpp-sys-2",
    nested: "llama.cpp",
    required: &["src/models/bitnet.cpp"],
};

fn pinned() -> sources::Sources {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("source/Cargo.toml");
    sources::in_crate(&ORIGIN, env!("CARGO"), &manifest).expect("the crate")
}

#[test]
fn the_sources_are_pinned_to_a_version() {
    let sources = pinned();
    assert_eq!(sources.version.as_deref(), Some("llama-cpp-sys-2 0.1.161"));
    let other = sources::in_directory(&ORIGIN, &sources.root).expect("a tree");
    assert_eq!((other.root, other.version), (sources.root, None));
}

#[test]
fn versions_are_read_from_cmake() {
    let text = "set(GGML_VERSION_MAJOR 0)\nset(GGML_VERSION_MINOR 26)\nset(GGML_VERSION_PATCH 3)\n";
    assert_eq!(generated::version(text, "GGML").as_deref(), Some("0.26.3"));
    assert_eq!(generated::version(text, "LLAMA"), None);
    assert_eq!(generated::version("set(A_VERSION_MAJOR x)", "A"), None);

    let folder = tempfile::tempdir().expect("a temporary directory");
    fs::write(folder.path().join("CMakeLists.txt"), text).expect("a file");
    let header = |name| generated::version_header(folder.path(), name, "CMakeLists.txt");
    let expected = "#define GGML_VERSION \"0.26.3\"\n#define GGML_COMMIT \"unknown\"\n";
    assert_eq!(header("GGML"), Ok(("ggml-version.h".to_owned(), expected.to_owned())));
    let message = header("LLAMA").expect_err("it states none");
    assert!(message.contains("states no LLAMA_VERSION_MAJOR"), "{message}");
    let absent = generated::version_header(folder.path(), "GGML", "absent.txt");
    assert!(absent.expect_err("no file").contains("cannot read"), "the file is named");
}

#[test]
fn every_architecture_is_compiled_once_and_bitnet_through_its_wrapper() {
    let models = generated::files_of(&pinned().root.join("src/models")).expect("the folder");
    let mut included: Vec<String> = generated::unity(&models)
        .into_iter()
        .chain([generated::squared_relu()])
        .flat_map(|(_, text)| {
            let quoted = text.lines().filter_map(|line| line.strip_prefix("#include \"models/"));
            quoted.map(|rest| rest.trim_end_matches('"').to_owned()).collect::<Vec<_>>()
        })
        .filter(|name| name.ends_with(".cpp"))
        .collect();
    included.sort();
    let mut all: Vec<String> = models
        .iter()
        .map(|file| file.file_name().expect("a name").to_string_lossy().into_owned())
        .collect();
    all.sort();
    assert!(all.len() > 100, "{all:?}");
    assert_eq!(included, all);
}

#[test]
fn folders_are_listed_sorted_and_without_what_lies_deeper() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    for name in ["b.cpp", "a.c", "c.h"] {
        fs::write(folder.path().join(name), "").expect("a file");
    }
    fs::create_dir(folder.path().join("deep.cpp")).expect("a directory");
    let names = |files: Result<Vec<PathBuf>, String>| -> Vec<String> {
        let files = files.expect("the folder");
        files.iter().map(|f| f.file_name().expect("a name").display().to_string()).collect()
    };
    assert_eq!(names(generated::files_of(folder.path())), ["a.c", "b.cpp"]);
    assert_eq!(names(generated::top_level(folder.path())), ["a.c", "b.cpp", "c.h"]);
    let absent = generated::files_of(&folder.path().join("absent"));
    assert!(absent.expect_err("no folder").contains("cannot read"), "the folder is named");
}

#[test]
fn what_replaces_a_source_defines_what_its_header_declares() {
    let (_, text) = generated::untiled();
    let header = pinned().root.join("ggml/src/ggml-cpu/tiled/tiled.h");
    let header = fs::read_to_string(header).expect("the header");
    let code: Vec<&str> = header.lines().filter(|line| !line.starts_with("//")).collect();
    let header = code.join("\n");
    let mut declared = 0;
    for name in header.split(|c: char| !c.is_alphanumeric() && c != '_') {
        if name.starts_with("ggml_") && header.contains(&format!("{name}(")) {
            assert!(text.contains(&format!("{name}(")), "{name} is not defined");
            declared += 1;
        }
    }
    assert!(declared >= 3, "{declared} functions");
    assert!(generated::UNTILED.contains("tiled"), "{}", generated::UNTILED);
    assert!(generated::SQUARED_RELU.contains("relu2"), "{}", generated::SQUARED_RELU);
}
