//! Attributes of an object, from its header and from dense storage (file format specification, IV.A.2.m, IV.A.2.v).

use hdf5_reader::btree_v2::{self, BTreeV2Header, BTreeV2Record};
use hdf5_reader::fractal_heap::{FractalHeap, FractalHeapDirectBlockCache};
use hdf5_reader::io::Cursor;
use hdf5_reader::messages::dataspace::{self, DataspaceMessage, DataspaceType};
use hdf5_reader::messages::{self, MSG_ATTRIBUTE, MSG_ATTRIBUTE_INFO, MSG_DATASPACE, MSG_DATATYPE, shared};

use super::datatype::{Kind, StoredType};
use super::file::File;
use super::header::{self, Header};
use super::value::{number, padded_text, text};
use super::{Parsed, Reason, heap};
use crate::array::{AttributeValue, Scalar};

/// One attribute, its value still as stored.
#[derive(Debug, Clone)]
pub(super) struct Attribute {
    /// Its name.
    pub name: String,
    stored: StoredType,
    null: bool,
    data: Vec<u8>,
}

/// The attributes of one object, and those that are not read.
#[derive(Debug, Default)]
pub(super) struct AttributeList {
    /// In creation order where that is tracked, else as stored.
    pub list: Vec<Attribute>,
    /// Name (empty where unknown) and reason.
    pub refused: Vec<(String, Reason)>,
}

impl AttributeList {
    /// The attribute with this name.
    pub(super) fn get(&self, name: &str) -> Option<&Attribute> {
        self.list.iter().find(|a| a.name == name)
    }
}

/// All attributes of the object with this header.
pub(super) fn attributes(file: &File, header: &Header) -> AttributeList {
    let mut found = AttributeList::default();
    let mut ordered: Vec<(Option<u32>, Attribute)> = Vec::new();
    for message in header.messages.iter().filter(|m| m.kind == MSG_ATTRIBUTE) {
        match file.body(message).and_then(|body| attribute(file, &body)) {
            Ok(a) => ordered.push((message.order.map(u32::from), a)),
            Err(reason) => found.refused.push((String::new(), reason)),
        }
    }
    if let Err(reason) = dense(file, header, &mut ordered, &mut found) {
        found.refused.push((String::new(), reason.at("dense attribute storage")));
    }
    if ordered.iter().all(|(order, _)| order.is_some()) {
        ordered.sort_by_key(|(order, _)| *order);
    }
    found.list = ordered.into_iter().map(|(_, a)| a).collect();
    found
}

fn dense(file: &File, header: &Header, ordered: &mut Vec<(Option<u32>, Attribute)>, found: &mut AttributeList) -> Parsed<()> {
    let Some(message) = header.find(MSG_ATTRIBUTE_INFO) else { return Ok(()) };
    let body = file.body(message)?;
    let (storage, o, l) = (file.storage.as_ref(), file.offset_size, file.length_size);
    let info = messages::attribute_info::parse(&mut Cursor::new(&body), o, l, body.len())?;
    if file.nowhere(info.fractal_heap_address) {
        return Ok(());
    }
    let heap = FractalHeap::parse_at_storage(storage, info.fractal_heap_address, o, l)?;
    let tree = BTreeV2Header::parse_at_storage(storage, info.btree_name_index_address, o, l)?;
    let mut blocks = FractalHeapDirectBlockCache::default();
    for record in btree_v2::collect_btree_v2_records_storage(storage, &tree, o, l, None, &[], None)? {
        let (id, order, flags) = match record {
            BTreeV2Record::AttributeNameHash { heap_id, creation_order, flags, .. } => (heap_id, creation_order, flags),
            BTreeV2Record::AttributeCreationOrder { heap_id, order } => (heap_id, order, 0),
            _ => continue,
        };
        let mut read = || -> Parsed<Attribute> {
            const SHARED: u8 = 0x02;
            let bytes = if flags & SHARED != 0 {
                // A shared attribute: the record holds its place in the heap of shared messages.
                file.shared(&shared::SharedMessage::SharedInSohm { message_type: MSG_ATTRIBUTE, heap_id: id.clone() })?
            } else {
                heap.get_object_storage_cached(&id, storage, o, l, &mut blocks)?
            };
            attribute(file, &bytes)
        };
        match read() {
            Ok(a) => ordered.push((info.creation_order_tracked.then_some(order), a)),
            Err(reason) => found.refused.push((String::new(), reason)),
        }
    }
    Ok(())
}

