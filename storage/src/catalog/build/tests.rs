//! Cubes of granules made in memory.

use std::sync::Arc;

use super::*;
use crate::Error;
use crate::array::{ArrayMetadata, Attributes, Axis, AxisRole, ByteOrder, Coordinates, DataType, EdgeChunks, Encoding, Extent, TimeUnit};
use crate::catalog::source::Sharing;
use crate::catalog::{AxisFromFilename, Granule, Overlap};
use crate::convention::Variable;
use crate::object::ObjectVersion;

const HOUR: i64 = 3_600_000_000_000;

fn axis(name: &str, role: AxisRole, coordinates: Coordinates) -> Axis {
    Axis { role, coordinates, ..Axis::of_positions(name, 0) }
}

fn time(hours: impl IntoIterator<Item = i64>) -> Axis {
    axis("time", AxisRole::Time, Coordinates::Time(TimeUnit::Nanosecond, hours.into_iter().map(|h| h * HOUR).collect()))
}

fn lat(n: u32) -> Axis {
    axis("lat", AxisRole::Latitude, Coordinates::Float32((0..n).map(|i| 90.0 - i as f32 * 0.25).collect()))
}

fn lon(n: u32) -> Axis {
    axis("lon", AxisRole::Longitude, Coordinates::Float32((0..n).map(|i| i as f32 * 0.25).collect()))
}

fn horizontal(name: &str, role: AxisRole, first: f64, step: f64, n: u32) -> Axis {
    axis(name, role, Coordinates::Float64((0..n).map(|i| first + step * f64::from(i)).collect()))
}

/// Granules of one catalog, each with a number and a modification time that grow.
#[derive(Default)]
struct Files {
    sharing: Sharing,
    sources: Vec<Source>,
}

impl Files {
    fn add(&mut self, location: &str, variables: &[(&str, Vec<Axis>)]) -> &mut Self {
        self.typed(location, variables, DataType::Int16)
    }

    fn typed(&mut self, location: &str, variables: &[(&str, Vec<Axis>)], stored: DataType) -> &mut Self {
        let array = |(name, axes): &(&str, Vec<Axis>)| ArrayMetadata {
            path: format!("/{name}"),
            dimensions: axes.iter().map(|a| a.name.clone()).collect(),
            shape: axes.iter().map(Axis::len).collect(),
            data_type: stored,
            byte_order: ByteOrder::Little,
            chunk_shape: axes.iter().map(|a| a.len().min(10)).collect(),
            edge: EdgeChunks::Padded,
            codecs: vec![],
            fill_value: None,
            attributes: Attributes::default(),
        };
        let id = self.sources.len() as u64;
        let granule = Granule {
            id,
            location: location.to_owned(),
            version: ObjectVersion { size: 1, modified_micros: id as i64, etag: None },
            format: "netcdf4".into(),
            arrays: variables.iter().map(array).map(Arc::new).collect(),
            refused: vec![],
            attributes: Arc::default(),
            objects: vec![],
        };
        let variable = |(array, (name, axes)): (usize, &(&str, Vec<Axis>))| Variable {
            name: name.to_string(),
            array,
            axes: axes.clone(),
            encoding: Encoding::identity(stored),
            attributes: Attributes::default(),
            crs: None,
        };
        let variables = variables.iter().enumerate().map(variable).collect();
        self.sources.push(Source::new(granule, variables, &[100; 9], &mut self.sharing));
        self
    }

    fn built(&self, definition: CubeDefinition) -> Result<Built> {
        let definition = Arc::new(CubeDefinition { name: "c".into(), ..definition });
        build(&definition, &Patterns::new(&definition)?, &self.sources, 1)
    }

    fn one(&self) -> Cube {
        let mut built = self.built(CubeDefinition::default()).unwrap();
        assert_eq!(built.cubes.len(), 1, "{:?}", built.cubes.iter().map(|c| &c.name).collect::<Vec<_>>());
        built.cubes.remove(0)
    }

    fn error(&self) -> String {
        self.built(CubeDefinition::default()).unwrap_err().to_string()
    }
}

