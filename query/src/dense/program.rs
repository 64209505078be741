//! The tile program: what happens to the cells of one tile between reading and output. Maps keep cells where they are;
//! masks mark cells as not selected, they do not move any.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr_common::physical_expr::is_volatile;

use super::source::Source;
use super::tiles::TileGrid;
use super::window::WindowColumn;
use crate::view::{CubeColumn, View};

/// One step over the cells of a tile.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// New columns from the old ones.
    Map {
        /// One expression a column of `schema`.
        exprs: Vec<Arc<dyn PhysicalExpr>>,
        /// What comes out.
        schema: SchemaRef,
    },
    /// Only cells for which this is true go on.
    Mask(Arc<dyn PhysicalExpr>),
}

/// A column that is a function of one axis: computed once a coordinate, not once a cell.
#[derive(Debug, Clone)]
pub(crate) struct Derived {
    /// Position of the axis in the grid.
    pub axis: usize,
    /// One value a position of the view along the axis.
    pub values: ArrayRef,
    /// What it is, as an expression reads.
    pub name: String,
}

/// A column that a program starts with.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    /// Read, or known from the axes.
    Cube(CubeColumn),
    /// Computed from cells around, or along axes.
    Window(Arc<WindowColumn>),
}

/// Which columns a tile starts with, and the steps that follow.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// Columns read or computed by windows.
    pub columns: Vec<Input>,
    /// Columns computed along one axis; they come after those that are read.
    pub derived: Vec<Derived>,
    /// Schema of both.
    pub read_schema: SchemaRef,
    /// In order.
    pub steps: Vec<Step>,
}

/// Columns over the cells of one tile (C order), and which cells are selected.
#[derive(Debug, Clone)]
pub(crate) struct Cells {
    /// One row a cell.
    pub batch: RecordBatch,
    /// Selected cells; `None`: all.
    pub mask: Option<BooleanBuffer>,
}

impl Program {
    /// A program that only reads.
    pub fn read(view: &View, columns: Vec<CubeColumn>) -> Program {
        Program::starting(view, columns.into_iter().map(Input::Cube).collect())
    }

    /// A program that starts with these columns and has no step yet.
    pub fn starting(view: &View, columns: Vec<Input>) -> Program {
        let field = |input: &Input| match input {
            Input::Cube(column) => view.field(*column),
            Input::Window(window) => window.field.clone(),
        };
        let read_schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
        Program { columns, derived: vec![], read_schema, steps: vec![] }
    }

    /// Adds a column computed along one axis; gives its number.
    pub fn derive(&mut self, derived: Derived) -> usize {
        let mut fields: Vec<Field> = self.read_schema.fields().iter().map(|f| f.as_ref().clone()).collect();
        fields.push(Field::new(&derived.name, derived.values.data_type().clone(), true));
        self.read_schema = Arc::new(Schema::new(fields));
        self.derived.push(derived);
        self.columns.len() + self.derived.len() - 1
    }

    /// The axis that column `i` of what a tile starts with is a function of; `None` for a variable or a window.
    pub fn axis_of(&self, i: usize) -> Option<usize> {
        match self.columns.get(i) {
            Some(Input::Cube(CubeColumn::Axis(a))) => Some(*a),
            Some(_) => None,
            None => self.derived.get(i - self.columns.len()).map(|d| d.axis),
        }
    }

    /// Schema after the last map.
    pub fn schema(&self) -> SchemaRef {
        let last = self.steps.iter().rev().find_map(|s| if let Step::Map { schema, .. } = s { Some(schema) } else { None });
        last.unwrap_or(&self.read_schema).clone()
    }

    /// Positions of the variables read, those that windows want included, none twice.
    pub fn variables(&self) -> Vec<usize> {
        let mut found: Vec<usize> = Vec::new();
        for column in &self.columns {
            let more = match column {
                Input::Cube(CubeColumn::Variable(v)) => vec![*v],
                Input::Cube(CubeColumn::Axis(_)) => vec![],
                Input::Window(window) => window.below.variables(),
            };
            more.into_iter().for_each(|v| {
                if !found.contains(&v) {
                    found.push(v);
                }
            });
        }
        found
    }

