//! A receipt straight from its text, without a tree of JSON between: for readers of thousands. It passes
//! over the digest; whoever verifies reads the document.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{
    Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, IntoDeserializer,
    MapAccess, Visitor,
};

use super::file::DIGEST;

/// The receipt in `text`, whose fields beside the digest are those of `T`.
pub(super) fn typed<T: DeserializeOwned>(text: &str) -> serde_json::Result<T> {
    let mut json = serde_json::Deserializer::from_str(text);
    let receipt = json.deserialize_map(Fields(PhantomData))?;
    json.end()?;
    Ok(receipt)
}

struct Fields<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a receipt")
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<T, M::Error> {
        T::deserialize(MapAccessDeserializer::new(WithoutDigest(map)))
    }
}

/// The fields of an object without its digest.
struct WithoutDigest<M>(M);

impl<'de, M: MapAccess<'de>> MapAccess<'de> for WithoutDigest<M> {
    type Error = M::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, M::Error> {
        while let Some(key) = self.0.next_key::<String>()? {
            if key != DIGEST {
                return seed.deserialize(key.into_deserializer()).map(Some);
            }
            self.0.next_value::<IgnoredAny>()?;
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, M::Error> {
        self.0.next_value_seed(seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Two {
        a: u32,
        b: Vec<f64>,
    }

    #[test]
    fn the_digest_is_passed_over_and_nothing_else() {
        let two: Two = typed(r#"{"a": 1, "digest": {"x": [1]}, "b": [2.5]}"#).unwrap();
        assert_eq!(two, Two { a: 1, b: vec![2.5] });
        let error = typed::<Two>(r#"{"a": 1, "b": [], "c": 0}"#).unwrap_err().to_string();
        assert!(error.contains("unknown field `c`"), "{error}");
        assert!(typed::<Two>(r#"{"a": 1, "b": []} x"#).is_err(), "nothing follows a receipt");
        assert!(typed::<Two>("[]").unwrap_err().to_string().contains("expected a receipt"));
    }
}
