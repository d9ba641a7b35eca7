//! Compiles the glue that cxx generates, and tells a provider where the headers of the bridge are.
//!
//! Builds neither the shim nor a reference: a provider crate does that against its own `llama.h`.

use std::path::PathBuf;

fn main() {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/ffi.rs");
    println!("cargo::rerun-if-changed=include/shim.h");
    cxx_build::bridge("src/ffi.rs")
        .std("c++17")
        .opt_level(2)
        .warnings(false)
        .compile("bitnet_cpp_bridge_glue");
    let headers = out.join("cxxbridge");
    println!("cargo::metadata=include={}", headers.join("include").display());
    println!("cargo::metadata=crate_include={}", headers.join("crate").display());
    println!("cargo::metadata=shim={}", root.join("shim").display());
}
