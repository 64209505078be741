//! The entries of the EPSG registry that user-defined CRSs refer to by code: units, ellipsoids, and the usual geographic CRSs.

/// A unit of length: name and metres.
pub(super) fn length_unit(code: u16) -> Option<(&'static str, f64)> {
    Some(match code {
        9001 => ("metre", 1.0),
        9002 => ("foot", 0.3048),
        9003 => ("US survey foot", 0.304800609601219),
        9005 => ("Clarke's foot", 0.3047972654),
        9014 => ("fathom", 1.8288),
        9030 => ("nautical mile", 1852.0),
        9031 => ("German legal metre", 1.0000135965),
        9033 => ("US survey chain", 20.1168402336805),
        9036 => ("kilometre", 1000.0),
        9037 => ("Clarke's yard", 0.9143917962),
        9039 => ("Clarke's link", 0.201166195164),
        9040 => ("British yard (Sears 1922)", 0.914398414616029),
        9041 => ("British foot (Sears 1922)", 0.304799471538676),
        9042 => ("British chain (Sears 1922)", 20.1167651215526),
        9050 => ("British chain (Benoit 1895 B)", 20.1167824943759),
        9062 => ("British yard (Benoit 1895 B)", 0.914399204289812),
        9070 => ("British foot (1865)", 0.304800833333333),
        9080 => ("Indian foot", 0.304799510248147),
        9084 => ("Indian yard", 0.914398530744441),
        9093 => ("Statute mile", 1609.344),
        9094 => ("Gold Coast foot", 0.304799710181509),
        9096 => ("yard", 0.9144),
        9097 => ("chain", 20.1168),
        9098 => ("link", 0.201168),
        _ => return None,
    })
}

/// A unit of angles: name and radians.
pub(super) fn angle_unit(code: u16) -> Option<(&'static str, f64)> {
    let degree = std::f64::consts::PI / 180.0;
    Some(match code {
        9101 => ("radian", 1.0),
        9102 | 9107 | 9108 | 9110 | 9122 => ("degree", degree),
        9103 => ("arc-minute", degree / 60.0),
        9104 => ("arc-second", degree / 3600.0),
        9105 => ("grad", std::f64::consts::PI / 200.0),
        9106 => ("gon", std::f64::consts::PI / 200.0),
        9109 => ("microradian", 1e-6),
        9114 => ("mil_6400", std::f64::consts::PI / 3200.0),
        _ => return None,
    })
}

