//! The filter `tojson` of Hugging Face's templates: Python's `json.dumps` with `ensure_ascii=False`,
//! in order of insertion, without HTML escapes. Models were trained on exactly these bytes.

use std::fmt::Write as _;

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

/// Deeper values are refused: no message needs them, and writing them would exhaust the stack.
const MAX_DEPTH: usize = 100;

/// `value | tojson(ensure_ascii=, indent=, separators=, sort_keys=)`.
///
/// # Errors
/// If an argument is unknown or mistyped, or the value cannot be written as JSON.
pub(super) fn tojson(state: &State, value: &Value, args: Kwargs) -> Result<String, Error> {
    let indent: Option<Value> = args.get("indent")?;
    let separators: Option<Value> = args.get("separators")?;
    let indent = indent.filter(|indent| !indent.is_none()).map(indentation).transpose()?;
    let (item, key) = match separators.filter(|separators| !separators.is_none()) {
        Some(given) => {
            let text = |index| {
                let part = given.get_item_by_index(index)?;
                part.as_str().map(str::to_owned).ok_or_else(|| invalid("separators are two texts"))
            };
            (text(0)?, text(1)?)
        }
        // As Python: a line break needs no space before it.
        None => (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned()),
    };
    let mut writer = Writer {
        state,
        out: String::new(),
        indent,
        item,
        key,
        ascii: args.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        sorted: args.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
    };
    args.assert_all_used()?;
    writer.value(value, 0)?;
    Ok(writer.out)
}

fn invalid(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, why.into())
}

/// What one level is indented with: a number of spaces, or a text.
fn indentation(indent: Value) -> Result<String, Error> {
    match (indent.as_str(), indent.as_usize()) {
        (Some(text), _) => Ok(text.to_owned()),
        (None, Some(spaces)) if spaces <= 64 => Ok(" ".repeat(spaces)),
        _ => Err(invalid("indent is a text, or a number of spaces up to 64")),
    }
}

struct Writer<'a> {
    /// Pays for every item: lists may be far longer than what they were made of.
    state: &'a State<'a, 'a>,
    out: String,
    indent: Option<String>,
    item: String,
    key: String,
    ascii: bool,
    sorted: bool,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(invalid(format!("a value is nested deeper than {MAX_DEPTH}")));
        }
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.number(value)?,
            ValueKind::String => self.text(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let mut items = Vec::new();
                for item in value.try_iter()? {
                    self.state.consume_fuel(1)?;
                    items.push(item);
                }
                self.container(['[', ']'], items, depth, |writer, item| {
                    writer.value(&item, depth + 1)
                })?;
            }
            ValueKind::Map => {
                let mut pairs = Vec::new();
                for key in value.try_iter()? {
                    self.state.consume_fuel(1)?;
                    pairs.push((key_text(&key)?, value.get_item(&key)?));
                }
                if self.sorted {
                    pairs.sort_by(|a, b| a.0.cmp(&b.0));
                }
                self.container(['{', '}'], pairs, depth, |writer, (key, item)| {
                    writer.text(&key);
                    writer.out.push_str(&writer.key.clone());
                    writer.value(&item, depth + 1)
                })?;
            }
            kind => return Err(invalid(format!("{kind} cannot be written as JSON"))),
        }
        Ok(())
    }

    fn container<T>(
        &mut self,
        [open, close]: [char; 2],
        items: Vec<T>,
        depth: usize,
        mut write: impl FnMut(&mut Self, T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.out.push(open);
        let empty = items.is_empty();
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.out.push_str(&self.item);
            }
            self.new_line(depth + 1);
            write(self, item)?;
        }
        if !empty {
            self.new_line(depth);
        }
        self.out.push(close);
        Ok(())
    }

    fn new_line(&mut self, depth: usize) {
        if let Some(indent) = &self.indent {
            self.out.push('\n');
            (0..depth).for_each(|_| self.out.push_str(indent));
        }
    }

    fn number(&mut self, value: &Value) -> Result<(), Error> {
        if value.is_integer() {
            let _ = write!(self.out, "{value}");
        } else {
            let number = f64::try_from(value.clone())?;
            self.out.push_str(&python_float(number));
        }
        Ok(())
    }

    fn text(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                c if c < ' ' || (self.ascii && !matches!(c, ' '..='~')) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(self.out, "\\u{unit:04x}");
                    }
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

