//! The functions that `AROUND` is written with in plain SQL: `around('y', -1, 1)` and `edge('clamp')` order a window,
//! `convolve(v, weights)` is an aggregate that only such a window has. They are marks: `bind/around.rs` replaces them before
//! anything runs. [`CellNumber`] is what it orders by.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    ColumnarValue, PartitionEvaluator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, WindowUDF, WindowUDFImpl,
};

/// What stands behind the ends of an error about a mark that nothing replaced.
const MISPLACED: &str = "stands in the ORDER BY of a window only, as in avg(v) OVER (ORDER BY around('y', -1, 1)), \
                         which is avg(v) AROUND (y(-1:1))";

/// The scalar functions among the marks.
pub fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    ["around", "edge"].into_iter().map(|name| Arc::new(ScalarUDF::from(Mark { name, signature: mark_signature() }))).collect()
}

/// The window functions among the marks.
pub fn window_functions() -> Vec<Arc<WindowUDF>> {
    vec![Arc::new(WindowUDF::from(Mark { name: "convolve", signature: mark_signature() }))]
}

fn mark_signature() -> Signature {
    Signature::variadic_any(Volatility::Stable)
}

/// A name for the planner.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Mark {
    name: &'static str,
    signature: Signature,
}

impl ScalarUDFImpl for Mark {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        plan_err!("{} {MISPLACED}", self.name)
    }
}

impl WindowUDFImpl for Mark {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(args.name(), DataType::Float64, true)))
    }

    fn partition_evaluator(&self, _: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        plan_err!("convolve stands with a neighbourhood: convolve(v, [[0, 1, 0], [1, -4, 1], [0, 1, 0]]) AROUND (y, x)")
    }
}

/// The position of a coordinate along its axis, from 0: what a neighbourhood in cells is counted in. NULL for what is no
/// coordinate of the axis.
#[derive(Debug)]
pub struct CellNumber {
    axis: String,
    numbers: Arc<Numbers>,
    signature: Signature,
}

#[derive(Debug)]
struct Numbers {
    converter: RowConverter,
    of: HashMap<OwnedRow, i64>,
}

impl CellNumber {
    /// Along the axis of these coordinates. Error: two cells share a coordinate.
    pub fn new(axis: &str, coordinates: &ArrayRef) -> Result<CellNumber> {
        let converter = RowConverter::new(vec![SortField::new(coordinates.data_type().clone())])?;
        let rows = converter.convert_columns(std::slice::from_ref(coordinates))?;
        let of: HashMap<OwnedRow, i64> = rows.iter().zip(0..).map(|(row, number)| (row.owned(), number)).collect();
        if of.len() < coordinates.len() {
            return plan_err!("two cells of axis {axis} have the same coordinate, so a cell has no place among the others");
        }
        let numbers = Arc::new(Numbers { converter, of });
        Ok(CellNumber { axis: axis.to_owned(), numbers, signature: Signature::any(1, Volatility::Immutable) })
    }
}

impl PartialEq for CellNumber {
    fn eq(&self, other: &Self) -> bool {
        self.axis == other.axis && (Arc::ptr_eq(&self.numbers, &other.numbers) || self.numbers.of == other.numbers.of)
    }
}

impl Eq for CellNumber {}

impl Hash for CellNumber {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.axis, self.numbers.of.len()).hash(state);
    }
}

impl ScalarUDFImpl for CellNumber {
    fn name(&self) -> &str {
        "cell_number"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let rows = self.numbers.converter.convert_columns(&columns)?;
        let numbers: Int64Array = rows.iter().map(|row| self.numbers.of.get(&row.owned()).copied()).collect();
        Ok(ColumnarValue::Array(Arc::new(numbers)))
    }
}
