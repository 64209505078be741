//! The graticule program.
fn main() {}
