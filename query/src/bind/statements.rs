//! The statements about cubes: what they do to the catalog, and the tables that they answer with.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use graticule_grammar::{CreateCube, Name, Statement};
use graticule_storage::array::{Axis, AxisRole, Coordinates};
use graticule_storage::catalog::{AxisFromFilename, Catalog, CreateMode, Cube, CubeDefinition, CubeVariable, Granule, Overlap, Progress};
use graticule_storage::format::Refused;
use graticule_storage::read::Reader;

use super::relations::ident;
use crate::{ErrorKind, QueryError};

/// Reasons for left-out files that the answer to `CREATE CUBE` spells out.
const REASONS: usize = 5;

/// The columns of the answer to a statement about cubes; `None` for every other statement.
pub fn schema(statement: &Statement) -> Option<SchemaRef> {
    let schema: &LazyLock<SchemaRef> = match statement {
        Statement::CreateCube(_) => &CREATE,
        Statement::RefreshCube { .. } => &REFRESH,
        Statement::AnalyzeCube { .. } => &ANALYZE,
        Statement::DropCube { .. } => &DROP,
        Statement::ShowCubes => &CUBES,
        Statement::DescribeCube { .. } => &DESCRIBE,
        Statement::ShowGranules { .. } => &GRANULES,
        Statement::Query(_) | Statement::Explain { .. } | Statement::Copy { .. } => return None,
    };
    Some(SchemaRef::clone(schema))
}

/// True for statements that change the catalog.
pub fn has_effect(statement: &Statement) -> bool {
    use Statement::{AnalyzeCube, CreateCube, DropCube, RefreshCube};
    matches!(statement, CreateCube(_) | RefreshCube { .. } | AnalyzeCube { .. } | DropCube { .. })
}

/// Runs a statement about cubes. The answer has the columns of [`schema`].
pub async fn run(
    statement: Statement,
    catalog: &Arc<Catalog>,
    reader: &Reader,
    progress: &dyn Progress,
) -> Result<RecordBatch, QueryError> {
    match statement {
        Statement::CreateCube(create) => self::create(create, catalog, progress).await,
        Statement::RefreshCube { name } => {
            let cube = find(catalog, &name)?;
            let report = catalog.refresh_cube(&cube.name, progress).await?;
            let counts = [report.added, report.changed, report.removed, report.unchanged];
            batch(&REFRESH, std::iter::once(text([Some(cube.name.clone())])).chain(counts.map(|n| integers([n]))).collect())
        }
        Statement::AnalyzeCube { name } => {
            let cube = find(catalog, &name)?;
            let report = reader.analyze(&cube, progress).await?;
            let counts = [report.chunks, report.bytes, report.known, report.without];
            batch(&ANALYZE, std::iter::once(text([Some(cube.name.clone())])).chain(counts.map(|n| integers([n]))).collect())
        }
        Statement::DropCube { name, if_exists } => match find(catalog, &name) {
            Ok(cube) => {
                let dropped = catalog.drop_cube(&cube.name)?;
                batch(&DROP, vec![text([Some(cube.name.clone())]), Arc::new(BooleanArray::from(vec![dropped]))])
            }
            Err(_) if if_exists => batch(&DROP, vec![text([Some(name.dotted())]), Arc::new(BooleanArray::from(vec![false]))]),
            Err(error) => Err(error),
        },
        Statement::ShowCubes => cubes(&catalog.cubes(), vec![]),
        Statement::DescribeCube { name } => {
            let cube = find(catalog, &name)?;
            let prefix = format!("{}.", cube.name);
            let further: Vec<_> = catalog.cubes().into_iter().filter(|c| c.name.starts_with(&prefix)).collect();
            describe(&cube, &further)
        }
        Statement::ShowGranules { name } => granules(&catalog.granules(&find(catalog, &name)?.name)?),
        Statement::Query(_) | Statement::Explain { .. } | Statement::Copy { .. } => {
            Err(QueryError::new(ErrorKind::Internal, "internal error: a query came to the statements about cubes (please report it)"))
        }
    }
}

