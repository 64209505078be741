//! One open HDF5 file: superblock, shared messages, caches and the budget for what its index may hold.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use hdf5_reader::fractal_heap::FractalHeap;
use hdf5_reader::global_heap::GlobalHeapCollection;
use hdf5_reader::io::Cursor;
use hdf5_reader::messages::MSG_SHARED_TABLE;
use hdf5_reader::messages::shared::SharedMessage;
use hdf5_reader::storage::DynStorage;
use hdf5_reader::superblock::Superblock;

use super::family::{Family, Neighbours};
use super::header::{Body, Header, Message};
use super::source::Bounded;
use super::{Parsed, Reason};

/// Parsed global heap collections are kept up to this many bytes of the file.
const HEAPS_KEPT: u64 = 64 << 20;

/// An open file. All addresses are relative to `base`.
pub(super) struct File {
    /// Bytes behind the user block.
    pub storage: DynStorage,
    /// Size of the user block: what must be added to an address to get a position in the object.
    pub base: u64,
    /// Bytes of an address.
    pub offset_size: u8,
    /// Bytes of a length.
    pub length_size: u8,
    /// Address of the root group's header.
    pub root: u64,
    /// Number of the object among the granule's; 0 is its own.
    pub number: u32,
    /// What opens the files that this one names; none where it is alone.
    pub neighbours: Option<Arc<dyn Neighbours>>,
    /// The objects of the granule.
    pub family: Rc<Family>,
    /// Set when the superblock tells of more bytes than the object has.
    pub truncated: Option<Reason>,
    extension: Option<u64>,
    budget: Cell<u64>,
    headers: RefCell<HashMap<u64, Rc<Header>>>,
    heaps: RefCell<(HashMap<u64, Rc<GlobalHeapCollection>>, u64)>,
    shared: OnceCell<Parsed<Vec<SharedIndex>>>,
}

/// One index of the file's table of shared messages: the kinds of messages that it holds, and their heap.
struct SharedIndex {
    kinds: u16,
    heap: FractalHeap,
}

impl File {
    /// Reads the superblock of the granule's object `number`.
    pub(super) fn open(storage: DynStorage, number: u32, neighbours: Option<Arc<dyn Neighbours>>, family: Rc<Family>) -> Parsed<File> {
        let block = Superblock::parse_from_storage(storage.as_ref())?;
        for (what, size) in [("offsets", block.offset_size), ("lengths", block.length_size)] {
            if ![2, 4, 8].contains(&size) {
                return Err(format!("superblock: {what} of {size} bytes, expected 2, 4 or 8").into());
            }
        }
        let size = storage.len();
        let told = block.eof_address;
        let truncated = (told > size && !Cursor::is_undefined_offset(told, block.offset_size))
            .then(|| Reason(format!("the file is cut off: its superblock tells of {told} bytes, the object has {size}")));
        Ok(File {
            root: block.root_object_header_address()?,
            base: block.base_address,
            offset_size: block.offset_size,
            length_size: block.length_size,
            number,
            neighbours,
            family,
            truncated,
            extension: block.extension_address,
            // Room for the chunk references of ordinary files and for everything that is spelled out in larger ones.
            budget: Cell::new(size.saturating_mul(8).saturating_add(64 << 20)),
            headers: RefCell::default(),
            heaps: RefCell::default(),
            shared: OnceCell::new(),
            storage: Arc::new(Bounded::new(storage, block.base_address)),
        })
    }

    /// True for the address that means "nowhere".
    pub(super) fn nowhere(&self, address: u64) -> bool {
        Cursor::is_undefined_offset(address, self.offset_size)
    }

    /// Accounts for `bytes` that go into the index; small files that describe huge indexes end here.
    pub(super) fn charge(&self, bytes: u64) -> Parsed<()> {
        match self.budget.get().checked_sub(bytes) {
            Some(left) => {
                self.budget.set(left);
                Ok(())
            }
            None => Err(format!("its index would take {bytes} bytes more than a file of this size may need").into()),
        }
    }

    /// The object header at `address`.
    pub(super) fn header(&self, address: u64) -> Parsed<Rc<Header>> {
        if let Some(header) = self.headers.borrow().get(&address) {
            return Ok(header.clone());
        }
        let header = Rc::new(
            Header::read(self, address).map_err(|r| r.at(&format!("object header at byte {}", address.saturating_add(self.base))))?,
        );
        self.headers.borrow_mut().insert(address, header.clone());
        Ok(header)
    }

