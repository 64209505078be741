//! Weights applied to a box, one axis after the other. Missing cells are left out and the other weights made up for them; a
//! target of which less than a millionth of the weight has values is missing.

use std::ops::{Add, Mul, Range};

use super::weights::{AxisWeights, Weights};

/// A part of the weight below which a value is missing.
const LEAST: f64 = 1e-6;

/// The types that values are computed in.
pub(crate) trait Real: Copy + Default + PartialOrd + Add<Output = Self> + Mul<Output = Self> + Send + Sync {
    /// The nearest number of the type.
    fn of(value: f64) -> Self;
    /// As a double.
    fn wide(self) -> f64;
}

impl Real for f32 {
    fn of(value: f64) -> f32 {
        value as f32
    }

    fn wide(self) -> f64 {
        f64::from(self)
    }
}

impl Real for f64 {
    fn of(value: f64) -> f64 {
        value
    }

    fn wide(self) -> f64 {
        self
    }
}

/// One axis of a box: what becomes of it.
pub(crate) struct Pass<'a> {
    /// Position of the axis.
    pub axis: usize,
    /// Its weights.
    pub weights: &'a AxisWeights,
    /// The targets wanted.
    pub targets: Range<usize>,
    /// The number of the first cell of the box among those that the weights count.
    pub base: usize,
}

/// The values of the targets, and which of them have one (`None`: all).
pub(crate) struct Made<T> {
    /// Values, C order.
    pub values: Vec<T>,
    /// One a value.
    pub valid: Option<Vec<bool>>,
}

/// A box of values (C order, of this shape) through the passes, one an axis. `valid` says which values there are.
pub(crate) fn regrid<T: Real>(values: Vec<T>, valid: Option<Vec<bool>>, shape: &[usize], passes: &[Pass<'_>]) -> Made<T> {
    let order = cheapest_first(shape, passes);
    let through = |values: Vec<T>, which: Which| {
        let (mut values, mut shape) = (values, shape.to_vec());
        for &p in &order {
            values = along(&values, &shape, &passes[p], which);
            shape[passes[p].axis] = passes[p].targets.len();
        }
        (values, shape)
    };
    let Some(valid) = valid else {
        let (values, shape) = through(values, Which::Own);
        let valid = passes.iter().any(|p| p.targets.clone().any(|t| p.weights.weights.of_target(t).is_empty()));
        let valid = valid.then(|| inside(&shape, passes));
        return Made { values, valid };
    };
    let values: Vec<T> = values.into_iter().zip(&valid).map(|(v, ok)| if *ok { v } else { T::default() }).collect();
    let present: Vec<T> = valid.iter().map(|ok| T::of(f64::from(u8::from(*ok)))).collect();
    let cubic = passes.iter().any(|p| p.weights.linear.is_some());
    let linear = through(values.clone(), Which::Linear).0;
    let weight = through(present, Which::Linear).0;
    let found: Vec<bool> = weight.iter().map(|w| w.wide() > LEAST).collect();
    let mut made: Vec<T> = linear
        .into_iter()
        .zip(&weight)
        .zip(&found)
        .map(|((v, w), ok)| if *ok { T::of(v.wide() / w.wide()) } else { T::default() })
        .collect();
    if cubic {
        let absent: Vec<T> = valid.iter().map(|ok| T::of(f64::from(u8::from(!*ok)))).collect();
        let touched = through(absent, Which::Touched).0;
        let smooth = through(values, Which::Own).0;
        for ((m, s), t) in made.iter_mut().zip(smooth).zip(touched) {
            if t == T::default() {
                *m = s;
            }
        }
    }
    Made { values: made, valid: Some(found) }
}

/// Which weights a pass takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    /// Those of the method.
    Own,
    /// Linear ones in place of cubic ones.
    Linear,
    /// One for every cell that has any weight.
    Touched,
}

/// Passes that leave the fewest cells first.
fn cheapest_first(shape: &[usize], passes: &[Pass<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..passes.len()).collect();
    let growth = |p: &Pass<'_>| p.targets.len() as f64 / shape[p.axis].max(1) as f64;
    order.sort_by(|&a, &b| growth(&passes[a]).total_cmp(&growth(&passes[b])));
    order
}