/// A cube by its name, or by its name in another case where only one can be meant.
fn find(catalog: &Catalog, name: &Name) -> Result<Arc<Cube>, QueryError> {
    let wanted = name.dotted();
    if let Some(cube) = catalog.cube(&wanted) {
        return Ok(cube);
    }
    let all = catalog.cubes();
    let mut alike = all.iter().filter(|cube| cube.name.eq_ignore_ascii_case(&wanted));
    match (alike.next(), alike.next()) {
        (Some(cube), None) => Ok(cube.clone()),
        _ => Err(QueryError::no_such_cube(&wanted, &all.iter().map(|cube| cube.name.clone()).collect::<Vec<_>>())),
    }
}

async fn create(mut create: CreateCube, catalog: &Arc<Catalog>, progress: &dyn Progress) -> Result<RecordBatch, QueryError> {
    for source in &mut create.sources {
        source.value = absolute(&source.value)?;
    }
    let mode = match (create.or_replace, create.if_not_exists) {
        (true, _) => CreateMode::OrReplace,
        (_, true) => CreateMode::IfAbsent,
        _ => CreateMode::New,
    };
    let definition = definition(&create);
    let name = definition.name.clone();
    let report = catalog.create_cube(definition, mode, progress).await?;
    let warnings = Some(report.warnings.join("; ")).filter(|w| !w.is_empty());
    batch(
        &CREATE,
        vec![
            text([Some(name)]),
            integers([report.granules]),
            text([Some(report.cubes.join(", "))]),
            integers([report.skipped.len() as u64]),
            text([reasons(&report.skipped)]),
            text([warnings]),
        ],
    )
}

/// The definition of a cube. Its statement is the one to replay: with absolute paths.
fn definition(create: &CreateCube) -> CubeDefinition {
    let axis = |axis: &graticule_grammar::FilenameAxis| AxisFromFilename {
        axis: axis.axis.clone(),
        pattern: axis.pattern.value.clone(),
        format: axis.format.as_ref().map(|format| format.value.clone()),
    };
    CubeDefinition {
        name: create.name.dotted(),
        sources: create.sources.iter().map(|source| source.value.clone()).collect(),
        axes_from_filename: create.axes.iter().map(axis).collect(),
        variable_from_filename: create.variable.as_ref().map(|pattern| pattern.value.clone()),
        overlap: match create.overlap {
            None | Some(graticule_grammar::Overlap::Error) => Overlap::Error,
            Some(graticule_grammar::Overlap::Newest) => Overlap::Newest,
            Some(graticule_grammar::Overlap::First) => Overlap::First,
        },
        nodata: create.nodata,
        crs: create.crs.as_ref().map(|crs| crs.value.clone()),
        statement: create.to_string(),
    }
}

/// A path relative to the server's working directory made absolute; URLs stay.
pub(crate) fn absolute(source: &str) -> Result<String, QueryError> {
    if source.contains("://") {
        return Ok(source.to_owned());
    }
    let path = std::path::absolute(source).map_err(|e| QueryError::user(format!("path '{source}': {e}")))?;
    path.into_os_string().into_string().map_err(|_| QueryError::user(format!("path '{source}': the working directory is not UTF-8")))
}

/// The first few reasons, and how many more there are; `None` when nothing was left out.
fn reasons(skipped: &[Refused]) -> Option<String> {
    let mut lines: Vec<String> = skipped.iter().take(REASONS).map(|r| format!("{}: {}", r.path, r.reason)).collect();
    match skipped.len().saturating_sub(REASONS) {
        0 => {}
        more => lines.push(format!("and {more} more")),
    }
    Some(lines.join("; ")).filter(|all| !all.is_empty())
}

/// A row of `SHOW CUBES`.
pub(crate) struct Listed {
    /// Of a cube or view.
    pub name: String,
    /// `time: 12, lat: 3`, slowest first.
    pub axes: String,
    /// Names in a row.
    pub variables: String,
    /// Cells of the grid.
    pub cells: u64,
    /// Files that it is made of.
    pub granules: u64,
    /// Bytes of all chunks.
    pub stored_bytes: u64,
}

