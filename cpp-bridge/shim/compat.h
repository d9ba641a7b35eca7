// One spelling for what the generations of llama.h name differently.
//
// Known generations: October 2024 (bitnet.cpp's fork) and 2026 (llama.cpp 0.6.0-dev). There are no
// version macros to ask, so overload resolution decides: the overload of the highest rank whose
// expression compiles wins. Functions are found by argument-dependent lookup at instantiation.
#pragma once

#include <type_traits>

#include "ggml-backend.h"
#include "ggml.h"
#include "llama.h"
#if __has_include("ggml-cpu.h")
#include "ggml-cpu.h"
#endif

namespace bitnet_bridge::compat {

template <int N> struct rank : rank<N - 1> {};
template <> struct rank<0> {};
using best = rank<1>;

template <class P>
auto load_model(const char * path, P params, rank<1>) -> decltype(llama_model_load_from_file(path, params)) {
    return llama_model_load_from_file(path, params);
}
template <class P>
auto load_model(const char * path, P params, rank<0>) -> decltype(llama_load_model_from_file(path, params)) {
    return llama_load_model_from_file(path, params);
}

template <class M> auto free_model(M * model, rank<1>) -> decltype(llama_model_free(model)) {
    llama_model_free(model);
}
template <class M> auto free_model(M * model, rank<0>) -> decltype(llama_free_model(model)) {
    llama_free_model(model);
}

template <class M, class P>
auto new_context(M * model, P params, rank<1>) -> decltype(llama_init_from_model(model, params)) {
    return llama_init_from_model(model, params);
}
template <class M, class P>
auto new_context(M * model, P params, rank<0>) -> decltype(llama_new_context_with_model(model, params)) {
    return llama_new_context_with_model(model, params);
}

// The handle that the vocabulary functions take: a vocabulary, once it was the model itself.
template <class M> auto vocabulary(const M * model, rank<1>) -> decltype(llama_model_get_vocab(model)) {
    return llama_model_get_vocab(model);
}
template <class M> const M * vocabulary(const M * model, rank<0>) { return model; }

template <class V> auto vocab_size(const V * v, rank<1>) -> decltype(llama_vocab_n_tokens(v)) {
    return llama_vocab_n_tokens(v);
}
template <class V> auto vocab_size(const V * v, rank<0>) -> decltype(llama_n_vocab(v)) {
    return llama_n_vocab(v);
}

template <class V> auto bos(const V * v, rank<1>) -> decltype(llama_vocab_bos(v)) { return llama_vocab_bos(v); }
template <class V> auto bos(const V * v, rank<0>) -> decltype(llama_token_bos(v)) { return llama_token_bos(v); }

template <class V> auto eos(const V * v, rank<1>) -> decltype(llama_vocab_eos(v)) { return llama_vocab_eos(v); }
template <class V> auto eos(const V * v, rank<0>) -> decltype(llama_token_eos(v)) { return llama_token_eos(v); }

template <class V> auto adds_bos(const V * v, rank<1>) -> decltype(llama_vocab_get_add_bos(v)) {
    return llama_vocab_get_add_bos(v);
}
template <class V> auto adds_bos(const V * v, rank<0>) -> decltype(llama_add_bos_token(v)) {
    return llama_add_bos_token(v);
}

template <class M> auto trained_context(const M * m, rank<1>) -> decltype(llama_model_n_ctx_train(m)) {
    return llama_model_n_ctx_train(m);
}
template <class M> auto trained_context(const M * m, rank<0>) -> decltype(llama_n_ctx_train(m)) {
    return llama_n_ctx_train(m);
}

template <class M> auto layers(const M * m, rank<1>) -> decltype(llama_model_n_layer(m)) { return llama_model_n_layer(m); }
template <class M> auto layers(const M * m, rank<0>) -> decltype(llama_n_layer(m)) { return llama_n_layer(m); }

// Null if there is no such tensor. The newer generation hands out none; it has no I2_S either.
template <class M> auto model_tensor(M * m, const char * name, rank<1>) -> decltype(llama_get_model_tensor(m, name)) {
    return llama_get_model_tensor(m, name);
}
template <class M> ggml_tensor * model_tensor(M *, const char *, rank<0>) { return nullptr; }

template <class C> auto clear_cache(C * ctx, rank<1>) -> decltype(llama_memory_clear(llama_get_memory(ctx), true)) {
    llama_memory_clear(llama_get_memory(ctx), true);
}
template <class C> auto clear_cache(C * ctx, rank<0>) -> decltype(llama_kv_cache_clear(ctx)) {
    llama_kv_cache_clear(ctx);
}

template <class P> auto no_flash_attention(P & p, rank<1>) -> decltype(p.flash_attn_type, void()) {
    p.flash_attn_type = static_cast<decltype(p.flash_attn_type)>(0);  // LLAMA_FLASH_ATTN_TYPE_DISABLED
}
template <class P> auto no_flash_attention(P & p, rank<0>) -> decltype(p.flash_attn, void()) {
    p.flash_attn = false;
}

// Repacked weights change the order of sums. The fork has no such option and repacks nothing.
template <class P> auto repacking(P & p, bool wanted, rank<1>) -> decltype(p.use_extra_bufts, void()) {
    p.use_extra_bufts = wanted;
}
template <class P> void repacking(P &, bool, rank<0>) {}

}  // namespace bitnet_bridge::compat
