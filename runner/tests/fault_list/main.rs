//! The fault list: one trial for each id, N01 to P08. Each runs the real `parity` in a project, a
//! cache and a home of its own, against servers, disks and neighbours that misbehave, and asserts
//! what is said, what is left in the cache and what the server was asked.
//!
//! Only loopback is used. What a machine cannot do is said on standard error; nothing is skipped
//! silently. `scripts/fault_list.sh` prints one line an id.

#[cfg(not(unix))]
compile_error!("the fault list needs signals, links and permissions of Unix");

mod disk;
#[path = "../store/double.rs"]
mod double;
mod in_process;
mod manifests;
mod network;
mod program;
mod reply;
mod sandbox;
mod server;
mod tls;
mod together;
mod tools;

use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};

use disk::{access, damage, kills, mapped, places, space};
use manifests::{addresses, names, text};
use network::{bodies, connections, redirects, resuming, sources, statuses};

/// When a program or a server counts as hanging: far beyond what the slowest machine needs.
const PATIENCE: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    let trials = TRIALS.iter().map(|&(name, trial)| {
        Trial::test(name, move || {
            trial();
            Ok(())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// Trials by name; the first word is the id.
const TRIALS: &[(&str, fn())] = &[
    ("N01-truncated-body-with-length", bodies::n01_truncated_with_length),
    ("N02-truncated-body-without-length", bodies::n02_truncated_without_length),
    ("N03-connection-resets", bodies::n03_resets),
    ("N04-length-other-than-the-lock", bodies::n04_another_length),
    ("N05-body-longer-than-the-lock", bodies::n05_longer_than_the_lock_says),
    ("N06-whole-file-for-a-range", resuming::n06_whole_file_for_a_range),
    ("N07-another-range", resuming::n07_another_range),
    ("N08-range-not-satisfiable", resuming::n08_range_not_satisfiable),
    ("N09-redirect-to-another-origin", redirects::n09_the_token_stays_at_home),
    ("N10-redirect-to-another-scheme", redirects::n10_redirect_to_another_scheme),
    ("N11-redirect-loop", redirects::n11_redirect_loop),
    ("N12-answers-that-are-no-file", statuses::n12_no_file),
    ("N13-refusals-and-patience", statuses::n13_refusals),
    ("N14-stalls-and-drips", connections::n14_stalls),
    ("N15-names-ports-certificates", connections::n15_no_way_to_the_server),
    ("N16-proxies-and-secrets", connections::n16_proxies_and_secrets),
    ("N17-etag-changed", resuming::n17_etag_changed),
    ("N18-encoded-body", bodies::n18_encoded),
    ("N19-offline", sources::n19_offline),
    ("N20-mirror-with-other-bytes", sources::n20_mirrors),
    ("N21-hub-with-another-file", sources::n21_the_hub_has_another_file),
    ("D01-no-space", space::d01_no_space),
    ("D02-read-only-cache", access::d02_read_only),
    ("D03-killed-at-every-step", kills::d03_killed),
    ("D04-order-of-durable-steps", kills::d04_order),
    ("D05-damaged-file", damage::d05_damaged_files),
    ("D06-forged-stamp", damage::d06_forged_stamps),
    ("D07-links", damage::d07_links),
    ("D08-removed-during-the-run", mapped::d08_removed_during_the_run),
    ("D09-replaced-while-mapped", mapped::d09_replaced_while_mapped),
    ("D10-no-other-disk", places::d10_no_other_disk_is_written),
    ("D11-homes", places::d11_homes),
    ("D12-umask", access::d12_umask),
    ("D13-names-and-long-paths", places::d13_names_and_long_paths),
    ("D14-clocks", damage::d14_clocks),
    ("C01-eight-cold-processes", together::c01_eight_cold_processes),
    ("C02-holder-killed", together::c02_the_holder_is_killed),
    ("C03-two-models-in-parallel", together::c03_two_models_do_not_block_each_other),
    ("C04-locks-unsupported", together::c04_no_locks),
    ("C05-interrupted-while-waiting", together::c05_interrupted_while_waiting),
    ("C06-sweeping-beside-readers", together::c06_sweeping),
    ("C07-two-writers-of-one-file", together::c07_lines_do_not_interleave),
    ("P01-names", names::p01_names),
    ("P02-folders-that-lead-out", names::p02_folders_that_lead_out),
    ("P03-duplicates", names::p03_duplicates),
    ("P04-keys-and-types", text::p04_keys_and_types),
    ("P05-text-that-is-no-toml", text::p05_no_toml),
    ("P06-schema", text::p06_the_schema),
    ("P07-changed-while-running", text::p07_changed_behind_the_reader),
    ("P08-addresses", addresses::p08_addresses),
];
