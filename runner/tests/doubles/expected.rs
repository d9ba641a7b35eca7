//! What the runner says of each misbehaviour, word for word. `{program}` stands for the test
//! executable, `{build}` for this build.

use super::engine::fault;

/// Faults of `logits` by name, with the whole error.
pub const FAULTS: &[(&str, u32, &str)] = &[
    (
        "abort",
        fault::ABORT,
        "double died (signal 6 (SIGABRT)): ggml.c:1: GGML_ASSERT(false) failed",
    ),
    ("exit_3", fault::EXIT_3, "double died (exit code 3): leaving with 3"),
    ("exit_0", fault::EXIT_0, "double died (exit code 0): it logged nothing"),
    ("panic", fault::PANIC, "double died (exit code 101): the double panics"),
    (
        "hang",
        fault::HANG,
        "double gave no answer to `logits` within 1 s and was killed: entering an endless loop",
    ),
    (
        "garbage",
        fault::GARBAGE,
        "double broke the worker protocol: expected a frame (magic `\\xb1BWP`), got \
         `llm_load_print_meta: \\x1b[1mn_vocab\\n",
    ),
    (
        "truncated",
        fault::TRUNCATED,
        "double broke the worker protocol: expected 32 bytes of array 0 from byte 0 of 32, the \
         input ended after 10: `\\x01\\x01\\x01\\x01\\x01\\x01\\x01\\x01\\x01\\x01`; its log ends: \
         it logged nothing",
    ),
    (
        "oversized",
        fault::OVERSIZED,
        "double broke the worker protocol: array 0 has 18446744073709551615 bytes; 32 are left of \
         the 32 allowed here; its log ends: it logged nothing",
    ),
    (
        "too_few",
        fault::TOO_FEW,
        "double broke the worker protocol: expected 2 rows of 4 logits, got 7 values in rows of \
         4; its log ends: it logged nothing",
    ),
    (
        "other_vocabulary",
        fault::OTHER_VOCABULARY,
        "double broke the worker protocol: expected 2 rows of 4 logits, got 8 values in rows of \
         5; its log ends: it logged nothing",
    ),
    (
        "other_number",
        fault::OTHER_NUMBER,
        "double broke the worker protocol: expected an answer to request 3, got `logits` to \
         request 999; its log ends: it logged nothing",
    ),
    (
        "other_answer",
        fault::OTHER_ANSWER,
        "double broke the worker protocol: `ids` with arrays [U32] is no answer to `logits`; its \
         log ends: ",
    ),
    (
        "other_version",
        fault::OTHER_VERSION,
        "double: the worker {program} was built from other sources: expected worker protocol \
         version 1, got version 2\n  to get it: run `cargo build`",
    ),
];

/// Roles that are no worker called `double`, with the whole error.
pub const HANDSHAKES: &[(&str, &str)] = &[
    ("mute", "double gave no answer to `hello` within 1 s and was killed: it logged nothing"),
    (
        "closed-output",
        "double broke the worker protocol: it closed its standard output and lived on; its log \
         ends: closed it",
    ),
    (
        "no-worker",
        "double broke the worker protocol: expected a frame (magic `\\xb1BWP`), got `usage: \
         something else\\n`: only frames may go to standard output; its log ends: it logged \
         nothing",
    ),
    ("crash-at-start", "double died (exit code 127): cannot find libsomething.so"),
    (
        "other-version",
        "double: the worker {program} was built from other sources: expected worker protocol \
         version 1, got version 2\n  to get it: run `cargo build`",
    ),
    (
        "other-build",
        "double: the worker {program} was built from other sources: expected build {build}, got \
         0.0.9-0123456789abcdef\n  to get it: run `cargo build`",
    ),
    (
        "other-name",
        "double broke the worker protocol: {program} says that it is the engine `stranger`; its \
         log ends: it logged nothing",
    ),
];