fn from_name(axis: &str, pattern: &str, format: Option<&str>) -> Vec<AxisFromFilename> {
    vec![AxisFromFilename { axis: axis.into(), pattern: pattern.into(), format: format.map(Into::into) }]
}

/// `granule extent offset`, one a piece.
fn pieces(cube: &Cube, variable: &str) -> Vec<String> {
    let v = &cube.variables[cube.variable(variable).unwrap()];
    v.pieces.iter().map(|p| format!("{} {} {:?}", p.granule, p.extent, p.offset)).collect()
}

#[test]
fn files_are_put_together_along_time_whatever_their_order() {
    let mut files = Files::default();
    for start in [48, 0, 24] {
        files.add(
            &format!("/d/{start}.nc"),
            &[("t", vec![time(start..start + 24), lat(30), lon(40)]), ("p", vec![time(start..start + 24), lat(30), lon(40)])],
        );
    }
    let cube = files.one();
    assert_eq!(cube.grid.shape(), [72, 30, 40]);
    assert_eq!(
        pieces(&cube, "t"),
        ["1 [0:24, 0:30, 0:40] [0, 0, 0]", "2 [24:48, 0:30, 0:40] [0, 0, 0]", "0 [48:72, 0:30, 0:40] [0, 0, 0]"]
    );
    assert_eq!(cube.cuts(&[0])[0], [0, 10, 20, 24, 34, 44, 48, 58, 68, 72]);
    assert_eq!(cube.cuts(&[0, 1])[1], [0, 10, 20, 30]);
    let extent = Extent::new(vec![23..25, 0..1, 0..1]);
    let meeting: Vec<u64> = cube.pieces_meeting(0, &extent).map(|p| p.granule).collect();
    assert_eq!(meeting, [1, 2]);
}

#[test]
fn another_grid_is_an_error_that_says_where() {
    let mut files = Files::default();
    let shifted = axis("lat", AxisRole::Latitude, Coordinates::Float32(vec![90.0, 89.7, 89.5]));
    files.add("/d/a.nc", &[("t", vec![time(0..2), lat(3)])]).add("/d/b.nc", &[("t", vec![time(2..4), shifted])]);
    assert_eq!(files.error(), "/d/b.nc: axis lat: coordinate 1: expected 89.75, found 89.7 (as in /d/a.nc)");
    let mut files = Files::default();
    files.add("/d/a.nc", &[("t", vec![time(0..2), lat(3)])]).add("/d/b.nc", &[("t", vec![lat(3)])]);
    assert!(files.error().contains("axes (time, lat) expected as in /d/a.nc, (lat) found"), "{}", files.error());
    let mut files = Files::default();
    let positions = |n| Axis::of_positions("obs", n);
    files.add("/d/a.nc", &[("t", vec![positions(3)])]).add("/d/b.nc", &[("t", vec![positions(4)])]);
    assert!(files.error().contains("no coordinates that tell"), "{}", files.error());
}

#[test]
fn float_noise_is_no_other_grid() {
    let mut files = Files::default();
    let noisy = axis("lat", AxisRole::Latitude, Coordinates::Float64(vec![90.0, 89.750_000_1, 89.5]));
    files.add("/d/a.nc", &[("t", vec![time(0..2), lat(3)])]).add("/d/b.nc", &[("t", vec![time(2..4), noisy])]);
    assert_eq!(files.one().grid.shape(), [4, 3]);
}

#[test]
fn overlaps_follow_the_rule() {
    let mut files = Files::default();
    files.add("/d/a.nc", &[("t", vec![time(0..10), lat(3)])]).add("/d/b.nc", &[("t", vec![time(8..20), lat(3)])]);
    let error = files.error();
    assert!(error.starts_with("/d/b.nc: axis time: 1970-01-01T08:00:00 is also in /d/a.nc"), "{error}");
    let with = |overlap| files.built(CubeDefinition { overlap, ..CubeDefinition::default() }).unwrap().cubes.remove(0);
    assert_eq!(pieces(&with(Overlap::First), "t"), ["0 [0:10, 0:3] [0, 0]", "1 [10:20, 0:3] [2, 0]"]);
    let newest = with(Overlap::Newest);
    assert_eq!(pieces(&newest, "t"), ["0 [0:8, 0:3] [0, 0]", "1 [8:20, 0:3] [0, 0]"]);
    // The cut piece's chunks begin where they began in its file.
    assert_eq!(with(Overlap::First).cuts(&[0])[0], [0, 10, 18, 20]);
    let mut files = Files::default();
    files.add("/d/a.nc", &[("t", vec![lat(3)])]).add("/d/copy.nc", &[("t", vec![lat(3)])]);
    assert!(files.error().contains("/d/copy.nc") && files.error().contains("/d/a.nc"), "{}", files.error());
}

