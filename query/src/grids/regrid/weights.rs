//! Weights of source cells for each target coordinate along one axis: computed once, from coordinates and bounds alone.

use super::line::{Kind, Line, edges_around};

/// How values between cells are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// The value of the cell that the coordinate lies in.
    Nearest,
    /// Linear between centres; between an outer centre and the edge of its cell the outer value.
    Bilinear,
    /// Cubic convolution with a = -0.5 (Keys 1981), by positions; where one of the four cells is missing or not there, linear.
    Cubic,
    /// The mean of the cells that the target cell meets, by the length they share with it.
    Average,
    /// The same by shared area: along latitudes on a sphere.
    Conservative,
}

impl Method {
    /// All of them by name.
    pub const ALL: [(&'static str, Method); 5] = [
        ("nearest", Method::Nearest),
        ("bilinear", Method::Bilinear),
        ("cubic", Method::Cubic),
        ("average", Method::Average),
        ("conservative", Method::Conservative),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Method::ALL.iter().find(|(_, m)| *m == self).map_or("", |(name, _)| name)
    }
}

/// For every target along an axis the source cells that it is made of: a run of cells and a weight each; the sum is 1.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Weights {
    /// First cell of each target's run, counted from the first cell that any target wants.
    pub first: Vec<u32>,
    /// Where the weights of each target begin; one more at the end. A target without weights lies outside.
    pub starts: Vec<u32>,
    /// The weights.
    pub values: Vec<f64>,
}

/// Weights along an axis, and which positions of the source's axis their cells are.
#[derive(Debug, Clone)]
pub(crate) struct AxisWeights {
    /// The weights.
    pub weights: Weights,
    /// Linear ones over the same cells, for where cubic ones meet missing cells.
    pub linear: Option<Weights>,
    /// Positions in the source's own order.
    pub positions: Vec<u64>,
}

/// Runs of numbered cells, for every target.
type Runs = Vec<Option<(i64, Vec<f64>)>>;

impl AxisWeights {
    /// For targets at these coordinates, whose single cell is `width` long. Errors say what is wrong with either axis.
    pub fn new(line: &Line, targets: &[f64], width: Option<f64>, kind: Kind, method: Method) -> Result<AxisWeights, String> {
        let runs: Runs = match method {
            Method::Nearest => targets.iter().map(|&x| Some((line.cell(x)?, vec![1.0]))).collect(),
            Method::Bilinear => targets.iter().map(|&x| linear(line, x)).collect(),
            Method::Cubic => targets.iter().map(|&x| cubic(line, x)).collect(),
            Method::Average | Method::Conservative => {
                let edges = edges_around(targets, width, kind).ok_or("one coordinate has no length; give axis(from, to, step)")?;
                edges.into_iter().map(|edge| normalised(line.overlaps(edge, method == Method::Conservative)?)).collect()
            }
        };
        let Some(low) = runs.iter().flatten().map(|(first, _)| *first).min() else {
            let [a, b] = line.range();
            return Err(format!("no target coordinate lies in the source, whose cells run from {a} to {b}"));
        };
        let high = runs.iter().flatten().map(|(first, w)| first + w.len() as i64).max().unwrap_or(low);
        let n = line.len() as i64;
        if high - low > (1 << 31) {
            return Err("it would be gone round too often".into());
        }
        let position = |cell: i64| if line.falling { n - 1 - cell.rem_euclid(n) } else { cell.rem_euclid(n) } as u64;
        let mut positions: Vec<u64> = (low..high).map(position).collect();
        if line.falling {
            positions.reverse();
        }
        let packed = |runs: Runs| Weights::of(runs, low..high, line.falling);
        let linear = (method == Method::Cubic).then(|| packed(targets.iter().map(|&x| linear(line, x)).collect()));
        Ok(AxisWeights { weights: packed(runs), linear, positions })
    }
}

impl Weights {
    fn of(runs: Runs, cells: std::ops::Range<i64>, falling: bool) -> Weights {
        let mut all = Weights { starts: vec![0], ..Weights::default() };
        for run in runs {
            if let Some((first, mut weights)) = run {
                let from = if falling { cells.end - (first + weights.len() as i64) } else { first - cells.start };
                if falling {
                    weights.reverse();
                }
                all.first.push(from as u32);
                all.values.extend(weights);
            } else {
                all.first.push(0);
            }
            all.starts.push(all.values.len() as u32);
        }
        all
    }

    /// The weights of a target.
    pub fn of_target(&self, target: usize) -> &[f64] {
        &self.values[self.starts[target] as usize..self.starts[target + 1] as usize]
    }

    /// The cells that some targets want, all of them together; `None` where all lie outside.
    pub fn cells(&self, targets: std::ops::Range<usize>) -> Option<std::ops::Range<u64>> {
        let runs = targets.filter(|&t| !self.of_target(t).is_empty());
        let ranges = runs.map(|t| u64::from(self.first[t])..u64::from(self.first[t]) + self.of_target(t).len() as u64);
        ranges.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end))
    }

    /// True when some target lies outside.
    pub fn has_outside(&self) -> bool {
        self.starts.windows(2).any(|w| w[0] == w[1])
    }
}

fn linear(line: &Line, x: f64) -> Option<(i64, Vec<f64>)> {
    let (cell, part) = line.between(x)?;
    Some((cell, if part == 0.0 { vec![1.0] } else { vec![1.0 - part, part] }))
}

fn cubic(line: &Line, x: f64) -> Option<(i64, Vec<f64>)> {
    let (cell, part) = line.between(x)?;
    let inside = line.len() >= 4 && (line.periodic || cell >= 1 && cell + 2 < line.len() as i64);
    if part == 0.0 || !inside {
        return linear(line, x);
    }
    Some((cell - 1, keys(part).to_vec()))
}

