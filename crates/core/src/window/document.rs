//! Reading documents strictly: what the policy, approval and break-glass documents share.
//!
//! Serde types of a document use [`present`] for every optional field, so that an explicit `null`
//! is an error and never means "anyone", and [`rules`] for the list of rules, so that an error
//! inside a rule says which one. [`field_readers!`](crate::field_readers) makes an error say which
//! field. All of them take a structure only as an object and a text only as a text ([`object`]),
//! whatever the format: what JSON refuses, YAML does not let in.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Reads a value; if it is a structure, only as an object, and if it is a text or a list of texts,
/// only texts.
///
/// What serde derives would also take a list of the fields' values in their order, in which
/// nothing is named. A reader of YAML would take a bare `1` or `null` for a text if it is asked for
/// one. The format must say of itself what it holds, as JSON, YAML and TOML do.
///
/// What is inside the value is read as its own type says; use this, [`present`], [`rules`] or
/// [`field_readers!`](crate::field_readers) there too.
///
/// # Errors
/// Those of the value.
///
/// ```
/// use countersign_core::window::document::object;
///
/// #[derive(serde::Deserialize)]
/// struct Hours {
///     start: u8,
///     end: u8,
/// }
///
/// let read = |json: &str| object::<_, Hours>(&mut serde_json::Deserializer::from_str(json));
/// assert!(read(r#"{"start": 9, "end": 17}"#).is_ok_and(|hours| hours.start < hours.end));
/// assert!(read("[9, 17]").is_err());
/// ```
pub fn object<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(Objects(deserializer))
}

/// A deserializer that takes a structure only as an object and a text only as a text.
struct Objects<D>(D);

macro_rules! forward {
    ($($method:ident($($argument:ident: $type:ty),*))*) => { $(
        fn $method<V: Visitor<'de>>(
            self,
            $($argument: $type,)*
            visitor: V,
        ) -> Result<V::Value, D::Error> {
            self.0.$method($($argument,)* visitor)
        }
    )* };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Objects<D> {
    type Error = D::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(FromMap(visitor))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_seq(FromEntries(visitor))
    }

    forward! {
        deserialize_any() deserialize_bool() deserialize_i8() deserialize_i16() deserialize_i32()
        deserialize_i64() deserialize_i128() deserialize_u8() deserialize_u16() deserialize_u32()
        deserialize_u64() deserialize_u128() deserialize_f32() deserialize_f64()
        deserialize_char() deserialize_bytes()
        deserialize_byte_buf() deserialize_option() deserialize_unit()
        deserialize_map() deserialize_identifier() deserialize_ignored_any()
        deserialize_unit_struct(name: &'static str)
        deserialize_newtype_struct(name: &'static str)
        deserialize_tuple(len: usize)
        deserialize_tuple_struct(name: &'static str, len: usize)
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

/// A visitor that takes a map and nothing else: a reader of a format that knows what it has before
/// it (TOML) offers a list even where a map is asked for.
struct FromMap<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for FromMap<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(fields)
    }
}

/// A visitor of a list, or its entries, each read as by [`object`].
struct FromEntries<T>(T);

impl<'de, V: Visitor<'de>> Visitor<'de> for FromEntries<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, entries: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(FromEntries(entries))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for FromEntries<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(FromEntries(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for FromEntries<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Objects(deserializer))
    }
}

/// Reads an optional field that, if it is there, must have a value: `null` is an error.
///
/// For `#[serde(default, deserialize_with = "…")]`.
///
/// # Errors
/// Those of the value.
///
/// ```
/// use countersign_core::window::document::present;
///
/// #[derive(serde::Deserialize)]
/// struct Rule {
///     #[serde(default, deserialize_with = "present")]
///     users: Option<Vec<String>>,
/// }
///
/// assert_eq!(serde_json::from_str::<Rule>("{}")?.users, None);
/// assert!(serde_json::from_str::<Rule>(r#"{"users": null}"#).is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    object(deserializer).map(Some)
}