/// Keys of JSON are text; Python writes those that are not as they would be written as values.
fn key_text(key: &Value) -> Result<String, Error> {
    match key.kind() {
        ValueKind::String => Ok(key.as_str().unwrap_or_default().to_owned()),
        ValueKind::None => Ok("null".to_owned()),
        ValueKind::Bool => Ok(if key.is_true() { "true" } else { "false" }.to_owned()),
        ValueKind::Number if key.is_integer() => Ok(key.to_string()),
        ValueKind::Number => Ok(python_float(f64::try_from(key.clone())?)),
        kind => Err(invalid(format!("{kind} cannot be a key of JSON"))),
    }
}

/// The shortest digits that give the number back, with Python's rules for the exponent.
fn python_float(number: f64) -> String {
    if !number.is_finite() {
        let infinite = if number > 0.0 { "Infinity" } else { "-Infinity" };
        return if number.is_nan() { "NaN" } else { infinite }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..16).contains(&exponent) || number == 0.0 {
        return format!("{number:?}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use minijinja::{Environment, context};

    use super::*;

    fn render(expression: &str) -> Result<String, String> {
        let mut env = Environment::new();
        env.add_filter("tojson", tojson);
        let template = format!("{{{{ {expression} }}}}");
        let value = context! { text => "<é> & 'a' \"b\"\\\n\t\u{1}\u{7f}🦀" };
        env.render_str(&template, value).map_err(|error| error.to_string())
    }

    fn json(expression: &str) -> String {
        render(expression).expect("renders")
    }

    #[test]
    fn bytes_are_those_of_pythons_json_dumps() {
        // python3 -c 'import json; print(json.dumps(…, ensure_ascii=False))'
        assert_eq!(
            json("{'b': 1, 'a': [true, none, 'x'], 'c': {}} | tojson"),
            r#"{"b": 1, "a": [true, null, "x"], "c": {}}"#
        );
        assert_eq!(json("text | tojson"), "\"<é> & 'a' \\\"b\\\"\\\\\\n\\t\\u0001\u{7f}🦀\"");
        assert_eq!(
            json("[1.0, 0.1, 1e16, 1.5e-7, 123456789012345.0, -0.0, 0.0001] | tojson"),
            "[1.0, 0.1, 1e+16, 1.5e-07, 123456789012345.0, -0.0, 0.0001]"
        );
        assert_eq!(json("{2: 2, true: 3} | tojson"), r#"{"2": 2, "true": 3}"#);
    }

    #[test]
    fn arguments_are_those_of_pythons_json_dumps() {
        assert_eq!(
            json("{'b': [1, 2], 'a': [], 'c': {}} | tojson(indent=2)"),
            "{\n  \"b\": [\n    1,\n    2\n  ],\n  \"a\": [],\n  \"c\": {}\n}"
        );
        assert_eq!(json("[1] | tojson(indent=0)"), "[\n1\n]");
        assert_eq!(json("[1] | tojson(indent='\t')"), "[\n\t1\n]");
        assert_eq!(json("{'b': 1, 'a': 2} | tojson(sort_keys=true)"), r#"{"a": 2, "b": 1}"#);
        assert_eq!(json("{'b': [1, 2]} | tojson(separators=(',', ':'))"), r#"{"b":[1,2]}"#);
        assert_eq!(json("'é🦀' | tojson(ensure_ascii=true)"), r#""\u00e9\ud83e\udd80""#);
        assert_eq!(json("[1] | tojson(indent=none, separators=none)"), "[1]");
    }

    #[test]
    fn what_is_no_json_is_refused_by_reason() {
        let refusal = |expression| render(expression).expect_err("refused");
        assert!(refusal("missing | tojson").contains("undefined cannot be written as JSON"));
        assert!(refusal("1 | tojson(depth=3)").contains("unknown keyword argument 'depth'"));
        assert!(refusal("1 | tojson(indent=65)").contains("indent is a text, or a number"));
        let mut deep = Value::from(1);
        for _ in 0..200 {
            deep = Value::from(vec![deep]);
        }
        let mut env = Environment::new();
        env.add_filter("tojson", tojson);
        let error = env.render_str("{{ deep | tojson }}", context! { deep }).expect_err("refused");
        assert!(error.to_string().contains("a value is nested deeper than 100"), "{error}");
    }
}
