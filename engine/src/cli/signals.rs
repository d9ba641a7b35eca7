//! SIGINT and SIGTERM: the first one asks the generation to end behind its current token, a second
//! one before that ends the process at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bitnet_engine::exit::Exit;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::terminal::Terminal;

/// What has arrived.
#[derive(Debug)]
pub(crate) struct Signals {
    /// One of them has: the interrupt of generations.
    stop: Arc<AtomicBool>,
    terminated: Arc<AtomicBool>,
    /// Nothing runs that could end in order: a signal ends the process.
    idle: Arc<AtomicBool>,
}

impl Signals {
    /// Takes both signals over.
    ///
    /// # Errors
    /// [`Exit::Environment`], with the reason printed, if the system refuses.
    pub(crate) fn install(terminal: &Terminal) -> Result<Self, Exit> {
        let flag = || Arc::new(AtomicBool::new(false));
        let signals = Self { stop: flag(), terminated: flag(), idle: flag() };
        signals.register().map_err(|error| {
            terminal.error(format_args!("cannot watch for Ctrl-C: {error}"));
            Exit::Environment
        })?;
        Ok(signals)
    }

    /// Actions of a signal run in this order: what is raised by it does not end the process yet.
    fn register(&self) -> io::Result<()> {
        for signal in [SIGINT, SIGTERM] {
            flag::register_conditional_default(signal, Arc::clone(&self.stop))?;
            flag::register_conditional_default(signal, Arc::clone(&self.idle))?;
            flag::register(signal, Arc::clone(&self.stop))?;
        }
        flag::register(SIGTERM, Arc::clone(&self.terminated))?;
        Ok(())
    }

    /// The interrupt for a generation.
    pub(crate) fn stop(&self) -> &AtomicBool {
        &self.stop
    }

    /// How to end, if a signal has arrived.
    pub(crate) fn received(&self) -> Option<Exit> {
        if self.terminated.load(Ordering::SeqCst) {
            return Some(Exit::Terminated);
        }
        self.stop.load(Ordering::SeqCst).then_some(Exit::Interrupted)
    }

    /// Forgets a Ctrl-C that has had its effect.
    pub(crate) fn forget(&self) {
        self.stop.store(false, Ordering::SeqCst);
    }

    /// Runs `wait`, during which a signal ends the process as if it were not watched.
    pub(crate) fn idle<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.idle.store(true, Ordering::SeqCst);
        let waited = wait();
        self.idle.store(false, Ordering::SeqCst);
        waited
    }
}
