//! What holds for every text: no panic, plain SQL untouched, trees that print as what they were read from, linear time.

use std::time::Instant;

use graticule_grammar::{AxisSpec, CreateCube, Desugared, FilenameAxis, Ident, Literal, Name, Overlap, Position, Selection, Span};
use graticule_grammar::{Statement, Subset, Value, parse, render};
use proptest::prelude::*;

fn query(statement: &Statement) -> Option<&Desugared> {
    match statement {
        Statement::Query(query) | Statement::Explain { query, .. } | Statement::Copy { query, .. } => Some(query),
        _ => None,
    }
}

/// Parses and looks at everything that can be asked of the answer.
fn exercise(text: &str) {
    match parse(text) {
        Ok(statement) => {
            if let Some(query) = query(&statement) {
                for offset in 0..=query.sql.len() + 1 {
                    let place = query.original_offset(offset);
                    assert!(text.is_char_boundary(place.offset));
                    assert_eq!(Position::at(text, place.line.into(), place.column.into()), place);
                }
                query.original(0, 0);
                query.original(u64::MAX, u64::MAX);
                // What is left is plain SQL: desugaring again finds nothing. (It may find an error in a text that is no SQL.)
                if let Ok(Statement::Query(again)) = parse(&query.sql) {
                    assert_eq!(again.sql, query.sql);
                }
            }
        }
        Err(error) => {
            assert!(error.position.offset <= text.len() && text.is_char_boundary(error.position.offset));
            assert_eq!(error.to_string(), render(text, error.position, &error.message));
            assert!(!error.message.contains('\n'), "{error}");
        }
    }
}

/// Tokens of the dialect and of SQL, with and without sense.
fn fragment() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "SELECT",
        "FROM",
        "JOIN",
        "ON",
        "WHERE",
        "GROUP BY",
        "ORDER BY",
        "PARTITION BY",
        "DIMS",
        "EXCEPT",
        "USING",
        "AS",
        "WITH",
        "VALUES",
        "era5",
        "\"Era 5\"",
        "lat",
        "time",
        "e",
        ".",
        ",",
        ";",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ":",
        "::",
        "40",
        "60.5",
        "-",
        "'2020'",
        "''",
        "'",
        "\"",
        "`",
        "$1",
        "$$",
        "$a$",
        "E'\\'",
        "q'[",
        "/*",
        "*/",
        "--",
        "\n",
        "IN",
        "INDEX",
        "EXACT",
        "AROUND (",
        "ALONG (",
        "REGRID(",
        "era5[",
        "lat(",
        "[lat(40:60)]",
        "era5[time('2020'), lat(40:60)]",
        "DIMS EXCEPT (time)",
        "LATERAL",
        "DELETE",
        "UNION",
        "CREATE CUBE",
        "NODATA",
        "OVERLAP",
        "AXIS",
        "FILENAME",
        "EXPLAIN",
        "COPY (",
        ") TO 'x'",
        "SHOW",
        "extract(year FROM",
        "DISTINCT",
        "*",
        "é",
        "🌍",
        "\u{2003}",
    ]);
    prop_oneof![8 => known.prop_map(str::to_string), 1 => "\\PC{0,3}", 1 => any::<char>().prop_map(|c| c.to_string())]
}

/// The golden texts, to be damaged.
fn valid() -> impl Strategy<Value = String> {
    let texts: Vec<String> = [include_str!("goldens/accepted.txt"), include_str!("goldens/rejected.txt")]
        .iter()
        .flat_map(|file| file.split("=== ").skip(1))
        .filter_map(|case| Some(case.split_once('\n')?.1.split("\n--->").next()?.to_string()))
        .collect();
    prop::sample::select(texts)
}

