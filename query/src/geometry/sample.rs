//! `SAMPLE(cube, points, method => 'nearest' | 'bilinear')`: a cube at the points of a table of geometries, as a table.
//!
//! One row a point and position along each other axis of the cube. Where the points have a column of the name of such an axis
//! (`time`), the row is at the axis's coordinate nearest to it instead, at most half a step away. A point outside of the grid, or
//! without coordinate near enough, has NULL for all variables. Bilinear is between the centres of four cells, NULL where one of
//! them that counts is NULL; in the outer half of outer cells it is that of their centres. Variables without numbers are left out of it.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{exec_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::bound::Bound;
use super::functions::geometry_at;
use super::grid::{Along, CellGrid, horizontal, numbers};
use super::sample_exec::{SampleExec, Sampling};
use super::tables::crs_of;
use crate::table::CubeTable;
use crate::view::{AXIS, CubeColumn};

/// How a value between centres is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// Of the cell that the point lies in.
    Nearest,
    /// Between the four centres around it.
    Bilinear,
}

/// A column of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sampled {
    /// A column of the points.
    Point(usize),
    /// Coordinates along an axis of the cube.
    Axis(usize),
    /// A variable of the cube.
    Variable(usize),
}

/// A cube at points.
#[derive(Debug)]
pub(crate) struct SampleTable {
    cube: CubeTable,
    points: LogicalPlan,
    method: Method,
    bound: Arc<Bound>,
    /// The column of geometries.
    geometry: usize,
    /// By axis of the cube the column of the points that says where.
    matched: Vec<Option<usize>>,
    columns: Vec<Sampled>,
    schema: SchemaRef,
}

impl SampleTable {
    /// A cube at the points of a plan's rows.
    pub fn new(cube: CubeTable, points: LogicalPlan, method: Method) -> Result<SampleTable> {
        let view = cube.view.clone();
        let axes = &view.cube.grid.axes;
        let Some((y, x)) = horizontal(axes) else {
            return plan_err!(
                "SAMPLE: cube {} has no two horizontal axes of one dimension; REGRID it onto such axes first",
                view.cube.name
            );
        };
        let given = points.schema().as_arrow().clone();
        let is_geometry = |f: &Arc<Field>| f.metadata().get("ARROW:extension:name").is_some_and(|n| n == "geoarrow.wkb");
        let Some(geometry) = given.fields().iter().position(is_geometry) else {
            return plan_err!("SAMPLE: the second relation has no column of geometries; ST_Point(x, y, 'EPSG:4326') makes one");
        };
        let bound = Arc::new(Bound::new(&view, y, x, crs_of(given.field(geometry)).as_deref())?);
        let mut columns: Vec<Sampled> = (0..given.fields().len()).map(Sampled::Point).collect();
        let mut fields: Vec<Field> = given.fields().iter().map(|f| f.as_ref().clone()).collect();
        // What is an axis of another cube is none of this answer.
        fields.iter_mut().for_each(|f| {
            f.metadata_mut().remove(AXIS);
        });
        let mut matched = vec![None; axes.len()];
        for (a, axis) in axes.iter().enumerate().filter(|(a, _)| *a != y && *a != x) {
            let column = CubeColumn::Axis(a);
            match given.fields().iter().position(|f| f.name() == &axis.name) {
                Some(i) if !compute::can_cast_types(given.field(i).data_type(), view.field(column).data_type()) => {
                    return plan_err!(
                        "SAMPLE: column {} of the points is {}, and axis {} of cube {} is {}: neither is found in the other",
                        axis.name,
                        given.field(i).data_type(),
                        axis.name,
                        view.cube.name,
                        view.field(column).data_type()
                    );
                }
                Some(i) => matched[a] = Some(i),
                None => {
                    columns.push(Sampled::Axis(a));
                    fields.push(view.field(column));
                }
            }
        }
        for (v, variable) in view.cube.variables.iter().enumerate() {
            let field = view.field(CubeColumn::Variable(v));
            if given.fields().iter().any(|f| f.name() == &variable.name) {
                return plan_err!(
                    "SAMPLE: the points and cube {} both have a column {}; give the one of the points another name",
                    view.cube.name,
                    variable.name
                );
            }
            match method {
                Method::Bilinear if !field.data_type().is_numeric() => continue,
                Method::Bilinear => fields.push(field.with_data_type(DataType::Float64)),
                Method::Nearest => fields.push(field),
            }
            columns.push(Sampled::Variable(v));
        }
        Ok(SampleTable { cube, points, method, bound, geometry, matched, columns, schema: Arc::new(Schema::new(fields)) })
    }
}

