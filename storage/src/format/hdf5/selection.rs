//! What a virtual data set is made of: mappings from selections of source data sets to selections of its own cells
//! (file format specification, III.E "virtual dataset global heap block", IV.A.2.i; version 1 as libhdf5 2.0 writes it).

use hdf5_reader::io::Cursor;

use super::Parsed;

/// Mappings, and blocks of one selection, are read up to this number.
const MOST: u64 = 1 << 20;

/// One mapping.
#[derive(Debug, Clone)]
pub(super) struct Mapping {
    /// Name of the source's file; `None`: the same file.
    pub file: Option<String>,
    /// Path of the source in it.
    pub dataset: String,
    /// Cells of the source.
    pub source: Selection,
    /// Cells of the virtual data set.
    pub target: Selection,
}

/// Some cells of a data set.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Selection {
    /// Every cell.
    All,
    /// None.
    Nothing,
    /// Blocks at regular distances along each dimension.
    Regular(Vec<Blocks>),
    /// Something else, and its name.
    Other(String),
}

/// Blocks along one dimension: cells `start + i * stride .. + block` for `i < count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blocks {
    /// First cell.
    pub start: u64,
    /// From the begin of a block to the begin of the next.
    pub stride: u64,
    /// Their number; `None`: as many as there are.
    pub count: Option<u64>,
    /// Cells a block; `None`: all that follow.
    pub block: Option<u64>,
}

impl Blocks {
    /// A run of cells.
    pub(super) fn run(start: u64, length: u64) -> Blocks {
        Blocks { start, stride: 1, count: Some(1), block: Some(length) }
    }

    /// Cells selected, where that is limited.
    pub(super) fn cells(&self) -> Option<u64> {
        self.count?.checked_mul(self.block?)
    }

    /// The same cells as one block, where blocks follow each other without gaps.
    pub(super) fn merged(self) -> Blocks {
        match (self.count, self.block) {
            (Some(1), Some(block)) => Blocks::run(self.start, block),
            (Some(count), Some(block)) if self.stride == block => match count.checked_mul(block) {
                Some(length) => Blocks::run(self.start, length),
                None => self,
            },
            _ => self,
        }
    }

    /// True when all cells from `start` on are selected, however many there are.
    pub(super) fn is_open(&self) -> bool {
        match (self.count, self.block) {
            (Some(1), None) => true,
            (None, Some(block)) => self.stride == block,
            _ => false,
        }
    }
}

/// The mappings in a global heap object.
pub(super) fn mappings(body: &[u8], length_size: u8) -> Parsed<Vec<Mapping>> {
    const FILE_SHARED: u8 = 1;
    const DATASET_SHARED: u8 = 2;
    const SAME_FILE: u8 = 4;
    let mut cursor = Cursor::new(body);
    let version = cursor.read_u8()?;
    if version > 1 {
        return Err(format!("mappings of version {version}, expected 0 or 1").into());
    }
    let count = cursor.read_length(length_size)?;
    if count > MOST {
        return Err(format!("{count} mappings; at most {MOST} are read").into());
    }
    let mut found: Vec<Mapping> = Vec::new();
    for _ in 0..count {
        let flags = if version == 0 { 0 } else { cursor.read_u8()? };
        let mut earlier = || -> Parsed<&Mapping> {
            let number = cursor.read_length(length_size)?;
            let known = usize::try_from(number).ok().and_then(|n| found.get(n));
            known.ok_or_else(|| format!("a mapping with the names of mapping {number}, which is not there").into())
        };
        let file = match flags {
            flags if flags & SAME_FILE != 0 => None,
            flags if flags & FILE_SHARED != 0 => earlier()?.file.clone(),
            _ => Some(text(&mut cursor)?).filter(|name| name != "."),
        };
        let dataset = if flags & DATASET_SHARED != 0 {
            let number = cursor.read_length(length_size)?;
            let known = usize::try_from(number).ok().and_then(|n| found.get(n)).map(|m| m.dataset.clone());
            known.ok_or("a mapping with the name of a mapping that is not there")?
        } else {
            text(&mut cursor)?
        };
        let (source, target) = (selection(&mut cursor)?, selection(&mut cursor)?);
        found.push(Mapping { file, dataset, source, target });
    }
    Ok(found)
}

fn text(cursor: &mut Cursor<'_>) -> Parsed<String> {
    let mut bytes = Vec::new();
    loop {
        match cursor.read_u8()? {
            0 => return Ok(super::value::text(&bytes)),
            b => bytes.push(b),
        }
    }
}

/// A serialized selection (file format specification, VIII.A).
fn selection(cursor: &mut Cursor<'_>) -> Parsed<Selection> {
    let (kind, version) = (cursor.read_u32_le()?, cursor.read_u32_le()?);
    match kind {
        0 | 3 => {
            cursor.skip(8)?;
            Ok(if kind == 0 { Selection::Nothing } else { Selection::All })
        }
        1 => Err("a selection of single cells".into()),
        2 => hyperslab(cursor, version),
        other => Err(format!("a selection of type {other}").into()),
    }
}

