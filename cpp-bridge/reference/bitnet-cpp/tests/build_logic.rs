//! The parts of the build script that decide without compiling: where an existing build or a source
//! tree is found, what a wrong directory is answered, what is written down of the provider.

#[path = "../../build/existing.rs"]
mod existing;
#[path = "../../build/fingerprint.rs"]
mod fingerprint;
#[path = "../../build/provider.rs"]
mod provider;
#[path = "../../build/sources.rs"]
mod sources;
#[path = "../../build/stamp.rs"]
mod stamp;
#[path = "../../build/toolchain.rs"]
mod toolchain;

use std::fs;
use std::path::Path;

use existing::Kind;
use sources::Origin;
use stamp::Stamp;
use toolchain::{Machines, Profile};

fn tree(files: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a temporary directory");
    for file in files {
        put(root.path(), file, b"");
    }
    root
}

fn put(root: &Path, file: &str, content: &[u8]) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    fs::write(path, content).expect("a file");
}

fn origin(required: &'static [&'static str]) -> Origin {
    Origin {
        dir: "THE_DIR",
        source: "THE_SOURCE",
        package: "bitnet-llm-sys",
        nested: "bitnet.cpp",
        required,
    }
}

const HEADERS: [&str; 3] = ["include/llama.h", "include/ggml.h", "include/ggml-backend.h"];

#[track_caller]
fn assert_says<T: std::fmt::Debug>(result: Result<T, String>, parts: &[&str]) {
    let message = result.expect_err("must be refused");
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
    assert!(!message.contains('\n'), "cargo shows one line: {message}");
}

#[test]
fn a_directory_that_does_not_exist() {
    assert_says(
        existing::find("BITNET_CPP_DIR", Path::new("/no/such/place")),
        &["BITNET_CPP_DIR=/no/such/place: there is no such directory", "unset BITNET_CPP_DIR"],
    );
}

#[test]
fn a_directory_without_headers() {
    let root = tree(&["lib/libllama.a"]);
    assert_says(
        existing::find("BITNET_CPP_DIR", root.path()),
        &["no llama.h in include, 3rdparty/llama.cpp/include", "unset BITNET_CPP_DIR"],
    );
}

#[test]
fn a_directory_with_half_the_headers() {
    let root = tree(&["include/llama.h", "lib/libllama.a"]);
    assert_says(existing::find("BITNET_CPP_DIR", root.path()), &["no ggml.h in include"]);
}

#[test]
fn a_directory_without_libraries() {
    let root = tree(&HEADERS);
    assert_says(
        existing::find("BITNET_CPP_DIR", root.path()),
        &[
            "no libllama.a, libllama.so or libllama.dylib in lib, lib64",
            "build/bin",
            "finished build",
        ],
    );
    put(root.path(), "lib64/libllama.so", b"");
    assert_says(existing::find("BITNET_CPP_DIR", root.path()), &["no libggml.a"]);
}

#[test]
fn an_install_of_the_newer_generation() {
    let root = tree(&HEADERS);
    for file in ["libllama.a", "libggml.a", "libggml-base.a", "libggml-cpu.a", "libggml-blas.a"] {
        put(root.path(), &format!("lib/{file}"), b"!<arch>\n");
    }
    let found = existing::find("BITNET_CPP_DIR", root.path()).expect("an install");
    assert_eq!(found.includes, [root.path().join("include")]);
    let names: Vec<&str> = found.libraries.iter().map(|library| library.name.as_str()).collect();
    assert_eq!(names, ["llama", "ggml", "ggml-blas", "ggml-cpu", "ggml-base"]);
    assert!(found.libraries.iter().all(|library| library.kind == Kind::Static));
    assert_eq!(found.openmp, None);
}

#[test]
fn a_shared_build_tree_of_bitnet_cpp() {
    let root = tree(&[
        "3rdparty/llama.cpp/include/llama.h",
        "3rdparty/llama.cpp/ggml/include/ggml.h",
        "3rdparty/llama.cpp/ggml/include/ggml-backend.h",
        "build/3rdparty/llama.cpp/src/libllama.so",
        "build/3rdparty/llama.cpp/ggml/src/libggml.so",
    ]);
    let found = existing::find("BITNET_CPP_DIR", root.path()).expect("a build tree");
    let llama = root.path().join("3rdparty/llama.cpp");
    assert_eq!(found.includes, [llama.join("include"), llama.join("ggml/include")]);
    assert_eq!(found.libraries.len(), 2);
    assert!(found.libraries.iter().all(|library| library.kind == Kind::Shared));
}

#[test]
fn openmp_is_read_from_static_archives() {
    for (symbol, run_time) in [("GOMP_parallel", "gomp"), ("__kmpc_fork_call", "omp")] {
        let root = tree(&HEADERS);
        put(root.path(), "lib/libllama.a", b"!<arch>\n");
        put(root.path(), "lib/libggml.a", format!("!<arch>\n..{symbol}\0..").as_bytes());
        let found = existing::find("BITNET_CPP_DIR", root.path()).expect("an install");
        assert_eq!(found.openmp, Some(run_time));
    }
}

