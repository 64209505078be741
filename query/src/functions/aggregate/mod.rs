//! The aggregates that the dialect adds to DataFusion's own, or replaces: `wsum wavg quantile median mode arg_max arg_min
//! histogram corr covar_* regr_*`. Each file opens with its formulas.
//!
//! One state ([`Grouped`]) serves them everywhere: in a dense reduction, in DataFusion's hash aggregation, and OVER windows.

mod accumulators;
mod arg;
mod histogram;
mod pairs;
mod ranked;
#[cfg(test)]
mod tests;
mod weighted;

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::{Result, ScalarValue, not_impl_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility};
use datafusion::physical_expr::PhysicalExpr;

use self::pairs::Statistic;
use self::ranked::Rank;
use crate::dense::reduce::grouped::{Grouped, is_number};
use crate::dense::reduce::ordered::has_words;

/// Makes a state without groups.
pub(crate) type Make = dyn Fn() -> Result<Box<dyn Grouped>> + Send + Sync;

/// Which aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    WeightedSum,
    WeightedAvg,
    Quantile,
    Median,
    Mode,
    ArgMax,
    ArgMin,
    Histogram,
    Pair(Statistic),
}

/// Name, other names, kind.
const AGGREGATES: &[(&str, &[&str], Kind)] = &[
    ("wsum", &[], Kind::WeightedSum),
    ("wavg", &[], Kind::WeightedAvg),
    ("quantile", &[], Kind::Quantile),
    ("median", &[], Kind::Median),
    ("mode", &[], Kind::Mode),
    ("arg_max", &[], Kind::ArgMax),
    ("arg_min", &[], Kind::ArgMin),
    ("histogram", &[], Kind::Histogram),
    ("corr", &[], Kind::Pair(Statistic::Corr)),
    ("covar_pop", &[], Kind::Pair(Statistic::CovarPop)),
    ("covar_samp", &["covar"], Kind::Pair(Statistic::CovarSamp)),
    ("regr_slope", &[], Kind::Pair(Statistic::Slope)),
    ("regr_intercept", &[], Kind::Pair(Statistic::Intercept)),
    ("regr_r2", &[], Kind::Pair(Statistic::R2)),
    ("regr_count", &[], Kind::Pair(Statistic::Count)),
    ("regr_avgy", &[], Kind::Pair(Statistic::AvgY)),
    ("regr_avgx", &[], Kind::Pair(Statistic::AvgX)),
    ("regr_syy", &[], Kind::Pair(Statistic::Syy)),
    ("regr_sxx", &[], Kind::Pair(Statistic::Sxx)),
    ("regr_sxy", &[], Kind::Pair(Statistic::Sxy)),
];

/// All aggregate functions of the dialect.
pub fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    let of = |&(name, aliases, kind): &(&'static str, &'static [&'static str], Kind)| {
        let aliases = aliases.iter().map(|a| a.to_string()).collect();
        Arc::new(AggregateUDF::from(CubeAggregate { name, aliases, kind, signature: Signature::user_defined(Volatility::Immutable) }))
    };
    AGGREGATES.iter().map(of).collect()
}

/// What makes states of `count(DISTINCT v)` for values of this type, a number or an instant.
pub(crate) fn count_different(t: &DataType) -> Result<Arc<Make>> {
    ranked::ranked(Rank::Different, false, t)?;
    let t = t.clone();
    Ok(Arc::new(move || ranked::ranked(Rank::Different, false, &t)))
}

/// One aggregate function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct CubeAggregate {
    name: &'static str,
    aliases: Vec<String>,
    kind: Kind,
    signature: Signature,
}

impl CubeAggregate {
    /// Arguments that are values of cells; those after them are constants.
    pub fn values(&self) -> usize {
        match self.kind {
            Kind::Quantile | Kind::Median | Kind::Mode | Kind::Histogram => 1,
            _ => 2,
        }
    }

    /// True when all values of a group are needed at once.
    pub fn is_ranked(&self) -> bool {
        matches!(self.kind, Kind::Quantile | Kind::Median | Kind::Mode)
    }

    /// True when a group of nothing has a value.
    pub fn counts(&self) -> bool {
        matches!(self.kind, Kind::Histogram | Kind::Pair(Statistic::Count))
    }

