//! Where the values of a JSON document stand in its text.
//!
//! The library names a rule by its place and a field by its path (`rules[2].conditions.users[0]`),
//! serde_json the last byte that it has read; whoever edits the file wants the value. An [`Outline`]
//! has every value with the bytes that it takes, and answers both.
//!
//! Making one cannot fail. Of a text that is not JSON it has what comes before the first fault, and of
//! one that is nested deeper than serde_json reads, what is not deeper.

use std::ops::Range;

/// How deep serde_json reads.
const DEPTH: usize = 128;

/// The values of a document and where they stand.
#[derive(Debug)]
pub struct Outline<'j> {
    json: &'j str,
    root: Option<Node>,
}

#[derive(Debug)]
struct Node {
    span: Range<usize>,
    inside: Inside,
}

#[derive(Debug)]
enum Inside {
    Nothing,
    Fields(Vec<Field>),
    Entries(Vec<Node>),
}

#[derive(Debug)]
struct Field {
    key: Range<usize>,
    value: Option<Node>,
}

impl<'j> Outline<'j> {
    /// Reads a document.
    pub fn new(json: &'j str) -> Self {
        let mut scanner = Scanner {
            bytes: json.as_bytes(),
            at: 0,
        };
        let root = scanner.node(0);
        Self { json, root }
    }

    /// The value at a path such as `rules[2].name`, or the innermost around it that is there. Of an
    /// object or list, the bracket that opens it.
    pub fn value(&self, path: &str) -> Range<usize> {
        self.node(path).map_or(0..0, Node::shown)
    }

    /// The entry of the list at a path that is this text; if none is, the list.
    pub fn entry(&self, path: &str, text: &str) -> Range<usize> {
        if let Some(Inside::Entries(entries)) = self.node(path).map(|node| &node.inside) {
            let entry = entries.iter().find(|node| self.text(&node.span) == text);
            if let Some(entry) = entry {
                return entry.shown();
            }
        }
        self.value(path)
    }

    /// The innermost value or name of a field that takes the byte at `at`, within the value at a
    /// path; that value if the byte is not in it. Of an object or list, the bracket that opens it.
    pub fn around(&self, path: &str, at: usize) -> Range<usize> {
        let Some(mut node) = self.node(path) else {
            return at..at;
        };
        loop {
            let next = match &node.inside {
                Inside::Nothing => None,
                Inside::Entries(entries) => entries.iter().find(|entry| entry.span.contains(&at)),
                Inside::Fields(fields) => {
                    if let Some(field) = fields.iter().find(|field| field.key.contains(&at)) {
                        return field.key.clone();
                    }
                    let mut values = fields.iter().filter_map(|field| field.value.as_ref());
                    values.find(|value| value.span.contains(&at))
                }
            };
            match next {
                Some(next) => node = next,
                None => return node.shown(),
            }
        }
    }

    fn node(&self, path: &str) -> Option<&Node> {
        let mut node = self.root.as_ref()?;
        let steps = path.split(['.', '[']).filter(|step| !step.is_empty());
        for step in steps.map(|step| step.trim_end_matches(']')) {
            let next = match &node.inside {
                Inside::Nothing => None,
                Inside::Entries(entries) => {
                    let index: Option<usize> = step.parse().ok();
                    index.and_then(|index| entries.get(index))
                }
                Inside::Fields(fields) => {
                    let field = fields.iter().find(|field| self.text(&field.key) == step);
                    field.and_then(|field| field.value.as_ref())
                }
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        Some(node)
    }

    /// A string, with its escapes read.
    fn text(&self, span: &Range<usize>) -> String {
        let quoted = self.json.get(span.clone()).unwrap_or_default();
        serde_json::from_str(quoted).unwrap_or_default()
    }
}

impl Node {
    fn shown(&self) -> Range<usize> {
        match self.inside {
            Inside::Nothing => self.span.clone(),
            Inside::Fields(_) | Inside::Entries(_) => self.span.start..self.span.start + 1,
        }
    }
}

struct Scanner<'j> {
    bytes: &'j [u8],
    at: usize,
}

impl Scanner<'_> {
    fn node(&mut self, depth: usize) -> Option<Node> {
        self.skip_white();
        let start = self.at;
        let inside = match self.peek()? {
            b'{' | b'[' if depth == DEPTH => {
                self.stop();
                return None;
            }
            b'{' => Inside::Fields(self.fields(depth)),
            b'[' => Inside::Entries(self.entries(depth)),
            b'"' => {
                self.skip_string();
                Inside::Nothing
            }
            _ => {
                self.skip_word();
                Inside::Nothing
            }
        };
        (self.at > start).then_some(Node {
            span: start..self.at,
            inside,
        })
    }

    fn fields(&mut self, depth: usize) -> Vec<Field> {
        let mut fields = Vec::new();
        self.at += 1;
        loop {
            self.skip_white();
            let start = self.at;
            if self.peek() != Some(b'"') {
                self.close(b'}');
                return fields;
            }
            self.skip_string();
            let key = start..self.at;
            self.skip_white();
            let value = if self.take(b':') {
                self.node(depth + 1)
            } else {
                self.stop();
                None
            };
            fields.push(Field { key, value });
            self.skip_white();
            if !self.take(b',') {
                self.close(b'}');
                return fields;
            }
        }
    }

