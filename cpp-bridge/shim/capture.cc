// Copies named tensors out of the graph of one prefill, without changing what is computed.
//
// Uses a context of its own: the callback splits the graph, and no measured call may pay for it.
#include <cstring>
#include <exception>
#include <set>
#include <stdexcept>

#include "engine.h"
#include "log.h"

namespace bitnet_bridge {

namespace {

struct Collector {
    std::set<std::string> wanted;
    std::vector<RawTensor> found;
    std::exception_ptr failure;
};

bool is_on_host(const ggml_tensor * t) {
    const ggml_backend_buffer_t buffer = t->view_src ? t->view_src->buffer : t->buffer;
    return buffer && ggml_backend_buffer_is_host(buffer);
}

// One row of ne[0] values. Strides are in bytes; a view may have gaps in every dimension.
void read_row(const ggml_tensor * t, const char * row, float * out) {
    const int64_t n = t->ne[0];
    switch (t->type) {
        case GGML_TYPE_F32:
            for (int64_t i = 0; i < n; ++i) std::memcpy(&out[i], row + i * t->nb[0], sizeof(float));
            return;
        case GGML_TYPE_F16:
            for (int64_t i = 0; i < n; ++i) {
                ggml_fp16_t half;
                std::memcpy(&half, row + i * t->nb[0], sizeof(half));
                out[i] = ggml_fp16_to_fp32(half);
            }
            return;
        case GGML_TYPE_I32:
            for (int64_t i = 0; i < n; ++i) {
                int32_t value;
                std::memcpy(&value, row + i * t->nb[0], sizeof(value));
                out[i] = static_cast<float>(value);
            }
            return;
        default: break;
    }
    const auto to_float = ggml_get_type_traits(t->type)->to_float;
    if (!to_float || t->nb[0] != ggml_type_size(t->type)) {
        throw std::runtime_error(std::string("cannot read values of type ") + ggml_type_name(t->type));
    }
    to_float(row, out, n);
}

RawTensor copy_out(const ggml_tensor * t, size_t occurrence) {
    if (!is_on_host(t)) throw std::runtime_error("its data is not in host memory");
    const int64_t * ne = t->ne;
    auto values = std::make_unique<std::vector<float>>(static_cast<size_t>(ne[0] * ne[1] * ne[2] * ne[3]));
    float * out = values->data();
    for (int64_t i3 = 0; i3 < ne[3]; ++i3) {
        for (int64_t i2 = 0; i2 < ne[2]; ++i2) {
            for (int64_t i1 = 0; i1 < ne[1]; ++i1, out += ne[0]) {
                read_row(t, static_cast<const char *>(t->data) + i3 * t->nb[3] + i2 * t->nb[2] + i1 * t->nb[1], out);
            }
        }
    }
    RawTensor tensor;
    tensor.name = rust::String::lossy(std::string(t->name));
    tensor.op = rust::String::lossy(std::string(ggml_op_desc(t)));
    tensor.occurrence = occurrence;
    for (size_t i = 0; i < 4; ++i) tensor.shape[i] = static_cast<size_t>(ne[i]);
    tensor.values = std::move(values);
    return tensor;
}

bool on_node(ggml_tensor * t, bool ask, void * user_data) noexcept {
    auto * collector = static_cast<Collector *>(user_data);
    try {
        if (collector->wanted.count(t->name) == 0) return false;
        if (ask) return true;
        size_t occurrence = 0;
        for (const auto & other : collector->found) occurrence += std::string(other.name) == t->name;
        collector->found.push_back(copy_out(t, occurrence));
        return true;
    } catch (const std::exception & error) {
        try {
            throw std::runtime_error(std::string("tensor ") + t->name + ": " + error.what());
        } catch (...) {
            collector->failure = std::current_exception();
        }
    } catch (...) {
        collector->failure = std::current_exception();
    }
    return false;  // with ask == false this ends the computation
}

}  // namespace

rust::Vec<RawTensor> Engine::capture(Ids ids, const rust::Vec<rust::String> & names) {
    return reporting([&] {
        impl_->check_ids(ids);
        impl_->check_positions(ids.size());
        if (names.empty()) throw std::runtime_error("no tensor names were given");
        if (ids.size() > impl_->settings.micro_batch) {
            throw std::runtime_error(std::to_string(ids.size()) + " ids do not fit into one graph of micro_batch = " +
                                     std::to_string(impl_->settings.micro_batch) + " positions");
        }
        Collector collector;
        for (const auto & name : names) collector.wanted.insert(std::string(name));
        const ContextPtr ctx = impl_->new_context(on_node, &collector);
        // Making a context reserves graphs, but computes none; only what follows is wanted.
        collector.found.clear();
        try {
            impl_->feed(ctx.get(), ids, 0, Rows::all, [](size_t, const float *) {});
        } catch (...) {
            if (!collector.failure) throw;
        }
        if (collector.failure) std::rethrow_exception(collector.failure);
        for (const auto & tensor : collector.found) collector.wanted.erase(std::string(tensor.name));
        if (!collector.wanted.empty()) {
            std::string missing;
            for (const auto & name : collector.wanted) missing += (missing.empty() ? "" : ", ") + name;
            throw std::runtime_error("the reference computed no tensor named " + missing);
        }
        rust::Vec<RawTensor> out;
        for (auto & tensor : collector.found) out.push_back(std::move(tensor));
        return out;
    });
}

}  // namespace bitnet_bridge
