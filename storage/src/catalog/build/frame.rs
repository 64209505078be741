//! A cube in the making: its lead variable gives the axes, other variables are admitted where theirs are among them, and at the
//! end every part gets its place.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::merge::{self, Run, Segment};
use super::mosaic;
use super::parts::{Group, Part};
use super::place::{self, Placed};
use crate::array::{Axis, AxisRole, Coordinates, DataType, Encoding, Extent, Grid};
use crate::catalog::{Cube, CubeDefinition, CubeVariable, Piece};
use crate::{Error, Result};

/// Variables that will share a grid.
pub struct Frame<'a> {
    /// Names of the axes, slowest first.
    axes: Vec<FrameAxis<'a>>,
    /// The lead variable first.
    members: Vec<Group<'a>>,
}

/// One axis of the frame: the different coordinates that granules have along it.
struct FrameAxis<'a> {
    name: String,
    /// Different axes, each with the first file that has it.
    different: Vec<(Arc<Axis>, &'a str)>,
    /// The first coordinate of each, so that most comparisons of different axes end there.
    firsts: Vec<f64>,
    /// Number in `different` by address: axes are shared, so most comparisons end here. All of them live as long as the sources.
    known: HashMap<usize, usize>,
    /// The axis of each granule, by its position among the sources.
    of_granule: HashMap<usize, usize>,
}

impl<'a> FrameAxis<'a> {
    /// The number of an axis; a new one where it agrees with none that is known.
    fn number(&mut self, axis: &Arc<Axis>, file: &'a str) -> usize {
        if let Some(&known) = self.known.get(&(Arc::as_ptr(axis) as usize)) {
            return known;
        }
        let number = self.agreeing(axis).unwrap_or_else(|| {
            self.different.push((axis.clone(), file));
            self.firsts.push(first_coordinate(axis));
            self.different.len() - 1
        });
        self.known.insert(Arc::as_ptr(axis) as usize, number);
        number
    }

    fn agreeing(&self, axis: &Axis) -> Option<usize> {
        let first = first_coordinate(axis);
        let slack =
            if matches!(axis.coordinates, Coordinates::Time(..) | Coordinates::Calendar(..)) { 0.0 } else { 1e-3 * (1.0 + first.abs()) };
        let alike = |known: f64| known.is_nan() || first.is_nan() || (known - first).abs() <= slack;
        let mut known = self.different.iter().zip(&self.firsts);
        known.position(|((known, _), &begin)| alike(begin) && known.len() == axis.len() && merge::difference(known, axis).is_none())
    }

    fn add(&mut self, part: &Part<'a>) {
        if let Some(axis) = part.axis(&self.name) {
            let number = self.number(&axis.clone(), &part.granule.location);
            self.of_granule.insert(part.order, number);
        }
    }

    fn varies(&self) -> bool {
        self.different.len() > 1
    }

    fn is_horizontal(&self) -> bool {
        self.different.iter().any(|(a, _)| is_horizontal(a))
    }
}

/// The first coordinate as a number, times as seconds; NaN for labels and for axes without cells.
fn first_coordinate(axis: &Axis) -> f64 {
    match &axis.coordinates {
        Coordinates::Index(_) => 0.0,
        Coordinates::Float32(v) => v.first().map_or(f64::NAN, |&v| v.into()),
        Coordinates::Float64(v) => v.first().copied().unwrap_or(f64::NAN),
        Coordinates::Int32(v) => v.first().map_or(f64::NAN, |&v| v.into()),
        Coordinates::Int64(v) => v.first().map_or(f64::NAN, |&v| v as f64),
        // Seconds since 1970 are so large that a thousandth of them is a day: only what is left of a day is compared.
        Coordinates::Time(unit, v) => v.first().map_or(f64::NAN, |&v| v.div_euclid(unit.per_second()) as f64),
        Coordinates::Calendar(_, v) => v.first().map_or(f64::NAN, |&v| v.div_euclid(1_000_000) as f64),
        Coordinates::Text(_) => f64::NAN,
    }
}

fn is_horizontal(axis: &Axis) -> bool {
    matches!(axis.role, AxisRole::Latitude | AxisRole::Longitude | AxisRole::X | AxisRole::Y)
}

