//! Words of SQL that matter to finding islands, and the nearest word for "did you mean".

/// Words that cannot be the alias of a relation without AS: sqlparser's `RESERVED_FOR_TABLE_ALIAS`.
const NO_TABLE_ALIAS: &[&str] = &[
    "ANALYZE",
    "ANTI",
    "ARRAY",
    "ASOF",
    "CLUSTER",
    "CONNECT",
    "CROSS",
    "DISTRIBUTE",
    "END",
    "EXCEPT",
    "EXPLAIN",
    "FETCH",
    "FOR",
    "FORMAT",
    "FROM",
    "FULL",
    "GLOBAL",
    "GROUP",
    "HAVING",
    "INNER",
    "INTERSECT",
    "JOIN",
    "LATERAL",
    "LEFT",
    "LIMIT",
    "MATCH_CONDITION",
    "MATCH_RECOGNIZE",
    "MINUS",
    "NATURAL",
    "OFFSET",
    "ON",
    "OPEN",
    "ORDER",
    "OUTER",
    "OUTPUT",
    "PARTITION",
    "PIVOT",
    "PREWHERE",
    "QUALIFY",
    "RETURNING",
    "RIGHT",
    "SAMPLE",
    "SELECT",
    "SEMI",
    "SET",
    "SETTINGS",
    "SORT",
    "START",
    "TABLESAMPLE",
    "TOP",
    "UNION",
    "UNPIVOT",
    "USING",
    "VIEW",
    "WHERE",
    "WINDOW",
    "WITH",
];

/// Words after which an expression begins: a bracket behind them opens an array, a parenthesis no call.
const NO_OPERAND: &[&str] = &[
    "ALL",
    "AND",
    "ANY",
    "ARRAY",
    "AS",
    "BETWEEN",
    "BY",
    "CASE",
    "DISTINCT",
    "ELSE",
    "EXCEPT",
    "EXISTS",
    "FILTER",
    "FROM",
    "HAVING",
    "ILIKE",
    "IN",
    "INTERSECT",
    "IS",
    "JOIN",
    "LATERAL",
    "LIKE",
    "LIMIT",
    "NOT",
    "OFFSET",
    "ON",
    "OR",
    "OVER",
    "QUALIFY",
    "RETURNING",
    "SELECT",
    "SET",
    "SOME",
    "THEN",
    "UNION",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
];

/// Words that may follow an item of a list in SELECT, GROUP BY, PARTITION BY and ORDER BY.
const ITEM_END: &[&str] = &[
    "ASC",
    "CLUSTER",
    "DESC",
    "DISTRIBUTE",
    "EXCEPT",
    "FETCH",
    "FROM",
    "GROUP",
    "GROUPS",
    "HAVING",
    "INTERSECT",
    "INTO",
    "LIMIT",
    "MINUS",
    "NULLS",
    "OFFSET",
    "ORDER",
    "QUALIFY",
    "RANGE",
    "ROWS",
    "SELECT",
    "SORT",
    "UNION",
    "WHERE",
    "WINDOW",
];

/// Words that open a statement in SQL or in the dialect.
const STATEMENTS: &[&str] = &[
    "ALTER",
    "ANALYZE",
    "BEGIN",
    "CALL",
    "COMMIT",
    "COPY",
    "CREATE",
    "DEALLOCATE",
    "DELETE",
    "DESC",
    "DESCRIBE",
    "DROP",
    "EXECUTE",
    "EXPLAIN",
    "FROM",
    "GRANT",
    "INSERT",
    "MERGE",
    "PREPARE",
    "REFRESH",
    "RESET",
    "REVOKE",
    "ROLLBACK",
    "SELECT",
    "SET",
    "SHOW",
    "START",
    "TABLE",
    "TRUNCATE",
    "UPDATE",
    "USE",
    "VALUES",
    "WITH",
];

fn among(word: &str, words: &[&str]) -> bool {
    words.iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// Whether a bare word behind a relation is its alias.
pub(crate) fn can_be_alias(word: &str) -> bool {
    !among(word, NO_TABLE_ALIAS)
}

/// Whether a word can end an operand: a name, and not a keyword that wants one behind it.
pub(crate) fn can_be_operand(word: &str) -> bool {
    !among(word, NO_OPERAND)
}

/// Whether a word may follow an item of a list.
pub(crate) fn ends_item(word: &str) -> bool {
    among(word, ITEM_END)
}

/// The statement that a misspelt first word was meant to open.
pub(crate) fn nearest_statement(word: &str) -> Option<&'static str> {
    if among(word, STATEMENTS) { None } else { nearest(word, STATEMENTS) }
}

/// The word of `known` that differs from `word` by a slip: one letter, or two letters of a word of six or more
/// (swapped neighbours count as one). Quotes around `word` do not count; an equal word is no slip.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word: Vec<char> = word.trim_matches('`').to_uppercase().chars().take(32).collect();
    known
        .iter()
        .map(|name| (distance(&word, &name.chars().collect::<Vec<_>>()), *name))
        .filter(|(slips, name)| (1..=1 + usize::from(name.len() >= 6)).contains(slips) && word.len() > 1)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, name)| name)
}

/// Optimal string alignment distance (Damerau 1964): insertions, deletions, substitutions, swapped neighbours.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    let mut a_before = None;
    for (i, ca) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        let mut b_before = None;
        for (j, cb) in b.iter().enumerate() {
            let at = |row: &[usize], k: usize| row.get(k).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(&above, j) + usize::from(ca != cb)).min(at(&above, j + 1) + 1).min(at(&row, j) + 1);
            if a_before == Some(cb) && b_before == Some(ca) {
                best = best.min(at(&before, j.wrapping_sub(1)) + 1);
            }
            row.push(best);
            b_before = Some(cb);
        }
        a_before = Some(ca);
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(0)
}

/// The first token of a text in backquotes, for "found ...".
pub(crate) fn quote_found(text: &str) -> String {
    let text = text.trim_start();
    let word_end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let end = match text.chars().next() {
        None => return "the end".to_string(),
        Some('\'') => text.char_indices().skip(1).find(|(_, c)| *c == '\'').map_or(text.len(), |(at, _)| at + 1),
        Some('"') => text.char_indices().skip(1).find(|(_, c)| *c == '"').map_or(text.len(), |(at, _)| at + 1),
        Some(first) if word_end == 0 => first.len_utf8(),
        Some(_) => word_end,
    };
    let token = text.get(..end).unwrap_or_default();
    match token.char_indices().nth(40) {
        Some((cut, _)) => format!("`{}…`", token.get(..cut).unwrap_or_default()),
        None => format!("`{token}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_other_words_are_left_alone() {
        for (typed, meant) in
            [("cueb", Some("CUBE")), ("cubes", Some("CUBE")), ("cub", Some("CUBE")), ("role", None), ("table", None), ("cube", None)]
        {
            assert_eq!(nearest(typed, &["CUBE"]), meant, "{typed}");
        }
        assert_eq!(nearest_statement("SELCET"), Some("SELECT"));
        assert_eq!(nearest_statement("refrsh"), Some("REFRESH"));
        assert_eq!(nearest_statement("show"), None);
        assert_eq!(nearest_statement("vacuum"), None);
        assert_eq!(nearest("", &["A"]), None);
        assert_eq!(distance(&['a', 'b'], &['b', 'a']), 1);
        assert_eq!(distance(&[], &['b', 'a']), 2);
    }
}
