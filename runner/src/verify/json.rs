//! Where two JSON documents differ: paths and values. It knows no field.

use serde_json::Value;

use super::Reasons;

/// Figures this close are equal: another platform's `ln` and `exp` may round otherwise.
const RELATIVE: f64 = 1e-12;
/// Reasons of one comparison; the first ones say enough.
const MOST: usize = 8;

/// Adds a reason for each place where `found` is not what `follows` from the raw data.
pub(super) fn differences(path: &str, found: &Value, follows: &Value, reasons: &mut Reasons) {
    let before = reasons.0.len();
    compare(path, found, follows, reasons);
    reasons.0.truncate(before + MOST);
}

fn compare(path: &str, found: &Value, follows: &Value, reasons: &mut Reasons) {
    match (found, follows) {
        (Value::Object(a), Value::Object(b)) => {
            for (name, value) in b {
                compare(
                    &format!("{path}.{name}"),
                    a.get(name).unwrap_or(&Value::Null),
                    value,
                    reasons,
                );
            }
            for name in a.keys().filter(|name| !b.contains_key(*name)) {
                reasons.add(format!("{path}.{name}"), "does not follow from the raw data");
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                compare(&format!("{path}[{index}]"), a, b, reasons);
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            let why = format!("has {} entries, and {} follow from the raw data", a.len(), b.len());
            reasons.add(path, why);
        }
        (Value::Number(a), Value::Number(b)) if close(a.as_f64(), b.as_f64()) => {}
        (a, b) if a == b => {}
        (a, b) => reasons.add(path, format!("is {a}, and {b} follows from the raw data")),
    }
}

fn close(a: Option<f64>, b: Option<f64>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return false };
    a == b || (a - b).abs() <= RELATIVE * a.abs().max(b.abs())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_difference_has_its_path_and_both_values() {
        let mut reasons = Reasons::default();
        let found = json!({"a": [1, {"b": 2.0}], "c": "x", "d": 1, "e": [1]});
        let follows = json!({"a": [1, {"b": 2.5}], "c": "y", "e": [], "f": 0.1});
        differences("m", &found, &follows, &mut reasons);
        let texts: Vec<String> = reasons.0.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "m.a[1].b: is 2.0, and 2.5 follows from the raw data",
                "m.c: is \"x\", and \"y\" follows from the raw data",
                "m.e: has 1 entries, and 0 follow from the raw data",
                "m.f: is null, and 0.1 follows from the raw data",
                "m.d: does not follow from the raw data",
            ]
        );
    }

    #[test]
    fn the_last_bit_of_another_platform_is_no_difference() {
        let mut reasons = Reasons::default();
        differences("m", &json!(0.1 + 0.2), &json!(0.3), &mut reasons);
        differences("m", &json!(1), &json!(1.0), &mut reasons);
        assert!(reasons.0.is_empty(), "{reasons:?}");
        differences("m", &json!(1.000_000_001), &json!(1.0), &mut reasons);
        assert_eq!(reasons.0.len(), 1);
    }
}
