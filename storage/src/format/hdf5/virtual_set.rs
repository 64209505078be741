//! Virtual data sets: the chunks of their sources become their own, where the grids of chunks fit together.
//!
//! A source may be of one piece: then it is cut so that the pieces fit. What no source has, has the fill value.

use std::collections::HashMap;
use std::rc::Rc;

use hdf5_reader::io::Cursor;
use hdf5_reader::messages::dataspace::UNLIMITED;

use super::chunks::{MOST_CHUNKS, PIECE, Place, reserve};
use super::data::{Data, data};
use super::dataset::Dataset;
use super::datatype::{Kind, StoredType};
use super::external::gcd;
use super::file::File;
use super::selection::{Blocks, Mapping, Selection, mappings};
use super::walk::object_at;
use super::{Parsed, Reason};
use crate::array::{ChunkGrid, ChunkManifest, ChunkRef, EdgeChunks};

/// A mapping names at most this many sources by number.
const MOST_NUMBERED: u64 = 65_536;
/// Boxes of cells that come from sources, over a whole data set.
const MOST_BOXES: usize = 1 << 20;

/// True for the data layout message of a virtual data set.
pub(super) fn is_virtual(layout: &[u8]) -> bool {
    matches!(layout, [version, 3, ..] if *version >= 4)
}

/// The sources of a virtual data set, each where it lies in it.
struct Part {
    source: Rc<Source>,
    /// First cell in the virtual data set.
    to: Vec<u64>,
    /// First cell in the source.
    from: Vec<u64>,
    /// Cells along each dimension of the virtual data set.
    lengths: Vec<u64>,
}

/// A data set that others are made of.
struct Source {
    name: String,
    data: Data,
    /// Its bytes follow each other from the first cell to the last.
    is_one_run: bool,
    /// For each dimension of the virtual data set the one of the source; `None`: one cell.
    dims: Vec<Option<usize>>,
}

fn read_mappings(file: &File, layout: &[u8]) -> Parsed<Vec<Mapping>> {
    let mut cursor = Cursor::new(layout);
    cursor.skip(2)?;
    let (address, index) = (cursor.read_offset(file.offset_size)?, cursor.read_u32_le()?);
    if file.nowhere(address) || address == 0 {
        return Ok(Vec::new());
    }
    let heap = file.heap(address)?;
    let object = u16::try_from(index).ok().and_then(|i| heap.get_object(i)).ok_or("its mappings are not in the global heap")?;
    mappings(&object.data, file.length_size)
}

/// The shape that the sources give a data set of `shape`, which may grow up to `max`: as far as there are sources, as libhdf5 does by default.
pub(super) fn extent(file: &Rc<File>, layout: &[u8], shape: &[u64], max: Option<&[u64]>) -> Parsed<Vec<u64>> {
    let mut found = shape.to_vec();
    let all = read_mappings(file, layout)?;
    for (d, n) in found.iter_mut().enumerate() {
        let mut ends = Vec::new();
        let mut grows = false;
        for mapping in &all {
            let Selection::Regular(target) = &mapping.target else { continue };
            let Some(blocks) = target.get(d) else { continue };
            let fixed = blocks.count.zip(blocks.block).and_then(|(count, block)| {
                let last = count.checked_sub(1)?.checked_mul(blocks.stride)?;
                blocks.start.checked_add(last)?.checked_add(block)
            });
            match fixed {
                Some(end) => ends.push(end),
                None => {
                    grows = true;
                    ends.push(grown(file, mapping, *blocks)?);
                }
            }
        }
        if grows {
            *n = ends.into_iter().max().unwrap_or(0);
            if let Some(&most) = max.and_then(|m| m.get(d)).filter(|&&m| m != UNLIMITED) {
                *n = (*n).min(most);
            }
        }
    }
    Ok(found)
}

