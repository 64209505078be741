"""Writes projections.json: grid mappings of CF with the WKT that Graticule makes of each, found equal to pyproj's.

usage: GRATICULE_PRINT_WKT=1 cargo test -p graticule-storage --lib projections_are -- --nocapture | grep -a '^WKT' > wkt.txt
       python make_projections.py wkt.txt          (needs pyproj; without wkt.txt the WKTs are left empty, for the first run)

Each WKT is taken up only where pyproj's CRS.from_cf of the same parameters is equal to it, or where both put ten points at the same place to a
millimetre. Where pyproj is known to differ (`ours`), the reason stands beside the case and the points are those of the PROJ string given there.
"""
import json
import sys
from pathlib import Path

import numpy as np
from pyproj import CRS, Transformer

SPHERE = {"earth_radius": 6371229.0}
GRS = {"semi_major_axis": 6378137.0, "inverse_flattening": 298.257222101}
MINOR = {"semi_major_axis": 6378206.4, "semi_minor_axis": 6356583.8}
NAMED = {"horizontal_datum_name": "OSGB_1936", "reference_ellipsoid_name": "Airy 1830", "semi_major_axis": 6377563.396, "inverse_flattening": 299.3249646}
LCC = {"grid_mapping_name": "lambert_conformal_conic", "longitude_of_central_meridian": -95.0}
CASES = [
    {"grid_mapping_name": "latitude_longitude"},
    {"grid_mapping_name": "latitude_longitude", "semi_major_axis": 6378137.0, "inverse_flattening": 298.257223563},
    {"grid_mapping_name": "latitude_longitude", **SPHERE},
    {"grid_mapping_name": "latitude_longitude", **GRS, "longitude_of_prime_meridian": 2.337229166667, "prime_meridian_name": "Paris"},
    {"grid_mapping_name": "latitude_longitude", **MINOR},
    {"grid_mapping_name": "latitude_longitude", **NAMED},
    {"grid_mapping_name": "rotated_latitude_longitude", "grid_north_pole_latitude": 39.25, "grid_north_pole_longitude": 198.0},
    {"grid_mapping_name": "rotated_latitude_longitude", "grid_north_pole_latitude": 37.5, "grid_north_pole_longitude": 177.5, "north_pole_grid_longitude": 5.0, **SPHERE},
    {**LCC, "standard_parallel": [30.0, 60.0], "latitude_of_projection_origin": 45.0, "false_easting": 1000.0, "false_northing": 2000.0},
    {**LCC, "standard_parallel": [33.0, 45.0], "latitude_of_projection_origin": 23.0, **SPHERE},
    {**LCC, "standard_parallel": 25.0, "latitude_of_projection_origin": 25.0, **SPHERE},
    {**LCC, "standard_parallel": "33.0, 45.0", "latitude_of_projection_origin": 39.0},
    {**LCC, "standard_parallel": 38.5, "latitude_of_projection_origin": 40.0, "longitude_of_central_meridian": 262.5, **SPHERE},
    {"grid_mapping_name": "polar_stereographic", "straight_vertical_longitude_from_pole": -45.0, "latitude_of_projection_origin": 90.0, "standard_parallel": 70.0},
    {"grid_mapping_name": "polar_stereographic", "straight_vertical_longitude_from_pole": 0.0, "latitude_of_projection_origin": -90.0, "standard_parallel": -71.0, **GRS},
    {"grid_mapping_name": "polar_stereographic", "straight_vertical_longitude_from_pole": -45.0, "latitude_of_projection_origin": -90.0, "scale_factor_at_projection_origin": 0.994},
    {"grid_mapping_name": "stereographic", "longitude_of_projection_origin": 5.0, "latitude_of_projection_origin": 52.0, "scale_factor_at_projection_origin": 0.999},
    {"grid_mapping_name": "stereographic", "longitude_of_projection_origin": 263.0, "latitude_of_projection_origin": 90.0, **SPHERE},
    {"grid_mapping_name": "mercator", "longitude_of_projection_origin": 5.0, "standard_parallel": 20.0},
    {"grid_mapping_name": "mercator", "longitude_of_projection_origin": 5.0, "scale_factor_at_projection_origin": 0.9, **SPHERE},
    {"grid_mapping_name": "transverse_mercator", "longitude_of_central_meridian": 9.0, "latitude_of_projection_origin": 20.0, "scale_factor_at_central_meridian": 0.9996, "false_easting": 500000.0},
    {"grid_mapping_name": "transverse_mercator", "longitude_of_central_meridian": -2.0, "latitude_of_projection_origin": 49.0, "scale_factor_at_central_meridian": 0.9996012717, "false_easting": 400000.0, "false_northing": -100000.0, **NAMED},
    {"grid_mapping_name": "albers_conical_equal_area", "standard_parallel": [29.5, 45.5], "longitude_of_central_meridian": -96.0, "latitude_of_projection_origin": 23.0, **GRS},
    {"grid_mapping_name": "albers_conical_equal_area", "standard_parallel": 40.0, "longitude_of_central_meridian": -96.0, "latitude_of_projection_origin": 23.0},
    {"grid_mapping_name": "lambert_azimuthal_equal_area", "longitude_of_projection_origin": 10.0, "latitude_of_projection_origin": 52.0, "false_easting": 4321000.0, "false_northing": 3210000.0, **GRS},
    {"grid_mapping_name": "lambert_azimuthal_equal_area", "longitude_of_projection_origin": 0.0, "latitude_of_projection_origin": 90.0, **SPHERE},
    {"grid_mapping_name": "azimuthal_equidistant", "longitude_of_projection_origin": 5.0, "latitude_of_projection_origin": 52.0},
    {"grid_mapping_name": "lambert_cylindrical_equal_area", "longitude_of_central_meridian": 5.0, "standard_parallel": 30.0},
    {"grid_mapping_name": "orthographic", "longitude_of_projection_origin": 5.0, "latitude_of_projection_origin": 52.0, **SPHERE},
    {"grid_mapping_name": "geostationary", "perspective_point_height": 35786023.0, "longitude_of_projection_origin": -75.0, "latitude_of_projection_origin": 0.0, "sweep_angle_axis": "x", **GRS},
    {"grid_mapping_name": "geostationary", "perspective_point_height": 35785831.0, "longitude_of_projection_origin": 0.0, "fixed_angle_axis": "x"},
    {"grid_mapping_name": "sinusoidal", "longitude_of_projection_origin": 5.0, "earth_radius": 6371007.181},
    {"grid_mapping_name": "sinusoidal", "longitude_of_central_meridian": 5.0, "false_easting": 10.0},
    {"grid_mapping_name": "vertical_perspective", "perspective_point_height": 35786023.0, "longitude_of_projection_origin": -75.0, "latitude_of_projection_origin": 10.0},
    {"grid_mapping_name": "oblique_mercator", "azimuth_of_central_line": 30.0, "latitude_of_projection_origin": 10.0, "longitude_of_projection_origin": 20.0, "scale_factor_at_projection_origin": 1.0},
    {"grid_mapping_name": "transverse_mercator", "longitude_of_central_meridian": 9.0, "latitude_of_projection_origin": 0.0, "horizontal_datum_name": "European_Terrestrial_Reference_System_1989", "reference_ellipsoid_name": "GRS 1980"},
    {"grid_mapping_name": "transverse_mercator", "longitude_of_central_meridian": 9.0, "latitude_of_projection_origin": 0.0, "reference_ellipsoid_name": "Bessel 1841"},
    {"grid_mapping_name": "lambert_conformal_conic"},
    {"grid_mapping_name": "geostationary", "perspective_point_height": 35786023.0},
    {"grid_mapping_name": "healpix"},
]
OURS = {
    12: ("pyproj drops a latitude of the origin that is not the parallel", "+proj=lcc +lat_1=38.5 +lat_2=38.5 +lat_0=40 +lon_0=262.5 +R=6371229"),
    23: ("pyproj takes 0 for the second parallel", "+proj=aea +lat_1=40 +lat_2=40 +lat_0=23 +lon_0=-96 +ellps=WGS84"),
    32: ("pyproj does not know the meridian by this name", "+proj=sinu +lon_0=5 +x_0=10 +ellps=WGS84"),
}


