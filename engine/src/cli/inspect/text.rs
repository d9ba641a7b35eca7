//! A file's facts for people: totals first, then keys, then tensors. All text of the file is escaped.

use std::io::{self, Write};

use bitnet_engine::escape;
use bitnet_engine::gguf::{Array, GgufFile, Items, Scalar, Text, Value};
use console::Style;

use super::Part;
use super::facts::Facts;
use super::forecast::Forecast;

/// Items of an array, and bytes of a text, that are shown where nobody asked for all.
const ITEMS: usize = 6;
const BYTES: usize = 72;

/// Writes what was asked for.
pub(super) fn write(
    out: &mut impl Write,
    file: &GgufFile,
    facts: &Facts,
    forecast: Option<&Forecast>,
    part: &Part<'_>,
    colour: bool,
) -> io::Result<()> {
    match part {
        Part::Tensors => tensors(out, file),
        Part::Keys(keys) => {
            for key in *keys {
                if let Some(value) = file.metadata().get(key) {
                    whole(out, key, value)?;
                }
            }
            Ok(())
        }
        Part::Everything => {
            let heading = |text: &str| {
                Style::new().bold().force_styling(colour).apply_to(text.to_owned()).to_string()
            };
            summary(out, file, facts)?;
            forecast.map_or(Ok(()), |forecast| forecast.text(out))?;
            writeln!(out, "\n{}", heading(&format!("{} keys", file.metadata().len())))?;
            metadata(out, file)?;
            writeln!(out, "\n{}", heading(&format!("{} tensors", file.tensors().len())))?;
            tensors(out, file)
        }
    }
}

fn summary(out: &mut impl Write, file: &GgufFile, facts: &Facts) -> io::Result<()> {
    let directory = file.directory();
    writeln!(out, "file          '{}'", escape::text(&file.path().display().to_string()))?;
    writeln!(
        out,
        "container     GGUF {}, {} bytes, aligned to {}",
        directory.version(),
        file.len(),
        directory.alignment()
    )?;
    let architecture = facts.architecture.as_deref().map_or("none".into(), escape::text);
    writeln!(out, "architecture  {architecture}")?;
    match &facts.refusal {
        None => writeln!(out, "supported     yes; loading checks its tensors as well")?,
        Some(why) => writeln!(out, "supported     no: {why}")?,
    }
    writeln!(out, "parameters    {}", facts.parameters)?;
    match facts.bits_per_weight() {
        Some(bits) => {
            writeln!(out, "weights       {} bytes, {bits:.3} bits each", facts.tensor_bytes)?;
        }
        None => writeln!(out, "weights       none")?,
    }
    for (tensor_type, sum) in &facts.types {
        let (name, tensors, elements, bytes) =
            (tensor_type.name(), sum.tensors, sum.elements, sum.bytes);
        let bits = sum.bits_per_weight();
        writeln!(
            out,
            "  {name:<8}    {tensors:>5} tensors  {elements:>14} elements  {bytes:>14} bytes  {bits:>6.3} \
             bits each"
        )?;
    }
    Ok(())
}

fn metadata(out: &mut impl Write, file: &GgufFile) -> io::Result<()> {
    let rows = file.metadata().iter().map(|(key, value)| (escape::text(key), value));
    let rows: Vec<(String, Value<'_>)> = rows.collect();
    let width = rows.iter().map(|(key, _)| key.chars().count().min(48)).max().unwrap_or(0);
    for (key, value) in rows {
        let value_type = value.type_name();
        writeln!(out, "  {key:<width$}  {value_type:<15}  {}", short(value))?;
    }
    Ok(())
}

fn tensors(out: &mut impl Write, file: &GgufFile) -> io::Result<()> {
    let names = file.tensors().iter().map(|tensor| escape::text(&tensor.name));
    let names: Vec<String> = names.collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(4);
    writeln!(
        out,
        "  {:<width$}  {:<8}  {:<24}  {:>12}  {:>12}",
        "name", "type", "shape", "bytes", "offset"
    )?;
    for (name, tensor) in names.iter().zip(file.tensors()) {
        let (tensor_type, shape) = (tensor.tensor_type.name(), format!("{:?}", tensor.dims));
        let (bytes, offset) = (tensor.size, tensor.offset);
        writeln!(
            out,
            "  {name:<width$}  {tensor_type:<8}  {shape:<24}  {bytes:>12}  {offset:>12}"
        )?;
    }
    Ok(())
}

/// A value that somebody asked for: all of it, items of an array one a line.
fn whole(out: &mut impl Write, key: &str, value: Value<'_>) -> io::Result<()> {
    let (key, value_type) = (escape::text(key), value.type_name());
    let Value::Array(array) = value else {
        return writeln!(out, "{key}  {value_type}  {}", scalar(value));
    };
    writeln!(out, "{key}  {value_type}, {} items", array.len())?;
    for (index, item) in items(array).enumerate() {
        writeln!(out, "  {index}: {item}")?;
    }
    Ok(())
}

fn short(value: Value<'_>) -> String {
    match value {
        Value::Array(array) if array.len() > ITEMS => {
            let shown: Vec<String> = items(array).take(ITEMS).collect();
            format!("[{}, … {} in all]", shown.join(", "), array.len())
        }
        Value::Array(array) => format!("[{}]", items(array).collect::<Vec<_>>().join(", ")),
        Value::String(text) => {
            let bytes = text.as_bytes();
            let start = escape::piece(&bytes[..bytes.len().min(BYTES)]);
            match bytes.len() > BYTES {
                true => format!("\"{start}… {} bytes in all", bytes.len()),
                false => format!("\"{start}\""),
            }
        }
        _ => scalar(value),
    }
}

fn scalar(value: Value<'_>) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Bool(b) => b.to_string(),
        Value::F32(x) => x.to_string(),
        Value::F64(x) => x.to_string(),
        Value::Array(array) => format!("{} items", array.len()),
        _ => value.as_integer().map(|n| n.to_string()).unwrap_or_default(),
    }
}

fn quoted(text: Text<'_>) -> String {
    format!("\"{}\"", escape::piece(text.as_bytes()))
}

/// The items as text, made one by one.
fn items(array: Array<'_>) -> Box<dyn Iterator<Item = String> + '_> {
    fn numbers<S: Scalar + ToString>(items: Items<'_, S>) -> Box<dyn Iterator<Item = String> + '_> {
        Box::new((0..items.len()).filter_map(move |i| items.get(i)).map(|item| item.to_string()))
    }
    match array {
        Array::U8(items) => numbers(items),
        Array::I8(items) => numbers(items),
        Array::U16(items) => numbers(items),
        Array::I16(items) => numbers(items),
        Array::U32(items) => numbers(items),
        Array::I32(items) => numbers(items),
        Array::U64(items) => numbers(items),
        Array::I64(items) => numbers(items),
        Array::F32(items) => numbers(items),
        Array::F64(items) => numbers(items),
        Array::Bool(items) => numbers(items),
        Array::String(texts) => Box::new(texts.iter().map(quoted)),
    }
}
