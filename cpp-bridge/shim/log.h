// What the reference logs: a bounded record of all lines, and the errors of the call in progress.
//
// Prints nothing. Lines that a reference writes to stderr itself stay there.
#pragma once

#include <exception>
#include <stdexcept>
#include <string>

namespace bitnet_bridge {

// Takes over the reference's logging, once a process.
void install_log();

// The last lines, oldest first, each with its level.
std::string log_lines();

// Forgets the errors that this thread has logged.
void begin_call();

// `what`, followed by the errors that this thread has logged since begin_call().
std::string with_logged_errors(const std::string & what);

// Runs `work`; a std::exception leaves it with the logged errors added to its text.
template <class F> auto reporting(F && work) -> decltype(work()) {
    begin_call();
    try {
        return work();
    } catch (const std::exception & error) {
        throw std::runtime_error(with_logged_errors(error.what()));
    }
}

}  // namespace bitnet_bridge
