//! What statistics of chunks say of a tile before it is read: that none of its cells can be selected, or what its cells come to in
//! a reduction. They never change an answer; what they do not tell is read.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, UInt64Array};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, ScalarValue};
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_expr::{PhysicalExpr, conjunction, expressions};
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};
use graticule_storage::array::Extent;
use graticule_storage::catalog::{ChunkOf, ChunkStatistics, Cube, Extremes};
use graticule_storage::read::{KnownChunk, Reader};

use super::exec::LeafPlan;
use super::program::{Input, Program, Step};
use super::reduce::{Aggregate, Function, Reduction};
use super::tiles::TileRef;
use crate::view::CubeColumn;

/// What is asked of statistics by one leaf.
pub(crate) struct Statistics {
    reader: Reader,
    cube: Arc<Cube>,
    /// Variables that the leaf reads.
    variables: Vec<usize>,
    /// All masks of the program.
    masks: Option<Pruner>,
    /// The filters of the aggregates, where every aggregate has one and no mask tells which groups there are.
    filters: Vec<Pruner>,
    /// Set where statistics can be the answer: the variable of each aggregate, `None` for one that counts cells.
    answers: Option<Vec<Option<usize>>>,
}

/// What is known of a tile.
pub(crate) enum Verdict {
    /// Not enough.
    Read,
    /// No cell is selected; so many chunks need not be read.
    Nothing(usize),
    /// No aggregate takes a cell, though the groups are there; so many chunks need not be read.
    Untaken(usize),
    /// What its cells come to.
    Answered(Box<Answered>),
}

/// The groups into which chunks fall, and their statistics.
type GroupStatistics = Vec<(usize, ChunkStatistics)>;

/// What the cells of a tile come to, chunk by chunk.
pub(crate) struct Answered {
    /// For each aggregate the groups of the chunks of its variable, and their statistics; `None` where cells are counted.
    pub aggregates: Vec<Option<Arc<GroupStatistics>>>,
    /// The chunks whose objects must be as they were.
    pub chunks: Vec<ChunkOf>,
}

impl Statistics {
    /// What can be asked for a leaf; `reduction` is what becomes of its cells. `None` where nothing can, or statistics are off.
    pub fn new(plan: &LeafPlan, reduction: Option<&Reduction>) -> Option<Arc<Statistics>> {
        let reader = plan.supply.known().filter(|_| plan.statistics)?.clone();
        let program = &plan.program;
        let masks = Pruner::new(plan, masks_of(program));
        let filters = match reduction {
            // Groups that are found in values are not known without them, and of a zone only some cells of a chunk are wanted.
            Some(r) if !program.masks() && !r.aggregates.is_empty() && r.joint.is_none() && r.zonal.is_none() => {
                let each: Option<Vec<Pruner>> = r.aggregates.iter().map(|a| Pruner::new(plan, vec![a.filter.clone()?])).collect();
                each.unwrap_or_default()
            }
            _ => Vec::new(),
        };
        let answers =
            reduction.filter(|r| r.joint.is_none() && r.zonal.is_none() && !program.masks()).and_then(|r| answers(plan, &r.aggregates));
        if masks.is_none() && filters.is_empty() && answers.is_none() {
            return None;
        }
        let (cube, variables) = (plan.view.cube.clone(), program.variables());
        Some(Arc::new(Statistics { reader, cube, variables, masks, filters, answers }))
    }

    /// What is known of a tile. `groups`: what each of its positions along each axis adds to the number of a cell's group.
    pub fn of(&self, tile: &TileRef<'_>, groups: Option<&[Vec<u32>]>) -> Result<Verdict> {
        let extent = tile.cube_extent();
        let chunks = || -> Result<usize> { self.variables.iter().map(|&v| Ok(self.known(v, &extent)?.len())).sum() };
        if let Some(masks) = &self.masks
            && masks.rules_out(self, &extent)?
        {
            return Ok(Verdict::Nothing(chunks()?));
        }
        if !self.filters.is_empty() {
            for filter in &self.filters {
                if !filter.rules_out(self, &extent)? {
                    return Ok(Verdict::Read);
                }
            }
            return Ok(Verdict::Untaken(chunks()?));
        }
        let (Some(answers), Some(groups)) = (&self.answers, groups) else { return Ok(Verdict::Read) };
        if tile.segments.iter().any(|s| s.picks.is_some()) {
            return Ok(Verdict::Read);
        }
        let mut found: HashMap<usize, Arc<GroupStatistics>> = HashMap::new();
        let mut used = Vec::new();
        for &variable in answers.iter().flatten() {
            if found.contains_key(&variable) {
                continue;
            }
            let mut of_groups = Vec::new();
            for chunk in self.known(variable, &extent)? {
                match (chunk.whole, chunk.statistics, group_of(&chunk.extent, &extent, groups)) {
                    (true, Some(statistics), Some(group)) if !has_negative_zero(&statistics) => {
                        of_groups.push((group, statistics));
                        used.push(chunk.chunk);
                    }
                    _ => return Ok(Verdict::Read),
                }
            }
            found.insert(variable, Arc::new(of_groups));
        }
        let aggregates = answers.iter().map(|variable| found.get(variable.as_ref()?).cloned()).collect();
        Ok(Verdict::Answered(Box::new(Answered { aggregates, chunks: used })))
    }

