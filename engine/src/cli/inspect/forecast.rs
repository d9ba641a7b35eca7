//! What computing a model takes: memory, bytes that a token reads, and the least time for them if somebody
//! says how fast memory is. Nothing is measured.

use std::io::{self, Write};
use std::num::NonZeroUsize;

use bitnet_engine::gguf::GgufFile;
use bitnet_engine::kernels::{Isa, Kernels};
use bitnet_engine::model::{Config, KeyCache, LoadOptions};
use bitnet_engine::needs::Needs;
use serde_json::{Value as Json, json};

/// Bytes of a GB, as bandwidths are given.
const GB: f64 = 1e9;

/// Needs, and for what.
pub(super) struct Forecast {
    context: usize,
    threads: NonZeroUsize,
    needs: Needs,
    /// GB/s.
    bandwidth: Option<f64>,
}

impl Forecast {
    /// For a session of `context` positions and so many threads with the fastest kernels of this machine.
    pub(super) fn of(
        file: &GgufFile,
        config: &Config,
        context: usize,
        threads: NonZeroUsize,
        bandwidth: Option<f64>,
    ) -> Self {
        let (kernels, options) = (Kernels::best(), LoadOptions::default());
        let needs = Needs::of(file, config, kernels, &options, context, threads, KeyCache::F32);
        Self { context, threads, needs, bandwidth }
    }

    /// Milliseconds that the bytes of the token at `position` take, if somebody said how fast they come.
    fn milliseconds(&self, position: usize) -> Option<f64> {
        Some(self.needs.read_at(position) as f64 / (self.bandwidth? * GB) * 1e3)
    }

    /// The lines for people.
    pub(super) fn text(&self, out: &mut impl Write) -> io::Result<()> {
        let Needs { mapped, arranged, cache, workspace, read_by_token, .. } = self.needs;
        let Needs { screen, read_by_step_top, read_by_position, .. } = self.needs;
        let (context, threads, isa) = (self.context, self.threads, Isa::best());
        writeln!(
            out,
            "memory        {} bytes with a context of {context} and {threads} threads, {isa} kernels",
            self.needs.memory()
        )?;
        writeln!(out, "  {mapped:>14} mapped tensors")?;
        writeln!(out, "  {arranged:>14} matrices arranged for the kernels")?;
        writeln!(out, "  {cache:>14} KV cache")?;
        writeln!(out, "  {workspace:>14} workspace")?;
        writeln!(
            out,
            "decoding      a token reads {read_by_token} bytes, and {read_by_position} for each position of \
             the context in use"
        )?;
        if screen > 0 {
            writeln!(
                out,
                "              one of which only the largest logits are wanted {read_by_step_top}, with the \
                 head in 6 bits beside the file's ({screen} bytes of memory)"
            )?;
        }
        let last = self.context - 1;
        let (Some(bandwidth), Some(first), Some(full)) =
            (self.bandwidth, self.milliseconds(0), self.milliseconds(last))
        else {
            return Ok(());
        };
        writeln!(
            out,
            "time          at {bandwidth} GB/s at least {first:.3} ms a token at position 0, {full:.3} ms at \
             position {last}; computing may take longer"
        )
    }

    /// The same as JSON.
    pub(super) fn json(&self) -> Json {
        let Needs { mapped, arranged, cache, workspace, read_by_token, .. } = self.needs;
        let Needs { screen, read_by_step_top, read_by_position, .. } = self.needs;
        let last = self.context - 1;
        let time = self.bandwidth.map(|bandwidth| {
            json!({
                "bandwidth_gb_per_s": bandwidth,
                "least_ms_at_first_position": self.milliseconds(0),
                "least_ms_at_last_position": self.milliseconds(last),
            })
        });
        json!({
            "context": self.context,
            "threads": self.threads,
            "isa": Isa::best().to_string(),
            "memory_bytes": self.needs.memory(),
            "mapped_bytes": mapped,
            "arranged_bytes": arranged,
            "cache_bytes": cache,
            "workspace_bytes": workspace,
            "read_bytes_by_token": read_by_token,
            "screen_bytes": screen,
            "read_bytes_by_step_top": read_by_step_top,
            "read_bytes_by_position": read_by_position,
            "time": time,
        })
    }
}