#[test]
fn a_file_inside_another_leaves_two_parts() {
    let mut files = Files::default();
    files.add("/d/year.nc", &[("t", vec![time(0..20)])]).add("/d/fix.nc", &[("t", vec![time(5..7)])]);
    let newest = files.built(CubeDefinition { overlap: Overlap::Newest, ..CubeDefinition::default() }).unwrap().cubes.remove(0);
    assert_eq!(pieces(&newest, "t"), ["0 [0:5] [0]", "1 [5:7] [0]", "0 [7:20] [7]"]);
}

#[test]
fn interleaved_times_and_gaps_are_fine() {
    let mut files = Files::default();
    files.add("/d/00.nc", &[("t", vec![time([0, 2, 100])])]).add("/d/01.nc", &[("t", vec![time([1, 3])])]);
    let cube = files.one();
    assert_eq!(cube.grid.shape(), [5]);
    assert_eq!(pieces(&cube, "t"), ["0 [0:1] [0]", "1 [1:2] [0]", "0 [2:3] [1]", "1 [3:4] [1]", "0 [4:5] [2]"]);
}

#[test]
fn one_variable_a_file() {
    let mut files = Files::default();
    files.add("/d/t2m.nc", &[("t2m", vec![time(0..4), lat(3)]), ("mask", vec![lat(3)])]);
    files.add("/d/tp.nc", &[("tp", vec![time(0..4), lat(3)]), ("mask", vec![lat(3)])]);
    files.add("/d/sst.nc", &[("sst", vec![time(2..6), lat(3)])]);
    let built = files.built(CubeDefinition::default()).unwrap();
    let cube = &built.cubes[0];
    assert_eq!((built.cubes.len(), cube.grid.shape()), (1, vec![6, 3]));
    assert_eq!(cube.variables.iter().map(|v| v.name.as_str()).collect::<Vec<_>>(), ["t2m", "mask", "tp", "sst"]);
    assert_eq!((pieces(cube, "sst"), pieces(cube, "tp")), (vec!["2 [2:6, 0:3] [0, 0]".to_owned()], vec!["1 [0:4, 0:3] [0, 0]".to_owned()]));
    assert_eq!((pieces(cube, "mask").len(), built.warnings.len()), (1, 1));
}

#[test]
fn scenes_with_time_and_band_in_their_names() {
    let mut files = Files::default();
    let (y, x) =
        (|n: u32, step: f64| horizontal("y", AxisRole::Y, 5e6, -step, n), |n: u32, step: f64| horizontal("x", AxisRole::X, 3e5, step, n));
    for day in ["20240611", "20240601"] {
        for band in ["B04", "B08"] {
            files.add(&format!("/s2/S2_{day}_{band}.tif"), &[("band_1", vec![y(40, 10.0), x(40, 10.0)])]);
        }
        files.add(&format!("/s2/S2_{day}_SCL.tif"), &[("band_1", vec![y(20, 20.0), x(20, 20.0)])]);
    }
    let definition = CubeDefinition {
        axes_from_filename: from_name("time", r"_(\d{8})_", Some("%Y%m%d")),
        variable_from_filename: Some(r"_(B04|B08|SCL)\.tif$".into()),
        ..CubeDefinition::default()
    };
    let built = files.built(definition).unwrap();
    assert_eq!(built.cubes.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["c", "c.time_y_x"]);
    let cube = &built.cubes[0];
    assert_eq!((cube.grid.shape(), cube.variables[0].name.as_str(), cube.variables[1].name.as_str()), (vec![2, 40, 40], "b04", "b08"));
    assert_eq!(cube.variables[0].pieces[0].chunk_shape, [1, 10, 10]);
    assert_eq!(pieces(cube, "b08"), ["4 [0:1, 0:40, 0:40] [0, 0, 0]", "1 [1:2, 0:40, 0:40] [0, 0, 0]"]);
    assert_eq!(built.cubes[1].grid.shape(), [2, 20, 20]);
}

