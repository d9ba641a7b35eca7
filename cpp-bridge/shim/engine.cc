// Loading, tokenising and computing with one model. Judges no output, prints nothing.
#include "engine.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <mutex>
#include <stdexcept>

#include "log.h"

namespace bitnet_bridge {

namespace {

// GGML_MAX_N_THREADS of both generations; more would trip an assertion.
constexpr uint32_t most_threads = 512;
constexpr size_t most_i32 = static_cast<size_t>(std::numeric_limits<int32_t>::max());

class Batch {
  public:
    explicit Batch(size_t capacity) : batch_(llama_batch_init(static_cast<int32_t>(capacity), 0, 1)) {}
    ~Batch() { llama_batch_free(batch_); }
    Batch(const Batch &) = delete;
    Batch & operator=(const Batch &) = delete;

    void clear() { batch_.n_tokens = 0; }
    void add(uint32_t id, size_t position, bool wants_logits) {
        const int32_t i = batch_.n_tokens++;
        batch_.token[i] = static_cast<llama_token>(id);
        batch_.pos[i] = static_cast<llama_pos>(position);
        batch_.n_seq_id[i] = 1;
        batch_.seq_id[i][0] = 0;
        batch_.logits[i] = wants_logits;
    }
    void decode(llama_context * ctx) const {
        const int32_t status = llama_decode(ctx, batch_);
        if (status == 1) throw std::runtime_error("llama_decode found no room in the KV cache");
        if (status != 0) throw std::runtime_error("llama_decode failed with status " + std::to_string(status));
    }

  private:
    llama_batch batch_;
};

ggml_type cache_type(RawCacheType type) {
    switch (type) {
        case RawCacheType::F32: return GGML_TYPE_F32;
        case RawCacheType::F16: return GGML_TYPE_F16;
        case RawCacheType::Q8_0: return GGML_TYPE_Q8_0;
        default: throw std::runtime_error("unknown type of KV cache");
    }
}

void check_settings(const RawSettings & s) {
    if (s.context == 0 || s.context > most_i32) {
        throw std::runtime_error("context must be 1.." + std::to_string(most_i32) + ", got " + std::to_string(s.context));
    }
    if (s.threads == 0 || s.threads > most_threads) {
        throw std::runtime_error("threads must be 1.." + std::to_string(most_threads) + ", got " + std::to_string(s.threads));
    }
    if (s.micro_batch == 0) throw std::runtime_error("micro_batch must be at least 1");
}

// The reference tells stderr alone why it could not open a file.
void check_readable(const std::string & file) {
    if (file.find('\0') != std::string::npos) throw std::runtime_error("the path contains a NUL byte");
    const std::unique_ptr<std::FILE, int (*)(std::FILE *)> handle(std::fopen(file.c_str(), "rb"), std::fclose);
    if (!handle) throw std::runtime_error(std::string("failed to open it: ") + std::strerror(errno));
}

std::string describe(const llama_model * model) {
    char text[256] = {};
    llama_model_desc(model, text, sizeof(text));
    return text;
}

// Without AVX2 bitnet.cpp's x86 product of I2_S is an empty function: it would compute garbage.
void check_kernels(const llama_model * model) {
#if defined(__x86_64__) || defined(_M_X64)
    const bool i2_s = describe(model).find("I2_S") != std::string::npos;
    const bool avx2 = system_info().find("AVX2 = 1") != std::string::npos;
    if (i2_s && !avx2) {
        throw std::runtime_error("this build of the reference has no AVX2, without which its I2_S product is empty: "
                                 "build it with BITNET_CPP_MARCH=x86-64-v3 on a processor that has AVX2");
    }
#else
    (void) model;
#endif
}

// A number of the file's metadata that belongs to its architecture, or 0 where there is none.
size_t number(const llama_model * model, const std::string & key) {
    char text[64] = {};
    if (llama_model_meta_val_str(model, "general.architecture", text, sizeof(text)) < 0) return 0;
    const std::string name = std::string(text) + "." + key;
    if (llama_model_meta_val_str(model, name.c_str(), text, sizeof(text)) < 0) return 0;
    return std::strtoull(text, nullptr, 10);
}

// bitnet.cpp would end with an assertion.
void check_cache(const llama_model * model, const RawSettings & s) {
    if (s.value_cache == RawCacheType::Q8_0) {
        throw std::runtime_error("values in Q8_0 need flash attention, which is off: take F16");
    }
    size_t head = number(model, "attention.key_length");
    if (head == 0) {
        head = number(model, "embedding_length") / std::max<size_t>(1, number(model, "attention.head_count"));
    }
    const size_t block = static_cast<size_t>(ggml_blck_size(cache_type(s.key_cache)));
    if (head % block != 0) {
        throw std::runtime_error("keys in Q8_0 come in blocks of " + std::to_string(block) + " values, which heads of " +
                                 std::to_string(head) + " are not: take F16 or F32");
    }
}

void check_room(size_t have, size_t want, const char * what) {
    if (have != want) {
        throw std::runtime_error(std::string("the buffer for ") + what + " holds " + std::to_string(have) +
                                 " values, " + std::to_string(want) + " are needed");
    }
}

// Strictly greater: ties go to the lowest id, and a NaN is never chosen over a number.
uint32_t greedy(const float * row, size_t n) {
    size_t best = 0;
    for (size_t i = 1; i < n; ++i) {
        if (row[i] > row[best] || (row[best] != row[best] && row[i] == row[i])) best = i;
    }
    return static_cast<uint32_t>(best);
}

// What computing a row for each of `ids` starts with: input and room are checked, the cache is emptied.
void begin_rows(const Engine::Impl & impl, Ids ids, size_t room) {
    impl.check_ids(ids);
    impl.check_positions(ids.size());
    check_room(room, ids.size() * impl.vocab, "logits");
    compat::clear_cache(impl.context.get(), compat::best{});
}

// Computes `ids` at positions first.. against the clock; the choice from the last row is not counted.
void timed(const Engine::Impl & impl, Ids ids, size_t first, uint32_t & chosen, uint64_t & nanos) {
    using clock = std::chrono::steady_clock;
    const float * row = nullptr;
    const auto start = clock::now();
    impl.feed(impl.context.get(), ids, first, Rows::last, [&](size_t, const float * values) { row = values; });
    nanos = static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(clock::now() - start).count());
    chosen = greedy(row, impl.vocab);
}

}  // namespace

