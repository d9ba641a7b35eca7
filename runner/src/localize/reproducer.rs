//! A folder that shows one divergence without the reference: the tensors, and a Rust test of a few lines.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{self, Path, PathBuf};

use super::Evidence;
use super::safetensors::{RowTensor, write};
use crate::backend::OpenRequest;

/// Writes what `evidence` holds into `folder`, which is made; gives the test's path.
///
/// Nothing where no operation was found.
///
/// # Errors
/// If the system refuses a folder or a file.
pub fn write_folder(
    folder: &Path,
    evidence: &Evidence,
    request: &OpenRequest,
) -> io::Result<Option<PathBuf>> {
    let Some((tensor, operation)) = &evidence.origin else { return Ok(None) };
    let folder = &path::absolute(folder)?;
    fs::create_dir_all(folder)?;
    let rows = |(name, columns, values): &(String, usize, Vec<f32>)| {
        let shape = [values.len() / columns, *columns];
        (name.clone(), RowTensor { shape, values: values.clone() })
    };
    let tensors: BTreeMap<String, RowTensor> = evidence.tensors.iter().map(rows).collect();
    let notes = [
        ("operation", operation.clone()),
        ("tensor", tensor.clone()),
        ("positions", format!("{:?}", evidence.positions)),
        ("ids", format!("{:?}", evidence.ids)),
    ];
    let notes = notes.map(|(key, value)| (key.to_owned(), value)).into();
    fs::write(folder.join("tensors.safetensors"), write(&tensors, &notes))?;
    let test = folder.join("reproduce.rs");
    fs::write(&test, source(folder, tensor, operation, evidence, request))?;
    Ok(Some(test))
}

/// The test: our engine alone, held against what the reference gave.
fn source(
    folder: &Path,
    tensor: &str,
    operation: &str,
    evidence: &Evidence,
    request: &OpenRequest,
) -> String {
    let (name, occurrence) = tensor.split_once('#').unwrap_or((tensor, "0"));
    let name_of_test: String = tensor
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .collect();
    let (folder, model) = (folder.display().to_string(), request.model.display().to_string());
    format!(
        r#"//! {tensor} ({operation}) differs from the reference. Put this file into runner/tests/ and run
//! `cargo test -p bitnet-runner --test reproduce`.

use bitnet_runner::backend::engine::EngineBackend;
use bitnet_runner::backend::{{Backend, OpenRequest}};
use bitnet_runner::localize::safetensors;

#[test]
fn {name_of_test}_is_the_references() {{
    let file = std::path::Path::new({folder:?}).join("tensors.safetensors");
    let expected = &safetensors::read(&std::fs::read(file).unwrap()).unwrap()["expected"];
    let mut engine = EngineBackend::new();
    let request = OpenRequest {{ threads: {threads}, isa: {isa}, ..OpenRequest::new({model:?}, {context}) }};
    engine.open(&request).unwrap();
    let tensors = engine.tap(&{ids:?}, &[{name:?}.into()]).unwrap();
    let seen = tensors.iter().find(|tensor| tensor.occurrence == {occurrence}).unwrap();
    for (row, position) in expected.values.chunks(expected.shape[1]).zip({positions:?}) {{
        assert_eq!(row, &seen.values[position * row.len()..][..row.len()], "position {{position}}");
    }}
}}
"#,
        context = request.context,
        threads = request.threads,
        isa = request.isa.as_ref().map_or("None".into(), |isa| format!("Some({isa:?}.into())")),
        ids = evidence.ids,
        positions = evidence.positions,
    )
}