    /// The windows among its columns.
    pub fn windows(&self) -> impl Iterator<Item = &Arc<WindowColumn>> {
        self.columns.iter().filter_map(|c| if let Input::Window(window) = c { Some(window) } else { None })
    }

    /// The box of view space that must be read to run it over `extent`.
    pub fn input(&self, extent: &[Range<u64>]) -> Vec<Range<u64>> {
        let mut grown = extent.to_vec();
        for window in self.windows() {
            let below = window.below.input(&window.input(extent));
            grown.iter_mut().zip(below).for_each(|(g, b)| *g = g.start.min(b.start)..g.end.max(b.end));
        }
        grown
    }

    /// Tiles to run it by.
    pub fn tiles(&self, view: &View) -> TileGrid {
        let grid = TileGrid::new(view, &self.variables());
        let mut halo = vec![0; view.axes.len()];
        self.add_halo(&mut halo);
        // Where some tiles may not be wanted, small ones are better.
        halo.iter_mut().enumerate().filter(|(axis, _)| view.cuts_tiles(*axis)).for_each(|(_, h)| *h = 0);
        grid.joined_for(&halo, view.tile_cells)
    }

    fn add_halo(&self, halo: &mut [u64]) {
        for window in self.windows() {
            for reach in window.hood().iter().flat_map(|h| &h.reaches) {
                let (before, after) = reach.halo();
                halo[reach.axis] = halo[reach.axis].saturating_add(before + after);
            }
            window.below.add_halo(halo);
        }
    }

    /// An expression over the program's output as one over the columns read.
    pub fn lower(&self, expr: &Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        self.lower_before(expr, self.steps.len())
    }

    /// An expression over what comes in at step `before` as one over the columns read.
    pub fn lower_before(&self, expr: &Arc<dyn PhysicalExpr>, before: usize) -> Result<Arc<dyn PhysicalExpr>> {
        lowered(expr, &self.steps[..before])
    }

    /// The program that reads only what its masks and `wanted` (over the columns read) need, and gives `wanted`.
    pub fn reading_only(&self, view: &View, wanted: Vec<Arc<dyn PhysicalExpr>>, fields: Vec<Field>) -> Result<Program> {
        let (mut program, exprs) = self.narrowed(view, wanted)?;
        let as_read = exprs.iter().enumerate().all(|(i, e)| e.downcast_ref::<Column>().is_some_and(|c| c.index() == i));
        if !as_read || exprs.len() != program.columns.len() {
            program.steps.push(Step::Map { exprs, schema: Arc::new(Schema::new(fields)) });
        }
        Ok(program)
    }

    /// A program with this one's masks and no maps that reads only what they and `wanted` (over the columns read) need;
    /// `wanted` comes back over the new program's columns.
    pub fn narrowed(&self, view: &View, wanted: Vec<Arc<dyn PhysicalExpr>>) -> Result<(Program, Vec<Arc<dyn PhysicalExpr>>)> {
        let mut masks = Vec::new();
        for (i, step) in self.steps.iter().enumerate() {
            if let Step::Mask(expr) = step {
                masks.push(self.lower_before(expr, i)?);
            }
        }
        let mut full = self.clone();
        let mut known = Vec::new();
        let mut hoist = |exprs: Vec<Arc<dyn PhysicalExpr>>| -> Result<Vec<_>> {
            exprs.into_iter().map(|e| full.hoisted(view, e, &mut known)).collect()
        };
        let (masks, wanted) = (hoist(masks)?, hoist(wanted)?);
        let mut kept: Vec<usize> = masks.iter().chain(&wanted).flat_map(collect_columns).map(|c| c.index()).collect();
        kept.sort_unstable();
        kept.dedup();
        let mut narrow = Program::starting(view, kept.iter().filter_map(|&i| full.columns.get(i).cloned()).collect());
        for derived in kept.iter().filter_map(|i| i.checked_sub(full.columns.len())).filter_map(|i| full.derived.get(i)) {
            narrow.derive(derived.clone());
        }
        for mask in masks {
            narrow.steps.push(Step::Mask(renumbered(&mask, &kept)?));
        }
        let wanted = wanted.iter().map(|e| renumbered(e, &kept)).collect::<Result<_>>()?;
        Ok((narrow, wanted))
    }

