//! Reading a policy, and finding the place of what is wrong with it.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use countersign_policy::{DocumentError, MAX_DOCUMENT_BYTES, Policy, Problem, WindowError};
use serde::de::IgnoredAny;

use crate::failure::Failure;
use crate::outline::Outline;
use crate::text::Text;

/// A file as the user named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName(PathBuf);

/// A policy with the text that it was read from.
#[derive(Debug)]
pub struct Source {
    /// Where it comes from.
    pub name: FileName,
    /// The document.
    pub json: String,
    /// What it says.
    pub policy: Policy,
}

impl FileName {
    /// The name that was typed.
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Whether it is standard input.
    pub fn is_standard_input(&self) -> bool {
        self.0.as_os_str() == "-"
    }

    /// The name as a URI: relative if the path is.
    pub fn uri(&self) -> String {
        if self.is_standard_input() {
            return "stdin".to_owned();
        }
        let path = self.0.to_string_lossy().replace('\\', "/");
        let mut uri = String::new();
        if self.0.is_absolute() {
            uri += if path.starts_with('/') {
                "file://"
            } else {
                "file:///"
            };
        }
        for byte in path.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
                uri.push(char::from(byte));
            } else {
                uri += &format!("%{byte:02X}");
            }
        }
        uri
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_standard_input() {
            return f.write_str("<standard input>");
        }
        for character in self.0.to_string_lossy().chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_debug())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        Ok(())
    }
}

impl Source {
    /// Reads a policy from a file, or from standard input if it is named `-`.
    ///
    /// # Errors
    /// A file that cannot be read; a document that is not a policy, with its place.
    pub fn read(path: &Path, stdin: &mut dyn Read) -> Result<Self, Failure> {
        let name = FileName::new(path);
        let bytes = if name.is_standard_input() {
            read_all(stdin)
        } else {
            File::open(path).and_then(|mut file| read_all(&mut file))
        };
        let bytes = bytes.map_err(|error| {
            Failure::of_file(&name, None, format!("it cannot be read: {error}"))
        })?;
        match Policy::from_json(&bytes) {
            Ok(policy) => Ok(Self {
                name,
                json: String::from_utf8_lossy(&bytes).into_owned(),
                policy,
            }),
            Err(error) => Err(failure(&name, &bytes, &error)),
        }
    }
}