/// Where an unlimited target ends.
fn grown(file: &Rc<File>, mapping: &Mapping, blocks: Blocks) -> Parsed<u64> {
    let too_long = || Reason("a virtual data set longer than 64 bits count".into());
    if is_numbered(mapping) {
        let Some(block) = blocks.block else { return Err("numbered sources without the length of their blocks".into()) };
        let mut count = 0u64;
        while count < MOST_NUMBERED && source_at(file, &numbered(mapping, count))?.is_some() {
            count += 1;
        }
        let Some(last) = count.checked_sub(1) else { return Ok(0) };
        return last.checked_mul(blocks.stride).and_then(|n| n.checked_add(blocks.start)?.checked_add(block)).ok_or_else(too_long);
    }
    let Some((other, address, path)) = source_at(file, mapping)? else { return Ok(0) };
    let source = file.family.deeper(|| Dataset::read(&other, address, &path, &other.header(address)?))?;
    let Selection::Regular(from) = &mapping.source else { return Err("an unlimited selection of a limited one".into()) };
    // The one dimension of the source that is not limited either.
    let open = from.iter().zip(&source.shape).find(|(b, _)| b.cells().is_none());
    match open {
        Some((open, &n)) if open.is_open() && blocks.is_open() => {
            blocks.start.checked_add(n.saturating_sub(open.start)).ok_or_else(too_long)
        }
        Some(_) => Err("an unlimited selection of blocks with gaps".into()),
        None => Err("an unlimited selection of a limited one".into()),
    }
}

/// True when names of the mapping have a place for a block's number.
fn is_numbered(mapping: &Mapping) -> bool {
    let numbered = |name: &str| name.replace("%%", "").contains("%b");
    mapping.file.as_deref().is_some_and(numbered) || numbered(&mapping.dataset)
}

/// The mapping of block `number`: `%b` is the number, `%%` one `%`.
fn numbered(mapping: &Mapping, number: u64) -> Mapping {
    let name = |name: &str| name.split("%%").map(|part| part.replace("%b", &number.to_string())).collect::<Vec<_>>().join("%");
    Mapping { file: mapping.file.as_deref().map(name), dataset: name(&mapping.dataset), ..mapping.clone() }
}

/// The header of a mapping's source, and its name; `None` when there is none.
fn source_at(file: &Rc<File>, mapping: &Mapping) -> Parsed<Option<(Rc<File>, u64, String)>> {
    let name = format!("{}:{}", mapping.file.as_deref().unwrap_or("."), mapping.dataset);
    let at = |r: Reason| r.at(&format!("source {name}"));
    let other = match &mapping.file {
        None => file.clone(),
        Some(other) => match file.other(other).map_err(at)? {
            Some(other) => other,
            None => return Ok(None),
        },
    };
    let path = format!("/{}", mapping.dataset.trim_start_matches('/'));
    let found = object_at(&other, &path).map_err(at)?;
    Ok(found.map(|(other, address)| (other, address, name)))
}