    /// Checks that what was answered for is as it was when it was indexed.
    pub async fn check(&self, answered: &Answered) -> Result<()> {
        self.reader.check_unchanged(&answered.chunks).await.map_err(external)
    }

    fn known(&self, variable: usize, extent: &Extent) -> Result<Vec<KnownChunk>> {
        self.reader.known(&self.cube, variable, extent).map_err(external)
    }
}

fn external(error: graticule_storage::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// The masks of a program over the columns that it reads.
fn masks_of(program: &Program) -> Vec<Arc<dyn PhysicalExpr>> {
    let masks = program.steps.iter().enumerate().filter_map(|(i, step)| match step {
        Step::Mask(expr) => program.lower_before(expr, i).ok(),
        Step::Map { .. } => None,
    });
    masks.collect()
}

/// The variable of each aggregate, where all are counts, sums, means or extremes of variables on all axes.
fn answers(plan: &LeafPlan, aggregates: &[Aggregate]) -> Option<Vec<Option<usize>>> {
    let axes = plan.view.cube.grid.axes.len();
    let one = |aggregate: &Aggregate| -> Option<Option<usize>> {
        if aggregate.filter.is_some() {
            return None;
        }
        let known = matches!(aggregate.function, Function::Count | Function::Sum | Function::Avg | Function::Min | Function::Max);
        match aggregate.arguments.as_slice() {
            [] if aggregate.function == Function::Count => Some(None),
            [argument] if known => {
                let at = argument.downcast_ref::<expressions::Column>()?.index();
                let Some(Input::Cube(CubeColumn::Variable(v))) = plan.program.columns.get(at) else { return None };
                let variable = plan.view.cube.variables.get(*v)?;
                (variable.axes.len() == axes && !variable.decoded.is_text()).then_some(Some(*v))
            }
            _ => None,
        }
    };
    aggregates.iter().map(one).collect()
}

/// The one group to which all cells of a box inside a tile belong.
fn group_of(inside: &Extent, tile: &Extent, groups: &[Vec<u32>]) -> Option<usize> {
    let mut group = 0usize;
    for ((inside, tile), along) in inside.ranges().iter().zip(tile.ranges()).zip(groups) {
        let numbers = along.get((inside.start - tile.start) as usize..(inside.end - tile.start) as usize)?;
        let first = *numbers.first()?;
        if numbers.iter().any(|n| *n != first) {
            return None;
        }
        group += first as usize;
    }
    Some(group)
}

/// True where an extreme may be a zero of either sign: which of both an aggregate gives depends on the order of the cells.
fn has_negative_zero(statistics: &ChunkStatistics) -> bool {
    let negative = |v: f64| v == 0.0 && v.is_sign_negative();
    matches!(statistics.extremes, Some(Extremes::Float(low, high)) if negative(low) || negative(high))
}

/// A predicate that is asked whether it can be true for any cell of a box.
struct Pruner {
    predicate: PruningPredicate,
    /// Names and numbers of the variables in it.
    columns: Vec<(String, usize)>,
}

impl Pruner {
    /// For all of `exprs`, over the columns that the program reads; `None` where statistics of variables do not matter for them.
    fn new(plan: &LeafPlan, exprs: Vec<Arc<dyn PhysicalExpr>>) -> Option<Pruner> {
        if exprs.is_empty() {
            return None;
        }
        let program = &plan.program;
        let expr = conjunction(exprs);
        let fields = program.read_schema.fields();
        let mut columns = Vec::new();
        for column in datafusion::physical_expr::utils::collect_columns(&expr) {
            let unique = fields.iter().filter(|f| f.name() == column.name()).count() == 1;
            if let Some(Input::Cube(CubeColumn::Variable(v))) = program.columns.get(column.index())
                && unique
                && !plan.view.cube.variables.get(*v)?.decoded.is_text()
            {
                columns.push((column.name().to_owned(), *v));
            }
        }
        let predicate = PruningPredicateBuilder::new().with_file_schema(program.read_schema.clone()).try_build(expr).ok()?;
        (!columns.is_empty() && !predicate.always_true()).then_some(Pruner { predicate, columns })
    }

    /// True where no cell of the box can be chosen.
    fn rules_out(&self, statistics: &Statistics, extent: &Extent) -> Result<bool> {
        let mut ranges = BoxRanges { columns: HashMap::new() };
        for (name, v) in &self.columns {
            let Some(variable) = statistics.cube.variables.get(*v) else { continue };
            let chunks = statistics.known(*v, extent)?;
            if let Some(range) = over(&chunks, &extent.project(&variable.axes), &variable.arrow_type()) {
                ranges.columns.insert(name.clone(), range);
            }
        }
        if ranges.columns.is_empty() {
            return Ok(false);
        }
        // What cannot be evaluated rules nothing out.
        Ok(self.predicate.prune(&ranges).is_ok_and(|wanted| wanted == [false]))
    }
}

/// Lowest value, highest value, missing ones of the two rows that every box is said to have (see [`BoxRanges`]).
type Range = [ArrayRef; 3];

/// What is known of a box of a variable (in its own axes) from its chunks; `None` where one of them is unknown.
fn over(chunks: &[KnownChunk], own: &Extent, data_type: &DataType) -> Option<Range> {
    let (mut lows, mut highs): (Vec<ArrayRef>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
    let (mut any, mut missing, mut cells) = (false, false, 0u64);
    for chunk in chunks {
        let statistics = chunk.statistics?;
        cells += chunk.extent.cells();
        missing |= statistics.missing > 0;
        if let Some(extremes) = statistics.extremes {
            any = true;
            let (low, high) = ends(extremes, data_type)?;
            lows.push(low);
            highs.push(high);
        }
    }
    missing |= cells < own.cells();
    let all = |ends: &[ArrayRef], largest: bool| -> Option<ArrayRef> {
        let values = ends.iter().map(|v| ScalarValue::try_from_array(v, 0)).collect::<Result<Vec<_>>>().ok()?;
        let better = if largest { std::cmp::Ordering::Greater } else { std::cmp::Ordering::Less };
        let mut best: Option<ScalarValue> = None;
        for value in values {
            if value.is_null() {
                return None;
            }
            let take = match &best {
                None => true,
                Some(best) => value.partial_cmp(best)? == better,
            };
            best = if take { Some(value) } else { best };
        }
        best.map_or_else(|| ScalarValue::try_from(data_type).ok(), Some)?.to_array().ok()
    };
    // Of the two rows as many are missing as say that all cells, some, or none are.
    let count: u64 = if !any { 2 } else { u64::from(missing) };
    Some([all(&lows, false)?, all(&highs, true)?, Arc::new(UInt64Array::from(vec![count]))])
}

/// Both ends as values of a type. Comparisons tell the zeros apart (IEEE 754 totalOrder), statistics do not.
fn ends(extremes: Extremes, data_type: &DataType) -> Option<(ArrayRef, ArrayRef)> {
    let zero = |v: f64, sign: f64| if v == 0.0 { sign * 0.0 } else { v };
    let (low, high): (ArrayRef, ArrayRef) = match extremes {
        Extremes::Float(low, high) => {
            (Arc::new(Float64Array::from(vec![zero(low, -1.0)])), Arc::new(Float64Array::from(vec![zero(high, 1.0)])))
        }
        Extremes::Signed(low, high) => (Arc::new(Int64Array::from(vec![low])), Arc::new(Int64Array::from(vec![high]))),
        Extremes::Unsigned(low, high) => (Arc::new(UInt64Array::from(vec![low])), Arc::new(UInt64Array::from(vec![high]))),
    };
    Some((compute::cast(&low, data_type).ok()?, compute::cast(&high, data_type).ok()?))
}

/// The extremes of chunks as an array of an aggregate's type: the highest or the lowest of each.
pub(super) fn extremes(chunks: &[(usize, ChunkStatistics)], largest: bool, data_type: &DataType) -> Result<(Vec<usize>, ArrayRef)> {
    let (mut groups, mut values) = (Vec::new(), Vec::new());
    for (group, statistics) in chunks {
        if let Some((low, high)) = statistics.extremes.and_then(|e| ends_as_they_are(e, data_type)) {
            groups.push(*group);
            values.push(if largest { high } else { low });
        }
    }
    let parts: Vec<&dyn datafusion::arrow::array::Array> = values.iter().map(|v| v.as_ref()).collect();
    let all = if parts.is_empty() { datafusion::arrow::array::new_empty_array(data_type) } else { compute::concat(&parts)? };
    Ok((groups, all))
}

fn ends_as_they_are(extremes: Extremes, data_type: &DataType) -> Option<(ArrayRef, ArrayRef)> {
    match extremes {
        Extremes::Float(low, high) => {
            let of = |v: f64| compute::cast(&Float64Array::from(vec![v]), data_type).ok();
            Some((of(low)?, of(high)?))
        }
        other => ends(other, data_type),
    }
}

/// What the pruning predicate asks: one container, the box, of two rows.
struct BoxRanges {
    columns: HashMap<String, Range>,
}

impl PruningStatistics for BoxRanges {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.columns.get(&column.name).map(|range| range[0].clone())
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.columns.get(&column.name).map(|range| range[1].clone())
    }

    fn num_containers(&self) -> usize {
        1
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        self.columns.get(&column.name).map(|range| range[2].clone())
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(UInt64Array::from(vec![2])))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
