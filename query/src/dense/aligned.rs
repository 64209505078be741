//! [`Aligned`]: the values of a cube that two leaves make, joined cell by cell along the axes that they share. Every box is asked of
//! the sides that own the variables, and spread along the axes that a side lacks.
//!
//! The cube space of the joined cube is positions along its own axes; each side knows which cells of its view those are.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, UInt8Array, UInt32Array};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::internal_err;
use datafusion::error::{DataFusionError, Result};
use futures::future::try_join_all;
use graticule_storage::array::Extent;
use graticule_storage::catalog::Cube;
use graticule_storage::read::{Estimate, Reader, Tile, TileMetrics, TileRequest};

use super::exec::LeafPlan;
use super::program::Cells;
use super::source::{Reading, Source};
use super::supply::{Fetched, Supply};
use super::tiles::{Segment, TileRef};

/// Where an axis of a side stands in the joined cube.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// The same positions as along this axis of the joined cube.
    Same(usize),
    /// Along this axis, by position there the one in the side's view; `None` where the side has no cell.
    Mapped(usize, Arc<[Option<u64>]>),
    /// On none: the side has one position.
    Fixed,
}

/// One side of the join.
#[derive(Debug, Clone)]
pub(crate) struct Side {
    /// What makes its cells.
    pub plan: Arc<LeafPlan>,
    /// One place an axis of its view.
    pub places: Vec<Place>,
    /// True when cells that its masks leave out are missing, not gone.
    pub outer: bool,
}

/// A variable of the joined cube.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    /// A column of what the side's program makes; truth values as 0 and 1.
    Column(usize),
    /// 1 where the side's masks leave the cell.
    Selected,
}

/// The supply.
#[derive(Debug)]
pub(crate) struct Aligned {
    /// Left and right.
    pub sides: [Side; 2],
    /// By variable of the joined cube its side and what it is there.
    pub variables: Vec<(usize, Value)>,
}

/// A box of one side: what is read for it, and which of its cells every cell of the joined box is.
struct Part {
    reading: Reading,
    request: TileRequest,
    extent: Vec<Range<u64>>,
    /// `None`: the same cells in the same order.
    picks: Option<UInt32Array>,
}

impl Side {
    /// The box that a box of the joined cube is made from; `None` where this side has no cell.
    fn part(&self, joined: &[Range<u64>]) -> Option<Part> {
        let mut extent = Vec::with_capacity(self.places.len());
        for place in &self.places {
            extent.push(match place {
                Place::Fixed => 0..1,
                Place::Same(axis) => joined.get(*axis)?.clone(),
                Place::Mapped(axis, map) => {
                    let range = joined.get(*axis)?;
                    let found = map.get(range.start as usize..range.end as usize)?.iter().flatten();
                    let (low, high) = found.fold((u64::MAX, 0), |(low, high), &p| (low.min(p), high.max(p)));
                    if low > high {
                        return None;
                    }
                    low..high + 1
                }
            });
        }
        let view = &self.plan.view;
        let segments: Vec<Segment> = view.axes.iter().zip(&extent).map(|(axis, range)| Segment::of(axis, range.clone())).collect();
        let reading = Reading::new(view, &self.plan.program, &TileRef { segments: segments.iter().collect() });
        let request = TileRequest { extent: reading.cube_extent(), variables: self.plan.program.variables() };
        let picks = self.picks(joined, &extent);
        Some(Part { reading, request, extent, picks })
    }

    /// For every cell of the joined box (C order) its number in the side's box.
    fn picks(&self, joined: &[Range<u64>], extent: &[Range<u64>]) -> Option<UInt32Array> {
        let same =
            self.places.len() == joined.len() && self.places.iter().enumerate().all(|(i, p)| matches!(p, Place::Same(axis) if *axis == i));
        if same {
            return None;
        }
        let mut strides = vec![1u32; extent.len()];
        for d in (1..extent.len()).rev() {
            strides[d - 1] = strides[d] * (extent[d].end - extent[d].start) as u32;
        }
        let mut numbers: Vec<Option<u32>> = vec![Some(0)];
        for (axis, range) in joined.iter().enumerate() {
            let own = self.places.iter().zip(extent).zip(&strides).find_map(|((place, own), stride)| match place {
                Place::Same(a) if *a == axis => Some((None, own, *stride)),
                Place::Mapped(a, map) if *a == axis => Some((Some(map), own, *stride)),
                _ => None,
            });
            let along: Vec<Option<u32>> = match own {
                None => vec![Some(0); (range.end - range.start) as usize],
                Some((None, own, stride)) => range.clone().map(|p| Some((p - own.start) as u32 * stride)).collect(),
                Some((Some(map), own, stride)) => {
                    let at = |p: u64| map.get(p as usize).copied().flatten();
                    range.clone().map(|p| at(p).map(|p| (p - own.start) as u32 * stride)).collect()
                }
            };
            let next = numbers.iter().flat_map(|n| along.iter().map(move |a| Some((*n)? + (*a)?)));
            numbers = next.collect();
        }
        Some(UInt32Array::from(numbers))
    }

    /// The values of one variable over the joined box.
    fn values(&self, cells: &Cells, value: Value, part: &Part) -> Result<ArrayRef> {
        let selected = cells.mask.as_ref().map(|mask| BooleanArray::new(mask.clone(), None));
        let own: ArrayRef = match value {
            Value::Selected => {
                let rows = cells.batch.num_rows();
                let one = |at: usize| selected.as_ref().is_none_or(|mask| mask.value(at));
                Arc::new(UInt8Array::from_iter_values((0..rows).map(|at| u8::from(one(at)))))
            }
            Value::Column(i) => {
                let column = cells.batch.column(i).clone();
                let column = if *column.data_type() == DataType::Boolean { compute::cast(&column, &DataType::UInt8)? } else { column };
                match selected.filter(|_| self.outer) {
                    Some(mask) => compute::nullif(&column, &compute::not(&mask)?)?,
                    None => column,
                }
            }
        };
        match &part.picks {
            Some(picks) => Ok(compute::take(&own, picks, None)?),
            None => Ok(own),
        }
    }
}

