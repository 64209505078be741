//! Real files and what GDAL reads from them (skipped where the shared data are not there).

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;

use super::{index, values};
use crate::array::{Coordinates, DataType};
use crate::convention::geokeys::describe;
use crate::format::IndexedGranule;
use crate::oracles::{self, number};

fn close(a: f64, b: f64) -> bool {
    a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-9)
}

/// Every difference between a granule and GDAL's view of it; cells are compared in full through their statistics.
fn differences(bytes: &Bytes, granule: &IndexedGranule, oracle: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let raster = &oracle["raster"];
    let described = describe(granule).unwrap();
    let mut expect = |what: &str, ours: String, gdal: String| {
        if ours != gdal {
            found.push(format!("{what}: {ours}, GDAL {gdal}"));
        }
    };
    let bands = raster["bands"].as_array().unwrap();
    let of_first_page = described.variables.iter().filter(|v| v.name.starts_with("band_")).count();
    expect("bands", of_first_page.to_string(), bands.len().to_string());
    let file = oracle["file"].as_str().and_then(|f| f.rsplit('/').next());
    let chroma = oracles::JPEG_CHROMA.iter().find(|(name, _)| Some(*name) == file);
    for (b, (variable, band)) in described.variables.iter().zip(bands).enumerate() {
        let array = &granule.arrays[variable.array];
        let m = &array.metadata;
        expect("shape", format!("{:?}", m.shape), format!("[{}, {}]", raster["height"], raster["width"]));
        let half = m.data_type == DataType::Float16;
        expect("type", m.data_type.name(), if half { "float16".into() } else { raster["dtypes"][b].as_str().unwrap().to_string() });
        let block = raster["block_shapes"].get(b).unwrap_or(&raster["block_shapes"][0]);
        let plain = |c: &str| matches!(c, "interleave" | "bits" | "float24");
        let recut = m.chunk_shape[1] == m.shape[1] && m.codecs.iter().all(|c| plain(c.name()));
        if !recut {
            expect("block", format!("{:?}", m.chunk_shape), format!("[{}, {}]", block[0], block[1]));
        }
        // Beside a mask, nodata means nothing.
        let nodata = number(&raster["nodata"][b]).filter(|v| !v.is_nan() && variable.encoding.mask.is_none());
        expect("nodata", format!("{:?}", variable.encoding.missing.first().map(|s| s.as_f64())), format!("{nodata:?}"));
        expect("scale", variable.encoding.scale.to_string(), raster["scales"][b].as_f64().unwrap().to_string());
        expect("offset", variable.encoding.offset.to_string(), raster["offsets"][b].as_f64().unwrap().to_string());
        if b == 0 {
            let epsg = raster["crs"]["epsg"].as_u64().map(|n| format!("EPSG:{n}"));
            // What has no code is WKT (see the fixtures for what it says).
            let code = variable.crs.clone().filter(|crs| crs.starts_with("EPSG:") && !crs.contains(" with "));
            expect("crs", format!("{code:?}"), format!("{epsg:?}"));
            expect("has a CRS", variable.crs.is_some().to_string(), raster["crs"]["wkt"].is_string().to_string());
            let t: Vec<f64> = raster["transform"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
            let georeferenced = t != [1.0, 0.0, 0.0, 0.0, 1.0, 0.0] && t[1] == 0.0 && t[3] == 0.0;
            for (axis, origin, step) in [(&variable.axes[0], t[5], t[4]), (&variable.axes[1], t[2], t[0])] {
                match &axis.coordinates {
                    Coordinates::Float64(v) => {
                        expect("georeferenced", "true".into(), georeferenced.to_string());
                        let (first, last) = (origin + step / 2.0, origin + (v.len() as f64 - 0.5) * step);
                        if !close(v[0], first) || !close(*v.last().unwrap(), last) {
                            expect(&axis.name, format!("{}..{}", v[0], v.last().unwrap()), format!("{first}..{last}"));
                        }
                    }
                    _ => expect("georeferenced", "false".into(), georeferenced.to_string()),
                }
            }
        }
        match values(bytes, array) {
            Err(e) => expect("decode", e.to_string(), String::new()),
            Ok(cells) if chroma.is_some() => {
                let turbo = chroma.map(|(_, sums)| sums[b].to_string());
                expect("sum", format!("{:?}", Some(cells.iter().sum::<f64>().to_string())), format!("{turbo:?}"));
            }
            Ok(cells) => {
                let stats = &band["raw_stats"];
                let cells_in: Vec<f64> = cells.iter().copied().filter(|v| !v.is_nan()).collect();
                if let Some(count) = stats["count"].as_u64() {
                    expect("count", cells_in.len().to_string(), count.to_string());
                    let mean = cells_in.iter().map(|v| v / cells_in.len() as f64).sum::<f64>();
                    let (min, max) = cells_in.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &v| (a.min(v), b.max(v)));
                    for (what, ours) in [("min", min), ("max", max), ("mean", mean)] {
                        let Some(gdal) = number(&stats[what]) else { continue };
                        // A mean over infinities is infinite or NaN, by the order of summing.
                        let near = match what {
                            "mean" if gdal.is_finite() => (ours - gdal).abs() <= 1e-6 * gdal.abs().max(max - min),
                            "mean" => !ours.is_finite(),
                            _ => close(ours, gdal),
                        };
                        if !near {
                            expect(what, ours.to_string(), gdal.to_string());
                        }
                    }
                }
                for at in band["values_at"].as_array().into_iter().flatten() {
                    let (row, column) = (at["row"].as_u64().unwrap(), at["col"].as_u64().unwrap());
                    let (ours, gdal) = (cells[(row * m.shape[1] + column) as usize], number(&at["value"]).unwrap_or(f64::NAN));
                    if !close(ours, gdal) {
                        expect(&format!("band {} [{row}, {column}]", b + 1), ours.to_string(), gdal.to_string());
                    }
                }
            }
        }
    }
    let mut sizes: Vec<_> =
        oracle["overviews"].as_array().into_iter().flatten().map(|o| (o["height"].as_u64(), o["width"].as_u64())).collect();
    let ours: Vec<_> = (1..)
        .map_while(|i| granule.array(&format!("/overview_{i}/band_1")))
        .map(|a| (Some(a.metadata.shape[0]), Some(a.metadata.shape[1])))
        .collect();
    // GDAL keeps the file's order.
    sizes.sort_by_key(|s| std::cmp::Reverse(s.0));
    expect("overviews", format!("{ours:?}"), format!("{sizes:?}"));
    found
}

