//! Calendar functions of instants: `year month day hour minute second dayofyear dayofweek week quarter season`.
//!
//! They take timestamps of any unit, with or without a time zone, and dates; the numbers agree with DataFusion's
//! `date_part` of the same field (Gregorian calendar, in the timestamp's own zone). NULL gives NULL. Text of a calendar
//! that timestamps cannot hold is read by that calendar (see `model_time`), any other text as a timestamp.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int32Array, StringArray};
use datafusion::arrow::compute::{self, CastOptions, DatePart, date_part};
use datafusion::arrow::datatypes::{DataType, Int32Type, TimeUnit};
use datafusion::common::types::{NativeType, logical_date, logical_string};
use datafusion::common::utils::take_function_args;
use datafusion::common::{Result, ScalarValue, exec_err, internal_err};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    Coercion, ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, TypeSignatureClass, Volatility,
};
use graticule_storage::array;

use super::model_time;

/// The seasons by month, January first: December to February, and so on, as climatology names them.
const SEASONS: [&str; 12] = ["DJF", "DJF", "MAM", "MAM", "MAM", "JJA", "JJA", "JJA", "SON", "SON", "SON", "DJF"];

/// What a calendar function takes out of an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Field {
    Year,
    Quarter,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
    DayOfYear,
    /// Sunday is 0, as in PostgreSQL's and DataFusion's `dow`.
    DayOfWeek,
    Season,
}

impl Field {
    const ALL: [Field; 11] = [
        Field::Year,
        Field::Quarter,
        Field::Month,
        Field::Week,
        Field::Day,
        Field::Hour,
        Field::Minute,
        Field::Second,
        Field::DayOfYear,
        Field::DayOfWeek,
        Field::Season,
    ];

    fn name(self) -> &'static str {
        match self {
            Field::Year => "year",
            Field::Quarter => "quarter",
            Field::Month => "month",
            Field::Week => "week",
            Field::Day => "day",
            Field::Hour => "hour",
            Field::Minute => "minute",
            Field::Second => "second",
            Field::DayOfYear => "dayofyear",
            Field::DayOfWeek => "dayofweek",
            Field::Season => "season",
        }
    }

    /// The field of Arrow that it is computed from.
    fn part(self) -> DatePart {
        match self {
            Field::Year => DatePart::Year,
            Field::Quarter => DatePart::Quarter,
            Field::Month | Field::Season => DatePart::Month,
            Field::Week => DatePart::Week,
            Field::Day => DatePart::Day,
            Field::Hour => DatePart::Hour,
            Field::Minute => DatePart::Minute,
            Field::Second => DatePart::Second,
            Field::DayOfYear => DatePart::DayOfYear,
            Field::DayOfWeek => DatePart::DayOfWeekSunday0,
        }
    }

    fn of(self, instants: &dyn Array) -> Result<ArrayRef> {
        let numbers = date_part(instants, self.part())?;
        if self != Field::Season {
            return Ok(numbers);
        }
        Ok(self.named(numbers.as_primitive::<Int32Type>().clone()))
    }

    /// The seasons of months; numbers of any other field as they are.
    fn named(self, numbers: Int32Array) -> ArrayRef {
        if self != Field::Season {
            return Arc::new(numbers);
        }
        let season = |m: i32| usize::try_from(m - 1).ok().and_then(|i| SEASONS.get(i)).copied();
        Arc::new(numbers.iter().map(|m| m.and_then(season)).collect::<StringArray>())
    }
}

/// One calendar function.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Calendar {
    field: Field,
    signature: Signature,
}

/// The calendar functions, as DataFusion wants them.
pub fn functions() -> Vec<Arc<ScalarUDF>> {
    Field::ALL.into_iter().map(|field| Arc::new(ScalarUDF::from(Calendar::new(field)))).collect()
}

