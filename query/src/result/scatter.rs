//! Rows to an array, for plans whose cells do not come in boxes: every row goes to the place that its coordinates name.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, UInt64Array};
use datafusion::arrow::compute;
use datafusion::arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{exec_err, resources_err};
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::{TryStreamExt, stream};

use crate::dense::program::Cells;
use crate::dense::tensor::TensorLayout;

/// Cells in one tensor row.
const BOX_CELLS: u64 = 1 << 20;

/// Puts rows in their places.
#[derive(Debug)]
pub(crate) struct ScatterExec {
    input: Arc<dyn ExecutionPlan>,
    /// For each axis of the answer, slowest first: its column among the rows, and its coordinates.
    axes: Arc<Vec<(usize, ArrayRef)>>,
    layout: Arc<TensorLayout>,
    properties: Arc<PlanProperties>,
}

impl ScatterExec {
    /// `input` has one partition.
    pub fn new(input: Arc<dyn ExecutionPlan>, axes: Vec<(usize, ArrayRef)>, layout: TensorLayout) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(layout.schema.clone()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        ScatterExec { input, axes: Arc::new(axes), layout: Arc::new(layout), properties: Arc::new(properties) }
    }

    /// Whether both put rows into the same places.
    pub fn is_same(&self, other: &ScatterExec) -> bool {
        Arc::ptr_eq(&self.axes, &other.axes) && Arc::ptr_eq(&self.layout, &other.layout)
    }
}

impl DisplayAs for ScatterExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape: Vec<String> = self.axes.iter().map(|(_, c)| c.len().to_string()).collect();
        write!(f, "ScatterExec: shape=[{}]", shape.join(", "))
    }
}

impl ExecutionPlan for ScatterExec {
    fn name(&self) -> &str {
        "ScatterExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(&self, _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match children.pop() {
            Some(input) if children.is_empty() => Ok(Arc::new(ScatterExec {
                input,
                axes: self.axes.clone(),
                layout: self.layout.clone(),
                properties: self.properties.clone(),
            })),
            _ => datafusion::common::internal_err!("ScatterExec has one child"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let mut rows = self.input.execute(partition, context.clone())?;
        let (axes, layout, schema) = (self.axes.clone(), self.layout.clone(), self.input.schema());
        let job = async move {
            let reservation = MemoryConsumer::new("ScatterExec").register(context.memory_pool());
            let cells = axes.iter().fold(1u64, |n, (_, c)| n.saturating_mul(c.len() as u64));
            if cells > u64::from(u32::MAX) {
                return resources_err!("the array would have {cells} cells, computed row by row; ask for less, or in row form (sql)");
            }
            reservation.try_grow((cells as usize).saturating_mul(size_of::<Option<u64>>()))?;
            let places = axes.iter().map(|(column, coordinates)| Places::new(*column, coordinates)).collect::<Result<Vec<_>>>()?;
            let mut row_of: Vec<Option<u64>> = vec![None; cells as usize];
            let mut batches = Vec::new();
            let mut seen = 0u64;
            while let Some(batch) = rows.try_next().await? {
                reservation.try_grow(batch.get_array_memory_size())?;
                let mut at = vec![0u64; batch.num_rows()];
                for place in &places {
                    place.add(&batch, &mut at)?;
                }
                for (i, cell) in at.into_iter().enumerate() {
                    row_of[cell as usize] = Some(seen + i as u64);
                }
                seen += batch.num_rows() as u64;
                batches.push(batch);
            }
            let all = compute::concat_batches(&schema, &batches)?;
            drop(batches);
            let shape: Vec<u64> = axes.iter().map(|(_, c)| c.len() as u64).collect();
            boxes(&layout, &all, &row_of, &shape)
        };
        let batches = stream::once(job).map_ok(|b| stream::iter(b.into_iter().map(Ok))).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.layout.schema.clone(), batches)))
    }
}

/// Numbers of the coordinates of one axis.
struct Places {
    column: usize,
    converter: RowConverter,
    numbers: HashMap<OwnedRow, u64>,
    len: u64,
}

impl Places {
    fn new(column: usize, coordinates: &ArrayRef) -> Result<Self> {
        let converter = RowConverter::new(vec![SortField::new(coordinates.data_type().clone())])?;
        let rows = converter.convert_columns(std::slice::from_ref(coordinates))?;
        let numbers = rows.iter().enumerate().map(|(i, r)| (r.owned(), i as u64)).collect();
        Ok(Places { column, converter, numbers, len: coordinates.len() as u64 })
    }

    /// `at` = `at` * length + number of the row's coordinate.
    fn add(&self, batch: &RecordBatch, at: &mut [u64]) -> Result<()> {
        let column = batch.column(self.column);
        let rows = self.converter.convert_columns(std::slice::from_ref(column))?;
        for (i, slot) in at.iter_mut().enumerate() {
            let Some(number) = self.numbers.get(&rows.row(i).owned()) else {
                let found = datafusion::arrow::util::display::array_value_to_string(column, i)?;
                return exec_err!(
                    "a row has the coordinate {found} in {}, which the axis has not",
                    batch.schema().field(self.column).name()
                );
            };
            *slot = *slot * self.len + number;
        }
        Ok(())
    }
}

/// Slabs along the slowest axis.
fn boxes(layout: &TensorLayout, rows: &RecordBatch, row_of: &[Option<u64>], shape: &[u64]) -> Result<Vec<RecordBatch>> {
    let Some((&first, rest)) = shape.split_first() else {
        let index = UInt64Array::from(row_of.to_vec());
        let batch = compute::take_record_batch(&nullable(rows)?, &index)?;
        return Ok(vec![layout.boxed(&Cells { batch, mask: None }, &[], &[])?]);
    };
    let slab: u64 = rest.iter().product();
    let thick = (BOX_CELLS / slab.max(1)).max(1);
    let rows = nullable(rows)?;
    let mut out = Vec::new();
    let mut start = 0;
    while start < first {
        let n = thick.min(first - start);
        let index = UInt64Array::from(row_of[(start * slab) as usize..((start + n) * slab) as usize].to_vec());
        let batch = compute::take_record_batch(&rows, &index)?;
        let origin: Vec<u64> = std::iter::once(start).chain(rest.iter().map(|_| 0)).collect();
        let extent: Vec<u64> = std::iter::once(n).chain(rest.iter().copied()).collect();
        out.push(layout.boxed(&Cells { batch, mask: None }, &origin, &extent)?);
        start += n;
    }
    Ok(out)
}

/// The same rows under a schema in which every column may be NULL: places without row are.
fn nullable(rows: &RecordBatch) -> Result<RecordBatch> {
    let fields: Vec<_> = rows.schema().fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
    let schema = Arc::new(datafusion::arrow::datatypes::Schema::new(fields));
    let options = datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema, rows.columns().to_vec(), &options)?)
}
