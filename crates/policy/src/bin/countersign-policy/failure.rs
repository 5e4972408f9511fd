//! Bad input, for people and for programs.

use serde::Serialize;

use crate::source::FileName;
use crate::style::{Paint, Style};
use crate::text::Spot;

/// Why a command could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The file that is at fault, if one is.
    pub file: Option<FileName>,
    /// The place in it, if there is one.
    pub spot: Option<Spot>,
    /// What is wrong and what to do.
    pub message: String,
}

impl Failure {
    /// A failure that belongs to no file.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            file: None,
            spot: None,
            message: message.into(),
        }
    }

    /// A failure that belongs to a file.
    pub fn of_file(file: &FileName, spot: Option<Spot>, message: impl Into<String>) -> Self {
        Self {
            file: Some(file.clone()),
            spot,
            message: message.into(),
        }
    }

    /// For people: one line, and below it the place if there is one.
    pub fn told(&self, style: Style) -> String {
        let file = self.file.as_ref().map(FileName::to_string);
        let what = format!("{}: {}", style.paint(Paint::Red, "error"), self.message);
        told(
            file.as_deref(),
            self.spot.as_ref(),
            &what,
            Paint::Red,
            style,
        )
    }

    /// For programs: one object in one line.
    pub fn json(&self) -> String {
        #[derive(Serialize)]
        struct Error<'f> {
            #[serde(skip_serializing_if = "Option::is_none")]
            file: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            line: Option<usize>,
            #[serde(skip_serializing_if = "Option::is_none")]
            column: Option<usize>,
            message: &'f str,
        }

        let error = Error {
            file: self.file.as_ref().map(FileName::to_string),
            line: self.spot.as_ref().map(|spot| spot.line),
            column: self.spot.as_ref().map(|spot| spot.column),
            message: &self.message,
        };
        serde_json::json!({ "error": error }).to_string() + "\n"
    }
}

/// What is to be said of a place: `file:line:column: what`, the line, and carets below the place.
pub fn told(
    file: Option<&str>,
    spot: Option<&Spot>,
    what: &str,
    paint: Paint,
    style: Style,
) -> String {
    let place = match (file, spot) {
        (Some(file), Some(spot)) => format!("{file}:{}:{}: ", spot.line, spot.column),
        (Some(file), None) => format!("{file}: "),
        (None, _) => String::new(),
    };
    let mut told = style.paint(Paint::Bold, &place) + what + "\n";
    if let Some(spot) = spot {
        let number = spot.line.to_string();
        let margin = " ".repeat(number.len());
        let carets = spot.excerpt.carets.trim_start();
        let indent = spot.excerpt.carets.len() - carets.len();
        told += &format!("{number} | {}\n", spot.excerpt.line);
        let carets = style.paint(paint, carets);
        told += &format!("{margin} | {}{carets}\n", " ".repeat(indent));
    }
    told
}
