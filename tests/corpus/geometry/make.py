"""Makes the geometries of this folder and `truth.json`: which cells of two cubes they cover and touch, how much of each, and zonal
means; by shapely and xarray, checked here against exactextract and rasterio. Run from this folder.

Cubes: `../cubes/weather_*.nc` (latitude 90..-90 by 10, longitude 0..345 by 15) and `../cubes/mosaic/raster_*.tif` (EPSG:32632, 10 m).
"""
import glob
import json

import geopandas as gpd
import numpy as np
import rasterio.features
import shapely
import xarray as xr
from exactextract import exact_extract
from exactextract.raster import NumPyRasterSource
from rasterio.transform import Affine
from shapely.geometry import MultiPolygon, Polygon, box
from shapely.affinity import translate

r = np.random.default_rng(9)


def star(x, y, radius, n):
    a = np.sort(r.uniform(0, 2 * np.pi, n))
    q = radius * r.uniform(0.4, 1.0, n)
    return Polygon(np.c_[x + q * np.cos(a), y + q * np.sin(a) * 0.7]).buffer(0)


def rounded(g, digits):
    return shapely.transform(g, lambda c: np.round(c, digits))


shapes = {
    "star": star(100, 20, 60, 30),
    "overlapping": star(120, 10, 55, 25),
    "hole": Polygon(box(31, -62, 161, -8).exterior.coords, [box(58, -44, 133, -27).exterior.coords]),
    "corners on centres": box(15, 10, 60, 40),
    "on an edge": Polygon([(15, 10), (75, 50), (15, 50)]),
    "west of Greenwich": box(-40, 33, 22, 66),
    "antimeridian, two parts": MultiPolygon([box(163, -33, 180, 14), box(-180, -33, -148, 14)]),
    "antimeridian, beyond 180": box(163, -33, 212, 14),
    "between centres": box(46, 21, 49, 24),
    "crossing itself": Polygon([(200, -50), (290, 10), (290, -50), (200, 10)]),
    "around the pole": box(-180, 71, 180, 90),
}
shapes = {name: rounded(g, 3) for name, g in shapes.items()}
features = [
    {"type": "Feature", "geometry": json.loads(shapely.to_geojson(g)),
     "properties": {"id": i, "name": name, "share": i / 4, "even": i % 2 == 0, "tags": {"n": [i]}}}
    for i, (name, g) in enumerate(shapes.items())
]
features.append({"type": "Feature", "geometry": {"type": "Polygon", "coordinates": []}, "properties": {"id": 100, "name": "empty"}})
features.append({"type": "Feature", "geometry": None, "properties": {"id": 101, "name": "nothing"}})
with open("parcels.geojson", "w") as f:
    f.write('{"type": "FeatureCollection", "features": [\n' + ",\n".join(json.dumps(x) for x in features) + "\n]}\n")

weather = xr.concat([xr.open_dataset(p) for p in sorted(glob.glob("../cubes/weather_*.nc"))], "time", data_vars="minimal")
lat, lon = weather.latitude.values.astype(float), weather.longitude.values.astype(float)
lat_bounds = np.c_[np.clip(lat - 5, -90, 90), np.clip(lat + 5, -90, 90)]
lon_bounds = np.c_[lon - 7.5, lon + 7.5]


def cells(g, xs, ys, xb, yb, turns):
    """Flat numbers of the cells covered, touched, and the fractions of those touched."""
    g = shapely.make_valid(g)
    copies = [translate(g, t, 0) for t in turns]
    for c in copies:
        shapely.prepare(c)
    px, py = np.meshgrid(xs, ys)
    points = shapely.points(px.ravel(), py.ravel())
    covered = np.any([shapely.covers(c, points) for c in copies], axis=0)
    x0, y0 = np.meshgrid(xb[:, 0], yb[:, 0])
    x1, y1 = np.meshgrid(xb[:, 1], yb[:, 1])
    boxes = shapely.box(x0.ravel(), y0.ravel(), x1.ravel(), y1.ravel())
    touched = np.any([shapely.intersects(c, boxes) for c in copies], axis=0)
    share = np.sum([shapely.area(shapely.intersection(c, boxes)) for c in copies], axis=0) / shapely.area(boxes)
    return np.flatnonzero(covered), np.flatnonzero(touched), np.minimum(share, 1)


def mean(v, w):
    ok = np.isfinite(v) & (w > 0)
    return float((v[ok] * w[ok]).sum() / w[ok].sum()) if ok.any() else None


