//! The entries of a GeoKeyDirectory (OGC 19-008r4, 7.1.2), still without meaning.

use std::collections::BTreeMap;

use crate::array::{AttributeValue, Attributes};

/// Key numbers (OGC 19-008r4, annex B).
pub(super) mod key {
    macro_rules! keys {
        ($($name:ident = $number:literal,)*) => { $(pub(in super::super) const $name: u16 = $number;)* };
    }
    keys! {
        MODEL_TYPE = 1024, RASTER_TYPE = 1025, CITATION = 1026,
        GEODETIC_CRS = 2048, GEODETIC_CITATION = 2049, DATUM = 2050, PRIME_MERIDIAN = 2051,
        ANGULAR_UNITS = 2054, ANGULAR_UNIT_SIZE = 2055, ELLIPSOID = 2056, SEMI_MAJOR = 2057, SEMI_MINOR = 2058,
        INVERSE_FLATTENING = 2059, PRIME_MERIDIAN_LONGITUDE = 2061,
        PROJECTED_CRS = 3072, PROJECTED_CITATION = 3073, PROJECTION = 3074, METHOD = 3075,
        LINEAR_UNITS = 3076, LINEAR_UNIT_SIZE = 3077, STANDARD_PARALLEL_1 = 3078, STANDARD_PARALLEL_2 = 3079,
        NATURAL_LONGITUDE = 3080, NATURAL_LATITUDE = 3081, FALSE_EASTING = 3082, FALSE_NORTHING = 3083,
        FALSE_ORIGIN_LONGITUDE = 3084, FALSE_ORIGIN_LATITUDE = 3085, FALSE_ORIGIN_EASTING = 3086, FALSE_ORIGIN_NORTHING = 3087,
        CENTRE_LONGITUDE = 3088, CENTRE_LATITUDE = 3089, CENTRE_EASTING = 3090, CENTRE_NORTHING = 3091,
        SCALE_AT_NATURAL_ORIGIN = 3092, SCALE_AT_CENTRE = 3093, AZIMUTH = 3094, POLE_LONGITUDE = 3095, GRID_ANGLE = 3096,
        VERTICAL_CRS = 4096,
    }
}

/// The value of a key that says "defined by the other keys".
pub(super) const USER_DEFINED: u16 = 32767;

/// The keys of a GeoKeyDirectory.
#[derive(Debug, Default)]
pub(super) struct GeoKeys {
    shorts: BTreeMap<u16, u16>,
    texts: BTreeMap<u16, String>,
    doubles: BTreeMap<u16, f64>,
    /// Minor revision: 1 for GeoTIFF 1.1.
    minor: i64,
}

impl GeoKeys {
    /// Reads key entries: id, tag that holds the value (0: the entry itself), count, value or index.
    pub(super) fn of(attributes: &Attributes) -> GeoKeys {
        let mut keys = GeoKeys::default();
        let Some(AttributeValue::Integers(_, directory)) = attributes.get("GeoKeyDirectory") else { return keys };
        let ascii: Vec<char> = attributes.text("GeoAsciiParams").unwrap_or_default().chars().collect();
        let doubles = attributes.get("GeoDoubleParams").and_then(AttributeValue::numbers).unwrap_or_default();
        let count = directory.get(3).copied().unwrap_or(0).max(0) as usize;
        keys.minor = directory.get(2).copied().unwrap_or(0);
        for entry in directory.get(4..).unwrap_or_default().chunks_exact(4).take(count) {
            let &[id, place, count, value] = entry else { continue };
            let (Ok(id), Ok(value)) = (u16::try_from(id), u16::try_from(value)) else { continue };
            match place {
                0 => {
                    keys.shorts.insert(id, value);
                }
                34736 => {
                    keys.doubles.extend(doubles.get(usize::from(value)).filter(|v| v.is_finite()).map(|v| (id, *v)));
                }
                34737 => {
                    let end = usize::from(value).saturating_add(usize::try_from(count).unwrap_or(0)).min(ascii.len());
                    if let Some(text) = ascii.get(usize::from(value)..end) {
                        let text: String = text.iter().collect();
                        keys.texts.insert(id, text.trim_end_matches(['|', ' ']).to_string());
                    }
                }
                _ => {}
            }
        }
        keys
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shorts.is_empty()
    }

    pub(super) fn short(&self, key: u16) -> Option<u16> {
        self.shorts.get(&key).copied()
    }

    pub(super) fn double(&self, key: u16) -> Option<f64> {
        self.doubles.get(&key).copied()
    }

    /// The first of several keys that is there.
    pub(super) fn first_double(&self, keys: &[u16]) -> Option<f64> {
        keys.iter().find_map(|&key| self.double(key))
    }

    pub(super) fn text(&self, key: u16) -> Option<&str> {
        self.texts.get(&key).map(String::as_str).filter(|text| !text.trim().is_empty())
    }

    /// An EPSG code, where the key holds one.
    pub(super) fn epsg(&self, key: u16) -> Option<u16> {
        self.short(key).filter(|code| (1024..USER_DEFINED).contains(code))
    }

    /// The EPSG code of a vertical CRS; before GeoTIFF 1.1 the key meant other things.
    pub(super) fn vertical(&self) -> Option<u16> {
        self.epsg(key::VERTICAL_CRS).filter(|_| self.minor >= 1)
    }

    /// All citations, for messages and for the CRSs that stand nowhere else.
    pub(super) fn citations(&self) -> String {
        let all = [key::CITATION, key::PROJECTED_CITATION, key::GEODETIC_CITATION];
        all.iter().filter_map(|k| self.texts.get(k)).map(String::as_str).collect::<Vec<_>>().join("; ")
    }

    /// True for latitude and longitude.
    pub(super) fn is_geographic(&self) -> bool {
        match self.short(key::MODEL_TYPE) {
            Some(2) => true,
            Some(1 | 3) => false,
            _ => self.short(key::PROJECTED_CRS).is_none() && self.epsg(key::GEODETIC_CRS).is_some() && !self.is_web_mercator(),
        }
    }

    /// ArcGIS writes Web Mercator as a citation only.
    pub(super) fn is_web_mercator(&self) -> bool {
        self.citations().contains("WGS_1984_Web_Mercator_Auxiliary_Sphere")
    }
}
