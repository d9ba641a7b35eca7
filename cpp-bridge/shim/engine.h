// What the parts of the shim share: the owner of model and context, and the checks of input.
//
// Knows llama.h through compat.h; nothing of it reaches include/shim.h.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bitnet-cpp-bridge/include/shim.h"
#include "bitnet-cpp-bridge/src/ffi.rs.h"
#include "compat.h"

namespace bitnet_bridge {

struct FreeModel {
    void operator()(llama_model * model) const { compat::free_model(model, compat::best{}); }
};
struct FreeContext {
    void operator()(llama_context * ctx) const { llama_free(ctx); }
};
struct FreeThreads {
    void operator()(ggml_threadpool * threads) const { ggml_threadpool_free(threads); }
};
using ModelPtr = std::unique_ptr<llama_model, FreeModel>;
using ContextPtr = std::unique_ptr<llama_context, FreeContext>;
using ThreadsPtr = std::unique_ptr<ggml_threadpool, FreeThreads>;
using Ids = rust::Slice<const uint32_t>;

enum class Rows { all, last };

// What the reference says it was compiled for. Asked once: llama_print_system_info() rewrites a
// static std::string at every call, which corrupts the heap when two threads do it.
const std::string & system_info();

// Refuses settings with which a product of `model` would overflow the stack of a thread.
void check_stack(llama_model * model, const RawSettings & settings);

struct Engine::Impl {
    ModelPtr model;
    RawSettings settings;
    // Only with kept_threads. Goes after the context that it is attached to.
    ThreadsPtr threads;
    ContextPtr context;
    uint32_t vocab = 0;

    auto vocabulary() const { return compat::vocabulary(model.get(), compat::best{}); }

    // A context of these settings; `callback` sees every node of every graph it computes.
    ContextPtr new_context(ggml_backend_sched_eval_callback callback, void * user_data) const;

    // Refuses ids outside the vocabulary, an empty list, and more positions than the context holds.
    void check_ids(Ids ids) const;
    void check_positions(size_t needed) const;

    // Makes the threads that stay, and hands them to the context.
    void keep_threads();

    // Lets the kept threads sleep until the next graph: waiting ones would spin for a while.
    void park_threads() const;

    // Computes ids at positions first.. of `ctx`, in batches. `row(i, values)` gets the logits of ids[i].
    void feed(llama_context * ctx, Ids ids, size_t first, Rows rows,
              const std::function<void(size_t, const float *)> & row) const;
};

}  // namespace bitnet_bridge