/// Files where GDAL shows something else than what is stored, or knows more than the file says.
const KNOWN: &[(&str, &str)] = &[
    ("rgbsmall_cmyk.tif", "GDAL turns CMYK into RGBA; here bands are the stored samples"),
    ("albers_equal_area.tif", "GDAL finds the EPSG code of a CRS that the file defines by parameters"),
    ("polar_stereographic_variant_a.tif", "GDAL finds the EPSG code of a CRS that the file defines by parameters"),
    ("epsg26711_3855_geotiff1_1.tif", "a compound CRS, EPSG:26711+3855, has no code of its own in GDAL"),
    ("GeogAngularUnitsGeoKey_9114.tif", "a datum by code only, whose ellipsoid the keys do not tell"),
];

#[test]
fn public_files_equal_gdal_or_are_refused() {
    let Some(root) = oracles::data() else { return };
    let mut oracles: Vec<PathBuf> = Vec::new();
    let mut folders = vec![root.join("public/oracles/tiff"), root.join("public/oracles/tiff_collections")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path)
            } else if path.extension().is_some_and(|e| e == "json") {
                oracles.push(path)
            }
        }
    }
    oracles.sort();
    let (mut equal, mut refused, mut different) = (0, Vec::new(), Vec::new());
    for path in oracles {
        let oracle: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let Some(file) = oracle["file"].as_str().filter(|f| f.to_ascii_lowercase().contains(".tif")) else { continue };
        let name = file.rsplit('/').next().unwrap();
        let Ok(bytes) = std::fs::read(root.join("public").join(file)) else { continue };
        let bytes = Bytes::from(bytes);
        match index(file, &bytes) {
            Err(e) => refused.push(e.to_string()),
            Ok(g) if g.array("/band_1").is_none() => {
                refused.push(format!("{file}: {}", g.refused.first().map_or("nothing", |r| &r.reason)))
            }
            Ok(g) if !oracle["raster"].is_object() => refused.push(format!("{file}: no oracle; {} arrays", g.arrays.len())),
            Ok(g) => match differences(&bytes, &g, &oracle) {
                d if d.is_empty() => equal += 1,
                d => match KNOWN.iter().find(|(f, _)| *f == name) {
                    Some((_, reason)) => refused.push(format!("{file}: known: {reason}")),
                    None => different.push(format!("{file}:\n    {}", d[..d.len().min(6)].join("\n    "))),
                },
            },
        }
    }
    println!("{equal} equal, {} refused or known, {} different", refused.len(), different.len());
    println!("refused:\n  {}", refused.join("\n  "));
    assert!(different.is_empty(), "different:\n  {}", different.join("\n  "));
    assert!(equal > 80, "{equal} equal");
}

#[test]
fn malformed_files_neither_panic_nor_hang() {
    let Some(root) = oracles::data() else { return };
    let (mut indexed, mut errors) = (0, 0);
    for entry in std::fs::read_dir(root.join("malformed/tiff")).into_iter().flatten().flatten() {
        let (path, start) = (entry.path(), Instant::now());
        let bytes = Bytes::from(std::fs::read(&path).unwrap());
        match index(&entry.file_name().to_string_lossy(), &bytes) {
            Err(e) => {
                errors += 1;
                println!("{e}");
            }
            Ok(granule) => {
                indexed += 1;
                describe(&granule).unwrap();
                println!("{}: {} arrays, refused {:?}", path.display(), granule.arrays.len(), granule.refused);
                for array in granule.arrays.iter().filter(|a| a.metadata.shape.iter().product::<u64>() < 1 << 24) {
                    if let Err(e) = values(&bytes, array) {
                        println!("    {e}");
                    }
                }
            }
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{} took {:?}", path.display(), start.elapsed());
    }
    println!("{indexed} indexed, {errors} errors");
}
