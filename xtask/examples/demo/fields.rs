//! The fields of one line of `day.jsonl`, read strictly: each by its name and kind, none left over.
//!
//! Every error names the field, the value and the fix; a field given twice or unknown is an error.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;

/// What is left to be read of a line.
#[derive(Debug)]
pub struct Fields {
    left: BTreeMap<String, Value>,
    known: Vec<&'static str>,
}

impl Fields {
    /// Reads a JSON object.
    pub fn parse(line: &str) -> Result<Self, String> {
        let Unique(left) = serde_json::from_str(line).map_err(|error| {
            let message = error.to_string();
            let place = format!(" at line {} column {}", error.line(), error.column());
            let message = message.strip_suffix(&place).unwrap_or(&message);
            format!(
                "column {}: {message}: write one JSON object a line",
                error.column()
            )
        })?;
        let known = Vec::new();
        Ok(Self { left, known })
    }

    /// A field that must be there.
    pub fn required<T: Field>(&mut self, name: &'static str) -> Result<T, String> {
        self.optional(name)?
            .ok_or_else(|| format!("`{name}` is missing: write {}", T::EXPECTED))
    }

    /// A field that may be left out, but not be `null`.
    pub fn optional<T: Field>(&mut self, name: &'static str) -> Result<Option<T>, String> {
        self.known.push(name);
        let Some(value) = self.left.remove(name) else {
            return Ok(None);
        };
        let field = T::read(&value).map_err(|problem| match problem {
            Problem::Kind => format!("`{name}` is `{value}`: write {}", T::EXPECTED),
            Problem::Value(message) => format!("`{name}`: {message}"),
        })?;
        Ok(Some(field))
    }

    /// Whether a field is there and not read yet.
    pub fn has(&self, name: &str) -> bool {
        self.left.contains_key(name)
    }

    /// Nothing must be left.
    pub fn finish(self) -> Result<(), String> {
        match self.left.first_key_value() {
            None => Ok(()),
            Some((name, _)) => {
                let known = self.known.join(", ");
                Err(format!(
                    "`{name}` is unknown here: remove it, or write one of {known}"
                ))
            }
        }
    }
}

/// Why a value does not do.
pub enum Problem {
    /// It is of another kind.
    Kind,
    /// It is of the right kind and says something impossible.
    Value(String),
}

/// What a field can hold.
pub trait Field: Sized {
    /// What to write.
    const EXPECTED: &'static str;

    /// Reads the value.
    fn read(value: &Value) -> Result<Self, Problem>;
}

impl Field for String {
    const EXPECTED: &'static str = "a text";

    fn read(value: &Value) -> Result<Self, Problem> {
        value.as_str().map(str::to_owned).ok_or(Problem::Kind)
    }
}

/// Implements [`Field`] for types that are read from a text.
macro_rules! texts {
    ($($type:ty: $expected:literal;)*) => { $(
        impl Field for $type {
            const EXPECTED: &'static str = $expected;

            fn read(value: &Value) -> Result<Self, Problem> {
                let text = value.as_str().ok_or(Problem::Kind)?;
                text.parse().map_err(|error| Problem::Value(format!("{error}")))
            }
        }
    )* };
}

texts! {
    countersign_policy::User: "the name of a user";
    countersign_policy::Profile: "the name of a profile";
    countersign_policy::Group: "the name of a group";
    countersign_policy::Mode: "server, cli or credential_process";
    countersign_breakglass::ReasonCode: "incident, maintenance, security, recovery or other";
}

impl Field for chrono::DateTime<chrono::Utc> {
    const EXPECTED: &'static str = "a time such as \"2026-03-02T09:00:00Z\"";

    fn read(value: &Value) -> Result<Self, Problem> {
        let text = value.as_str().ok_or(Problem::Kind)?;
        let time = chrono::DateTime::parse_from_rfc3339(text).map_err(|_| Problem::Kind)?;
        Ok(time.to_utc())
    }
}

impl Field for std::time::Duration {
    const EXPECTED: &'static str = "a duration such as \"1h30m\"";

    fn read(value: &Value) -> Result<Self, Problem> {
        let text = value.as_str().ok_or(Problem::Kind)?;
        let length = countersign_policy::DurationText::from(text).parse();
        length.map_err(|error| Problem::Value(error.to_string()))
    }
}

impl<T: Field> Field for Vec<T> {
    const EXPECTED: &'static str = "a list of names";

    fn read(value: &Value) -> Result<Self, Problem> {
        value
            .as_array()
            .ok_or(Problem::Kind)?
            .iter()
            .map(T::read)
            .collect()
    }
}

impl<T: Field + std::str::FromStr<Err: fmt::Display> + Ord> Field
    for BTreeMap<T, Vec<countersign_policy::Group>>
{
    const EXPECTED: &'static str = "an object of names with their lists of groups";

    fn read(value: &Value) -> Result<Self, Problem> {
        let entries = value.as_object().ok_or(Problem::Kind)?.iter();
        let entry = |(name, groups): (&String, &Value)| {
            let name = name
                .parse()
                .map_err(|error| Problem::Value(format!("{error}")))?;
            Ok((name, Field::read(groups)?))
        };
        entries.map(entry).collect()
    }
}

/// A JSON object without a name given twice.
struct Unique(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Unique;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Unique, A::Error> {
                let mut fields = BTreeMap::new();
                while let Some((name, value)) = entries.next_entry::<String, Value>()? {
                    if fields.contains_key(&name) {
                        let message = format!("`{name}` is given twice, leave one out");
                        return Err(A::Error::custom(message));
                    }
                    fields.insert(name, value);
                }
                Ok(Unique(fields))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}