/// Reads a list of rules; an error inside one is prefixed with its place, `rules[2]: …`.
///
/// For `#[serde(deserialize_with = "…")]`.
///
/// # Errors
/// Those of the rules.
///
/// ```
/// use countersign_core::window::document::rules;
///
/// #[derive(Debug, serde::Deserialize)]
/// struct Document {
///     #[serde(deserialize_with = "rules")]
///     rules: Vec<u8>,
/// }
///
/// let error = serde_json::from_str::<Document>(r#"{"rules": [1, 2, "x"]}"#).unwrap_err();
/// assert!(error.to_string().starts_with("rules[2]: "), "{error}");
/// ```
pub fn rules<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Rules<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Rules<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of rules")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
            let mut rules = Vec::new();
            while let Some(rule) = items.next_element_seed(Rule {
                index: rules.len(),
                rule: PhantomData,
            })? {
                rules.push(rule);
            }
            Ok(rules)
        }
    }

    struct Rule<T> {
        index: usize,
        rule: PhantomData<T>,
    }

    impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Rule<T> {
        type Value = T;

        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
            object(deserializer)
                .map_err(|error| D::Error::custom(format_args!("rules[{}]: {error}", self.index)))
        }
    }

    deserializer.deserialize_seq(Rules(PhantomData))
}

/// Defines a function for each field of a document type that reads its value and puts the field's
/// name before an error; an optional field is read as by
/// [`present`](crate::window::document::present).
///
/// For `#[serde(deserialize_with = "…")]`; use it in a module of its own.
///
/// ```
/// #[derive(Debug, serde::Deserialize)]
/// struct Rule {
///     #[serde(deserialize_with = "read::name")]
///     name: String,
///     #[serde(default, deserialize_with = "read::users")]
///     users: Option<Vec<String>>,
/// }
///
/// mod read {
///     countersign_core::field_readers! {
///         required: name;
///         optional: users;
///     }
/// }
///
/// let error = serde_json::from_str::<Rule>(r#"{"name": "a", "users": "alice"}"#).unwrap_err();
/// assert!(error.to_string().starts_with("`users`: invalid type: string"), "{error}");
/// ```
#[macro_export]
macro_rules! field_readers {
    (required: $($required:ident)*; optional: $($optional:ident)*;) => {
        $($crate::field_readers! {
            @reader $required, T, $crate::window::document::object
        })*
        $($crate::field_readers! {
            @reader $optional, ::core::option::Option<T>, $crate::window::document::present
        })*
    };
    (@reader $field:ident, $value:ty, $read:path) => {
        pub(super) fn $field<'de, D, T>(
            deserializer: D,
        ) -> ::core::result::Result<$value, D::Error>
        where
            D: $crate::id::serde::de::Deserializer<'de>,
            T: $crate::id::serde::de::Deserialize<'de>,
        {
            let value: ::core::result::Result<$value, D::Error> = $read(deserializer);
            value.map_err(|error| {
                <D::Error as $crate::id::serde::de::Error>::custom(::core::format_args!(
                    ::core::concat!("`", ::core::stringify!($field), "`: {}"),
                    error
                ))
            })
        }
    };
}

#[cfg(test)]
mod tests {
    use serde::de::value::{Error as ValueError, MapDeserializer, SeqDeserializer};

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Rule {
        #[serde(default, deserialize_with = "present")]
        #[allow(dead_code)]
        users: Option<Vec<String>>,
    }

    #[derive(Debug, Deserialize)]
    struct Document {
        #[serde(deserialize_with = "rules")]
        rules: Vec<Rule>,
    }

    #[test]
    fn an_error_in_a_rule_names_the_rule_the_field_and_the_place() {
        let text = "{\"rules\": [{},\n {\"user\": [\"alice\"]}]}";
        let error = serde_json::from_str::<Document>(text).unwrap_err();
        assert_eq!((error.line(), error.column()), (2, 8), "{error}");
        let message = error.to_string();
        assert!(
            message.contains("rules[1]") && message.contains("`user`"),
            "{message}"
        );
        assert!(message.contains("expected `users`"), "{message}");
    }

    #[test]
    fn a_list_is_no_structure_even_if_the_format_offers_one() {
        // A value that is there already is offered as what it is, whatever is asked for.
        let fields = [("users", vec!["alice"])];
        let map = MapDeserializer::<_, ValueError>::new(fields.into_iter());
        assert!(object::<_, Rule>(map).is_ok());
        let list = SeqDeserializer::<_, ValueError>::new([vec!["alice"]].into_iter());
        let error = object::<_, Rule>(list).unwrap_err();
        assert!(error.to_string().contains("sequence"), "{error}");
    }

    #[test]
    fn rules_must_be_a_list() {
        assert_eq!(
            serde_json::from_str::<Document>(r#"{"rules": [{}, {}]}"#)
                .unwrap()
                .rules
                .len(),
            2
        );
        for bad in [
            r#"{"rules": null}"#,
            r#"{"rules": {}}"#,
            r#"{}"#,
            r#"{"rules": [null]}"#,
            r#"{"rules": [[["alice"]]]}"#,
        ] {
            assert!(serde_json::from_str::<Document>(bad).is_err(), "{bad}");
        }
    }
}
