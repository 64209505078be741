//! Statistics of pairs (y, x), over the cells where neither is NULL; n is their number, means and sums are over them:
//!
//! * Syy = sum of (y - mean y)^2, Sxx likewise, Sxy = sum of (y - mean y)(x - mean x).
//! * `covar_pop` = Sxy / n; `covar_samp` (`covar`) = Sxy / (n - 1), NULL for n < 2.
//! * `corr` = Sxy / sqrt(Sxx Syy), NULL for n < 2 or where one of the two does not vary.
//! * `regr_slope` = Sxy / Sxx; `regr_intercept` = mean y - slope * mean x; both NULL for n < 2 or Sxx = 0.
//! * `regr_r2` = Sxy^2 / (Sxx Syy), NULL for n < 2 or where one of the two does not vary.
//! * `regr_count` = n; `regr_avgy`, `regr_avgx`, `regr_syy`, `regr_sxx`, `regr_sxy`: the parts. NULL for n = 0 but for the count.
//!
//! Sums are accumulated around each group's first pair (shifted data; Chan, Golub, LeVeque 1983), so that values far from
//! zero keep their digits. They replace DataFusion's functions of the same names, whose formulas these are.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, UInt64Array};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::datatypes::{Float64Type, UInt64Type};
use datafusion::error::Result;

use crate::dense::reduce::grouped::{Grouped, as_type, bytes_of, column, primitive, take_front};
use crate::dense::reduce::kernel::{CellMap, Target};

/// Which statistic of pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Statistic {
    CovarPop,
    CovarSamp,
    Corr,
    Slope,
    Intercept,
    R2,
    Count,
    AvgY,
    AvgX,
    Syy,
    Sxx,
    Sxy,
}

/// Sums of one group: differences from the first pair (`y0`, `x0`), their squares and their products.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    n: u64,
    y0: f64,
    x0: f64,
    y: f64,
    x: f64,
    yy: f64,
    xx: f64,
    xy: f64,
}

impl Sums {
    #[inline(always)]
    fn add(&mut self, y: f64, x: f64) {
        if self.n == 0 {
            (self.y0, self.x0) = (y, x);
        }
        let (dy, dx) = (y - self.y0, x - self.x0);
        self.n += 1;
        self.y += dy;
        self.x += dx;
        self.yy += dy * dy;
        self.xx += dx * dx;
        self.xy += dy * dx;
    }

    fn merge(&mut self, other: &Moments) {
        if other.n == 0 {
            return;
        }
        if self.n == 0 {
            (self.y0, self.x0) = (other.mean_y, other.mean_x);
        }
        let n = other.n as f64;
        let (dy, dx) = (other.mean_y - self.y0, other.mean_x - self.x0);
        self.n += other.n;
        self.y += n * dy;
        self.x += n * dx;
        self.yy += other.syy + n * dy * dy;
        self.xx += other.sxx + n * dx * dx;
        self.xy += other.sxy + n * dy * dx;
    }

    fn moments(&self) -> Moments {
        if self.n == 0 {
            return Moments::default();
        }
        let n = self.n as f64;
        Moments {
            n: self.n,
            mean_y: self.y0 + self.y / n,
            mean_x: self.x0 + self.x / n,
            syy: (self.yy - self.y * self.y / n).max(0.0),
            sxx: (self.xx - self.x * self.x / n).max(0.0),
            sxy: self.xy - self.y * self.x / n,
        }
    }
}

/// What the header's formulas are made of; also the state.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    n: u64,
    mean_y: f64,
    mean_x: f64,
    syy: f64,
    sxx: f64,
    sxy: f64,
}