/// The weights of the four cells around a coordinate that lies `t` of the way from the second to the third.
pub(crate) fn keys(t: f64) -> [f64; 4] {
    const A: f64 = -0.5;
    let near = |d: f64| ((A + 2.0) * d - (A + 3.0)) * d * d + 1.0;
    let far = |d: f64| ((A * d - 5.0 * A) * d + 8.0 * A) * d - 4.0 * A;
    [far(1.0 + t), near(t), near(1.0 - t), far(2.0 - t)]
}

fn normalised((first, weights): (i64, Vec<f64>)) -> Option<(i64, Vec<f64>)> {
    let all: f64 = weights.iter().sum();
    Some((first, weights.into_iter().map(|w| w / all).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(values: &[f64], kind: Kind, targets: &[f64], method: Method) -> AxisWeights {
        AxisWeights::new(&Line::new(values, None, kind).unwrap(), targets, Some(1.0), kind, method).unwrap()
    }

    /// What the weights make of these values of the source.
    fn made(of: &AxisWeights, values: &[f64]) -> Vec<Option<f64>> {
        let value = |t: usize| {
            let (first, weights) = (of.weights.first[t] as usize, of.weights.of_target(t));
            let cells = weights.iter().enumerate().map(|(k, w)| w * values[of.positions[first + k] as usize]);
            (!weights.is_empty()).then(|| cells.sum())
        };
        (0..of.weights.first.len()).map(value).collect()
    }

    #[test]
    fn falling_axes_give_what_rising_ones_give() {
        let (rising, falling) = ([0.0, 1.0, 2.0, 4.0, 5.0], [5.0, 4.0, 2.0, 1.0, 0.0]);
        let targets = [0.2, 1.0, 3.0, 4.9, 5.4, 5.6];
        for (_, method) in Method::ALL {
            let a = made(&weights(&rising, Kind::Plain, &targets, method), &[1.0, 2.0, 4.0, 8.0, 16.0]);
            let b = made(&weights(&falling, Kind::Plain, &targets, method), &[16.0, 8.0, 4.0, 2.0, 1.0]);
            let near = a.iter().zip(&b).all(|(a, b)| a.is_some() == b.is_some() && (a.unwrap_or(0.0) - b.unwrap_or(0.0)).abs() < 1e-12);
            assert!(near, "{method:?} {a:?} {b:?}");
        }
    }

    #[test]
    fn longitudes_go_on_across_the_seam() {
        let values: Vec<f64> = (0..8).map(|i| 45.0 * f64::from(i)).collect();
        let field: Vec<f64> = (0..8).map(f64::from).collect();
        let of = weights(&values, Kind::Longitude, &[-22.5, 0.0, 337.5, 360.0, -45.0], Method::Bilinear);
        assert_eq!(made(&of, &field), [3.5, 0.0, 3.5, 0.0, 7.0].map(Some));
        let near = weights(&values, Kind::Longitude, &[-1.0, 338.0, 719.0], Method::Nearest);
        assert_eq!(made(&near, &field), [0.0, 0.0, 0.0].map(Some));
        let twice: Vec<f64> = (0..=8).map(|i| 45.0 * f64::from(i)).collect();
        assert_eq!(Line::new(&twice, None, Kind::Longitude).unwrap().len(), 8);
        let mean =
            AxisWeights::new(&Line::new(&values, None, Kind::Longitude).unwrap(), &[0.0], Some(360.0), Kind::Longitude, Method::Average);
        assert!((made(&mean.unwrap(), &field)[0].unwrap() - 3.5).abs() < 1e-12);
    }

    #[test]
    fn cubic_weights_reproduce_parabolas_and_end_linear() {
        let values: Vec<f64> = (0..6).map(f64::from).collect();
        let squares: Vec<f64> = values.iter().map(|v| v * v).collect();
        let of = made(&weights(&values, Kind::Plain, &[1.5, 2.25, 3.0, 0.5, 5.5], Method::Cubic), &squares);
        let wanted = [2.25, 5.0625, 9.0, 0.5, 25.0];
        assert!(of.iter().zip(wanted).all(|(a, b)| (a.unwrap() - b).abs() < 1e-12), "{of:?}");
        assert!((keys(0.3).iter().sum::<f64>() - 1.0).abs() < 1e-15);
    }

    #[test]
    fn areas_on_a_sphere() {
        let of = weights(&[-67.5, -22.5, 22.5, 67.5], Kind::Latitude, &[-45.0, 45.0], Method::Conservative);
        let got = made(&of, &[1.0, 0.0, 0.0, 0.0])[0].unwrap();
        let expected = (1.0 - (45f64).to_radians().sin()) / 1.0;
        assert!((got - expected).abs() < 1e-12, "{got} {expected}");
    }

    #[test]
    fn outside_is_nothing_and_all_outside_an_error() {
        let line = Line::new(&[0.0, 1.0, 2.0], None, Kind::Plain).unwrap();
        let of = AxisWeights::new(&line, &[-0.6, -0.4, 2.4, 2.6], None, Kind::Plain, Method::Bilinear).unwrap();
        assert_eq!(made(&of, &[1.0, 2.0, 3.0]), [None, Some(1.0), Some(3.0), None]);
        assert!(of.weights.has_outside());
        assert_eq!((of.weights.cells(0..4), of.weights.cells(3..4)), (Some(0..3), None));
        let error = AxisWeights::new(&line, &[9.0], None, Kind::Plain, Method::Nearest).unwrap_err();
        assert!(error.contains("from -0.5 to 2.5"), "{error}");
        assert!(Line::new(&[0.0, 2.0, 1.0, 3.0], None, Kind::Plain).is_err());
    }
}
