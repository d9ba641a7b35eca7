//! A file's facts as one JSON object. Long arrays are shortened, unless their key was asked for.

use std::io::{self, Write};

use bitnet_engine::gguf::{Array, GgufFile, Items, Scalar, TensorType, Value};
use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::Part;
use super::facts::{Facts, Sum};
use super::forecast::Forecast;
use crate::cli::format::{JsonBytes, json_line};

/// Items of an array that are printed where nobody asked for all.
const ITEMS: usize = 8;

#[derive(Serialize)]
struct Document<'a> {
    file_bytes: u64,
    gguf_version: u32,
    alignment: u32,
    warnings: &'a [String],
    architecture: Option<&'a str>,
    /// Whether the engine accepts the hyper-parameters.
    supported: bool,
    /// Why it does not.
    refusal: Option<&'a str>,
    parameters: u64,
    tensor_bytes: u64,
    bits_per_weight: Option<f64>,
    types: Map<String, Json>,
    /// What computing it takes; none if the engine does not.
    needs: Option<Json>,
    metadata: Vec<Entry<'a>>,
    tensors: Vec<Tensor<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    key: &'a str,
    #[serde(rename = "type")]
    value_type: String,
    /// Of arrays.
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<usize>,
    /// Of arrays, perhaps only the first items.
    value: Json,
}

#[derive(Serialize)]
struct Tensor<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    tensor_type: &'static str,
    /// Innermost first.
    shape: &'a [usize],
    bytes: usize,
    offset: usize,
}

/// Writes the object.
pub(super) fn write(
    out: &mut impl Write,
    file: &GgufFile,
    facts: &Facts,
    forecast: Option<&Forecast>,
    part: &Part<'_>,
) -> io::Result<()> {
    match part {
        Part::Tensors => json_line(out, &serde_json::json!({ "tensors": tensors(file) })),
        Part::Keys(keys) => {
            let values = keys.iter().filter_map(|key| file.metadata().get(key).map(|v| (key, v)));
            let entries: Vec<Entry<'_>> =
                values.map(|(key, value)| entry(key, value, usize::MAX)).collect();
            json_line(out, &serde_json::json!({ "metadata": entries }))
        }
        Part::Everything => json_line(out, &document(file, facts, forecast)),
    }
}

fn document<'a>(file: &'a GgufFile, facts: &'a Facts, forecast: Option<&Forecast>) -> Document<'a> {
    let sum = |(tensor_type, sum): (&TensorType, &Sum)| {
        let facts = serde_json::json!({
            "tensors": sum.tensors, "elements": sum.elements, "bytes": sum.bytes,
            "bits_per_weight": sum.bits_per_weight()
        });
        (tensor_type.name().to_owned(), facts)
    };
    Document {
        file_bytes: file.len(),
        gguf_version: file.directory().version(),
        alignment: file.directory().alignment(),
        warnings: file.warnings(),
        architecture: facts.architecture.as_deref(),
        supported: facts.refusal.is_none(),
        refusal: facts.refusal.as_deref(),
        parameters: facts.parameters,
        tensor_bytes: facts.tensor_bytes,
        bits_per_weight: facts.bits_per_weight(),
        types: facts.types.iter().map(sum).collect(),
        needs: forecast.map(Forecast::json),
        metadata: file.metadata().iter().map(|(key, value)| entry(key, value, ITEMS)).collect(),
        tensors: tensors(file),
    }
}

fn tensors(file: &GgufFile) -> Vec<Tensor<'_>> {
    let tensors = file.tensors().iter().map(|tensor| Tensor {
        name: &tensor.name,
        tensor_type: tensor.tensor_type.name(),
        shape: &tensor.dims,
        bytes: tensor.size,
        offset: tensor.offset,
    });
    tensors.collect()
}

fn entry<'a>(key: &'a str, value: Value<'_>, items: usize) -> Entry<'a> {
    let (length, json) = match value {
        Value::U8(n) => (None, n.into()),
        Value::I8(n) => (None, n.into()),
        Value::U16(n) => (None, n.into()),
        Value::I16(n) => (None, n.into()),
        Value::U32(n) => (None, n.into()),
        Value::I32(n) => (None, n.into()),
        Value::U64(n) => (None, n.into()),
        Value::I64(n) => (None, n.into()),
        Value::F32(x) => (None, single(x)),
        Value::F64(x) => (None, double(x)),
        Value::Bool(b) => (None, b.into()),
        Value::String(text) => (None, bytes(text.as_bytes())),
        Value::Array(array) => (Some(array.len()), self::items(array, items)),
    };
    Entry { key, value_type: value.type_name(), length, value: json }
}

fn items(array: Array<'_>, count: usize) -> Json {
    fn list<S: Scalar>(items: Items<'_, S>, count: usize, json: impl Fn(S) -> Json) -> Json {
        items.iter().take(count).map(json).collect()
    }
    match array {
        Array::U8(items) => list(items, count, Json::from),
        Array::I8(items) => list(items, count, Json::from),
        Array::U16(items) => list(items, count, Json::from),
        Array::I16(items) => list(items, count, Json::from),
        Array::U32(items) => list(items, count, Json::from),
        Array::I32(items) => list(items, count, Json::from),
        Array::U64(items) => list(items, count, Json::from),
        Array::I64(items) => list(items, count, Json::from),
        Array::F32(items) => list(items, count, single),
        Array::F64(items) => list(items, count, double),
        Array::Bool(items) => list(items, count, Json::from),
        Array::String(texts) => texts.iter().take(count).map(|t| bytes(t.as_bytes())).collect(),
    }
}

fn bytes(bytes: &[u8]) -> Json {
    match JsonBytes::new(bytes) {
        JsonBytes::Text(text) => text.into(),
        JsonBytes::Raw(bytes) => bytes.into(),
    }
}

/// The shortest digits that give the f32 back, which are not those of the f64 beside it.
fn single(x: f32) -> Json {
    x.to_string().parse().map_or_else(|_| Json::from(x.to_string()), double)
}

/// What JSON has no number for is a string: `NaN`, `inf`, `-inf`.
fn double(x: f64) -> Json {
    if x.is_finite() { x.into() } else { x.to_string().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_keep_their_digits_and_what_is_no_number_is_text() {
        assert_eq!(single(1e-5).to_string(), "0.00001");
        assert_eq!(single(0.1).to_string(), "0.1");
        assert_eq!(single(f32::NAN), Json::from("NaN"));
        assert_eq!(double(f64::NEG_INFINITY), Json::from("-inf"));
    }

    #[test]
    fn bytes_that_are_no_text_are_numbers() {
        assert_eq!(bytes("é".as_bytes()), Json::from("é"));
        assert_eq!(bytes(b"\xff\x00"), serde_json::json!([255, 0]));
    }
}
