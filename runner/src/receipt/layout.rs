//! JSON that people can read and that stays small: a field a line, a list of plain values in one line.

use serde_json::Value;

/// `value` as text with a final newline.
pub fn text(value: &Value) -> String {
    let mut out = String::new();
    write(value, 0, &mut out);
    out.push('\n');
    out
}

fn write(value: &Value, depth: usize, out: &mut String) {
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    let plain = |value: &Value| !(value.is_array() || value.is_object());
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            out.push('{');
            for (index, (name, value)) in fields.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                line(out, depth + 1);
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push_str(": ");
                write(value, depth + 1, out);
            }
            line(out, depth);
            out.push('}');
        }
        Value::Array(values) if !values.iter().all(plain) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                line(out, depth + 1);
                write(value, depth + 1, out);
            }
            line(out, depth);
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_values_are_one_line_and_all_comes_back() {
        let json = r#"{"a":[1,2.5,null],"b":{"c":[],"d":[{"e":1}]},"f":{}}"#;
        let value: Value = serde_json::from_str(json).unwrap();
        let shown = text(&value);
        assert!(shown.contains("\n  \"a\": [1,2.5,null],\n"), "{shown}");
        assert!(shown.contains("\n    \"d\": [\n      {\n        \"e\": 1\n      }\n    ]\n"));
        assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), value);
    }
}
