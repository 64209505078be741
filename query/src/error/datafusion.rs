//! DataFusion's errors in the words of the dialect: names with suggestions, limits with advice, places in the text.

use datafusion::arrow::error::ArrowError;
use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;
use graticule_grammar::{Desugared, GrammarError};

use super::{ErrorKind, QueryError, listed};
use crate::bind::names::{did_you_mean, nearest};

impl QueryError {
    /// An error of DataFusion. Errors of ours that went through it come out as they went in. `query` is the text that was
    /// planned, for the place; `cubes` are the names of what can stand in a FROM clause.
    pub fn from_datafusion(error: DataFusionError, query: Option<&Desugared>, cubes: &[String]) -> Self {
        let ours = convert(&error, cubes);
        match query {
            Some(query) => ours.located(query),
            None => ours,
        }
    }
}

fn convert(error: &DataFusionError, cubes: &[String]) -> QueryError {
    use DataFusionError as E;
    match error {
        E::Context(_, inner) => convert(inner, cubes),
        E::Shared(inner) => convert(inner, cubes),
        E::Collection(all) => match all.first() {
            Some(first) => convert(first, cubes),
            None => internal(error),
        },
        E::Diagnostic(diagnostic, inner) => {
            let ours = match missing_table(&diagnostic.message) {
                // Here the name is as it was typed; inside it has the catalog and schema in front.
                Some(name) if matches!(root(inner), E::Plan(_)) => QueryError::no_such_cube(name, cubes).at_word(name),
                _ => convert(inner, cubes),
            };
            match diagnostic.span {
                Some(span) => ours.at_line(span.start.line, span.start.column),
                None => ours,
            }
        }
        E::External(inner) => external(inner.as_ref(), error, cubes),
        E::ArrowError(inner, _) => arrow(inner, cubes),
        E::SQL(inner, _) => syntax(inner),
        E::SchemaError(inner, _) => schema(inner),
        E::Plan(message) | E::Configuration(message) => plan(message, cubes),
        E::Execution(message) => QueryError::user(clean(message)),
        E::NotImplemented(message) => QueryError::new(ErrorKind::Unsupported, format!("not supported: {}", clean(message))),
        E::ResourcesExhausted(message) => QueryError::new(ErrorKind::Resources, resources(message)),
        E::IoError(inner) => QueryError::new(ErrorKind::Data, inner.to_string()),
        E::Internal(_) | E::ExecutionJoin(_) | E::Substrait(_) | E::Ffi(_) => internal(error),
        // Variants for Parquet and object stores, which exist when some crate of the build turns them on.
        #[allow(unreachable_patterns)]
        other => QueryError::new(ErrorKind::Data, clean(&other.message())),
    }
}

/// The innermost error under contexts and diagnostics.
fn root(error: &DataFusionError) -> &DataFusionError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => root(inner),
        DataFusionError::Shared(inner) => root(inner),
        other => other,
    }
}

fn external(inner: &(dyn std::error::Error + Send + Sync + 'static), whole: &DataFusionError, cubes: &[String]) -> QueryError {
    if let Some(ours) = inner.downcast_ref::<QueryError>() {
        ours.clone()
    } else if let Some(storage) = inner.downcast_ref::<graticule_storage::Error>() {
        storage.clone().into()
    } else if let Some(grammar) = inner.downcast_ref::<GrammarError>() {
        grammar.clone().into()
    } else if let Some(nested) = inner.downcast_ref::<DataFusionError>() {
        convert(nested, cubes)
    } else if let Some(nested) = inner.downcast_ref::<ArrowError>() {
        arrow(nested, cubes)
    } else {
        internal(whole)
    }
}

fn arrow(error: &ArrowError, cubes: &[String]) -> QueryError {
    match error {
        ArrowError::ExternalError(inner) => external(inner.as_ref(), &DataFusionError::Execution(inner.to_string()), cubes),
        ArrowError::DivideByZero => {
            QueryError::user("division by zero: divide by nullif(divisor, 0) to get NULL there, or by a float to get infinity")
        }
        ArrowError::CastError(what)
        | ArrowError::ParseError(what)
        | ArrowError::ComputeError(what)
        | ArrowError::ArithmeticOverflow(what)
        | ArrowError::InvalidArgumentError(what) => QueryError::user(clean(what)),
        ArrowError::NotYetImplemented(what) => QueryError::new(ErrorKind::Unsupported, format!("not supported: {}", clean(what))),
        ArrowError::MemoryError(what) => QueryError::new(ErrorKind::Resources, resources(what)),
        ArrowError::IoError(what, _) => QueryError::new(ErrorKind::Data, clean(what)),
        other => QueryError::new(ErrorKind::Internal, format!("internal error: {} (please report it)", clean(&other.to_string()))),
    }
}

/// `Expected: FROM, found: x at Line: 1, Column: 8`: the message and the place apart.
fn syntax(error: &ParserError) -> QueryError {
    let message = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message.as_str(),
        ParserError::RecursionLimitExceeded => "the statement is nested too deeply",
    };
    let Some((said, place)) = message.rsplit_once(" at Line: ") else { return QueryError::user(said_plainly(message)) };
    let ours = QueryError::user(said_plainly(said));
    match place.split_once(", Column: ").map(|(line, column)| (line.trim().parse(), column.trim().parse())) {
        Some((Ok(line), Ok(column))) => ours.at_line(line, column),
        _ => ours,
    }
}

