//! The window function of a neighbourhood over several axes, or with an edge: what `avg(v) AROUND (y(-1:1), x(-1:1))` is in
//! plain SQL once its axes are known. A partition holds all cells that differ along these axes only; the last arguments are
//! their cell numbers. Run over rows it is the plain definition, cell by cell; the dense leaf has its own way.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, UInt32Array, new_empty_array};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema};
use datafusion::common::{Result, ScalarValue, exec_err, internal_datafusion_err, internal_err};
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{AggregateUDF, PartitionEvaluator, Signature, Volatility, WindowUDFImpl};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion::physical_expr::expressions::{Column, Literal};

/// What is beyond the ends of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Edge {
    /// Nothing.
    Shrink,
    /// What makes the result NULL.
    Null,
    /// The nearest cell.
    Clamp,
    /// The cells of the other end.
    Wrap,
}

/// How far a neighbourhood reaches along one axis.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Reach {
    /// Name of the axis.
    pub axis: String,
    /// For every cell number of the axis the first and the last cell number of its neighbours. Numbers below 0 and from the
    /// length on are beyond the ends; a first above its last is a neighbourhood of nothing.
    pub frames: Arc<[(i64, i64)]>,
    /// As typed: `-1:1`.
    pub shown: String,
}

/// What is computed of the neighbours.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum What {
    /// An aggregate of their values.
    Aggregate(Arc<AggregateUDF>),
    /// The sum of their values times weights.
    Convolve(Weights),
}

/// The weights of a convolution: the weight of the neighbour at offset `o` (from first to last, slowest axis first) is the
/// one at that place **counted from the end**, as in mathematics and in `scipy.ndimage.convolve`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Weights {
    /// Odd lengths, slowest axis first.
    pub shape: Vec<usize>,
    /// Bits of the weights by offset: already counted from the end.
    bits: Vec<u64>,
}

impl Weights {
    /// From the weights as typed, C order.
    pub fn new(shape: Vec<usize>, typed: &[f64]) -> Weights {
        Weights { shape, bits: typed.iter().rev().map(|w| w.to_bits()).collect() }
    }

    /// The weights by offset, C order.
    pub fn values(&self) -> Vec<f64> {
        self.bits.iter().map(|&b| f64::from_bits(b)).collect()
    }
}

/// The window function. Arguments: those of the aggregate, a boolean if `filtered`, one cell number an axis.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Neighbourhood {
    /// What is computed.
    pub what: What,
    /// One entry an axis.
    pub reaches: Vec<Reach>,
    /// What is beyond.
    pub edge: Edge,
    /// Whether the argument in front of the cell numbers says which cells count.
    pub filtered: bool,
    /// `DISTINCT`.
    pub distinct: bool,
    /// Type of the result.
    pub output: DataType,
    signature: Signature,
}

impl Neighbourhood {
    /// With this many arguments in all.
    pub fn new(what: What, reaches: Vec<Reach>, edge: Edge, filtered: bool, distinct: bool, output: DataType, arguments: usize) -> Self {
        let signature = Signature::any(arguments, Volatility::Immutable);
        Neighbourhood { what, reaches, edge, filtered, distinct, output, signature }
    }

    /// Arguments of the aggregate itself, of `all` in all.
    pub fn own_arguments(&self, all: usize) -> usize {
        all.saturating_sub(self.reaches.len() + usize::from(self.filtered))
    }
}

impl WindowUDFImpl for Neighbourhood {
    fn name(&self) -> &str {
        match &self.what {
            What::Aggregate(aggregate) => aggregate.name(),
            What::Convolve(_) => "convolve",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(args.name(), self.output.clone(), true)))
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        let own = self.own_arguments(args.input_exprs().len());
        let aggregate = match &self.what {
            What::Convolve(_) => None,
            What::Aggregate(function) => {
                let fields: Vec<Field> =
                    args.input_fields().iter().take(own).enumerate().map(|(i, f)| f.as_ref().clone().with_name(format!("a{i}"))).collect();
                let argument = |(i, given): (usize, &Arc<dyn PhysicalExpr>)| match given.downcast_ref::<Literal>() {
                    Some(_) => given.clone(),
                    None => Arc::new(Column::new(&format!("a{i}"), i)) as Arc<dyn PhysicalExpr>,
                };
                let arguments = args.input_exprs().iter().take(own).enumerate().map(argument).collect();
                let builder =
                    AggregateExprBuilder::new(function.clone(), arguments).schema(Arc::new(Schema::new(fields))).alias("neighbourhood");
                Some(if self.distinct { builder.distinct().build()? } else { builder.build()? })
            }
        };
        Ok(Box::new(CellByCell {
            what: self.what.clone(),
            aggregate,
            reaches: self.reaches.clone(),
            edge: self.edge,
            filtered: self.filtered,
            output: self.output.clone(),
            own,
        }))
    }
}