ContextPtr Engine::Impl::new_context(ggml_backend_sched_eval_callback callback, void * user_data) const {
    llama_context_params p = llama_context_default_params();
    p.n_ctx = settings.context;
    p.n_batch = std::min(settings.context, settings.micro_batch);
    p.n_ubatch = p.n_batch;
    p.n_seq_max = 1;
    p.n_threads = static_cast<int32_t>(settings.threads);
    p.n_threads_batch = p.n_threads;
    p.type_k = cache_type(settings.key_cache);
    p.type_v = cache_type(settings.value_cache);
    p.offload_kqv = false;
    p.no_perf = false;
    p.cb_eval = callback;
    p.cb_eval_user_data = user_data;
    compat::no_flash_attention(p, compat::best{});
    ContextPtr ctx(compat::new_context(model.get(), p, compat::best{}));
    if (!ctx) throw std::runtime_error("the reference could not make a context");
    llama_set_causal_attn(ctx.get(), true);
    return ctx;
}

void Engine::Impl::keep_threads() {
    ggml_threadpool_params params;
    ggml_threadpool_params_init(&params, static_cast<int>(settings.threads));
    threads.reset(ggml_threadpool_new(&params));
    if (!threads) throw std::runtime_error("the reference could not make its threads");
    llama_attach_threadpool(context.get(), threads.get(), threads.get());
    park_threads();
}

void Engine::Impl::park_threads() const {
    if (threads) ggml_threadpool_pause(threads.get());
}

void Engine::Impl::check_ids(Ids ids) const {
    if (ids.empty()) throw std::runtime_error("no ids were given");
    for (size_t i = 0; i < ids.size(); ++i) {
        if (ids[i] >= vocab) {
            throw std::runtime_error("id " + std::to_string(ids[i]) + " at index " + std::to_string(i) +
                                     " is outside the vocabulary of " + std::to_string(vocab));
        }
    }
}

void Engine::Impl::check_positions(size_t needed) const {
    if (needed > settings.context) {
        throw std::runtime_error(std::to_string(needed) + " positions are needed, the context holds " +
                                 std::to_string(settings.context));
    }
}

void Engine::Impl::feed(llama_context * ctx, Ids ids, size_t first, Rows rows,
                        const std::function<void(size_t, const float *)> & row) const {
    const size_t step = llama_n_batch(ctx);
    Batch batch(std::min(step, ids.size()));
    for (size_t begin = 0; begin < ids.size(); begin += step) {
        const size_t end = std::min(begin + step, ids.size());
        batch.clear();
        for (size_t i = begin; i < end; ++i) batch.add(ids[i], first + i, rows == Rows::all || i + 1 == ids.size());
        batch.decode(ctx);
        for (size_t i = rows == Rows::all ? begin : std::max(begin, ids.size() - 1); i < end; ++i) {
            const float * values = llama_get_logits_ith(ctx, static_cast<int32_t>(i - begin));
            if (!values) throw std::runtime_error("the reference has no logits for position " + std::to_string(first + i));
            row(i, values);
        }
    }
}

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

