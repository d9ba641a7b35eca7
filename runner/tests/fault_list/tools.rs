//! Tools that some machines have and others have not. What cannot be tested without one is said on
//! standard error, with the id; it is never counted silently.

#![expect(clippy::print_stderr, reason = "what a machine cannot test has to be seen")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::sandbox::Sandbox;

/// Says what is not tested here.
pub fn untested(id: &str, what: &str) {
    eprintln!("NOT TESTED HERE: {id}: {what}");
}

/// Says how something was tested.
pub fn note(id: &str, what: &str) {
    eprintln!("note: {id}: {what}");
}

fn works(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// A tracer of system calls that works on this machine.
pub struct Strace(());

/// The tracer, or a line on standard error.
pub fn strace(id: &str) -> Option<Strace> {
    static WORKS: OnceLock<bool> = OnceLock::new();
    let here = *WORKS.get_or_init(|| {
        works(Command::new("strace").args(["-f", "-e", "inject=close:error=EIO:when=1000", "true"]))
    });
    if !here {
        untested(id, "what needs strace, which is missing or not permitted");
    }
    here.then_some(Strace(()))
}

impl Strace {
    /// `parity` under the tracer, which writes to `log`; arguments of `parity` follow.
    pub fn command(&self, sandbox: &Sandbox, options: &[&str], log: &Path) -> Command {
        let mut command = sandbox.wrapped("strace", &["-f", "-qq", "-y"]);
        command.args(options).arg("-o").arg(log).arg(env!("CARGO_BIN_EXE_parity"));
        command
    }
}

/// Whether a user may mount in a name space of its own; a line on standard error if not.
pub fn may_mount(id: &str) -> bool {
    static WORKS: OnceLock<bool> = OnceLock::new();
    let here = *WORKS.get_or_init(|| {
        let script = "mount -t tmpfs -o size=1m tmpfs /mnt && mount -o remount,ro,bind /mnt";
        works(Command::new("unshare").args(["-rm", "sh", "-c", script]))
    });
    if !here {
        untested(id, "what needs a mount of its own, because unshare is missing or not permitted");
    }
    here
}