    /// Bytes that a group takes before it has values.
    pub fn group_bytes(&self, exprs: &[Arc<dyn PhysicalExpr>]) -> usize {
        match self.kind {
            Kind::WeightedSum | Kind::WeightedAvg | Kind::ArgMax | Kind::ArgMin => 24,
            Kind::Quantile | Kind::Median | Kind::Mode => size_of::<Vec<u8>>(),
            Kind::Pair(_) => 64,
            Kind::Histogram => 8 * constant_int(self.name, exprs, 3).map_or(1, |n| n.max(1) as usize),
        }
    }

    /// A state without groups.
    fn state_of(&self, exprs: &[Arc<dyn PhysicalExpr>], types: &[DataType], distinct: bool) -> Result<Box<dyn Grouped>> {
        if distinct && !self.is_ranked() {
            return not_impl_err!("DISTINCT in {}", self.name);
        }
        let t = |i: usize| types.get(i).cloned().unwrap_or(DataType::Null);
        Ok(match self.kind {
            Kind::WeightedSum => Box::new(weighted::Weighted::new(false)),
            Kind::WeightedAvg => Box::new(weighted::Weighted::new(true)),
            Kind::Pair(statistic) => Box::new(pairs::Pairs::new(statistic)),
            Kind::ArgMax | Kind::ArgMin => Box::new(arg::ArgExtreme::new(self.kind == Kind::ArgMax, (t(0), t(1)))),
            Kind::Histogram => {
                let [low, high] = [constant(self.name, exprs, 1)?, constant(self.name, exprs, 2)?];
                Box::new(histogram::Histogram::new(histogram::Bins::new(low, high, constant_int(self.name, exprs, 3)?)?))
            }
            Kind::Quantile => ranked::ranked(Rank::quantile(constant(self.name, exprs, 1)?)?, distinct, &t(0))?,
            Kind::Median => ranked::ranked(Rank::Quantile(0.5), distinct, &t(0))?,
            Kind::Mode => ranked::ranked(Rank::Mode, distinct, &t(0))?,
        })
    }

    /// True when values are only added up, so that a number type may stand for a wider one.
    pub fn adds(&self) -> bool {
        matches!(self.kind, Kind::WeightedSum | Kind::WeightedAvg | Kind::Histogram | Kind::Pair(_))
    }

    /// What makes states without groups; an error when the constants are wrong. `exprs`: all arguments; `types`: theirs.
    pub fn maker(&self, exprs: &[Arc<dyn PhysicalExpr>], types: &[DataType], distinct: bool) -> Result<Arc<Make>> {
        self.state_of(exprs, types, distinct)?;
        let of = CubeAggregate { name: self.name, aliases: vec![], kind: self.kind, signature: self.signature.clone() };
        let (exprs, types) = (exprs.to_vec(), types.to_vec());
        Ok(Arc::new(move || of.state_of(&exprs, &types, distinct)))
    }

    fn maker_for(&self, args: &AccumulatorArgs) -> Result<Arc<Make>> {
        let types: Vec<DataType> = args.expr_fields.iter().map(|f| f.data_type().clone()).collect();
        self.maker(args.exprs, &types, args.is_distinct)
    }
}

/// Argument `i`, which must not depend on cells.
fn constant(name: &str, exprs: &[Arc<dyn PhysicalExpr>], i: usize) -> Result<f64> {
    match constant_value(name, exprs, i)?.cast_to(&DataType::Float64)? {
        ScalarValue::Float64(Some(v)) => Ok(v),
        _ => plan_err!("{name}: argument {} must not be NULL", i + 1),
    }
}

fn constant_int(name: &str, exprs: &[Arc<dyn PhysicalExpr>], i: usize) -> Result<i64> {
    match constant_value(name, exprs, i)?.cast_to(&DataType::Int64)? {
        ScalarValue::Int64(Some(v)) => Ok(v),
        _ => plan_err!("{name}: argument {} must not be NULL", i + 1),
    }
}

fn constant_value(name: &str, exprs: &[Arc<dyn PhysicalExpr>], i: usize) -> Result<ScalarValue> {
    let value = exprs.get(i).and_then(|expr| {
        if !datafusion::physical_expr::utils::collect_columns(expr).is_empty() {
            return None;
        }
        let one = RecordBatchOptions::new().with_row_count(Some(1));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &one).ok()?;
        let array = expr.evaluate(&batch).and_then(|v| v.into_array(1)).ok()?;
        ScalarValue::try_from_array(&array, 0).ok()
    });
    match value {
        Some(value) => Ok(value),
        None => plan_err!("{name}: argument {} must be a constant", i + 1),
    }
}

