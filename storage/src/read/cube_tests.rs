//! From files through the catalog to tiles: a file made for this against netCDF4-python, and real files against what
//! independent readers saw in them (skipped where the shared data are not there).

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use serde_json::Value;

use super::*;
use crate::catalog::{CatalogLocation, NoProgress};
use crate::oracles::{self, number};

async fn serve(file: &Path) -> (Reader, Vec<Arc<Cube>>) {
    let objects = Objects::anywhere();
    let catalog = Arc::new(Catalog::open(CatalogLocation::Memory, objects.clone()).await.unwrap());
    // A file that makes no cube has nothing to compare.
    let _ = catalog.serve_paths(&[file.to_str().unwrap().to_string()], &NoProgress).await;
    let cubes = catalog.cubes();
    let reader = Reader::new(objects, catalog, ReadSettings { cache_bytes: 64 << 20, threads: 1 }).unwrap();
    (reader, cubes)
}

async fn tile(reader: &Reader, cube: &Arc<Cube>, extent: Extent, variable: usize) -> Result<ArrayRef> {
    let fetched = reader.fetch(cube, TileRequest { extent, variables: vec![variable] }).await?;
    reader.decode(fetched).map(|mut tile| tile.columns.remove(0))
}

#[tokio::test]
async fn tiles_are_what_netcdf4_python_reads() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/inspect");
    let truth: Value = serde_json::from_slice(&std::fs::read(corpus.join("truth.json")).unwrap()).unwrap();
    let (reader, cubes) = serve(&corpus.join("packed.nc")).await;
    let mut compared = 0;
    for cube in cubes {
        for (number, variable) in cube.variables.iter().enumerate() {
            let want = &truth["variables"][&variable.name];
            if variable.time.is_some() || variable.decoded.is_text() || want.is_null() {
                continue;
            }
            compared += 1;
            let shape = cube.grid.shape();
            let middle = Extent::new(shape.iter().map(|&n| n / 3..n - n / 4).collect());
            for extent in [cube.grid.extent(), middle] {
                let column = tile(&reader, &cube, extent.clone(), number).await.unwrap();
                assert_eq!((column.len() as u64, column.data_type()), (extent.cells(), &variable.arrow_type()));
                let column = cast(&column, &DataType::Float64).unwrap();
                let inner = extent.shape();
                for (i, got) in column.as_primitive::<Float64Type>().iter().enumerate() {
                    // The cell's place among the variable's own axes; it repeats along the others.
                    let (mut rest, mut position, mut stride) = (i as u64, 0, 1);
                    for axis in (0..shape.len()).rev() {
                        if variable.axes.contains(&axis) {
                            position += (extent.range(axis).start + rest % inner[axis]) * stride;
                            stride *= shape[axis];
                        }
                        rest /= inner[axis];
                    }
                    assert_eq!(got, want["values"][position as usize].as_f64(), "{} {extent} cell {i}", variable.name);
                }
            }
        }
    }
    assert_eq!(compared, 6);
}

/// Three classic netCDF files, whose chunks have other shapes each, as one series.
#[tokio::test]
async fn classic_files_of_different_layouts_make_one_cube() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/netcdf3");
    let truth: Value = serde_json::from_slice(&std::fs::read(corpus.join("truth.json")).unwrap()).unwrap();
    let (reader, cubes) = serve(&corpus.join("months")).await;
    let cube = cubes.iter().find(|c| c.variables.iter().any(|v| v.name == "t2m")).unwrap();
    assert_eq!(cube.grid.shape(), [12, 4, 6]);
    let variable = cube.variables.iter().position(|v| v.name == "t2m").unwrap();
    for extent in [cube.grid.extent(), Extent::new(vec![3..10, 1..3, 2..6])] {
        let column = cast(&tile(&reader, cube, extent.clone(), variable).await.unwrap(), &DataType::Float64).unwrap();
        let (mut found, times) = (column.as_primitive::<Float64Type>().iter(), extent.range(0));
        for (time, lat) in times.flat_map(|t| extent.range(1).map(move |y| (t, y))) {
            for lon in extent.range(2) {
                let want = truth["months"][((time * 4 + lat) * 6 + lon) as usize].as_f64();
                assert_eq!(found.next().unwrap().map(|v| v as f32), want.map(|v| v as f32), "{time} {lat} {lon}");
            }
        }
    }
}

