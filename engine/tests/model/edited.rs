//! A GGUF file written again with changes, for tests of what refuses it. Decides nothing.

use bitnet_engine::gguf::{Directory, GgufWriter, TensorType, WriteError};

type Put = Box<dyn Fn(&mut GgufWriter<'_>, &str) -> Result<(), WriteError>>;

/// One change.
pub enum Edit {
    /// Writes this value under the key, in its old place or at the end.
    Key(String, Put),
    /// Leaves the key out.
    NoKey(String),
    /// Writes this tensor, in its old place or at the end.
    Tensor(String, TensorType, Vec<usize>, Vec<u8>),
    /// Leaves the tensor out.
    NoTensor(String),
}

/// Another value for a key.
pub fn key(
    name: &str,
    put: impl Fn(&mut GgufWriter<'_>, &str) -> Result<(), WriteError> + 'static,
) -> Edit {
    Edit::Key(name.into(), Box::new(put))
}

/// Another u32 for a key of the architecture.
pub fn number(name: &str, value: u32) -> Edit {
    key(&format!("bitnet-b1.58.{name}"), move |w, k| w.u32(k, value).map(drop))
}

/// Another f32 for a key of the architecture.
pub fn float(name: &str, value: f32) -> Edit {
    key(&format!("bitnet-b1.58.{name}"), move |w, k| w.f32(k, value).map(drop))
}

/// No such key.
pub fn no_key(name: &str) -> Edit {
    Edit::NoKey(name.into())
}

/// A tensor of this type and shape, of zeros.
pub fn zeros(name: &str, tensor_type: TensorType, dims: &[usize]) -> Edit {
    let size = tensor_type.tensor_bytes(dims).expect("a good shape");
    let mut bytes = vec![0; size];
    if tensor_type == TensorType::I2S {
        // A scale of 0 is refused for its own sake.
        bytes[size - 32..size - 28].copy_from_slice(&1f32.to_le_bytes());
    }
    tensor(name, tensor_type, dims, bytes)
}

/// A tensor of these bytes.
pub fn tensor(name: &str, tensor_type: TensorType, dims: &[usize], bytes: Vec<u8>) -> Edit {
    Edit::Tensor(name.into(), tensor_type, dims.into(), bytes)
}

/// No such tensor.
pub fn no_tensor(name: &str) -> Edit {
    Edit::NoTensor(name.into())
}

/// The file with all of `edits`.
///
/// # Panics
/// If an edit leaves out what is not there.
pub fn edited(file: &[u8], edits: &[Edit]) -> Vec<u8> {
    let directory = Directory::parse(file).expect("a good file");
    let mut writer = GgufWriter::new();
    for (name, value) in directory.metadata().iter() {
        let change =
            edits.iter().find(|e| matches!(e, Edit::Key(k, _) | Edit::NoKey(k) if k == name));
        match change {
            Some(Edit::Key(_, put)) => put(&mut writer, name).unwrap(),
            Some(_) => {}
            None => writer.value(name, value).map(drop).unwrap(),
        }
    }
    for info in directory.tensors() {
        let change = edits
            .iter()
            .find(|e| matches!(e, Edit::Tensor(t, ..) | Edit::NoTensor(t) if **t == *info.name));
        match change {
            Some(Edit::Tensor(name, tensor_type, dims, bytes)) => {
                writer.tensor_bytes(name, *tensor_type, dims, bytes).unwrap();
            }
            Some(_) => {}
            None => {
                let bytes = &file[info.range()];
                writer.tensor_bytes(&info.name, info.tensor_type, &info.dims, bytes).unwrap();
            }
        }
    }
    for edit in edits {
        match edit {
            Edit::Key(name, put) if directory.metadata().get(name).is_none() => {
                put(&mut writer, name).unwrap();
            }
            Edit::Tensor(name, tensor_type, dims, bytes) if directory.tensor(name).is_none() => {
                writer.tensor_bytes(name, *tensor_type, dims, bytes).unwrap();
            }
            Edit::NoKey(name) => assert!(directory.metadata().get(name).is_some(), "no key {name}"),
            Edit::NoTensor(name) => assert!(directory.tensor(name).is_some(), "no tensor {name}"),
            Edit::Key(..) | Edit::Tensor(..) => {}
        }
    }
    let mut out = Vec::new();
    writer.write(&mut out).expect("memory takes all bytes");
    out
}
