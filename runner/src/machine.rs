//! The machine that measures, as its operating system tells; it measures nothing and guesses nothing.

use std::fs;
use std::thread::available_parallelism;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a receipt says of a machine. What the system does not tell is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Model of the processor, in its maker's words.
    pub cpu: Option<String>,
    /// Instruction sets and other features, as Linux names them.
    pub flags: Vec<String>,
    /// Processors that this process may use.
    pub cores: Option<usize>,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Release of the operating system's kernel.
    pub kernel: Option<String>,
    /// Operating system, by Rust's name.
    pub os: String,
    /// Architecture, by Rust's name.
    pub arch: String,
}

impl Machine {
    /// This machine.
    pub fn here() -> Self {
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").ok();
        Self {
            cpu: value(&cpu, "model name").map(str::to_owned),
            // `Features` on AArch64.
            flags: value(&cpu, "flags")
                .or_else(|| value(&cpu, "Features"))
                .map(|flags| flags.split_whitespace().map(str::to_owned).collect())
                .unwrap_or_default(),
            cores: available_parallelism().ok().map(usize::from),
            memory: value(&memory, "MemTotal").and_then(bytes),
            kernel: kernel.map(|release| release.trim().to_owned()),
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
        }
    }
}

/// The value of the first line `key : value`.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim())
    })
}

/// Bytes of `16303428 kB`.
fn bytes(text: &str) -> Option<u64> {
    text.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_whole_name() {
        let text = "model\t\t: 207\nmodel name\t: Some CPU\nflags : avx2 fma\n";
        assert_eq!(value(text, "model name"), Some("Some CPU"));
        assert_eq!(value(text, "model"), Some("207"));
        assert_eq!(value(text, "name"), None);
        assert_eq!(bytes("16303428 kB"), Some(16_694_710_272));
        assert_eq!(bytes("16303428"), None);
    }
}
