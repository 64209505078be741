//! The fixtures of `tests/corpus/hdf5`, made by `make.py` there: exactly what `truth.json` says.

use serde_json::Value;

use super::super::walk::HIDDEN;
use super::{index, json, list, same, scalar_json, values, workspace};
use crate::array::{Attributes, ByteOrder, ChunkRef, EdgeChunks};
use crate::format::IndexedArray;
use crate::object::Objects;

fn check_attributes(place: &str, found: &Attributes, expected: &Value, wrong: &mut Vec<String>) {
    let hidden = |k: &str| HIDDEN.contains(&k);
    let expected = expected.as_object().unwrap();
    for (name, truth) in expected.iter().filter(|(k, v)| !hidden(k) && !v.is_null()) {
        match found.get(name) {
            None => wrong.push(format!("{place}: attribute {name} missing")),
            Some(value) if value.data_type().name() != truth["type"] || !same(&value.to_json(), &truth["value"]) => {
                wrong.push(format!("{place}: attribute {name}: {value:?}, expected {truth}"));
            }
            Some(_) => {}
        }
    }
    for (name, _) in &found.0 {
        // Names of an enumeration are attributes here.
        let of_type = ["flag_values", "flag_meanings"].contains(&name.as_str());
        if hidden(name) || !of_type && expected.get(name).is_none_or(Value::is_null) {
            wrong.push(format!("{place}: attribute {name} too many"));
        }
    }
}

fn check_array(place: &str, array: &IndexedArray, truth: &Value, wrong: &mut Vec<String>) {
    let meta = &array.metadata;
    let mut expect = |what: &str, ok: bool, found: String| {
        if !ok {
            wrong.push(format!("{place}: {what} {found}, expected {}", truth[what]));
        }
    };
    expect("shape", meta.shape == list(&truth["shape"]), format!("{:?}", meta.shape));
    expect("type", meta.data_type.name() == truth["type"], meta.data_type.name());
    expect(
        "big",
        meta.data_type.size() < 2 || meta.data_type.is_text() || (meta.byte_order == ByteOrder::Big) == truth["big"],
        format!("{:?}", meta.byte_order),
    );
    let codecs: Vec<&str> = meta.codecs.iter().map(|c| c.name()).collect();
    expect("codecs", truth["codecs"] == serde_json::json!(codecs), format!("{codecs:?}"));
    let fill = match meta.fill_value {
        None => Value::Null,
        Some(s) => scalar_json(s),
    };
    expect("fill", same(&fill, &truth["fill"]) || truth["fill"].is_null(), fill.to_string());
    if let Some(texts) = truth.get("texts") {
        let found: Value = match array.manifest.get(0) {
            // Texts that were never written are missing; h5py gives them as empty.
            ChunkRef::Inline(b) => {
                let texts: Vec<Option<String>> = serde_json::from_slice(&b).unwrap();
                texts.into_iter().map(Option::unwrap_or_default).collect()
            }
            other => format!("{other:?}").into(),
        };
        return expect("texts", found == *texts, found.to_string());
    }
    let grid = meta.chunk_grid();
    if let Some(chunks) = truth.get("chunks") {
        expect("chunk_shape", meta.chunk_shape == list(&truth["chunk_shape"]), format!("{:?}", meta.chunk_shape));
        let bare = place.contains("bare_edges");
        let mut expected = vec![ChunkRef::Missing; grid.len() as usize];
        for c in chunks.as_array().unwrap() {
            let at: Vec<u64> = list(&c[0]).iter().zip(&meta.chunk_shape).map(|(o, s)| o / s).collect();
            let all = (1 << codecs.len()) - 1;
            let partial =
                grid.extent(&at).ranges().iter().map(|r| r.end - r.start).product::<u64>() != meta.chunk_shape.iter().product::<u64>();
            let skip = if bare && partial { all } else { c[3].as_u64().unwrap() as u32 };
            expected[grid.number(&at) as usize] =
                ChunkRef::Stored { object: 0, offset: c[1].as_u64().unwrap(), length: c[2].as_u64().unwrap(), skip };
        }
        expect("chunks", array.manifest.chunks == expected && meta.edge == EdgeChunks::Padded, format!("{:?}", array.manifest.chunks));
    } else if let Some(bytes) = truth.get("compact") {
        let ok = matches!(array.manifest.get(0), ChunkRef::Inline(b) if serde_json::json!(b.to_vec()) == *bytes);
        expect("compact", ok, format!("{:?}", array.manifest));
    } else {
        let stored: Vec<(u64, u64)> = array
            .manifest
            .chunks
            .iter()
            .filter_map(|c| match c {
                ChunkRef::Stored { offset, length, .. } => Some((*offset, *length)),
                _ => None,
            })
            .collect();
        let whole = stored.first().map(|&(o, _)| vec![o, stored.iter().map(|(_, n)| n).sum()]);
        let gapless = stored.windows(2).all(|w| w[0].0 + w[0].1 == w[1].0);
        expect("contiguous", serde_json::json!(whole) == truth["contiguous"] && gapless, format!("{stored:?}"));
    }
}

