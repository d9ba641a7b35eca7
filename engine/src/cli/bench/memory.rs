//! The most memory that this process had resident, as the system tells it. It measures nothing itself.

use std::{fs, io};

/// Resident bytes at their largest since the start or since [`forget_peak`], mapped files included; none where
/// the system does not tell.
pub(super) fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Lets the largest begin anew at what is resident now.
///
/// # Errors
/// If the system does not offer it: then the old one, which is larger, is told on.
pub(super) fn forget_peak() -> io::Result<()> {
    // Linux: 5 resets what `VmHWM` shows (proc_pid_clear_refs(5)).
    fs::write("/proc/self/clear_refs", "5")
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_that_of_what_came_since() {
        const BYTES: u64 = 256 << 20;
        let held = std::hint::black_box(vec![1u8; BYTES as usize]);
        let with = peak().expect("Linux tells");
        assert!(with >= BYTES, "{with} with {} bytes in use", held.len());
        drop(held);
        if let Err(why) = forget_peak() {
            return println!("not tested: this system does not reset the peak: {why}");
        }
        let without = peak().expect("Linux tells");
        assert!(without + BYTES / 2 < with, "{without} behind {with}");
    }
}