    /// The bytes of a message, wherever they are shared from.
    pub(super) fn body<'a>(&self, message: &'a Message) -> Parsed<Cow<'a, [u8]>> {
        match &message.body {
            Body::Here(bytes) => Ok(Cow::Borrowed(bytes)),
            Body::Shared(shared) => self.shared(shared).map(Cow::Owned),
        }
    }

    /// The bytes of a message that is stored in another object's header or in the heap of shared messages.
    pub(super) fn shared(&self, shared: &SharedMessage) -> Parsed<Vec<u8>> {
        match shared {
            SharedMessage::SharedInOhdr { message_type, address } => {
                let header = self.header(*address)?;
                match header.messages.iter().find(|m| m.kind == *message_type).map(|m| &m.body) {
                    Some(Body::Here(bytes)) => Ok(bytes.clone()),
                    Some(Body::Shared(_)) => Err("shared message that is itself shared".into()),
                    None => Err(format!("shared message of type {message_type} is not in the header that it names").into()),
                }
            }
            SharedMessage::SharedInSohm { message_type, heap_id } => {
                let indexes = self.shared.get_or_init(|| self.read_shared_indexes()).as_ref().map_err(Clone::clone)?;
                let bit = 1u16.checked_shl(u32::from(*message_type)).unwrap_or(0);
                let index = indexes.iter().find(|i| i.kinds & bit != 0).ok_or("shared message without an index for it")?;
                Ok(index.heap.get_object_storage(heap_id, self.storage.as_ref(), self.offset_size, self.length_size)?)
            }
        }
    }

    /// Shared object header message table (file format specification, III.G). Only the heaps are needed: a message names its
    /// place in the heap itself. (hdf5-reader 0.12.1 expects reserved bytes in the message and in the entries; libhdf5 writes none.)
    fn read_shared_indexes(&self) -> Parsed<Vec<SharedIndex>> {
        let extension = self.extension.ok_or("shared message in a file without a superblock extension")?;
        let header = self.header(extension)?;
        let message = header.messages.iter().find(|m| m.kind == MSG_SHARED_TABLE).ok_or("no table of shared messages")?;
        let body = self.body(message)?;
        let mut cursor = Cursor::new(&body);
        cursor.skip(1)?;
        let (table, count) = (cursor.read_offset(self.offset_size)?, cursor.read_u8()?);
        let entry = 14 + 2 * usize::from(self.offset_size);
        let bytes = self.storage.read_range(table, 4 + usize::from(count) * entry)?;
        let mut cursor = Cursor::new(&bytes);
        if cursor.read_bytes(4)? != b"SMTB" {
            return Err("table of shared messages: signature SMTB expected".into());
        }
        let mut indexes = Vec::new();
        for _ in 0..count {
            cursor.skip(2)?;
            let kinds = cursor.read_u16_le()?;
            cursor.skip(10)?;
            let _records = cursor.read_offset(self.offset_size)?;
            let heap = cursor.read_offset(self.offset_size)?;
            if !self.nowhere(heap) {
                let heap = FractalHeap::parse_at_storage(self.storage.as_ref(), heap, self.offset_size, self.length_size)?;
                indexes.push(SharedIndex { kinds, heap });
            }
        }
        Ok(indexes)
    }

    /// The global heap collection at `address`.
    pub(super) fn heap(&self, address: u64) -> Parsed<Rc<GlobalHeapCollection>> {
        if let Some(heap) = self.heaps.borrow().0.get(&address) {
            return Ok(heap.clone());
        }
        let heap = GlobalHeapCollection::parse_at_storage(self.storage.as_ref(), address, self.offset_size, self.length_size)?;
        let heap = Rc::new(heap);
        let bytes: u64 = heap.objects.iter().map(|o| o.data.len() as u64 + 64).sum();
        let mut kept = self.heaps.borrow_mut();
        if kept.1.saturating_add(bytes) > HEAPS_KEPT {
            *kept = Default::default();
        }
        kept.0.insert(address, heap.clone());
        kept.1 += bytes;
        Ok(heap)
    }
}
