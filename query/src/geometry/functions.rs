//! The functions of geometries: `ST_Covers`, `ST_Intersects` and `COVERAGE` of a geometry and a cell, and the few that make and
//! take apart geometries. Geometries are well-known binary; text is taken for well-known text.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, Float64Array};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{ScalarValue, exec_err, plan_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::bound::{Bound, Geometry, Rule};
use super::runs::find;
use super::shape::Shape;
use super::tables::{geometry_field, with_crs};
use super::{wkb, wkt};

/// Name of the function that stands for the cells of a cube.
pub(crate) const CELL: &str = "cell";

/// All of them.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    let mut all: Vec<Arc<ScalarUDF>> =
        [Rule::Covers, Rule::Intersects, Rule::Coverage].into_iter().map(|rule| CellFunction::function(rule, None)).collect();
    all.extend([What::Cell, What::FromText, What::Point, What::X, What::Y, What::Area].map(|what| {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(ScalarUDF::from(GeometryFunction { what, signature }))
    }));
    all
}

/// A function of a geometry and a cell; with the grid, once planning knows it.
#[derive(Debug)]
pub(crate) struct CellFunction {
    /// What is asked.
    pub rule: Rule,
    /// The grid: then the arguments are a geometry, and the cell's coordinates along y and x.
    pub bound: Option<Arc<Bound>>,
    signature: Signature,
}

impl PartialEq for CellFunction {
    fn eq(&self, other: &Self) -> bool {
        self.rule == other.rule && self.bound == other.bound
    }
}

impl Eq for CellFunction {}

impl Hash for CellFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.rule.hash(state);
        self.bound.as_ref().map(|b| &b.cube).hash(state);
    }
}

impl CellFunction {
    /// The function over a grid, or before planning knows one.
    pub fn function(rule: Rule, bound: Option<Arc<Bound>>) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::from(CellFunction { rule, bound, signature: Signature::user_defined(Volatility::Immutable) }))
    }
}

impl ScalarUDFImpl for CellFunction {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        match given {
            [geometry, rest @ ..] if rest.len() == 1 || (rest.len() == 2 && self.bound.is_some()) => {
                Ok(std::iter::once(geometry_type(geometry, self.name())?).chain(rest.iter().cloned()).collect())
            }
            _ => plan_err!("{}(geometry, CELL(cube)) takes 2 arguments, not {}", self.name(), given.len()),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(if self.rule == Rule::Coverage { DataType::Float64 } else { DataType::Boolean })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (Some(bound), [geometry, y, x]) = (&self.bound, args.args.as_slice()) else {
            return exec_err!("{}(geometry, CELL(cube)) wants the cells of a cube in FROM", self.name());
        };
        let rows = args.number_rows;
        let numbers = |v: &ColumnarValue| compute::cast(&v.to_array(rows)?, &DataType::Float64).map_err(DataFusionError::from);
        let (y, x) = (numbers(y)?, numbers(x)?);
        let (y, x) = (y.as_primitive::<Float64Type>(), x.as_primitive::<Float64Type>());
        let constant = matches!(geometry, ColumnarValue::Scalar(_));
        let geometries = geometry.to_array(if constant { 1 } else { rows })?;
        let mut last: Option<(Geometry<'_>, Arc<Vec<_>>)> = None;
        let (mut row, mut column) = (0, 0);
        let mut one = |i: usize| -> Result<Option<f64>> {
            let Some(geometry) = geometry_at(&geometries, if constant { 0 } else { i })? else { return Ok(None) };
            if y.is_null(i) || x.is_null(i) {
                return Ok(None);
            }
            let runs = match &last {
                Some((known, runs)) if *known == geometry => runs.clone(),
                _ => {
                    let runs = bound.raster(self.rule, &geometry)?;
                    last = Some((geometry, runs.clone()));
                    runs
                }
            };
            let (Some(r), Some(c)) = (bound.grid.y.find(y.value(i), row), bound.grid.x.find(x.value(i), column)) else {
                return exec_err!("{} is given ({}, {}), which is no cell of cube {}", self.name(), x.value(i), y.value(i), bound.cube.0);
            };
            (row, column) = (r, c);
            let found = find(&runs, r as u32, c as u32);
            Ok(Some(match self.rule {
                Rule::Coverage => found.map_or(0.0, |run| run.weight),
                _ => f64::from(found.is_some()),
            }))
        };
        let values = (0..rows).map(&mut one).collect::<Result<Vec<Option<f64>>>>()?;
        let array: ArrayRef = match self.rule {
            Rule::Coverage => Arc::new(Float64Array::from(values)),
            _ => Arc::new(values.into_iter().map(|v| v.map(|v| v > 0.0)).collect::<BooleanArray>()),
        };
        Ok(ColumnarValue::Array(array))
    }
}

/// The type in which a geometry is handed over: binary, or text.
fn geometry_type(given: &DataType, name: &str) -> Result<DataType> {
    match given {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) | DataType::Null => {
            Ok(DataType::Binary)
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Ok(DataType::Utf8),
        other => plan_err!("{name} wants a geometry (well-known binary, or text as 'POLYGON ((...))'), not {other}"),
    }
}

/// The geometry in a row of an array of type Binary or Utf8; `None` where NULL.
pub(crate) fn geometry_at(array: &ArrayRef, i: usize) -> Result<Option<Geometry<'_>>> {
    if array.is_null(i) {
        return Ok(None);
    }
    match array.data_type() {
        DataType::Binary => Ok(Some(Geometry::Binary(array.as_binary::<i32>().value(i)))),
        DataType::Utf8 => Ok(Some(Geometry::Text(array.as_string::<i32>().value(i)))),
        other => exec_err!("a geometry of type {other}"),
    }
}