    /// `expr`, over the columns read, with its parts that are functions of one axis replaced by columns derived here.
    /// `known`: the parts that were, and their columns.
    fn hoisted(
        &mut self,
        view: &View,
        expr: Arc<dyn PhysicalExpr>,
        known: &mut Vec<(Arc<dyn PhysicalExpr>, usize)>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let replace = |e: Arc<dyn PhysicalExpr>| {
            if e.downcast_ref::<Column>().is_some() || e.downcast_ref::<Literal>().is_some() || is_volatile(&e) {
                return Ok(Transformed::no(e));
            }
            let mut along = None;
            for column in collect_columns(&e) {
                match (self.axis_of(column.index()), along) {
                    (Some(axis), None) if column.index() < self.columns.len() => along = Some((axis, column.index())),
                    (Some(_), Some((_, at))) if at == column.index() => {}
                    _ => return Ok(Transformed::no(e)),
                }
            }
            let Some((axis, at)) = along else { return Ok(Transformed::no(e)) };
            let number = match known.iter().find(|(other, _)| other.eq(&e)) {
                Some((_, number)) => *number,
                None => {
                    let batch = view.along(axis, &self.read_schema, at)?;
                    // What fails at some coordinate may be behind a condition: cell by cell, then.
                    let Ok(values) = e.evaluate(&batch).and_then(|v| v.into_array(batch.num_rows())) else { return Ok(Transformed::no(e)) };
                    let number = self.derive(Derived { axis, values, name: e.to_string() });
                    known.push((e.clone(), number));
                    number
                }
            };
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(self.read_schema.field(number).name(), number));
            Ok(Transformed::new(column, true, TreeNodeRecursion::Jump))
        };
        expr.transform_down(replace).data()
    }

    /// True when some cell may be left out.
    pub fn masks(&self) -> bool {
        self.steps.iter().any(|s| matches!(s, Step::Mask(_)))
    }

    /// Runs the program over a box of view space inside of what was read.
    pub fn run(&self, source: &Source, extent: &[Range<u64>]) -> Result<Cells> {
        run_steps(&self.steps, Cells { batch: self.columns_of(source, extent)?, mask: None })
    }

    fn columns_of(&self, source: &Source, extent: &[Range<u64>]) -> Result<RecordBatch> {
        let shape: Vec<u64> = extent.iter().map(|r| r.end - r.start).collect();
        let cells: u64 = shape.iter().product();
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            arrays.push(match column {
                Input::Cube(CubeColumn::Axis(a)) => {
                    let seen = &extent[*a];
                    let along = source.view.axes[*a].coordinates.slice(seen.start as usize, (seen.end - seen.start) as usize);
                    broadcast(&along, &shape, *a)?
                }
                Input::Cube(CubeColumn::Variable(v)) => source.variable(*v, extent)?,
                Input::Window(window) => window.evaluate(source, extent)?,
            });
        }
        for derived in &self.derived {
            let seen = &extent[derived.axis];
            let along = derived.values.slice(seen.start as usize, (seen.end - seen.start) as usize);
            arrays.push(broadcast(&along, &shape, derived.axis)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(cells as usize));
        Ok(RecordBatch::try_new_with_options(self.read_schema.clone(), arrays, &options)?)
    }
}