std::unique_ptr<Engine> load(rust::Slice<const uint8_t> path, const RawSettings & settings) {
    install_log();
    static std::once_flag backend;
    std::call_once(backend, [] { llama_backend_init(); });
    return reporting([&] {
        check_settings(settings);
        const std::string file(path.begin(), path.end());
        check_readable(file);
        auto impl = std::make_unique<Engine::Impl>();
        impl->settings = settings;
        llama_model_params p = llama_model_default_params();
        p.n_gpu_layers = 0;
        p.check_tensors = false;
        compat::repacking(p, settings.repacked_weights, compat::best{});
        impl->model.reset(compat::load_model(file.c_str(), p, compat::best{}));
        if (!impl->model) throw std::runtime_error("the reference could not load the file");
        check_kernels(impl->model.get());
        check_stack(impl->model.get(), settings);
        check_cache(impl->model.get(), settings);
        const int32_t vocab = compat::vocab_size(impl->vocabulary(), compat::best{});
        if (vocab <= 0) throw std::runtime_error("the model has no vocabulary");
        impl->vocab = static_cast<uint32_t>(vocab);
        impl->context = impl->new_context(nullptr, nullptr);
        if (settings.kept_threads) impl->keep_threads();
        return std::make_unique<Engine>(std::move(impl));
    });
}

rust::String log_tail() noexcept { return rust::String::lossy(log_lines()); }

uint32_t Engine::vocab_size() const noexcept { return impl_->vocab; }
uint32_t Engine::trained_context() const noexcept {
    return static_cast<uint32_t>(std::max(0, static_cast<int>(compat::trained_context(impl_->model.get(), compat::best{}))));
}
int64_t Engine::bos() const noexcept { return compat::bos(impl_->vocabulary(), compat::best{}); }
int64_t Engine::eos() const noexcept { return compat::eos(impl_->vocabulary(), compat::best{}); }
bool Engine::adds_bos() const noexcept { return compat::adds_bos(impl_->vocabulary(), compat::best{}); }
rust::String Engine::description() const noexcept { return rust::String::lossy(describe(impl_->model.get())); }

RawTimings Engine::timings() const noexcept {
    const auto t = llama_perf_context(impl_->context.get());
    return RawTimings{t.t_load_ms, t.t_p_eval_ms, t.t_eval_ms, static_cast<uint32_t>(std::max(0, t.n_p_eval)),
                      static_cast<uint32_t>(std::max(0, t.n_eval))};
}

rust::Vec<uint32_t> Engine::tokenize(rust::Str text, bool add_special, bool parse_special) const {
    return reporting([&] {
        const auto v = impl_->vocabulary();
        if (llama_vocab_type(v) == LLAMA_VOCAB_TYPE_NONE) throw std::runtime_error("the model has no tokenizer");
        if (text.size() > most_i32) {
            throw std::runtime_error("a text of " + std::to_string(text.size()) + " bytes is too long, at most " +
                                     std::to_string(most_i32) + " can be passed to the reference");
        }
        const int32_t length = static_cast<int32_t>(text.size());
        std::vector<llama_token> ids(std::min(text.size() + 16, most_i32));
        int32_t n = llama_tokenize(v, text.data(), length, ids.data(), static_cast<int32_t>(ids.size()), add_special, parse_special);
        if (n < 0) {
            ids.resize(static_cast<size_t>(-static_cast<int64_t>(n)));
            n = llama_tokenize(v, text.data(), length, ids.data(), static_cast<int32_t>(ids.size()), add_special, parse_special);
        }
        if (n < 0) throw std::runtime_error("the reference could not tokenize the text");
        rust::Vec<uint32_t> out;
        out.reserve(static_cast<size_t>(n));
        for (int32_t i = 0; i < n; ++i) {
            if (ids[i] < 0) throw std::runtime_error("the reference gave a negative id at index " + std::to_string(i));
            out.push_back(static_cast<uint32_t>(ids[i]));
        }
        return out;
    });
}

