//! Places in the text that the user typed: byte spans, and lines and columns as people count them.

/// A half-open range of byte offsets in the text the user typed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset after the last byte.
    pub end: usize,
}

impl Span {
    /// The span from `start` up to `end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }
}

/// One place in a text. Lines end at `\n` only, as sqlparser counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Byte offset, from 0.
    pub offset: usize,
}

impl Position {
    /// The place of a byte offset. An offset past the end is the end; one inside a character is that character.
    pub fn of(text: &str, offset: usize) -> Self {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = text.get(..offset).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        Self { line: u32::try_from(line).unwrap_or(u32::MAX), column: u32::try_from(column).unwrap_or(u32::MAX), offset }
    }

    /// The place of a line and column as sqlparser reports them. Line 0 means "unknown" there and gives the start of the
    /// text; a column past the end of its line gives the end of the line, a line past the last one the end of the text.
    pub fn at(text: &str, line: u64, column: u64) -> Self {
        if line == 0 {
            return Self { line: 1, column: 1, offset: 0 };
        }
        let mut start = 0;
        for _ in 1..line {
            match text.get(start..).and_then(|rest| rest.find('\n')) {
                Some(at) => start += at + 1,
                None => return Self::of(text, text.len()),
            }
        }
        let rest = text.get(start..).unwrap_or_default();
        let content = rest.find('\n').and_then(|end| rest.get(..end)).unwrap_or(rest);
        let skip = usize::try_from(column.saturating_sub(1)).unwrap_or(usize::MAX);
        let offset = start + content.char_indices().nth(skip).map_or(content.len(), |(at, _)| at);
        Self::of(text, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_and_columns_agree_on_every_character() {
        let text = "SELECT 'é',\n\t\"größe\"\r\nFROM 🌍\n";
        for (offset, _) in text.char_indices() {
            let position = Position::of(text, offset);
            assert_eq!(Position::at(text, position.line.into(), position.column.into()), position);
        }
        assert_eq!(Position::of(text, 12), Position { line: 1, column: 12, offset: 12 });
        assert_eq!(Position::of(text, 13), Position { line: 2, column: 1, offset: 13 });
    }

    #[test]
    fn places_outside_the_text_are_its_ends() {
        assert_eq!(Position::at("ab\ncd", 0, 0).offset, 0);
        assert_eq!(Position::at("ab\ncd", 1, 99).offset, 2);
        assert_eq!(Position::at("ab\ncd", 9, 1), Position { line: 2, column: 3, offset: 5 });
        assert_eq!(Position::at("ab", u64::MAX, u64::MAX).offset, 2);
        assert_eq!(Position::of("é", 1).offset, 0);
    }
}
