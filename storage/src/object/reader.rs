//! Reading headers: a bounded cache of blocks in front of ranged requests, so that a format may ask for few bytes at a
//! time. Bulk data does not go through here (see [`super::Objects::read_ranges`]).

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;

use super::store::Opened;
use super::{ObjectVersion, Objects, location, over_the_end};
use crate::{Error, Result};

/// Bytes a block.
const BLOCK: u64 = 64 * 1024;
/// Blocks kept a reader: 64 MiB.
const BLOCKS: usize = 1024;
/// Reads of more bytes than this pass the cache by.
const LARGE: u64 = 16 * 1024 * 1024;
/// Requests under way at once for one read.
const PARALLEL: usize = 8;
/// Blocks that a request to a remote store fetches at least: 256 KiB at first, then twice as many each time, at most 1 MiB.
const AHEAD: std::ops::RangeInclusive<u64> = 4..=16;

/// Reads headers through a block cache. Cheap to clone; clones share the cache.
#[derive(Debug, Clone)]
pub struct ObjectReader {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    object: Opened,
    objects: Objects,
    version: ObjectVersion,
    blocks: Mutex<Blocks>,
    requests: AtomicU64,
    bytes: AtomicU64,
}

/// Blocks by number, and the order in which they came.
#[derive(Debug, Default)]
struct Blocks {
    by_number: HashMap<u64, Bytes>,
    order: VecDeque<u64>,
}

impl Blocks {
    fn insert(&mut self, number: u64, bytes: Bytes) {
        if self.by_number.insert(number, bytes).is_none() {
            self.order.push_back(number);
        }
        while self.order.len() > BLOCKS {
            if let Some(oldest) = self.order.pop_front() {
                self.by_number.remove(&oldest);
            }
        }
    }
}

impl ObjectReader {
    /// `first`: bytes from the object's begin that opening it brought, in one request.
    pub(super) fn new(object: Opened, version: ObjectVersion, first: Bytes, objects: Objects) -> ObjectReader {
        let mut blocks = Blocks::default();
        let whole = (first.len() as u64).min(BLOCK) == version.size.min(BLOCK);
        if whole && !first.is_empty() {
            blocks.insert(0, first.slice(..first.len().min(BLOCK as usize)));
        }
        let (requests, bytes) = (AtomicU64::new(1), AtomicU64::new(first.len() as u64));
        ObjectReader { inner: Arc::new(Inner { object, objects, version, blocks: Mutex::new(blocks), requests, bytes }) }
    }

    /// Canonical path or URL.
    pub fn location(&self) -> &str {
        self.inner.object.location()
    }