#[test]
fn only_the_references_shared_libraries_are_mirrored() {
    let root = tree(&[
        "lib/libllama.so.0",
        "lib/libllama.so",
        "lib/libggml-cpu.so",
        "lib/libggml.dylib",
        "lib/libllama.a",
        "lib/libc.so.6",
        "lib/libstdc++.so",
        "lib/notes.txt",
    ]);
    let lib = root.path().join("lib");
    for name in ["libggml-gone.so", "libother-gone.so"] {
        std::os::unix::fs::symlink(lib.join("no-such-file"), lib.join(name)).expect("a link");
    }
    let mirror = root.path().join("shared");
    for _ in 0..2 {
        existing::mirror_shared(&lib, &mirror).expect("links");
    }
    let mut names: Vec<_> = fs::read_dir(&mirror)
        .expect("the mirror")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a plain name"))
        .collect();
    names.sort();
    assert_eq!(names, ["libggml-cpu.so", "libggml.dylib", "libllama.so", "libllama.so.0"]);
    let target = fs::read_link(mirror.join("libllama.so.0")).expect("a link");
    assert_eq!(target, lib.join("libllama.so.0").canonicalize().expect("the library"));
}

#[test]
fn a_source_directory_that_is_wrong() {
    let origin = origin(&["src/a.cpp", "3rdparty/llama.cpp/include/llama.h"]);
    assert_says(
        sources::in_directory(&origin, Path::new("/no/such/place")),
        &["THE_SOURCE=/no/such/place: there is no such directory", "unset THE_SOURCE"],
    );
    let root = tree(&["src/a.cpp"]);
    assert_says(
        sources::in_directory(&origin, root.path()),
        &["no 3rdparty/llama.cpp/include/llama.h in", "git submodule update"],
    );
}

#[test]
fn a_source_directory_is_the_tree_or_the_crate_around_it() {
    let root = tree(&["bitnet.cpp/src/a.cpp", "src/a.cpp"]);
    let origin = origin(&["src/a.cpp"]);
    let of_crate = sources::in_directory(&origin, root.path()).expect("a crate");
    assert_eq!(of_crate.root, root.path().join("bitnet.cpp"));
    let other = Origin { nested: "absent", ..origin };
    let plain = sources::in_directory(&other, root.path()).expect("a tree");
    assert_eq!(plain.root, root.path());
    assert_eq!(plain.version, None);
}

#[test]
fn the_pinned_crate_is_found_through_cargo() {
    let cargo = env!("CARGO");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("source/Cargo.toml");
    let pinned = origin(&["LICENSE"]);
    let found = sources::in_crate(&pinned, cargo, &manifest).expect("the crate");
    assert_eq!(found.version.as_deref(), Some("bitnet-llm-sys 1.0.2"));
    assert!(found.root.join("src/ggml-bitnet-mad.cpp").is_file());
    assert_says(
        sources::in_crate(&origin(&["no-such-file"]), cargo, &manifest),
        &["has no no-such-file", "cargo fetch --locked"],
    );
    assert_says(
        sources::in_crate(&Origin { package: "another", ..pinned }, cargo, &manifest),
        &["does not depend on the crate another"],
    );
    let nowhere = manifest.with_file_name("absent.toml");
    assert_says(
        sources::in_crate(&pinned, cargo, &nowhere),
        &["cargo cannot provide the crate bitnet-llm-sys", "THE_SOURCE", "THE_DIR"],
    );
}

#[test]
fn provider_strings_are_c_literals() {
    let described = provider::Provider {
        name: "bitnet-cpp",
        profile: "checking",
        version: "1 \"quoted\"".to_owned(),
        source: "back\\slash é".to_owned(),
        flags: "-DA=1\n??=".to_owned(),
        compiler: String::new(),
    };
    let header = provider::provider_header(&described);
    let lines: Vec<&str> = header.lines().collect();
    assert_eq!(
        lines,
        [
            r#"#define PROVIDER_NAME "bitnet-cpp""#,
            r#"#define PROVIDER_PROFILE "checking""#,
            r#"#define PROVIDER_VERSION "1 \"quoted\"""#,
            r#"#define PROVIDER_SOURCE "back\\slash \303\251""#,
            r#"#define PROVIDER_FLAGS "-DA=1\012\?\?=""#,
            r#"#define PROVIDER_COMPILER """#,
        ]
    );
}