    fn entries(&mut self, depth: usize) -> Vec<Node> {
        let mut entries = Vec::new();
        self.at += 1;
        loop {
            self.skip_white();
            if self.peek() == Some(b']') {
                self.close(b']');
                return entries;
            }
            entries.extend(self.node(depth + 1));
            self.skip_white();
            if !self.take(b',') {
                self.close(b']');
                return entries;
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    /// Passes over the bracket that closes a value; what has none ends with the text.
    fn close(&mut self, bracket: u8) {
        if !self.take(bracket) {
            self.stop();
        }
    }

    fn stop(&mut self) {
        self.at = self.bytes.len();
    }

    fn skip_white(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn skip_string(&mut self) {
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'"' => return,
                b'\\' if self.at < self.bytes.len() => self.at += 1,
                _ => {}
            }
        }
    }

    /// Passes over a number, `true`, `null`, or what is none of them.
    fn skip_word(&mut self) {
        let ends = |byte: u8| byte.is_ascii_whitespace() || b",:[]{}\"".contains(&byte);
        while self.peek().is_some_and(|byte| !ends(byte)) {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{
  "version": "1",
  "rules": [
    {"name": "a, ]\"}", "users": ["é"], "hard": true},
    {
      "n\u0061me": "b",
      "time": {"hours": {"start": "9"}},
      "users": ["y", ["z", {}], -1.5e3]
    }
  ]
}"#;

    fn shown(span: Range<usize>) -> &'static str {
        &JSON[span]
    }

    #[test]
    fn values_are_found_by_their_path() {
        let outline = Outline::new(JSON);
        for (path, value) in [
            ("", "{"),
            ("version", r#""1""#),
            ("rules", "["),
            ("rules[0]", "{"),
            ("rules[0].name", r#""a, ]\"}""#),
            ("rules[0].users[0]", r#""é""#),
            ("rules[0].hard", "true"),
            ("rules[1].name", r#""b""#),
            ("rules[1].time.hours.start", r#""9""#),
            ("rules[1].users[2]", "-1.5e3"),
        ] {
            assert_eq!(shown(outline.value(path)), value, "{path}");
        }
    }

    #[test]
    fn what_is_not_there_is_where_it_would_be() {
        let outline = Outline::new(JSON);
        let at = |path| outline.value(path);
        assert_eq!(at("nothing"), 0..1);
        assert_eq!(at("rules[2].name"), at("rules"));
        assert_eq!(at("rules[1].reason"), at("rules[1]"));
        assert_eq!(at("rules[1].users[0].deeper"), at("rules[1].users[0]"));
        assert_eq!(Outline::new(" ").value("rules"), 0..0);
    }

    #[test]
    fn a_byte_belongs_to_the_innermost_value_or_name() {
        let outline = Outline::new(JSON);
        let around = |part: &str, offset: usize| {
            let at = JSON.find(part).expect("the document has it") + offset;
            shown(outline.around("", at))
        };
        assert_eq!(around("version", 3), r#""version""#);
        assert_eq!(around(r#": "1""#, 4), r#""1""#, "its last byte");
        assert_eq!(
            around(r#": "1""#, 1),
            "{",
            "between name and value is the object"
        );
        assert_eq!(around("é", 1), r#""é""#);
        assert_eq!(around("true}", 4), "{", "what closes an object is its own");
        assert_eq!(around("-1.5", 2), "-1.5e3");
    }

    #[test]
    fn a_byte_outside_a_value_is_the_value() {
        let outline = Outline::new(JSON);
        let users = outline.value("rules[1].users");
        assert_eq!(
            outline.around("rules[1].users", users.start - 1),
            users,
            "serde_json may stop before it"
        );
        assert_eq!(outline.around("rules[1].users", users.start), users);
    }

    #[test]
    fn entries_are_found_by_their_text() {
        let json = r#"{"days": ["monday", "s\u006fnday"]}"#;
        let outline = Outline::new(json);
        assert_eq!(&json[outline.entry("days", "sonday")], r#""s\u006fnday""#);
        assert_eq!(outline.entry("days", "friday"), outline.value("days"));
    }

    #[test]
    fn a_text_that_is_not_json_has_what_comes_before_the_fault() {
        let json = r#"{"version": "1", "rules": [{"name": "a"} {"name": "b"}]}"#;
        let outline = Outline::new(json);
        assert_eq!(&json[outline.value("rules[0].name")], r#""a""#);
        assert_eq!(outline.value("rules[1].name"), outline.value("rules"));
        for broken in [
            "",
            "[",
            "{\"",
            "{\"a\\",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":}",
            "[,]",
            "]",
            "\u{e9}",
            "{\"a\" 1}",
        ] {
            let outline = Outline::new(broken);
            for at in 0..=broken.len() {
                let span = outline.around("", at);
                assert!(span.end <= broken.len() + 1, "{broken:?} {at}");
            }
            outline.value("a[0].b");
        }
    }

    #[test]
    fn depth_is_no_danger() {
        let deep = "[".repeat(1_000_000);
        assert_eq!(Outline::new(&deep).around("", 500_000), DEPTH - 1..DEPTH);
        let objects = "{\"a\":".repeat(1_000_000);
        assert!(!Outline::new(&objects).around("", 4_000_000).is_empty());
    }
}
