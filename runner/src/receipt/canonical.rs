//! One text for one JSON document: the canonical form of RFC 8785 (JCS), and its SHA-256. What has the
//! same digest has the same figures. It knows no field of a receipt.

use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Which of the shortest texts a number has where it lies in the middle between two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ties {
    /// The one with the even last digit: ECMAScript's, and so that of RFC 8785.
    Even,
    /// The larger one, as Rust's own formatting has it: digests of schema 1.0.0.
    Larger,
}

/// SHA-256 of the canonical form of `value`, lower-case hex.
pub fn digest(value: &Value, ties: Ties) -> String {
    let mut text = String::new();
    write(value, ties, &mut text);
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write(value: &Value, ties: Ties, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by_cached_key(|(name, _)| name.encode_utf16().collect::<Vec<_>>());
            out.push('{');
            for (index, (name, value)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                let _ = write!(out, "{}:", Value::from(name.as_str()));
                write(value, ties, out);
            }
            out.push('}');
        }
        Value::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(value, ties, out);
            }
            out.push(']');
        }
        // A JSON number is a double here, whole ones as well.
        Value::Number(number) => {
            out.push_str(&ecmascript(number.as_f64().unwrap_or(f64::NAN), ties));
        }
        // Text, true, false and null are written as serde_json does, which is JCS's way.
        other => {
            let _ = write!(out, "{other}");
        }
    }
}

/// A finite number as ECMAScript writes it (`Number::toString`, ECMA-262 §6.1.6.1.20).
fn ecmascript(value: f64, ties: Ties) -> String {
    if value == 0.0 || !value.is_finite() {
        return "0".to_owned();
    }
    // Both write the fewest digits that read back as the same number.
    let shortest = match ties {
        Ties::Even => Value::from(value.abs()).to_string(),
        Ties::Larger => format!("{:e}", value.abs()),
    };
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0');
    let zeros = (digits.len() - significant.len()) as i32;
    let point = whole.len() as i32 - zeros + exponent.parse::<i32>().unwrap_or(0);
    let digits = significant.trim_end_matches('0');
    let count = digits.len() as i32;
    let sign = if value < 0.0 { "-" } else { "" };
    let body = match point {
        1..=21 if point >= count => format!("{digits}{}", "0".repeat((point - count) as usize)),
        1..=21 => format!("{}.{}", &digits[..point as usize], &digits[point as usize..]),
        -5..=0 => format!("0.{}{digits}", "0".repeat(-point as usize)),
        _ => {
            let fraction = if count > 1 { format!(".{}", &digits[1..]) } else { String::new() };
            format!("{}{fraction}e{:+}", &digits[..1], point - 1)
        }
    };
    format!("{sign}{body}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of RFC 8785, appendix B, and of its section 3.2.
    #[test]
    fn numbers_are_written_as_the_standard_shows() {
        for (bits, text) in [
            (0x0000_0000_0000_0000, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
        ] {
            for ties in [Ties::Even, Ties::Larger] {
                assert_eq!(ecmascript(f64::from_bits(bits), ties), text);
            }
        }
        let written = |value| ecmascript(value, Ties::Even);
        assert_eq!((written(4.5), written(0.002)), ("4.5".into(), "0.002".into()));
    }

    /// ECMA-262 §6.1.6.1.20, note 2: "the even one".
    #[test]
    fn a_number_between_two_texts_has_the_even_one() {
        let between = 13_293.0 / f64::from(1 << 19);
        assert_eq!(ecmascript(between, Ties::Even), "0.025354385375976562");
        assert_eq!(ecmascript(between, Ties::Larger), "0.025354385375976563");
    }

    #[test]
    fn order_and_spaces_do_not_matter_and_a_figure_does() {
        let read = |text: &str| digest(&serde_json::from_str(text).unwrap(), Ties::Even);
        let one = read(r#"{"b": [1, 2.50, "ä"], "a": null}"#);
        assert_eq!(one, read(r#"{"a":null,"b":[1.0,2.5,"\u00e4"]}"#));
        assert_ne!(one, read(r#"{"a":null,"b":[1,2.5000000000000004,"ä"]}"#));
        // sha256 of {"a":null,"b":[1,2.5,"ä"]}
        let mut text = String::new();
        let value: Value = serde_json::from_str(r#"{"b":[1,2.5,"ä"],"a":null}"#).unwrap();
        write(&value, Ties::Even, &mut text);
        assert_eq!(text, r#"{"a":null,"b":[1,2.5,"ä"]}"#);
    }
}
