//! DataFusion's accumulators over [`Grouped`] states: for many groups, for one, and for a frame that slides.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::compute;
use datafusion::common::{Result, ScalarValue, not_impl_err};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

use super::Make;
use crate::dense::reduce::grouped::{Grouped, valid_cells};
use crate::dense::reduce::kernel::CellMap;

/// The arguments that are values; constants come after them.
fn cells_of(values: &[ArrayRef], of: usize) -> &[ArrayRef] {
    &values[..of.min(values.len())]
}

fn chosen(filter: Option<&BooleanArray>) -> Option<BooleanBuffer> {
    filter.map(|f| match f.nulls() {
        Some(nulls) => f.values() & nulls.inner(),
        None => f.values().clone(),
    })
}

/// Many groups.
pub(super) struct Groups {
    state: Box<dyn Grouped>,
    make: Arc<Make>,
    values: usize,
}

impl Groups {
    /// `values`: how many arguments are values.
    pub fn new(make: Arc<Make>, values: usize) -> Result<Self> {
        Ok(Groups { state: make()?, make, values })
    }
}

impl GroupsAccumulator for Groups {
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        self.state.resize(total);
        let values = cells_of(values, self.values);
        let chosen = valid_cells(values, chosen(filter));
        self.state.update(&CellMap::of_groups(groups), values, chosen.as_ref())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        match emit {
            EmitTo::All => std::mem::replace(&mut self.state, (self.make)()?).value(),
            EmitTo::First(n) => self.state.take_first(n).value(),
        }
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        match emit {
            EmitTo::All => std::mem::replace(&mut self.state, (self.make)()?).state(),
            EmitTo::First(n) => self.state.take_first(n).state(),
        }
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.state.resize(total);
        self.state.merge(states, groups)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut each = (self.make)()?;
        let rows = values.first().map_or(0, |v| v.len());
        each.resize(rows);
        let values = cells_of(values, self.values);
        let chosen = valid_cells(values, chosen(filter));
        each.update(&CellMap::one_each(rows), values, chosen.as_ref())?;
        each.state()
    }

    fn size(&self) -> usize {
        self.state.bytes()
    }
}

/// One group.
#[derive(Debug)]
pub(super) struct Single {
    state: Box<dyn Grouped>,
    values: usize,
}

impl Single {
    /// `values`: how many arguments are values.
    pub fn new(mut state: Box<dyn Grouped>, values: usize) -> Self {
        state.resize(1);
        Single { state, values }
    }
}

impl Accumulator for Single {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = cells_of(values, self.values);
        let rows = values.first().map_or(0, |v| v.len());
        let chosen = valid_cells(values, None);
        self.state.update(&CellMap::all_to_one(rows), values, chosen.as_ref())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.state.value()?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.state.bytes()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.state.state()?.iter().map(|column| ScalarValue::try_from_array(column, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let rows = states.first().map_or(0, |s| s.len());
        self.state.merge(states, &vec![0; rows])
    }
}

/// The rows of a frame that slides: kept, and aggregated anew for every place, so that no digit is lost by taking rows back.
pub(super) struct Sliding {
    make: Arc<Make>,
    values: usize,
    /// Pieces of the arguments, oldest first.
    pieces: VecDeque<Vec<ArrayRef>>,
}

/// Pieces above which they are joined.
const MOST_PIECES: usize = 16;

impl Sliding {
    /// `values`: how many arguments are values.
    pub fn new(make: Arc<Make>, values: usize) -> Self {
        Sliding { make, values, pieces: VecDeque::new() }
    }

    fn join(&mut self) -> Result<()> {
        let joined = (0..self.values)
            .map(|i| compute::concat(&self.pieces.iter().map(|piece| piece[i].as_ref()).collect::<Vec<_>>()))
            .collect::<Result<Vec<_>, _>>()?;
        self.pieces = VecDeque::from([joined]);
        Ok(())
    }
}

impl fmt::Debug for Sliding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sliding({} pieces)", self.pieces.len())
    }
}

impl Accumulator for Sliding {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.pieces.push_back(cells_of(values, self.values).to_vec());
        if self.pieces.len() > MOST_PIECES { self.join() } else { Ok(()) }
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let mut left = values.first().map_or(0, |v| v.len());
        while left > 0 {
            let Some(piece) = self.pieces.front_mut() else { return Ok(()) };
            let rows = piece.first().map_or(0, |v| v.len());
            if rows <= left {
                self.pieces.pop_front();
                left -= rows;
            } else {
                piece.iter_mut().for_each(|column| *column = column.slice(left, rows - left));
                left = 0;
            }
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut frame = Single::new((self.make)()?, self.values);
        for piece in &self.pieces {
            frame.update_batch(piece)?;
        }
        frame.evaluate()
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.pieces.iter().flatten().map(|a| a.get_array_memory_size()).sum::<usize>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        not_impl_err!("the state of a sliding frame")
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        not_impl_err!("merging into a sliding frame")
    }
}
