//! `SELECT *` over a relation to which axis columns were added: the star stands for what the relation's author selected.

use datafusion::sql::sqlparser::ast::{
    ExceptSelectItem, ExcludeSelectItem, Ident, ObjectName, Select, SelectItem, SelectItemQualifiedWildcardKind, WildcardAdditionalOptions,
};

use super::SelectId;
use super::from::Relation;
use crate::bind::relations::{ident, last_part, normalised};

/// A relation that a star may stand for.
pub(super) struct StarRelation {
    name: Option<String>,
    /// Axes that it has once they are added: the SELECT that supplies each, and its name.
    hidden: Vec<(SelectId, String)>,
    /// Columns that it shares with the relations before it, by USING.
    merged: Vec<String>,
}

impl StarRelation {
    pub(super) fn of(relation: &Relation) -> Self {
        let hidden = relation.carried.axes.iter().filter_map(|axis| Some((axis.supplier?, axis.name.clone()))).collect();
        StarRelation { name: relation.name.clone(), hidden, merged: relation.merged.clone() }
    }
}

/// Takes the columns that were added to `relations` out of the stars of a SELECT. `is_added`: whether a SELECT puts out an axis
/// that its author did not select.
pub(super) fn leave_out(select: &mut Select, relations: &[StarRelation], is_added: &dyn Fn(SelectId, &str) -> bool) {
    let hidden: Vec<Vec<&str>> = relations
        .iter()
        .map(|r| r.hidden.iter().filter(|(id, axis)| is_added(*id, axis)).map(|(_, axis)| axis.as_str()).collect())
        .collect();
    if hidden.iter().all(Vec::is_empty) {
        return;
    }
    let mut items = Vec::with_capacity(select.projection.len());
    for item in std::mem::take(&mut select.projection) {
        match item {
            SelectItem::Wildcard(options) => match (relations, hidden.as_slice()) {
                ([_], [names]) => items.push(SelectItem::Wildcard(without(options, names))),
                _ if relations.iter().all(|r| r.name.is_some()) => {
                    for (at, (relation, names)) in relations.iter().zip(&hidden).enumerate() {
                        // A shared column is shown by the first relation that shows it.
                        let shown = |name: &str| hidden.iter().take(at).any(|earlier| !earlier.contains(&name));
                        let shared = relation.merged.iter().map(String::as_str).filter(|n| !names.contains(n) && shown(n));
                        let names: Vec<&str> = names.iter().copied().chain(shared).collect();
                        let of = ObjectName::from(vec![ident(relation.name.as_deref().unwrap_or_default())]);
                        let kind = SelectItemQualifiedWildcardKind::ObjectName(of);
                        items.push(SelectItem::QualifiedWildcard(kind, without(options.clone(), &names)));
                    }
                }
                _ => items.push(SelectItem::Wildcard(options)),
            },
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(of), options) => {
                let name = last_part(&of);
                let names = relations.iter().zip(&hidden).find(|(r, _)| r.name == name).map_or(&[][..], |(_, names)| names);
                let options = without(options, names);
                items.push(SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(of), options));
            }
            other => items.push(other),
        }
    }
    select.projection = items;
}

/// The options of a star that stands for none of these columns either.
fn without(mut options: WildcardAdditionalOptions, names: &[&str]) -> WildcardAdditionalOptions {
    let mut out: Vec<ObjectName> = match options.opt_exclude.take() {
        Some(ExcludeSelectItem::Single(name)) => vec![name],
        Some(ExcludeSelectItem::Multiple(names)) => names,
        None => vec![],
    };
    let except: Vec<Ident> = match &options.opt_except {
        Some(ExceptSelectItem { first_element, additional_elements }) => {
            std::iter::once(first_element).chain(additional_elements).cloned().collect()
        }
        None => vec![],
    };
    for name in names {
        let known = out.iter().filter_map(last_part).chain(except.iter().map(normalised)).any(|known| known == *name);
        if !known {
            out.push(ObjectName::from(vec![ident(name)]));
        }
    }
    options.opt_exclude = (!out.is_empty()).then_some(ExcludeSelectItem::Multiple(out));
    options
}
