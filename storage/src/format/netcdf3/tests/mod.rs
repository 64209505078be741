//! Files of netCDF-C (tests/corpus/netcdf3) cell by cell, headers made by hand, real files and damaged ones.

mod fixtures;
mod hand_made;
mod real_files;

use super::*;
