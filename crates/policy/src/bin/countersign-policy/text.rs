//! Lines, columns and excerpts of a text.
//!
//! Columns count characters, from 1, whatever a character is made of. An excerpt is one line of bounded
//! length: control characters, and those that have no width or change the direction of writing, are
//! escaped, so that a file cannot forge what the terminal shows.
//!
//! Finding a place takes the same time in a file of one line as in one of many.

use std::iter::once;
use std::ops::Range;

/// At most this much of a line is counted to know a column.
const MARK_BYTES: usize = 1_024;

/// How many characters of a long line are shown, half of them before the place.
const SHOWN_CHARACTERS: usize = 120;

/// A text of which places are known.
#[derive(Debug)]
pub struct Text<'t> {
    text: &'t str,
    /// In the order of their places: every start of a line, and more where lines are long.
    marks: Vec<Mark>,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    at: usize,
    line: usize,
    column: usize,
}

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// Counted from 1.
    pub line: usize,
    /// Its first character, counted from 1.
    pub column: usize,
    /// The column after its last character in this line.
    pub end_column: usize,
    /// How people see it.
    pub excerpt: Excerpt,
}

/// A line, or what is near the place in a long one, and carets that mark the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The line.
    pub line: String,
    /// What stands below it: spaces, then carets.
    pub carets: String,
}

impl<'t> Text<'t> {
    /// Reads a text.
    pub fn new(text: &'t str) -> Self {
        let mut mark = Mark {
            at: 0,
            line: 1,
            column: 1,
        };
        let mut marks = vec![mark];
        let mut last = 0;
        for (at, character) in text.char_indices() {
            if at - last >= MARK_BYTES {
                last = at;
                marks.push(Mark { at, ..mark });
            }
            mark.column += 1;
            if character == '\n' {
                mark = Mark {
                    at: at + 1,
                    line: mark.line + 1,
                    column: 1,
                };
                last = mark.at;
                marks.push(mark);
            }
        }
        Self { text, marks }
    }

    /// The byte that a line and a column, counted in bytes from 1, name. Column 0 is the end of the
    /// line before.
    pub fn byte(&self, line: usize, column: usize) -> usize {
        let start = self.marks.iter().find(|mark| mark.line == line);
        let start = start.map_or(self.text.len(), |mark| mark.at);
        (start + column).saturating_sub(1).min(self.text.len())
    }

    /// Where a span of bytes is. One that is not of whole characters grows to them.
    pub fn spot(&self, span: &Range<usize>) -> Spot {
        let start = self.boundary(span.start);
        let after = self.marks.partition_point(|mark| mark.at <= start);
        let mark = self.marks.get(after.saturating_sub(1)).copied();
        let mark = mark.unwrap_or(Mark {
            at: 0,
            line: 1,
            column: 1,
        });
        let column = mark.column + self.characters(mark.at..start);
        let marked = self.line_from(start).char_indices();
        let marked = marked.take_while(|(at, _)| start + at < span.end).count();
        Spot {
            line: mark.line,
            column,
            end_column: column + marked,
            excerpt: self.excerpt(start, marked),
        }
    }

    fn excerpt(&self, start: usize, marked: usize) -> Excerpt {
        let before = self.text.get(..start).unwrap_or_default().chars().rev();
        let before = before.take_while(|character| *character != '\n');
        let mut before: Vec<char> = before.take(SHOWN_CHARACTERS + 1).collect();
        let from = self.line_from(start).chars();
        let mut from: Vec<char> = from.take(SHOWN_CHARACTERS + 1).collect();
        if before.len() + from.len() > SHOWN_CHARACTERS {
            let half = SHOWN_CHARACTERS / 2;
            let (least_before, least_from) = (before.len().min(half), from.len().min(half));
            shorten(&mut before, SHOWN_CHARACTERS - least_from);
            shorten(&mut from, SHOWN_CHARACTERS - least_before);
        }
        let mut line = String::new();
        for character in before.into_iter().rev() {
            show(character, &mut line);
        }
        let indent = line.chars().count();
        let mut carets = 0;
        for (place, character) in from.into_iter().enumerate() {
            show(character, &mut line);
            if place < marked {
                carets = line.chars().count() - indent;
            }
        }
        let carets = once(" ".repeat(indent)).chain(once("^".repeat(carets.max(1))));
        Excerpt {
            carets: carets.collect(),
            line,
        }
    }