def same_points(a, b, parameters):
    lat0 = parameters.get("latitude_of_projection_origin", 30.0)
    lon0 = next((parameters[k] for k in parameters if k.startswith("longitude_of") and "prime" not in k), parameters.get("straight_vertical_longitude_from_pole", 10.0))
    lat = np.clip(lat0 + np.linspace(-20, 20, 10), -85, 85)
    lon = lon0 + np.linspace(-15, 17, 10)
    out = [Transformer.from_crs(c.geodetic_crs, c, always_xy=True).transform(lon, lat) for c in (a, b)]
    return all(np.isfinite(o).all() for o in out) and np.allclose(out[0], out[1], rtol=0, atol=1e-8 if a.is_geographic else 1e-3)


def main():
    printed = [line[4:].strip() for line in Path(sys.argv[1]).read_text().splitlines()] if len(sys.argv) > 1 else [""] * len(CASES)
    assert len(printed) == len(CASES), (len(printed), len(CASES))
    out, equal, points = [], 0, 0
    for number, (parameters, wkt) in enumerate(zip(CASES, printed)):
        case = {"parameters": parameters}
        if wkt:
            found = CRS(wkt)
            truth = CRS(OURS[number][1]) if number in OURS else CRS.from_cf(parameters)
            alike = found == truth or found.equals(truth, ignore_axis_order=True)
            if not alike and not (same_points(found, truth, parameters) and found.ellipsoid.semi_major_metre == truth.ellipsoid.semi_major_metre):
                raise SystemExit(f"{number} {parameters}\n  {found.to_wkt()}\n  {truth.to_wkt()}")
            equal, points = equal + alike, points + (not alike)
            case["wkt"] = wkt
            if number in OURS:
                case["pyproj"] = OURS[number][0]
        elif len(sys.argv) > 1:
            try:
                CRS.from_cf(parameters)
            except Exception:
                pass
            else:
                raise SystemExit(f"pyproj knows {parameters}")
            case["wkt"] = None
        else:
            case["wkt"] = ""
        out.append(case)
    print(f"{equal} equal, {points} by ten points, {len(CASES) - equal - points} refused by both")
    Path(__file__).with_name("projections.json").write_text("[\n" + ",\n".join(json.dumps(c) for c in out) + "\n]\n")


if __name__ == "__main__":
    main()