/// sqlparser's `Expected: x, found: y` in the words that the grammar uses.
fn said_plainly(message: &str) -> String {
    match message.strip_prefix("Expected: ").and_then(|rest| rest.rsplit_once(", found: ")) {
        Some((expected, "EOF")) => format!("expected {expected}, found the end"),
        Some((expected, found)) => format!("expected {expected}, found `{found}`"),
        None => clean(message),
    }
}

fn schema(error: &SchemaError) -> QueryError {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => missing_column(field, valid_fields),
        SchemaError::AmbiguousReference { field } => {
            let name = &field.name;
            QueryError::user(format!("column `{name}` is in several relations here; say which, for example `era5.{name}`")).at_word(name)
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            QueryError::user(format!("column `{name}` comes twice; give one of the two another name with AS"))
        }
    }
}

/// "column `foo` is not in era5; did you mean `t2m`? (columns: ...)"
fn missing_column(field: &Column, valid: &[Column]) -> QueryError {
    let mut relations: Vec<String> = vec![];
    for relation in valid.iter().filter_map(|c| c.relation.as_ref()).map(|r| r.to_string()) {
        if !relations.contains(&relation) {
            relations.push(relation);
        }
    }
    let wanted_relation = field.relation.as_ref().map(|r| r.to_string());
    if let Some(wanted) = wanted_relation.as_ref().filter(|wanted| !relations.is_empty() && !relations.contains(wanted)) {
        let suggestion = did_you_mean(wanted, relations.iter().map(String::as_str));
        let message = format!("`{wanted}` is no relation of this FROM clause{suggestion} (relations: {})", relations.join(", "));
        return QueryError::user(message).at_word(wanted);
    }
    let searched: Vec<&Column> =
        valid.iter().filter(|c| wanted_relation.is_none() || c.relation.as_ref().map(|r| r.to_string()) == wanted_relation).collect();
    let qualified = wanted_relation.is_none() && relations.len() > 1;
    let names: Vec<String> = searched.iter().map(|c| if qualified { c.flat_name() } else { c.name.clone() }).collect();
    let place = match wanted_relation {
        Some(relation) => format!("is not in {relation}"),
        None if relations.is_empty() && names.is_empty() => "does not exist: there is no FROM clause with columns here".to_owned(),
        None if relations.is_empty() => "does not exist".to_owned(),
        None => format!("is not in {}", relations.join(" or ")),
    };
    let suggestion = nearest(&field.name, searched.iter().map(|c| c.name.as_str()))
        .and_then(|near| searched.iter().zip(&names).find(|(c, _)| c.name == near))
        .map_or(String::new(), |(_, shown)| format!("; did you mean `{shown}`?"));
    let columns = if names.is_empty() { String::new() } else { format!(" (columns: {})", listed(&names)) };
    QueryError::user(format!("column `{}` {place}{suggestion}{columns}", field.name)).at_word(&field.name)
}

