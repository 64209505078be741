//! For tests: the real files that lie beside the repository, and numbers of what independent readers saw in them.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// The folder of real files: `GRATICULE_SHARED`, or `shared` beside the repository; `None` where it is not there.
pub(crate) fn data() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let root = std::env::var_os("GRATICULE_SHARED").map_or(beside, PathBuf::from).join("data");
    root.join("public/oracles").is_dir().then_some(root)
}

/// A number of an oracle: NaN and infinities are texts.
pub(crate) fn number(v: &Value) -> Option<f64> {
    v.as_f64().or_else(|| match v.as_str()? {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    })
}

/// TIFF files whose JPEG chroma is subsampled, and the sums of their bands as libjpeg-turbo decodes them (through tifffile and
/// imagecodecs). The oracles' GDAL has another libjpeg (IJG 9), which spreads chroma otherwise, by up to 119 levels.
pub(crate) const JPEG_CHROMA: &[(&str, [u64; 3])] = &[
    ("be_cog.tiff", [313_569, 196_663, 304_619]),
    ("cogeo.tif", [115_314_714, 126_529_641, 133_121_198]),
    ("goes.tif", [5_900_288, 7_355_727, 9_902_020]),
    ("image_geos.tif", [88_986_190, 96_300_829, 96_153_092]),
    ("cog_hirise_mars.tif", [154_528_458, 146_530_029, 140_616_890]),
    ("rgbsmall_JPEG_ycbcr.tif", [164_883, 228_402, 72_781]),
    ("tiled-jpeg-ycbcr.tif", [15_388_590, 12_993_157, 11_107_612]),
];