rust::Vec<uint8_t> Engine::detokenize(Ids ids) const {
    return reporting([&] {
        const auto v = impl_->vocabulary();
        if (llama_vocab_type(v) == LLAMA_VOCAB_TYPE_NONE) throw std::runtime_error("the model has no tokenizer");
        rust::Vec<uint8_t> out;
        if (ids.empty()) return out;
        impl_->check_ids(ids);
        std::string piece(64, '\0');
        for (const uint32_t id : ids) {
            const auto token = static_cast<llama_token>(id);
            int32_t n = llama_token_to_piece(v, token, piece.data(), static_cast<int32_t>(piece.size()), 0, true);
            if (n < 0) {
                piece.resize(static_cast<size_t>(-static_cast<int64_t>(n)));
                n = llama_token_to_piece(v, token, piece.data(), static_cast<int32_t>(piece.size()), 0, true);
            }
            if (n < 0) throw std::runtime_error("the reference could not write id " + std::to_string(id));
            for (int32_t i = 0; i < n; ++i) out.push_back(static_cast<uint8_t>(piece[i]));
        }
        return out;
    });
}

void Engine::logits(Ids ids, rust::Slice<float> out) {
    reporting([&] {
        const size_t n = impl_->vocab;
        begin_rows(*impl_, ids, out.size());
        impl_->feed(impl_->context.get(), ids, 0, Rows::all,
                    [&](size_t i, const float * row) { std::copy_n(row, n, out.data() + i * n); });
    });
}

void Engine::logits_by_step(Ids ids, rust::Slice<float> out) {
    reporting([&] {
        const size_t n = impl_->vocab;
        begin_rows(*impl_, ids, out.size());
        for (size_t i = 0; i < ids.size(); ++i) {
            impl_->feed(impl_->context.get(), Ids(ids.data() + i, 1), i, Rows::all,
                        [&](size_t, const float * row) { std::copy_n(row, n, out.data() + i * n); });
        }
    });
}

void Engine::generate(Ids prompt, rust::Slice<uint32_t> ids, rust::Slice<float> rows, rust::Slice<uint64_t> nanos) {
    reporting([&] {
        using clock = std::chrono::steady_clock;
        const size_t n = impl_->vocab;
        const size_t steps = ids.size();
        impl_->check_ids(prompt);
        check_room(rows.size(), steps * n, "logits");
        check_room(nanos.size(), steps, "times");
        if (steps == 0) return;
        // The last id is chosen, but not fed.
        impl_->check_positions(prompt.size() + steps - 1);
        compat::clear_cache(impl_->context.get(), compat::best{});
        for (size_t i = 0; i < steps; ++i) {
            const Ids fed = i == 0 ? prompt : Ids(ids.data() + i - 1, 1);
            const size_t first = i == 0 ? 0 : prompt.size() + i - 1;
            const float * row = nullptr;
            const auto start = clock::now();
            impl_->feed(impl_->context.get(), fed, first, Rows::last, [&](size_t, const float * values) { row = values; });
            ids[i] = greedy(row, n);
            nanos[i] = static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(clock::now() - start).count());
            std::copy_n(row, n, rows.data() + i * n);
        }
    });
}

void Engine::time_prefill(Ids ids, rust::Slice<uint32_t> chosen, rust::Slice<uint64_t> nanos) {
    reporting([&] {
        impl_->check_ids(ids);
        impl_->check_positions(ids.size());
        check_room(nanos.size(), chosen.size(), "times");
        for (size_t i = 0; i < chosen.size(); ++i) {
            compat::clear_cache(impl_->context.get(), compat::best{});
            timed(*impl_, ids, 0, chosen[i], nanos[i]);
        }
        impl_->park_threads();
    });
}

void Engine::time_decode(Ids ids, size_t depth, rust::Slice<uint32_t> chosen, rust::Slice<uint64_t> nanos) {
    reporting([&] {
        impl_->check_ids(ids);
        impl_->check_positions(ids.size());
        if (depth >= ids.size()) throw std::runtime_error("no id is left to be timed behind the first " + std::to_string(depth));
        check_room(chosen.size(), ids.size() - depth, "chosen ids");
        check_room(nanos.size(), ids.size() - depth, "times");
        compat::clear_cache(impl_->context.get(), compat::best{});
        if (depth > 0) impl_->feed(impl_->context.get(), Ids(ids.data(), depth), 0, Rows::last, [](size_t, const float *) {});
        for (size_t i = 0; i < chosen.size(); ++i) {
            timed(*impl_, Ids(ids.data() + depth + i, 1), depth + i, chosen[i], nanos[i]);
        }
        impl_->park_threads();
    });
}

}  // namespace bitnet_bridge
