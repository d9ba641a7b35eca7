// The C++ side of the bridge as cxx sees it: one engine, no type of llama.h.
//
// Compiled by the bridge (with the glue) and by each provider (with the shim), so nothing here may
// depend on which reference stands behind it. What is not noexcept may throw a std::exception, which
// cxx turns into an `Err`: src/ffi.rs declares it with `Result`. What is noexcept only hands over
// what is known already; memory that has run out ends the process there. Ids, lengths and
// positions are checked before llama.cpp sees them.
#pragma once

#include <cstdint>
#include <memory>

#include "rust/cxx.h"

namespace bitnet_bridge {

struct RawBuild;
struct RawSettings;
struct RawTensor;
struct RawTimings;

// Model and context of one loaded file.
class Engine {
  public:
    struct Impl;

    explicit Engine(std::unique_ptr<Impl> impl);
    ~Engine();
    Engine(const Engine &) = delete;
    Engine & operator=(const Engine &) = delete;

    uint32_t vocab_size() const noexcept;
    uint32_t trained_context() const noexcept;
    int64_t bos() const noexcept;  // -1: the model has none
    int64_t eos() const noexcept;  // -1: the model has none
    bool adds_bos() const noexcept;
    rust::String description() const noexcept;
    RawTimings timings() const noexcept;

    rust::Vec<uint32_t> tokenize(rust::Str text, bool add_special, bool parse_special) const;
    rust::Vec<uint8_t> detokenize(rust::Slice<const uint32_t> ids) const;

    // `out` holds ids.size() rows of vocab_size() values.
    void logits(rust::Slice<const uint32_t> ids, rust::Slice<float> out);
    void logits_by_step(rust::Slice<const uint32_t> ids, rust::Slice<float> out);
    // The three outputs hold one entry, one row and one entry per step.
    void generate(rust::Slice<const uint32_t> prompt, rust::Slice<uint32_t> ids,
                  rust::Slice<float> rows, rust::Slice<uint64_t> nanos);
    // `chosen` and `nanos` hold one entry per repetition, or per id behind the first `depth`.
    void time_prefill(rust::Slice<const uint32_t> ids, rust::Slice<uint32_t> chosen, rust::Slice<uint64_t> nanos);
    void time_decode(rust::Slice<const uint32_t> ids, size_t depth, rust::Slice<uint32_t> chosen,
                     rust::Slice<uint64_t> nanos);
    rust::Vec<RawTensor> capture(rust::Slice<const uint32_t> ids, const rust::Vec<rust::String> & names);

  private:
    std::unique_ptr<Impl> impl_;
};

std::unique_ptr<Engine> load(rust::Slice<const uint8_t> path, const RawSettings & settings);
RawBuild build_info() noexcept;
rust::String log_tail() noexcept;

}  // namespace bitnet_bridge
