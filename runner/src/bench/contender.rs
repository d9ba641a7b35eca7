//! One engine of a benchmark: its process, and what it is asked in a visit. It compares nothing.

use std::time::Instant;

use super::task::Task;
use crate::backend::worker::WorkerBackend;
use crate::backend::{
    Backend, BackendError, Identity, KernelCalls, ModelFacts, OpenRequest, Timed,
};
use crate::receipt::{Measure, Output, Visit};

/// A started engine.
pub struct Started {
    /// It answers here.
    pub backend: Box<dyn Backend>,
    /// Id of its process, if it has one of its own.
    pub process: Option<u32>,
}

impl From<WorkerBackend> for Started {
    fn from(worker: WorkerBackend) -> Self {
        let process = worker.process_id();
        Self { backend: Box::new(worker), process }
    }
}

/// How an engine is started: once for all its visits, and once more for each load that is timed.
pub type Start<'a> = Box<dyn Fn() -> Result<Started, BackendError> + 'a>;

/// An engine that is measured.
pub struct Contender<'a> {
    start: Start<'a>,
    request: OpenRequest,
    /// What it hands out behind a decoded id, where that is not the task's to say.
    output: Option<Output>,
    running: Started,
    facts: ModelFacts,
}

/// What an engine answered in a visit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Its times.
    pub visit: Visit,
    /// The id of the highest logit behind each checked id, run after run.
    pub ids: Vec<u32>,
    /// The kernels that computed.
    pub kernels: Vec<KernelCalls>,
}

impl<'a> Contender<'a> {
    /// Starts an engine with `request`'s model open. `output` overrides what a task says.
    ///
    /// # Errors
    /// Those of starting and opening.
    pub fn new(
        start: Start<'a>,
        request: OpenRequest,
        output: Option<Output>,
    ) -> Result<Self, BackendError> {
        let mut running = start()?;
        let facts = running.backend.open(&request)?;
        Ok(Self { start, request, output, running, facts })
    }

    /// Who computes.
    pub fn identity(&self) -> &Identity {
        self.running.backend.identity()
    }

    /// What it found in the model.
    pub fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    /// The running engine.
    pub fn backend(&mut self) -> &mut dyn Backend {
        &mut *self.running.backend
    }

    /// Largest resident memory of its process so far, in bytes; none where the system does not tell.
    pub fn peak_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.running.process?));
        peak_resident(&status.ok()?)
    }

    /// Does `task` with `ids`, `repeats` times behind each other.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn visit(
        &mut self,
        task: &Task,
        ids: &[u32],
        repeats: usize,
    ) -> Result<Answered, BackendError> {
        self.visit_with(task, ids, repeats, self.output.or(task.output))
    }

    /// [`visit`](Self::visit) with another output of a decode.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn visit_with(
        &mut self,
        task: &Task,
        ids: &[u32],
        repeats: usize,
        output: Option<Output>,
    ) -> Result<Answered, BackendError> {
        let mut all =
            Answered { visit: Visit { nanos: Vec::new() }, ids: Vec::new(), kernels: Vec::new() };
        match task.measure {
            Measure::Load => {
                for _ in 0..repeats {
                    all.add(self.load(ids)?);
                }
            }
            Measure::Prefill => all.add(self.running.backend.time_prefill(ids, repeats)?),
            Measure::Decode => {
                let output = output.unwrap_or(Output::Logits);
                for _ in 0..repeats {
                    all.add(self.running.backend.time_decode(ids, task.depth, output)?);
                }
            }
        }
        Ok(all)
    }

    /// The time from the request to load to its answer, in a process that has just begun; then what the
    /// model that was loaded answers to `ids`.
    fn load(&self, ids: &[u32]) -> Result<Timed, BackendError> {
        let mut fresh = (self.start)()?;
        let begun = Instant::now();
        fresh.backend.open(&self.request)?;
        let nanos = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1);
        let answer = fresh.backend.time_prefill(ids, 1)?;
        Ok(Timed { nanos: vec![nanos], ..answer })
    }
}

impl Answered {
    fn add(&mut self, timed: Timed) {
        self.visit.nanos.extend(timed.nanos);
        self.ids.extend(timed.ids);
        add_calls(&mut self.kernels, timed.kernels);
    }
}

/// Adds counts of kernels to those of the same name.
pub fn add_calls(sum: &mut Vec<KernelCalls>, calls: Vec<KernelCalls>) {
    for kernel in calls {
        match sum.iter_mut().find(|known| known.name == kernel.name) {
            Some(known) => known.count += kernel.count,
            None => sum.push(kernel),
        }
    }
}

/// `VmHWM` of a process's status as Linux writes it, in bytes.
fn peak_resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_as_linux_writes_it() {
        let status = "Name:\tparity\nVmPeak:\t  300000 kB\nVmHWM:\t  123456 kB\nVmRSS:\t 1 kB\n";
        assert_eq!(peak_resident(status), Some(126_418_944));
        assert_eq!(peak_resident("Name:\tparity\n"), None);
    }

    #[test]
    fn counts_of_a_kernel_add_up() {
        let calls = |name: &str, count| KernelCalls { name: name.to_owned(), count };
        let mut sum = vec![calls("avx2/add", 3)];
        add_calls(&mut sum, vec![calls("avx2/softmax", 1), calls("avx2/add", 4)]);
        assert_eq!(sum, [calls("avx2/add", 7), calls("avx2/softmax", 1)]);
    }
}
