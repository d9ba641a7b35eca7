//! Writes and reads F32 tensors in the safetensors format: eight bytes of length, a JSON header, the values.
//! Other types are refused. Source: the format's description by its authors.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The only type here.
const F32: &str = "F32";
/// The largest header that is believed.
const MOST_HEADER: u64 = 1 << 20;

/// A tensor of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct RowTensor {
    /// Rows and values of one row.
    pub shape: [usize; 2],
    /// The values, row by row.
    pub values: Vec<f32>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

/// The bytes of a file with `tensors` and `notes`.
pub fn write(tensors: &BTreeMap<String, RowTensor>, notes: &BTreeMap<String, String>) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".into(), serde_json::json!(notes));
    let mut data = Vec::new();
    for (name, tensor) in tensors {
        let begin = data.len();
        data.extend(tensor.values.iter().flat_map(|value| value.to_le_bytes()));
        let entry = serde_json::json!({
            "dtype": F32, "shape": tensor.shape, "data_offsets": [begin, data.len()],
        });
        header.insert(name.clone(), entry);
    }
    let mut header = serde_json::Value::Object(header).to_string().into_bytes();
    // Values begin at a multiple of eight bytes; the format fills up with spaces.
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend(data);
    bytes
}

/// The tensors of such a file.
///
/// # Errors
/// In words, where the bytes are no such file.
pub fn read(bytes: &[u8]) -> Result<BTreeMap<String, RowTensor>, String> {
    let (length, rest) = bytes.split_first_chunk().ok_or("it has no header")?;
    let length = u64::from_le_bytes(*length);
    if length > MOST_HEADER {
        return Err(format!("its header would have {length} bytes"));
    }
    let (header, data) =
        rest.split_at_checked(length as usize).ok_or("it ends within its header")?;
    let mut header: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(header)
        .map_err(|error| format!("its header is no JSON: {error}"))?;
    header.remove("__metadata__");
    let tensor = |(name, entry): (String, serde_json::Value)| {
        let entry: Entry =
            serde_json::from_value(entry).map_err(|error| format!("tensor {name}: {error}"))?;
        let [begin, end] = entry.data_offsets;
        let ([rows, columns], F32) = (
            <[usize; 2]>::try_from(entry.shape.as_slice())
                .map_err(|_| format!("tensor {name} is no matrix"))?,
            &*entry.dtype,
        ) else {
            return Err(format!("tensor {name} is of type {}, not F32", entry.dtype));
        };
        let values = data.get(begin..end).ok_or_else(|| format!("tensor {name} is cut off"))?;
        let values: Vec<f32> =
            values.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect();
        if rows.checked_mul(columns) != Some(values.len()) {
            return Err(format!(
                "tensor {name} has {} values, not {rows} × {columns}",
                values.len()
            ));
        }
        Ok((name, RowTensor { shape: [rows, columns], values }))
    };
    header.into_iter().map(tensor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let one = RowTensor { shape: [1, 3], values: vec![1.0, -0.0, f32::MIN_POSITIVE] };
        let two = RowTensor { shape: [2, 1], values: vec![3.5, f32::INFINITY] };
        let tensors = BTreeMap::from([("expected".to_owned(), one), ("a.b-0".to_owned(), two)]);
        let notes = BTreeMap::from([("operation".to_owned(), "RoPE".to_owned())]);
        let bytes = write(&tensors, &notes);
        assert_eq!(read(&bytes).unwrap(), tensors);
        assert_eq!((u64::from_le_bytes(*bytes.first_chunk().unwrap())) % 8, 0);
        for cut in 0..bytes.len() {
            assert!(read(&bytes[..cut]).is_err(), "{cut} bytes of {}", bytes.len());
        }
        let huge = read(&[255; 16]).unwrap_err();
        assert_eq!(huge, "its header would have 18446744073709551615 bytes");
    }
}
