//! The JSON schema of receipts, generated from their types; it validates nothing itself.

use schemars::generate::SchemaSettings;

use super::bench::BenchReceipt;

/// The schema as pretty JSON with a final newline; draft 7, as that of suite files.
pub fn json() -> String {
    let schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<BenchReceipt>();
    let mut text = format!("{:#}", schema.to_value());
    text.push('\n');
    text
}