fn hyperslab(cursor: &mut Cursor<'_>, version: u32) -> Parsed<Selection> {
    const REGULAR: u8 = 1;
    let (regular, width) = match version {
        1 => {
            cursor.skip(8)?;
            (false, 4)
        }
        2 => {
            let flags = cursor.read_u8()?;
            cursor.skip(4)?;
            (flags & REGULAR != 0, 8)
        }
        3 => {
            let flags = cursor.read_u8()?;
            (flags & REGULAR != 0, cursor.read_u8()?)
        }
        other => return Err(format!("a hyperslab selection of version {other}").into()),
    };
    let rank = cursor.read_u32_le()? as usize;
    if ![2, 4, 8].contains(&width) || rank == 0 || rank > 32 {
        return Err(format!("a hyperslab selection of rank {rank} with numbers of {width} bytes").into());
    }
    let most = u64::MAX >> (64 - 8 * u32::from(width));
    let mut number = || -> Parsed<u64> { Ok(cursor.read_uvar(usize::from(width))?) };
    if regular {
        let mut dims = Vec::with_capacity(rank);
        for _ in 0..rank {
            let (start, stride, count, block) = (number()?, number()?, number()?, number()?);
            let limited = |n: u64| (n != most).then_some(n);
            dims.push(Blocks { start, stride, count: limited(count), block: limited(block) }.merged());
        }
        return Ok(Selection::Regular(dims));
    }
    let blocks = number()?;
    if blocks.checked_mul(rank as u64).is_none_or(|n| n > MOST) {
        return Err(format!("a hyperslab selection of {blocks} blocks").into());
    }
    let mut corners = Vec::new();
    for _ in 0..blocks {
        let first = (0..rank).map(|_| number()).collect::<Parsed<Vec<_>>>()?;
        let last = (0..rank).map(|_| number()).collect::<Parsed<Vec<_>>>()?;
        corners.push((first, last));
    }
    Ok(grid_of(&corners, rank))
}

/// Blocks, given by their first and last cells, as regular ones where they are: all of the same shape, at the crossings of a
/// grid with regular distances.
fn grid_of(corners: &[(Vec<u64>, Vec<u64>)], rank: usize) -> Selection {
    let irregular = || Selection::Other(format!("an irregular selection of {} blocks", corners.len()));
    let mut dims = Vec::with_capacity(rank);
    let mut all = 1u64;
    for d in 0..rank {
        let mut starts: Vec<u64> = corners.iter().filter_map(|(first, _)| first.get(d).copied()).collect();
        let mut lengths: Vec<Option<u64>> =
            corners.iter().map(|(first, last)| last.get(d)?.checked_sub(*first.get(d)?)?.checked_add(1)).collect();
        starts.sort_unstable();
        starts.dedup();
        lengths.dedup();
        let ([start, ..], [Some(block)]) = (starts.as_slice(), lengths.as_slice()) else { return irregular() };
        let stride = starts.get(1).map_or(*block, |second| second - start);
        if starts.windows(2).any(|w| w[1] - w[0] != stride) || stride < *block {
            return irregular();
        }
        let count = starts.len() as u64;
        all = all.saturating_mul(count);
        dims.push(Blocks { start: *start, stride, count: Some(count), block: Some(*block) }.merged());
    }
    // As many blocks as crossings, and no block twice.
    let mut firsts: Vec<&Vec<u64>> = corners.iter().map(|(first, _)| first).collect();
    firsts.sort_unstable();
    firsts.dedup();
    if firsts.len() as u64 != all || corners.len() as u64 != all {
        return irregular();
    }
    Selection::Regular(dims)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_on_a_grid_are_regular() {
        let block = |a: [u64; 2], b: [u64; 2]| (a.to_vec(), b.to_vec());
        let rows = [block([0, 0], [0, 2]), block([2, 0], [2, 2])];
        let found = Selection::Regular(vec![Blocks { start: 0, stride: 2, count: Some(2), block: Some(1) }, Blocks::run(0, 3)]);
        assert_eq!(grid_of(&rows, 2), found);
        assert_eq!(grid_of(&[block([1, 2], [3, 4])], 2), Selection::Regular(vec![Blocks::run(1, 3), Blocks::run(2, 3)]));
        for others in [vec![block([0, 0], [0, 2]), block([2, 0], [3, 2])], vec![block([0, 0], [0, 0]), block([1, 1], [1, 1])], vec![]] {
            assert!(matches!(grid_of(&others, 2), Selection::Other(_)), "{others:?}");
        }
    }

    #[test]
    fn cut_off_mappings_are_errors() {
        let mut body = vec![1u8, 2, 0, 0, 0, 0, 0, 0, 0, 4];
        body.extend(b"/d\0");
        body.extend([3, 0, 0, 0, 1, 0, 0, 0].iter().chain(&[0; 8]).copied().collect::<Vec<_>>().repeat(2));
        assert!(mappings(&body, 8).is_err());
        body[1] = 1;
        let found = mappings(&body, 8).unwrap();
        assert_eq!((found[0].file.as_deref(), found[0].dataset.as_str(), &found[0].source), (None, "/d", &Selection::All));
        for end in 0..body.len() {
            assert!(mappings(&body[..end], 8).is_err());
        }
    }
}
