//! Accepted and rejected texts with what becomes of them: `tests/goldens/*.txt`. `UPDATE_GOLDENS=1 cargo test -p
//! graticule-grammar --test goldens` writes the outcomes anew; read the difference before it is committed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use graticule_grammar::{CreateCube, Desugared, Statement, parse};

/// One case: `=== title`, the text, `--->`, the outcome.
struct Case {
    title: String,
    text: String,
    outcome: String,
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}

fn read(name: &str) -> Vec<Case> {
    let content = std::fs::read_to_string(path(name)).unwrap();
    let body = |text: &str| text.strip_suffix('\n').unwrap_or(text).to_string();
    content
        .split("=== ")
        .skip(1)
        .map(|case| {
            let (title, rest) = case.split_once('\n').unwrap();
            let (text, outcome) = rest.split_once("--->\n").unwrap_or((rest, ""));
            Case { title: title.to_string(), text: body(text), outcome: outcome.trim_end().to_string() }
        })
        .collect()
}

/// Runs all cases of a file; the outcome of each text is what `run` makes of it.
fn check(name: &str, at_least: usize, run: fn(&str) -> Result<String, String>) {
    let cases = read(name);
    assert!(cases.len() >= at_least, "{} cases in {name}", cases.len());
    let update = std::env::var_os("UPDATE_GOLDENS").is_some();
    let (mut file, mut wrong) = (String::new(), String::new());
    for Case { title, text, outcome } in cases {
        match run(&text) {
            Ok(now) => {
                let now = now.trim_end();
                if now != outcome && !update {
                    write!(wrong, "\n{title}\n{text}\nwas:\n{outcome}\nis:\n{now}\n").unwrap();
                }
                write!(file, "=== {title}\n{text}\n--->\n{now}\n\n").unwrap();
            }
            Err(why) => write!(wrong, "\n{title}\n{text}\n{why}\n").unwrap(),
        }
    }
    assert!(wrong.is_empty(), "{name}:{wrong}");
    if update {
        std::fs::write(path(name), format!("{}\n", file.trim_end())).unwrap();
    }
}

#[test]
fn accepted_texts_become_this() {
    check("accepted.txt", 60, |text| match parse(text) {
        Ok(statement) => {
            for query in queries(&statement) {
                assert_eq!(query.text(), text);
                every_place_is_kept(query)?;
                plain_sql_passes(query)?;
            }
            Ok(describe(&statement, text))
        }
        Err(error) => Err(format!("is rejected: {error}")),
    });
}

#[test]
fn rejected_texts_get_this_error() {
    check("rejected.txt", 40, |text| match parse(text) {
        Ok(statement) => Err(format!("is accepted: {}", describe(&statement, text))),
        Err(error) => Ok(error.to_string()),
    });
}

fn queries(statement: &Statement) -> Vec<&Desugared> {
    match statement {
        Statement::Query(query) | Statement::Explain { query, .. } | Statement::Copy { query, .. } => vec![query],
        _ => Vec::new(),
    }
}

/// Every place of the SQL has a place in the text, and plain SQL keeps all of its places.
fn every_place_is_kept(query: &Desugared) -> Result<(), String> {
    for (offset, c) in query.sql.char_indices() {
        let place = query.original_offset(offset).offset;
        let same = query.text().get(place..).is_some_and(|rest| rest.starts_with(c));
        if place > query.text().len() || query.sql == query.text() && (place != offset || !same) {
            return Err(format!("byte {offset} of the SQL is at {place}"));
        }
    }
    Ok(())
}

/// What was desugared once is plain SQL and passes as it is.
fn plain_sql_passes(query: &Desugared) -> Result<(), String> {
    match parse(&query.sql) {
        Ok(Statement::Query(again)) if again.sql == query.sql => Ok(()),
        other => Err(format!("the SQL does not pass: {} {other:?}", query.sql)),
    }
}

fn describe(statement: &Statement, text: &str) -> String {
    let sql = |query: &Desugared| if query.sql == text { "(unchanged)".to_string() } else { query.sql.clone() };
    match statement {
        Statement::Query(query) => sql(query),
        Statement::Explain { analyze, verbose, query } => format!("explain, analyze {analyze}, verbose {verbose}\n{}", sql(query)),
        Statement::Copy { query, target, span } => format!("copy to {target:?} at {}\n{}", &text[span.start..span.end], sql(query)),
        Statement::CreateCube(create) => describe_create(create),
        Statement::RefreshCube { name } => format!("refresh {:?}", name.dotted()),
        Statement::AnalyzeCube { name } => format!("analyze {:?}", name.dotted()),
        Statement::DropCube { name, if_exists } => format!("drop {:?}, if exists {if_exists}", name.dotted()),
        Statement::ShowCubes => "show cubes".to_string(),
        Statement::DescribeCube { name } => format!("describe {:?}", name.dotted()),
        Statement::ShowGranules { name } => format!("show granules of {:?}", name.dotted()),
    }
}

fn describe_create(create: &CreateCube) -> String {
    let CreateCube { name, or_replace, if_not_exists, sources, axes, variable, overlap, nodata, crs, text } = create;
    let mut lines = format!("create {:?}, or replace {or_replace}, if not exists {if_not_exists}\n", name.dotted());
    for source in sources {
        writeln!(lines, "from {:?}", source.value).unwrap();
    }
    for axis in axes {
        let format = axis.format.as_ref().map(|format| format.value.as_str());
        writeln!(lines, "axis {:?} pattern {:?} format {format:?}", axis.axis, axis.pattern.value).unwrap();
    }
    let (variable, crs) = (variable.as_ref().map(|v| v.value.as_str()), crs.as_ref().map(|c| c.value.as_str()));
    writeln!(lines, "variable {variable:?}, overlap {overlap:?}, nodata {nodata:?}, crs {crs:?}").unwrap();
    writeln!(lines, "prints as {create}").unwrap();
    write!(lines, "kept as {text:?}").unwrap();
    lines
}
