//! What checking both kinds of rules shares: names of rules, lists of names, windows.
//!
//! Nothing here knows what a rule means.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use countersign_core::names::check_name;
use countersign_core::window::duration::DurationText;
use countersign_core::window::{Window, WindowDocument};
use serde::de::DeserializeOwned;

use super::{DocumentError, MAX_DOCUMENT_BYTES, Problem, RuleError};

/// Reads a document's JSON.
pub(crate) fn parse_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, DocumentError> {
    if json.len() > MAX_DOCUMENT_BYTES {
        return Err(DocumentError::TooLarge {
            bytes: json.len(),
            most: MAX_DOCUMENT_BYTES,
        });
    }
    Ok(serde_json::from_slice(json)?)
}

/// A field of a rule and what is wrong with it.
pub(crate) struct Fault {
    field: String,
    problem: Problem,
}

impl Fault {
    pub(crate) fn new(field: impl Into<String>, problem: impl Into<Problem>) -> Self {
        Self {
            field: field.into(),
            problem: problem.into(),
        }
    }
}

/// Checks a document's version and the names of its rules, and makes each rule with `compile`.
/// What is wrong with a rule names the rule.
pub(crate) fn compile_rules<D, R>(
    version: &str,
    rules: &[D],
    name: impl Fn(&D) -> &str,
    compile: impl Fn(&D) -> Result<R, Fault>,
) -> Result<Arc<[Arc<R>]>, DocumentError> {
    if version != "1" {
        let value = shown(version);
        return Err(DocumentError::Version { value });
    }
    if rules.is_empty() {
        return Err(DocumentError::NoRules);
    }
    let mut places = HashMap::new();
    let mut compiled = Vec::with_capacity(rules.len());
    for (index, rule) in rules.iter().enumerate() {
        let name = name(rule);
        let made = add_name(&mut places, name, index).and_then(|()| compile(rule));
        compiled.push(Arc::new(made.map_err(|fault| RuleError {
            index,
            name: shown(name),
            field: fault.field,
            problem: fault.problem,
        })?));
    }
    Ok(compiled.into())
}

/// A rule's name is a name, and unlike those before it.
fn add_name<'d>(
    places: &mut HashMap<&'d str, usize>,
    name: &'d str,
    index: usize,
) -> Result<(), Fault> {
    check_name(name).map_err(|error| Fault::new("name", error))?;
    if let Some(first) = places.insert(name, index) {
        let value = name.to_owned();
        return Err(Fault::new("name", Problem::DuplicateName { value, first }));
    }
    Ok(())
}

/// A list: absent, or not empty.
pub(crate) fn compile_list<'t, T, E: Into<Problem>>(
    field: &str,
    texts: &'t Option<Vec<String>>,
    parse: impl Fn(&'t str) -> Result<T, E>,
) -> Result<Option<Vec<T>>, Fault> {
    let Some(texts) = texts else {
        return Ok(None);
    };
    if texts.is_empty() {
        let fix = "name an entry, or leave it out";
        return Err(Fault::new(field, Problem::Empty { fix }));
    }
    let entries = texts.iter().enumerate().map(|(index, text)| {
        parse(text).map_err(|error| Fault::new(format!("{field}[{index}]"), error))
    });
    entries.collect::<Result<_, _>>().map(Some)
}

pub(crate) fn compile_length(
    field: &str,
    length: &Option<DurationText>,
) -> Result<Option<Duration>, Fault> {
    let parse = |text: &DurationText| text.parse().map_err(|error| Fault::new(field, error));
    length.as_ref().map(parse).transpose()
}

pub(crate) fn compile_window(document: &WindowDocument) -> Result<Window, Fault> {
    Window::try_from(document).map_err(|error| {
        let field = match error.field() {
            "" => "time".to_owned(),
            field => format!("time.{field}"),
        };
        Fault::new(field, error)
    })
}

/// A text for a message: control characters escaped, the middle of a long one left out, so that a
/// hostile document can neither forge nor flood a log.
pub(crate) fn shown(text: &str) -> String {
    const ENDS: usize = 256;
    let escape = |text: &str| {
        let mut escaped = String::new();
        for character in text.chars() {
            if character.is_control() {
                escaped.extend(character.escape_debug());
            } else {
                escaped.push(character);
            }
        }
        escaped
    };
    let place = |(at, _)| at;
    let head = text.char_indices().nth(ENDS).map(place);
    let tail = text.char_indices().rev().nth(ENDS - 1).map(place);
    match (head, tail) {
        (Some(head), Some(tail)) if head < tail => {
            let (head, _) = text.split_at(head);
            let (_, tail) = text.split_at(tail);
            format!("{} … {}", escape(head), escape(tail))
        }
        _ => escape(text),
    }
}