/// A geometry that is known when planning: a literal, or `ST_GeomFromText` of one, as bytes or text.
pub(crate) fn constant(expr: &Expr) -> Result<Option<Geometry<'_>>> {
    Ok(match expr {
        Expr::Literal(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)), _) => Some(Geometry::Text(text)),
        Expr::Literal(ScalarValue::Binary(Some(bytes)), _) => Some(Geometry::Binary(bytes)),
        Expr::ScalarFunction(call) => match call.func.inner().downcast_ref::<GeometryFunction>() {
            // EWKT differs from what is made of it in its system only.
            Some(function) if function.what == What::FromText => match call.args.first() {
                Some(Expr::Literal(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)), _)) => Some(Geometry::Text(text)),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    })
}

/// Which of the smaller functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    Cell,
    FromText,
    Point,
    X,
    Y,
    Area,
}

/// A function that makes geometries or takes them apart.
#[derive(Debug, PartialEq, Eq, Hash)]
struct GeometryFunction {
    what: What,
    signature: Signature,
}

impl GeometryFunction {
    fn wants(&self) -> &'static str {
        match self.what {
            What::Cell => "CELL(cube)",
            What::FromText => "ST_GeomFromText(text [, crs])",
            What::Point => "ST_Point(x, y [, crs])",
            What::X => "ST_X(point)",
            What::Y => "ST_Y(point)",
            What::Area => "ST_Area(geometry)",
        }
    }

    fn number(&self, shape: &Shape) -> Result<Option<f64>> {
        match (self.what, shape.points.as_slice()) {
            (What::Area, _) => Ok(Some(shape.area())),
            (_, []) if shape.coordinates().next().is_none() => Ok(None),
            (What::X, [[x, _]]) => Ok(Some(*x)),
            (What::Y, [[_, y]]) => Ok(Some(*y)),
            _ => exec_err!("{} wants one point, and is given another geometry", self.wants()),
        }
    }
}

