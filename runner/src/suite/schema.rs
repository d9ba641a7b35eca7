//! The JSON schema of suite files and the tables of keys in their reference, both generated from
//! the wire types; it validates nothing itself.

use std::fmt::Write as _;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::case::Kind;
use super::wire::{KEYS, WireCase, WireHead};

/// The schema as pretty JSON with a final newline; draft 7, which most editors read.
pub fn json() -> String {
    let mut text = format!("{:#}", document());
    text.push('\n');
    text
}

fn document() -> Value {
    let mut generator = SchemaSettings::draft07().into_generator();
    generator.subschema_for::<WireHead>();
    let case = generator.subschema_for::<WireCase>().to_value();
    let mut definitions = generator.take_definitions(true);
    // serde's `default` on the wire types says nothing to an author: `validate` decides what is
    // missing, and the defaults that matter are in the descriptions.
    let mut properties = Map::new();
    if let Some(Value::Object(mut head)) = definitions.remove("WireHead")
        && let Some(Value::Object(found)) = head.remove("properties")
    {
        properties = found;
    }
    if let Some(Value::Object(case)) = definitions.get_mut("WireCase") {
        case.remove("required");
        if let Some(Value::Object(keys)) = case.get_mut("properties") {
            for key in keys.values_mut().filter_map(Value::as_object_mut) {
                key.remove("default");
            }
        }
    }
    for key in properties.values_mut().filter_map(Value::as_object_mut) {
        key.remove("default");
    }
    properties.insert(
        "defaults".to_owned(),
        json!({
            "description": "Any case key but `name`; a case overrides.",
            "allOf": [case.clone(), { "not": { "required": ["name"] } }],
        }),
    );
    properties.insert(
        "case".to_owned(),
        json!({
            "description": "The cases, at least one.",
            "type": "array",
            "minItems": 1,
            "items": { "allOf": [case, { "required": ["name"] }] },
        }),
    );
    let by_kind: Vec<Value> = Kind::ALL.into_iter().map(keys_of).collect();
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A suite of test cases",
        "type": "object",
        "additionalProperties": false,
        "required": ["kind", "analysis", "case"],
        "properties": properties,
        "allOf": by_kind,
        "definitions": definitions,
    })
}

/// If a file is of `kind`, its cases have only that kind's keys.
fn keys_of(kind: Kind) -> Value {
    let keys: Vec<&str> =
        KEYS.iter().filter(|(_, kinds)| kinds.contains(&kind)).map(|(key, _)| *key).collect();
    let only = json!({ "propertyNames": { "enum": keys } });
    json!({
        "if": { "properties": { "kind": { "const": kind.name() } }, "required": ["kind"] },
        "then": { "properties": { "defaults": only.clone(), "case": { "items": only } } },
    })
}

/// Markdown tables of all keys: of the file, of a case, and of the tables and words inside a case.
pub fn key_tables() -> String {
    let document = document();
    let mut text = String::from("### Keys of the file\n\n| key | what |\n|---|---|\n");
    for key in ["kind", "analysis", "defaults", "case"] {
        row(&mut text, key, &[], &document["properties"][key]);
    }
    text.push_str("\n### Keys of a case\n\n| key | kinds | what |\n|---|---|---|\n");
    for (key, kinds) in KEYS {
        let case = &document["definitions"]["WireCase"]["properties"][*key];
        let kinds: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
        let kinds =
            if kinds.len() == Kind::ALL.len() { "all".to_owned() } else { kinds.join(", ") };
        row(&mut text, key, &[&kinds], case);
    }
    for (title, definition) in [
        ("Keys of `known-failure`", "WireKnownFailure"),
        ("Keys of `variants`", "WireVariants"),
        ("Keys of a `tolerance` table", "WireCeilings"),
        ("Keys of `fresh-cache`", "WireFreshCache"),
        ("Keys of `overwrite`", "WireOverwrite"),
        ("Keys of `rename`", "WireRename"),
        ("Keys of `set-u32`", "WireSetU32"),
        ("Keys of `set-f32`", "WireSetF32"),
        ("Keys of `limits`", "WireLimits"),
    ] {
        let _ = write!(text, "\n### {title}\n\n| key | what |\n|---|---|\n");
        let properties = document["definitions"][definition]["properties"].as_object();
        for (key, schema) in properties.into_iter().flatten() {
            row(&mut text, key, &[], schema);
        }
    }
    for (title, definition) in [
        ("Values of `kind`", "Kind"),
        ("Values of `tier`", "Tier"),
        ("Values of `isa`", "WireIsa"),
        ("Values of `greedy`", "WireGreedy"),
        ("Classes of `tolerance`", "WireClass"),
        ("Values of `relation`", "WireRelation"),
        ("Values of `damage`", "WireDamage"),
        ("Values of `weights`", "WireWeights"),
        ("Values of `output`", "WireOutput"),
    ] {
        let _ = write!(text, "\n### {title}\n\n| value | what |\n|---|---|\n");
        let values = document["definitions"][definition]["oneOf"].as_array();
        for value in values.into_iter().flatten() {
            match (value["const"].as_str(), value["properties"].as_object()) {
                (Some(word), _) => row(&mut text, word, &[], value),
                (None, Some(table)) => {
                    for word in table.keys() {
                        row(&mut text, &format!("{{ {word} = … }}"), &[], value);
                    }
                }
                (None, None) => {}
            }
        }
    }
    text
}

fn row(text: &mut String, key: &str, cells: &[&str], schema: &Value) {
    let what = schema["description"].as_str().unwrap_or_default().replace('|', "\\|");
    let cells: String = cells.iter().map(|cell| format!("{cell} | ")).collect();
    let _ = writeln!(text, "| `{key}` | {cells}{what} |");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::case::ToleranceOverrides;
    use crate::suite::quantization::QuantizationLimits;

    fn keys(document: &Value, definition: &str) -> Vec<String> {
        let properties = &document["definitions"][definition]["properties"];
        properties.as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn the_table_of_kinds_and_the_wire_type_have_the_same_keys() {
        let mut listed: Vec<String> = KEYS.iter().map(|(key, _)| (*key).to_owned()).collect();
        listed.sort();
        let mut wire = keys(&document(), "WireCase");
        wire.sort();
        assert_eq!(listed, wire);
    }

    #[test]
    fn wire_and_domain_know_the_same_limits() {
        let mut domain: Vec<&str> =
            ToleranceOverrides::default().entries().into_iter().map(|(key, _, _)| key).collect();
        domain.push("class");
        domain.sort_unstable();
        let mut wire = keys(&document(), "WireCeilings");
        wire.sort();
        assert_eq!(domain, wire);
    }

    #[test]
    fn wire_and_domain_know_the_same_limits_of_a_matrix() {
        let domain = QuantizationLimits::default().entries().map(|(key, _, _)| key);
        let mut domain: Vec<&str> = domain.into();
        domain.sort_unstable();
        let mut wire = keys(&document(), "WireLimits");
        wire.sort();
        assert_eq!(domain, wire);
    }

    #[test]
    fn every_key_has_a_description() {
        for line in key_tables().lines().filter(|line| line.starts_with("| `")) {
            let what = line.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
            assert!(what.len() > 3 && !what.starts_with('`'), "no description: {line}");
        }
    }
}