fn plan(message: &str, cubes: &[String]) -> QueryError {
    if let Some(resolved) = missing_table(message) {
        let name = resolved.split_once('.').map_or(resolved, |(_, rest)| rest);
        let name = name.strip_prefix("public.").unwrap_or(name);
        return QueryError::no_such_cube(name, cubes).at_word(name);
    }
    if let Some(rest) = message.strip_prefix("Invalid function '") {
        let mut parts = rest.split('\'');
        let (name, suggested) = (parts.next().unwrap_or_default(), parts.nth(1));
        let suggestion = did_you_mean(name, suggested.into_iter());
        return QueryError::user(format!("function `{name}` does not exist{suggestion}")).at_word(name);
    }
    if let Some(name) = between(message, "table function '", "' not found").or_else(|| between(message, "Table function '", "' not found"))
    {
        return QueryError::user(format!("table function `{name}` does not exist")).at_word(name);
    }
    if message.contains("must appear in the GROUP BY clause")
        && let Some(name) = message.split_once("column \"").and_then(|(_, rest)| rest.split('"').next())
    {
        let column = name.rsplit('.').next().unwrap_or(name);
        let message = format!("column `{name}` must be in GROUP BY or inside an aggregate such as avg()");
        return QueryError::user(message).at_word(column);
    }
    QueryError::user(clean(message))
}

fn missing_table(message: &str) -> Option<&str> {
    message.strip_prefix("table '")?.strip_suffix("' not found")
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.strip_prefix(before).and_then(|rest| rest.split_once(after)).map(|(name, _)| name)
}

fn resources(message: &str) -> String {
    let first = clean(message);
    let first = first.lines().next().unwrap_or_default();
    format!("not enough memory: {first}. Ask for fewer cells or groups at once, or start the server with a larger --memory")
}

fn internal(error: &DataFusionError) -> QueryError {
    QueryError::new(ErrorKind::Internal, format!("internal error: {} (please report it)", clean(&error.message()).trim_end_matches('.')))
}

