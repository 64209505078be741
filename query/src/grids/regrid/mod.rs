//! `REGRID`: a cube on other coordinates along some of its axes. Each axis has its own weights (`weights`, over the cells of a
//! `line`); a box of the target is made of the box of the source that its weights name (`apply`).

mod apply;
mod line;
mod weights;

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array, UInt32Array, new_null_array};
use datafusion::arrow::buffer::{BooleanBuffer, NullBuffer};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::plan_err;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::LogicalPlan;
use graticule_storage::array::{Axis, AxisRole, Coordinates};
use graticule_storage::catalog::{Cube, CubeVariable};
use graticule_storage::read::{Estimate, Reader, Tile, TileMetrics, TileRequest};

pub(crate) use self::apply::Real;
use self::apply::{Made, Pass, regrid};
use self::line::{Kind, Line};
use self::weights::AxisWeights;
pub(crate) use self::weights::{Method, keys};
use super::derived;
use super::leaf::{Leaf, numbers};
use crate::dense::supply::{Fetched, Supply};
use crate::view::View;

/// Cells of a target tile that should not be exceeded much.
const TILE_CELLS: u64 = 1 << 20;

/// An axis of the target.
pub(crate) struct Target {
    /// Its position in the source's grid.
    pub number: usize,
    /// Its coordinates.
    pub axis: Axis,
    /// The distance of its coordinates, where it has only one.
    pub step: Option<f64>,
}

impl Target {
    /// The shortest distance of its coordinates.
    pub fn cell(&self) -> f64 {
        let values = self.axis.coordinates.to_f64().unwrap_or_default();
        let steps = values.windows(2).map(|w| (w[1] - w[0]).abs()).min_by(f64::total_cmp);
        steps.or(self.step.map(f64::abs)).unwrap_or(0.0)
    }
}

/// The cube on the target's axes; `more` is what EXPLAIN says beside. Errors are sentences for the user.
pub(crate) fn plan(leaf: &Leaf, targets: Vec<Target>, method: Method, variables: Option<&[String]>, more: &str) -> Result<LogicalPlan> {
    let (source, mut view) = (&leaf.view.cube, leaf.view.as_ref().clone());
    let mut axes: Vec<Axis> = (0..source.grid.axes.len()).map(|a| leaf.axis(a)).collect();
    let mut weights: Vec<Option<AxisWeights>> = axes.iter().map(|_| None).collect();
    let mut notes = Vec::new();
    for target in targets {
        let of = &axes[target.number];
        let made = axis_weights(of, &target, method).map_err(|why| DataFusionError::Plan(format!("axis {}: {why}", of.name)))?;
        notes.push(format!("{}: {} of {}", of.name, target.axis.len(), of.len()));
        view = view.select(target.number, &made.positions, None, false)?;
        axes[target.number] = Axis { role: of.role, units: of.units.clone(), attributes: of.attributes.clone(), ..target.axis };
        weights[target.number] = Some(made);
    }
    let regridded = |a: usize| weights[a].is_some();
    let outside = weights.iter().flatten().any(|w| w.weights.has_outside());
    // A variable that lacks an axis has missing values along it only where the target leaves the source.
    let axes_of = |v: &CubeVariable| (0..axes.len()).filter(|a| v.axes.contains(a) || outside && regridded(*a)).collect::<Vec<_>>();
    let wanted = |v: &CubeVariable| variables.is_none_or(|names| names.contains(&v.name));
    let numbers: Vec<usize> = (0..source.variables.len()).filter(|&v| wanted(&source.variables[v])).collect();
    let mixed = method != Method::Nearest;
    let made = numbers.iter().map(|&v| leaf.variable(v, axes_of(&source.variables[v]), mixed)).collect();
    let leaf = Leaf { view: Arc::new(view), supply: leaf.supply.clone() };
    let cuts = cuts(&leaf, &axes, &weights);
    let fixed: Vec<bool> = leaf.view.axes.iter().enumerate().map(|(a, seen)| seen.fixed && weights[a].is_none()).collect();
    let cube = derived::cube(&source.name, axes, source.grid.crs.clone(), made, source.attributes.clone());
    let mut view = View::derived(cube, cuts);
    for (axis, _) in fixed.iter().enumerate().filter(|(_, fixed)| **fixed) {
        let all: Vec<u64> = (0..view.axes[axis].len()).collect();
        view = view.select(axis, &all, None, true)?;
    }
    let note = format!(", regrid={} [{}]{more}", method.name(), notes.join(", "));
    derived::scan(view, Arc::new(Regrid { leaf, method, weights: weights.into(), numbers: numbers.into(), note }))
}

