//! Keyed reductions over tiles.
//!
//! A group key is a function of one axis, so the group of a cell is a sum of one number an axis: no hashing, no rows. Large
//! outputs are split (every group is finished in one place: [`Split::Output`]), small ones split the input and merge states
//! ([`Split::Input`]).

mod accumulate;
mod blocks;
mod edge;
pub(crate) mod grouped;
mod joint;
pub(crate) mod kernel;
mod keys;
pub(crate) mod number;
pub(crate) mod ordered;
mod state;
mod zonal;

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;

pub(crate) use accumulate::{Aggregate, Function, without_widening};
pub(crate) use blocks::{Block, BlockGrid};
pub(crate) use joint::{JointGroups, JointKey};
pub(crate) use keys::{AxisKey, GroupSpace};
pub(crate) use state::Accumulators;
pub(crate) use zonal::{PairColumn, PairValue, Zonal};

use super::program::{Cells, Step, lowered, renumbered, run_steps};

/// How a reduction is shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Split {
    /// Every partition reduces some tiles over all groups and emits state rows, to be merged.
    Input,
    /// Every group is reduced whole, by one partition, and emitted as final values.
    Output,
}

/// A reduction: keys, aggregates, and what happens to the groups afterwards.
#[derive(Debug, Clone)]
pub(crate) struct Reduction {
    /// The groups: keys in `GROUP BY` order, the last one fastest.
    pub groups: Arc<GroupSpace>,
    /// The keys that are not functions of one axis each; their groups are slower than those of `groups`, and not among them.
    /// Only with [`Split::Input`].
    pub joint: Option<Arc<JointKey>>,
    /// The geometries to whose cells it is confined, and the keys that are theirs; those are slower than those of `groups`, too.
    pub zonal: Option<Arc<Zonal>>,
    /// What is computed for each group.
    pub aggregates: Vec<Aggregate>,
    /// How the work is shared out.
    pub split: Split,
    /// Keys, then state fields or final values.
    pub schema: SchemaRef,
    /// The keys of `groups` that have a column in `schema`; `None`: all.
    pub shown: Option<Vec<usize>>,
    /// Steps over the finished groups (projection, HAVING); only with [`Split::Output`].
    pub after: Vec<Step>,
}

impl Reduction {
    /// Schema after the last step.
    pub fn output_schema(&self) -> SchemaRef {
        let last = self.after.iter().rev().find_map(|s| if let Step::Map { schema, .. } = s { Some(schema) } else { None });
        last.unwrap_or(&self.schema).clone()
    }

    /// The expressions in it.
    pub fn expressions(&self) -> impl Iterator<Item = &Arc<dyn PhysicalExpr>> {
        let steps = self.after.iter().flat_map(|s| match s {
            Step::Map { exprs, .. } => exprs.iter().collect::<Vec<_>>(),
            Step::Mask(e) => vec![e],
        });
        let joint = self.joint.iter().flat_map(|j| j.exprs.iter());
        self.aggregates.iter().flat_map(|a| a.arguments.iter().chain(a.filter.iter())).chain(joint).chain(steps)
    }

    /// The same groups, of which only these columns of the output are given: keys that nobody reads are not written out,
    /// though an array has as many of them as cells.
    pub fn giving_only(&self, columns: &[usize]) -> Result<Reduction> {
        let output = self.output_schema();
        let mut masks = Vec::new();
        for (i, step) in self.after.iter().enumerate() {
            if let Step::Mask(expr) = step {
                masks.push(lowered(expr, &self.after[..i])?);
            }
        }
        let mut given = Vec::new();
        for &i in columns {
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(output.field(i).name(), i));
            given.push(lowered(&column, &self.after)?);
        }
        let read: Vec<usize> = masks.iter().chain(&given).flat_map(collect_columns).map(|c| c.index()).collect();
        let keys = self.groups.keys.len();
        let shown: Vec<usize> = (0..keys).filter(|key| read.contains(key)).collect();
        let kept: Vec<usize> = shown.iter().copied().chain(keys..self.schema.fields().len()).collect();
        let mut after = Vec::new();
        for mask in &masks {
            after.push(Step::Mask(renumbered(mask, &kept)?));
        }
        let exprs = given.iter().map(|e| renumbered(e, &kept)).collect::<Result<_>>()?;
        after.push(Step::Map { exprs, schema: Arc::new(output.project(columns)?) });
        Ok(Reduction { schema: Arc::new(self.schema.project(&kept)?), shown: Some(shown), after, ..self.clone() })
    }

    /// Number of keys.
    pub fn keys(&self) -> usize {
        self.groups.keys.len() + self.joint.as_ref().map_or(0, |j| j.places.len()) + self.zonal.as_ref().map_or(0, |z| z.places.len())
    }

    /// The groups of a block, those of joint keys not counted.
    pub fn groups_of(&self, block: &Block) -> usize {
        block.groups() * self.zonal.as_ref().map_or(1, |z| z.count)
    }

    /// The groups of `block` as cells: keys, states or finals, steps applied. Groups without any cell are masked out.
    pub fn finish(&self, block: &Block, joint: Option<&JointGroups>, state: Accumulators) -> Result<Cells> {
        let mut arrays: Vec<ArrayRef> = self.groups.key_columns(block, self.shown.as_deref())?;
        let mut groups = block.groups();
        if let Some(joint) = joint {
            arrays = joint.key_columns(arrays, groups)?;
            groups *= joint.len();
        }
        if let Some(zonal) = &self.zonal {
            arrays = zonal.key_columns(arrays, groups)?;
            groups *= zonal.count;
        }
        let present = state.present();
        for aggregate in state.columns {
            arrays.extend(match self.split {
                Split::Input => aggregate.into_state()?,
                Split::Output => vec![aggregate.into_final()?],
            });
        }
        let options = datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(groups));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)?;
        run_steps(&self.after, Cells { batch, mask: present })
    }
}

/// The selected rows of some cells.
pub(crate) fn selected_rows(cells: Cells) -> Result<RecordBatch> {
    match cells.mask {
        None => Ok(cells.batch),
        Some(mask) => Ok(compute::filter_record_batch(&cells.batch, &datafusion::arrow::array::BooleanArray::new(mask, None))?),
    }
}

/// `values` at `numbers`.
pub(crate) fn take(values: &ArrayRef, numbers: Vec<u32>) -> Result<ArrayRef> {
    Ok(compute::take(values, &UInt32Array::from(numbers), None)?)
}

/// Both masks, where there are any.
pub(crate) fn and(a: Option<&BooleanBuffer>, b: Option<&BooleanBuffer>) -> Option<BooleanBuffer> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a & b),
        (Some(a), None) | (None, Some(a)) => Some(a.clone()),
        (None, None) => None,
    }
}
