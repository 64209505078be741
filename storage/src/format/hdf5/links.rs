//! The links of one group: symbol tables of old groups, link messages and dense link storage of new ones
//! (file format specification, III.B, IV.A.2.g, IV.A.2.r).

use hdf5_reader::btree_v1;
use hdf5_reader::btree_v2::{self, BTreeV2Header, BTreeV2Record};
use hdf5_reader::fractal_heap::{FractalHeap, FractalHeapDirectBlockCache};
use hdf5_reader::io::Cursor;
use hdf5_reader::local_heap::LocalHeap;
use hdf5_reader::messages::{self, MSG_LINK, MSG_LINK_INFO, MSG_SYMBOL_TABLE};
use hdf5_reader::symbol_table::SymbolTableNode;

use super::file::File;
use super::header::Header;
use super::value::text;
use super::{Parsed, Reason};

/// A named way to an object.
#[derive(Debug, Clone)]
pub(super) struct Link {
    /// Its name in the group.
    pub name: String,
    /// Where it leads.
    pub target: Target,
    order: Option<u64>,
}

/// Where a link leads.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// To the object whose header is at this address.
    Hard(u64),
    /// To this path of the same file, absolute or from the link's group.
    Soft(String),
    /// To this path of this other file.
    External(String, String),
    /// Nowhere that is followed, and why.
    Elsewhere(String),
}

/// The links of the group with this header, in creation order where that is tracked, else by name (as `h5ls` lists them).
pub(super) fn links(file: &File, header: &Header) -> Parsed<Vec<Link>> {
    let mut links = Vec::new();
    if let Some(message) = header.find(MSG_SYMBOL_TABLE) {
        let body = file.body(message)?;
        let table = messages::symbol_table_msg::parse(&mut Cursor::new(&body), file.offset_size, file.length_size, body.len())?;
        symbol_table(file, table.btree_address, table.heap_address, &mut links)?;
    }
    for message in header.messages.iter().filter(|m| m.kind == MSG_LINK) {
        links.push(link(file, &file.body(message)?)?);
    }
    if let Some(message) = header.find(MSG_LINK_INFO) {
        let body = file.body(message)?;
        let info = messages::link_info::parse(&mut Cursor::new(&body), file.offset_size, file.length_size, body.len())?;
        if !file.nowhere(info.fractal_heap_address) {
            dense(file, info.fractal_heap_address, info.btree_name_index_address, &mut links)?;
        }
    }
    if links.iter().all(|l| l.order.is_some()) {
        links.sort_by_key(|l| l.order);
    } else {
        links.sort_by(|a, b| a.name.cmp(&b.name));
    }
    Ok(links)
}

fn symbol_table(file: &File, tree: u64, heap: u64, links: &mut Vec<Link>) -> Parsed<()> {
    let storage = file.storage.as_ref();
    let heap = LocalHeap::parse_at_storage(storage, heap, file.offset_size, file.length_size)?;
    let length = usize::try_from(heap.data_segment_size).map_err(|_| Reason("local heap does not fit in memory".into()))?;
    let nodes = btree_v1::collect_btree_v1_leaves_storage(storage, tree, file.offset_size, file.length_size, None, &[], None)?;
    if nodes.is_empty() {
        return Ok(());
    }
    let names = storage.read_range(heap.data_segment_address, length)?;
    let name = |offset: u64| -> Parsed<String> {
        let rest = usize::try_from(offset).ok().and_then(|o| names.get(o..)).ok_or("link name outside the group's heap")?;
        let end = rest.iter().position(|&b| b == 0).ok_or("link name without an end")?;
        Ok(text(&rest[..end]))
    };
    for (_, at) in nodes {
        let head = storage.read_range(at, 8)?;
        let symbols = usize::from(u16::from_le_bytes([head[6], head[7]]));
        let bytes = storage.read_range(at, 8 + symbols * (2 * usize::from(file.offset_size) + 24))?;
        for entry in SymbolTableNode::parse(&mut Cursor::new(&bytes), file.offset_size, file.length_size)?.entries {
            let target = if entry.cache_type == 2 {
                let [a, b, c, d, ..] = entry.scratch;
                Target::Soft(name(u64::from(u32::from_le_bytes([a, b, c, d])))?)
            } else {
                Target::Hard(entry.object_header_address)
            };
            links.push(Link { name: name(entry.link_name_offset)?, target, order: None });
        }
    }
    Ok(())
}

fn dense(file: &File, heap: u64, tree: u64, links: &mut Vec<Link>) -> Parsed<()> {
    let (storage, o, l) = (file.storage.as_ref(), file.offset_size, file.length_size);
    let heap = FractalHeap::parse_at_storage(storage, heap, o, l)?;
    let tree = BTreeV2Header::parse_at_storage(storage, tree, o, l)?;
    let mut blocks = FractalHeapDirectBlockCache::default();
    for record in btree_v2::collect_btree_v2_records_storage(storage, &tree, o, l, None, &[], None)? {
        if let BTreeV2Record::LinkNameHash { heap_id, .. } | BTreeV2Record::CreationOrder { heap_id, .. } = record {
            links.push(link(file, &heap.get_object_storage_cached(&heap_id, storage, o, l, &mut blocks)?)?);
        }
    }
    Ok(())
}

/// A link message.
fn link(file: &File, body: &[u8]) -> Parsed<Link> {
    let mut cursor = Cursor::new(body);
    match cursor.read_u8()? {
        1 => {}
        version => return Err(format!("link message of version {version}, expected 1").into()),
    }
    let flags = cursor.read_u8()?;
    let kind = if flags & 0x08 != 0 { cursor.read_u8()? } else { 0 };
    let order = if flags & 0x04 != 0 { Some(cursor.read_u64_le()?) } else { None };
    if flags & 0x10 != 0 {
        cursor.skip(1)?;
    }
    let length = usize::try_from(cursor.read_uvar(1 << (flags & 3))?).map_err(|_| "link name does not fit in memory")?;
    let name = text(cursor.read_bytes(length)?);
    let target = match kind {
        0 => Target::Hard(cursor.read_offset(file.offset_size)?),
        1 => {
            let length = usize::from(cursor.read_u16_le()?);
            Target::Soft(text(cursor.read_bytes(length)?))
        }
        64 => {
            let length = usize::from(cursor.read_u16_le()?);
            let names: Vec<String> = cursor.read_bytes(length)?.get(1..).unwrap_or_default().split(|&b| b == 0).map(text).collect();
            let at = |i: usize| names.get(i).cloned().unwrap_or_default();
            Target::External(at(0), at(1))
        }
        kind => Target::Elsewhere(format!("user-defined link of type {kind}")),
    };
    Ok(Link { name, target, order })
}