impl Listed {
    fn of(cube: &Cube) -> Listed {
        let pieces = || cube.variables.iter().flat_map(|v| &v.pieces);
        Listed {
            name: cube.name.clone(),
            axes: cube.grid.axes.iter().map(|a| format!("{}: {}", a.name, a.len())).collect::<Vec<_>>().join(", "),
            variables: cube.variables.iter().map(|v| v.name.as_str()).collect::<Vec<_>>().join(", "),
            cells: cells(cube.grid.axes.iter()),
            granules: pieces().map(|p| p.granule).collect::<std::collections::HashSet<_>>().len() as u64,
            stored_bytes: pieces().fold(0, |sum: u64, p| sum.saturating_add(p.stored_bytes)),
        }
    }
}

/// The answer to `SHOW CUBES`: cubes, and `views` behind them.
pub(crate) fn cubes(cubes: &[Arc<Cube>], views: Vec<Listed>) -> Result<RecordBatch, QueryError> {
    let rows: Vec<Listed> = cubes.iter().map(|cube| Listed::of(cube)).chain(views).collect();
    batch(
        &CUBES,
        vec![
            text(rows.iter().map(|r| Some(r.name.clone()))),
            text(rows.iter().map(|r| Some(r.axes.clone()))),
            text(rows.iter().map(|r| Some(r.variables.clone()))),
            integers(rows.iter().map(|r| r.cells)),
            integers(rows.iter().map(|r| r.granules)),
            integers(rows.iter().map(|r| r.stored_bytes)),
        ],
    )
}

fn cells<'a>(axes: impl Iterator<Item = &'a Axis>) -> u64 {
    axes.fold(1, |n: u64, axis| n.saturating_mul(axis.len()))
}

/// A row of `DESCRIBE CUBE`; the columns are those of the answer.
#[derive(Default)]
pub(crate) struct Row {
    pub name: String,
    pub kind: &'static str,
    pub data_type: Option<String>,
    pub axes: Option<String>,
    pub size: u64,
    pub range: Option<String>,
    pub units: Option<String>,
    pub chunks: Option<String>,
    pub attributes: Option<String>,
    pub differing: Option<String>,
    pub crs: Option<String>,
}

fn describe(cube: &Cube, further: &[Arc<Cube>]) -> Result<RecordBatch, QueryError> {
    let is_horizontal = |axis: &Axis| matches!(axis.role, AxisRole::X | AxisRole::Y | AxisRole::Latitude | AxisRole::Longitude);
    // Names as they have to be written in a query.
    let written = |name: &str| ident(name).to_string();
    let names = |axes: &[&Axis]| axes.iter().map(|a| written(&a.name)).collect::<Vec<_>>().join(", ");
    let axes = cube.grid.axes.iter().map(|axis| Row {
        name: written(&axis.name),
        kind: "axis",
        data_type: Some(match &axis.coordinates {
            Coordinates::Calendar(calendar, _) => format!("Utf8 ({} times)", calendar.name()),
            other => other.to_arrow().data_type().to_string(),
        }),
        size: axis.len(),
        range: range(axis),
        units: axis.units.clone(),
        attributes: Some(axis.attributes.to_json().to_string()),
        crs: cube.grid.crs.clone().filter(|_| is_horizontal(axis)),
        ..Row::default()
    });
    let variables = cube.variables.iter().map(|variable| {
        let own: Vec<&Axis> = variable.axes.iter().filter_map(|&a| cube.grid.axes.get(a)).collect();
        Row {
            name: written(&variable.name),
            kind: "variable",
            data_type: Some(variable.arrow_type().to_string()),
            axes: Some(names(&own)),
            size: cells(own.iter().copied()),
            units: variable.attributes.text("units").map(str::to_owned),
            chunks: chunks(variable),
            attributes: Some(variable.attributes.to_json().to_string()),
            differing: Some(variable.differing.join(", ")).filter(|names| !names.is_empty()),
            crs: cube.grid.crs.clone().filter(|_| own.iter().any(|axis| is_horizontal(axis))),
            ..Row::default()
        }
    });
    let tables = further.iter().map(|table| Row {
        name: table.name.clone(),
        kind: "table",
        axes: Some(names(&table.grid.axes.iter().collect::<Vec<_>>())),
        size: cells(table.grid.axes.iter()),
        crs: table.grid.crs.clone(),
        ..Row::default()
    });
    described(&axes.chain(variables).chain(tables).collect::<Vec<_>>())
}