    /// The rest of a line, without its end.
    fn line_from(&self, start: usize) -> &'t str {
        let rest = self.text.get(start..).unwrap_or_default();
        let line = rest.split('\n').next().unwrap_or_default();
        line.strip_suffix('\r').unwrap_or(line)
    }

    fn characters(&self, span: Range<usize>) -> usize {
        self.text.get(span).unwrap_or_default().chars().count()
    }

    fn boundary(&self, at: usize) -> usize {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

/// Leaves what is nearest to the place.
fn shorten(characters: &mut Vec<char>, most: usize) {
    if characters.len() > most {
        characters.truncate(most);
        characters.push('…');
    }
}

/// Writes a character as a terminal may have it.
fn show(character: char, line: &mut String) {
    // What has no width, and what shows the rest of the line elsewhere.
    let hides = matches!(character,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}'
            | '\u{feff}');
    match character {
        '\t' => line.push_str("    "),
        _ if hides => line.extend(character.escape_unicode()),
        _ if character.is_control() => line.extend(character.escape_debug()),
        _ => line.push(character),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(text: &str, part: &str) -> Spot {
        let at = text.find(part).expect("the text has it");
        Text::new(text).spot(&(at..at + part.len()))
    }

    fn told(text: &str, part: &str) -> (usize, usize, String, String) {
        let Spot {
            line,
            column,
            excerpt,
            ..
        } = spot(text, part);
        (line, column, excerpt.line, excerpt.carets)
    }

    #[test]
    fn columns_and_carets_count_characters() {
        let (line, column, shown, carets) = told("{\n  \"é日\": \"wörld\"\n}", "\"wörld\"");
        assert_eq!((line, column), (2, 9));
        assert_eq!(shown, "  \"é日\": \"wörld\"");
        assert_eq!(carets, "        ^^^^^^^");
        assert_eq!(spot("é日", "日").end_column, 3);
    }

    #[test]
    fn tabs_are_four_columns_of_the_excerpt_and_one_of_the_line() {
        let (_, column, shown, carets) = told("\t\t\"a\"", "\"a\"");
        assert_eq!(column, 3);
        assert_eq!(shown, "        \"a\"");
        assert_eq!(carets, "        ^^^");
    }

    #[test]
    fn ends_of_lines_are_not_shown() {
        assert_eq!(
            told("a\r\nbc\r\n", "c"),
            (2, 2, "bc".into(), " ^".into()),
            "CRLF"
        );
        let end = Text::new("ab\r\n").spot(&(2..3));
        assert_eq!(end.excerpt.carets, "  ^", "the carriage return itself");
        let nothing = Text::new("").spot(&(0..0));
        assert_eq!(
            (nothing.line, nothing.column, nothing.end_column),
            (1, 1, 1)
        );
        assert_eq!(nothing.excerpt.carets, "^");
    }

    #[test]
    fn long_lines_are_shortened_around_the_place() {
        let (head, tail) = ("a".repeat(60), "c".repeat(59));
        let whole = format!("{head}b{tail}");
        let (_, column, shown, carets) = told(&whole, "b");
        assert_eq!(
            (column, shown.as_str()),
            (61, whole.as_str()),
            "just not too long"
        );
        assert_eq!(carets, format!("{}^", " ".repeat(60)));

        let (_, column, shown, carets) = told(&format!("{head}abc{tail}"), "b");
        assert_eq!(column, 62);
        assert_eq!(shown, format!("…{}bc{}…", "a".repeat(60), "c".repeat(58)));
        assert_eq!(carets, format!("{}^", " ".repeat(61)));
    }

    #[test]
    fn carets_end_with_what_is_shown() {
        let (_, _, shown, carets) = told(&"x".repeat(1_000), &"x".repeat(1_000));
        assert_eq!(shown, format!("{}…", "x".repeat(120)));
        assert_eq!(carets, "^".repeat(121));
    }

    #[test]
    fn characters_that_would_deceive_a_reader_are_escaped() {
        let (_, _, shown, carets) = told("\u{1b}[2J\u{202e}x", "x");
        assert_eq!(shown, "\\u{1b}[2J\\u{202e}x");
        assert_eq!(carets, format!("{}^", " ".repeat(17)));
    }

    #[test]
    fn places_are_the_same_however_long_the_lines_are() {
        let text = format!("{}\n{}", "é".repeat(5_000), "日\n".repeat(3_000));
        let indexed = Text::new(&text);
        let (mut line, mut column) = (1, 1);
        for (at, character) in text.char_indices() {
            let spot = indexed.spot(&(at..at + character.len_utf8()));
            assert_eq!((spot.line, spot.column), (line, column), "byte {at}");
            column += 1;
            if character == '\n' {
                (line, column) = (line + 1, 1);
            }
        }
    }

    #[test]
    fn bytes_are_found_by_line_and_column() {
        let text = Text::new("ab\né\n");
        assert_eq!(
            [text.byte(1, 1), text.byte(1, 2), text.byte(2, 2)],
            [0, 1, 4]
        );
        assert_eq!(text.byte(2, 0), 2, "the end of the first line");
        assert_eq!(text.byte(9, 9), 6, "nowhere is the end");
        assert_eq!(
            text.spot(&(4..5)).column,
            1,
            "half a character is all of it"
        );
    }
}