fn axis_weights(of: &Axis, target: &Target, method: Method) -> Result<AxisWeights, String> {
    let kind = match of.role {
        AxisRole::Latitude => Kind::Latitude,
        AxisRole::Longitude => Kind::Longitude,
        _ => Kind::Plain,
    };
    let values = |axis: &Axis, what: &str| match (&axis.coordinates, &of.coordinates) {
        (Coordinates::Text(_), _) => Err(format!("{what} has labels, and REGRID wants numbers or times; select labels with IN")),
        (Coordinates::Calendar(..), _) => Err(format!("{what} has times of a calendar of its own, which REGRID does not know")),
        (Coordinates::Time(unit, _), Coordinates::Time(other, _)) if unit != other => {
            let factor = other.per_second() as f64 / unit.per_second() as f64;
            Ok(axis.coordinates.to_f64().unwrap_or_default().into_iter().map(|v| v * factor).collect::<Vec<f64>>())
        }
        (Coordinates::Time(..), Coordinates::Time(..)) => Ok(axis.coordinates.to_f64().unwrap_or_default()),
        (Coordinates::Time(..), _) | (_, Coordinates::Time(..)) => {
            Err("one of source and target has times and the other has none; write axis('2020-01-01', '2020-12-31', INTERVAL '1 day')"
                .into())
        }
        _ => Ok(axis.coordinates.to_f64().unwrap_or_default()),
    };
    let (source, wanted) = (values(of, "it")?, values(&target.axis, "the target")?);
    let falls = |w: &[f64]| w[0] > w[1];
    if matches!(method, Method::Average | Method::Conservative) && wanted.windows(2).any(|w| w[0] == w[1] || falls(w) != falls(&wanted)) {
        return Err(format!("the target's coordinates neither rise nor fall all the way, as method => '{}' wants", method.name()));
    }
    let line = Line::new(&source, of.bounds.as_deref(), kind)?;
    AxisWeights::new(&line, &wanted, target.step, kind, method)
}

/// Where tiles of the target begin: where tiles of the source do, and where they would have too many cells.
fn cuts(leaf: &Leaf, axes: &[Axis], weights: &[Option<AxisWeights>]) -> Vec<Vec<u64>> {
    let source = leaf.cuts();
    let mut cuts: Vec<Vec<u64>> = (source.iter().zip(weights).zip(axes))
        .map(|((source, weights), axis)| {
            let Some(AxisWeights { weights, .. }) = weights else { return source.clone() };
            let tile = |t: usize| source.partition_point(|&c| c <= u64::from(weights.first[t]));
            let inner = (1..weights.first.len()).filter(|&t| tile(t) != tile(t - 1)).map(|t| t as u64);
            [0].into_iter().chain(inner).chain([axis.len()]).collect()
        })
        .collect();
    let longest = |cuts: &[u64]| cuts.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(1).max(1);
    loop {
        let cells = cuts.iter().fold(1u64, |n, c| n.saturating_mul(longest(c)));
        let along = (0..cuts.len()).filter(|&a| weights[a].is_some()).max_by_key(|&a| longest(&cuts[a]));
        let Some(axis) = along.filter(|&a| cells > TILE_CELLS && longest(&cuts[a]) > 1) else { return cuts };
        let most = longest(&cuts[axis]).div_ceil(2);
        let mut finer: Vec<u64> = cuts[axis].windows(2).flat_map(|w| (w[0]..w[1]).step_by(most as usize)).collect();
        finer.extend(cuts[axis].last());
        cuts[axis] = finer;
    }
}

/// Values on the target's axes.
#[derive(Debug)]
struct Regrid {
    /// The source; along regridded axes just the cells that weights name.
    leaf: Leaf,
    method: Method,
    /// One an axis; `None` where the axis stays.
    weights: Arc<[Option<AxisWeights>]>,
    /// The source's number of each variable.
    numbers: Arc<[usize]>,
    note: String,
}

impl Regrid {
    /// The box of the source that a box of the target is made of; `None` where all of it lies outside.
    fn source(&self, request: &TileRequest) -> Option<(Vec<Range<u64>>, Vec<usize>)> {
        let ranges = request.extent.ranges().iter().zip(self.weights.iter()).map(|(range, weights)| match weights {
            Some(of) => of.weights.cells(range.start as usize..range.end as usize),
            None => Some(range.clone()),
        });
        let variables = request.variables.iter().filter_map(|&v| self.numbers.get(v).copied()).collect();
        Some((ranges.collect::<Option<Vec<_>>>()?, variables))
    }