/// Count, min, max, sum of what is not NULL.
fn statistics(column: &ArrayRef) -> (u64, f64, f64, f64) {
    let column = cast(column, &DataType::Float64).unwrap();
    let start = (0, f64::INFINITY, f64::NEG_INFINITY, 0.0);
    column.as_primitive::<Float64Type>().iter().flatten().fold(start, |(n, min, max, sum), v| (n + 1, v.min(min), v.max(max), sum + v))
}

/// Every numeric variable of every cube that the catalog makes of one real file.
#[tokio::test]
async fn cubes_of_real_files_hold_what_others_read() {
    let Some(root) = oracles::data().map(|data| data.join("public")) else { return };
    let (mut equal, mut different) = (0, Vec::new());
    let mut oracles: Vec<_> =
        ["netcdf3", "netcdf4", "tiff"].iter().flat_map(|f| std::fs::read_dir(root.join("oracles").join(f)).unwrap()).collect();
    oracles.sort_by_key(|e| e.as_ref().unwrap().path());
    for entry in oracles {
        let oracle: Value = serde_json::from_slice(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap();
        let file = oracle["file"].as_str().unwrap();
        let (reader, cubes) = serve(&root.join(file)).await;
        for cube in cubes {
            for (v, variable) in cube.variables.iter().enumerate() {
                let path = format!("/{}", variable.name.replace('.', "/"));
                let of_variable = ["decoded_xarray", "decoded_netcdf4"].map(|k| oracle["variables"][&path][k]["stats"].clone());
                let band = variable.name.strip_prefix("band_").and_then(|b| b.parse::<usize>().ok()).unwrap_or(0).wrapping_sub(1);
                let band = &oracle["raster"]["bands"][band];
                let band = ["scaled_valid_stats", "valid_stats", "raw_stats"].iter().map(|k| band[*k].clone()).find(|s| s.is_object());
                let wanted: Vec<Value> = of_variable.into_iter().chain(band).filter(|s| s.is_object()).collect();
                let own: Vec<_> = cube.grid.shape().into_iter().enumerate().collect();
                let own = Extent::new(own.into_iter().map(|(a, n)| 0..if variable.axes.contains(&a) { n } else { n.min(1) }).collect());
                if wanted.is_empty() || variable.time.is_some() || own.cells() > 20_000_000 {
                    continue;
                }
                let got = match tile(&reader, &cube, own, v).await {
                    Ok(column) => statistics(&column),
                    Err(e) => {
                        different.push(format!("{file} {path}: {e}"));
                        continue;
                    }
                };
                let close = |a: f64, b: &Value| {
                    number(b).is_none_or(|b| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-5 * a.abs().max(b.abs()).max(1e-4))
                };
                let same = |w: &Value| {
                    let (n, min, max, sum) = got;
                    w["count"] == n && (n == 0 || close(min, &w["min"]) && close(max, &w["max"]) && close(sum / n as f64, &w["mean"]))
                };
                if wanted.iter().any(same) {
                    equal += 1;
                } else {
                    different.push(format!("{file} {path}: {got:?}, want {}", wanted[0]));
                }
            }
        }
    }
    println!("{equal} variables equal, {} different", different.len());
    different.iter().for_each(|d| println!("different {d}"));
    let jpeg = oracles::JPEG_CHROMA.iter().map(|(file, _)| *file);
    let except: Vec<&str> = jpeg.chain(["alldatatypes.nc", "rgbsmall_cmyk"]).collect();
    let unexpected: Vec<_> = different.iter().filter(|d| !except.iter().any(|e| d.contains(e))).collect();
    assert!(equal > 300 && unexpected.is_empty(), "{unexpected:#?}");
}
