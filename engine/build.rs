//! Which commit the program is built from, for its version and its receipts.

#[path = "build/commit.rs"]
mod commit;

fn main() {
    for file in ["src", "build.rs", "build", "Cargo.toml", "../Cargo.toml", "../Cargo.lock"] {
        println!("cargo::rerun-if-changed={file}");
    }
    commit::tell(&[".", "../Cargo.lock", "../Cargo.toml"]);
}