/// An attribute message, versions 1 to 3.
fn attribute(file: &File, body: &[u8]) -> Parsed<Attribute> {
    let mut cursor = Cursor::new(body);
    let version = cursor.read_u8()?;
    let flags = cursor.read_u8()?;
    if !(1..=3).contains(&version) {
        return Err(format!("attribute message of version {version}, expected 1 to 3").into());
    }
    let lengths = [cursor.read_u16_le()?, cursor.read_u16_le()?, cursor.read_u16_le()?].map(usize::from);
    if version == 3 {
        cursor.skip(1)?;
    }
    // Version 1 pads each part to 8 bytes and knows no sharing.
    let mut part = |length: usize| -> Parsed<&[u8]> {
        let bytes = cursor.read_bytes(length)?;
        if version == 1 {
            cursor.skip(length.next_multiple_of(8) - length)?;
        }
        Ok(bytes)
    };
    let (name, stored, space) = (text(part(lengths[0])?), part(lengths[1])?, part(lengths[2])?);
    let flags = if version == 1 { 0 } else { flags };
    let stored = unshare(file, stored, flags & 1 != 0, MSG_DATATYPE)?;
    let space = unshare(file, space, flags & 2 != 0, MSG_DATASPACE)?;
    let mut parsed = || -> Parsed<Attribute> {
        let stored = StoredType::parse(&stored)?;
        let space = dataspace::parse(&mut Cursor::new(&space), file.offset_size, file.length_size, space.len())?;
        let null = space.dataspace_type == DataspaceType::Null;
        let count = if null { 0 } else { elements(&space)? };
        let length =
            count.checked_mul(u64::from(stored.size)).and_then(|n| usize::try_from(n).ok()).ok_or("value does not fit in memory")?;
        let data = cursor.read_bytes(length)?.to_vec();
        Ok(Attribute { name: name.clone(), stored, null, data })
    };
    parsed().map_err(|r| r.at(&name))
}

/// Elements of a dataspace.
pub(super) fn elements(space: &DataspaceMessage) -> Parsed<u64> {
    space.dims.iter().try_fold(1u64, |n, &d| n.checked_mul(d)).ok_or_else(|| "more elements than 64 bits count".into())
}

fn unshare(file: &File, part: &[u8], is_shared: bool, kind: u16) -> Parsed<Vec<u8>> {
    if !is_shared {
        return Ok(part.to_vec());
    }
    file.shared(&header::shared(file, part, kind)?)
}

impl Attribute {
    /// The value, in the words of [`AttributeValue`].
    pub(super) fn value(&self, file: &File) -> Parsed<AttributeValue> {
        file.charge(self.data.len() as u64 + 64)?;
        let value = value(file, &self.stored, &self.data)?;
        // An empty text is one empty text; netCDF writes it with the null dataspace.
        Ok(match value {
            AttributeValue::Texts(mut v) if v.len() <= 1 && (self.null || v.len() == 1) => {
                AttributeValue::Text(v.pop().unwrap_or_default())
            }
            value => value,
        })
    }

    /// The text, when it is one.
    pub(super) fn text(&self, file: &File) -> Option<String> {
        match value(file, &self.stored, &self.data).ok()? {
            AttributeValue::Texts(v) => v.into_iter().next(),
            _ => None,
        }
    }

    /// The integers, when it holds some.
    pub(super) fn integers(&self, file: &File) -> Option<Vec<i64>> {
        match value(file, &self.stored, &self.data).ok()? {
            AttributeValue::Integers(_, v) => Some(v),
            _ => None,
        }
    }

    /// The lists of object addresses, when it holds some: `DIMENSION_LIST`.
    pub(super) fn addresses(&self, file: &File) -> Option<Vec<Vec<u64>>> {
        matches!(&self.stored.kind, Kind::Sequence(base) if base.kind == Kind::Reference)
            .then(|| heap::addresses(file, &self.data).ok())
            .flatten()
    }
}

fn value(file: &File, stored: &StoredType, data: &[u8]) -> Parsed<AttributeValue> {
    let each = || data.chunks_exact((stored.size as usize).max(1));
    match &stored.kind {
        Kind::Number(t, _) | Kind::Converted(_, t) if t.is_float() => {
            Ok(AttributeValue::Floats(*t, each().filter_map(|b| number(b, &stored.kind)).map(Scalar::as_f64).collect()))
        }
        Kind::Number(t, _) | Kind::Converted(_, t) => {
            let integer = |s: Scalar| match s {
                Scalar::Int(v) => v,
                Scalar::UInt(v) => v as i64,
                Scalar::Float(v) => v as i64,
            };
            Ok(AttributeValue::Integers(*t, each().filter_map(|b| number(b, &stored.kind)).map(integer).collect()))
        }
        Kind::FixedText(padding) => Ok(AttributeValue::Texts(each().map(|b| padded_text(b, *padding)).collect())),
        Kind::Text => Ok(AttributeValue::Texts(heap::texts(file, data)?.into_iter().map(Option::unwrap_or_default).collect())),
        Kind::Array(base, _) => value(file, base, data),
        // One list is a list of values; several would need a second dimension.
        Kind::Sequence(base) if data.len() == stored.size as usize && matches!(base.kind, Kind::Number(..) | Kind::Converted(..)) => {
            value(file, base, &heap::bytes(file, data, base.size.into())?.unwrap_or_default())
        }
        other => Err(format!("type {}", other.name()).into()),
    }
}
