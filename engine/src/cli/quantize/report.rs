//! What was or would be converted, for people and as JSON.

use std::io::{self, Write};

use bitnet_engine::escape;
use bitnet_engine::exit::Exit;
use bitnet_engine::quantize::{Loss, Plan, Step, Written};
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::QuantizeArgs;
use crate::cli::format::{Format, json_line};
use crate::cli::output;
use crate::cli::terminal::Terminal;

/// A conversion; without what was written, one that would be.
pub(super) struct Report<'a> {
    pub(super) args: &'a QuantizeArgs,
    pub(super) plan: &'a Plan<'a>,
    pub(super) written: Option<&'a Written>,
}

#[derive(Serialize)]
struct Document<'a> {
    input: String,
    output: Option<String>,
    #[serde(rename = "type")]
    target: &'static str,
    dry_run: bool,
    bytes_before: u64,
    bytes_after: u64,
    /// Of the written file, with its metadata.
    file_bytes: Option<u64>,
    tensors: Vec<Tensor<'a>>,
}

#[derive(Serialize)]
struct Tensor<'a> {
    name: &'a str,
    /// Innermost first.
    shape: &'a [usize],
    from: &'static str,
    to: &'static str,
    bytes_before: usize,
    bytes_after: usize,
    /// None where nothing was written.
    loss: Json,
}

impl Report<'_> {
    pub(super) fn print(&self, terminal: &Terminal) -> Exit {
        output::to_stdout(terminal, |out| match self.args.format {
            Format::Text => self.text(out),
            Format::Json => json_line(out, &self.document()),
        })
    }

    fn document(&self) -> Document<'_> {
        let shown = |path: &std::path::Path| path.display().to_string();
        let tensors = self.plan.steps().iter().enumerate().map(|(index, step)| {
            let tensor = self.plan.tensor(step);
            let loss = self.written.and_then(|written| written.losses.get(index));
            Tensor {
                name: &tensor.name,
                shape: &tensor.dims,
                from: step.from.name(),
                to: step.to.name(),
                bytes_before: tensor.size,
                bytes_after: step.bytes,
                loss: loss.map_or(Json::Null, json_of),
            }
        });
        Document {
            input: shown(&self.args.input),
            output: self.args.output.as_deref().map(shown),
            target: self.args.target.name(),
            dry_run: self.written.is_none(),
            bytes_before: self.plan.bytes_before(),
            bytes_after: self.plan.bytes_after(),
            file_bytes: self.written.map(|written| written.bytes),
            tensors: tensors.collect(),
        }
    }

    fn text(&self, out: &mut impl Write) -> io::Result<()> {
        let steps = self.plan.steps();
        if self.written.is_none() {
            for step in steps {
                self.line(out, step)?;
            }
        }
        let copied = steps.iter().filter(|step| step.is_copy()).count();
        let (before, after) = (self.plan.bytes_before(), self.plan.bytes_after());
        let (converted, is) = (steps.len() - copied, self.args.target);
        writeln!(out, "tensors  {converted} converted, most to {is}; {copied} as they are")?;
        writeln!(out, "bytes    {before} before, {after} after")?;
        match self.written {
            None => writeln!(
                out,
                "nothing was read or written; whether matrices are ternary was not looked at"
            ),
            Some(written) => {
                writeln!(out, "file     {} bytes", written.bytes)?;
                self.losses(out, written)
            }
        }
    }

    fn line(&self, out: &mut impl Write, step: &Step) -> io::Result<()> {
        let tensor = self.plan.tensor(step);
        let (name, shape) = (escape::text(&tensor.name), format!("{:?}", tensor.dims));
        let (from, to) = (step.from.name(), step.to.name());
        let what = if step.is_copy() { "as it is".into() } else { format!("to {to}") };
        let (before, after) = (tensor.size, step.bytes);
        writeln!(out, "  {name:<32}  {shape:<16}  {from:<6} {what:<9}  {before:>12} {after:>12}")
    }

    fn losses(&self, out: &mut impl Write, written: &Written) -> io::Result<()> {
        let scales = written.losses.iter().filter_map(|loss| match loss {
            Loss::Scale(change) => Some(*change),
            _ => None,
        });
        let (count, largest) =
            scales.fold((0, 0f32), |(count, largest), change| (count + 1, largest.max(change)));
        let rounded = written.losses.iter().filter(|loss| **loss == Loss::Rounded).count();
        let mut none = true;
        if count > 0 {
            none = false;
            writeln!(
                out,
                "loss     the scales of {count} ternary matrices were rounded, by at most {largest:.1e} of \
                 them; their weights are the same"
            )?;
        }
        if rounded > 0 {
            none = false;
            writeln!(out, "loss     the weights of {rounded} matrices were rounded")?;
        }
        for (step, loss) in self.plan.steps().iter().zip(&written.losses) {
            if let Loss::Ternary(misfit) = loss {
                none = false;
                let name = escape::text(&self.plan.tensor(step).name);
                writeln!(out, "loss     '{name}' was not ternary: {misfit}")?;
            }
        }
        if none {
            writeln!(out, "loss     none: all weights and scales are the same")?;
        }
        Ok(())
    }
}

fn json_of(loss: &Loss) -> Json {
    match loss {
        Loss::None => json!("none"),
        Loss::Rounded => json!("rounded"),
        Loss::Scale(change) => json!({ "scale": change }),
        Loss::Ternary(misfit) => json!({
            "not_ternary": {
                "weights": misfit.weights, "others": misfit.others, "farthest": misfit.farthest
            }
        }),
    }
}