impl Aligned {
    /// The side's requests for these of the joined cube, none twice.
    fn requests(&self, side: usize, requests: &[TileRequest]) -> Vec<TileRequest> {
        let mut found: Vec<TileRequest> = Vec::new();
        let mut known = HashSet::new();
        for request in requests.iter().filter(|r| r.variables.iter().any(|&v| self.variables.get(v).is_some_and(|(s, _)| *s == side))) {
            if let Some(part) = self.sides[side].part(request.extent.ranges())
                && known.insert(part.request.extent.ranges().to_vec())
            {
                found.push(part.request);
            }
        }
        found
    }
}

#[async_trait]
impl Supply for Aligned {
    async fn fetch(&self, cube: &Arc<Cube>, request: TileRequest) -> Result<Fetched> {
        let joined = request.extent.ranges().to_vec();
        // Both sides at once: the one that is slower to reach is waited for, not both after each other.
        let parts = self.sides.iter().enumerate().map(async |(number, side)| {
            let wanted = request.variables.iter().any(|&v| self.variables.get(v).is_some_and(|(s, _)| *s == number));
            match side.part(&joined).filter(|_| wanted) {
                Some(part) => {
                    let fetched = side.plan.supply.fetch(&side.plan.view.cube, part.request.clone()).await?;
                    Ok(Some((part, fetched)))
                }
                None => Ok::<_, DataFusionError>(None),
            }
        });
        let parts: Vec<Option<(Part, Fetched)>> = try_join_all(parts).await?;
        let (sides, variables, cube) = (self.sides.clone(), self.variables.clone(), cube.clone());
        Ok(Box::new(move || {
            let mut metrics = TileMetrics::default();
            let mut made: Vec<Option<(Part, Cells)>> = Vec::with_capacity(2);
            for (side, part) in sides.iter().zip(parts) {
                let Some((part, fetched)) = part else {
                    made.push(None);
                    continue;
                };
                let tile = fetched()?;
                metrics.chunks_read += tile.metrics.chunks_read;
                metrics.chunks_cached += tile.metrics.chunks_cached;
                metrics.bytes_read += tile.metrics.bytes_read;
                metrics.fetch_nanos += tile.metrics.fetch_nanos;
                metrics.decode_nanos += tile.metrics.decode_nanos;
                let source = Source::new(side.plan.view.clone(), Arc::default(), &part.reading, &part.request.variables, tile)?;
                let cells = side.plan.program.run(&source, &part.extent)?;
                made.push(Some((part, cells)));
            }
            let count = usize::try_from(Extent::new(joined.clone()).cells()).unwrap_or(usize::MAX);
            let mut columns = Vec::with_capacity(request.variables.len());
            for &v in &request.variables {
                let (Some((side, value)), Some(variable)) = (variables.get(v).copied(), cube.variables.get(v)) else {
                    return internal_err!("a joined cube lacks variable {v}");
                };
                columns.push(match made.get(side).and_then(Option::as_ref) {
                    Some((part, cells)) => sides[side].values(cells, value, part)?,
                    None => datafusion::arrow::array::new_null_array(&variable.arrow_type(), count),
                });
            }
            Ok(Tile { extent: request.extent, columns, metrics })
        }))
    }

    fn reader(&self) -> &Reader {
        self.sides[0].plan.supply.reader()
    }

    fn estimate(&self, _: &Arc<Cube>, requests: &[TileRequest]) -> Result<Estimate> {
        let mut all = Estimate::default();
        for (number, side) in self.sides.iter().enumerate() {
            let part = side.plan.supply.estimate(&side.plan.view.cube, &self.requests(number, requests))?;
            all.chunks += part.chunks;
            all.bytes += part.bytes;
        }
        Ok(all)
    }

    fn stored_bytes(&self, _: &Arc<Cube>, variables: &[usize]) -> u64 {
        let is_read = |number: usize| variables.iter().any(|&v| self.variables.get(v).is_some_and(|(s, _)| *s == number));
        let sides = self.sides.iter().enumerate().filter(|(number, _)| is_read(*number));
        sides.map(|(_, side)| side.plan.supply.stored_bytes(&side.plan.view.cube, &side.plan.program.variables())).sum()
    }

    fn working_bytes(&self, _: &Arc<Cube>, request: &TileRequest) -> usize {
        let mut bytes = 0usize;
        for side in &self.sides {
            let Some(part) = side.part(request.extent.ranges()) else { continue };
            let plan = &side.plan;
            let width: usize = plan.program.read_schema.fields().iter().map(|f| f.data_type().primitive_width().unwrap_or(16)).sum();
            let cells = usize::try_from(part.request.extent.cells()).unwrap_or(usize::MAX);
            let below = plan.supply.working_bytes(&plan.view.cube, &part.request);
            bytes = bytes.saturating_add(cells.saturating_mul(2 * width.max(4))).saturating_add(below);
        }
        bytes
    }

    fn describe(&self) -> String {
        let names: Vec<&str> = self.sides.iter().map(|side| side.plan.view.cube.name.as_str()).collect();
        format!("aligned=[{}]", names.join(", "))
    }
}
