//! `in_subset(axis, coordinates, fixed)`: a subset that is a filter, because what lies below it must be computed from more cells
//! than are selected (a window). `coordinates` is the list of those selected, `fixed` is true for a slice. In array form the axis
//! has these coordinates only, or is gone.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{ArrayRef, BooleanArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{Column, Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
    utils::split_conjunction,
};

#[derive(Debug, PartialEq, Eq, Hash)]
struct InSubset {
    signature: Signature,
}

static FUNCTION: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Arc::new(ScalarUDF::from(InSubset { signature: Signature::any(3, Volatility::Immutable) })));

/// A selection that a filter makes.
pub(crate) struct Selection {
    /// The axis's column.
    pub column: Column,
    /// The coordinates selected.
    pub coordinates: ArrayRef,
    /// True for a slice.
    pub fixed: bool,
}

/// The rows of `plan` at these coordinates of an axis.
pub(crate) fn above(plan: LogicalPlan, selection: Selection) -> Result<LogicalPlan> {
    let list = ScalarValue::List(Arc::new(SingleRowListArrayBuilder::new(selection.coordinates).build_list_array()));
    let args = vec![Expr::Column(selection.column), Expr::Literal(list, None), lit(selection.fixed)];
    LogicalPlanBuilder::from(plan).filter(FUNCTION.call(args))?.build()
}

/// The selections that a predicate makes.
pub(crate) fn selections(predicate: &Expr) -> Vec<Selection> {
    let of = |expr: &Expr| {
        let Expr::ScalarFunction(call) = expr else { return None };
        call.func.inner().downcast_ref::<InSubset>()?;
        let [Expr::Column(column), Expr::Literal(ScalarValue::List(list), _), Expr::Literal(ScalarValue::Boolean(fixed), _)] =
            call.args.as_slice()
        else {
            return None;
        };
        Some(Selection { column: column.clone(), coordinates: list.value(0), fixed: fixed.unwrap_or(false) })
    };
    split_conjunction(predicate).into_iter().filter_map(of).collect()
}

/// For each of `values` whether it is among `coordinates`, which are of the same type.
pub(crate) fn among(values: &ArrayRef, coordinates: &ArrayRef) -> Result<BooleanArray> {
    let converter = RowConverter::new(vec![SortField::new(coordinates.data_type().clone())])?;
    let rows = converter.convert_columns(std::slice::from_ref(coordinates))?;
    let wanted: HashSet<OwnedRow> = rows.iter().map(|row| row.owned()).collect();
    let rows = converter.convert_columns(std::slice::from_ref(values))?;
    Ok(rows.iter().map(|row| Some(wanted.contains(&row.owned()))).collect())
}

impl ScalarUDFImpl for InSubset {
    fn name(&self) -> &str {
        "in_subset"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let [values, ColumnarValue::Scalar(ScalarValue::List(list)), _] = args.args.as_slice() else {
            return exec_err!("in_subset(axis, coordinates, fixed) wants an axis and the list of its coordinates");
        };
        Ok(ColumnarValue::Array(Arc::new(among(&values.to_array(rows)?, &list.value(0))?)))
    }
}