impl Moments {
    fn statistic(&self, statistic: Statistic) -> Option<f64> {
        let n = self.n as f64;
        let at_least = |least: u64, value: f64| (self.n >= least).then_some(value);
        let slope = self.sxy / self.sxx;
        let both_vary = self.n >= 2 && self.sxx != 0.0 && self.syy != 0.0;
        let x_varies = self.n >= 2 && self.sxx != 0.0;
        match statistic {
            Statistic::CovarPop => at_least(1, self.sxy / n),
            Statistic::CovarSamp => at_least(2, self.sxy / (n - 1.0)),
            Statistic::Corr => both_vary.then(|| self.sxy / self.sxx.sqrt() / self.syy.sqrt()),
            Statistic::Slope => x_varies.then_some(slope),
            Statistic::Intercept => x_varies.then_some(self.mean_y - slope * self.mean_x),
            Statistic::R2 => both_vary.then(|| self.sxy * self.sxy / (self.sxx * self.syy)),
            Statistic::Count => Some(n),
            Statistic::AvgY => at_least(1, self.mean_y),
            Statistic::AvgX => at_least(1, self.mean_x),
            Statistic::Syy => at_least(1, self.syy),
            Statistic::Sxx => at_least(1, self.sxx),
            Statistic::Sxy => at_least(1, self.sxy),
        }
    }
}

/// The sums of every group. State: n, mean y, mean x, Syy, Sxx, Sxy.
#[derive(Debug)]
pub(super) struct Pairs {
    sums: Vec<Sums>,
    statistic: Statistic,
}

impl Pairs {
    /// No group yet.
    pub fn new(statistic: Statistic) -> Self {
        Pairs { sums: vec![], statistic }
    }
}

impl Grouped for Pairs {
    fn resize(&mut self, groups: usize) {
        self.sums.resize(groups, Sums::default());
    }

    fn update(&mut self, map: &CellMap, values: &[ArrayRef], chosen: Option<&BooleanBuffer>) -> Result<()> {
        let (y, x) = (as_type::<Float64Type>(column(values, 0)?)?, as_type::<Float64Type>(column(values, 1)?)?);
        let (y, x) = (y.values(), x.values());
        let sums = &mut self.sums;
        map.for_each_run(chosen, |start, n, target| {
            let run = y[start..start + n].iter().zip(&x[start..start + n]);
            match target {
                Target::One(g) => {
                    let mut one = sums[g];
                    run.for_each(|(&y, &x)| one.add(y, x));
                    sums[g] = one;
                }
                Target::Row(g) => sums[g..g + n].iter_mut().zip(run).for_each(|(s, (&y, &x))| s.add(y, x)),
                Target::Scatter(g, numbers) => numbers.iter().zip(run).for_each(|(&i, (&y, &x))| sums[g + i as usize].add(y, x)),
            }
        });
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let n = primitive::<UInt64Type>(column(states, 0)?)?;
        let part = |i| primitive::<Float64Type>(column(states, i)?);
        let (mean_y, mean_x, syy, sxx, sxy) = (part(1)?, part(2)?, part(3)?, part(4)?, part(5)?);
        for (i, &g) in groups.iter().enumerate() {
            self.sums[g].merge(&Moments {
                n: n.value(i),
                mean_y: mean_y.value(i),
                mean_x: mean_x.value(i),
                syy: syy.value(i),
                sxx: sxx.value(i),
                sxy: sxy.value(i),
            });
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ArrayRef>> {
        let moments: Vec<Moments> = self.sums.iter().map(Sums::moments).collect();
        let part = |of: fn(&Moments) -> f64| Arc::new(Float64Array::from_iter_values(moments.iter().map(of))) as ArrayRef;
        Ok(vec![
            Arc::new(UInt64Array::from_iter_values(moments.iter().map(|m| m.n))),
            part(|m| m.mean_y),
            part(|m| m.mean_x),
            part(|m| m.syy),
            part(|m| m.sxx),
            part(|m| m.sxy),
        ])
    }

    fn value(&mut self) -> Result<ArrayRef> {
        if self.statistic == Statistic::Count {
            return Ok(Arc::new(Int64Array::from_iter_values(self.sums.iter().map(|s| s.n as i64))));
        }
        Ok(Arc::new(self.sums.iter().map(|s| s.moments().statistic(self.statistic)).collect::<Float64Array>()))
    }

    fn take_first(&mut self, n: usize) -> Box<dyn Grouped> {
        Box::new(Pairs { sums: take_front(&mut self.sums, n), statistic: self.statistic })
    }

    fn bytes(&self) -> usize {
        bytes_of(&self.sums)
    }
}