#[test]
fn the_shim_is_linked_whole() {
    let lines = provider::link_lines("the_shim", Path::new("/out"));
    assert_eq!(lines[0], "cargo::rustc-link-search=native=/out");
    assert_eq!(lines[1], "cargo::rustc-link-lib=static:+whole-archive,-bundle=the_shim");
    assert_eq!(provider::cpp_runtime("linux"), "stdc++");
    assert_eq!(provider::cpp_runtime("macos"), "c++");
}

#[test]
fn a_fingerprint_follows_names_and_contents_only() {
    let of = |root: &Path| fingerprint::of(root, &[root.join("src")]).expect("readable");
    let (one, two) = (tree(&[]), tree(&[]));
    for root in [&one, &two] {
        put(root.path(), "src/a.c", b"int a;");
        put(root.path(), "src/deep/b.h", b"int b;");
        put(root.path(), "other.c", root.path().to_string_lossy().as_bytes());
    }
    let before = of(one.path());
    assert_eq!(before, of(two.path()), "equal trees in different places");
    put(two.path(), "src/a.c", b"int c;");
    assert_ne!(before, of(two.path()), "a changed file");
    fs::rename(one.path().join("src/a.c"), one.path().join("src/c.c")).expect("a rename");
    assert_ne!(before, of(one.path()), "a renamed file");
    let missing = fingerprint::of(one.path(), &[one.path().join("absent")]);
    assert_says(missing, &["cannot read", "absent"]);
}

#[test]
fn an_empty_input_has_the_published_offset_basis() {
    assert_eq!(fingerprint::of(Path::new("/"), &[]), Ok(0xcbf2_9ce4_8422_2325));
}

#[test]
fn march_is_the_users_or_that_of_a_host_which_is_the_target() {
    let machines = |host: &str, target: &str, arch: &str, host_has_avx2| Machines {
        host: host.to_owned(),
        target: target.to_owned(),
        target_arch: arch.to_owned(),
        host_has_avx2,
    };
    let (x86, arm) = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu");
    let native = machines(x86, x86, "x86_64", true);
    let v3 = Some("x86-64-v3".to_owned());
    assert_eq!(toolchain::march(None, Profile::Checking, &native), v3);
    assert_eq!(
        toolchain::march(Some(""), Profile::Checking, &native),
        None,
        "empty means no -march"
    );
    assert_eq!(
        toolchain::march(Some("znver3"), Profile::Checking, &native).as_deref(),
        Some("znver3")
    );
    for other in [
        machines(x86, x86, "x86_64", false),
        machines(x86, arm, "aarch64", true),
        machines(x86, "x86_64-unknown-linux-musl", "x86_64", true),
        machines(arm, arm, "aarch64", true),
    ] {
        assert_eq!(toolchain::march(None, Profile::Checking, &other), None, "{other:?}");
        assert_eq!(toolchain::march(Some("x86-64-v3"), Profile::Checking, &other), v3, "{other:?}");
    }
    assert_eq!([Profile::Checking, Profile::Fastest].map(Profile::name), ["checking", "fastest"]);
    let fastest =
        |requested, machines: &Machines| toolchain::march(requested, Profile::Fastest, machines);
    assert_eq!(fastest(None, &native).as_deref(), Some("native"));
    assert_eq!(fastest(Some("x86-64-v3"), &native), v3, "the user knows better");
    assert_eq!(fastest(None, &machines(x86, arm, "aarch64", true)), None, "not this machine");
}

#[test]
fn an_interrupted_archive_is_never_taken_for_a_finished_one() {
    let root = tree(&[]);
    let stamp = |text: &str| Stamp::new(root.path(), "reference", text.to_owned());
    let archive = root.path().join("libreference.a");
    let old = stamp("old sources");
    assert!(!old.holds(), "nothing is there");
    put(root.path(), "libreference.a", b"old");
    assert!(!old.holds(), "no stamp");
    old.write().expect("a stamp");
    assert!(old.holds());
    let new = stamp("new sources");
    assert!(!new.holds(), "the stamp of other sources");

    new.clear().expect("both go");
    assert!(!archive.exists());
    put(root.path(), "libreference.a", b"half of new");
    assert!(!new.holds() && !old.holds(), "`ar` was interrupted, then the sources came back");

    new.clear().expect("the half goes, there is no stamp");
    put(root.path(), "libreference.a", b"new");
    new.write().expect("a stamp");
    assert!(new.holds() && !old.holds());
    fs::remove_file(&archive).expect("the archive");
    assert!(!new.holds(), "a stamp without an archive");
}

#[test]
fn a_compiler_that_is_not_gcc_is_refused_with_the_next_step() {
    let why = "x.cpp drops a `const`";
    assert_eq!(toolchain::require_gcc(true, "g++ 12.2.0", why), Ok(()));
    assert_says(
        toolchain::require_gcc(false, "clang version 14.0.6", why),
        &[
            "the C++ compiler is clang version 14.0.6, but x.cpp drops a `const`",
            "apt install g++",
            "`export CXX=g++ CC=gcc`",
        ],
    );
}
