//! Colours on a terminal: how many it has, statements painted by what their words are, and small marks for people.

use std::io::IsTerminal;

use super::lexis::{Kind, pieces};
use crate::flight::KEYWORDS;

/// How many colours there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// None: plain text.
    None,
    /// The 256 of a palette.
    Palette,
    /// 24 bits.
    True,
}

impl Depth {
    /// What standard output can show. `NO_COLOR` and `CLICOLOR_FORCE` are honoured.
    pub fn of_stdout() -> Depth {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let text = |name: &str| std::env::var(name).unwrap_or_default();
        Depth::decide(set("NO_COLOR"), set("CLICOLOR_FORCE") || std::io::stdout().is_terminal(), &text("COLORTERM"), &text("TERM"))
    }

    fn decide(refused: bool, shown: bool, colorterm: &str, term: &str) -> Depth {
        match (refused || !shown, colorterm) {
            (true, _) => Depth::None,
            (_, "truecolor" | "24bit") => Depth::True,
            _ if term.is_empty() || term == "dumb" => Depth::None,
            _ if term.contains("direct") => Depth::True,
            _ => Depth::Palette,
        }
    }

    /// The escape sequence that makes the foreground (or background) this colour; empty without colours.
    pub fn colour(self, background: bool, (r, g, b): (u8, u8, u8)) -> String {
        let layer = if background { 48 } else { 38 };
        match self {
            Depth::None => String::new(),
            Depth::True => format!("\x1b[{layer};2;{r};{g};{b}m"),
            Depth::Palette => {
                // The colour cube of the 256: 16 + 36 r + 6 g + b, steps 0, 95, 135, 175, 215, 255.
                let step = |v: u8| -> u16 {
                    if v < 48 {
                        0
                    } else if v < 115 {
                        1
                    } else {
                        (u16::from(v) - 35) / 40
                    }
                };
                format!("\x1b[{layer};5;{}m", 16 + 36 * step(r) + 6 * step(g) + step(b))
            }
        }
    }

    /// Text under a style of the terminal (`1` bold, `2` faint, `32` green ...).
    pub fn style(self, code: &str, text: &str) -> String {
        if self == Depth::None { text.to_string() } else { format!("\x1b[{code}m{text}\x1b[0m") }
    }

    /// A statement with its words painted.
    pub fn statement(self, text: &str) -> String {
        if self == Depth::None {
            return text.to_string();
        }
        let painted = pieces(text).into_iter().filter_map(|piece| {
            let word = text.get(piece.range)?;
            Some(match piece.kind {
                Kind::Word if is_keyword(word) => self.style("1;34", word),
                Kind::Number => self.style("36", word),
                Kind::Text => self.style("32", word),
                Kind::Comment => self.style("2", word),
                _ => word.to_string(),
            })
        });
        painted.collect()
    }
}

/// Words of SQL that the shell knows; those of the array dialect are [`KEYWORDS`].
pub const SQL_KEYWORDS: [&str; 73] = [
    "ALL",
    "ANALYZE",
    "AND",
    "ANY",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "COPY",
    "CREATE",
    "CRS",
    "CROSS",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "ERROR",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "FALSE",
    "FILENAME",
    "FILTER",
    "FIRST",
    "FORMAT",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "IF",
    "IN",
    "INNER",
    "INTERSECT",
    "INTERVAL",
    "IS",
    "JOIN",
    "LAST",
    "LEFT",
    "LIKE",
    "LIMIT",
    "NEWEST",
    "NOT",
    "NULL",
    "NULLS",
    "OF",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OVER",
    "PARTITION",
    "PRECEDING",
    "RANGE",
    "REPLACE",
    "RIGHT",
    "ROWS",
    "SELECT",
    "SHOW",
    "THEN",
    "TIMESTAMP",
    "TO",
    "TRUE",
    "UNBOUNDED",
    "UNION",
    "USING",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
];

/// True for a word of SQL or of the array dialect, in any case.
fn is_keyword(word: &str) -> bool {
    SQL_KEYWORDS.iter().chain(&KEYWORDS).any(|keyword| keyword.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_follow_the_terminal() {
        assert_eq!(Depth::decide(false, true, "truecolor", "xterm-256color"), Depth::True);
        assert_eq!(Depth::decide(false, true, "", "xterm-256color"), Depth::Palette);
        assert_eq!(Depth::decide(false, true, "", "dumb"), Depth::None);
        assert_eq!(Depth::decide(false, false, "truecolor", "xterm"), Depth::None);
        assert_eq!(Depth::decide(true, true, "truecolor", "xterm"), Depth::None);
    }

    #[test]
    fn the_palette_has_the_nearest_colour() {
        assert_eq!(Depth::Palette.colour(false, (0, 0, 0)), "\x1b[38;5;16m");
        assert_eq!(Depth::Palette.colour(true, (255, 255, 255)), "\x1b[48;5;231m");
        assert_eq!(Depth::True.colour(false, (1, 2, 3)), "\x1b[38;2;1;2;3m");
        assert_eq!(Depth::None.colour(false, (1, 2, 3)), "");
    }

    #[test]
    fn painting_changes_no_letter() {
        let text = "SELECT avg(t2m) FROM era5[time('2023')] -- all\nGROUP BY DIMS";
        let painted = Depth::Palette.statement(text);
        assert!(painted.contains("\x1b[1;34mDIMS\x1b[0m") && painted.contains("\x1b[32m'2023'\x1b[0m"));
        let mut plain = painted.clone();
        for code in ["\x1b[1;34m", "\x1b[36m", "\x1b[32m", "\x1b[2m", "\x1b[0m"] {
            plain = plain.replace(code, "");
        }
        assert_eq!(plain, text);
        assert_eq!(Depth::None.statement(text), text);
    }
}
