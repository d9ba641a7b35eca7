//! Lets the worker program find a reference that is linked as shared libraries (`BITNET_CPP_DIR`)
//! when it is started outside cargo. Does nothing for the reference that we compile.

fn main() {
    const RPATH: &str = "DEP_BITNET_REFERENCE_BITNET_CPP_RPATH";
    println!("cargo::rerun-if-env-changed={RPATH}");
    if let Ok(folder) = std::env::var(RPATH) {
        println!("cargo::rustc-link-arg-bin=bitnet-cpp-worker=-Wl,-rpath,{folder}");
    }
}