/// The answer to `DESCRIBE CUBE`.
pub(crate) fn described(rows: &[Row]) -> Result<RecordBatch, QueryError> {
    batch(
        &DESCRIBE,
        vec![
            text(rows.iter().map(|r| Some(r.name.clone()))),
            text(rows.iter().map(|r| Some(r.kind.to_owned()))),
            text(rows.iter().map(|r| r.data_type.clone())),
            text(rows.iter().map(|r| r.axes.clone())),
            integers(rows.iter().map(|r| r.size)),
            text(rows.iter().map(|r| r.range.clone())),
            text(rows.iter().map(|r| r.units.clone())),
            text(rows.iter().map(|r| r.chunks.clone())),
            text(rows.iter().map(|r| r.attributes.clone())),
            text(rows.iter().map(|r| r.differing.clone())),
            text(rows.iter().map(|r| r.crs.clone())),
        ],
    )
}

/// `first .. last` in storage order; `None` for an axis without cells.
fn range(axis: &Axis) -> Option<String> {
    let last = usize::try_from(axis.len()).ok()?.checked_sub(1)?;
    let (first, last_shown) = (axis.coordinates.display(0), axis.coordinates.display(last));
    Some(if last == 0 { first } else { format!("{first} .. {last_shown}") })
}

/// The shape of a chunk, in the variable's own axes; that of the first piece where pieces differ.
fn chunks(variable: &CubeVariable) -> Option<String> {
    let first = &variable.pieces.first()?.chunk_shape;
    let shape = first.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let differ = variable.pieces.iter().any(|piece| piece.chunk_shape != *first);
    Some(if differ { format!("{shape} (and others)") } else { shape })
}

fn granules(granules: &[Arc<Granule>]) -> Result<RecordBatch, QueryError> {
    let arrays = |granule: &Granule| granule.arrays.iter().map(|a| a.path.as_str()).collect::<Vec<_>>().join(", ");
    let modified = TimestampMicrosecondArray::from_iter_values(granules.iter().map(|g| g.version.modified_micros));
    batch(
        &GRANULES,
        vec![
            text(granules.iter().map(|g| Some(g.location.clone()))),
            text(granules.iter().map(|g| Some(g.format.clone()))),
            integers(granules.iter().map(|g| g.version.size)),
            Arc::new(modified),
            text(granules.iter().map(|g| Some(arrays(g)))),
            text(granules.iter().map(|g| reasons(&g.refused))),
        ],
    )
}

fn text(values: impl IntoIterator<Item = Option<String>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<StringArray>())
}

/// Counts as signed integers, which every client knows; saturates.
fn integers(values: impl IntoIterator<Item = u64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values.into_iter().map(|n| i64::try_from(n).unwrap_or(i64::MAX))))
}

fn batch(schema: &LazyLock<SchemaRef>, columns: Vec<ArrayRef>) -> Result<RecordBatch, QueryError> {
    RecordBatch::try_new(SchemaRef::clone(schema), columns)
        .map_err(|e| QueryError::new(ErrorKind::Internal, format!("internal error: {e} (please report it)")))
}

fn columns(columns: &[(&str, DataType, bool)]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|(name, kind, nullable)| Field::new(*name, kind.clone(), *nullable)).collect::<Vec<_>>()))
}

use DataType::{Boolean, Int64, Utf8};

static CREATE: LazyLock<SchemaRef> = LazyLock::new(|| {
    columns(&[
        ("cube", Utf8, false),
        ("granules", Int64, false),
        ("cubes", Utf8, false),
        ("skipped", Int64, false),
        ("reasons", Utf8, true),
        ("warnings", Utf8, true),
    ])
});

static REFRESH: LazyLock<SchemaRef> = LazyLock::new(|| {
    columns(&[
        ("cube", Utf8, false),
        ("added", Int64, false),
        ("changed", Int64, false),
        ("removed", Int64, false),
        ("unchanged", Int64, false),
    ])
});

