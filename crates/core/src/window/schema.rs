//! What the JSON Schemas of the documents share: texts whose form a pattern can say.
//!
//! The document types name these in place of `String`; nothing is ever made of them. The patterns
//! use what every dialect of regular expressions has: no look-ahead and no classes by name, which
//! differ from one validator to the next.
//!
//! Invariant: a schema refuses nothing that the parser accepts. What the parser refuses and no
//! schema can, such as a zone that does not exist, is listed in `docs/documents.md`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::names::MAX_NAME_CHARACTERS;

/// White space and control characters, as [`check_name`](crate::names::check_name) knows them.
macro_rules! control {
    () => {
        r"\u0000-\u001f\u007f-\u009f"
    };
}
macro_rules! space {
    () => {
        r" \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
    };
}

macro_rules! texts {
    ($($(#[doc = $documentation:literal])* $name:ident: $schema:tt;)*) => { $(
        $(#[doc = $documentation])*
        #[derive(Debug)]
        pub enum $name {}

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn schema_id() -> Cow<'static, str> {
                concat!(module_path!(), "::", stringify!($name)).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )* };
}

texts! {
    /// The version of the document format.
    FormatVersion: {
        "description": "The version of the document format.",
        "type": "string",
        "const": "1"
    };
    /// A name, as [`check_name`](crate::names::check_name) accepts it.
    Name: {
        "description": "A name: 1 to 256 characters, none of them a control character, without \
            white space at its ends.",
        "type": "string",
        "maxLength": MAX_NAME_CHARACTERS,
        "pattern": concat!(
            "^[^", space!(), control!(), "]([^", control!(), "]*[^", space!(), control!(), "])?$"
        )
    };
    /// A length of time, as [`parse`](crate::window::duration::parse) accepts it, but for the
    /// longest.
    Length: {
        "description": "A length of time: whole hours, minutes and seconds in that order, such as \
            `1h30m` or `45s`; not zero, and at most `87600h`.",
        "type": "string",
        "pattern": "^([0-9]+h)?([0-9]+m)?([0-9]+s)?$",
        "not": {"pattern": "^[0hms]*$"}
    };
    /// A time of day, as [`Hour`](crate::window::Hour) reads it.
    TimeOfDay: {
        "description": "A time of day, from `00:00` to `23:59`.",
        "type": "string",
        "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"
    };
    /// A day of the week.
    Day: {
        "description": "A day of the week.",
        "enum": ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::DAYS;

    #[test]
    fn the_days_are_those_that_are_read() {
        let schema = Day::json_schema(&mut SchemaGenerator::default());
        let days: Vec<&str> = DAYS.iter().map(|(name, _)| *name).collect();
        assert_eq!(schema.get("enum"), Some(&serde_json::json!(days)));
    }
}