/// Where the cells of a virtual data set lie, and the type that they have there.
pub(super) fn place(dataset: &Dataset, layout: &[u8], stored: &StoredType, fill: Option<&[u8]>) -> Parsed<(StoredType, Place)> {
    let shape = &dataset.shape;
    let mut parts = Vec::new();
    let mut sources = HashMap::new();
    for mapping in read_mappings(&dataset.file, layout)? {
        add(dataset, &mapping, &mut sources, &mut parts)?;
        if parts.len() > MOST_BOXES {
            return Err(format!("virtual data set of more than {MOST_BOXES} parts").into());
        }
    }
    parts.retain(|p| !p.lengths.contains(&0));
    let Some(first) = parts.first() else {
        let chunk_shape: Vec<u64> = shape.iter().map(|&n| n.max(1)).collect();
        return Ok((
            stored.clone(),
            Place { chunk_shape, edge: EdgeChunks::Clipped, codecs: Vec::new(), manifest: ChunkManifest::default() },
        ));
    };
    let (edge, codecs, kind) = (first.source.data.place.edge, first.source.data.place.codecs.clone(), first.source.data.stored.clone());
    for part in &parts {
        check(&part.source, stored, &kind, fill)?;
        let place = &part.source.data.place;
        if place.edge != edge || place.codecs != codecs {
            let one = |p: &Part| {
                let codecs: Vec<&str> = p.source.data.place.codecs.iter().map(|c| c.name()).collect();
                format!("{} (chunks {:?}, codecs {codecs:?})", p.source.name, p.chunk_shape())
            };
            return Err(format!("virtual data set whose sources {} and {} are not stored alike", one(first), one(part)).into());
        }
    }
    let chunk_shape = match edge {
        EdgeChunks::Padded => first.chunk_shape(),
        EdgeChunks::Clipped => cut(&parts, shape, kind.size.into())?,
    };
    let grid = ChunkGrid::new(shape, &chunk_shape);
    if grid.len() > MOST_CHUNKS {
        return Err(format!("{} chunks of shape {chunk_shape:?}; at most {MOST_CHUNKS} are read", grid.len()).into());
    }
    reserve(&dataset.file, grid.len())?;
    let mut chunks = vec![ChunkRef::Missing; usize::try_from(grid.len()).map_err(|_| "chunks do not fit in memory")?];
    for part in &parts {
        part.fill(&grid, shape, edge, kind.size.into(), &mut chunks)
            .map_err(|r| r.at(&format!("virtual data set: source {}", part.source.name)))?;
    }
    Ok((kind, Place { chunk_shape, edge, codecs, manifest: ChunkManifest::new(chunks) }))
}

/// Refuses a source of another type (but for the order of its bytes) or whose cells that were never written have another value.
fn check(source: &Source, stored: &StoredType, kind: &StoredType, fill: Option<&[u8]>) -> Parsed<()> {
    let number = |t: &StoredType| match &t.kind {
        Kind::Number(t, _) => Some(*t),
        _ => None,
    };
    let data = &source.data;
    let name = &source.name;
    if data.stored.kind == Kind::Text {
        return Err(format!("virtual data set: source {name} has texts of any length").into());
    }
    if data.stored != *kind {
        let (own, first) = (data.stored.kind.name(), kind.kind.name());
        return Err(format!("virtual data set: source {name} is of another type ({own}) than the first source ({first})").into());
    }
    if data.stored.kind != stored.kind && (number(stored).is_none() || number(stored) != number(&data.stored)) {
        return Err(format!("virtual data set of {} with source {name} of {}", stored.kind.name(), data.stored.kind.name()).into());
    }
    let zero = |f: Option<&[u8]>| f.is_none_or(|f| f.iter().all(|&b| b == 0));
    let reversed = |f: &[u8]| f.iter().rev().copied().collect::<Vec<u8>>();
    let own = fill.map(|f| if data.stored.kind == stored.kind { f.to_vec() } else { reversed(f) });
    let same = data.fill == own || zero(data.fill.as_deref()) && zero(own.as_deref());
    if !same && !data.is_written() {
        return Err(format!("virtual data set: source {name} has cells that were never written, with another fill value").into());
    }
    Ok(())
}

type Sources = HashMap<(String, Vec<Option<usize>>), Rc<Source>>;

