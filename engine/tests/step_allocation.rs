//! `Session::step` allocates nothing, on any thread, for any type of weights.
//!
//! A test binary of its own, for its allocator counts the calls of the whole process; so this file
//! has one test, and nothing else may run beside it.

#[path = "model/synthetic.rs"]
mod synthetic;

use std::alloc::{GlobalAlloc, Layout, System};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

use bitnet_engine::kernels::{Isa, Kernels};
use bitnet_engine::model::LogitsOf;
use bitnet_engine::session::Session;
use bitnet_engine::synth::{SynthSpec, WeightType};
use synthetic::TINY;

static CALLS: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting does not allocate. The
// default `alloc_zeroed` and `realloc` call `alloc`, so they are counted as well.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Calls of the allocator while `work` runs.
fn calls(work: impl FnOnce()) -> usize {
    let before = CALLS.load(Ordering::SeqCst);
    work();
    CALLS.load(Ordering::SeqCst) - before
}

#[test]
fn a_step_allocates_nothing() {
    assert!(calls(|| drop(std::hint::black_box(vec![0u8; 100]))) > 0, "the allocator counts");
    for (architecture, weights, embedding) in [
        (TINY.architecture, WeightType::I2S, WeightType::Q6K),
        (TINY.architecture, WeightType::I2S, WeightType::F16),
        (TINY.architecture, WeightType::F16, WeightType::F16),
        (TINY.architecture, WeightType::F32, WeightType::F32),
        (TINY.architecture, WeightType::Bf16, WeightType::Q8_0),
        (TINY.architecture, WeightType::Tq2_0, WeightType::Q4K),
        ("bitnet", WeightType::F16, WeightType::F16),
        ("qwen2", WeightType::I2S, WeightType::F16),
        ("qwen3", WeightType::F16, WeightType::F16),
    ] {
        let spec = SynthSpec { architecture, weights, embedding, tied: false, ..TINY };
        let file = synthetic::open(&synthetic::bytes(&spec));
        for (isa, threads) in [(Isa::Scalar, 1), (Isa::best(), 1), (Isa::best(), 3)] {
            let model = synthetic::load(&file, Kernels::for_isa(isa).unwrap());
            let mut session =
                Session::new(&model, 40, NonZeroUsize::new(threads).unwrap()).unwrap();
            let what = format!("{architecture} {weights}/{embedding}, {isa}, {threads} threads");
            // A worker allocates while its thread starts, until it has done its first part.
            let first = calls(|| drop(session.step(0).map(<[f32]>::len)));
            assert!(first == 0 || threads > 1, "{what}: {first} by the first step");
            // On past a step of the cache, which is 32 positions.
            let steps = calls(|| (1..40).for_each(|id| drop(session.step(id).map(<[f32]>::len))));
            assert_eq!((steps, session.position()), (0, 40), "{what}");
            session.clear();
            let prefill = calls(|| drop(session.prefill(&[1, 2], LogitsOf::Last).unwrap()));
            assert!(prefill > 0, "{what}: a prefill returns a vector");
            assert_eq!(calls(|| drop(session.step(3).map(<[f32]>::len))), 0, "{what}");
            // What it needs is made when it is called first.
            drop(session.step_top(4, 5).map(<[f32]>::len));
            let top =
                calls(|| (5..30).for_each(|id| drop(session.step_top(id, 5).map(<[f32]>::len))));
            assert_eq!((top, session.position()), (0, 29), "{what}");
        }
    }
}
