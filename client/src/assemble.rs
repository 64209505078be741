//! Tiles to arrays: each tile is copied from its Arrow buffer into its place.

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, FixedSizeListArray, Int32Array, Int64Array, OffsetSizeTrait,
    PrimitiveArray, StructArray,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::record_batch::RecordBatch;
use ndarray::{ArrayD, ArrayViewD, IxDyn, Slice, Zip};

use crate::dataset::NOT_A_TIME;
use crate::layout::{Declared, Layout};
use crate::{Dataset, Error, Result, Values, Variable};

/// Puts a dataset together from batches of tiles, in any order.
pub(crate) struct Assembly {
    layout: Layout,
    targets: Vec<Box<dyn Target>>,
}

impl Assembly {
    pub(crate) fn new(layout: Layout) -> Result<Assembly> {
        let targets = layout.variables.iter().map(target).collect::<Result<_>>()?;
        Ok(Assembly { layout, targets })
    }

    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let column = |i: usize| batch.columns().get(i).ok_or_else(|| Error::answer("a batch lacks a column"));
        let origins = column(self.layout.origin)?.as_list_opt::<i32>().ok_or_else(|| Error::answer("`origin` is not a list"))?.clone();
        for (declared, target) in self.layout.variables.iter().zip(&mut self.targets) {
            let wrong = |what: &str| Error::answer(format!("variable {}: {what}", declared.name));
            let tensors: &StructArray = column(declared.column)?.as_struct_opt().ok_or_else(|| wrong("not a tensor"))?;
            let shapes = tensors.column_by_name("shape").and_then(|c| c.as_fixed_size_list_opt()).ok_or_else(|| wrong("no shapes"))?;
            let data = tensors.column_by_name("data").ok_or_else(|| wrong("no data"))?;
            for row in (0..batch.num_rows()).filter(|&row| tensors.is_valid(row)) {
                let cells = cells::<i32>(data, row).or_else(|| cells::<i64>(data, row)).ok_or_else(|| wrong("`data` is not a list"))?;
                let origin = origins.value(row);
                let origin = origin.as_any().downcast_ref::<Int64Array>().ok_or_else(|| wrong("an origin is not of integers"))?;
                let place = place(declared, origin, &shape(shapes, row).ok_or_else(|| wrong("a tile without shape"))?)
                    .filter(|place| place.cells == cells.len())
                    .ok_or_else(|| wrong("a tile lies outside its axes or does not have the cells of its shape"))?;
                target.put(&place, &cells)?;
            }
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Dataset {
        let name = |&i: &usize| self.layout.axes.get(i).map(|a| a.name.clone());
        let variables = self.layout.variables.into_iter().zip(self.targets);
        let variables = variables.map(|(declared, target)| Variable {
            dims: declared.axes.iter().filter_map(name).collect(),
            name: declared.name,
            attributes: declared.attributes,
            values: target.finish(),
        });
        Dataset {
            variables: variables.collect(),
            axes: self.layout.axes.clone(),
            scalars: self.layout.scalars,
            crs: self.layout.crs,
            attributes: self.layout.attributes,
        }
    }
}

/// The cells of one tile.
fn cells<O: OffsetSizeTrait>(data: &ArrayRef, row: usize) -> Option<ArrayRef> {
    Some(data.as_list_opt::<O>()?.value(row))
}

fn shape(shapes: &FixedSizeListArray, row: usize) -> Option<Vec<usize>> {
    let shape = shapes.value(row);
    shape.as_any().downcast_ref::<Int32Array>()?.values().iter().map(|&n| usize::try_from(n).ok()).collect()
}

/// Where a tile goes: inside the variable's shape.
struct Place {
    from: Vec<usize>,
    shape: Vec<usize>,
    cells: usize,
}

/// `None` when the tile is not inside.
fn place(declared: &Declared, origin: &Int64Array, shape: &[usize]) -> Option<Place> {
    if shape.len() != declared.shape.len() {
        return None;
    }
    let from: Vec<usize> = declared.axes.iter().map(|&axis| usize::try_from(*origin.values().get(axis)?).ok()).collect::<Option<_>>()?;
    let inside = from.iter().zip(shape).zip(&declared.shape).all(|((&from, &n), &size)| from.checked_add(n).is_some_and(|end| end <= size));
    let cells = shape.iter().try_fold(1usize, |a, &b| a.checked_mul(b))?;
    inside.then(|| Place { from, shape: shape.to_vec(), cells })
}

impl Place {
    fn write<T: Clone>(&self, array: &mut ArrayD<T>, cells: &[T]) -> Result<()> {
        let tile = ArrayViewD::from_shape(IxDyn(&self.shape), cells).map_err(|e| Error::answer(e.to_string()))?;
        array
            .slice_each_axis_mut(|axis| {
                let (from, n) = (self.from.get(axis.axis.index()), self.shape.get(axis.axis.index()));
                let (from, n) = (from.copied().unwrap_or(0), n.copied().unwrap_or(0));
                Slice::from(from..from + n)
            })
            .assign(&tile);
        Ok(())
    }
}

/// The growing array of one variable.
trait Target: Send {
    fn put(&mut self, place: &Place, cells: &ArrayRef) -> Result<()>;
    fn finish(self: Box<Self>) -> Values;
}

/// An array that is `value` everywhere; an error instead of an abort when there is no memory for it.
fn filled<T: Clone>(shape: &[usize], value: T) -> Result<ArrayD<T>> {
    let too_large = || Error::answer(format!("there is no memory for an array of {shape:?} cells"));
    let cells = shape.iter().try_fold(1usize, |a, &b| a.checked_mul(b)).ok_or_else(too_large)?;
    let mut values = Vec::new();
    values.try_reserve_exact(cells).map_err(|_| too_large())?;
    values.resize(cells, value);
    ArrayD::from_shape_vec(IxDyn(shape), values).map_err(|e| Error::answer(e.to_string()))
}

/// Turns an array into the values of its type: the array, whether no cell is missing, and which are not.
type Finish<N> = fn(ArrayD<N>, bool, Option<ArrayD<bool>>) -> Values;

/// Numbers and instants. `known` says which cells are not missing, for types without a value that says so.
struct Numbers<T: ArrowPrimitiveType> {
    array: ArrayD<T::Native>,
    missing: T::Native,
    known: Option<ArrayD<bool>>,
    finish: Finish<T::Native>,
}

impl<T: ArrowPrimitiveType> Target for Numbers<T> {
    fn put(&mut self, place: &Place, cells: &ArrayRef) -> Result<()> {
        let cells: &PrimitiveArray<T> = cells.as_primitive_opt().ok_or_else(|| Error::answer("a tile changed its type"))?;
        match cells.nulls().filter(|n| n.null_count() > 0) {
            None => place.write(&mut self.array, cells.values())?,
            Some(nulls) => {
                let values: Vec<T::Native> =
                    cells.values().iter().zip(nulls).map(|(&v, known)| if known { v } else { self.missing }).collect();
                place.write(&mut self.array, &values)?;
            }
        }
        if let Some(known) = &mut self.known {
            let valid: Vec<bool> = (0..cells.len()).map(|i| cells.is_valid(i)).collect();
            place.write(known, &valid)?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Values {
        let complete = self.known.as_ref().is_none_or(|k| k.iter().all(|&known| known));
        (self.finish)(self.array, complete, self.known)
    }
}

/// Truth values.
struct Truths {
    array: ArrayD<bool>,
    known: ArrayD<bool>,
}

impl Target for Truths {
    fn put(&mut self, place: &Place, cells: &ArrayRef) -> Result<()> {
        let cells: &BooleanArray = cells.as_boolean_opt().ok_or_else(|| Error::answer("a tile changed its type"))?;
        place.write(&mut self.array, &cells.iter().map(|v| v.unwrap_or(false)).collect::<Vec<_>>())?;
        place.write(&mut self.known, &cells.iter().map(|v| v.is_some()).collect::<Vec<_>>())
    }

    fn finish(self: Box<Self>) -> Values {
        if self.known.iter().all(|&known| known) {
            return Values::Bool(self.array);
        }
        let as_number = |&v: &bool, &known: &bool| if known { f32::from(u8::from(v)) } else { f32::NAN };
        Values::Float32(Zip::from(&self.array).and(&self.known).map_collect(as_number))
    }
}

/// Text.
struct Texts(ArrayD<Option<String>>);

impl Target for Texts {
    fn put(&mut self, place: &Place, cells: &ArrayRef) -> Result<()> {
        let cells = cast(cells, &DataType::Utf8)?;
        let texts: Vec<Option<String>> = cells.as_string::<i32>().iter().map(|t| t.map(str::to_owned)).collect();
        place.write(&mut self.0, &texts)
    }

    fn finish(self: Box<Self>) -> Values {
        Values::Text(self.0)
    }
}

/// Casts tiles to a type that has a target first.
struct Cast<T> {
    inner: T,
    to: DataType,
}

impl<T: Target> Target for Cast<T> {
    fn put(&mut self, place: &Place, cells: &ArrayRef) -> Result<()> {
        self.inner.put(place, &cast(cells, &self.to)?)
    }

    fn finish(self: Box<Self>) -> Values {
        Box::new(self.inner).finish()
    }
}

fn target(declared: &Declared) -> Result<Box<dyn Target>> {
    let shape = &declared.shape;
    macro_rules! floats {
        ($type:ty, $variant:ident, $missing:expr) => {
            Numbers::<$type> {
                array: filled(shape, $missing)?,
                missing: $missing,
                known: None,
                finish: |array, _, _| Values::$variant(array),
            }
        };
    }
    macro_rules! integers {
        ($type:ty, $variant:ident, $float:ident, $float_type:ty) => {{
            let known = if declared.zero_when_absent { None } else { Some(filled(shape, false)?) };
            Box::new(Numbers::<$type> {
                array: filled(shape, 0)?,
                missing: 0,
                known,
                finish: |array, complete, known| match known {
                    Some(known) if !complete => Values::$float(
                        Zip::from(&array).and(&known).map_collect(|&v, &known| if known { v as $float_type } else { <$float_type>::NAN }),
                    ),
                    _ => Values::$variant(array),
                },
            })
        }};
    }
    macro_rules! times {
        ($unit:ident) => {
            Cast {
                inner: Numbers::<Int64Type> {
                    array: filled(shape, NOT_A_TIME)?,
                    missing: NOT_A_TIME,
                    known: None,
                    finish: |array, _, _| Values::Time(TimeUnit::$unit, array),
                },
                to: DataType::Int64,
            }
        };
    }
    Ok(match &declared.data_type {
        DataType::Int8 => integers!(Int8Type, Int8, Float32, f32),
        DataType::Int16 => integers!(Int16Type, Int16, Float32, f32),
        DataType::Int32 => integers!(Int32Type, Int32, Float64, f64),
        DataType::Int64 => integers!(Int64Type, Int64, Float64, f64),
        DataType::UInt8 => integers!(UInt8Type, UInt8, Float32, f32),
        DataType::UInt16 => integers!(UInt16Type, UInt16, Float32, f32),
        DataType::UInt32 => integers!(UInt32Type, UInt32, Float64, f64),
        DataType::UInt64 => integers!(UInt64Type, UInt64, Float64, f64),
        DataType::Float16 => Box::new(Cast { inner: floats!(Float32Type, Float32, f32::NAN), to: DataType::Float32 }),
        DataType::Float32 => Box::new(floats!(Float32Type, Float32, f32::NAN)),
        DataType::Float64 => Box::new(floats!(Float64Type, Float64, f64::NAN)),
        DataType::Decimal128(..) | DataType::Decimal256(..) => {
            Box::new(Cast { inner: floats!(Float64Type, Float64, f64::NAN), to: DataType::Float64 })
        }
        DataType::Boolean => Box::new(Truths { array: filled(shape, false)?, known: filled(shape, false)? }),
        DataType::Timestamp(TimeUnit::Second, _) => Box::new(times!(Second)),
        DataType::Timestamp(TimeUnit::Millisecond, _) => Box::new(times!(Millisecond)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => Box::new(times!(Microsecond)),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => Box::new(times!(Nanosecond)),
        DataType::Date32 | DataType::Date64 => Box::new(Cast { inner: times!(Second), to: DataType::Timestamp(TimeUnit::Second, None) }),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Box::new(Texts(filled(shape, None)?)),
        other => return Err(Error::answer(format!("variable {}: arrays of {other} are not supported", declared.name))),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use arrow::array::{FixedSizeListBuilder, Int32Builder, Int64Builder, ListBuilder, PrimitiveBuilder};
    use arrow::datatypes::{Field, Fields, Schema};
    use arrow::record_batch::RecordBatch;

    use super::*;
    use crate::layout;

    const AXES: &str = r#"{"axes": [{"name": "lat", "size": 3, "dtype": "float32", "coordinates": {"start": 90.0, "step": -0.5}},
        {"name": "lon", "size": 4, "dtype": "int64", "coordinates": null}], "crs": "EPSG:4326",
        "scalars": [{"name": "height", "value": 2.0, "dtype": "float64", "attributes": {"units": "m"}}], "attributes": {"title": "x"}}"#;

    type Tile<N> = ([i64; 2], [i32; 2], Vec<Option<N>>);

    fn batch<T: ArrowPrimitiveType>(count: bool, tiles: &[Tile<T::Native>]) -> RecordBatch {
        let (mut origins, mut data) = (ListBuilder::new(Int64Builder::new()), ListBuilder::new(PrimitiveBuilder::<T>::new()));
        let mut shapes = FixedSizeListBuilder::new(Int32Builder::new(), 2);
        for (origin, shape, cells) in tiles {
            origins.append_value(origin.map(Some));
            data.append_value(cells.iter().copied());
            shapes.values().append_slice(shape);
            shapes.append(true);
        }
        let (data, shapes): (ArrayRef, ArrayRef) = (Arc::new(data.finish()), Arc::new(shapes.finish()));
        let fields: Fields =
            vec![Field::new("data", data.data_type().clone(), true), Field::new("shape", shapes.data_type().clone(), true)].into();
        let tensors = StructArray::new(fields, vec![data, shapes], None);
        let origins: ArrayRef = Arc::new(origins.finish());
        let mut metadata = HashMap::from([("graticule.dims".into(), r#"["lat","lon"]"#.into())]);
        if count {
            metadata.insert("graticule.absent".to_owned(), "0".to_owned());
        }
        let v = Field::new("v", tensors.data_type().clone(), false).with_metadata(metadata);
        let fields = vec![Field::new("origin", origins.data_type().clone(), false), v];
        let metadata = HashMap::from([("graticule.axes".to_owned(), AXES.to_owned())]);
        RecordBatch::try_new(Arc::new(Schema::new_with_metadata(fields, metadata)), vec![origins, Arc::new(tensors)]).unwrap()
    }

    fn assembled<T: ArrowPrimitiveType>(count: bool, tiles: &[Tile<T::Native>]) -> Result<Dataset> {
        let batch = batch::<T>(count, tiles);
        let mut assembly = Assembly::new(layout::parse(&batch.schema())?)?;
        assembly.add(&batch)?;
        Ok(assembly.finish())
    }

    #[test]
    fn tiles_find_their_places_and_gaps_are_missing() {
        let tiles = [([1, 2], [2, 2], vec![Some(1.0), Some(2.0), None, Some(4.0)]), ([0, 0], [1, 2], vec![Some(5.0), Some(6.0)])];
        let found = assembled::<Float32Type>(false, &tiles).unwrap();
        let v = found.variable("v").unwrap();
        let shown: Vec<String> = v.values.as_f32().unwrap().iter().map(|v| v.to_string()).collect();
        assert_eq!(shown, ["5", "6", "NaN", "NaN", "NaN", "NaN", "1", "2", "NaN", "NaN", "NaN", "4"]);
        assert_eq!((v.dims.join(" "), v.values.shape()), ("lat lon".into(), &[3usize, 4][..]));
        let lat = found.axis("lat").unwrap().coordinates.clone().unwrap();
        assert_eq!(lat.as_primitive::<Float32Type>().values().to_vec(), [90.0, 89.5, 89.0]);
        assert_eq!((found.crs.as_deref(), found.scalars.len()), (Some("EPSG:4326"), 1));
    }

    #[test]
    fn integers_stay_integers_unless_cells_are_missing() {
        let whole = [([0, 0], [3, 4], (0..12i16).map(Some).collect())];
        assert!(matches!(&assembled::<Int16Type>(false, &whole).unwrap().variables[0].values, Values::Int16(a) if a[[2, 3]] == 11));
        let part = [([0, 0], [1, 1], vec![Some(7i16)])];
        assert!(
            matches!(&assembled::<Int16Type>(false, &part).unwrap().variables[0].values, Values::Float32(a) if a[[0, 0]] == 7.0 && a[[2, 3]].is_nan())
        );
        assert!(
            matches!(&assembled::<Int16Type>(true, &part).unwrap().variables[0].values, Values::Int16(a) if a[[0, 0]] == 7 && a[[2, 3]] == 0)
        );
    }

    #[test]
    fn tiles_that_do_not_fit_are_errors() {
        for (origin, shape, cells) in
            [([2, 0], [2, 1], 2), ([-1, 0], [1, 1], 1), ([0, 0], [1, 2], 1), ([0, 0], [-1, 1], 1), ([i64::MAX, 0], [1, 1], 1)]
        {
            let tile = (origin, shape, vec![Some(0.0f64); cells]);
            assert!(matches!(assembled::<Float64Type>(false, &[tile]), Err(Error::Answer { .. })), "{origin:?} {shape:?}");
        }
    }

    #[test]
    fn rows_are_not_arrays() {
        let error = layout::parse(&Schema::new(vec![Field::new("a", DataType::Int64, true)])).unwrap_err();
        assert!(error.to_string().contains("use sql()"));
    }
}
