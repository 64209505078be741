//! `USING OVERVIEWS`: a grid is made of the coarsest overview in the files that is not coarser than its cells. Only where the query says
//! so: an overview holds what its writer made of the cells, which may be means, every other cell, or something else.

use std::sync::Arc;

use datafusion::common::plan_err;
use datafusion::error::{DataFusionError, Result};
use graticule_storage::array::AxisRole;
use graticule_storage::catalog::{Catalog, Cube};

use super::leaf::Leaf;
use super::regrid::Target;
use crate::view::View;

/// A part of a cell by which an overview may be coarser than the target, and by which the ends of a subset may miss centres.
const SLACK: f64 = 1e-6;

/// The same part of the cube in the overview that serves these targets best, and what EXPLAIN says of it. The cube itself where
/// no overview is fine enough, or where its files have none in common.
pub(crate) fn coarser(catalog: &Catalog, leaf: Leaf, targets: &[Target]) -> Result<(Leaf, String)> {
    let cube = &leaf.view.cube;
    if leaf.supply.known().is_none() {
        return plan_err!("USING OVERVIEWS wants a cube of files; {} is computed from others and has no overviews", cube.name);
    }
    let of = |roles: [AxisRole; 2]| cube.grid.axes.iter().position(|a| roles.contains(&a.role));
    let (Some(y), Some(x)) = (of([AxisRole::Y, AxisRole::Latitude]), of([AxisRole::X, AxisRole::Longitude])) else {
        return plan_err!("USING OVERVIEWS wants two horizontal axes, and {} has none", cube.name);
    };
    let step = |axis: usize| targets.iter().find(|t| t.number == axis).map(|t| t.cell());
    let (Some(down), Some(across)) = (step(y), step(x)) else {
        let [y, x] = [y, x].map(|a| cube.grid.axes[a].name.as_str());
        return plan_err!("overviews are coarser along both {y} and {x}: USING OVERVIEWS wants both among the axes of REGRID");
    };
    let levels = catalog.overviews(cube).map_err(|e| DataFusionError::External(Box::new(e)))?;
    let fine = |level: &Arc<Cube>| [(y, down), (x, across)].iter().all(|&(a, wanted)| cell(level, a) <= wanted * (1.0 + SLACK));
    let Some(number) = levels.iter().rposition(fine) else {
        let why = if levels.is_empty() { "none in all files" } else { "none as fine" };
        return Ok((leaf, format!(", overview={why}")));
    };
    let level = levels[number].clone();
    let note = format!(", overview={} of {} [cells of {} by {}]", number + 1, levels.len(), cell(&level, y), cell(&level, x));
    let mut view = View::whole(level);
    for axis in 0..view.axes.len() {
        view = match axis == y || axis == x {
            true => within(&view, &leaf.view, axis)?,
            false => view.fixed_as(axis, &leaf.view),
        };
    }
    Ok((Leaf { view: Arc::new(view), supply: leaf.supply }, note))
}

/// The length of a cell along an axis.
fn cell(cube: &Cube, axis: usize) -> f64 {
    let axis = &cube.grid.axes[axis];
    match axis.coordinates.to_f64().as_deref() {
        Some([first, .., last]) => (last - first).abs() / (axis.len() - 1) as f64,
        _ => axis.bounds.as_ref().and_then(|b| b.first()).map_or(f64::INFINITY, |b| b[1] - b[0]),
    }
}

/// The cells of an overview whose centres lie among those of the cells that are seen of the cube.
fn within(overview: &View, seen: &View, axis: usize) -> Result<View> {
    let (whole, coarse) = (&seen.cube.grid.axes[axis], &overview.cube.grid.axes[axis]);
    let (Some(fine), Some(centres)) = (whole.coordinates.to_f64(), coarse.coordinates.to_f64()) else {
        return plan_err!("USING OVERVIEWS wants numbers along {}", whole.name);
    };
    let run = match seen.axes[axis].runs.as_ref() {
        [run] if !run.is_empty() => run.clone(),
        _ => return plan_err!("USING OVERVIEWS reads {} in one piece: give a range, or put the subset behind REGRID(...)", whole.name),
    };
    let (a, b) = (fine[run.start as usize], fine[run.end as usize - 1]);
    let half = cell(&seen.cube, axis) * (0.5 + SLACK);
    let inside = |c: &f64| (a.min(b) - half..=a.max(b) + half).contains(c);
    let positions: Vec<u64> = (0..).zip(&centres).filter(|(_, c)| inside(c)).map(|(i, _)| i).collect();
    match positions.is_empty() {
        true => plan_err!("the subset along {} is smaller than a cell of the overview; leave USING OVERVIEWS out", whole.name),
        false => overview.select(axis, &positions, None, seen.axes[axis].fixed),
    }
}
