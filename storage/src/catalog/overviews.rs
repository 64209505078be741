//! A cube at the resolution of the overviews in its files: the same variables over coarser axes, made of other arrays of the same
//! granules. From the index alone.

use std::sync::Arc;

use super::{Catalog, Cube, CubeVariable, Granule, Piece};
use crate::Result;
use crate::array::{Axis, AxisRole, Coordinates, Encoding, Extent};

/// Levels that are looked for at most.
const LEVELS: usize = 64;

impl Catalog {
    /// What a cube is when it is read from the overviews of its files, finest first. Levels that all files have for the whole of its
    /// two horizontal axes; of a mosaic, whose files hold parts of these, there are none.
    pub fn overviews(&self, cube: &Cube) -> Result<Vec<Arc<Cube>>> {
        let of = |roles: [AxisRole; 2]| cube.grid.axes.iter().position(|a| roles.contains(&a.role));
        let (Some(y), Some(x)) = (of([AxisRole::Y, AxisRole::Latitude]), of([AxisRole::X, AxisRole::Longitude])) else {
            return Ok(Vec::new());
        };
        let mut levels = Vec::new();
        for number in 1..=LEVELS {
            match self.level(cube, [y, x], number)? {
                Some(level) => levels.push(Arc::new(level)),
                None => break,
            }
        }
        Ok(levels)
    }

    fn level(&self, cube: &Cube, axes: [usize; 2], number: usize) -> Result<Option<Cube>> {
        let whole = axes.map(|a| cube.grid.axes[a].len());
        let mut size: Option<[u64; 2]> = None;
        let mut variables = Vec::with_capacity(cube.variables.len());
        for variable in &cube.variables {
            let places = axes.map(|a| variable.axes.iter().position(|&own| own == a));
            let [Some(down), Some(across)] = places else {
                if places.iter().any(Option::is_some) {
                    return Ok(None);
                }
                variables.push(variable.clone());
                continue;
            };
            let mut pieces = Vec::with_capacity(variable.pieces.len());
            for piece in &variable.pieces {
                let granule = self.granule(piece.granule)?;
                match coarser(piece, &granule, [down, across], whole, number) {
                    Some((piece, of)) if *size.get_or_insert(of) == of => pieces.push(piece),
                    _ => return Ok(None),
                }
            }
            let made = CubeVariable::new(&variable.name, variable.axes.clone(), variable.decoded, variable.time, pieces);
            let (attributes, differing) = (variable.attributes.clone(), variable.differing.clone());
            variables.push(CubeVariable { attributes, differing, ..made });
        }
        let Some(size) = size else { return Ok(None) };
        let mut grid = cube.grid.clone();
        for (&axis, cells) in axes.iter().zip(size) {
            match coarse(&cube.grid.axes[axis], cells) {
                Some(made) => grid.axes[axis] = made,
                None => return Ok(None),
            }
        }
        let (name, attributes, definition) = (cube.name.clone(), cube.attributes.clone(), cube.definition.clone());
        Ok(Some(Cube { name, grid, variables, attributes, definition, generation: cube.generation }))
    }
}

/// A piece made of an overview of its array, and the rows and columns of that; `None` where there is none, or where the piece is not all
/// of the horizontal axes (`places` among the variable's own).
fn coarser(piece: &Piece, granule: &Granule, places: [usize; 2], whole: [u64; 2], number: usize) -> Option<(Piece, [u64; 2])> {
    let all = |d: usize, cells: u64| piece.extent.ranges().get(d) == Some(&(0..cells)) && piece.offset.get(d) == Some(&0);
    if !(all(places[0], whole[0]) && all(places[1], whole[1])) {
        return None;
    }
    let array = overview_of(granule, piece.array, number)?;
    let metadata = granule.arrays.get(array as usize)?;
    let (&[rows, columns], &[high, wide]) = (metadata.shape.as_slice(), metadata.chunk_shape.as_slice()) else { return None };
    let mask = match piece.encoding.mask {
        Some(mask) => Some(overview_of(granule, mask, number)?),
        None => None,
    };
    let encoding = match mask == piece.encoding.mask {
        true => piece.encoding.clone(),
        false => Arc::new(Encoding { mask, ..piece.encoding.as_ref().clone() }),
    };
    let (mut ranges, mut chunk_shape) = (piece.extent.ranges().to_vec(), piece.chunk_shape.clone());
    for (d, cells, chunk) in [(places[0], rows, high), (places[1], columns, wide)] {
        *ranges.get_mut(d)? = 0..cells;
        *chunk_shape.get_mut(d)? = chunk;
    }
    let cells = (whole[0].saturating_mul(whole[1])).max(1) as f64;
    // About: what the index knows exactly is counted when chunks are chosen.
    let stored_bytes = (piece.stored_bytes as f64 * (rows.saturating_mul(columns)) as f64 / cells) as u64;
    Some((Piece { array, extent: Extent::new(ranges), chunk_shape, stored_bytes, encoding, ..piece.clone() }, [rows, columns]))
}

/// The array that is this overview of another: `/overview_2/band_1` of `/band_1`.
fn overview_of(granule: &Granule, array: u32, number: usize) -> Option<u32> {
    let (page, name) = granule.arrays.get(array as usize)?.path.rsplit_once('/')?;
    let path = format!("{page}/overview_{number}/{name}");
    granule.arrays.iter().position(|a| a.path == path).map(|found| found as u32)
}

/// An axis over the same ground with fewer, even cells.
fn coarse(axis: &Axis, cells: u64) -> Option<Axis> {
    let centres = axis.coordinates.to_f64()?;
    let (&first, &last) = (centres.first()?, centres.last()?);
    if cells == 0 || centres.len() < 2 {
        return None;
    }
    let step = (last - first) / (centres.len() - 1) as f64;
    let wide = step * centres.len() as f64 / cells as f64;
    let centre = |i: u64| first - step / 2.0 + (i as f64 + 0.5) * wide;
    let bounds = (cells == 1).then(|| vec![[first.min(last) - step.abs() / 2.0, first.max(last) + step.abs() / 2.0]]);
    Some(Axis { coordinates: Coordinates::Float64((0..cells).map(centre).collect()), bounds, ..axis.clone() })
}