impl<'a> Frame<'a> {
    /// The frame of a lead variable; all of its parts must have the same axes by name.
    pub fn new(lead: Group<'a>) -> Result<Frame<'a>> {
        let Some(first) = lead.parts.first() else { return Err(Error::Internal("a variable of no granule".into())) };
        let names = |part: &Part| part.axes.iter().map(|a| a.name.clone()).collect::<Vec<_>>();
        let expected = names(first);
        if let Some(other) = lead.parts.iter().find(|p| names(p) != expected) {
            return Err(Error::Grid {
                object: other.granule.location.clone(),
                axis: lead.name.clone(),
                what: format!(
                    "axes ({}) expected as in {}, ({}) found",
                    expected.join(", "),
                    first.granule.location,
                    names(other).join(", ")
                ),
            });
        }
        let mut axes: Vec<FrameAxis> = expected
            .into_iter()
            .map(|name| FrameAxis { name, different: Vec::new(), firsts: Vec::new(), known: HashMap::new(), of_granule: HashMap::new() })
            .collect();
        for frame in &mut axes {
            for part in &lead.parts {
                frame.add(part);
            }
        }
        Ok(Frame { axes, members: vec![lead] })
    }

    /// Names of the axes, slowest first.
    pub fn axis_names(&self) -> Vec<&str> {
        self.axes.iter().map(|a| a.name.as_str()).collect()
    }

    /// Takes a variable in, or gives it back where its axes are not among those of the frame.
    pub fn admit(&mut self, group: Group<'a>) -> Option<Group<'a>> {
        if !group.parts.iter().all(|part| self.fits(part)) {
            return Some(group);
        }
        for frame in &mut self.axes {
            for part in &group.parts {
                frame.add(part);
            }
        }
        self.members.push(group);
        None
    }

    /// True where a part's axes are among the frame's, in the same order and with the same coordinates. Axes other than
    /// horizontal ones may go on in files that the frame has no part of: times and labels anyhow, numbers where they lie beside
    /// the known ones.
    fn fits(&self, part: &Part<'a>) -> bool {
        let mut frames = self.axes.iter();
        part.axes.iter().all(|axis| {
            let Some(frame) = frames.find(|f| f.name == axis.name) else { return false };
            let number = frame.known.get(&(Arc::as_ptr(axis) as usize)).copied().or_else(|| frame.agreeing(axis));
            match (frame.of_granule.get(&part.order), number) {
                // A file has one axis of a name only.
                (Some(own), number) => Some(*own) == number,
                (None, Some(_)) => true,
                (None, None) => match &axis.coordinates {
                    Coordinates::Index(_) => false,
                    _ if frame.is_horizontal() => frame.varies(),
                    Coordinates::Time(..) | Coordinates::Calendar(..) | Coordinates::Text(_) => true,
                    _ => frame.different.iter().all(|(known, _)| !merge::interleave(known, axis)),
                },
            }
        })
    }

    /// Puts the axes together and every part in its place.
    pub fn cube(mut self, name: String, definition: &Arc<CubeDefinition>, generation: u64, warnings: &mut Vec<String>) -> Result<Cube> {
        self.check(definition)?;
        self.spread_over_single_cells();
        let mut axes = Vec::with_capacity(self.axes.len());
        let mut runs: Vec<Vec<Vec<Run>>> = Vec::with_capacity(self.axes.len());
        for frame in &self.axes {
            let segments: Vec<Segment> = frame.different.iter().map(|(axis, file)| Segment { axis, file }).collect();
            let (axis, placed) = match frame.is_horizontal() && frame.varies() {
                true => mosaic::mosaic(&segments, warnings)?,
                false => merge::union(&segments)?,
            };
            axes.push(axis);
            runs.push(placed);
        }
        let crs = self.crs(definition, warnings)?;
        let attributes =
            self.members.first().and_then(|m| m.parts.first()).map(|p| p.granule.attributes.as_ref().clone()).unwrap_or_default();
        let mut members = std::mem::take(&mut self.members);
        let lead = members.first().map(|m| m.name.clone()).unwrap_or_default();
        members.sort_by_key(|m| m.parts.first().map(|p| (p.order, p.array)));
        let mut variables: Vec<CubeVariable> = Vec::with_capacity(members.len());
        for member in members {
            let is_lead = member.name == lead;
            let mut variable = self.variable(member, is_lead, &axes, &runs, definition, warnings)?;
            while axes.iter().any(|a| a.name == variable.name) || variables.iter().any(|v| v.name == variable.name) {
                warnings.push(format!("variable {0} is named {0}_values, since an axis or variable has its name", variable.name));
                variable.name.push_str("_values");
            }
            variables.push(variable);
        }
        Ok(Cube { name, grid: Grid { axes, crs }, variables, attributes, definition: definition.clone(), generation })
    }

    /// Refuses granules that differ along axes along which they must agree.
    ///
    /// One axis of the files may go on from file to file (time before others), and those that file names give; along any other
    /// a file either agrees with the rest or lies wholly beside it. Along horizontal axes files may be tiles of one grid, which
    /// [`mosaic::mosaic`] decides.
    fn check(&self, definition: &CubeDefinition) -> Result<()> {
        let from_name = |f: &FrameAxis| definition.axes_from_filename.iter().any(|a| a.axis == f.name);
        let varying: Vec<&FrameAxis> = self.axes.iter().filter(|f| f.varies() && !f.is_horizontal() && !from_name(f)).collect();
        let is_time = |f: &&&FrameAxis| f.different.iter().any(|(a, _)| a.role == AxisRole::Time);
        let primary = varying.iter().find(is_time).or(varying.first()).map(|f| f.name.as_str());
        for frame in varying.into_iter().filter(|f| Some(f.name.as_str()) != primary) {
            let mut sorted: Vec<&(Arc<Axis>, &str)> = frame.different.iter().collect();
            let begin = |a: &Axis| a.coordinates.to_f64().map_or(f64::NAN, |v| v.iter().copied().fold(f64::INFINITY, f64::min));
            sorted.sort_by(|a, b| begin(&a.0).total_cmp(&begin(&b.0)));
            for pair in sorted.windows(2) {
                if let [(a, a_file), (b, b_file)] = pair
                    && merge::interleave(a, b)
                {
                    let what = format!("{} (as in {a_file})", merge::difference(a, b).unwrap_or_default());
                    return Err(Error::Grid { object: (*b_file).to_owned(), axis: frame.name.clone(), what });
                }
            }
        }
        Ok(())
    }

    /// Gives variables that lack an axis which goes on from file to file that axis, where each file has one cell along it: their
    /// values may differ from file to file.
    fn spread_over_single_cells(&mut self) {
        for (position, frame) in self.axes.iter().enumerate().rev() {
            if !frame.varies() || frame.different.iter().any(|(a, _)| a.len() != 1) {
                continue;
            }
            for member in self.members.iter_mut().filter(|m| m.parts.len() > 1) {
                let in_front = |p: &Part| p.axes.iter().all(|a| self.axes.iter().position(|f| f.name == a.name) > Some(position));
                let lacks =
                    member.parts.iter().all(|p| p.axis(&frame.name).is_none() && in_front(p) && frame.of_granule.contains_key(&p.order));
                if lacks {
                    for part in &mut member.parts {
                        let number = frame.of_granule.get(&part.order);
                        if let Some((axis, _)) = number.and_then(|&n| frame.different.get(n)) {
                            part.prepend(axis.clone());
                        }
                    }
                }
            }
        }
    }

    /// The CRS: the statement's, else the lead variable's, which must be one.
    fn crs(&self, definition: &CubeDefinition, warnings: &mut Vec<String>) -> Result<Option<String>> {
        if definition.crs.is_some() {
            return Ok(definition.crs.clone());
        }
        let mut found: Option<(&str, &str)> = None;
        for (number, member) in self.members.iter().enumerate() {
            for part in &member.parts {
                match (part.crs.as_deref(), found) {
                    (Some(crs), None) => found = Some((crs, &part.granule.location)),
                    (Some(crs), Some((expected, file))) if crs != expected => {
                        let what = format!("expected {expected} as in {file}, found {crs}");
                        if number == 0 {
                            let what = format!(
                                "{what}; make a cube for each, and bring them to one grid when they are asked: SELECT coalesce(a.v, b.v) AS v \
                                 FROM WARP(a, crs => 'EPSG:4326', resolution => ..., bounds => [...]) a JOIN WARP(b, ...) b USING DIMS"
                            );
                            return Err(Error::Grid { object: part.granule.location.clone(), axis: "crs".into(), what });
                        }
                        warnings.push(format!("variable {}: {what}", member.name));
                    }
                    _ => {}
                }
            }
        }
        Ok(found.map(|(crs, _)| crs.to_owned()))
    }

    fn variable(
        &self,
        mut group: Group<'a>,
        is_lead: bool,
        axes: &[Axis],
        runs: &[Vec<Vec<Run>>],
        definition: &CubeDefinition,
        warnings: &mut Vec<String>,
    ) -> Result<CubeVariable> {
        let Some(first) = group.parts.first() else { return Err(Error::Internal("a variable of no granule".into())) };
        let positions: Vec<usize> = self.axes.iter().enumerate().filter(|(_, f)| first.axis(&f.name).is_some()).map(|(i, _)| i).collect();
        let (attributes, (decoded, time)) = (first.attributes(), group.decoded()?);
        let differing = group.differing_attributes();
        // A variable without any axis along which files differ is in every file again: the first one's counts.
        // Where nothing differs, a lead variable that is there twice is one file given twice, which `place` refuses.
        let repeated = group.parts.len() > 1 && !positions.iter().any(|&p| self.axes.get(p).is_some_and(FrameAxis::varies));
        if repeated && (!is_lead || self.axes.iter().any(FrameAxis::varies)) {
            warnings.push(format!("variable {} is in every file again: its values in {} count", group.name, first.granule.location));
            group.parts.truncate(1);
        }
        let mut encodings = Decoding { decoded, made: BTreeMap::new() };
        let mut placed = Vec::with_capacity(group.parts.len());
        for part in &group.parts {
            let mut of_axes = Vec::with_capacity(positions.len());
            for &position in &positions {
                let found = self.axes.get(position).zip(runs.get(position)).and_then(|(frame, runs)| {
                    let axis = part.axis(&frame.name)?;
                    let number = frame.known.get(&(Arc::as_ptr(axis) as usize))?;
                    runs.get(*number)
                });
                of_axes.push(found.map(Vec::as_slice).ok_or_else(|| Error::Internal("a part without a place".into()))?);
            }
            placed.push(Placed {
                file: &part.granule.location,
                order: part.order,
                modified: part.granule.version.modified_micros,
                runs: of_axes,
                piece: Piece {
                    granule: part.granule.id,
                    array: part.array,
                    extent: Extent::default(),
                    offset: Vec::new(),
                    chunk_shape: part.chunk_shape.clone(),
                    stored_bytes: part.stored_bytes,
                    encoding: encodings.of(&part.encoding),
                },
            });
        }
        let along: Vec<&Axis> = positions.iter().filter_map(|&p| axes.get(p)).collect();
        let pieces = place::pieces(placed, &along, definition.overlap)?;
        Ok(CubeVariable { attributes, differing, ..CubeVariable::new(group.name, positions, decoded, time, pieces) })
    }
}

/// Encodings that decode to the variable's type; each made once.
struct Decoding {
    decoded: DataType,
    made: BTreeMap<usize, Arc<Encoding>>,
}

impl Decoding {
    fn of(&mut self, encoding: &Arc<Encoding>) -> Arc<Encoding> {
        if encoding.decoded == self.decoded {
            return encoding.clone();
        }
        // The addresses stay those of the parts' encodings, which live longer.
        let made = self.made.entry(Arc::as_ptr(encoding) as usize);
        made.or_insert_with(|| {
            // What the file alone would give is what is widened: a value does not depend on the other files of the cube.
            let single = encoding.decoded == DataType::Float32 && encoding.is_packed();
            Arc::new(Encoding { decoded: self.decoded, single: single || encoding.single, ..encoding.as_ref().clone() })
        })
        .clone()
    }
}
