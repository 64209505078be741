//! Which node does which part of a leaf: rendezvous hashing of coarse blocks of cubes over the nodes, with bounded load. A pure
//! function, so that every query puts the same part of a cube on the same node, where its chunks are warm; a node that joins or
//! leaves moves its own share and little else.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use graticule_query::Unit;

/// How much more than its fair share a node may get, in hundredths: without a bound chance alone gives one node much more.
const SPARE: u64 = 3;

/// How much a node wants a block, `named` being what hashes its name. Keys are fixed: the same in every process of one build.
fn score(named: &DefaultHasher, block: u64) -> u64 {
    let mut hasher = named.clone();
    block.hash(&mut hasher);
    hasher.finish()
}

/// The units of one block: from where to where, and what they weigh together.
struct Block {
    number: u64,
    weight: u64,
    units: Range<usize>,
}

/// The numbers of the units that each of `nodes` is to do, rising. Blocks stay together; each goes to the node that wants it most
/// and has room, the heaviest blocks first.
pub fn place(units: &[Unit], nodes: &[&str]) -> Vec<Vec<u32>> {
    let mut shares: Vec<Vec<u32>> = vec![vec![]; nodes.len()];
    if nodes.is_empty() {
        return shares;
    }
    // There may be millions: they are sorted, and nothing is allocated for each of them.
    let mut units = units.to_vec();
    units.sort_unstable_by_key(|unit| (unit.block, unit.number));
    let mut queue: Vec<Block> = Vec::new();
    for (at, unit) in units.iter().enumerate() {
        let weight = unit.weight.max(1);
        match queue.last_mut() {
            Some(last) if last.number == unit.block => {
                last.weight = last.weight.saturating_add(weight);
                last.units.end = at + 1;
            }
            _ => queue.push(Block { number: unit.block, weight, units: at..at + 1 }),
        }
    }
    queue.sort_unstable_by(|a, b| (b.weight, a.number).cmp(&(a.weight, b.number)));
    let total = queue.iter().fold(0u64, |sum, block| sum.saturating_add(block.weight));
    let fair = total.div_ceil(nodes.len() as u64);
    let most = fair.saturating_add(fair.saturating_mul(SPARE).div_ceil(100));
    let named = |node: &&str| {
        let mut hasher = DefaultHasher::new();
        node.hash(&mut hasher);
        hasher
    };
    let named: Vec<DefaultHasher> = nodes.iter().map(named).collect();
    let mut loads = vec![0u64; nodes.len()];
    for block in queue {
        let fits = |node: usize| loads[node].saturating_add(block.weight) <= most;
        let wanted = (0..nodes.len()).filter(|&node| fits(node)).max_by_key(|&node| (score(&named[node], block.number), nodes[node]));
        // A block that fits nowhere goes where there is least.
        let node = wanted.or_else(|| (0..nodes.len()).min_by_key(|&node| (loads[node], nodes[node]))).unwrap_or(0);
        loads[node] = loads[node].saturating_add(block.weight);
        shares[node].extend(units[block.units].iter().map(|unit| unit.number));
    }
    shares.iter_mut().for_each(|share| share.sort_unstable());
    shares
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn names(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("http://10.0.0.{i}:7000/")).collect()
    }

    fn placed(units: &[Unit], names: &[String]) -> (HashMap<u32, String>, Vec<u64>) {
        let nodes: Vec<&str> = names.iter().map(String::as_str).collect();
        let weights: HashMap<u32, u64> = units.iter().map(|u| (u.number, u.weight)).collect();
        let shares = place(units, &nodes);
        let loads = shares.iter().map(|share| share.iter().map(|n| weights[n]).sum()).collect();
        let found = shares.iter().zip(names).flat_map(|(share, name)| share.iter().map(move |&n| (n, name.clone()))).collect();
        (found, loads)
    }

    fn units(blocks: u32, per_block: u32) -> Vec<Unit> {
        (0..blocks * per_block)
            .map(|number| Unit { number, block: u64::from(number / per_block).wrapping_mul(0x9e37_79b9_7f4a_7c15), weight: 100 })
            .collect()
    }

    proptest! {
        #[test]
        fn every_unit_is_done_once_and_blocks_stay_together(blocks in 0u32..200, per in 1u32..5, n in 1usize..8, weights in proptest::collection::vec(0u64..1000, 1..50)) {
            let mut units = units(blocks, per);
            for unit in &mut units {
                unit.weight = weights[unit.number as usize % weights.len()];
            }
            let names = names(n);
            let shares = place(&units, &names.iter().map(String::as_str).collect::<Vec<_>>());
            let mut all: Vec<u32> = shares.concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..blocks * per).collect::<Vec<_>>());
            for share in &shares {
                prop_assert!(share.windows(2).all(|w| w[0] < w[1]));
                prop_assert!(share.iter().all(|&number| (number / per * per..number / per * per + per).all(|other| share.contains(&other))));
            }
        }

        #[test]
        fn the_order_of_nodes_and_units_does_not_matter(blocks in 1u32..200, n in 1usize..8) {
            let (units, names) = (units(blocks, 2), names(n));
            let (mut turned, mut back) = (units.clone(), names.clone());
            turned.reverse();
            back.reverse();
            prop_assert_eq!(placed(&units, &names).0, placed(&turned, &back).0);
        }

        #[test]
        fn loads_are_bounded(blocks in 50u32..400, n in 1usize..8) {
            let (_, loads) = placed(&units(blocks, 1), &names(n));
            let fair = u64::from(blocks) * 100 / n as u64;
            prop_assert!(loads.iter().all(|&load| load <= fair + fair / 20 + 200), "{:?}", loads);
        }

        #[test]
        fn a_node_that_leaves_or_joins_moves_little_more_than_its_share(blocks in 200u32..800, n in 3usize..8, gone in 0usize..8) {
            let (units, all) = (units(blocks, 1), names(n));
            let mut fewer = all.clone();
            let gone = fewer.remove(gone % n);
            let (before, after) = (placed(&units, &all).0, placed(&units, &fewer).0);
            let moved = before.iter().filter(|(number, node)| **node != gone && after[*number] != **node).count();
            let share = before.values().filter(|node| **node == gone).count();
            // Beside the share of the node itself a bound on the load moves some blocks.
            prop_assert!(moved * 100 <= blocks as usize * 20, "{moved} of {blocks} moved beside {share}");
        }
    }
}