/// Adds the parts of one mapping.
fn add(dataset: &Dataset, mapping: &Mapping, sources: &mut Sources, parts: &mut Vec<Part>) -> Parsed<()> {
    let whole: Vec<Blocks>;
    let target = match &mapping.target {
        Selection::Nothing => return Ok(()),
        Selection::Other(what) => return Err(format!("virtual data set with {what}").into()),
        Selection::All => {
            whole = dataset.shape.iter().map(|&n| Blocks::run(0, n)).collect();
            &whole
        }
        Selection::Regular(dims) => dims,
    };
    if target.len() != dataset.shape.len() {
        return Err("virtual data set with a mapping of another rank".into());
    }
    if is_numbered(mapping) {
        let Some(d) = target.iter().position(|b| b.count.is_none()) else {
            return Err("virtual data set with numbered sources of a limited selection".into());
        };
        let (Some(b), Some(&n)) = (target.get(d), dataset.shape.get(d)) else { return Ok(()) };
        let block = b.block.ok_or("virtual data set with numbered sources without the length of their blocks")?;
        for number in 0..MOST_NUMBERED {
            let start = number.checked_mul(b.stride).and_then(|s| s.checked_add(b.start));
            let Some(start) = start.filter(|&s| s < n) else { break };
            let mut one = target.clone();
            if let Some(slot) = one.get_mut(d) {
                *slot = Blocks::run(start, block);
            }
            add_one(dataset, &numbered(mapping, number), &one, sources, parts)?;
        }
        return Ok(());
    }
    add_one(dataset, mapping, target, sources, parts)
}

fn add_one(dataset: &Dataset, mapping: &Mapping, target: &[Blocks], sources: &mut Sources, parts: &mut Vec<Part>) -> Parsed<()> {
    let Some((file, address, name)) = source_at(&dataset.file, mapping)? else { return Ok(()) };
    let named = |r: Reason| r.at(&format!("virtual data set: source {name}"));
    let source = file.family.deeper(|| Dataset::read(&file, address, &name, &file.header(address)?)).map_err(named)?;
    let selected: Vec<Blocks> = match &mapping.source {
        Selection::Nothing => return Ok(()),
        Selection::Other(what) => return Err(Reason(format!("virtual data set with {what}"))),
        Selection::All => source.shape.iter().map(|&n| Blocks::run(0, n)).collect(),
        Selection::Regular(dims) if dims.len() == source.shape.len() => dims.clone(),
        Selection::Regular(_) => return Err(named("a selection of another rank".into())),
    };
    // What is unlimited ends where the source or the virtual data set ends.
    let limit = |blocks: &[Blocks], shape: &[u64]| -> Vec<Blocks> {
        let one = |(b, n): (&Blocks, &u64)| if b.is_open() { Blocks::run(b.start, n.saturating_sub(b.start)) } else { *b };
        blocks.iter().zip(shape).map(one).collect()
    };
    let (from, mut to) = (limit(&selected, &source.shape), limit(target, &dataset.shape));
    // Dimensions of one selected cell are left out; the others follow each other in both.
    let long =
        |blocks: &[Blocks]| -> Vec<usize> { (0..blocks.len()).filter(|&d| blocks.get(d).and_then(Blocks::cells) != Some(1)).collect() };
    let (from_dims, to_dims) = (long(&from), long(&to));
    if from_dims.len() != to_dims.len() {
        return Err(named(Reason(format!("{} cells along its dimensions become {}", shown(&from), shown(&to)))));
    }
    let mut dims = vec![None; to.len()];
    for (&f, &t) in from_dims.iter().zip(&to_dims) {
        let (Some(a), Some(b), Some(slot)) = (from.get(f), to.get_mut(t), dims.get_mut(t)) else { continue };
        // Where the source ends first, the rest is not there; that only an unlimited target may have.
        if target.get(t).is_some_and(Blocks::is_open) {
            *b = Blocks::run(b.start, a.cells().unwrap_or(0).min(b.cells().unwrap_or(0)));
        }
        if a.cells().is_none() || a.cells() != b.cells() {
            return Err(named(Reason(format!("{} cells along its dimensions become {}", shown(&from), shown(&to)))));
        }
        *slot = Some(f);
    }
    let key = (format!("{}:{address}", file.number), dims.clone());
    let source = match sources.get(&key) {
        Some(known) => Rc::clone(known),
        None => {
            let data = dataset.file.family.deeper(|| data(&source, &[])).map_err(named)?;
            let is_one_run = data.place.is_one_run(&data.shape);
            let new = Rc::new(Source { name: name.clone(), data, is_one_run, dims: dims.clone() });
            sources.insert(key, new.clone());
            new
        }
    };
    let runs: Vec<Vec<Run>> = (to.iter().zip(&dims))
        .map(|(b, f)| runs(*b, f.and_then(|f| from.get(f)).copied()))
        .collect::<Option<_>>()
        .ok_or_else(|| named(Reason(format!("blocks of {} cells become blocks of {}", shown(&from), shown(&to)))))?;
    let count = runs.iter().fold(1usize, |n, r| n.saturating_mul(r.len()));
    if count.saturating_add(parts.len()) > MOST_BOXES {
        return Err(format!("virtual data set of more than {MOST_BOXES} parts").into());
    }
    let start: Vec<u64> = from.iter().map(|b| b.start).collect();
    for i in 0..count {
        let (mut rest, mut part) =
            (i, Part { source: source.clone(), to: vec![0; to.len()], from: start.clone(), lengths: vec![0; to.len()] });
        for (d, runs) in runs.iter().enumerate().rev() {
            let Some(run) = runs.get(rest % runs.len().max(1)) else { continue };
            rest /= runs.len().max(1);
            if let (Some(to), Some(length)) = (part.to.get_mut(d), part.lengths.get_mut(d)) {
                (*to, *length) = (run.to, run.length);
            }
            if let Some(from) = dims.get(d).copied().flatten().and_then(|f| part.from.get_mut(f)) {
                *from = run.from;
            }
        }
        // Every dimension of the source, also those of which one cell is taken.
        let inside = source.data.shape.iter().zip(&part.from).enumerate().all(|(f, (&n, from))| {
            let length = dims.iter().position(|&d| d == Some(f)).and_then(|d| part.lengths.get(d)).copied().unwrap_or(1);
            from.checked_add(length).is_some_and(|end| end <= n)
        });
        if !inside {
            return Err(named(Reason(format!("cells outside of its shape {:?}", source.data.shape))));
        }
        parts.push(part);
    }
    Ok(())
}

