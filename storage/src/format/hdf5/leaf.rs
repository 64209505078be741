//! What of a data set's elements becomes arrays: an element itself, each member of a compound one; elements of array types
//! are cells along further dimensions.

use super::datatype::{Kind, StoredType};
use super::{Parsed, Reason};
use crate::codec::Codec;

/// Numbers or texts that lie at one place of every element.
#[derive(Debug)]
pub(super) struct Leaf<'a> {
    /// The members that lead to it: empty for elements themselves, `.x`, `.a.b`.
    pub suffix: String,
    /// Its type.
    pub stored: &'a StoredType,
    /// Cells along each dimension that array types add, slowest first.
    pub shape: Vec<u64>,
    /// Steps that make its cells of elements, in encoding order.
    pub codecs: Vec<Codec>,
}

impl Leaf<'_> {
    /// The name of the dimension that array types add at `place` to the array `name`.
    pub(super) fn dimension(&self, name: &str, place: usize) -> String {
        format!("{name}_dim_{place}")
    }
}

/// Data sets of more members than this are refused.
const MOST: usize = 4096;

/// The leaves of an element type, in the order of its members; members that are not read, with the reason.
pub(super) fn leaves(stored: &StoredType) -> Parsed<Vec<Result<Leaf<'_>, (String, Reason)>>> {
    let mut found = Vec::new();
    collect(stored, Leaf { suffix: String::new(), stored, shape: Vec::new(), codecs: Vec::new() }, &mut found)?;
    Ok(found)
}

fn collect<'a>(stored: &'a StoredType, so_far: Leaf<'a>, found: &mut Vec<Result<Leaf<'a>, (String, Reason)>>) -> Parsed<()> {
    if found.len() >= MOST {
        return Err(format!("compound of more than {MOST} members").into());
    }
    let Leaf { suffix, mut shape, mut codecs, .. } = so_far;
    match &stored.kind {
        Kind::Array(base, lengths) => {
            shape.extend(lengths);
            collect(base, Leaf { suffix, stored: base, shape, codecs }, found)
        }
        Kind::Compound(members) => {
            for member in members {
                // Names of arrays are parts of paths.
                let suffix = format!("{suffix}.{}", member.name.replace('/', "_"));
                let codecs = within(&codecs, stored.size, member.offset, member.stored.size);
                collect(&member.stored, Leaf { suffix, stored: &member.stored, shape: shape.clone(), codecs }, found)?;
            }
            Ok(())
        }
        _ => {
            found.push(match stored.cells() {
                Err(reason) => Err((suffix, reason)),
                Ok((.., step)) => {
                    codecs.splice(0..0, step);
                    Ok(Leaf { suffix, stored, shape, codecs })
                }
            });
            Ok(())
        }
    }
}

/// `codecs` and, before them, the step that takes a member out of each compound of `record` bytes; one step where the
/// compound itself is a member.
fn within(codecs: &[Codec], record: u32, offset: u32, length: u32) -> Vec<Codec> {
    let mut codecs = codecs.to_vec();
    let (mut whole, mut start) = (record, offset);
    if let Some(&Codec::Field { record: outer, offset: first, length: inner }) = codecs.first()
        && inner == record
        && let Some(sum) = first.checked_add(offset)
    {
        codecs.remove(0);
        (whole, start) = (outer, sum);
    }
    if (start, length) != (0, whole) {
        codecs.insert(0, Codec::Field { record: whole, offset: start, length });
    }
    codecs
}

#[cfg(test)]
mod tests {
    use super::super::datatype::Member;
    use super::*;
    use crate::array::{ByteOrder, DataType};

    fn of(size: u32, kind: Kind) -> StoredType {
        StoredType { size, kind, names: Vec::new() }
    }

    fn member(name: &str, offset: u32, stored: StoredType) -> Member {
        Member { name: name.into(), offset, stored }
    }

    #[test]
    fn members_of_members_are_one_step_and_elements_of_arrays_two() {
        let short = || of(2, Kind::Number(DataType::Int16, ByteOrder::Little));
        let pair = || of(6, Kind::Compound(vec![member("a", 0, short()), member("b", 4, short())]));
        let pairs = of(18, Kind::Array(Box::new(pair()), vec![3]));
        let alone = of(2, Kind::Compound(vec![member("x", 0, short())]));
        let all = vec![
            member("one", 8, pair()),
            member("many", 14, pairs),
            member("t", 0, of(4, Kind::Other("time".into()))),
            member("w", 4, alone),
        ];
        let all = of(40, Kind::Compound(all));
        let found = leaves(&all).unwrap();
        let field = |record, offset, length| Codec::Field { record, offset, length };
        let shown: Vec<_> =
            found.iter().filter_map(|l| l.as_ref().ok()).map(|l| (l.suffix.as_str(), l.shape.clone(), l.codecs.clone())).collect();
        assert_eq!(
            shown,
            [
                (".one.a", vec![], vec![field(40, 8, 2)]),
                (".one.b", vec![], vec![field(40, 12, 2)]),
                (".many.a", vec![3], vec![field(6, 0, 2), field(40, 14, 18)]),
                (".many.b", vec![3], vec![field(6, 4, 2), field(40, 14, 18)]),
                (".w.x", vec![], vec![field(40, 4, 2)]),
            ]
        );
        assert_eq!(found[4].as_ref().unwrap_err(), &(".t".to_string(), Reason("type time".into())));
    }
}