/// One byte more than a document may have is enough to know that it has too many.
fn read_all(file: &mut dyn Read) -> io::Result<Vec<u8>> {
    let most = u64::try_from(MAX_DOCUMENT_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn failure(name: &FileName, bytes: &[u8], error: &DocumentError) -> Failure {
    if matches!(error, DocumentError::TooLarge { .. }) {
        let message = format!(
            "the document has more than the {MAX_DOCUMENT_BYTES} bytes that are read: divide it"
        );
        return Failure::of_file(name, None, message);
    }
    // Up to the first byte that is not UTF-8 nothing moves.
    let json = String::from_utf8_lossy(bytes);
    let text = Text::new(&json);
    let spot = span(&json, &text, error).map(|span| text.spot(&span));
    let message = match error {
        // The place is said already, and this one counts bytes.
        DocumentError::Syntax { message, .. } => message.clone(),
        DocumentError::NotUtf8 { .. } => "this is not UTF-8: save the document as UTF-8".to_owned(),
        error => error.to_string(),
    };
    Failure::of_file(name, spot, message)
}

/// The bytes of the value that is at fault.
fn span(json: &str, text: &Text<'_>, error: &DocumentError) -> Option<Range<usize>> {
    match error {
        DocumentError::Syntax {
            line,
            column,
            message,
        } => Some(unread(json, text, (*line, *column), message)),
        DocumentError::NotUtf8 { at } => Some(*at..at + 1),
        DocumentError::ByteOrderMark => Some(0..1),
        DocumentError::Version { .. } => Some(Outline::new(json).value("version")),
        DocumentError::NoRules => Some(Outline::new(json).value("rules")),
        DocumentError::Rule(error) => {
            let path = format!("rules[{}].{}", error.index, error.field);
            let outline = Outline::new(json);
            Some(match &error.problem {
                Problem::Window(WindowError::UnknownDay { value }) => outline.entry(&path, value),
                _ => outline.value(&path),
            })
        }
        _ => None,
    }
}

/// What serde_json could not read. If the text is JSON up to there, a value or name is at fault, and
/// serde_json has stopped at its last byte or, if it is an object or list, before its first.
fn unread(json: &str, text: &Text<'_>, place: (usize, usize), message: &str) -> Range<usize> {
    let at = text.byte(place.0, place.1);
    match serde_json::from_str::<IgnoredAny>(json) {
        Err(error) if (error.line(), error.column()) == place => {
            if error.is_eof() {
                let end = json.trim_end().len();
                end..end
            } else {
                at..at + 1
            }
        }
        _ => Outline::new(json).around(&path_in(message), at),
    }
}

/// The path that a message begins with: of ``rules[0]: `conditions`: …`` it is
/// `rules[0].conditions`.
fn path_in(message: &str) -> String {
    let mut path = String::new();
    for part in message.split(": ") {
        let name = part
            .strip_prefix('`')
            .and_then(|part| part.strip_suffix('`'));
        match name {
            Some(name) => path = format!("{path}.{name}"),
            None if part.starts_with("rules[") && part.ends_with(']') => path += part,
            None => break,
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_shown_in_one_line_and_are_uris() {
        for (path, shown, uri) in [
            ("a/policy.json", "a/policy.json", "a/policy.json"),
            ("a b/é:%.json", "a b/é:%.json", "a%20b/%C3%A9%3A%25.json"),
            ("a\n.json", "a\\n.json", "a%0A.json"),
            ("-", "<standard input>", "stdin"),
        ] {
            let name = FileName::new(Path::new(path));
            assert_eq!(name.to_string(), shown);
            assert_eq!(name.uri(), uri);
        }
        let absolute = std::env::temp_dir().join("p.json");
        assert!(FileName::new(&absolute).uri().starts_with("file:///"));
    }

    #[test]
    fn messages_begin_with_the_path() {
        for (message, path) in [
            (
                "rules[12]: `conditions`: `users`: trailing comma",
                "rules[12].conditions.users",
            ),
            (
                "`version`: invalid type: integer `1`, expected a string",
                ".version",
            ),
            ("missing field `rules`", ""),
            ("rules[0]: unknown field `nam`, expected `name`", "rules[0]"),
        ] {
            assert_eq!(path_in(message), path);
        }
    }

    #[test]
    fn whatever_is_wrong_has_a_place_in_the_text() {
        let good = "{\"version\": \"1\",\r\n\t\"rules\": [{\"name\": \"né\", \"effect\": \"deny\",
            \"hard\": true, \"conditions\": {\"users\": [\"日本\"], \"mode\": [\"cli\"],
            \"time\": {\"days\": [\"monday\"], \"hours\": {\"start\": \"09:00\", \"end\": \"17:00\"}}}}]}";
        let read = |bytes: &[u8]| Source::read(Path::new("-"), &mut &*bytes);
        assert!(read(good.as_bytes()).is_ok());
        let mut refused = 0;
        for place in 0..good.len() {
            let mut spoilt = vec![good.as_bytes()[..place].to_vec()];
            for byte in *b"{}[]\",:0n\\\n \x80\x1b" {
                let mut other = good.as_bytes().to_vec();
                other[place] = byte;
                spoilt.push(other);
            }
            for bytes in spoilt {
                let Err(failure) = read(&bytes) else { continue };
                refused += 1;
                let spot = failure.spot.expect("each of these has a place");
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let line = text.split('\n').nth(spot.line - 1);
                let line = line.unwrap_or_else(|| panic!("line {} of {text:?}", spot.line));
                let characters = line.chars().count();
                assert!(
                    (1..=characters + 1).contains(&spot.column)
                        && spot.end_column <= characters + 1,
                    "{spot:?} of {text:?}"
                );
                assert!(spot.excerpt.carets.trim_start().starts_with('^'));
            }
        }
        assert!(refused > 2_000, "{refused} are refused");
    }

    #[test]
    fn no_more_is_read_than_a_document_may_have() {
        let name = Path::new("-");
        let failure = Source::read(name, &mut io::repeat(b' ')).unwrap_err();
        let message = "the document has more than the 67108864 bytes that are read: divide it";
        assert_eq!((failure.message.as_str(), failure.spot), (message, None));
    }
}