fn shown(blocks: &[Blocks]) -> String {
    let each = blocks.iter().map(|b| b.cells().map_or("any number of".into(), |n| n.to_string()));
    each.collect::<Vec<_>>().join(" x ")
}

/// Cells along one dimension that follow each other in both data sets.
struct Run {
    to: u64,
    from: u64,
    length: u64,
}

/// Pairs the blocks of one dimension; `None` when they are cut differently. Without a source dimension: one cell.
fn runs(to: Blocks, from: Option<Blocks>) -> Option<Vec<Run>> {
    let from = from.unwrap_or(Blocks::run(0, 1));
    let (count, block) = match (to.count?, from.count?) {
        (1, 1) => (1, to.block?),
        (1, n) => (n, from.block?),
        (n, 1) => (n, to.block?),
        (n, m) if n == m && to.block == from.block => (n, to.block?),
        _ => return None,
    };
    if count > MOST_BOXES as u64 {
        return None;
    }
    let at = |b: Blocks, i: u64| b.start.checked_add(i.checked_mul(if b.count == Some(1) { block } else { b.stride })?);
    (0..count).map(|i| Some(Run { to: at(to, i)?, from: at(from, i)?, length: block })).collect()
}

/// The shape of pieces into which parts of one piece can be cut, each a run of bytes of its source.
fn cut(parts: &[Part], shape: &[u64], element: u64) -> Parsed<Vec<u64>> {
    let mut sides = vec![1u64; shape.len()];
    let mut bytes = element;
    for d in (0..shape.len()).rev() {
        let both = |p: &Part| (p.to.get(d).copied().unwrap_or(0), p.lengths.get(d).copied().unwrap_or(0));
        let mut side = parts.iter().map(both).fold(0, |g, (start, length)| gcd(gcd(g, start), length)).max(1);
        for part in parts {
            side = part.source.longest(d, part, side);
        }
        let most = (PIECE / bytes.max(1)).max(1);
        let side = if side <= most { side } else { (1..=most).rev().find(|s| side.is_multiple_of(*s)).unwrap_or(1) };
        if let Some(slot) = sides.get_mut(d) {
            *slot = side;
        }
        bytes = bytes.checked_mul(side).ok_or("virtual data set of too large parts")?;
        // Rows of the source follow each other only where each is taken whole.
        if parts.iter().any(|p| p.source.row(d) != side) {
            break;
        }
    }
    Ok(sides)
}