#[async_trait]
impl TableProvider for SampleTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let points = state.create_physical_plan(&self.points).await?;
        let chosen: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..self.columns.len()).collect());
        let sampling = Sampling {
            supply: self.cube.supply.clone(),
            view: self.cube.view.clone(),
            method: self.method,
            bound: self.bound.clone(),
            geometry: self.geometry,
            matched: self.matched.clone(),
            columns: chosen.iter().filter_map(|&i| self.columns.get(i).copied()).collect(),
            schema: Arc::new(self.schema.project(&chosen)?),
        };
        Ok(Arc::new(SampleExec::new(sampling, points)))
    }
}

/// A cell whose value counts for a point: positions along y and x, and how much it counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tap {
    /// Position along y and along x.
    pub cell: [u64; 2],
    /// The weights of a point add up to 1.
    pub weight: f64,
}

/// The cells that count for each row of points; none for a row that is nowhere on the grid.
pub(crate) fn taps(bound: &Bound, geometries: &ArrayRef, method: Method) -> Result<Vec<Vec<Tap>>> {
    let mut found = Vec::with_capacity(geometries.len());
    for i in 0..geometries.len() {
        let Some(geometry) = geometry_at(geometries, i)? else {
            found.push(vec![]);
            continue;
        };
        let shape = bound.shape(&geometry)?;
        found.push(match (shape.points.as_slice(), shape.paths().next()) {
            ([[x, y]], None) => at(&bound.grid, *x, *y, method),
            ([], None) => vec![],
            _ => return exec_err!("SAMPLE wants points, and row {} of them is another geometry", i + 1),
        });
    }
    Ok(found)
}

fn at(grid: &CellGrid, x: f64, y: f64, method: Method) -> Vec<Tap> {
    let rows = along(&grid.y, y, method, false);
    let mut columns = Vec::new();
    for turn in grid.turns(x, x).into_iter().chain((grid.wraps).then_some([360.0, -360.0]).into_iter().flatten()) {
        if columns.is_empty() {
            columns = along(&grid.x, x + turn, method, grid.wraps);
        }
    }
    let pairs = rows.iter().flat_map(|r| columns.iter().map(move |c| (r, c)));
    pairs.map(|(r, c)| Tap { cell: [r.0, c.0], weight: r.1 * c.1 }).filter(|tap| tap.weight > 0.0).collect()
}

/// The positions along an axis that count for a coordinate.
fn along(axis: &Along, v: f64, method: Method, wraps: bool) -> Vec<(u64, f64)> {
    let (c, n) = (&axis.centres, axis.centres.len());
    let position = |i: usize| u64::from(axis.positions.get(i).copied().unwrap_or(0));
    let after = c.partition_point(|centre| *centre < v);
    let inside = |i: usize| match (axis.low.get(i), axis.high.get(i)) {
        (Some(low), Some(high)) => *low <= v && v <= *high,
        _ => c.get(i) == Some(&v),
    };
    let near = [after.checked_sub(1), Some(after)].into_iter().flatten().filter(|&i| i < n && inside(i));
    let nearest = near.min_by(|&a, &b| (c[a] - v).abs().total_cmp(&(c[b] - v).abs()));
    if method == Method::Bilinear {
        let between = |i: usize, j: usize, from: f64, to: f64| {
            let share = (v - from) / (to - from);
            vec![(position(i), 1.0 - share), (position(j), share)]
        };
        if after > 0 && after < n {
            return between(after - 1, after, c[after - 1], c[after]);
        }
        // All around the earth, the last cell has the first for its neighbour.
        let around = wraps && n > 1 && (c[n - 1] - c[0] + (c[1] - c[0]) - 360.0).abs() < 1e-6 * 360.0;
        if around && after == n && v <= c[0] + 360.0 {
            return between(n - 1, 0, c[n - 1], c[0] + 360.0);
        }
        if around && after == 0 && v >= c[n - 1] - 360.0 && c.first() != Some(&v) {
            return between(n - 1, 0, c[n - 1] - 360.0, c[0]);
        }
    }
    nearest.map(|i| (position(i), 1.0)).into_iter().collect()
}