#[test]
fn tiles_of_one_regular_grid_make_a_mosaic_and_others_do_not() {
    let tile = |x0: f64, y0: f64| vec![horizontal("y", AxisRole::Y, y0, -10.0, 4), horizontal("x", AxisRole::X, x0, 10.0, 5)];
    let mut files = Files::default();
    for (name, x0, y0) in [("a", 0.0, 100.0), ("b", 50.0, 100.0), ("c", 50.0, 60.0)] {
        files.add(&format!("/m/{name}.tif"), &[("z", tile(x0, y0))]);
    }
    let cube = files.one();
    assert_eq!(cube.grid.shape(), [8, 10]);
    assert_eq!(pieces(&cube, "z"), ["0 [0:4, 0:5] [0, 0]", "1 [0:4, 5:10] [0, 0]", "2 [4:8, 5:10] [0, 0]"]);
    files.add("/m/off.tif", &[("z", tile(103.0, 60.0))]);
    assert!(files.error().starts_with("/m/off.tif: axis x: coordinate 0: expected 0, found 103"), "{}", files.error());
}

#[test]
fn tiles_in_space_and_time_with_gaps() {
    let tile = |hour: i64, x0: f64| vec![time([hour]), horizontal("x", AxisRole::X, x0, 10.0, 5)];
    let mut files = Files::default();
    files.add("/m/a.nc", &[("z", tile(1, 50.0))]).add("/m/b.nc", &[("z", tile(0, 0.0))]).add("/m/c.nc", &[("z", tile(1, 120.0))]);
    let mut built = files.built(CubeDefinition::default()).unwrap();
    let cube = built.cubes.remove(0);
    assert_eq!((cube.grid.shape(), built.warnings.len()), (vec![2, 17], 1));
    assert_eq!(cube.grid.axes[1].coordinates.to_f64().unwrap(), (0..17).map(|i| f64::from(i) * 10.0).collect::<Vec<_>>());
    assert_eq!(pieces(&cube, "z"), ["1 [0:1, 0:5] [0, 0]", "0 [1:2, 5:10] [0, 0]", "2 [1:2, 12:17] [0, 0]"]);
    // The same time and place twice.
    files.add("/m/d.nc", &[("z", tile(1, 80.0))]);
    assert!(files.error().starts_with("/m/d.nc: axis x: 80 is also in /m/a.nc; OVERLAP"), "{}", files.error());
    let first = files.built(CubeDefinition { overlap: Overlap::First, ..CubeDefinition::default() }).unwrap().cubes.remove(0);
    assert_eq!(pieces(&first, "z")[2], "3 [1:2, 10:12] [0, 2]");
    // Files of one grid that cover more or less of it are tiles too.
    let mut files = Files::default();
    files.add("/d/a.nc", &[("t", vec![time(0..2), lat(3)])]).add("/d/b.nc", &[("t", vec![time(2..4), lat(4)])]);
    assert_eq!(pieces(&files.one(), "t"), ["0 [0:2, 0:3] [0, 0]", "1 [2:4, 0:4] [0, 0]"]);
}

#[test]
fn attributes_that_differ_are_named() {
    let mut files = Files::default();
    files.add("/d/a.nc", &[("t", vec![time(0..2)])]).add("/d/b.nc", &[("t", vec![time(2..4)])]).add("/d/c.nc", &[("t", vec![time(4..6)])]);
    let number = |v: f64| crate::array::AttributeValue::Floats(DataType::Float64, vec![v]);
    for (source, scale) in files.sources.iter_mut().zip([0.1, 0.2, 0.1]) {
        let granule = Arc::make_mut(&mut source.granule);
        Arc::make_mut(&mut granule.arrays[0]).attributes.set("_FillValue", number(f64::NAN));
        Arc::make_mut(&mut granule.arrays[0]).attributes.set("scale_factor", number(scale));
    }
    Arc::make_mut(&mut Arc::make_mut(&mut files.sources[2].granule).arrays[0]).attributes.set("comment", number(1.0));
    assert_eq!(files.one().variables[0].differing, ["scale_factor", "comment"]);
}

