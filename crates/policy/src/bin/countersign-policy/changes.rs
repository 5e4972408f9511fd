//! `diff`.

use std::io::Read;

use crate::Answer;
use crate::arguments::{Compared, Format};
use crate::failure::Failure;
use crate::json_line;
use crate::source::{FileName, Source};
use crate::style::{Paint, Style};

/// Compares two policies. Any difference is something to look at, and so is not to know of one.
pub fn diff(asked: &Compared, stdin: &mut dyn Read, style: Style) -> Result<Answer, Failure> {
    let both = [&asked.old, &asked.new].map(|path| FileName::new(path).is_standard_input());
    if both == [true, true] {
        return Err(Failure::new(
            "standard input can be read once: name a file for one of the policies",
        ));
    }
    let old = Source::read(&asked.old, stdin)?;
    let new = Source::read(&asked.new, stdin)?;
    let difference = old.policy.diff(&new.policy);
    let text = match asked.format {
        Format::Json => json_line(&difference)?,
        Format::Text => {
            let mut text = String::new();
            for change in difference.changes() {
                let paint = Paint::from(change.direction);
                text += &style.paint_start(paint, &change.to_string(), ':');
                text += &format!("\n  such as {}\n", change.witness);
            }
            if !difference.is_complete() {
                text += "there may be more: the policies differ in too many ways\n";
            }
            text
        }
    };
    Ok(Answer {
        text,
        found: !difference.is_empty(),
    })
}