impl Source {
    /// At most `side` cells along dimension `d` of the virtual data set that may lie in one run of bytes.
    fn longest(&self, d: usize, part: &Part, side: u64) -> u64 {
        let Some(f) = self.dims.get(d).copied().flatten() else { return side };
        // Behind a cell along a dimension that the virtual data set lacks comes another one of that dimension.
        let lacks = |g: usize| !self.dims.contains(&Some(g)) && self.data.shape.get(g).is_some_and(|&n| n != 1);
        if (f + 1..self.data.shape.len()).any(lacks) {
            return 1;
        }
        if self.is_one_run {
            return side;
        }
        let (chunk, from) = (self.data.place.chunk_shape.get(f).copied().unwrap_or(1), part.from.get(f).copied().unwrap_or(0));
        gcd(gcd(side, chunk), from)
    }

    /// Cells along dimension `d` of the virtual data set after which the next row of bytes begins; 1 where the source has no
    /// such dimension.
    fn row(&self, d: usize) -> u64 {
        let shape = if self.is_one_run { &self.data.shape } else { &self.data.place.chunk_shape };
        self.dims.get(d).copied().flatten().and_then(|f| shape.get(f)).copied().unwrap_or(1)
    }
}

impl Part {
    /// The source's chunk shape in the dimensions of the virtual data set.
    fn chunk_shape(&self) -> Vec<u64> {
        let side = |f: &Option<usize>| f.and_then(|f| self.source.data.place.chunk_shape.get(f)).copied().unwrap_or(1);
        self.source.dims.iter().map(side).collect()
    }

    /// Puts the source's chunks where they belong in `chunks`, the grid of the virtual data set of `shape`.
    fn fill(&self, grid: &ChunkGrid, shape: &[u64], edge: EdgeChunks, element: u64, chunks: &mut [ChunkRef]) -> Parsed<()> {
        let sides = grid.chunk_shape();
        // Chunks along each dimension that the part has.
        let mut firsts = Vec::with_capacity(sides.len());
        let mut counts = Vec::with_capacity(sides.len());
        for (((&to, &length), &side), &n) in self.to.iter().zip(&self.lengths).zip(sides).zip(shape) {
            let end = to.checked_add(length).filter(|&end| end <= n).ok_or("more cells than the virtual data set has")?;
            if !to.is_multiple_of(side) || !end.is_multiple_of(side) && end != n {
                return Err(format!("cells {to}..{end} do not lie on the grid of chunks of {side} cells").into());
            }
            firsts.push(to / side);
            counts.push(end.div_ceil(side) - to / side);
        }
        if edge == EdgeChunks::Padded {
            self.check_chunks(sides)?;
        }
        let total: u64 = counts.iter().product();
        for i in 0..total {
            let mut rest = i;
            let mut at = firsts.clone();
            let mut from = self.from.clone();
            for (d, &count) in counts.iter().enumerate().rev() {
                let step = rest % count;
                rest /= count;
                if let Some(at) = at.get_mut(d) {
                    *at += step;
                }
                if let Some(from) = self.source.dims.get(d).copied().flatten().and_then(|f| from.get_mut(f)) {
                    *from += step * sides.get(d).copied().unwrap_or(1);
                }
            }
            let reference = match edge {
                EdgeChunks::Padded => self.source.chunk_at(&from),
                EdgeChunks::Clipped => {
                    let cells = grid
                        .extent(&at)
                        .ranges()
                        .iter()
                        .zip(&self.to)
                        .zip(&self.lengths)
                        .try_fold(element, |n, ((r, to), length)| n.checked_mul(r.end.min(to + length).saturating_sub(r.start)));
                    self.source.bytes_at(&from, cells.ok_or("too large a piece")?, element)?
                }
            };
            let slot =
                usize::try_from(grid.number(&at)).ok().and_then(|n| chunks.get_mut(n)).ok_or("a chunk outside of the virtual data set")?;
            if *slot != ChunkRef::Missing && *slot != reference {
                return Err("its cells are those of another source, too".into());
            }
            *slot = reference;
        }
        Ok(())
    }