static ANALYZE: LazyLock<SchemaRef> = LazyLock::new(|| {
    columns(&[
        ("cube", Utf8, false),
        ("chunks", Int64, false),
        ("bytes", Int64, false),
        ("known_before", Int64, false),
        ("without_statistics", Int64, false),
    ])
});

static DROP: LazyLock<SchemaRef> = LazyLock::new(|| columns(&[("cube", Utf8, false), ("dropped", Boolean, false)]));

static CUBES: LazyLock<SchemaRef> = LazyLock::new(|| {
    columns(&[
        ("name", Utf8, false),
        ("axes", Utf8, false),
        ("variables", Utf8, false),
        ("cells", Int64, false),
        ("granules", Int64, false),
        ("stored_bytes", Int64, false),
    ])
});

static DESCRIBE: LazyLock<SchemaRef> = LazyLock::new(|| {
    columns(&[
        ("name", Utf8, false),
        ("kind", Utf8, false),
        ("type", Utf8, true),
        ("axes", Utf8, true),
        ("size", Int64, false),
        ("range", Utf8, true),
        ("units", Utf8, true),
        ("chunks", Utf8, true),
        ("attributes", Utf8, true),
        ("differing", Utf8, true),
        ("crs", Utf8, true),
    ])
});

static GRANULES: LazyLock<SchemaRef> = LazyLock::new(|| {
    columns(&[
        ("location", Utf8, false),
        ("format", Utf8, false),
        ("size", Int64, false),
        ("modified", DataType::Timestamp(TimeUnit::Microsecond, None), false),
        ("arrays", Utf8, false),
        ("refused", Utf8, true),
    ])
});

#[cfg(test)]
mod tests {
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use graticule_grammar::parse;
    use graticule_storage::array::{AttributeValue, Attributes, Coordinates, DataType, Encoding, Extent, Grid, TimeUnit};
    use graticule_storage::catalog::Piece;
    use graticule_storage::object::ObjectVersion;

    use super::*;

    fn cube(name: &str) -> Arc<Cube> {
        let axis = |name: &str, role, coordinates, units: Option<&str>| Axis {
            role,
            coordinates,
            units: units.map(str::to_owned),
            ..Axis::of_positions(name, 0)
        };
        let mut attributes = Attributes::default();
        attributes.set("units", AttributeValue::Text("K".into()));
        let piece = |granule, from: u64, chunk: u64| Piece {
            granule,
            array: 0,
            extent: Extent::new(vec![from..from + 1, 0..3]),
            offset: vec![0, 0],
            chunk_shape: vec![1, chunk],
            stored_bytes: 100,
            encoding: Arc::new(Encoding::identity(DataType::Float32)),
        };
        let variable = |name: &str, axes: Vec<usize>, pieces| CubeVariable {
            attributes: attributes.clone(),
            ..CubeVariable::new(name, axes, DataType::Float32, None, pieces)
        };
        let time = Coordinates::Time(TimeUnit::Second, vec![0, 86_400]);
        Arc::new(Cube {
            name: name.into(),
            grid: Grid {
                axes: vec![
                    axis("time", AxisRole::Time, time, None),
                    axis("lat", AxisRole::Latitude, Coordinates::Float32(vec![60.0, 50.5, 41.0]), Some("degrees_north")),
                ],
                crs: Some("EPSG:4326".into()),
            },
            variables: vec![
                CubeVariable { differing: vec!["comment".into()], ..variable("t2m", vec![0, 1], vec![piece(7, 0, 3), piece(8, 1, 2)]) },
                variable("height", vec![], vec![]),
            ],
            attributes: Attributes::default(),
            definition: Arc::new(CubeDefinition::default()),
            generation: 1,
        })
    }

    fn lines(batch: RecordBatch) -> Vec<String> {
        let table = pretty_format_batches(&[batch]).unwrap().to_string();
        let cells = |line: &str| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join("|");
        table.lines().filter(|l| l.starts_with('|')).map(cells).collect()
    }

