//! Errors that show the place: the message, the line of text, and a caret under it.

use crate::position::Position;

/// Characters of a long line that are shown around the place.
const SHOWN: usize = 110;

/// Text that is not in the dialect, with the place where it goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rendered}")]
pub struct GrammarError {
    /// What is wrong, and what to write instead, in one line.
    pub message: String,
    /// Where, in the text the user typed.
    pub position: Position,
    rendered: String,
}

impl GrammarError {
    /// An error at a byte offset of `text`, the text the user typed.
    pub fn new(text: &str, offset: usize, message: impl Into<String>) -> Self {
        let message = message.into();
        let position = Position::of(text, offset);
        let rendered = render(text, position, &message);
        Self { message, position, rendered }
    }
}

/// The message, the line of `text` that `position` lies in, and a caret under the place. Long lines are cut around it.
///
/// ```
/// use graticule_grammar::{Position, render};
/// let text = "SELECT t2m\nFROM era5";
/// assert_eq!(render(text, Position::of(text, 16), "no such cube: era5"),
///     "no such cube: era5\nline 2: FROM era5\n             ^");
/// ```
pub fn render(text: &str, position: Position, message: &str) -> String {
    let position = Position::of(text, position.offset);
    let (before, after) = text.split_at_checked(position.offset).unwrap_or((text, ""));
    let before = before.rfind('\n').and_then(|at| before.get(at + 1..)).unwrap_or(before);
    let after = after.split('\n').next().unwrap_or_default().trim_end();
    let width = before.chars().count();
    let fits = width + after.chars().take(SHOWN).count() <= SHOWN;
    let skipped = if fits { 0 } else { width.saturating_sub(SHOWN / 2) };
    let lead = if skipped > 0 { "…" } else { "" };
    let room = SHOWN.saturating_sub(width - skipped);
    let tail = if after.chars().nth(room).is_some() { "…" } else { "" };
    // One column per character, so that the caret stands right: a tab or another control character is shown as a space.
    let shown: String =
        before.chars().skip(skipped).chain(after.chars().take(room)).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let margin = format!("line {}: ", position.line);
    let indent = margin.len() + lead.chars().count() + width - skipped;
    format!("{message}\n{margin}{lead}{shown}{tail}\n{:indent$}^", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The character above the caret.
    fn pointed_at(rendered: &str) -> Option<char> {
        let mut lines = rendered.lines().skip(1);
        let (line, caret) = (lines.next()?, lines.next()?);
        line.chars().nth(caret.chars().count() - 1)
    }

    #[test]
    fn the_caret_stands_under_the_place_on_short_long_and_odd_lines() {
        let long = format!("{}X{}", "a".repeat(1000), "b".repeat(1000));
        for text in ["X", "\tX y", "é🌍X", "one\r\ntwo X\r\nthree", &long, &long[950..], &long[..1050]] {
            let error = GrammarError::new(text, text.find('X').unwrap(), "here");
            assert_eq!(pointed_at(&error.to_string()), Some('X'), "{error}");
            assert!(error.to_string().lines().all(|line| line.chars().count() < 130), "{error}");
        }
    }

    #[test]
    fn the_end_of_a_text_can_be_pointed_at() {
        assert_eq!(GrammarError::new("SELECT", 6, "more").to_string(), "more\nline 1: SELECT\n              ^");
        assert_eq!(GrammarError::new("", 0, "empty").to_string(), "empty\nline 1: \n        ^");
    }
}