t2m = weather.t2m.values.reshape(len(weather.time), -1)
truth = {"weather": [], "scene": []}
for i, (name, g) in enumerate(shapes.items()):
    covered, touched, share = cells(g, lon, lat, lon_bounds, lat_bounds, (-360, 0, 360))
    if name in ("star", "overlapping", "hole", "between centres"):  # plain ones: two more opinions
        transform = Affine(15, 0, -7.5, 0, -10, 95)
        mask = rasterio.features.geometry_mask([g], (19, 24), transform, invert=True).ravel()
        assert (np.flatnonzero(mask) == covered).all(), name
        raster = NumPyRasterSource(np.arange(19 * 24, dtype=float).reshape(19, 24), xmin=-7.5, xmax=352.5, ymin=-95, ymax=95)
        found = exact_extract(raster, {"type": "Feature", "geometry": json.loads(shapely.to_geojson(g)), "properties": {}}, ["values", "coverage"])
        p = found[0]["properties"]
        other = np.zeros(19 * 24)
        other[np.array(p["values"], int)] = p["coverage"]
        inner = np.repeat(np.abs(lat) < 85, 24)
        assert np.abs(other - share)[inner].max() < 1e-6, name
    truth["weather"].append({
        "id": i, "name": name, "covered": covered.tolist(), "touched": touched.tolist(),
        "share": [round(float(s), 9) for s in share[touched]],
        "mean": mean(t2m[:, covered], np.ones((len(t2m), len(covered)))),
        "first": mean(t2m[0, covered], np.ones(len(covered))),
        "weighted": mean(t2m, np.broadcast_to(share, t2m.shape)),
        "weighted first": mean(t2m[0], share),
    })

# The scene, and parcels of it in longitude and latitude.
tiles = [rasterio.open(p) for p in sorted(glob.glob("../cubes/mosaic/raster_*.tif"))]
from rasterio.merge import merge  # noqa: E402

data, transform = merge(tiles)
nodata = tiles[0].nodata
values = data[0].astype(float)
covered_by_file = np.zeros(values.shape, bool)
for t in tiles:
    c, row = ~transform * (t.bounds.left, t.bounds.top)
    covered_by_file[round(row):round(row) + t.height, round(c):round(c) + t.width] = True
values[~covered_by_file] = np.nan
if nodata is not None:
    values[data[0] == nodata] = np.nan
ny, nx = values.shape
x = transform.c + 10 * (np.arange(nx) + 0.5)
y = transform.f - 10 * (np.arange(ny) + 0.5)
west, north = transform.c, transform.f
parcels = {
    "one": star(west + 60, north - 60, 55, 20),
    "two": star(west + 130, north - 40, 45, 12),
    "outside": box(west - 900, north + 400, west - 700, north + 600),
    "over the edge": box(west - 200, north - 47, west + 33, north + 200),
}
frame = gpd.GeoDataFrame({"id": np.arange(len(parcels)), "name": list(parcels)}, geometry=list(parcels.values()), crs="EPSG:32632")
frame.to_parquet("scene_utm.parquet")
degrees = frame.to_crs("EPSG:4326")
degrees.to_parquet("scene.parquet")
back = degrees.to_crs("EPSG:32632")
for i, g in enumerate(back.geometry):
    covered, touched, share = cells(g, x, y, np.c_[x - 5, x + 5], np.c_[y - 5, y + 5], (0,))
    flat = values.ravel()
    truth["scene"].append({
        "id": i, "covered": covered.tolist(), "touched": touched.tolist(), "share": [round(float(s), 7) for s in share[touched]],
        "mean": mean(flat[covered], np.ones(len(covered))), "weighted": mean(flat, share),
    })
# Points: at the cell they lie in and between centres, at the time nearest to theirs.
around = xr.concat([weather.isel(longitude=[-1]).assign_coords(longitude=[-15.0]), weather, weather.isel(longitude=[0]).assign_coords(longitude=[360.0])], "longitude")
places = [(-170.3, 12.4), (-3.2, 47.1), (7.4, 88.2), (100.1, -33.3), (352.9, 61.7), (359.0, -71.0), (23.0, 5.2), (-97.4, 31.6), (181.2, -14.9)]
times = ["2020-01-15T07:10:00", "2020-02-01T00:00:00", "2020-03-31T20:30:00"]
features, truth["points"] = [], []
for i, (px, py) in enumerate(places):
    at = times[i % 3]
    features.append({"type": "Feature", "geometry": {"type": "Point", "coordinates": [px, py]}, "properties": {"id": i, "time": at}})
    cell = dict(latitude=py, longitude=px % 360 if px % 360 <= 352.5 else px % 360 - 360)
    nearest = around.t2m.sel(**cell, method="nearest")
    between = around.t2m.interp(latitude=py, longitude=px % 360 if px % 360 <= 345 else px % 360 - 360)
    n, b = (v.sel(time=at, method="nearest").item() for v in (nearest, between))
    truth["points"].append({"id": i, "nearest": None if np.isnan(n) else n, "bilinear": None if np.isnan(b) else b, "mean": nearest.mean().item()})
with open("points.geojson", "w") as f:
    json.dump({"type": "FeatureCollection", "features": features}, f)
with open("truth.json", "w") as f:
    json.dump(truth, f, separators=(",", ":"))
