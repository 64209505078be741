//! Nodes of ours as bytes: `version:u8  number  fingerprint:u64le  units`, the number being that of the node among those of ours
//! in a plan that both sides have made, parents first; the fingerprint is of its name and schema, so that plans that differ are
//! noticed. `units` is 0 for all tiles or blocks, else 1, the count of runs, and for each run how many are left out before it and
//! how many it has. Numbers are LEB128.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::physical_plan::{ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions};

use super::SharedPlan;
use crate::dense::CubeExec;
use crate::geometry::{join::ZonalJoinExec, sample_exec::SampleExec};
use crate::result::ScatterExec;

const VERSION: u8 = 1;

impl SharedPlan {
    /// A node of this plan as bytes; its inputs travel beside it. `None` for what is no node of ours in this plan.
    pub fn encode(&self, node: &Arc<dyn ExecutionPlan>) -> Option<Vec<u8>> {
        let number = self.ours.iter().position(|known| same(known, node))?;
        let mut bytes = vec![VERSION];
        put(&mut bytes, number as u64);
        bytes.extend(fingerprint(node).to_le_bytes());
        match node.downcast_ref::<CubeExec>().and_then(CubeExec::only) {
            None => bytes.push(0),
            Some(units) => {
                bytes.push(1);
                put_runs(&mut bytes, units);
            }
        }
        Some(bytes)
    }

    /// The node of this plan that [`SharedPlan::encode`] made these bytes of, in another process.
    pub fn decode(&self, bytes: &[u8], inputs: &[Arc<dyn ExecutionPlan>]) -> Result<Arc<dyn ExecutionPlan>> {
        let mut rest = bytes;
        match take_byte(&mut rest) {
            Some(VERSION) => {}
            version => return internal_err!("a node of version {version:?} of a plan, where {VERSION} is known"),
        }
        let decoded = (|| {
            let number = usize::try_from(take(&mut rest)?).ok()?;
            let (print, after) = rest.split_first_chunk::<8>()?;
            rest = after;
            let units = match take_byte(&mut rest)? {
                0 => None,
                1 => Some(take_runs(&mut rest, self.ours.get(number)?.downcast_ref::<CubeExec>()?.plan.units() as u64)?),
                _ => return None,
            };
            rest.is_empty().then_some((number, u64::from_le_bytes(*print), units))
        })();
        let Some((number, print, units)) = decoded else { return internal_err!("a node of a plan that does not read") };
        let Some(node) = self.ours.get(number) else { return internal_err!("a plan without node {number}") };
        if fingerprint(node) != print {
            return internal_err!("the plan was made differently in another process: node {number} is {} here", node.name());
        }
        match (node.downcast_ref::<CubeExec>(), units) {
            (Some(leaf), Some(units)) => Ok(Arc::new(leaf.with_units(units.into()))),
            (_, Some(_)) => internal_err!("units of {}", node.name()),
            (_, None) if inputs.is_empty() && node.children().is_empty() => node.clone().reset_state(),
            (_, None) => {
                let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
                node.clone().replace_children(inputs.to_vec(), options)
            }
        }
    }
}

/// Whether both are the same node of one plan, its inputs aside.
fn same(a: &Arc<dyn ExecutionPlan>, b: &Arc<dyn ExecutionPlan>) -> bool {
    if let (Some(a), Some(b)) = (a.downcast_ref::<CubeExec>(), b.downcast_ref::<CubeExec>()) {
        Arc::ptr_eq(&a.plan, &b.plan)
    } else if let (Some(a), Some(b)) = (a.downcast_ref::<ZonalJoinExec>(), b.downcast_ref::<ZonalJoinExec>()) {
        Arc::ptr_eq(&a.join.bound, &b.join.bound) && Arc::ptr_eq(&a.join.geometry, &b.join.geometry)
    } else if let (Some(a), Some(b)) = (a.downcast_ref::<SampleExec>(), b.downcast_ref::<SampleExec>()) {
        a.is_same(b)
    } else if let (Some(a), Some(b)) = (a.downcast_ref::<ScatterExec>(), b.downcast_ref::<ScatterExec>()) {
        a.is_same(b)
    } else {
        false
    }
}

fn fingerprint(node: &Arc<dyn ExecutionPlan>) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    node.name().hash(&mut hasher);
    for field in node.schema().fields() {
        (field.name(), field.data_type(), field.is_nullable()).hash(&mut hasher);
    }
    let leaf = node.downcast_ref::<CubeExec>();
    leaf.map(|leaf| (leaf.plan.units(), leaf.plan.tiles.len(), &leaf.plan.view.cube.name)).hash(&mut hasher);
    hasher.finish()
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_byte(bytes: &mut &[u8]) -> Option<u8> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*first)
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take_byte(bytes)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Rising numbers as runs.
fn put_runs(bytes: &mut Vec<u8>, numbers: &[u32]) {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    let mut next = 0u64;
    for &number in numbers {
        let number = u64::from(number);
        match runs.last_mut() {
            Some((_, length)) if number == next => *length += 1,
            _ => runs.push((number.saturating_sub(next), 1)),
        }
        next = number + 1;
    }
    put(bytes, runs.len() as u64);
    for (gap, length) in runs {
        put(bytes, gap);
        put(bytes, length);
    }
}

/// Numbers below `most`.
fn take_runs(bytes: &mut &[u8], most: u64) -> Option<Vec<u32>> {
    let runs = take(bytes)?;
    let mut numbers = Vec::new();
    let mut next = 0u64;
    for _ in 0..runs {
        let start = next.checked_add(take(bytes)?)?;
        next = start.checked_add(take(bytes)?)?;
        if next > most {
            return None;
        }
        numbers.extend(u32::try_from(start).ok()?..u32::try_from(next).ok()?);
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_come_back_and_garbage_does_not() {
        for numbers in [vec![], vec![0], vec![0, 1, 2], vec![5, 6, 9, 4_000_000_000], (0..100_000).filter(|n| n % 1000 > 2).collect()] {
            let mut bytes = vec![];
            put_runs(&mut bytes, &numbers);
            let mut rest = bytes.as_slice();
            assert_eq!(take_runs(&mut rest, u64::from(u32::MAX)), Some(numbers));
            assert!(rest.is_empty());
            assert_eq!(take_runs(&mut &bytes[..bytes.len() - 1], u64::from(u32::MAX)), None);
        }
        assert_eq!(take_runs(&mut [1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1].as_slice(), 10), None);
        assert_eq!(take_runs(&mut [1, 8, 3].as_slice(), 10), None);
        assert_eq!(take(&mut [0x80; 12].as_slice()), None);
    }
}
