//! Which Rust types a metadata value may be read as.
//!
//! Integers convert between widths when the number fits; nothing else converts.

use super::error::KeyFault;
use super::value::{Array, Value};
use super::view::{Items, Strings, Text};

/// A type that a metadata value may be read as.
pub trait FromValue<'a>: Sized {
    /// Its name in messages.
    const NAME: &'static str;

    /// The value as this type.
    ///
    /// # Errors
    /// If the value is of a type that does not convert, a number that does not fit, or not UTF-8
    /// where text is asked for.
    fn from_value(value: Value<'a>) -> Result<Self, KeyFault>;
}

fn wrong_type<'a, T: FromValue<'a>>(value: Value<'_>) -> KeyFault {
    KeyFault::WrongType { wanted: T::NAME, found: value.type_name() }
}

macro_rules! integers {
    ($($rust:ty),*) => {$(
        impl<'a> FromValue<'a> for $rust {
            const NAME: &'static str = stringify!($rust);

            fn from_value(value: Value<'a>) -> Result<Self, KeyFault> {
                let found = value.as_integer().ok_or_else(|| wrong_type::<Self>(value))?;
                let out_of_range = KeyFault::OutOfRange { wanted: Self::NAME, found };
                found.try_into().map_err(|_| out_of_range)
            }
        }
    )*};
}

integers!(u32, u64, i32, i64, usize);

macro_rules! exact {
    ($($rust:ty, $name:literal, $pattern:pat => $result:expr;)*) => {$(
        impl<'a> FromValue<'a> for $rust {
            const NAME: &'static str = $name;

            fn from_value(value: Value<'a>) -> Result<Self, KeyFault> {
                match value {
                    $pattern => Ok($result),
                    other => Err(wrong_type::<Self>(other)),
                }
            }
        }
    )*};
}

exact! {
    f32, "f32", Value::F32(x) => x;
    bool, "bool", Value::Bool(x) => x;
    Text<'a>, "string", Value::String(x) => x;
    Array<'a>, "array", Value::Array(x) => x;
    Strings<'a>, "array of string", Value::Array(Array::String(x)) => x;
    Items<'a, u8>, "array of u8", Value::Array(Array::U8(x)) => x;
    Items<'a, u32>, "array of u32", Value::Array(Array::U32(x)) => x;
    Items<'a, i32>, "array of i32", Value::Array(Array::I32(x)) => x;
    Items<'a, f32>, "array of f32", Value::Array(Array::F32(x)) => x;
    Items<'a, bool>, "array of bool", Value::Array(Array::Bool(x)) => x;
}

impl<'a> FromValue<'a> for &'a str {
    const NAME: &'static str = "string";

    fn from_value(value: Value<'a>) -> Result<Self, KeyFault> {
        let text = Text::from_value(value)?;
        text.as_str().map_err(|e| KeyFault::NotUtf8 { valid_up_to: e.valid_up_to() })
    }
}

impl<'a> FromValue<'a> for Value<'a> {
    const NAME: &'static str = "any value";

    fn from_value(value: Value<'a>) -> Result<Self, KeyFault> {
        Ok(value)
    }
}