/// The position along an axis with these coordinates that is nearest to each value, at most half a step away.
pub(crate) fn positions(coordinates: &ArrayRef, values: &ArrayRef) -> Result<Vec<Option<u64>>> {
    let values = compute::cast(values, coordinates.data_type())?;
    if !coordinates.data_type().is_numeric() && !coordinates.data_type().is_temporal() {
        let texts = |a: &ArrayRef| compute::cast(a, &DataType::Utf8);
        let (known, values) = (texts(coordinates)?, texts(&values)?);
        let known: std::collections::HashMap<&str, u64> =
            known.as_string::<i32>().iter().enumerate().filter_map(|(i, t)| Some((t?, i as u64))).collect();
        return Ok(values.as_string::<i32>().iter().map(|t| t.and_then(|t| known.get(t).copied())).collect());
    }
    // Counts of instants are whole: floats hold them to a fraction of a microsecond.
    let wide = |a: &ArrayRef| if a.data_type().is_temporal() { compute::cast(a, &DataType::Int64) } else { Ok(a.clone()) };
    let mut known: Vec<(f64, u64)> = numbers(&wide(coordinates)?)?.into_iter().zip(0u64..).collect();
    known.sort_by(|a, b| a.0.total_cmp(&b.0));
    let values = compute::cast(&wide(&values)?, &DataType::Float64)?;
    let step = |i: usize| match (i.checked_sub(1).and_then(|j| known.get(j)), known.get(i), known.get(i + 1)) {
        (Some(a), Some(b), None) => b.0 - a.0,
        (None, Some(a), Some(b)) => b.0 - a.0,
        _ => f64::INFINITY,
    };
    let one = |v: f64| {
        let after = known.partition_point(|k| k.0 < v);
        let near = [after.checked_sub(1), Some(after)].into_iter().flatten().filter(|&i| i < known.len());
        let i = near.min_by(|&a, &b| (known[a].0 - v).abs().total_cmp(&(known[b].0 - v).abs()))?;
        let (at, position) = known[i];
        let outside = v < known[0].0 || v > known[known.len() - 1].0;
        let allowed = if known.len() == 1 { 0.0 } else { step(i) / 2.0 };
        (!outside || (at - v).abs() <= allowed).then_some(position)
    };
    Ok(values.as_primitive::<Float64Type>().iter().map(|v| v.and_then(one)).collect())
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Float64Array;

    use super::*;

    fn axis(n: usize, first: f64, step: f64) -> Along {
        let centres: Vec<f64> = (0..n).map(|i| first + step * i as f64).collect();
        let bound = |d: f64| centres.iter().map(|c| c + d).collect::<Vec<f64>>();
        Along { low: bound(-step / 2.0), high: bound(step / 2.0), positions: (0..n as u32).collect(), centres: centres.clone() }
    }

    #[test]
    fn cells_around_a_point() {
        let grid = CellGrid { y: axis(3, 0.0, 10.0), x: axis(36, 0.0, 10.0), wraps: true };
        let of = |x: f64, y: f64, method: Method| at(&grid, x, y, method).into_iter().map(|t| (t.cell, t.weight)).collect::<Vec<_>>();
        assert_eq!(of(12.0, 7.0, Method::Nearest), [([1, 1], 1.0)]);
        assert_eq!(of(-2.0, 24.9, Method::Nearest), [([2, 0], 1.0)]);
        assert_eq!(of(-8.0, 0.0, Method::Nearest), [([0, 35], 1.0)]);
        assert_eq!(of(12.0, 26.0, Method::Nearest), []);
        assert_eq!(of(15.0, 5.0, Method::Bilinear).len(), 4);
        assert_eq!(of(-2.5, 10.0, Method::Bilinear), [([1, 35], 0.25), ([1, 0], 0.75)]);
        assert_eq!(of(357.5, 22.0, Method::Bilinear), [([2, 35], 0.25), ([2, 0], 0.75)]);
    }

    #[test]
    fn nearest_along_another_axis() {
        let known: ArrayRef = Arc::new(Float64Array::from(vec![30.0, 20.0, 10.0]));
        let asked: ArrayRef = Arc::new(Float64Array::from(vec![Some(11.0), Some(34.9), Some(36.0), None, Some(16.0)]));
        assert_eq!(positions(&known, &asked).unwrap(), [Some(2), Some(0), None, None, Some(1)]);
    }
}