    /// Refuses chunks that are cut differently than those of the virtual data set.
    fn check_chunks(&self, sides: &[u64]) -> Parsed<()> {
        if self.chunk_shape() != sides {
            return Err(format!("its chunks of shape {:?} are not {sides:?}", self.chunk_shape()).into());
        }
        for (f, (&from, &side)) in self.from.iter().zip(&self.source.data.place.chunk_shape).enumerate() {
            let lies_along = self.source.dims.contains(&Some(f));
            if !from.is_multiple_of(side) || !lies_along && side != 1 {
                return Err(format!("cells from {from} on do not begin with a chunk of {side} cells").into());
            }
        }
        Ok(())
    }
}

impl Source {
    /// The chunk of the source that begins at this cell.
    fn chunk_at(&self, cell: &[u64]) -> ChunkRef {
        let place = &self.data.place;
        let grid = ChunkGrid::new(&self.data.shape, &place.chunk_shape);
        let at: Vec<u64> = cell.iter().zip(&place.chunk_shape).map(|(c, side)| c / side.max(&1)).collect();
        match at.iter().zip(grid.counts()).all(|(i, n)| *i < n) {
            true => place.manifest.get(grid.number(&at)),
            false => ChunkRef::Missing,
        }
    }

    /// `length` bytes of a source without codecs, from this cell on; [`cut`] sees to it that they follow each other there.
    fn bytes_at(&self, cell: &[u64], length: u64, element: u64) -> Parsed<ChunkRef> {
        let place = &self.data.place;
        let index =
            |cell: &[u64], shape: &[u64]| cell.iter().zip(shape).try_fold(0u64, |n, (c, side)| n.checked_mul(*side)?.checked_add(*c));
        let (position, reference) = if self.is_one_run {
            (index(cell, &self.data.shape), place.manifest.get(0))
        } else {
            let grid = ChunkGrid::new(&self.data.shape, &place.chunk_shape);
            let at: Vec<u64> = cell.iter().zip(grid.chunk_shape()).map(|(c, side)| c / side).collect();
            let extent = grid.extent(&at);
            let inside: Vec<u64> = cell.iter().zip(extent.ranges()).map(|(c, r)| c - r.start).collect();
            (index(&inside, &extent.shape()), self.chunk_at(cell))
        };
        let begin = position.and_then(|n| n.checked_mul(element)).ok_or("more bytes than 64 bits count")?;
        match reference {
            // Of one run the end was checked with the source's shape, of a chunk its length tells.
            ChunkRef::Stored { length: stored, .. } if !self.is_one_run && begin.checked_add(length).is_none_or(|end| end > stored) => {
                Err("its pieces are cut differently".into())
            }
            ChunkRef::Stored { object, offset, .. } => {
                let offset = offset.checked_add(begin).ok_or("more bytes than 64 bits count")?;
                Ok(ChunkRef::Stored { object, offset, length, skip: 0 })
            }
            ChunkRef::Inline(bytes) => {
                let range = usize::try_from(begin).ok().zip(begin.checked_add(length).and_then(|end| usize::try_from(end).ok()));
                let taken = range.and_then(|(begin, end)| bytes.get(begin..end)).ok_or("fewer bytes than it should have")?;
                Ok(ChunkRef::Inline(bytes.slice_ref(taken)))
            }
            ChunkRef::Missing | ChunkRef::Key { .. } => Ok(ChunkRef::Missing),
        }
    }
}
