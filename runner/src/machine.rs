//! The machine that measures, as its operating system tells; it measures nothing and guesses nothing.
//!
//! What is *hard* decides whether absolute figures may be compared: two machines with the same hard keys
//! are one machine to a baseline. What is *soft* explains a figure and excludes nothing.

use std::fs;
use std::thread::available_parallelism;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What a receipt says of a machine. What the system does not tell is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// A difference here makes absolute figures incomparable.
    pub hard: HardKeys,
    /// A difference here does not.
    pub soft: SoftKeys,
}

/// What decides how fast the same program is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HardKeys {
    /// Model of the processor, in its maker's words.
    pub cpu: Option<String>,
    /// Family, model and stepping, as `6/207/2`.
    pub stepping: Option<String>,
    /// Revision of the microcode.
    pub microcode: Option<String>,
    /// Instruction sets and other features, as Linux names them.
    pub flags: Vec<String>,
    /// Processors that this process may use.
    pub cores: Option<usize>,
    /// Hardware threads of one core.
    pub threads_per_core: Option<usize>,
    /// Last-level cache, as `266240K`.
    pub last_level_cache: Option<String>,
    /// NUMA nodes.
    pub numa_nodes: Option<usize>,
    /// Who runs the virtual machine, as far as it says so.
    pub hypervisor: Option<String>,
    /// Processor time that the control group allows, as `200000 100000`; none without a limit.
    pub cpu_quota: Option<String>,
    /// Operating system, by Rust's name.
    pub os: String,
    /// Architecture, by Rust's name.
    pub arch: String,
}

/// What may change on one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SoftKeys {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Release of the operating system's kernel.
    pub kernel: Option<String>,
    /// What sets the first processor's frequency.
    pub governor: Option<String>,
    /// When pages become huge, as the kernel shows it: `always [madvise] never`.
    pub huge_pages: Option<String>,
}

impl Machine {
    /// This machine.
    pub fn here() -> Self {
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let field = |key| value(&cpu, key).map(str::to_owned);
        // `Features` on AArch64.
        let flags = value(&cpu, "flags").or_else(|| value(&cpu, "Features")).unwrap_or_default();
        let flags: Vec<String> = flags.split_whitespace().map(str::to_owned).collect();
        let stepping = [value(&cpu, "cpu family"), value(&cpu, "model"), value(&cpu, "stepping")];
        let stepping = stepping.into_iter().collect::<Option<Vec<_>>>();
        Self {
            hard: HardKeys {
                cpu: field("model name"),
                stepping: stepping.map(|parts| parts.join("/")),
                microcode: field("microcode"),
                cores: available_parallelism().ok().map(usize::from),
                threads_per_core: line(
                    "/sys/devices/system/cpu/cpu0/topology/thread_siblings_list",
                )
                .and_then(|list| count(&list)),
                last_level_cache: last_level_cache(),
                numa_nodes: line("/sys/devices/system/node/online").and_then(|list| count(&list)),
                hypervisor: hypervisor(&flags),
                cpu_quota: cpu_quota(),
                flags,
                os: std::env::consts::OS.to_owned(),
                arch: std::env::consts::ARCH.to_owned(),
            },
            soft: SoftKeys {
                memory: value(&memory, "MemTotal").and_then(bytes),
                kernel: line("/proc/sys/kernel/osrelease"),
                governor: line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
                huge_pages: line("/sys/kernel/mm/transparent_hugepage/enabled"),
            },
        }
    }

    /// What programs for this machine are built for, as `x86_64-linux`.
    pub fn target(&self) -> String {
        format!("{}-{}", self.hard.arch, self.hard.os)
    }

    /// Name of all machines with these hard keys: the processor in plain letters and the first 12 hex
    /// digits of the keys' SHA-256.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(serde_json::json!(self.hard).to_string());
        let hex: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let cpu = self.hard.cpu.as_deref().unwrap_or(&self.hard.arch).to_lowercase();
        let words = cpu.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        format!("{}-{hex}", words.collect::<Vec<_>>().join("-"))
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

/// The first line of a file that has one.
fn line(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
}

/// Members of a list as `0-3,8`.
fn count(list: &str) -> Option<usize> {
    let part = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) =
            (first.trim().parse::<usize>().ok()?, last.trim().parse::<usize>().ok()?);
        last.checked_sub(first)?.checked_add(1)
    };
    list.split(',').map(part).sum()
}

/// The largest cache's size, as the kernel writes it.
fn last_level_cache() -> Option<String> {
    (0..8)
        .rev()
        .find_map(|index| line(&format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size")))
}

fn hypervisor(flags: &[String]) -> Option<String> {
    let name = ["/sys/hypervisor/type", "/sys/class/dmi/id/sys_vendor"].into_iter().find_map(line);
    let is_guest = flags.iter().any(|flag| flag == "hypervisor");
    is_guest.then(|| name.unwrap_or_else(|| "present".to_owned()))
}

/// `cpu.max` of control groups, of version 2 or 1.
fn cpu_quota() -> Option<String> {
    if let Some(max) = line("/sys/fs/cgroup/cpu.max") {
        return (!max.starts_with("max")).then_some(max);
    }
    let quota =
        line("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").filter(|quota| !quota.starts_with('-'))?;
    Some(format!("{quota} {}", line("/sys/fs/cgroup/cpu/cpu.cfs_period_us")?))
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

    #[test]
    fn lists_of_processors_are_counted() {
        assert_eq!(count("0"), Some(1));
        assert_eq!(count("0-3,8,10-11"), Some(7));
        assert_eq!(count("3-0"), None);
        assert_eq!(count("a"), None);
    }

    #[test]
    fn only_hard_keys_make_another_machine() {
        let here = Machine::here();
        let mut other = here.clone();
        other.soft.kernel = Some("another".into());
        assert_eq!(here.fingerprint(), other.fingerprint());
        other.hard.microcode = Some("another".into());
        assert_ne!(here.fingerprint(), other.fingerprint());
        let named = |name: &str| {
            let mut machine = here.clone();
            machine.hard.cpu = Some(name.into());
            machine.fingerprint()
        };
        let name = named("Intel(R) Xeon(R) @ 2.30GHz/../x");
        assert!(name.starts_with("intel-r-xeon-r-2-30ghz-x-"), "{name}");
        assert_eq!(name.len(), "intel-r-xeon-r-2-30ghz-x-".len() + 12);
    }
}
