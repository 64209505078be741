//! Every variable of the real files beside the repository against what netCDF-C saw in them; and the broken ones.

use serde_json::{Value, json};

use super::fixtures::{cells, open};
use super::*;
use crate::oracles;

/// Numbers equal with half and single precision read as doubles, texts without the NULs at their end.
fn same(found: &Value, want: &Value) -> bool {
    match (found, want) {
        (Value::Array(f), Value::Array(w)) => f.len() == w.len() && f.iter().zip(w).all(|(f, w)| same(f, w)),
        // Bytes that are not UTF-8 are Latin-1 here, and lost there.
        (Value::String(_), Value::String(w)) if w.contains('\u{fffd}') => true,
        (Value::String(f), Value::String(w)) if oracles::number(found).is_none() => f.trim_end_matches('\0') == w.trim_end_matches('\0'),
        _ => match (oracles::number(found), oracles::number(want)) {
            (Some(f), Some(w)) => f == w || f as f32 == w as f32 || f.is_nan() && w.is_nan(),
            _ => found == want || found.is_null() && oracles::number(want).is_some_and(|w| !w.is_finite()),
        },
    }
}

#[tokio::test]
async fn real_files_agree_with_netcdf_c() {
    let Some(data) = oracles::data() else { return };
    let mut different = Vec::new();
    let (mut files, mut variables, mut values) = (0, 0, 0);
    for entry in std::fs::read_dir(data.join("public/oracles/netcdf3")).unwrap() {
        let oracle: Value = serde_json::from_slice(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap();
        let file = oracle["file"].as_str().unwrap();
        let (objects, object, granule) = open(&data.join("public").join(file)).await.unwrap();
        files += 1;
        let mut compare = |place: String, found: Value, want: &Value| {
            if !same(&found, want) {
                different.push(format!("{file} {place}: {found}, want {want}"));
            }
        };
        compare("refused".into(), json!(granule.refused.len()), &json!(0));
        compare(
            "attributes".into(),
            json!(granule.attributes.0.len()),
            &json!(oracle["groups"]["/"]["attributes"].as_object().unwrap().len()),
        );
        for (name, want) in oracle["groups"]["/"]["attributes"].as_object().unwrap() {
            compare(format!(":{name}"), granule.attributes.get(name).map_or(Value::Null, |v| v.to_json()), want);
        }
        let all = oracle["variables"].as_object().unwrap();
        compare("variables".into(), json!(granule.arrays.len()), &json!(all.len()));
        for (path, want) in all {
            let Some(array) = granule.array(path) else {
                compare(path.clone(), Value::Null, &json!("a variable"));
                continue;
            };
            variables += 1;
            let m = &array.metadata;
            compare(format!("{path} dims"), json!(m.dimensions), &want["dims"]);
            compare(format!("{path} shape"), json!(m.shape), &want["shape"]);
            let dtype = want["dtype"].as_str().unwrap().trim_start_matches(['<', '>', '|', '=']);
            let sizes = [("int", "i"), ("uint", "u"), ("float", "f")];
            let short = sizes.iter().find_map(|(long, short)| {
                let bits: usize = m.data_type.name().strip_prefix(long)?.parse().ok()?;
                Some(format!("{short}{}", bits / 8))
            });
            if m.data_type.name() != dtype && short.as_deref() != Some(dtype) {
                compare(format!("{path} type"), json!(m.data_type.name()), &json!(dtype));
            }
            for (name, want) in want["attributes"].as_object().unwrap() {
                compare(format!("{path}:{name}"), m.attributes.get(name).map_or(Value::Null, |v| v.to_json()), want);
            }
            let found = cells(&objects, &object, array).await.unwrap();
            for sample in want["raw"]["values_at"].as_array().into_iter().flatten() {
                let index: Vec<u64> = serde_json::from_value(sample["index"].clone()).unwrap();
                let position = index.iter().zip(&m.shape).fold(0, |n, (i, d)| n * d + i);
                compare(format!("{path} at {index:?}"), found[position as usize].clone(), &sample["value"]);
                values += 1;
            }
            if let (Some(first), Some(&length)) = (want["strings"]["first"].as_array(), m.shape.last()) {
                let letters: Vec<&str> = found.iter().map(|c| c.as_str().unwrap()).collect();
                for (text, want) in letters.chunks(length.max(1) as usize).zip(first) {
                    let text: String = text.concat();
                    compare(format!("{path} text"), json!(text.trim_end()), &json!(want.as_str().unwrap().trim_end()));
                }
            }
        }
    }
    println!("{files} files, {variables} variables, {values} values");
    assert!(different.is_empty(), "{different:#?}");
    assert!(files > 50 && variables > 400 && values > 1000, "{files} files, {variables} variables, {values} values");
}

#[tokio::test]
async fn broken_files_are_refused_or_read_without_harm() {
    let Some(data) = oracles::data() else { return };
    let mut outcome = Vec::new();
    for entry in std::fs::read_dir(data.join("malformed/netcdf3")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        let (objects, object, granule) = match open(&path).await {
            Ok(opened) => opened,
            Err(Error::Internal(e)) => panic!("{name}: {e}"),
            Err(e) => {
                outcome.push(format!("{name}: {}", e.to_string().rsplit('/').next().unwrap_or_default()));
                continue;
            }
        };
        for array in &granule.arrays {
            let read = cells(&objects, &object, array).await;
            assert!(!matches!(read, Err(Error::Internal(_))), "{name}: {read:?}");
        }
        let refused: Vec<_> = granule.refused.iter().map(|r| format!("{} {}", r.path, r.reason)).collect();
        outcome.push(format!("{name}: {} read, refused {refused:?}", granule.arrays.len()));
    }
    outcome.sort();
    println!("{}", outcome.join("\n"));
    assert!(outcome.len() >= 32);
}
