//! Inspections of a file made for this (against netCDF4-python), and of broken files of others (skipped where the shared data
//! are not there). Real files are compared with their oracles by `tests/black_box/conformance.rs`.

use std::path::Path;

use super::*;
use crate::oracles;

/// Broken files end in an answer or an error, soon.
#[test]
fn malformed_files_neither_panic_nor_hang() {
    let Some(data) = oracles::data() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (mut waiting, mut read, mut refused) = (vec![data.join("malformed")], 0, 0);
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            let file = path.to_str().unwrap().to_string();
            let options = InspectOptions { stats: true, ..InspectOptions::default() };
            let work = runtime.spawn(async move { inspect(&Objects::anywhere(), &file, options).await });
            let ended = runtime.block_on(async { tokio::time::timeout(std::time::Duration::from_secs(60), work).await });
            match ended.unwrap_or_else(|_| panic!("{path:?} hangs")).unwrap_or_else(|e| panic!("{path:?}: {e}")) {
                Ok(_) => read += 1,
                Err(Error::Internal(e)) => panic!("{path:?}: {e}"),
                Err(_) => refused += 1,
            }
        }
    }
    println!("malformed: {read} read, {refused} refused");
    assert!(read + refused > 100);
}

fn corpus(file: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus").join(file).to_str().unwrap().to_string()
}

fn look(file: &str, options: InspectOptions) -> Result<Inspection> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(inspect(&Objects::anywhere(), file, options))
}

/// All cells of every array of a file that netCDF4-python wrote and read: packed, unsigned, big-endian, missing, never
/// written, instants, texts; and boxes that cut through chunks.
#[tokio::test]
async fn values_are_those_of_netcdf4_python() {
    let (objects, truth) = (Objects::anywhere(), std::fs::read(corpus("inspect/truth.json")).unwrap());
    let truth: Value = serde_json::from_slice(&truth).unwrap();
    let object = objects.open(&corpus("inspect/packed.nc")).await.unwrap();
    let granule = format::index(&object).await.unwrap();
    let described = convention::describe(&objects, &object, &granule).await.unwrap();
    let variables = truth["variables"].as_object().unwrap();
    assert_eq!(variables.len(), granule.arrays.len());
    for (name, want) in variables {
        let number = granule.arrays.iter().position(|a| a.metadata.name() == name).unwrap();
        let array = describe(&granule, number, &described).unwrap();
        let shape = array.metadata.shape.clone();
        assert_eq!(json!(shape), want["shape"], "{name}");
        let open = OpenArray::new(&objects, &object, &granule.objects, &granule.arrays[number]).unwrap();
        let middle = Extent::new(shape.iter().map(|&n| n / 3..n - n / 4).collect());
        for extent in [Extent::of_shape(&shape), middle] {
            let values = open.values(&extent, &Arc::new(array.encoding.clone())).await.unwrap();
            assert_eq!(values.len() as u64, extent.cells());
            let inner: Vec<u64> = extent.shape();
            for i in 0..values.len() {
                let (mut rest, mut position, mut stride) = (i as u64, 0, 1);
                for d in (0..shape.len()).rev() {
                    position += (extent.range(d).start + rest % inner[d]) * stride;
                    (rest, stride) = (rest / inner[d], stride * shape[d]);
                }
                let (got, want) = (value::decoded(&values.slice(i, 1)).unwrap(), &want["values"][position as usize]);
                let same = match (&got, want) {
                    (Value::String(g), Value::String(w)) if array.encoding.time.is_some() => instant(g) == instant(w),
                    (Value::Number(g), Value::Number(w)) if g.is_f64() => g.as_f64() == w.as_f64(),
                    (g, w) => g == w,
                };
                assert!(same, "{name} {extent} cell {i}: {got}, netCDF4-python {want}");
            }
        }
    }
}

/// Microseconds, to the nearest ten: netCDF4-python computes instants with less precision.
fn instant(text: &str) -> i64 {
    let time = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").unwrap();
    (time.and_utc().timestamp_micros() + 5).div_euclid(10)
}

#[test]
fn json_has_the_keys_of_the_interface() {
    let file = corpus("inspect/packed.nc");
    let at = vec![vec![0, 0, 0], vec![0, 0, 1]];
    let array = Some("t2m".into());
    let one = InspectOptions { stats: true, array: array.clone(), at: at.clone(), raw: false };
    let json = look(&file, one.clone()).unwrap().to_json();
    let t2m = &json["arrays"][0];
    assert_eq!((&json["format"], &t2m["path"], &t2m["dtype"]), (&json!("netcdf4"), &json!("/t2m"), &json!("int16")));
    assert!(json["requests"].as_u64().unwrap() > 0 && json["refused"] == json!([]));
    assert_eq!((&t2m["dims"], &t2m["shape"]), (&json!(["time", "lat", "lon"]), &json!([5, 7, 9])));
    assert_eq!((&t2m["chunks"], &t2m["codecs"]), (&json!([2, 3, 4]), &json!(["shuffle", "deflate"])));
    assert_eq!((&t2m["decoded_dtype"], &t2m["crs"]), (&json!("float32"), &Value::Null));
    assert_eq!((&t2m["attributes"]["scale_factor"], &t2m["attributes"]["valid_range"]), (&json!(0.01), &json!([-500, 500])));
    assert_eq!(t2m["stats"]["count"], 5 * 7 * 9 - 99);
    assert_eq!(t2m["values_at"][1], json!({"index": [0, 0, 1], "value": null}));
    let raw = look(&file, InspectOptions { raw: true, ..one.clone() }).unwrap().to_json();
    assert_eq!((&raw["arrays"][0]["values_at"][0]["value"], &raw["arrays"][0]["stats"]["count"]), (&json!(454), &json!(5 * 7 * 9)));
    let text = look(&file, one.clone()).unwrap().to_string();
    for part in
        ["/t2m (time 5, lat 7, lon 9) int16 -> float32", "shuffle + deflate", "axis: lat 0 .. 3", "value = stored * 0.01", "count 216"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    let time = InspectOptions { array: Some("/time".into()), at: vec![vec![2]], ..InspectOptions::default() };
    let json = look(&file, time).unwrap().to_json();
    assert_eq!(json["arrays"][0]["values_at"][0]["value"], "2000-02-29T07:00:00");
    assert!(json["arrays"][0].get("stats").is_none());
    let absent = look(&file, InspectOptions { array: Some("t3m".into()), ..InspectOptions::default() }).unwrap_err();
    assert!(matches!(&absent, Error::NotFound(m) if m.contains("/t2m")), "{absent}");
    let outside = look(&file, InspectOptions { at: vec![vec![5, 0, 0]], array, ..InspectOptions::default() }).unwrap_err();
    assert!(matches!(&outside, Error::User(m) if m.contains("[5, 7, 9]")), "{outside}");
    assert!(matches!(look(&file, InspectOptions { at, ..InspectOptions::default() }), Err(Error::User(_))));
    assert!(matches!(look(&corpus("inspect/*.nc"), InspectOptions::default()), Ok(i) if i.arrays.len() == 12));
    assert!(matches!(look(&corpus("inspect"), InspectOptions::default()), Err(Error::User(_))));
    assert!(matches!(look(&corpus("inspect/make.py"), InspectOptions::default()), Err(Error::Unsupported { .. })));
}