    /// Refuses variables that no mean can be made of.
    fn check(&self, cube: &Cube, variables: &[usize]) -> Result<()> {
        let bad = variables
            .iter()
            .filter_map(|&v| cube.variables.get(v))
            .find(|v| !matches!(v.arrow_type(), DataType::Float32 | DataType::Float64));
        match bad.filter(|_| self.method != Method::Nearest) {
            Some(v) => plan_err!(
                "{} is no number, so REGRID cannot compute it by method => '{}'; use method => 'nearest', or do not select it",
                v.name,
                self.method.name()
            ),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Supply for Regrid {
    async fn fetch(&self, cube: &Arc<Cube>, request: TileRequest) -> Result<Fetched> {
        self.check(cube, &request.variables)?;
        let types: Vec<DataType> = request.variables.iter().filter_map(|&v| cube.variables.get(v)).map(|v| v.arrow_type()).collect();
        let Some((ranges, variables)) = self.source(&request).filter(|(_, v)| !v.is_empty()) else {
            return Ok(Box::new(move || {
                let columns = types.iter().map(|t| new_null_array(t, request.extent.cells() as usize)).collect();
                Ok(Tile { extent: request.extent, columns, metrics: TileMetrics::default() })
            }));
        };
        let pending = self.leaf.fetch(ranges.clone(), variables).await?;
        let (weights, method) = (self.weights.clone(), self.method);
        Ok(Box::new(move || {
            let (columns, metrics) = pending()?;
            let begin = std::time::Instant::now();
            let shape: Vec<usize> = ranges.iter().map(|r| (r.end - r.start) as usize).collect();
            let passes: Vec<Pass<'_>> = (weights.iter().enumerate())
                .filter_map(|(axis, w)| {
                    let targets = request.extent.range(axis);
                    let targets = targets.start as usize..targets.end as usize;
                    w.as_ref().map(|weights| Pass { axis, weights, targets, base: ranges[axis].start as usize })
                })
                .collect();
            let one = |(values, of): (ArrayRef, &DataType)| match (method, of) {
                (Method::Nearest, _) => nearest(&values, &shape, &passes),
                (_, DataType::Float32) => {
                    let (values, valid) = numbers(&values, |v| Some(v.as_primitive_opt::<Float32Type>()?.values().to_vec()), of)?;
                    let Made { values, valid } = regrid(values, valid, &shape, &passes);
                    Ok(Arc::new(Float32Array::new(values.into(), nulls(valid))) as ArrayRef)
                }
                _ => {
                    let (values, valid) = numbers(&values, |v| Some(v.as_primitive_opt::<Float64Type>()?.values().to_vec()), of)?;
                    let Made { values, valid } = regrid(values, valid, &shape, &passes);
                    Ok(Arc::new(Float64Array::new(values.into(), nulls(valid))) as ArrayRef)
                }
            };
            let columns = columns.into_iter().zip(&types).map(one).collect::<Result<Vec<_>>>()?;
            let decode_nanos = metrics.decode_nanos + begin.elapsed().as_nanos() as u64;
            Ok(Tile { extent: request.extent, columns, metrics: TileMetrics { decode_nanos, ..metrics } })
        }))
    }

    fn reader(&self) -> &Reader {
        self.leaf.supply.reader()
    }

    fn estimate(&self, _: &Arc<Cube>, requests: &[TileRequest]) -> Result<Estimate> {
        let sources = requests.iter().filter_map(|r| self.source(r));
        let below: Vec<TileRequest> = sources.map(|(ranges, variables)| self.leaf.request_of(&ranges, &variables)).collect();
        self.leaf.supply.estimate(&self.leaf.view.cube, &below)
    }

    fn stored_bytes(&self, _: &Arc<Cube>, variables: &[usize]) -> u64 {
        let below: Vec<usize> = variables.iter().filter_map(|&v| self.numbers.get(v).copied()).collect();
        self.leaf.supply.stored_bytes(&self.leaf.view.cube, &below)
    }

    fn working_bytes(&self, _: &Arc<Cube>, request: &TileRequest) -> usize {
        let Some((ranges, variables)) = self.source(request) else { return 0 };
        let below = self.leaf.request_of(&ranges, &variables);
        let cells = below.extent.cells() as usize;
        // What is read and a copy of it; of one variable at a time values, weights and what passes leave.
        let own = cells.saturating_mul(2 * self.leaf.width(&variables) + 32);
        own.saturating_add(self.leaf.supply.working_bytes(&self.leaf.view.cube, &below))
    }

    fn describe(&self) -> String {
        self.note.clone() + &self.leaf.supply.describe()
    }
}

fn nulls(valid: Option<Vec<bool>>) -> Option<NullBuffer> {
    valid.map(|valid| NullBuffer::new(BooleanBuffer::from(valid)))
}

/// Cells as they are, each from where its target lies; missing where that is outside.
fn nearest(values: &ArrayRef, shape: &[usize], passes: &[Pass<'_>]) -> Result<ArrayRef> {
    let mut cells: Vec<Option<u32>> = vec![Some(0)];
    for (d, &n) in shape.iter().enumerate() {
        let along: Vec<Option<u32>> = match passes.iter().find(|p| p.axis == d) {
            Some(pass) => {
                let weights = &pass.weights.weights;
                let cell =
                    |t: usize| (!weights.of_target(t).is_empty()).then(|| (weights.first[t] as usize).saturating_sub(pass.base) as u32);
                pass.targets.clone().map(cell).collect()
            }
            None => (0..n as u32).map(Some).collect(),
        };
        cells = cells.iter().flat_map(|before| along.iter().map(move |i| Some((*before)? * n as u32 + (*i)?))).collect();
    }
    let taken = compute::take(values, &UInt32Array::from(cells.iter().map(|c| c.unwrap_or(0)).collect::<Vec<_>>()), None)?;
    if cells.iter().all(Option::is_some) {
        return Ok(taken);
    }
    let absent: BooleanArray = cells.iter().map(|c| Some(c.is_none())).collect();
    Ok(compute::nullif(&taken, &absent)?)
}
