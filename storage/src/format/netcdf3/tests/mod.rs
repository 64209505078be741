//! Files of netCDF-C (tests/corpus/netcdf3) cell by cell, headers made by hand, and damaged ones.

mod fixtures;
mod hand_made;