impl Calendar {
    fn new(field: Field) -> Self {
        let instant = Coercion::new_implicit(
            TypeSignatureClass::Timestamp,
            vec![TypeSignatureClass::Native(logical_string())],
            NativeType::Timestamp(TimeUnit::Nanosecond, None),
        );
        let date = Coercion::new_exact(TypeSignatureClass::Native(logical_date()));
        // Text stays text: it may be a time of a calendar that timestamps cannot hold.
        let text = Coercion::new_exact(TypeSignatureClass::Native(logical_string()));
        let mut accepted =
            vec![TypeSignature::Coercible(vec![text]), TypeSignature::Coercible(vec![instant]), TypeSignature::Coercible(vec![date])];
        if matches!(field, Field::Hour | Field::Minute | Field::Second) {
            accepted.push(TypeSignature::Coercible(vec![Coercion::new_exact(TypeSignatureClass::Time)]));
        }
        Calendar { field, signature: Signature::one_of(accepted, Volatility::Immutable) }
    }
}

impl Calendar {
    /// Of text: by the column's calendar, where it has one; else as the timestamp that it stands for.
    fn of_text(&self, texts: &ArrayRef, calendar: Option<array::Calendar>) -> Result<ArrayRef> {
        let Some(calendar) = calendar else {
            let instants = DataType::Timestamp(TimeUnit::Nanosecond, None);
            return self.field.of(&compute::kernels::cast::cast_with_options(
                texts,
                &instants,
                &CastOptions { safe: false, ..Default::default() },
            )?);
        };
        let texts = compute::cast(texts, &DataType::Utf8)?;
        let number = |text: &str| -> Result<i32> {
            let (microseconds, _) = calendar.period(text).map_err(DataFusionError::Execution)?;
            let at = calendar.date(microseconds);
            let seconds = at.microseconds / 1_000_000;
            let number = match self.field {
                Field::Year => at.year,
                Field::Quarter => (at.month + 2) / 3,
                Field::Month | Field::Season => at.month,
                Field::Day => at.day,
                Field::Hour => seconds / 3_600,
                Field::Minute => seconds / 60 % 60,
                Field::Second => seconds % 60,
                Field::DayOfYear => at.day_of_year,
                // The calendar's days are those of the world: 1970-01-01 was a Thursday, the Julian one thirteen days later.
                Field::DayOfWeek if matches!(calendar, array::Calendar::Standard | array::Calendar::Julian) => {
                    let shift = if calendar == array::Calendar::Julian { 13 } else { 0 };
                    (microseconds.div_euclid(86_400_000_000) + shift + 4).rem_euclid(7)
                }
                Field::DayOfWeek | Field::Week => {
                    return exec_err!("{}: the calendar {} has no weeks", self.name(), calendar.name());
                }
            };
            i32::try_from(number).map_err(|e| DataFusionError::External(Box::new(e)))
        };
        let numbers = texts.as_string::<i32>().iter().map(|t| t.map(number).transpose()).collect::<Result<Int32Array>>()?;
        Ok(self.field.named(numbers))
    }
}

impl ScalarUDFImpl for Calendar {
    fn name(&self) -> &str {
        self.field.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(if self.field == Field::Season { DataType::Utf8 } else { DataType::Int32 })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let calendar = args.arg_fields.first().and_then(|f| model_time::calendar_of(f));
        let [instants] = take_function_args(self.name(), args.args)?;
        let of = |array: &ArrayRef| match array.data_type().is_string() {
            true => self.of_text(array, calendar),
            false => self.field.of(array),
        };
        match instants {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(of(&array)?)),
            ColumnarValue::Scalar(scalar) => {
                let one = of(&scalar.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&one, 0)?))
            }
        }
    }

    /// Only years rise with time.
    fn output_ordering(&self, input: &[ExprProperties]) -> Result<SortProperties> {
        match (self.field, input) {
            (Field::Year, [instants]) => Ok(instants.sort_properties),
            (_, [_]) => Ok(SortProperties::Unordered),
            _ => internal_err!("{} takes one argument, not {}", self.name(), input.len()),
        }
    }

    /// `year(time) = 2020` as `time >= 2020-01-01 AND time < 2021-01-01`, so that it chooses chunks.
    fn preimage(&self, args: &[Expr], literal: &Expr, context: &SimplifyContext) -> Result<PreimageResult> {
        let ([instants], Field::Year, Some(ScalarValue::Int32(Some(year)))) = (args, self.field, literal.as_literal()) else {
            return Ok(PreimageResult::None);
        };
        let data_type = context.get_data_type(instants)?;
        let (Some(from), Some(to)) = (start_of_year(*year, &data_type), year.checked_add(1).and_then(|y| start_of_year(y, &data_type)))
        else {
            return Ok(PreimageResult::None);
        };
        Ok(PreimageResult::Range { expr: instants.clone(), interval: Box::new(Interval::try_new(from, to)?) })
    }
}

