//! Big-endian numbers of a header that is read piece by piece: the bytes at hand, how long the object is, and what more is
//! needed. Lengths follow the version: 32 bits in CDF-1 and CDF-2, 64 bits in CDF-5.

use crate::{Error, Result};

/// Why a header cannot be parsed (yet).
#[derive(Debug)]
pub(super) enum Stop {
    /// The header goes on behind the bytes at hand, at least to here.
    More(u64),
    /// It is wrong.
    Wrong(Error),
}

impl From<Error> for Stop {
    fn from(e: Error) -> Self {
        Stop::Wrong(e)
    }
}

/// What parsing a part of the header gives.
pub(super) type Parsed<T> = Result<T, Stop>;

/// A position in the header.
pub(super) struct Cursor<'a> {
    location: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// Bytes of the object.
    size: u64,
    /// Set in CDF-5.
    wide: bool,
}

impl<'a> Cursor<'a> {
    /// At the first of `bytes`, which begin an object of `size` bytes.
    pub(super) fn new(location: &'a str, bytes: &'a [u8], size: u64) -> Self {
        Cursor { location, bytes, at: 0, size, wide: false }
    }

    /// Lengths have 64 bits from here on.
    pub(super) fn widen(&mut self) {
        self.wide = true;
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> u64 {
        self.at as u64
    }

    /// An error about the header from `start` to here.
    pub(super) fn wrong(&self, start: u64, what: impl Into<String>) -> Stop {
        Stop::Wrong(Error::data_at(self.location, start..self.position(), what))
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: u64) -> Parsed<&'a [u8]> {
        let start = self.position();
        let end = start.checked_add(count).filter(|&end| end <= self.size);
        let Some(end) = end else {
            let range = start..start.saturating_add(count);
            let what = format!("the header reaches over the end of the file, which has {} bytes", self.size);
            return Err(Stop::Wrong(Error::data_at(self.location, range, what)));
        };
        let found = usize::try_from(end).ok().and_then(|end| Some((end, self.bytes.get(self.at..end)?)));
        let (end, found) = found.ok_or(Stop::More(end))?;
        self.at = end;
        Ok(found)
    }

    /// The next `count` bytes, and the padding to a multiple of four behind them.
    pub(super) fn take_padded(&mut self, count: u64) -> Parsed<&'a [u8]> {
        let found = self.take(count)?;
        // What the padding holds is of no interest: some writers leave anything there. At the file's end it may be cut off.
        let padding = (4 - count % 4) % 4;
        self.take(padding.min(self.size - self.position()))?;
        Ok(found)
    }

    /// 32 bits.
    pub(super) fn u32(&mut self) -> Parsed<u32> {
        Ok(self.take(4)?.first_chunk().copied().map(u32::from_be_bytes).unwrap_or_default())
    }

    /// 64 bits.
    pub(super) fn u64(&mut self) -> Parsed<u64> {
        Ok(self.take(8)?.first_chunk().copied().map(u64::from_be_bytes).unwrap_or_default())
    }

    /// A length (the specification's NON_NEG), or all bits set, which only the number of records may have.
    pub(super) fn length_or_all(&mut self) -> Parsed<Option<u64>> {
        match self.wide {
            true => self.u64().map(|n| (n != u64::MAX).then_some(n)),
            false => self.u32().map(|n| (n != u32::MAX).then_some(n.into())),
        }
    }

    /// A length.
    pub(super) fn length(&mut self) -> Parsed<u64> {
        let start = self.position();
        let most = if self.wide { i64::MAX as u64 } else { i32::MAX as u64 };
        match self.length_or_all()? {
            Some(n) if n <= most => Ok(n),
            _ => Err(self.wrong(start, "a length that is negative")),
        }
    }

    /// The length of a list: its tag and the number of its members, both 0 where it is absent.
    pub(super) fn list(&mut self, tag: u32, name: &str) -> Parsed<u64> {
        let start = self.position();
        match (self.u32()?, self.length()?) {
            (found, count) if found == tag => Ok(count),
            (0, 0) => Ok(0),
            (found, count) => Err(self.wrong(start, format!("list of {name}: expected tag {tag}, found {found} with {count} members"))),
        }
    }

    /// A name: UTF-8, or Latin-1 where it is not UTF-8.
    pub(super) fn name(&mut self) -> Parsed<String> {
        let length = self.length()?;
        Ok(super::value::text(self.take_padded(length)?))
    }
}
