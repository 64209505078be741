//! HDF-EOS5 files of others, where this machine has them: names of dimensions and coordinates, against GDAL's geotransform.

use super::{index, real_files, values};
use crate::array::Scalar;

#[tokio::test]
async fn dimensions_and_coordinates_are_those_of_the_structure_metadata() {
    let Some(data) = real_files() else { return };
    let file = data.join("public/hdf5/dummy_HDFEOS_with_sinu_projection.h5");
    let granule = index(&file).unwrap();
    let group = "/HDFEOS/GRIDS/VIIRS_Grid_BRDF";
    let field = &granule.array(&format!("{group}/Data Fields/test")).unwrap().metadata;
    assert_eq!((field.dimensions.join(" "), field.attributes.text("grid_mapping")), ("YDim XDim Num_Parameters".into(), Some("crs")));
    let crs = &granule.array(&format!("{group}/crs")).unwrap().metadata.attributes;
    assert_eq!((crs.text("grid_mapping_name"), crs.number("semi_major_axis")), (Some("sinusoidal"), Some(6_371_007.181)));
    // GDAL: origin -1111950.519667, 5559752.598333; pixels of 277987.62991675 by -222390.1039310.
    for (axis, origin, step) in [("XDim", -1111950.519667, 277987.62991675), ("YDim", 5559752.598333, -222390.103931)] {
        let array = granule.array(&format!("{group}/{axis}")).unwrap();
        let found = values(&file, array).await.unwrap().unwrap();
        for (i, v) in found.into_iter().map(Scalar::as_f64).enumerate() {
            let want = origin + (i as f64 + 0.5) * step;
            assert!((v - want).abs() < 1e-3, "{axis} {i}: {v}, GDAL {want}");
        }
    }
    let granule = index(&data.join("public/hdf5/hdfeos_sample_swath.h5")).unwrap();
    let dims = |path: &str| granule.array(&format!("/HDFEOS/SWATHS/Swath1/{path}")).unwrap().metadata.dimensions.join(" ");
    assert_eq!(dims("Data Fields/Spectra"), "Bands Res2tr Res2xtr");
    assert_eq!((dims("Geolocation Fields/Latitude"), dims("Data Fields/Pressure")), ("GeoTrack GeoXtrack".into(), "Res2tr".into()));
    // Its list says GeoTrack, which is 20 long; the data set has 32 cells.
    assert!(dims("Data Fields/Count").starts_with("phony_dim_"));
    let granule = index(&data.join("public/hdf5/dummy_HDFEOS_swath_chunked.h5")).unwrap();
    let dims = |path: &str| granule.array(&format!("/HDFEOS/SWATHS/MySwath/{path}")).unwrap().metadata.dimensions.join(" ");
    assert_eq!(dims("Data Fields/MyDataField"), "Band AlongTrack CrossTrack");
    assert!(dims("Geolocation Fields/Latitude").starts_with("phony_dim_"));
}
