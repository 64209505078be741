//! `same_cell(axis, from, to)`: the coordinate of another grid's cell that is the same but for rounding; NULL for a coordinate
//! that the other grid has not. A join USING DIMS is on it where coordinates agree within the tolerance and are not equal.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, UInt32Array};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{Column, Result, ScalarValue, exec_err};
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

#[derive(Debug, PartialEq, Eq, Hash)]
struct SameCell {
    signature: Signature,
}

static FUNCTION: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Arc::new(ScalarUDF::from(SameCell { signature: Signature::any(3, Volatility::Immutable) })));

/// `axis`, with each coordinate of `from` replaced by the one of `to` at its place.
pub(crate) fn call(axis: Expr, from: ArrayRef, to: ArrayRef) -> Expr {
    let list = |values| Expr::Literal(ScalarValue::List(Arc::new(SingleRowListArrayBuilder::new(values).build_list_array())), None);
    FUNCTION.call(vec![axis, list(from), list(to)])
}

/// The column of an axis that a call is about, its coordinates, and those that come out; `None` for any other expression.
pub(crate) fn parts(expr: &Expr) -> Option<(&Column, ArrayRef, ArrayRef)> {
    let expr = if let Expr::Alias(alias) = expr { alias.expr.as_ref() } else { expr };
    let Expr::ScalarFunction(call) = expr else { return None };
    call.func.inner().downcast_ref::<SameCell>()?;
    match call.args.as_slice() {
        [Expr::Column(axis), Expr::Literal(ScalarValue::List(from), _), Expr::Literal(ScalarValue::List(to), _)] => {
            Some((axis, from.value(0), to.value(0)))
        }
        _ => None,
    }
}

impl ScalarUDFImpl for SameCell {
    fn name(&self) -> &str {
        "same_cell"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types.last() {
            Some(DataType::List(item)) => Ok(item.data_type().clone()),
            _ => exec_err!("same_cell(axis, from, to) wants two lists of coordinates"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let [values, ColumnarValue::Scalar(ScalarValue::List(from)), ColumnarValue::Scalar(ScalarValue::List(to))] = args.args.as_slice()
        else {
            return exec_err!("same_cell(axis, from, to) wants an axis and two lists of coordinates");
        };
        let (from, to) = (from.value(0), to.value(0));
        let converter = RowConverter::new(vec![SortField::new(from.data_type().clone())])?;
        let known = converter.convert_columns(std::slice::from_ref(&from))?;
        let numbers: HashMap<OwnedRow, u32> = known.iter().zip(0..).map(|(row, number)| (row.owned(), number)).collect();
        let given = converter.convert_columns(&[values.to_array(rows)?])?;
        let picks: UInt32Array = given.iter().map(|row| numbers.get(&row.owned()).copied()).collect();
        Ok(ColumnarValue::Array(compute::take(&to, &picks, None)?))
    }
}
