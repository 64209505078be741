//! The rasteriser against simpler ways to the same answers.

use super::coverage::touched;
use super::grid::{Along, CellGrid};
use super::rasterise::covered;
use super::runs::CellRun;
use super::shape::Shape;
use super::wkt;

fn along(n: usize, start: f64, step: f64) -> Along {
    let centres: Vec<f64> = (0..n).map(|i| start + step * i as f64).collect();
    let low = centres.iter().map(|c| c - step / 2.0).collect();
    let high = centres.iter().map(|c| c + step / 2.0).collect();
    Along { centres, low, high, positions: (0..n as u32).collect() }
}

/// Ten by ten cells, centres at 0 to 9.
fn grid() -> CellGrid {
    CellGrid { y: along(10, 0.0, 1.0), x: along(10, 0.0, 1.0), wraps: false }
}

fn shape(text: &str) -> Shape {
    wkt::read(text).unwrap().0
}

fn cells(runs: &[CellRun]) -> Vec<(u32, u32, f64)> {
    runs.iter().flat_map(|r| (r.from..r.to).map(move |c| (r.row, c, r.weight))).collect()
}

#[test]
fn a_polygon_covers_centres_on_its_boundary() {
    let count = |text: &str| cells(&covered(&shape(text), &grid())).len();
    assert_eq!(count("POLYGON ((2 2, 5 2, 5 4, 2 4, 2 2))"), 12);
    assert_eq!(count("POLYGON ((2.1 2.1, 4.9 2.1, 4.9 3.9, 2.1 3.9))"), 2);
    // On a slanted edge through centres, and at a tip.
    assert_eq!(count("POLYGON ((0 0, 9 9, 0 9))"), 55);
    assert_eq!(count("POLYGON ((3 3, 4.4 2.6, 4.4 3.4))"), 2);
    assert_eq!(count("POLYGON ((3 3, 3 5, 3 3))"), 3);
    // The boundary of a hole belongs to the polygon.
    assert_eq!(count("POLYGON ((0 0, 9 0, 9 9, 0 9, 0 0), (2 2, 5 2, 5 5, 2 5, 2 2))"), 96);
    assert_eq!(count("POLYGON ((20 20, 30 20, 30 30, 20 20))"), 0);
    assert_eq!(count("POLYGON EMPTY"), 0);
    assert_eq!(count("LINESTRING (0 0, 9 9)"), 0);
}

#[test]
fn rings_that_cross_themselves_are_filled_by_even_odd() {
    let bow = "POLYGON ((0 0, 4 4, 4 0, 0 4, 0 0))";
    let found = cells(&covered(&shape(bow), &grid()));
    assert!(!found.iter().any(|c| (c.0, c.1) == (1, 2) || (c.0, c.1) == (3, 2)), "above and below the knot: {found:?}");
    let area = |text: &str| cells(&touched(&shape(text), &grid()).unwrap()).iter().map(|c| c.2).sum::<f64>();
    assert!((area(bow) - 8.0).abs() < 1e-6, "{}", area(bow));
    // A ring around twice is around an even number of times.
    assert!(area("POLYGON ((1 1, 6 1, 6 6, 1 6, 1 1, 1 1, 6 1, 6 6, 1 6, 1 1))").abs() < 1e-6);
    // A "hole" outside is a part of its own.
    assert!((area("POLYGON ((0 0, 2 0, 2 2, 0 2, 0 0), (5 5, 6 5, 6 6, 5 6, 5 5))") - 5.0).abs() < 1e-6);
}

#[test]
fn fractions_add_up_to_the_area() {
    for text in [
        "POLYGON ((1.3 1.1, 7.7 2.2, 5.5 8.1, 2.9 4.4, 1.3 1.1))",
        "POLYGON ((1 1, 1 7, 8 7, 8 1, 1 1), (2.5 2.5, 4.25 2.75, 3.5 6.1, 2.5 2.5))",
        "MULTIPOLYGON (((0.25 0.25, 0.75 0.25, 0.5 0.75, 0.25 0.25)), ((4 4, 9.5 4, 9.5 9.5, 4 4)))",
    ] {
        let shape = shape(text);
        let runs = touched(&shape, &grid()).unwrap();
        let sum: f64 = cells(&runs).iter().map(|c| c.2).sum();
        assert!((sum - shape.area()).abs() < 1e-12 * shape.area().max(1.0), "{text}: {sum} of {}", shape.area());
        assert!(runs.windows(2).all(|w| (w[0].row, w[0].to) <= (w[1].row, w[1].from)), "{runs:?}");
    }
}

#[test]
fn boxes_that_share_a_boundary_touch() {
    let of = |text: &str| cells(&touched(&shape(text), &grid()).unwrap());
    // One cell whole, and the eight around it by their edges and corners.
    let found = of("POLYGON ((2.5 2.5, 3.5 2.5, 3.5 3.5, 2.5 3.5))");
    assert_eq!(found.len(), 9);
    assert_eq!(found.iter().filter(|c| c.2 > 0.0).collect::<Vec<_>>(), [&(3, 3, 1.0)]);
    assert_eq!(of("POINT (3 3)"), [(3, 3, 0.0)]);
    assert_eq!(of("POINT (3.5 3.5)").len(), 4);
    assert_eq!(of("LINESTRING (0 0, 3.2 0)").iter().map(|c| c.1).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(of("POLYGON ((-9 -9, 30 -9, 30 30, -9 30))").iter().map(|c| c.2).sum::<f64>(), 100.0);
    assert!(of("POLYGON ((20 20, 30 20, 30 30, 20 20))").is_empty());
}

#[test]
fn longitudes_are_seen_across_the_seam() {
    let globe = CellGrid { y: along(5, -20.0, 10.0), x: along(36, 0.0, 10.0), wraps: true };
    let columns = |runs: Vec<CellRun>| {
        let mut found: Vec<u32> = cells(&runs).iter().map(|c| c.1).collect();
        found.sort_unstable();
        found.dedup();
        found
    };
    let across = shape("POLYGON ((-25 -6, 14 -6, 14 6, -25 6))");
    assert_eq!(columns(covered(&across, &globe)), [0, 1, 34, 35]);
    assert_eq!(columns(touched(&across, &globe).unwrap()), [0, 1, 33, 34, 35]);
    let beyond = shape("POLYGON ((170 -6, 195 -6, 195 6, 170 6))");
    let parts = shape("MULTIPOLYGON (((170 -6, 180 -6, 180 6, 170 6)), ((-180 -6, -165 -6, -165 6, -180 6)))");
    assert_eq!(columns(covered(&beyond, &globe)), [17, 18, 19]);
    assert_eq!(columns(covered(&parts, &globe)), [17, 18, 19]);
    let sum = |s: &Shape| cells(&touched(s, &globe).unwrap()).iter().map(|c| c.2).sum::<f64>();
    assert!((sum(&beyond) - 3.0).abs() < 1e-12, "{}", sum(&beyond));
    assert!((sum(&parts) - 3.0).abs() < 1e-12, "{}", sum(&parts));
    assert!((sum(&across) - 39.0 * 12.0 / 100.0).abs() < 1e-12, "{}", sum(&across));
}