impl ScalarUDFImpl for GeometryFunction {
    fn name(&self) -> &str {
        match self.what {
            What::Cell => CELL,
            What::FromText => "st_geomfromtext",
            What::Point => "st_point",
            What::X => "st_x",
            What::Y => "st_y",
            What::Area => "st_area",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let crs = |given: &DataType| if given.is_integer() { DataType::Int64 } else { DataType::Utf8 };
        let number = |given: &DataType| given.is_numeric() || given.is_null();
        match (self.what, given) {
            (What::Cell | What::FromText, [_]) => Ok(vec![DataType::Utf8]),
            (What::FromText, [_, system]) => Ok(vec![DataType::Utf8, crs(system)]),
            (What::Point, [x, y]) if number(x) && number(y) => Ok(vec![DataType::Float64; 2]),
            (What::Point, [x, y, system]) if number(x) && number(y) => Ok(vec![DataType::Float64, DataType::Float64, crs(system)]),
            (What::X | What::Y | What::Area, [geometry]) => Ok(vec![geometry_type(geometry, self.name())?]),
            _ => plan_err!("{} is not called with {} arguments of these types", self.wants(), given.len()),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.what {
            What::Cell => DataType::Utf8,
            What::FromText | What::Point => DataType::Binary,
            What::X | What::Y | What::Area => DataType::Float64,
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let given = match self.what {
            What::FromText => 1,
            What::Point => 2,
            _ => return Ok(Arc::new(Field::new(self.name(), self.return_type(&[])?, true))),
        };
        let system = match args.scalar_arguments.get(given).copied().flatten() {
            Some(ScalarValue::Int64(Some(code))) => Some(format!("EPSG:{code}")),
            Some(ScalarValue::Int32(Some(code))) => Some(format!("EPSG:{code}")),
            Some(ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name))) => Some(name.clone()),
            _ if args.arg_fields.len() > given => {
                return plan_err!("{}: the coordinate reference system is a constant, as 'EPSG:4326'", self.wants());
            }
            _ => match args.scalar_arguments.first().copied().flatten() {
                Some(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text))) => {
                    wkt::read(text)?.1.map(|code| format!("EPSG:{code}"))
                }
                _ => None,
            },
        };
        Ok(Arc::new(with_crs(geometry_field(self.name()), system.as_deref())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let arrays = args.args.iter().map(|a| a.to_array(rows)).collect::<Result<Vec<ArrayRef>>>()?;
        let all_constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let n = if all_constant { rows.min(1) } else { rows };
        let made: ArrayRef = match (self.what, arrays.as_slice()) {
            (What::FromText, [texts, ..]) => {
                let texts = texts.as_string::<i32>();
                let mut made = BinaryBuilder::new();
                for i in 0..n {
                    match texts.is_valid(i) {
                        true => made.append_value(wkb::write(&wkt::read(texts.value(i))?.0)),
                        false => made.append_null(),
                    }
                }
                Arc::new(made.finish())
            }
            (What::Point, [x, y, ..]) => {
                let (x, y) = (x.as_primitive::<Float64Type>(), y.as_primitive::<Float64Type>());
                let mut made = BinaryBuilder::new();
                for i in 0..n {
                    match x.is_valid(i) && y.is_valid(i) {
                        true => made.append_value(wkb::write(&Shape { points: vec![[x.value(i), y.value(i)]], ..Shape::default() })),
                        false => made.append_null(),
                    }
                }
                Arc::new(made.finish())
            }
            (What::X | What::Y | What::Area, [geometries]) => {
                let one = |i: usize| match geometry_at(geometries, i)? {
                    Some(geometry) => self.number(&geometry.shape()?),
                    None => Ok(None),
                };
                Arc::new((0..n).map(one).collect::<Result<Float64Array>>()?)
            }
            _ => return plan_err!("CELL(c) stands inside ST_Covers, ST_Intersects and COVERAGE only"),
        };
        match all_constant && n == 1 {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?)),
            false => Ok(ColumnarValue::Array(made)),
        }
    }
}