/// The definition, as it stands: for every cell its neighbours are gathered and aggregated.
struct CellByCell {
    what: What,
    aggregate: Option<AggregateFunctionExpr>,
    reaches: Vec<Reach>,
    edge: Edge,
    filtered: bool,
    output: DataType,
    own: usize,
}

impl fmt::Debug for CellByCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CellByCell({:?})", self.what)
    }
}

impl CellByCell {
    /// The cell numbers of the neighbours of a cell, in C order of the offsets, `None` for those beyond the ends; nothing at
    /// all where the edge makes the result NULL.
    fn neighbours(&self, cell: &[i64]) -> Option<Vec<Option<Vec<i64>>>> {
        let mut found: Vec<Option<Vec<i64>>> = vec![Some(vec![])];
        for (reach, &at) in self.reaches.iter().zip(cell) {
            let len = reach.frames.len() as i64;
            let (first, last) = usize::try_from(at).ok().and_then(|at| reach.frames.get(at)).copied().unwrap_or((0, -1));
            let mut along = Vec::new();
            for number in first..=last {
                let inside = (0..len).contains(&number);
                along.push(match self.edge {
                    _ if inside => Some(number),
                    Edge::Shrink => None,
                    Edge::Null => return None,
                    Edge::Clamp => Some(number.clamp(0, len - 1)),
                    Edge::Wrap => Some(number.rem_euclid(len)),
                });
            }
            let extended = |before: &Option<Vec<i64>>| -> Vec<Option<Vec<i64>>> {
                along.iter().map(|number| before.as_ref().zip(*number).map(|(b, n)| [b.as_slice(), &[n]].concat())).collect()
            };
            found = found.iter().flat_map(extended).collect();
        }
        Some(found)
    }

    fn value(&self, values: &[ArrayRef], rows: &[Option<u32>]) -> Result<ScalarValue> {
        if let What::Convolve(weights) = &self.what {
            let column = values[0].as_any().downcast_ref::<Float64Array>();
            let column = column.ok_or_else(|| internal_datafusion_err!("convolve is of {}", values[0].data_type()))?;
            let terms = rows.iter().zip(weights.values());
            let terms: Vec<f64> =
                terms.filter_map(|(row, w)| row.map(|r| r as usize).filter(|&r| column.is_valid(r)).map(|r| column.value(r) * w)).collect();
            return Ok(ScalarValue::Float64((!terms.is_empty()).then(|| terms.iter().sum())));
        }
        let Some(aggregate) = &self.aggregate else { return internal_err!("a neighbourhood without an aggregate") };
        let rows = UInt32Array::from_iter_values(rows.iter().flatten().copied());
        let gathered = values.iter().take(self.own).map(|v| Ok(compute::take(v, &rows, None)?)).collect::<Result<Vec<_>>>()?;
        let mut accumulator = aggregate.create_accumulator()?;
        accumulator.update_batch(&gathered)?;
        accumulator.evaluate()
    }
}

impl PartitionEvaluator for CellByCell {
    fn evaluate_all(&mut self, values: &[ArrayRef], num_rows: usize) -> Result<ArrayRef> {
        let numbers = &values[values.len() - self.reaches.len()..];
        let cell_of = |row: usize| -> Vec<i64> { numbers.iter().map(|n| n.as_primitive::<Int64Type>().value(row)).collect() };
        let counts = match self.filtered {
            true => values[self.own].as_any().downcast_ref::<BooleanArray>().cloned(),
            false => None,
        };
        // A cell that FILTER leaves out is there, and counts for nobody.
        let mut row_of: HashMap<Vec<i64>, Option<u32>> = HashMap::with_capacity(num_rows);
        for row in 0..num_rows {
            let counts = counts.as_ref().is_none_or(|c| c.is_valid(row) && c.value(row));
            if row_of.insert(cell_of(row), counts.then_some(row as u32)).is_some() {
                return exec_err!("AROUND: two rows are the same cell, so its neighbours are not known (a join, or an axis not selected?)");
            }
        }
        let mut results = Vec::with_capacity(num_rows);
        for row in 0..num_rows {
            results.push(match self.neighbours(&cell_of(row)) {
                None => ScalarValue::try_from(&self.output)?,
                Some(cells) => {
                    let rows: Vec<Option<u32>> = cells.iter().map(|c| c.as_ref().and_then(|c| row_of.get(c)).copied().flatten()).collect();
                    self.value(values, &rows)?
                }
            });
        }
        if results.is_empty() {
            return Ok(new_empty_array(&self.output));
        }
        ScalarValue::iter_to_array(results)
    }
}
