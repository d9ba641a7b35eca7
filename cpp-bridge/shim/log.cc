// The log buffer: see log.h.
#include "log.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <mutex>

#include "compat.h"

namespace bitnet_bridge {

namespace {

constexpr size_t kept_lines = 200;
constexpr size_t longest_line = 2000;
constexpr size_t errors_in_message = 4;

std::mutex guard;
std::deque<std::string> lines;
std::string unfinished;
const char * unfinished_level = "info";

// The thread that calls into the reference also logs its errors; other threads may run other calls.
thread_local std::deque<std::string> errors;  // the last errors_in_message, oldest first
thread_local bool last_was_error = false;

const char * level_name(ggml_log_level level) {
    switch (level) {
        case GGML_LOG_LEVEL_ERROR: return "error";
        case GGML_LOG_LEVEL_WARN: return "warn";
        case GGML_LOG_LEVEL_DEBUG: return "debug";
        default: return "info";
    }
}

void trim(std::string & text) {
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
}

// Nothing bounds what a file can make the reference log.
void append_cut(std::string & line, const char * text) {
    line.append(text, std::min(std::strlen(text), longest_line - std::min(line.size(), longest_line)));
}

void note_error(ggml_log_level level, const char * text) {
    if (level == GGML_LOG_LEVEL_ERROR) {
        errors.emplace_back();
        append_cut(errors.back(), text);
        if (errors.size() > errors_in_message) errors.pop_front();
        last_was_error = true;
    } else if (level == GGML_LOG_LEVEL_CONT && last_was_error && !errors.empty()) {
        append_cut(errors.back(), text);
    } else {
        last_was_error = false;
    }
}

void receive(ggml_log_level level, const char * text, void *) noexcept {
    if (!text) return;
    try {
        note_error(level, text);
        const std::lock_guard<std::mutex> lock(guard);
        if (level != GGML_LOG_LEVEL_CONT) unfinished_level = level_name(level);
        for (const char * c = text; *c; ++c) {
            if (*c != '\n') {
                if (unfinished.size() < longest_line) unfinished += *c;
                continue;
            }
            lines.push_back(std::string(unfinished_level) + ": " + unfinished);
            unfinished.clear();
            if (lines.size() > kept_lines) lines.pop_front();
        }
    } catch (...) {
        // Out of memory while logging: a lost log line must not end the computation.
    }
}

}  // namespace

void install_log() {
    static std::once_flag once;
    // The newer generation keeps one logger for both libraries, the older one forwards to ggml.
    std::call_once(once, [] { llama_log_set(receive, nullptr); });
}

std::string log_lines() {
    const std::lock_guard<std::mutex> lock(guard);
    std::string text;
    for (const auto & line : lines) text += line + "\n";
    if (!unfinished.empty()) text += std::string(unfinished_level) + ": " + unfinished + "\n";
    return text;
}

void begin_call() {
    errors.clear();
    last_was_error = false;
}

std::string with_logged_errors(const std::string & what) {
    std::string text = what;
    for (std::string line : errors) {
        trim(line);
        text += "; " + line;
    }
    return text;
}

}  // namespace bitnet_bridge