/// The first instant of a year in a type; `None` where the type cannot hold it, or needs a time zone to know it.
fn start_of_year(year: i32, data_type: &DataType) -> Option<ScalarValue> {
    let days = chrono::NaiveDate::from_ymd_opt(year, 1, 1)?.signed_duration_since(chrono::NaiveDate::default()).num_days();
    let count = |per_second: i64| days.checked_mul(86_400)?.checked_mul(per_second);
    Some(match data_type {
        DataType::Date32 => ScalarValue::Date32(Some(i32::try_from(days).ok()?)),
        DataType::Timestamp(TimeUnit::Second, None) => ScalarValue::TimestampSecond(Some(count(1)?), None),
        DataType::Timestamp(TimeUnit::Millisecond, None) => ScalarValue::TimestampMillisecond(Some(count(1_000)?), None),
        DataType::Timestamp(TimeUnit::Microsecond, None) => ScalarValue::TimestampMicrosecond(Some(count(1_000_000)?), None),
        DataType::Timestamp(TimeUnit::Nanosecond, None) => ScalarValue::TimestampNanosecond(Some(count(1_000_000_000)?), None),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Date32Array, RecordBatch, TimestampNanosecondArray, TimestampSecondArray};
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::prelude::SessionContext;

    use super::*;

    fn context() -> SessionContext {
        let context = SessionContext::new();
        for f in functions() {
            context.register_udf(f.as_ref().clone());
        }
        // 2020-02-29T23:59:58, 1969-12-31T00:00:01, NULL, 2023-07-02 (a Sunday) 12:30:00
        let seconds = [Some(1_583_020_798), Some(-86_399), None, Some(1_688_301_000)];
        let nanos: TimestampNanosecondArray = seconds.iter().map(|s| s.map(|s: i64| s * 1_000_000_000)).collect();
        let dates: Date32Array = seconds.iter().map(|s| s.map(|s| s.div_euclid(86_400) as i32)).collect();
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("s", Arc::new(TimestampSecondArray::from(seconds.to_vec())) as ArrayRef, true),
            ("ns", Arc::new(nanos) as ArrayRef, true),
            ("d", Arc::new(dates) as ArrayRef, true),
        ]);
        context.register_batch("t", batch.unwrap()).unwrap();
        context
    }

    async fn table(sql: &str) -> String {
        let batches = context().sql(sql).await.unwrap().collect().await.unwrap();
        let text = pretty_format_batches(&batches).unwrap().to_string();
        let rows = text.lines().skip(3).filter(|l| l.starts_with('|'));
        rows.map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ").replace("| ", "").replace(" |", "").replace('|', ""))
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[tokio::test]
    async fn fields_of_instants_before_and_after_1970_and_null() {
        let sql = "SELECT year(s), month(s), day(ns), hour(ns), minute(s), second(s), dayofyear(ns), dayofweek(s), quarter(s) FROM t WHERE s IS NOT NULL";
        assert_eq!(table(sql).await, "2020 2 29 23 59 58 60 6 1\n1969 12 31 0 0 1 365 3 4\n2023 7 2 12 30 0 183 0 3");
        assert_eq!(table("SELECT count(*) FROM t WHERE month(s) IS NULL AND season(ns) IS NULL AND year(d) IS NULL").await, "1");
    }

    #[tokio::test]
    async fn every_field_is_date_parts() {
        for (name, part) in [
            ("year", "year"),
            ("quarter", "quarter"),
            ("month", "month"),
            ("week", "week"),
            ("day", "day"),
            ("hour", "hour"),
            ("minute", "minute"),
            ("second", "second"),
            ("dayofyear", "doy"),
            ("dayofweek", "dow"),
        ] {
            let agree = ["s", "ns", "d"].map(|c| format!("({name}({c}) IS NOT DISTINCT FROM date_part('{part}', {c}))")).join(" AND ");
            assert_eq!(table(&format!("SELECT count(*) FROM t WHERE {agree}")).await, "4", "{name}");
        }
    }

    #[tokio::test]
    async fn seasons_by_month() {
        let sql = "SELECT string_agg(season(make_date(2001, m, 1)), ' ' ORDER BY m) FROM (SELECT unnest(range(1, 13)) AS m)";
        assert_eq!(table(sql).await, "DJF DJF MAM MAM MAM JJA JJA JJA SON SON SON DJF");
        assert_eq!(table("SELECT season(s), season(d) FROM t WHERE s > '2022-01-01'").await, "JJA JJA");
    }

    #[tokio::test]
    async fn a_year_becomes_a_range_of_instants() {
        let plan = context().sql("SELECT s FROM t WHERE year(ns) = 2020").await.unwrap().into_optimized_plan().unwrap();
        let text = plan.display_indent().to_string();
        assert!(text.contains("ns >= ") && !text.contains("year("), "{text}");
        assert_eq!(table("SELECT count(*) FROM t WHERE year(ns) = 2020 OR year(d) > 2021").await, "2");
        // Past the end of nanoseconds there is no such range, and the function itself answers.
        assert_eq!(table("SELECT count(*) FROM t WHERE year(ns) = 2262").await, "0");
        assert_eq!(table("SELECT count(*) FROM t WHERE year(ns) < 3000").await, "3");
    }

    #[tokio::test]
    async fn text_of_a_calendar_is_read_by_that_calendar() {
        let context = context();
        let column = |name: &str, calendar: &str| {
            let metadata = [(crate::view::CALENDAR.to_string(), calendar.to_string())].into();
            datafusion::arrow::datatypes::Field::new(name, DataType::Utf8, true).with_metadata(metadata)
        };
        let schema = datafusion::arrow::datatypes::Schema::new(vec![column("a", "360_day"), column("b", "standard")]);
        let times = [Some("2001-02-30T12:34:56.5"), None, Some("2001-12-30T00:00:00")];
        let old = [Some("1582-10-15T00:00:00"), Some("1582-10-04T00:00:00"), Some("1970-01-01T00:00:00")];
        let columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(times.to_vec())), Arc::new(StringArray::from(old.to_vec()))];
        context.register_batch("m", RecordBatch::try_new(Arc::new(schema), columns).unwrap()).unwrap();
        let one = async |sql: &str| {
            let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
            pretty_format_batches(&batches).unwrap().to_string().lines().skip(3).filter(|l| l.starts_with('|')).collect::<String>()
        };
        let sql = "SELECT year(a), month(a), day(a), hour(a), minute(a), second(a), dayofyear(a), quarter(a), season(a) FROM m WHERE a < '2001-03'";
        assert_eq!(one(sql).await.split_whitespace().collect::<String>(), "|2001|2|30|12|34|56|60|1|DJF|");
        assert_eq!(one("SELECT string_agg(CAST(dayofweek(b) AS VARCHAR), ' ') FROM m").await.trim_matches(['|', ' ']), "5 4 4");
        let error = context.sql("SELECT dayofweek(a) FROM m").await.unwrap().collect().await.unwrap_err().to_string();
        assert!(error.contains("360_day has no weeks"), "{error}");
    }

    #[tokio::test]
    async fn text_is_read_as_an_instant_and_numbers_are_refused() {
        assert_eq!(table("SELECT month('2020-05-17T01:02:03')").await, "5");
        assert!(context().sql("SELECT month(5)").await.is_err());
    }
}
