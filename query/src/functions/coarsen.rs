//! `coarsen(axis, n)`: the coordinate of the coarser cell that a cell belongs to, for GROUP BY.
//!
//! The cells of the axis, as the relation in FROM has it (its subset included, WHERE not), are taken n at a time from the
//! first on; the last group may be short. The coarser coordinate is the mean of the group's coordinates, of instants the mean
//! instant (rounded down to the unit of the axis). n is a constant of at least 1.
//!
//! A function of a coordinate cannot know its position, so planning ([`bind`]) gives each call the axis that it is about.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Float64Array, Int64Array, UInt32Array};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, Expr, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use crate::bind::origin::axis_of;
use crate::dense::reduce::grouped::as_type;
use crate::dense::reduce::ordered::to_words;

/// The function; with the axis, once it is known.
#[derive(Debug)]
struct Coarsen {
    signature: Signature,
    cells: Option<Arc<CoarseCells>>,
}

/// The coarser cells of one axis.
#[derive(Debug)]
struct CoarseCells {
    /// By word of a coordinate the number of its coarser cell.
    numbers: HashMap<u64, u32>,
    /// Coordinates of the coarser cells.
    coordinates: ArrayRef,
}

impl PartialEq for Coarsen {
    fn eq(&self, other: &Self) -> bool {
        match (&self.cells, &other.cells) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b) || (a.coordinates.to_data() == b.coordinates.to_data() && a.numbers == b.numbers),
            (None, None) => true,
            _ => false,
        }
    }
}

impl Eq for Coarsen {}

impl Hash for Coarsen {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.cells.as_ref().map(|c| c.coordinates.len()).hash(state);
    }
}

/// The function before planning knows its axis.
pub fn function() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(Coarsen { signature: Signature::user_defined(Volatility::Immutable), cells: None }))
}

/// Gives every call of `coarsen` in a plan its axis. Errors when its first argument is no axis of a cube.
pub(crate) fn bind(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        let inputs: Vec<LogicalPlan> = node.inputs().into_iter().cloned().collect();
        node.map_expressions(|expr| expr.transform_up(|e| bound(e, &inputs)))
    })
    .data()
}

fn bound(expr: Expr, inputs: &[LogicalPlan]) -> Result<Transformed<Expr>> {
    let Expr::ScalarFunction(mut call) = expr else { return Ok(Transformed::no(expr)) };
    match call.func.inner().downcast_ref::<Coarsen>() {
        Some(coarsen) if coarsen.cells.is_none() => {}
        _ => return Ok(Transformed::no(Expr::ScalarFunction(call))),
    }
    let [axis, n] = call.args.as_slice() else { return plan_err!("coarsen(axis, n) takes 2 arguments, not {}", call.args.len()) };
    let found = match axis {
        Expr::Column(c) => inputs.iter().filter(|i| i.schema().has_column(c)).find_map(|i| axis_of(i, c)),
        _ => None,
    };
    let Some((view, number)) = found else { return plan_err!("coarsen(axis, n) wants an axis of a cube first, and {axis} is none") };
    let n = match n {
        Expr::Literal(value, _) => match value.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(Some(n))) if n >= 1 => n as usize,
            _ => return plan_err!("coarsen(axis, n): n must be a whole number of at least 1, not {value}"),
        },
        other => return plan_err!("coarsen(axis, n): n must be a constant, not {other}"),
    };
    let name = &view.cube.grid.axes[number].name;
    let cells = CoarseCells::new(name, &view.axes[number].coordinates, n)?;
    let signature = Signature::user_defined(Volatility::Immutable);
    call.func = Arc::new(ScalarUDF::from(Coarsen { signature, cells: Some(Arc::new(cells)) }));
    Ok(Transformed::yes(Expr::ScalarFunction(call)))
}

impl CoarseCells {
    fn new(axis: &str, coordinates: &ArrayRef, n: usize) -> Result<CoarseCells> {
        let output = coarse_type(coordinates.data_type())?;
        let numbers: HashMap<u64, u32> = to_words(coordinates)?.into_iter().enumerate().map(|(i, word)| (word, (i / n) as u32)).collect();
        if numbers.len() < coordinates.len() {
            return plan_err!("coarsen: axis {axis} has a coordinate twice, so its cells cannot be told apart");
        }
        let means: ArrayRef = if coordinates.data_type().is_temporal() {
            let counts = as_type::<Int64Type>(coordinates)?;
            let mean = |c: &[i64]| c.iter().map(|&v| i128::from(v)).sum::<i128>().div_euclid(c.len() as i128) as i64;
            Arc::new(Int64Array::from_iter_values(counts.values().chunks(n).map(mean)))
        } else {
            let values = as_type::<Float64Type>(coordinates)?;
            Arc::new(Float64Array::from_iter_values(values.values().chunks(n).map(|c| c.iter().sum::<f64>() / c.len() as f64)))
        };
        Ok(CoarseCells { numbers, coordinates: compute::cast(&means, &output)? })
    }

    fn of(&self, coordinates: &ArrayRef) -> Result<ArrayRef> {
        let words = to_words(coordinates)?;
        let mut numbers = Vec::with_capacity(words.len());
        for (i, word) in words.into_iter().enumerate() {
            match self.numbers.get(&word) {
                Some(&number) => numbers.push(Some(number)),
                None if coordinates.is_null(i) => numbers.push(None),
                None => return exec_err!("coarsen is given a value that is no coordinate of its axis"),
            }
        }
        Ok(compute::take(&self.coordinates, &UInt32Array::from(numbers), None)?)
    }
}

/// Type of the mean of coordinates of this type.
fn coarse_type(t: &DataType) -> Result<DataType> {
    match t {
        DataType::Float32 | DataType::Timestamp(..) => Ok(t.clone()),
        t if t.is_numeric() => Ok(DataType::Float64),
        other => plan_err!("coarsen(axis, n) wants an axis of numbers or instants, not of {other}"),
    }
}

impl ScalarUDFImpl for Coarsen {
    fn name(&self) -> &str {
        "coarsen"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        match given {
            [axis, n] if n.is_integer() || n.is_null() => Ok(vec![axis.clone(), DataType::Int64]),
            [_, n] => plan_err!("coarsen(axis, n): n must be a whole number, not of type {n}"),
            other => plan_err!("coarsen(axis, n) takes 2 arguments, not {}", other.len()),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        coarse_type(types.first().unwrap_or(&DataType::Null))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(cells) = &self.cells else { return exec_err!("coarsen(axis, n) wants an axis of a cube") };
        let coordinates = args.args.first().ok_or_else(|| DataFusionError::Internal("coarsen without arguments".into()))?;
        match coordinates {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(cells.of(array)?)),
            ColumnarValue::Scalar(scalar) => {
                let one = cells.of(&scalar.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&one, 0)?))
            }
        }
    }
}