#[tokio::test]
async fn fixtures_are_indexed_as_h5py_and_netcdf_read_them() {
    let folder = workspace().join("tests/corpus/hdf5");
    let truth = json(&folder.join("truth.json"));
    let mut wrong = Vec::new();
    let mut arrays = 0;
    for (name, truth) in truth["files"].as_object().unwrap() {
        let granule = index(&folder.join(name)).unwrap();
        assert_eq!(granule.format, if name.ends_with(".nc") { "netcdf4" } else { "hdf5" }, "{name}");
        for (path, t) in truth["datasets"].as_object().unwrap() {
            let place = format!("{name}:{path}");
            let phantom = t["attributes"]["NAME"]["value"].as_str().is_some_and(|n| n.starts_with("This is a netCDF dimension but"));
            if phantom {
                continue;
            }
            let path = path.replace("_nc4_non_coord_", "");
            match granule.array(&path) {
                // Members of a compound are columns.
                None if granule.refused.iter().any(|r| r.path == path) && t["refused"] == true => {}
                None => wrong.push(format!("{place}: not there: {:?}", granule.refused.iter().find(|r| r.path == path))),
                // Types and filters that another fixture has the values of.
                Some(_) if t["refused"] == true => {}
                Some(array) => {
                    arrays += 1;
                    check_array(&place, array, t, &mut wrong);
                    if let (Some(truth), Some(found)) = (t.get("values"), values(&folder.join(name), array).await) {
                        let found = found.map(|v| Value::Array(v.into_iter().map(scalar_json).collect()));
                        if !found.as_ref().is_ok_and(|f| same(f, truth)) {
                            wrong.push(format!("{place}: values {found:?}, expected {truth}"));
                        }
                    }
                    check_attributes(&place, &array.metadata.attributes, &t["attributes"], &mut wrong);
                }
            }
        }
        for (path, t) in truth["groups"].as_object().unwrap() {
            let found =
                if path == "/" { Some(&granule.attributes) } else { granule.groups.iter().find(|(p, _)| p == path).map(|(_, a)| a) };
            match found {
                Some(found) => check_attributes(&format!("{name}:{path}"), found, t, &mut wrong),
                None => wrong.push(format!("{name}: group {path} missing")),
            }
        }
        for (path, t) in truth["dimensions"].as_object().unwrap() {
            if let Some(array) = granule.array(path)
                && serde_json::json!(array.metadata.dimensions) != *t
            {
                wrong.push(format!("{name}:{path}: dimensions {:?}, expected {t}", array.metadata.dimensions));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {arrays} arrays:\n{}", wrong.len(), wrong.join("\n"));
    assert!(arrays > 140, "{arrays} arrays only");
}

#[tokio::test]
async fn objects_are_detected_behind_user_blocks_and_indexed_with_few_requests() {
    let folder = workspace().join("tests/corpus/hdf5");
    let objects = Objects::anywhere();
    for name in ["latest.h5", "user_block.h5", "user_block_latest.h5", "groups.nc"] {
        let path = folder.join(name);
        let object = objects.open(&path.display().to_string()).await.unwrap();
        // As text, where NaN equals NaN. Only with an object are other files looked for, which the reasons tell.
        let shown = |mut granule: crate::format::IndexedGranule| {
            granule.refused.iter_mut().filter(|r| r.path.contains("external")).for_each(|r| r.reason.clear());
            format!("{granule:?}")
        };
        assert_eq!(shown(crate::format::index(&object).await.unwrap()), shown(index(&path).unwrap()), "{name}");
        assert!(object.requests() <= 4, "{name}: {} requests", object.requests());
    }
    let object = objects.open(&folder.join("truth.json").display().to_string()).await.unwrap();
    let error = crate::format::index(&object).await.unwrap_err().to_string();
    assert!(error.contains("netCDF-4") && error.contains("GeoTIFF"), "{error}");
}

#[test]
fn links_are_followed_inside_the_file_and_refused_beyond() {
    let granule = index(&workspace().join("tests/corpus/hdf5/latest.h5")).unwrap();
    let chunks = |path: &str| granule.array(path).map(|a| a.manifest.clone());
    let data = chunks("/link/sub/data");
    assert!(data.is_some());
    for alias in ["/link/hard", "/link/soft", "/link/sub/soft_up", "/link/over_soft"] {
        assert_eq!(chunks(alias), data, "{alias}");
    }
    let reason = |path: &str| granule.refused.iter().find(|r| r.path == path).map_or("", |r| &r.reason);
    assert!(reason("/link/dangling").contains("not there"));
    assert!(reason("/link/circle").contains("soft links"));
    assert!(reason("/link/external").contains("external link to /x in file other.h5"), "{}", reason("/link/external"));
    assert!(reason("/link/sub/cycle").contains("the group /,"), "{}", reason("/link/sub/cycle"));
    assert!(reason("/type/compound").contains("/type/compound.a, /type/compound.b"));
}
