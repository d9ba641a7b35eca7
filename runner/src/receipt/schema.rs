//! The JSON schema of receipts, generated from their types; it validates nothing itself.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::bench::BenchReceipt;
use super::facts::Kind;
use super::file::DIGEST;
use super::parity::ParityReceipt;

/// A receipt of either kind.
#[derive(JsonSchema)]
#[schemars(untagged, title = "Receipt")]
#[expect(dead_code, reason = "only its schema is wanted")]
enum AnyReceipt {
    Bench(Box<BenchReceipt>),
    Parity(Box<ParityReceipt>),
}

/// The schema as pretty JSON with a final newline; draft 7, as that of suite files.
pub fn json() -> String {
    let schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<AnyReceipt>();
    let mut schema = schema.to_value();
    for (name, kind) in [("BenchReceipt", Kind::Bench), ("ParityReceipt", Kind::Parity)] {
        let receipt = &mut schema["definitions"][name];
        receipt["properties"][DIGEST] = json!({
            "description": "SHA-256 of the canonical form (RFC 8785) of everything else, lower-case hex.",
            "type": "string",
            "pattern": "^[0-9a-f]{64}$"
        });
        receipt["properties"]["kind"] = json!({
            "description": "What kind of receipt it is.",
            "const": kind
        });
        if let Some(Value::Array(required)) = receipt.get_mut("required") {
            required.push(DIGEST.into());
        }
    }
    let mut text = format!("{schema:#}");
    text.push('\n');
    text
}