/// An ellipsoid: name, semi-major axis in metres, inverse flattening (0: a sphere).
pub(super) type Ellipsoid = (&'static str, f64, f64);

/// Ellipsoids by their EPSG codes.
pub(super) fn ellipsoid(code: u16) -> Option<Ellipsoid> {
    Some(match code {
        7001 => ("Airy 1830", 6_377_563.396, 299.3249646),
        7002 => ("Airy Modified 1849", 6_377_340.189, 299.3249646),
        7003 => ("Australian National Spheroid", 6_378_160.0, 298.25),
        7004 => ("Bessel 1841", 6_377_397.155, 299.1528128),
        7005 => ("Bessel Modified", 6_377_492.018, 299.1528128),
        7008 => ("Clarke 1866", 6_378_206.4, 294.978698213898),
        7010 => ("Clarke 1880 (Benoit)", 6_378_300.789, 293.466315538981),
        7011 => ("Clarke 1880 (IGN)", 6_378_249.2, 293.466021293627),
        7012 => ("Clarke 1880 (RGS)", 6_378_249.145, 293.465),
        7013 => ("Clarke 1880 (Arc)", 6_378_249.145, 293.4663077),
        7015 => ("Everest 1830 (1937 Adjustment)", 6_377_276.345, 300.8017),
        7018 => ("Everest 1830 Modified", 6_377_304.063, 300.8017),
        7019 => ("GRS 1980", 6_378_137.0, 298.257222101),
        7020 => ("Helmert 1906", 6_378_200.0, 298.3),
        7021 => ("Indonesian National Spheroid", 6_378_160.0, 298.247),
        7022 => ("International 1924", 6_378_388.0, 297.0),
        7024 => ("Krassowsky 1940", 6_378_245.0, 298.3),
        7030 => ("WGS 84", 6_378_137.0, 298.257223563),
        7035 => ("Sphere", 6_371_000.0, 0.0),
        7036 => ("GRS 1967", 6_378_160.0, 298.247167427),
        7043 => ("WGS 72", 6_378_135.0, 298.26),
        7047 => ("GRS 1980 Authalic Sphere", 6_370_997.0, 0.0),
        7048 => ("GRS 1980 Authalic Sphere", 6_371_007.0, 0.0),
        7050 => ("GRS 1967 Modified", 6_378_160.0, 298.25),
        7052 => ("Clarke 1866 Authalic Sphere", 6_370_997.0, 0.0),
        1024 => ("CGCS2000", 6_378_137.0, 298.257222101),
        _ => return None,
    })
}

/// A geographic CRS: name, name of its datum, code of its ellipsoid, longitude of its prime meridian in degrees.
pub(super) type Geographic = (&'static str, &'static str, u16, f64);

/// Geographic CRSs by their EPSG codes.
pub(super) fn geographic(code: u16) -> Option<Geographic> {
    let paris = 2.33722917;
    Some(match code {
        4326 => ("WGS 84", "World Geodetic System 1984", 7030, 0.0),
        4322 => ("WGS 72", "World Geodetic System 1972", 7043, 0.0),
        4269 => ("NAD83", "North American Datum 1983", 7019, 0.0),
        4267 => ("NAD27", "North American Datum 1927", 7008, 0.0),
        4152 => ("NAD83(HARN)", "NAD83 (High Accuracy Reference Network)", 7019, 0.0),
        4617 => ("NAD83(CSRS)", "NAD83 Canadian Spatial Reference System", 7019, 0.0),
        4759 => ("NAD83(NSRS2007)", "NAD83 (National Spatial Reference System 2007)", 7019, 0.0),
        6318 => ("NAD83(2011)", "NAD83 (National Spatial Reference System 2011)", 7019, 0.0),
        4258 => ("ETRS89", "European Terrestrial Reference System 1989", 7019, 0.0),
        4230 => ("ED50", "European Datum 1950", 7022, 0.0),
        4277 => ("OSGB36", "Ordnance Survey of Great Britain 1936", 7001, 0.0),
        4171 => ("RGF93 v1", "Reseau Geodesique Francais 1993 v1", 7019, 0.0),
        4275 => ("NTF", "Nouvelle Triangulation Francaise", 7011, 0.0),
        4807 => ("NTF (Paris)", "Nouvelle Triangulation Francaise (Paris)", 7011, paris),
        4314 => ("DHDN", "Deutsches Hauptdreiecksnetz", 7004, 0.0),
        4312 => ("MGI", "Militar-Geographische Institut", 7004, 0.0),
        4149 => ("CH1903", "CH1903", 7004, 0.0),
        4150 => ("CH1903+", "CH1903+", 7004, 0.0),
        4289 => ("Amersfoort", "Amersfoort", 7004, 0.0),
        4313 => ("BD72", "Reseau National Belge 1972", 7022, 0.0),
        4265 => ("Monte Mario", "Monte Mario", 7022, 0.0),
        4284 => ("Pulkovo 1942", "Pulkovo 1942", 7024, 0.0),
        4178 => ("Pulkovo 1942(83)", "Pulkovo 1942(83)", 7024, 0.0),
        4179 => ("Pulkovo 1942(58)", "Pulkovo 1942(58)", 7024, 0.0),
        4156 => ("S-JTSK", "System of the Unified Trigonometrical Cadastral Network", 7004, 0.0),
        4202 => ("AGD66", "Australian Geodetic Datum 1966", 7003, 0.0),
        4203 => ("AGD84", "Australian Geodetic Datum 1984", 7003, 0.0),
        4283 => ("GDA94", "Geocentric Datum of Australia 1994", 7019, 0.0),
        7844 => ("GDA2020", "Geocentric Datum of Australia 2020", 7019, 0.0),
        4167 => ("NZGD2000", "New Zealand Geodetic Datum 2000", 7019, 0.0),
        4272 => ("NZGD49", "New Zealand Geodetic Datum 1949", 7022, 0.0),
        4612 => ("JGD2000", "Japanese Geodetic Datum 2000", 7019, 0.0),
        6668 => ("JGD2011", "Japanese Geodetic Datum 2011", 7019, 0.0),
        4301 => ("Tokyo", "Tokyo", 7004, 0.0),
        4490 => ("CGCS2000", "China 2000", 1024, 0.0),
        4214 => ("Beijing 1954", "Beijing 1954", 7024, 0.0),
        4674 => ("SIRGAS 2000", "Sistema de Referencia Geocentrico para las AmericaS 2000", 7019, 0.0),
        4170 => ("SIRGAS 1995", "Sistema de Referencia Geocentrico para America del Sur 1995", 7019, 0.0),
        4618 => ("SAD69", "South American Datum 1969", 7050, 0.0),
        4248 => ("PSAD56", "Provisional South American Datum 1956", 7022, 0.0),
        4148 => ("Hartebeesthoek94", "Hartebeesthoek94", 7030, 0.0),
        4222 => ("Cape", "Cape", 7013, 0.0),
        4240 => ("Indian 1975", "Indian 1975", 7015, 0.0),
        4238 => ("ID74", "Indonesian Datum 1974", 7021, 0.0),
        4019 => ("Unknown datum based upon the GRS 1980 ellipsoid", "Not specified (based on GRS 1980 ellipsoid)", 7019, 0.0),
        4030 => ("Unknown datum based upon the WGS 84 ellipsoid", "Not specified (based on WGS 84 ellipsoid)", 7030, 0.0),
        4035 => ("Unknown datum based upon the Authalic Sphere", "Not specified (based on Authalic Sphere)", 7035, 0.0),
        _ => return None,
    })
}
