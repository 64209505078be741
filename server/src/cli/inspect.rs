//! `graticule inspect`: what is in a file, from its headers alone unless values are asked for.

use std::io::Write;

use clap::Args;
use graticule_storage::inspect::{InspectOptions, inspect, references};
use graticule_storage::object::Objects;

use super::Failure;

/// What `inspect` takes.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The file
    #[arg(value_name = "PATH|URL")]
    path: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Read the data: count, minimum, maximum and mean of the values of each array that are not missing
    #[arg(long)]
    stats: bool,
    /// Only this array, by its path in the file: /group/name
    #[arg(long, value_name = "PATH")]
    array: Option<String>,
    /// The value at these indices, from 0, slowest dimension first; repeatable
    #[arg(long, value_name = "I,J,...", value_parser = indices, allow_hyphen_values = true)]
    at: Vec<Indices>,
    /// Values as stored instead of decoded
    #[arg(long)]
    raw: bool,
    /// Print kerchunk references to the file's chunks (JSON, version 1), which fsspec and xarray read; arrays that Zarr cannot
    /// describe are left out and named on standard error
    #[arg(long, conflicts_with_all = ["json", "stats", "array", "at", "raw"])]
    kerchunk: bool,
}

/// Indices of one cell, slowest dimension first.
#[derive(Debug, Clone)]
struct Indices(Vec<u64>);

fn indices(text: &str) -> Result<Indices, String> {
    // A scalar has no indices.
    if text.trim().is_empty() {
        return Ok(Indices(vec![]));
    }
    let each: Result<Vec<u64>, _> = text.split(',').map(|index| index.trim().parse::<u64>()).collect();
    each.map(Indices).map_err(|_| "write indices from 0, separated by commas, like 0,3,7".into())
}

/// Prints what is in the file.
pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    if arguments.kerchunk {
        let found = references(&Objects::anywhere(), &arguments.path).await.map_err(|e| e.to_string())?;
        for refused in &found.refused {
            eprintln!("{}: left out: {}", refused.path, refused.reason);
        }
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", found.json)?;
        return Ok(out.flush()?);
    }
    let options = InspectOptions {
        stats: arguments.stats,
        array: arguments.array,
        at: arguments.at.into_iter().map(|Indices(each)| each).collect(),
        raw: arguments.raw,
    };
    let mut out = std::io::stdout().lock();
    match inspect(&Objects::anywhere(), &arguments.path, options).await {
        Ok(found) if arguments.json => writeln!(out, "{}", serde_json::to_string(&found.to_json()).map_err(|e| e.to_string())?)?,
        Ok(found) => writeln!(out, "{}", found.to_string().trim_end())?,
        Err(error) => {
            if arguments.json {
                writeln!(out, "{}", serde_json::json!({ "error": error.to_string() }))?;
            }
            return Err(error.to_string().into());
        }
    }
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_separated_by_commas() {
        assert_eq!(indices("0,3, 7").unwrap().0, [0, 3, 7]);
        assert!(indices("").unwrap().0.is_empty());
        assert!(indices("0;1").is_err());
        assert!(indices("-1").is_err());
    }
}