    /// Set where the location is a chunk store: the name of the document in it that is read here (`zarr.json`, `.zmetadata` ...).
    pub fn document(&self) -> Option<&'static str> {
        self.inner.object.document()
    }

    /// Where further objects are opened that this one names: under the same roots.
    pub fn objects(&self) -> &Objects {
        &self.inner.objects
    }

    /// The location that a name in this object means: absolute paths and URLs stand for themselves, others are relative to
    /// the folder that this object lies in. Neither roots nor existence are checked here: opening it does.
    pub fn resolve(&self, name: &str) -> String {
        location::relative_to(self.location(), name)
    }

    /// The version opened; every read is of this version.
    pub fn version(&self) -> &ObjectVersion {
        &self.inner.version
    }

    /// Bytes in the object.
    pub fn size(&self) -> u64 {
        self.inner.version.size
    }

    /// Requests sent so far. Opening the object is one.
    pub fn requests(&self) -> u64 {
        self.inner.requests.load(Ordering::Relaxed)
    }

    /// Bytes that these brought.
    pub fn bytes(&self) -> u64 {
        self.inner.bytes.load(Ordering::Relaxed)
    }

    /// Exactly these bytes.
    ///
    /// Errors: [`Error::Data`] with the range when it reaches over the object's end; [`Error::Changed`] when the object
    /// is no longer the one that was opened.
    pub async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        if range.start > range.end || range.end > self.size() {
            return Err(over_the_end(self.location(), &range, self.size()));
        }
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        if range.end - range.start > LARGE {
            return self.request(range).await;
        }
        let (first, last) = (range.start / BLOCK, (range.end - 1) / BLOCK);
        let (mut have, runs) = {
            let blocks = self.inner.blocks.lock();
            let have: Vec<Option<Bytes>> = (first..=last).map(|number| blocks.by_number.get(&number).cloned()).collect();
            let runs = self.ahead(missing_runs(first, &have), &blocks);
            (have, runs)
        };
        let fetched: Vec<(Range<u64>, Bytes)> = futures::stream::iter(runs)
            .map(|run| async move {
                let bytes = run.start * BLOCK..(run.end * BLOCK).min(self.size());
                self.request(bytes).await.map(|b| (run, b))
            })
            .buffered(PARALLEL)
            .try_collect()
            .await?;
        for (run, bytes) in fetched {
            let mut blocks = self.inner.blocks.lock();
            for number in run.clone() {
                let start = ((number - run.start) * BLOCK) as usize;
                let block = bytes.slice(start.min(bytes.len())..bytes.len().min(start + BLOCK as usize));
                // A copy, so that a block that stays does not keep its whole run in memory.
                let kept = if run.end - run.start > 1 { Bytes::copy_from_slice(&block) } else { block.clone() };
                blocks.insert(number, kept);
                if let Some(slot) = number.checked_sub(first).and_then(|i| have.get_mut(i as usize)) {
                    *slot = Some(block);
                }
            }
        }
        self.join(&have, range.start - first * BLOCK, range.end - range.start)
    }

    /// Each of these ranges, one after the other.
    pub(super) async fn read_all(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let mut answers = Vec::with_capacity(ranges.len());
        for range in ranges {
            answers.push(self.read(range.clone()).await?);
        }
        // What was at hand already may have changed since.
        self.inner.object.check(&self.inner.version).await?;
        Ok(answers)
    }

    /// Runs of missing blocks, the last of them longer where requests are dear: headers lie close together.
    fn ahead(&self, mut runs: Vec<Range<u64>>, blocks: &Blocks) -> Vec<Range<u64>> {
        let alone = runs.len() == 1;
        let Some(run) = runs.last_mut().filter(|_| self.inner.object.is_remote()) else { return runs };
        let all = self.size().div_ceil(BLOCK);
        let doubled = AHEAD.start().saturating_mul(1 << self.requests().saturating_sub(1).min(8));
        let wanted = doubled.min(*AHEAD.end());
        let missing = |number: &u64| !blocks.by_number.contains_key(number);
        // The rest of a small object comes at once.
        let end = if all <= *AHEAD.end() { all } else { run.start.saturating_add(wanted).min(all) };
        run.end = (run.end..end).take_while(missing).last().map_or(run.end, |n| n + 1);
        // At the object's end there is nothing ahead: what lies before is.
        let more = wanted.saturating_sub(run.end - run.start);
        if alone && run.end == all && more > 0 {
            run.start = (run.start.saturating_sub(more)..run.start).rev().take_while(missing).last().unwrap_or(run.start);
        }
        runs
    }

    /// `length` bytes from `skip` on, out of consecutive blocks.
    fn join(&self, blocks: &[Option<Bytes>], skip: u64, length: u64) -> Result<Bytes> {
        let (skip, length) = (skip as usize, length as usize);
        if let [Some(block)] = blocks
            && skip + length <= block.len()
        {
            return Ok(block.slice(skip..skip + length));
        }
        let mut joined = BytesMut::with_capacity(skip + length);
        for block in blocks.iter().flatten() {
            joined.extend_from_slice(block);
        }
        if joined.len() < skip + length {
            return Err(Error::Internal(format!("{}: blocks of a read are missing", self.location())));
        }
        Ok(joined.freeze().slice(skip..skip + length))
    }

    async fn request(&self, range: Range<u64>) -> Result<Bytes> {
        self.inner.requests.fetch_add(1, Ordering::Relaxed);
        self.inner.bytes.fetch_add(range.end - range.start, Ordering::Relaxed);
        let mut answers = self.inner.object.get(&self.inner.version, &[range]).await?;
        answers.pop().ok_or_else(|| Error::Internal("a request without its answer".into()))
    }
}

/// Runs of consecutive missing blocks, by number; `have` begins with block `first`.
fn missing_runs(first: u64, have: &[Option<Bytes>]) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for (number, _) in (first..).zip(have).filter(|(_, block)| block.is_none()) {
        match runs.last_mut() {
            Some(run) if run.end == number => run.end = number + 1,
            _ => runs.push(number..number + 1),
        }
    }
    runs
}