    #[test]
    fn cubes_and_what_is_in_them() {
        assert_eq!(
            lines(cubes(&[cube("era5")], vec![]).unwrap()),
            ["name|axes|variables|cells|granules|stored_bytes", "era5|time: 2, lat: 3|t2m, height|6|2|200"]
        );
        assert_eq!(
            lines(describe(&cube("era5"), &[cube("era5.time_lat")]).unwrap()),
            [
                "name|kind|type|axes|size|range|units|chunks|attributes|differing|crs",
                "time|axis|Timestamp(s)||2|1970-01-01T00:00:00 .. 1970-01-02T00:00:00|||{}||",
                "lat|axis|Float32||3|60 .. 41|degrees_north||{}||EPSG:4326",
                "t2m|variable|Float32|time, lat|6||K|1, 3 (and others)|{\"units\":\"K\"}|comment|EPSG:4326",
                "height|variable|Float32||1||K||{\"units\":\"K\"}||",
                "era5.time_lat|table||time, lat|6||||||EPSG:4326",
            ]
        );
        assert_eq!(cubes(&[], vec![]).unwrap().num_rows(), 0);
    }

    #[test]
    fn granules_with_what_is_refused_in_them() {
        let granule = Granule {
            id: 1,
            location: "/data/a.nc".into(),
            version: ObjectVersion { size: 42, modified_micros: 1_500_000, etag: None },
            format: "netcdf4".into(),
            arrays: vec![],
            refused: (0..7).map(|i| Refused { path: format!("/v{i}"), reason: "szip".into() }).collect(),
            attributes: Arc::default(),
            objects: vec![],
        };
        let expected =
            "/data/a.nc|netcdf4|42|1970-01-01T00:00:01.500000||/v0: szip; /v1: szip; /v2: szip; /v3: szip; /v4: szip; and 2 more";
        assert_eq!(lines(granules(&[Arc::new(granule)]).unwrap())[1].replace(".500|", ".500000|"), expected);
    }

    #[test]
    fn definitions_have_absolute_paths_and_a_statement_to_replay() {
        let text = "CREATE OR REPLACE CUBE S2 FROM 'tiles/*.tif', 's3://bucket/x' AXIS time FROM FILENAME '_(\\d{8})T' FORMAT '%Y%m%d' \
                    VARIABLE FROM FILENAME '_(B\\d\\d)' OVERLAP NEWEST NODATA 0 CRS 'EPSG:32631'";
        let Statement::CreateCube(mut create) = parse(text).unwrap() else { panic!() };
        for source in &mut create.sources {
            source.value = absolute(&source.value).unwrap();
        }
        let made = definition(&create);
        let folder = std::env::current_dir().unwrap();
        assert_eq!(made.sources, [folder.join("tiles/*.tif").to_str().unwrap(), "s3://bucket/x"]);
        assert_eq!(
            (made.name.as_str(), made.overlap, made.nodata, made.crs.as_deref()),
            ("s2", Overlap::Newest, Some(0.0), Some("EPSG:32631"))
        );
        assert_eq!(made.axes_from_filename[0].format.as_deref(), Some("%Y%m%d"));
        assert_eq!(made.variable_from_filename.as_deref(), Some("_(B\\d\\d)"));
        let Statement::CreateCube(again) = parse(&made.statement).unwrap() else { panic!() };
        assert_eq!(definition(&again), made);
    }

    #[test]
    fn every_statement_about_cubes_says_its_columns_before_it_runs() {
        for (text, columns, effect) in [
            ("CREATE CUBE a FROM 'b'", 6, true),
            ("REFRESH CUBE a", 5, true),
            ("ANALYZE CUBE a", 5, true),
            ("DROP CUBE a", 2, true),
            ("SHOW CUBES", 6, false),
            ("DESCRIBE CUBE a", 11, false),
            ("SHOW GRANULES OF a", 6, false),
        ] {
            let statement = parse(text).unwrap();
            assert_eq!((schema(&statement).unwrap().fields().len(), has_effect(&statement)), (columns, effect), "{text}");
        }
        assert!(schema(&parse("SELECT 1").unwrap()).is_none());
    }
}
