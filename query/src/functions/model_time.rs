//! Times of calendars that timestamps cannot hold: ISO text in columns whose fields name the calendar. Here is how they are
//! told apart, and `date_trunc` of them; `calendar.rs` has their years, months and days.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{ArrayRef, AsArray, StringArray};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::utils::take_function_args;
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use graticule_storage::array::Calendar;

use crate::view::CALENDAR;

/// The calendar that a field's text is of.
pub(crate) fn calendar_of(field: &Field) -> Option<Calendar> {
    field.metadata().get(CALENDAR).and_then(|name| Calendar::from_name(Some(name)))
}

/// `date_trunc(part, text)`: takes the place of DataFusion's own where the argument is such a column.
pub(crate) fn truncate() -> Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> =
        LazyLock::new(|| Arc::new(ScalarUDF::from(Truncate { signature: Signature::any(2, Volatility::Immutable) })));
    FUNCTION.clone()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Truncate {
    signature: Signature,
}

impl ScalarUDFImpl for Truncate {
    fn name(&self) -> &str {
        "date_trunc"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    /// What is cut off stays a time of the calendar.
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let metadata = args.arg_fields.get(1).map(|f| f.metadata().clone()).unwrap_or_default();
        let metadata = metadata.into_iter().filter(|(name, _)| name == CALENDAR).collect();
        Ok(Arc::new(Field::new(self.name(), DataType::Utf8, true).with_metadata(metadata)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [part, times] = take_function_args(self.name(), args.args)?;
        let part = match part {
            ColumnarValue::Scalar(scalar) => match scalar.cast_to(&DataType::Utf8)? {
                ScalarValue::Utf8(Some(part)) => part.to_ascii_lowercase(),
                other => return exec_err!("date_trunc wants the name of a part, not {other}"),
            },
            ColumnarValue::Array(_) => return exec_err!("date_trunc wants one part for all rows"),
        };
        let of = |array: &ArrayRef| -> Result<ArrayRef> {
            let texts = compute::cast(array, &DataType::Utf8)?;
            let cut = texts.as_string::<i32>().iter().map(|t| t.map(|t| truncated(&part, t)).transpose());
            Ok(Arc::new(cut.collect::<Result<StringArray>>()?))
        };
        match times {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(of(&array)?)),
            ColumnarValue::Scalar(scalar) => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&of(&scalar.to_array()?)?, 0)?)),
        }
    }
}

/// The first instant of the part that a time lies in. Works on the text: all calendars have twelve months and begin the day alike.
fn truncated(part: &str, text: &str) -> Result<String> {
    let quarter = || text.get(5..7).and_then(|m| m.parse::<u32>().ok()).map(|m| format!("{:02}", (m.max(1) - 1) / 3 * 3 + 1));
    let (kept, rest) = match part {
        "year" | "years" => (4, "-01-01T00:00:00".to_owned()),
        "quarter" | "quarters" => (4, format!("-{}-01T00:00:00", quarter().unwrap_or_else(|| "01".into()))),
        "month" | "months" => (7, "-01T00:00:00".to_owned()),
        "day" | "days" => (10, "T00:00:00".to_owned()),
        "hour" | "hours" => (13, ":00:00".to_owned()),
        "minute" | "minutes" => (16, ":00".to_owned()),
        "second" | "seconds" => (19, String::new()),
        other => return plan_err!("date_trunc cannot cut times of this calendar at {other}"),
    };
    Ok(text.get(..kept).unwrap_or(text).to_owned() + &rest)
}
