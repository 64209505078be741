"""Points in several reference systems as pyproj has them: points.json, [longitude, latitude, x, y] in WGS 84 and the system.

Run: python make_points.py
"""
import json
import os

from pyproj import CRS, Transformer

HERE = os.path.dirname(os.path.abspath(__file__))
SYSTEMS = {
    "EPSG:32631": [(3, 45), (1.2, 0.5), (5.9, 71)], "EPSG:32733": [(15, -33), (12.5, -70)],
    "EPSG:3035": [(10, 52), (-9, 38), (30, 65)], "EPSG:3857": [(0, 0), (179, 84), (-120, -45)],
    "EPSG:3413": [(-45, 70), (100, 85), (0, 61)], "EPSG:3031": [(0, -71), (140, -66), (-70, -89)],
    "EPSG:5070": [(-96, 37), (-120, 48)], "EPSG:2154": [(3, 46.5), (-4, 48)], "EPSG:6933": [(0, 30), (-150, -60)],
    "+proj=sinu +R=6371007.181 +units=m": [(10, 20), (-100, 50)], "+proj=geos +h=35785831 +lon_0=0 +sweep=y +a=6378169 +b=6356583.8": [(0, 10), (25, 45)],
    CRS.from_epsg(32633).to_wkt("WKT1_GDAL"): [(15, 48), (13, 60)], CRS.from_epsg(3035).to_wkt("WKT2_2019"): [(10, 52), (24, 60)],
}
cases = []
for crs, points in SYSTEMS.items():
    to = Transformer.from_crs("EPSG:4326" if "R=" not in crs and "+a=" not in crs else CRS.from_user_input(crs).geodetic_crs, crs, always_xy=True)
    cases.append({"crs": crs, "points": [[lon, lat, *to.transform(lon, lat)] for lon, lat in points]})
json.dump(cases, open(os.path.join(HERE, "points.json"), "w"), indent=1)
