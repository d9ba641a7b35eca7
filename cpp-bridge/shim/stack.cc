// Whether the products of a model fit onto the stacks of the threads that compute them.
//
// bitnet.cpp's product of I2_S (ggml_compute_forward_mul_mat in its ggml.c) keeps one float for each
// of a thread's rows and each position of a graph in a variable-length array: too many end the
// process. The caller's thread takes part; the others are the reference's own, made with the default
// size of the system. Refuses only; changes no setting.
#include <pthread.h>

#include <algorithm>
#include <stdexcept>

#include "engine.h"

namespace bitnet_bridge {

namespace {

// For the frames around the array, and what the system keeps on a thread's stack.
constexpr size_t reserved = 256 << 10;
// A thread's share of the rows begins and ends at a multiple of this (`ncols` of I2_S).
constexpr size_t rows_at_once = 4;

// The stack of a thread that is made without attributes.
size_t default_stack() {
    pthread_attr_t attributes;
    size_t size = 0;
    if (pthread_attr_init(&attributes) != 0) throw std::runtime_error("the system does not say how large a thread's stack is");
    const int status = pthread_attr_getstacksize(&attributes, &size);
    pthread_attr_destroy(&attributes);
    if (status != 0) throw std::runtime_error("the system does not say how large a thread's stack is");
    return size;
}

// Rows of the largest I2_S matrix; 0 if there is none.
size_t most_rows(llama_model * model) {
    size_t most = 0;
    const auto look = [&](const std::string & name) {
        const ggml_tensor * t = compat::model_tensor(model, (name + ".weight").c_str(), compat::best{});
        if (t && std::string(ggml_type_name(t->type)) == "i2_s") most = std::max(most, static_cast<size_t>(t->ne[1]));
    };
    look("output");
    look("token_embd");
    const int32_t layers = compat::layers(model, compat::best{});
    for (int32_t layer = 0; layer < layers; ++layer) {
        for (const char * name : {"attn_q", "attn_k", "attn_v", "attn_qkv", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}) {
            look("blk." + std::to_string(layer) + "." + name);
        }
    }
    return most;
}

}  // namespace

void check_stack(llama_model * model, const RawSettings & s) {
    const size_t rows = (most_rows(model) + rows_at_once - 1) / rows_at_once * rows_at_once;
    const size_t share = std::min(rows, (rows + s.threads - 1) / s.threads + rows_at_once);
    const size_t positions = std::min(s.context, s.micro_batch);
    const size_t stack = s.threads == 1 ? s.caller_stack : std::min(s.caller_stack, default_stack());
    const size_t room = (stack - std::min(stack, reserved)) / sizeof(float);
    if (share == 0 || positions <= room / share) return;
    throw std::runtime_error("micro_batch: the reference would keep " + std::to_string(share) + " rows x " +
                             std::to_string(positions) + " positions of floats on the stack of each thread, whose smallest has " +
                             std::to_string(stack) + " bytes; set micro_batch to at most " + std::to_string(room / share) +
                             (s.threads == 1 ? " or use more threads"
                                             : ", use one thread or more threads, or raise the system's limit (`ulimit -s`)"));
}

}  // namespace bitnet_bridge
