//! The line on which a field of a JSON document stands.
//!
//! The crates name a rule by its place and a field by its path (`rules[2].conditions.users[0]`);
//! whoever edits the file wants the line. The document has been read as JSON before, so nothing here
//! can fail; on text that is not JSON the answer is merely useless.

/// The line, from 1, of the value at `path`, or of the innermost value around it that is there.
pub fn line_of(json: &str, path: &str) -> usize {
    let steps = path
        .split(['.', '['])
        .map(|step| step.trim_end_matches(']'));
    let mut scanner = Scanner {
        bytes: json.as_bytes(),
        at: 0,
    };
    let steps: Vec<&str> = steps.filter(|step| !step.is_empty()).collect();
    let place = scanner.find(&steps);
    let before = json.as_bytes().get(..place).unwrap_or_default();
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

struct Scanner<'j> {
    bytes: &'j [u8],
    at: usize,
}

impl<'j> Scanner<'j> {
    /// Where the value lies that `path` leads to from the value at hand.
    fn find(&mut self, path: &[&str]) -> usize {
        self.skip_white();
        let here = self.at;
        let Some((wanted, rest)) = path.split_first() else {
            return here;
        };
        let is_object = self.peek() == Some(b'{');
        if !is_object && self.peek() != Some(b'[') {
            return here;
        }
        self.at += 1;
        for index in 0_usize.. {
            self.skip_white();
            if matches!(self.peek(), None | Some(b'}' | b']')) {
                return here;
            }
            let found = if is_object {
                let key = self.string();
                self.skip_white();
                self.at += 1; // the colon
                key == wanted.as_bytes()
            } else {
                index.to_string() == *wanted
            };
            if found {
                return self.find(rest);
            }
            self.skip_value();
            self.skip_white();
            self.at += 1; // the comma
        }
        here
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_white(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// Passes over a string; gives what is between its quotes, as written.
    fn string(&mut self) -> &'j [u8] {
        let start = self.at + 1;
        self.at = start;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        let end = self.at;
        self.at += 1;
        self.bytes.get(start..end).unwrap_or_default()
    }

    fn skip_value(&mut self) {
        self.skip_white();
        let mut depth = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.string();
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth == 0 => return,
                b'}' | b']' => depth -= 1,
                b',' if depth == 0 => return,
                _ => {}
            }
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::line_of;

    const JSON: &str = r#"{
  "version": "1",
  "rules": [
    {"name": "a, ]\"}", "users": ["x"]},
    {
      "name": "b",
      "time": {"hours": {
        "start": "9"}},
      "users": [
        "y",
        ["z", {}],
        "w"
      ]
    }
  ]
}"#;

    #[test]
    fn values_are_found_by_their_path() {
        for (path, line) in [
            ("", 1),
            ("version", 2),
            ("rules[0].users[0]", 4),
            ("rules[1].name", 6),
            ("rules[1].time.hours.start", 8),
            ("rules[1].users[2]", 12),
        ] {
            assert_eq!(line_of(JSON, path), line, "{path}");
        }
    }

    #[test]
    fn what_is_not_there_is_where_it_would_be() {
        for (path, line) in [
            ("nothing", 1),
            ("rules[2].name", 3),
            ("rules[1].reason", 5),
            ("rules[1].users[0].deeper", 10),
        ] {
            assert_eq!(line_of(JSON, path), line, "{path}");
        }
        assert_eq!(line_of("", "a"), 1);
    }
}
