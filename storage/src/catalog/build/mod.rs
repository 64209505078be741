//! Granules to cubes: which variables share a grid, what its axes are, and where each granule lies on it. Pure: works on what
//! was indexed, opens nothing.

mod frame;
mod merge;
mod mosaic;
mod parts;
mod place;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::frame::Frame;
use self::parts::{Group, groups};
use super::filename::Patterns;
use super::source::Source;
use super::{Cube, CubeDefinition};
use crate::Result;

/// The cubes of a definition.
#[derive(Debug, Clone, PartialEq)]
pub struct Built {
    /// The main cube first, then tables of variables on other axes.
    pub cubes: Vec<Cube>,
    /// What had to be guessed.
    pub warnings: Vec<String>,
}

/// Makes the cubes of a definition from its granules (in the order of the sources).
///
/// The largest variable gives the main cube its axes; variables whose axes are among these join it, the others form further
/// cubes `name.<axes joined by _>`. [`crate::Error::Grid`] where granules of one variable do not fit on one grid.
pub fn build(definition: &Arc<CubeDefinition>, patterns: &Patterns, sources: &[Source], generation: u64) -> Result<Built> {
    let mut warnings = Vec::new();
    let mut left: Vec<Group> = groups(definition, patterns, sources)?;
    let mut cubes: Vec<Cube> = Vec::new();
    while let Some(lead) = (0..left.len()).max_by_key(|&i| (left.get(i).map(Group::cells), std::cmp::Reverse(i))) {
        let mut frame = Frame::new(left.remove(lead))?;
        let mut others = Vec::new();
        for group in left {
            others.extend(frame.admit(group));
        }
        left = others;
        let name = if cubes.is_empty() {
            definition.name.clone()
        } else {
            let base = format!("{}.{}", definition.name, frame.axis_names().join("_"));
            (1..)
                .map(|n| if n == 1 { base.clone() } else { format!("{base}_{n}") })
                .find(|name| cubes.iter().all(|c| c.name != *name))
                .unwrap_or(base)
        };
        cubes.push(frame.cube(name, definition, generation, &mut warnings)?);
    }
    Ok(Built { cubes, warnings })
}
