//! The cxx bridge: what crosses between Rust and the C++ shim, and nothing that computes.
//!
//! Private to the crate; `reference` is the safe face of it.

// SAFETY: every function below is implemented by the shim that a provider crate links. The shim
// copies what it keeps from the slices and strings it is given, writes only within the slices it
// is handed, and throws only `std::exception`s and only from what returns a `Result`, where cxx turns
// them into `Err`; everything else is `noexcept` in the header.
#[cxx::bridge(namespace = "bitnet_bridge")]
pub(crate) mod bridge {
    /// Types that a KV cache can hold.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum RawCacheType {
        F32,
        F16,
        Q8_0,
    }

    /// `Settings` on the way to C++.
    struct RawSettings {
        context: u32,
        threads: u32,
        micro_batch: u32,
        caller_stack: usize,
        key_cache: RawCacheType,
        value_cache: RawCacheType,
        repacked_weights: bool,
        kept_threads: bool,
    }

    /// What the provider was built from, and what it says of itself.
    struct RawBuild {
        name: String,
        profile: String,
        version: String,
        source: String,
        flags: String,
        compiler: String,
        system_info: String,
    }

    /// Sums since the context was made.
    struct RawTimings {
        load_ms: f64,
        prefill_ms: f64,
        decode_ms: f64,
        prefill_tokens: u32,
        decode_tokens: u32,
    }

    /// A tensor that was copied out of a graph.
    struct RawTensor {
        name: String,
        op: String,
        occurrence: usize,
        shape: [usize; 4],
        values: UniquePtr<CxxVector<f32>>,
    }

    unsafe extern "C++" {
        include!("bitnet-cpp-bridge/include/shim.h");

        type Engine;

        fn load(path: &[u8], settings: &RawSettings) -> Result<UniquePtr<Engine>>;
        fn build_info() -> RawBuild;
        fn log_tail() -> String;

        fn vocab_size(&self) -> u32;
        fn trained_context(&self) -> u32;
        fn bos(&self) -> i64;
        fn eos(&self) -> i64;
        fn adds_bos(&self) -> bool;
        fn description(&self) -> String;
        fn timings(&self) -> RawTimings;

        fn tokenize(&self, text: &str, add_special: bool, parse_special: bool) -> Result<Vec<u32>>;
        fn detokenize(&self, ids: &[u32]) -> Result<Vec<u8>>;
        fn logits(self: Pin<&mut Engine>, ids: &[u32], out: &mut [f32]) -> Result<()>;
        fn logits_by_step(self: Pin<&mut Engine>, ids: &[u32], out: &mut [f32]) -> Result<()>;
        fn generate(
            self: Pin<&mut Engine>,
            prompt: &[u32],
            ids: &mut [u32],
            rows: &mut [f32],
            nanos: &mut [u64],
        ) -> Result<()>;
        fn time_prefill(
            self: Pin<&mut Engine>,
            ids: &[u32],
            chosen: &mut [u32],
            nanos: &mut [u64],
        ) -> Result<()>;
        fn time_decode(
            self: Pin<&mut Engine>,
            ids: &[u32],
            depth: usize,
            chosen: &mut [u32],
            nanos: &mut [u64],
        ) -> Result<()>;
        fn capture(
            self: Pin<&mut Engine>,
            ids: &[u32],
            names: &Vec<String>,
        ) -> Result<Vec<RawTensor>>;
    }
}

// SAFETY: an Engine owns its model and context and shares neither; llama.cpp keeps no thread-local
// state in them, so they may be used from any one thread at a time. The log buffer behind it has a
// lock of its own.
unsafe impl Send for bridge::Engine {}
