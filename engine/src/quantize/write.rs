//! The file that a plan describes: all keys as they are but `general.file_type`, then the tensors.

use std::cell::RefCell;
use std::io::{self, Write};

use super::convert::{Failed, convert};
use super::error::QuantizeError;
use super::plan::{Action, Plan, Step};
use super::source::Source;
use super::ternary::Misfit;
use crate::gguf::{GgufWriter, WriteError};

/// The key that says what most matrices are.
const FILE_TYPE: &str = "general.file_type";
/// Bytes that are gathered before the output gets them.
const BUFFER: usize = 1 << 20;

/// What a tensor lost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    /// Nothing: the numbers are the same.
    None,
    /// Nothing but the last bits of a ternary matrix's scale, by so much in parts of it.
    Scale(f32),
    /// Numbers were rounded.
    Rounded,
    /// What was not ternary became so.
    Ternary(Misfit),
}

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// Bytes of the file.
    pub bytes: u64,
    /// What each tensor lost, in the order of the steps.
    pub losses: Vec<Loss>,
}

impl Plan<'_> {
    /// Writes the file. `progress` hears of each tensor: (tensors written, tensors in all).
    ///
    /// # Errors
    /// If a tensor's contents do not fit its new type, or `out` cannot be written.
    pub fn write(
        &self,
        out: impl Write,
        progress: impl Fn(usize, usize) + Sync,
    ) -> Result<Written, QuantizeError> {
        let collected = RefCell::new(Vec::with_capacity(self.steps().len()));
        let (losses, progress, count) = (&collected, &progress, self.steps().len());
        let mut writer = GgufWriter::new();
        let file_type = self.options.target.file_type();
        let metadata = self.file.metadata();
        for (key, value) in metadata.iter() {
            match key {
                FILE_TYPE => writer.u32(key, file_type)?,
                _ => writer.value(key, value)?,
            };
        }
        if metadata.get(FILE_TYPE).is_none() {
            writer.u32(FILE_TYPE, file_type)?;
        }
        for step in self.steps() {
            let tensor = self.tensor(step);
            writer.tensor(&tensor.name, step.to, &tensor.dims, move |out| {
                let loss = self.write_tensor(step, out).map_err(|failed| match failed {
                    Failed::Io(error) => error,
                    Failed::Refused(error) => io::Error::other(error),
                })?;
                losses.borrow_mut().push(loss);
                progress(losses.borrow().len(), count);
                Ok(())
            })?;
        }
        let bytes = writer.write(io::BufWriter::with_capacity(BUFFER, out)).map_err(refusal)?;
        Ok(Written { bytes, losses: collected.take() })
    }

    fn write_tensor(&self, step: &Step, out: &mut dyn Write) -> Result<Loss, Failed> {
        let tensor = self.tensor(step);
        match step.action {
            Action::Copy => {
                out.write_all(self.file.data(tensor)).map_err(Failed::Io)?;
                Ok(Loss::None)
            }
            Action::Convert { target, read, write } => {
                let source = Source::of(self.file, tensor, read, &self.options.source)?;
                convert(source, target, write, self.options.allow_lossy, out)
            }
        }
    }
}

/// The refusal that travelled through the writer as an I/O error, if it is one.
fn refusal(error: WriteError) -> QuantizeError {
    let WriteError::Io { what, source } = error else { return error.into() };
    match source.downcast::<QuantizeError>() {
        Ok(refusal) => refusal,
        Err(source) => WriteError::Io { what, source }.into(),
    }
}