/// An expression over what comes out of some steps as one over what comes in.
pub(crate) fn lowered(expr: &Arc<dyn PhysicalExpr>, steps: &[Step]) -> Result<Arc<dyn PhysicalExpr>> {
    let mut expr = expr.clone();
    for step in steps.iter().rev() {
        if let Step::Map { exprs, .. } = step {
            let replace = |e: Arc<dyn PhysicalExpr>| {
                Ok(match e.downcast_ref::<Column>() {
                    // What takes the place of a column is not looked into: its columns are those of the step before.
                    Some(c) => Transformed::new(exprs[c.index()].clone(), true, TreeNodeRecursion::Jump),
                    None => Transformed::no(e),
                })
            };
            expr = expr.transform_down(replace).data()?;
        }
    }
    Ok(expr)
}

/// An expression over all columns as one over those that are kept, whose numbers rise.
pub(crate) fn renumbered(expr: &Arc<dyn PhysicalExpr>, kept: &[usize]) -> Result<Arc<dyn PhysicalExpr>> {
    let renumber = |e: Arc<dyn PhysicalExpr>| {
        Ok(match e.downcast_ref::<Column>() {
            Some(c) => Transformed::yes(Arc::new(Column::new(c.name(), kept.partition_point(|&k| k < c.index()))) as Arc<dyn PhysicalExpr>),
            None => Transformed::no(e),
        })
    };
    expr.clone().transform_up(renumber).data()
}

/// Runs steps one after the other.
pub(crate) fn run_steps(steps: &[Step], mut cells: Cells) -> Result<Cells> {
    for step in steps {
        let rows = cells.batch.num_rows();
        match step {
            Step::Map { exprs, schema } => {
                let arrays = exprs.iter().map(|e| evaluate(e, &cells)).collect::<Result<Vec<_>>>()?;
                let options = RecordBatchOptions::new().with_row_count(Some(rows));
                cells.batch = RecordBatch::try_new_with_options(schema.clone(), arrays, &options)?;
            }
            Step::Mask(expr) => {
                let chosen = true_cells(&evaluate(expr, &cells)?)?;
                cells.mask = Some(match cells.mask {
                    Some(before) => &before & &chosen,
                    None => chosen,
                });
            }
        }
    }
    Ok(cells)
}

/// An expression over the selected cells. Cells that are not selected may hold anything, but never make it fail.
pub(crate) fn evaluate(expr: &Arc<dyn PhysicalExpr>, cells: &Cells) -> Result<ArrayRef> {
    let rows = cells.batch.num_rows();
    match (expr.evaluate(&cells.batch), &cells.mask) {
        (Ok(values), _) => values.into_array(rows),
        (Err(_), Some(mask)) => {
            let selection = BooleanArray::new(mask.clone(), None);
            expr.evaluate_selection(&cells.batch, &selection)?.into_array(rows)
        }
        (Err(error), None) => Err(error),
    }
}

/// The cells at which a predicate is true; NULL is not.
pub(crate) fn true_cells(values: &ArrayRef) -> Result<BooleanBuffer> {
    let values = values
        .as_any()
        .downcast_ref::<BooleanArray>()
        .ok_or_else(|| DataFusionError::Internal(format!("a predicate gives {} instead of a boolean", values.data_type())))?;
    Ok(match values.nulls() {
        Some(nulls) => values.values() & nulls.inner(),
        None => values.values().clone(),
    })
}

/// Coordinates along axis `d` of a box of this shape (C order), one a cell.
pub(crate) fn broadcast(along: &ArrayRef, shape: &[u64], d: usize) -> Result<ArrayRef> {
    let n = shape[d] as usize;
    let outer: usize = shape[..d].iter().product::<u64>() as usize;
    let inner: usize = shape[d + 1..].iter().product::<u64>() as usize;
    if outer == 1 && inner == 1 {
        return Ok(along.clone());
    }
    let mut indices: Vec<u32> = Vec::with_capacity(outer * n * inner);
    for i in 0..n as u32 {
        indices.extend(std::iter::repeat_n(i, inner));
    }
    let block = indices.len();
    for _ in 1..outer {
        indices.extend_from_within(..block);
    }
    if outer == 0 {
        indices.clear();
    }
    Ok(compute::take(along, &UInt32Array::from(indices), None)?)
}