fn ident() -> impl Strategy<Value = Ident> {
    prop_oneof![
        "[a-z_][a-z0-9_$]{0,8}".prop_map(|value| Ident { value, quoted: false }),
        "[^`]{1,8}".prop_map(|value| Ident { value, quoted: true }),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let known = prop::sample::select(vec![
        "40",
        "-10.5",
        "+ 3",
        "'2020-01'",
        "'it''s :,)]'",
        "$1",
        "now() - INTERVAL '7 days'",
        "(a, b)",
        "arr[1:2]",
        "TIMESTAMP '2020-01-01'",
        "x::int",
        "'a' :: varchar(3)",
        "f(1, g(':'))",
        "a -- :\n + 1",
        "a /* : , ) */ * b",
        "\"q:\"",
        "$$ : $$",
        "1e-5",
        "case when a then b end",
        "E'\\''",
        "{a: 1}",
        "a || b",
        "1 < 2",
    ]);
    let random = "[0-9]{1,3}([.][0-9]{0,2})?|'[^']{0,6}'|[a-hj-z][a-z]{0,2}\\([0-9, :]{0,5}\\)";
    prop_oneof![known.prop_map(str::to_string), random].prop_map(|text| Value { text, span: Span::default() })
}

fn selection() -> impl Strategy<Value = Selection> {
    let end = || prop::option::of(value());
    prop_oneof![
        (end(), end())
            .prop_filter("a range has an end", |(a, b)| a.is_some() || b.is_some())
            .prop_map(|(low, high)| Selection::Trim { low, high }),
        value().prop_map(Selection::At),
        value().prop_map(Selection::Exact),
        (end(), end(), end())
            .prop_filter("a range has an end", |(a, b, c)| a.is_some() || b.is_some() || c.is_some())
            .prop_map(|(first, last, step)| Selection::IndexRange { first, last, step }),
        value().prop_map(Selection::Index),
        prop::collection::vec(value(), 1..4).prop_map(Selection::In),
    ]
}

fn subset() -> impl Strategy<Value = Subset> {
    let axes = prop::collection::vec((ident(), selection()), 1..4).prop_filter("no axis twice", |axes| {
        axes.iter().enumerate().all(|(at, (axis, _))| axes[..at].iter().all(|(earlier, _)| earlier.value != axis.value))
    });
    let alias = prop::option::of(ident().prop_map(|alias| Ident { quoted: true, ..alias }));
    (prop::collection::vec(ident(), 1..4), axes, alias).prop_map(|(parts, axes, alias)| Subset {
        relation: Name { parts, span: Span::default() },
        axes: axes.into_iter().map(|(axis, selection)| AxisSpec { axis, selection, span: Span::default() }).collect(),
        alias,
        span: Span::default(),
    })
}

/// The tree without its places.
fn placeless(mut subset: Subset) -> Subset {
    let forget = |value: &mut Value| value.span = Span::default();
    subset.span = Span::default();
    subset.relation.span = Span::default();
    for axis in &mut subset.axes {
        axis.span = Span::default();
        match &mut axis.selection {
            Selection::Trim { low, high } => [low, high].into_iter().flatten().for_each(forget),
            Selection::At(value) | Selection::Exact(value) | Selection::Index(value) => forget(value),
            Selection::IndexRange { first, last, step } => [first, last, step].into_iter().flatten().for_each(forget),
            Selection::In(values) => values.iter_mut().for_each(forget),
        }
    }
    subset
}

fn create_cube() -> impl Strategy<Value = CreateCube> {
    let literal = || "[^\u{0}]{0,12}".prop_map(|value| Literal { value, span: Span::default() });
    let axes = prop::collection::btree_map("[^`\u{0}]{1,6}", (literal(), prop::option::of(literal())), 0..3);
    let overlap = prop::sample::select(vec![None, Some(Overlap::Error), Some(Overlap::Newest), Some(Overlap::First)]);
    let nodata = prop::option::of(any::<f64>().prop_filter("a decimal number", |nodata| nodata.is_finite()));
    let name = prop::collection::vec(ident().prop_filter("a keyword", |ident| ident.quoted || ident.value != "from"), 1..3);
    (name, 0..3, prop::collection::vec(literal(), 1..3), axes, prop::option::of(literal()), overlap, nodata, prop::option::of(literal()))
        .prop_map(|(parts, mode, sources, axes, variable, overlap, nodata, crs)| {
            let axes = axes.into_iter().map(|(axis, (pattern, format))| FilenameAxis { axis, pattern, format, span: Span::default() });
            let name = Name { parts, span: Span::default() };
            let text = String::new();
            CreateCube {
                name,
                or_replace: mode == 1,
                if_not_exists: mode == 2,
                sources,
                axes: axes.collect(),
                variable,
                overlap,
                nodata,
                crs,
                text,
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,80}|[\u{0}-\u{7f}]{0,80}") {
        exercise(&text);
    }

    #[test]
    fn no_heap_of_fragments_makes_it_panic(fragments in prop::collection::vec(fragment(), 0..24), gap in prop::sample::select(vec!["", " "])) {
        exercise(&fragments.join(gap));
    }

    #[test]
    fn no_damaged_query_makes_it_panic(text in valid(), cuts in prop::collection::vec((any::<prop::sample::Index>(), 0usize..4, fragment()), 1..4)) {
        let mut chars: Vec<char> = text.chars().collect();
        for (at, removed, added) in cuts {
            let at = at.index(chars.len() + 1);
            let end = (at + removed).min(chars.len());
            chars.splice(at..end, added.chars());
        }
        exercise(&chars.into_iter().collect::<String>());
    }

    #[test]
    fn plain_sql_passes_byte_for_byte(columns in prop::collection::vec("[a-z]{1,6}\\[[0-9]:?[0-9]?\\]|'[^']{0,9}'|[0-9]{1,4}|\\[1, 2\\]", 1..5), table in "[a-z]{1,3}_[a-z]{1,5}", gap in "[ \t\n]{1,3}|/\\*[^*/]{0,9}\\*/|--[^\n]{0,9}\n") {
        let text = format!("SELECT{gap} {}{gap}FROM{gap} {table}{gap}WHERE{gap} x > $1{gap}", columns.join(", "));
        let statement = parse(&text).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(query(&statement).map(|query| query.sql.as_str()), Some(text.as_str()));
    }

    #[test]
    fn a_printed_subset_reads_as_the_same_tree(subset in subset()) {
        let text = subset.to_string();
        let again = Subset::parse(&text).map_err(|error| TestCaseError::fail(error.to_string()))?;
        for axis in &again.axes {
            for value in axis.selection.values() {
                prop_assert_eq!(text.get(value.span.start..value.span.end), Some(value.text.as_str()));
            }
        }
        prop_assert_eq!(placeless(again), subset);
    }

    #[test]
    fn a_printed_subset_is_desugared_with_its_values_in_order(subset in subset()) {
        let text = format!("SELECT * FROM {subset} WHERE a");
        let statement = parse(&text).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let Some(query) = query(&statement) else { return Err(TestCaseError::fail("no query")) };
        let mut from = 0;
        for value in subset.axes.iter().flat_map(|axis| axis.selection.values()) {
            let at = query.sql[from..].find(&value.text).map(|at| from + at);
            prop_assert!(at.is_some(), "{} in {}", value.text, query.sql);
            from = at.unwrap_or(0);
            let place = query.original_offset(from).offset;
            prop_assert!(!value.text.starts_with('\'') || text[place..].starts_with(&value.text) || value.text.len() < 4);
        }
        prop_assert!(query.sql.ends_with(" WHERE a"));
    }

    #[test]
    fn a_printed_create_cube_reads_as_the_same_tree(create in create_cube()) {
        let text = create.to_string();
        match parse(&text) {
            Ok(Statement::CreateCube(mut again)) => {
                prop_assert_eq!(&again.text, text.trim());
                again.text = String::new();
                again.name.span = Span::default();
                again.axes.iter_mut().for_each(|axis| (axis.span, axis.pattern.span) = Default::default());
                let formats = again.axes.iter_mut().filter_map(|axis| axis.format.as_mut());
                let literals = again.sources.iter_mut().chain(again.variable.as_mut()).chain(again.crs.as_mut()).chain(formats);
                literals.for_each(|literal| literal.span = Span::default());
                prop_assert_eq!(again, create);
            }
            other => return Err(TestCaseError::fail(format!("{text}\n{other:?}"))),
        }
    }
}

#[test]
fn a_megabyte_is_read_in_linear_time_and_bounded_depth() {
    let million = 1 << 20;
    let many = |part: &str| part.repeat(million / part.len());
    let texts = [
        ("nested", format!("SELECT {}1{}", many("("), many(")")), Some("nested more than")),
        ("nested subsets", many("SELECT * FROM a[x(("), Some("nested more than")),
        ("nested comments", many("/*"), Some("never closed")),
        ("a long string", format!("SELECT '{}'", many("(")), None),
        ("a long comment", format!("SELECT 1 /* {} */", many("('\" ")), None),
        ("closed brackets", format!("SELECT 1{}", many(")")), Some("closes nothing")),
        ("a wide statement", format!("SELECT * FROM era5[lat({})]", many("1+")), None),
    ];
    for (name, text, error) in texts {
        let started = Instant::now();
        let outcome = parse(&text);
        // Without optimisation and on a busy machine a token costs microseconds; what is quadratic would take hours.
        let limit = if name == "nested" { 1 } else { 60 };
        assert!(started.elapsed().as_secs() < limit, "{name}: {:?}", started.elapsed());
        match (outcome, error) {
            (Ok(_), None) => {}
            (Err(found), Some(expected)) => assert!(found.message.contains(expected), "{name}: {found}"),
            (Ok(_), Some(_)) => panic!("{name} is accepted"),
            (Err(found), None) => panic!("{name}: {found}"),
        }
    }
}