#[test]
fn variables_on_other_axes_form_further_cubes() {
    let mut files = Files::default();
    let level = axis("level", AxisRole::Vertical, Coordinates::Int32(vec![1000, 500]));
    let staggered = axis("lat_v", AxisRole::Latitude, Coordinates::Float64(vec![1.0, 2.0]));
    files.add(
        "/d/a.nc",
        &[
            ("height", vec![]),
            ("t", vec![time(0..4), level, lat(3)]),
            ("ps", vec![time(0..4), lat(3)]),
            ("v", vec![time(0..4), staggered.clone()]),
            ("w", vec![staggered]),
            ("transposed", vec![lat(3), time(0..4)]),
            ("lat", vec![lat(3)]),
        ],
    );
    let built = files.built(CubeDefinition::default()).unwrap();
    let names = |c: &Cube| c.variables.iter().map(|v| v.name.clone()).collect::<Vec<_>>().join(" ");
    let found: Vec<String> = built.cubes.iter().map(|c| format!("{}: {}", c.name, names(c))).collect();
    assert_eq!(found, ["c: height t ps lat_values", "c.lat_time: transposed", "c.time_lat_v: v w"]);
    assert_eq!((built.cubes[0].variables[0].axes.clone(), built.cubes[0].variables[2].axes.clone()), (vec![], vec![0, 2]));
}

#[test]
fn scalars_of_one_cell_files_follow_the_axis() {
    let mut files = Files::default();
    for hour in 0..3 {
        files.add(&format!("/d/{hour}.nc"), &[("t", vec![time([hour]), lat(3)]), ("orbit", vec![])]);
    }
    let cube = files.one();
    assert_eq!(pieces(&cube, "orbit"), ["0 [0:1] [0]", "1 [1:2] [0]", "2 [2:3] [0]"]);
    assert_eq!(cube.variables[1].axes, [0]);
}

#[test]
fn types_and_nodata_meet() {
    let mut files = Files::default();
    files.typed("/d/a.nc", &[("t", vec![time(0..2)])], DataType::Int16).typed("/d/b.nc", &[("t", vec![time(2..4)])], DataType::UInt16);
    let cube = files.built(CubeDefinition { nodata: Some(-1.0), ..CubeDefinition::default() }).unwrap().cubes.remove(0);
    let variable = &cube.variables[0];
    assert_eq!((variable.decoded, variable.pieces[0].encoding.decoded), (DataType::Int32, DataType::Int32));
    assert_eq!(variable.pieces[0].encoding.missing, [crate::array::Scalar::Int(-1)]);
    files.typed("/d/c.nc", &[("t", vec![time(4..6)])], DataType::FixedText(4));
    assert!(matches!(files.built(CubeDefinition::default()), Err(Error::Grid { object, .. }) if object == "/d/c.nc"));
}

#[test]
fn thousands_of_granules_make_one_cube() {
    let mut files = Files::default();
    for day in 0..2_000 {
        files.add(
            &format!("/d/{day}.nc"),
            &[
                ("t", vec![time(day * 24..(day + 1) * 24), lat(721), lon(1440)]),
                ("p", vec![time(day * 24..(day + 1) * 24), lat(721), lon(1440)]),
            ],
        );
    }
    let cube = files.one();
    assert_eq!(cube.grid.shape(), [48_000, 721, 1440]);
    let cuts = cube.cuts(&[0, 1]);
    assert_eq!(cuts.iter().map(Vec::len).collect::<Vec<_>>(), [6_001, 74, 145]);
    for hour in 0..10_000u64 {
        let extent = Extent::new(vec![hour..hour + 1, 0..721, 0..1440]);
        assert_eq!(cube.pieces_meeting(0, &extent).count(), 1);
    }
}
