//! Needs of a model: what a session allocates, and what its shapes say that a token reads.
//!
//! A test binary of its own, for its allocator counts the bytes of the whole process; so this file has
//! one test, and nothing else may run beside it.

#[path = "model/synthetic.rs"]
mod synthetic;

use std::alloc::{GlobalAlloc, Layout, System};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

use bitnet_engine::kernels::{Isa, Kernels};
use bitnet_engine::model::{KeyCache, LoadOptions};
use bitnet_engine::needs::Needs;
use bitnet_engine::session::{Session, SessionOptions};
use bitnet_engine::synth::{SynthSpec, WeightType};
use synthetic::TINY;

static LIVE: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting does not allocate. The default
// `alloc_zeroed` and `realloc` call `alloc` and `dealloc`, so they are counted as well.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::SeqCst);
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::SeqCst);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes for the threads' names, the list of kernels and the like, which are in no figure.
const SUNDRIES: usize = 16 << 10;

#[test]
fn needs_are_what_is_allocated_and_what_the_shapes_say() {
    let untied = SynthSpec { tied: false, weights: WeightType::Tq2_0, ..TINY };
    let qwen = SynthSpec { architecture: "qwen3", weights: WeightType::F16, ..TINY };
    for spec in [TINY, untied, qwen] {
        let file = synthetic::open(&synthetic::bytes(&spec));
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let kernels = Kernels::for_isa(isa).unwrap();
            let model = synthetic::load(&file, kernels);
            for (context, threads, key_cache) in
                [(512, 1, KeyCache::F16), (33, 2, KeyCache::F32), (1, 1, KeyCache::Q8_0)]
            {
                let threads = NonZeroUsize::new(threads).unwrap();
                let options = LoadOptions::default();
                let config = model.config();
                let needs =
                    Needs::of(&file, config, kernels, &options, context, threads, key_cache);
                let before = LIVE.load(Ordering::SeqCst);
                let options = SessionOptions { key_cache, ..SessionOptions::default() };
                let session = Session::with_options(&model, context, threads, options).unwrap();
                let allocated = LIVE.load(Ordering::SeqCst) - before;
                drop(session);
                let said = (needs.cache + needs.workspace) as usize;
                assert!(
                    (said..said + SUNDRIES).contains(&allocated),
                    "{}, {isa}, {context} positions: {said} said, {allocated} allocated",
                    spec.architecture
                );
            }
        }
    }

    // The tiny model's shapes: 2 layers of width 256, 768 inside, 2 of 4 heads of 64 for keys, 768 ids.
    let needs = |spec: &SynthSpec, isa: Isa| {
        let file = synthetic::open(&synthetic::bytes(spec));
        let kernels = Kernels::for_isa(isa).unwrap();
        let model = synthetic::load(&file, kernels);
        let options = LoadOptions::default();
        Needs::of(&file, model.config(), kernels, &options, 512, NonZeroUsize::MIN, KeyCache::F32)
    };
    let weights = 2 * (2 * 256 * 256 + 2 * 256 * 128 + 3 * 256 * 768) as u64;
    let norms = 4 * (2 * (256 + 256 + 256 + 768) + 256) as u64;
    let (scales, head) = (14 * 32, 768 * 256 * 2);
    let scalar = needs(&TINY, Isa::Scalar);
    assert_eq!(scalar.mapped, weights / 4 + scales + norms + head);
    assert_eq!((scalar.arranged, scalar.read_by_token), (0, scalar.mapped));
    assert_eq!(scalar.cache, 2 * 128 * 512 * (4 + 2));
    assert_eq!(scalar.read_by_position, 2 * 128 * (4 + 2));
    assert_eq!(scalar.read_at(9), scalar.read_by_token + 10 * scalar.read_by_position);
    let sum = scalar.mapped + scalar.cache + scalar.workspace;
    assert_eq!(scalar.memory(), sum);
    if Isa::Avx512.is_available() {
        let wide = needs(&TINY, Isa::Avx512);
        assert_eq!((wide.mapped, wide.arranged), (scalar.mapped, weights / 4));
        assert_eq!(wide.read_by_token, scalar.mapped - scales);
    }
    if Isa::Avx512Vbmi.is_available() {
        // 16 rows of 256 columns are 22 groups of 40 bytes, of 768 columns 64.
        let panels = 2 * ((2 * 16 + 2 * 8 + 2 * 48) * 22 + 16 * 64) * 40;
        let packed = needs(&TINY, Isa::Avx512Vbmi);
        assert_eq!((packed.mapped, packed.arranged), (scalar.mapped, panels));
        assert_eq!(packed.read_by_token, scalar.mapped - weights / 4 - scales + panels);
    }
    assert_eq!((scalar.screen, scalar.read_by_step_top), (0, scalar.read_by_token));
    if Isa::Avx512Vbmi.is_available() {
        // 768 rows of 256 columns at 6 bits, and three figures of 4 bytes a row.
        let screened = needs(&TINY, Isa::Avx512Vbmi);
        assert_eq!(screened.screen, 768 * (256 * 6 / 8 + 12));
        assert_eq!(screened.read_by_step_top, screened.read_by_token - head + screened.screen);
        let quantised = needs(&SynthSpec { embedding: WeightType::Q6K, ..TINY }, Isa::Avx512Vbmi);
        assert_eq!(quantised.screen, 0);
    }
    // With a head of its own, one row of the embedding is read.
    let untied = needs(&untied, Isa::Scalar);
    assert_eq!(untied.mapped, weights / 256 * 66 + norms + 2 * head);
    assert_eq!(untied.read_by_token, untied.mapped - head + 256 * 2);
}