impl AggregateUDFImpl for CubeAggregate {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let takes = match self.kind {
            Kind::WeightedSum | Kind::WeightedAvg => "(v, w)",
            Kind::Quantile => "(v, p)",
            Kind::Median | Kind::Mode => "(v)",
            Kind::ArgMax | Kind::ArgMin => "(v, k)",
            Kind::Histogram => "(v, lo, hi, n)",
            Kind::Pair(_) => "(y, x)",
        };
        let count = takes.matches(',').count() + 1;
        if given.len() != count {
            return plan_err!("{}{takes} takes {count} arguments, not {}", self.name, given.len());
        }
        let number = |t: &DataType| {
            if t.is_numeric() || t.is_null() {
                return Ok(DataType::Float64);
            }
            plan_err!("{}{takes} takes numbers, not {t}", self.name)
        };
        // Kept in its own type where it is one that can be compared.
        let comparable = |t: &DataType| match t {
            t if has_words(t) => Ok(t.clone()),
            t if t.is_numeric() || t.is_null() => Ok(DataType::Float64),
            t => plan_err!("{}{takes} takes numbers and instants, not {t}", self.name),
        };
        let own_number = |t: &DataType| if is_number(t) { Ok(t.clone()) } else { number(t) };
        match self.kind {
            Kind::WeightedSum | Kind::WeightedAvg | Kind::Pair(_) => given.iter().map(number).collect(),
            Kind::Quantile => Ok(vec![own_number(&given[0])?, number(&given[1])?]),
            Kind::Median => Ok(vec![own_number(&given[0])?]),
            Kind::Mode | Kind::ArgMax | Kind::ArgMin => given.iter().map(comparable).collect(),
            Kind::Histogram => {
                Ok(vec![number(&given[0])?, number(&given[1])?, number(&given[2])?, number(&given[3]).map(|_| DataType::Int64)?])
            }
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(match (self.kind, types) {
            (Kind::Pair(Statistic::Count), _) => DataType::Int64,
            (Kind::Histogram, _) => histogram::list_of_counts(),
            (Kind::Mode, [v, ..]) => ranked::output_type(Rank::Mode, v),
            (Kind::ArgMax | Kind::ArgMin, [_, k]) => k.clone(),
            _ => DataType::Float64,
        })
    }

    fn is_nullable(&self) -> bool {
        !self.counts()
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        match self.kind {
            Kind::Pair(Statistic::Count) => Ok(ScalarValue::Int64(Some(0))),
            _ => ScalarValue::try_from(data_type),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let t = |i: usize| args.input_fields.get(i).map_or(DataType::Null, |f: &FieldRef| f.data_type().clone());
        let fields: Vec<(&str, DataType)> = match self.kind {
            Kind::WeightedSum | Kind::WeightedAvg => {
                vec![("products", DataType::Float64), ("weights", DataType::Float64), ("count", DataType::UInt64)]
            }
            Kind::Pair(_) => {
                let mut fields = vec![("count", DataType::UInt64)];
                fields.extend(["mean_y", "mean_x", "syy", "sxx", "sxy"].map(|name| (name, DataType::Float64)));
                fields
            }
            Kind::ArgMax | Kind::ArgMin => vec![("v", t(0)), ("k", t(1))],
            Kind::Histogram => vec![("counts", histogram::list_of_counts())],
            Kind::Quantile | Kind::Median | Kind::Mode => {
                vec![("values", DataType::List(Arc::new(Field::new_list_field(t(0), true))))]
            }
        };
        Ok(fields.into_iter().map(|(name, t)| Arc::new(Field::new(format_state_name(args.name, name), t, true))).collect())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(accumulators::Single::new(self.maker_for(&args)?()?, self.values())))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(accumulators::Sliding::new(self.maker_for(&args)?, self.values())))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(accumulators::Groups::new(self.maker_for(&args)?, self.values())?))
    }

    fn order_sensitivity(&self) -> datafusion::logical_expr::utils::AggregateOrderSensitivity {
        datafusion::logical_expr::utils::AggregateOrderSensitivity::Insensitive
    }
}