/// Which cells of the result lie inside of the source along all axes.
fn inside(shape: &[usize], passes: &[Pass<'_>]) -> Vec<bool> {
    let mut valid = vec![true];
    for (d, &n) in shape.iter().enumerate() {
        let pass = passes.iter().find(|p| p.axis == d);
        let here: Vec<bool> = (0..n).map(|i| pass.is_none_or(|p| !p.weights.weights.of_target(p.targets.start + i).is_empty())).collect();
        valid = valid.iter().flat_map(|before| here.iter().map(move |ok| *before && *ok)).collect();
    }
    valid
}

/// One pass: the box along `pass.axis` made of weighted cells.
fn along<T: Real>(values: &[T], shape: &[usize], pass: &Pass<'_>, which: Which) -> Vec<T> {
    let weights: &Weights = match (which, &pass.weights.linear) {
        (Which::Linear, Some(linear)) => linear,
        _ => &pass.weights.weights,
    };
    let (n, m) = (shape[pass.axis], pass.targets.len());
    let outer: usize = shape[..pass.axis].iter().product();
    let inner: usize = shape[pass.axis + 1..].iter().product();
    let factor = |w: f64| T::of(if which == Which::Touched { f64::from(u8::from(w != 0.0)) } else { w });
    let mut made = vec![T::default(); outer * m * inner];
    if n == 0 || inner == 0 {
        return made;
    }
    // Weights in the type of the values, once for all rows.
    let runs: Vec<(usize, Vec<T>)> = pass
        .targets
        .clone()
        .map(|t| {
            let run: Vec<T> = weights.of_target(t).iter().map(|w| factor(*w)).collect();
            ((weights.first[t] as usize).saturating_sub(pass.base), run)
        })
        .collect();
    for (from, into) in values.chunks_exact(n * inner).zip(made.chunks_exact_mut(m * inner)) {
        if inner == 1 {
            row(from, into, &runs);
            continue;
        }
        for ((first, run), into) in runs.iter().zip(into.chunks_exact_mut(inner)) {
            for (k, &w) in run.iter().enumerate() {
                let slab = &from[(first + k) * inner..(first + k + 1) * inner];
                for (i, v) in into.iter_mut().zip(slab) {
                    *i = *i + w * *v;
                }
            }
        }
    }
    made
}

/// A row along the fastest axis.
fn row<T: Real>(from: &[T], into: &mut [T], runs: &[(usize, Vec<T>)]) {
    for (into, (first, run)) in into.iter_mut().zip(runs) {
        *into = match run.as_slice() {
            [] => T::default(),
            [_] => from[*first],
            [a, b] => *a * from[*first] + *b * from[first + 1],
            many => {
                // Four sums side by side keep the processor busy.
                let cells = &from[*first..first + many.len()];
                let mut sums = [T::default(); 4];
                let (whole, rest) = (many.chunks_exact(4), many.len() / 4 * 4);
                for (w, v) in whole.zip(cells.chunks_exact(4)) {
                    for lane in 0..4 {
                        sums[lane] = sums[lane] + w[lane] * v[lane];
                    }
                }
                let tail = many[rest..].iter().zip(&cells[rest..]).fold(T::default(), |sum, (w, v)| sum + *w * *v);
                (sums[0] + sums[1]) + (sums[2] + sums[3]) + tail
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::{Kind, Line};
    use super::super::weights::Method;
    use super::*;

    fn weights(n: usize, targets: &[f64], method: Method) -> AxisWeights {
        let values: Vec<f64> = (0..n).map(|i| i as f64).collect();
        AxisWeights::new(&Line::new(&values, None, Kind::Plain).unwrap(), targets, Some(1.0), Kind::Plain, method).unwrap()
    }

    #[test]
    fn a_plane_stays_a_plane() {
        let (y, x) = (weights(5, &[0.5, 3.25], Method::Bilinear), weights(6, &[1.0, 2.5, 4.75], Method::Bilinear));
        let values: Vec<f64> =
            (0..2).flat_map(|t| (0..5).flat_map(move |y| (0..6).map(move |x| f64::from(100 * t + 10 * y + x)))).collect();
        let passes = [Pass { axis: 1, weights: &y, targets: 0..2, base: 0 }, Pass { axis: 2, weights: &x, targets: 1..3, base: 0 }];
        // The weights along x count from the first cell wanted, which is cell 1.
        let cropped: Vec<f64> = values.chunks(6).flat_map(|row| row[1..].to_vec()).collect();
        let made = regrid(cropped, None, &[2, 5, 5], &passes);
        assert_eq!(made.values, [7.5, 9.75, 35.0, 37.25, 107.5, 109.75, 135.0, 137.25]);
        assert!(made.valid.is_none());
    }

    #[test]
    fn missing_cells_are_made_up_for() {
        let x = weights(4, &[0.5, 1.5, 2.5, 9.0], Method::Bilinear);
        let pass = || [Pass { axis: 0, weights: &x, targets: 0..4, base: 0 }];
        let made = regrid(vec![1.0f32, 7.0, 7.0, 4.0], Some(vec![true, false, false, true]), &[4], &pass());
        assert_eq!((made.values, made.valid), (vec![1.0, 0.0, 4.0, 0.0], Some(vec![true, false, true, false])));
        let made = regrid(vec![1.0f32, 2.0, 3.0, 4.0], None, &[4], &pass());
        assert_eq!(made.valid, Some(vec![true, true, true, false]));
    }

    #[test]
    fn a_cubic_value_beside_a_missing_cell_is_linear() {
        let x = weights(7, &[1.5, 3.5, 2.0], Method::Cubic);
        let values: Vec<f64> = (0..7).map(|v| f64::from(v * v)).collect();
        let mut valid = vec![true; 7];
        valid[6] = false;
        let made = regrid(values.clone(), Some(valid.clone()), &[7], &[Pass { axis: 0, weights: &x, targets: 0..3, base: 0 }]);
        assert_eq!(made.values, [2.25, 12.25, 4.0]);
        valid[0] = false;
        let made = regrid(values, Some(valid), &[7], &[Pass { axis: 0, weights: &x, targets: 0..3, base: 0 }]);
        assert_eq!(made.values, [2.5, 12.25, 4.0]);
    }
}