/// Without DataFusion's prefixes and its request to file a bug.
fn clean(message: &str) -> String {
    const PREFIXES: [&str; 6] =
        ["Error during planning: ", "Execution error: ", "Arrow error: ", "External error: ", "Internal error: ", "Schema error: "];
    let mut text = message.split("\nThis issue was likely caused by a bug").next().unwrap_or(message).trim();
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix)) {
        text = rest;
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use datafusion::prelude::{SessionConfig, SessionContext};
    use graticule_grammar::{Statement, parse};

    use super::*;

    /// Kind, message and place of the error that a text ends in.
    async fn fails(text: &str) -> (ErrorKind, String, Option<(u32, u32)>) {
        let config = SessionConfig::new().set_bool("datafusion.sql_parser.collect_spans", true);
        let context = SessionContext::new_with_config(config);
        let column = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as ArrayRef;
        let batch = RecordBatch::try_from_iter([("time", column(vec![1])), ("t2m", column(vec![0]))]).unwrap();
        context.register_batch("era5", batch.clone()).unwrap();
        context.register_batch("s2", batch).unwrap();
        let Statement::Query(query) = parse(text).unwrap() else { panic!("{text}") };
        let answer = async { context.sql(&query.sql).await?.collect().await }.await;
        let error = QueryError::from_datafusion(answer.expect_err(text), Some(&query), &["era5".into(), "s2".into()]);
        let first = error.message.lines().next().unwrap_or_default().to_owned();
        (error.kind, first, error.position.map(|p| (p.line, p.column)))
    }

    #[tokio::test]
    async fn mistakes_in_queries() {
        use ErrorKind::*;
        let mut wrong = vec![];
        for (text, kind, message, place) in [
            ("SELECT t2n FROM era5", User, "column `t2n` is not in era5; did you mean `t2m`? (columns: time, t2m)", Some((1, 8))),
            ("SELECT e.foo\n FROM era5 e", User, "column `foo` is not in e (columns: time, t2m)", Some((1, 8))),
            (
                "SELECT a.t2m, tim FROM era5 a, s2 b",
                User,
                "column `tim` is not in a or b; did you mean `a.time`? (columns: a.time, a.t2m, b.time, b.t2m)",
                Some((1, 15)),
            ),
            (
                "SELECT era.t2m FROM era5",
                User,
                "`era` is no relation of this FROM clause; did you mean `era5`? (relations: era5)",
                Some((1, 8)),
            ),
            (
                "SELECT t2m FROM era5, s2",
                User,
                "column `t2m` is in several relations here; say which, for example `era5.t2m`",
                Some((1, 8)),
            ),
            ("SELECT 1\nFROM era", NotFound, "cube `era` does not exist; did you mean `era5`? (cubes: era5, s2)", Some((2, 6))),
            ("SELECT 1 FROM elsewhere.dem", NotFound, "cube `elsewhere.dem` does not exist (cubes: era5, s2)", Some((1, 15))),
            ("SELECT avgg(t2m) FROM era5", User, "function `avgg` does not exist; did you mean `avg`?", Some((1, 8))),
            ("SELECT zzzzzzzz(t2m) FROM era5", User, "function `zzzzzzzz` does not exist", Some((1, 8))),
            ("SELECT 1 FROM nothing(1)", User, "table function `nothing` does not exist", Some((1, 15))),
            ("SELECT 1 / 0", User, "division by zero: divide by nullif(divisor, 0) to get NULL there, or by a float to get infinity", None),
            (
                "SELECT 7 / t2m FROM era5",
                User,
                "division by zero: divide by nullif(divisor, 0) to get NULL there, or by a float to get infinity",
                None,
            ),
            ("SELECT t2m\nFROM era5 GROUP", User, "expected end of statement, found `GROUP`", Some((2, 11))),
            ("SELECT 1 +", User, "expected an expression, found the end", None),
            (
                "SELECT t2m, count(*) FROM era5",
                User,
                "column `era5.t2m` must be in GROUP BY or inside an aggregate such as avg()",
                Some((1, 8)),
            ),
            (
                "SELECT max(t2m) FROM era5 GROUP BY time HAVING t2m > 1",
                User,
                "column `era5.t2m` must be in GROUP BY or inside an aggregate such as avg()",
                Some((1, 48)),
            ),
        ] {
            let (found_kind, found, found_place) = fails(text).await;
            if (found_kind, found.as_str(), found_place) != (kind, message, place) {
                wrong.push(format!("{text}\n    {found_kind:?} {found_place:?} {found}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn errors_of_ours_come_out_as_they_went_in() {
        let ours = || QueryError::new(ErrorKind::Data, "bad chunk");
        let storage = || graticule_storage::Error::data_at("/a.nc:/t", 3..9, "bad");
        let external = |e: Box<dyn std::error::Error + Send + Sync>| DataFusionError::External(e);
        for wrapped in [
            ours().into(),
            DataFusionError::from(ours()).context("optimizer"),
            DataFusionError::Shared(Arc::new(ours().into())),
            DataFusionError::ArrowError(Box::new(ArrowError::ExternalError(Box::new(ours()))), None),
            DataFusionError::ArrowError(Box::new(ArrowError::from(DataFusionError::from(ours()).context("x"))), None),
            external(Box::new(DataFusionError::from(ours()))),
            external(Box::new(ArrowError::ExternalError(Box::new(ours())))),
            DataFusionError::Collection(vec![ours().into()]),
        ] {
            let error = QueryError::from_datafusion(wrapped, None, &[]);
            assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Data, "bad chunk"));
        }
        let error = QueryError::from_datafusion(external(Box::new(storage())), None, &[]);
        assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Data, "/a.nc:/t, bytes 3..9: bad"));
    }

    #[test]
    fn the_rest() {
        for (error, kind, message) in [
            (DataFusionError::Internal("odd state".into()), ErrorKind::Internal, "internal error: odd state (please report it)"),
            (DataFusionError::NotImplemented("PIVOT".into()), ErrorKind::Unsupported, "not supported: PIVOT"),
            (
                DataFusionError::ResourcesExhausted("Failed to allocate 3 GB\nmore".into()),
                ErrorKind::Resources,
                "not enough memory: Failed to allocate 3 GB. Ask for fewer cells or groups at once, or start the server with a larger --memory",
            ),
            (DataFusionError::External("odd".into()), ErrorKind::Internal, "internal error: odd (please report it)"),
            (
                DataFusionError::Plan("table 'datafusion.public.x' not found".into()),
                ErrorKind::NotFound,
                "cube `x` does not exist (there are none: CREATE CUBE makes one)",
            ),
        ] {
            let ours = QueryError::from_datafusion(error, None, &[]);
            assert_eq!((ours.kind, ours.message.as_str()), (kind, message));
        }
    }
}
