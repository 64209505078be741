"""Truth for REGRID and WARP: truth.json, from the files of ../cubes and those made here.

xarray.interp is the truth for linear and nearest, scipy for cubic convolution (weights of Keys with a = -0.5 as a correlation),
numpy's matrices of overlap for means, rasterio for WARP, pyproj and shapely for its averages of turned grids.  Run: python make.py
"""
import glob
import json
import os

import numpy as np
import rasterio
import xarray as xr
from pyproj import Transformer
from rasterio.io import MemoryFile
from rasterio.transform import Affine, from_origin
from rasterio.vrt import WarpedVRT
from rasterio.warp import Resampling
from scipy.ndimage import correlate1d
from shapely import Polygon, box as square

HERE = os.path.dirname(os.path.abspath(__file__))
weather = xr.concat([xr.open_dataset(f) for f in sorted(glob.glob(os.path.join(HERE, "../cubes/weather_*.nc")))], "time", data_vars="minimal")
first = weather.isel(time=slice(0, 2))
T = "time('2020-01-01T00:00':'2020-01-01T06:00')"
ORDER = "ORDER BY time, latitude DESC, longitude"
cases = []


def case(name, sql, values, order=ORDER, tolerance=1e-6, digits=4, **more):
    values = [None if np.isnan(v) else round(float(v), digits) for v in np.asarray(values, "f8").ravel()]
    cases.append(dict(name=name, sql=sql, order=order, values=values, tolerance=tolerance, **more))


def interp(data, method="linear", **to):
    """xarray.interp over a globe that goes on beyond its seam."""
    around = xr.concat([data.assign_coords(longitude=data.longitude - 360.0), data, data.assign_coords(longitude=data.longitude + 360.0)], "longitude")
    return ruled(around, method, **to).transpose("time", "latitude", "longitude")


def ruled(data, method="linear", **to):
    """xarray.interp, missing cells left out and the other weights made up for them."""
    if method == "nearest":
        return data.interp(**to, method=method)
    weight = data.notnull().astype("f8").interp(**to)
    return data.fillna(0).astype("f8").interp(**to) / weight.where(weight > 1e-6)


lat, lon = np.arange(88.0, -90, -11), np.arange(-20.0, 351, 12.5)
REGRID = f"REGRID(weather[{T}], latitude => axis(88, -90, -11), longitude => axis(-20, 350, 12.5), method => '%s')"
case("bilinear", f"SELECT t2m FROM {REGRID % 'bilinear'}", interp(first.t2m, latitude=lat, longitude=lon))
case("bilinear of single precision", f"SELECT tp * 100000 AS v FROM {REGRID % 'bilinear'}", interp(first.tp, latitude=lat, longitude=lon) * 1e5, tolerance=6e-5)
# No target halfway between cells, which either may have.
near, near_lat = np.arange(-20.0, 350.1, 14.8), 88 - 11.1 * np.arange(17)
case("nearest", f"SELECT t2m FROM REGRID(weather[{T}], latitude => axis(88, -90, -11.1), longitude => axis(-20, 350, 14.8), method => 'nearest')",
     interp(first.t2m, "nearest", latitude=near_lat, longitude=near))
case("nearest of integers", f"SELECT lsm * 1 AS v FROM REGRID(weather[{T}], latitude => axis(88, -90, -11.1), longitude => axis(-20, 350, 14.8), method => 'nearest')",
     interp(first.lsm.broadcast_like(first.t2m).astype("f8"), "nearest", latitude=near_lat, longitude=near))
case("along one axis", f"SELECT t2m FROM REGRID(weather[{T}], latitude => axis(90, -90, -17.5))", ruled(first.t2m, latitude=np.arange(90.0, -91, -17.5)))
hours = np.arange("2020-01-01T00", "2020-01-01T13", 4, dtype="M8[h]").astype("M8[ns]")
case("along time", "SELECT t2m FROM REGRID(weather[latitude(20:60)], time => axis('2020-01-01', '2020-01-01T12:00', INTERVAL '4 hours'))",
     ruled(weather.t2m.isel(time=slice(0, 4)).sel(latitude=slice(60, 20)), time=hours))
case("a subset of it", f"SELECT t2m FROM {REGRID % 'bilinear'}[latitude(0:60), longitude(10:50)]",
     interp(first.t2m, latitude=lat[(lat >= 0) & (lat <= 60)], longitude=lon[(lon >= 10) & (lon <= 50)]))
case("of a subset across the seam", f"SELECT t2m FROM REGRID(weather[{T}, longitude(-45:45), latitude(20:60)], longitude => axis(-40, 40, 5))",
     interp(first.t2m.sel(latitude=slice(60, 20)), longitude=np.arange(-40.0, 41, 5), latitude=np.arange(60.0, 19, -10)))
case("computed from", f"SELECT t2m * 2 + tp AS v FROM {REGRID % 'bilinear'} WHERE latitude > 0",
     (interp(first.t2m, latitude=lat, longitude=lon) * 2 + interp(first.tp, latitude=lat, longitude=lon)).sel(latitude=lat[lat > 0]), tolerance=1e-5)
case("reduced", f"SELECT avg(t2m) AS v FROM {REGRID % 'bilinear'} GROUP BY DIMS EXCEPT (longitude)",
     interp(first.t2m, latitude=lat, longitude=lon).mean("longitude"), order="ORDER BY time, latitude DESC")
case("twice", f"SELECT t2m FROM REGRID({REGRID % 'bilinear'}, latitude => axis(66, 0, -5.5))",
     ruled(interp(first.t2m, latitude=lat, longitude=lon), latitude=np.arange(66.0, -1, -5.5)))


# Cubic convolution, all targets at halves and quarters: a correlation with the weights at that part of the way.
def keys(t, a=-0.5):
    d = np.abs(np.array([1 + t, t, 1 - t, 2 - t]))
    return np.where(d <= 1, (a + 2) * d**3 - (a + 3) * d**2 + 1, a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a)


linear = interp(first.t2m, longitude=[18.75, 22.5, 348.75, 352.5], latitude=first.latitude.values).values
smooth = np.stack([correlate1d(first.t2m.values, keys(t), axis=2, mode="wrap", origin=-1) for t in (0.25, 0.5)], -1)[:, :, [1, 23], :]
smooth = smooth.reshape(linear.shape)
smooth = np.where(np.isnan(smooth), linear, smooth)
case("cubic along the globe", f"SELECT t2m FROM REGRID(weather[{T}], longitude => axis(3.75, 352.5, 3.75), method => 'cubic')[longitude(IN (18.75, 22.5, 348.75, 352.5))]",
     smooth)


# Means by overlap.
def edges(centres, low=-np.inf, high=np.inf):
    inner = (centres[1:] + centres[:-1]) / 2
    return np.clip(np.r_[2 * centres[0] - inner[0], inner, 2 * centres[-1] - inner[-1]], low, high)


def overlap(source, target, measure):
    s, t = np.sort(source), np.sort(target)
    share = np.clip(measure(np.minimum(s[None, 1:], t[1:, None])) - measure(np.maximum(s[None, :-1], t[:-1, None])), 0, None)
    share = np.where((np.minimum(s[None, 1:], t[1:, None]) > np.maximum(s[None, :-1], t[:-1, None])), share, 0)
    return share / share.sum(1, keepdims=True)


def mean(sum_of, *parts):
    """Of the cells that there are."""
    over = lambda of: np.einsum(sum_of, *[of(p) if p.ndim == 3 else p for p in parts])
    return over(np.nan_to_num) / over(lambda p: (~np.isnan(p)).astype("f8"))


tlat, tlon = np.arange(-75.0, 76, 30), np.arange(20.0, 341, 40)
source_lat = edges(first.latitude.values.astype("f8")[::-1], -90, 90)
source_lon = np.r_[edges(first.longitude.values.astype("f8")), 367.5]
wrapped = np.concatenate([first.t2m.values, first.t2m.values[:, :, :1]], 2)[:, ::-1]
for method, measure in [("average", lambda x: x), ("conservative", lambda x: np.sin(np.radians(x)))]:
    wy, wx = overlap(source_lat, edges(tlat, -90, 90), measure), overlap(source_lon, edges(tlon), lambda x: x)
    case(method, f"SELECT t2m FROM REGRID(weather[{T}], latitude => axis(-75, 75, 30), longitude => axis(20, 340, 40), method => '{method}')",
         mean("ya,tab,xb->tyx", wy, wrapped, wx), order="ORDER BY time, latitude, longitude")
areas = np.diff(np.sin(np.radians(source_lat)))
case("one cell for the globe", f"SELECT t2m FROM REGRID(weather[{T}], latitude => axis(0, 0, 180), longitude => axis(180, 180, 360), method => 'conservative')",
     mean("tyx,y->t", first.t2m.values[:, ::-1], areas), order="ORDER BY time")

# WARP, against GDAL's exact transformer. XSCALE and YSCALE keep GDAL from widening its kernels where the target is coarser: WARP
# interpolates between cells, and averages are another method. GDAL sees no seam: a globe gets columns of its other side.
def field(rows, columns):
    y, x = np.mgrid[:rows, :columns]
    return 2000 + 3 * y - 5 * x + 60 * np.sin(x / 9) * np.cos(y / 7)


def tiff(name, data, crs, transform, nodata=None):
    with rasterio.open(os.path.join(HERE, name), "w", driver="GTiff", height=data.shape[0], width=data.shape[1], count=1, dtype=data.dtype,
                       crs=crs, transform=transform, nodata=nodata, compress="deflate", tiled=True, blockxsize=32, blockysize=32) as t:
        t.write(data, 1)
    return name


def around(data, transform, by=8):
    """A globe and some columns of its other side on either side."""
    return np.concatenate([data[..., -by:], data, data[..., :by]], -1), transform * Affine.translation(-by, 0)


def warped(name, crs, bounds, side, method):
    with rasterio.open(os.path.join(HERE, name)) as t:
        data, transform = t.read(1).astype("f8"), t.transform
        data[data == (t.nodata if t.nodata is not None else -1e30)] = np.nan
        if name == "globe.tif":
            data, transform = around(data, transform)
        return gdal(data, transform, t.crs, crs, bounds, side, method)


def gdal(data, transform, source, crs, bounds, side, method):
    w, s, e, n = bounds
    rows, columns = int(np.ceil((n - s) / side - 1e-6)), int(np.ceil((e - w) / side - 1e-6))
    scale = dict(XSCALE="1", YSCALE="1") if method != "average" else {}
    # A warped VRT, because reproject() knows no tolerance: it is right to an eighth of a cell only.
    profile = dict(driver="GTiff", height=data.shape[0], width=data.shape[1], count=1, dtype="float64", crs=source, transform=transform, nodata=np.nan)
    with MemoryFile() as memory, memory.open(**profile) as file:
        file.write(data, 1)
        file.close()
        with memory.open() as file, WarpedVRT(file, crs=crs, resampling=Resampling[method], tolerance=1e-9, src_nodata=np.nan, nodata=np.nan, width=columns,
                                              height=rows, transform=from_origin(w, n, side, side), **scale) as vrt:
            return vrt.read(1)


def covered(name, crs, bounds, side):
    """Means over the quadrilaterals between the corners of the target's cells, in the source's grid (pyproj, shapely)."""
    w, s, e, n = bounds
    with rasterio.open(os.path.join(HERE, name)) as t:
        data, inverse, source = t.read(1).astype("f8"), ~t.transform, t.crs
        data[data == t.nodata] = np.nan
    y, x = np.mgrid[n:s - 1:-side, w:e + 1:side]
    columns, rows = inverse * Transformer.from_crs(crs, source, always_xy=True).transform(x, y)
    out = np.full((len(y) - 1, len(x[0]) - 1), np.nan)
    for i, j in np.ndindex(*out.shape):
        quad = Polygon([(columns[a, b], rows[a, b]) for a, b in ((i, j), (i, j + 1), (i + 1, j + 1), (i + 1, j))])
        x0, y0, x1, y1 = (int(np.floor(v)) for v in quad.bounds)
        cells = [(r, c) for r in range(max(y0, 0), min(y1 + 1, len(data))) for c in range(max(x0, 0), min(x1 + 1, len(data[0]))) if not np.isnan(data[r, c])]
        parts = [quad.intersection(square(c, r, c + 1, r + 1)).area for r, c in cells]
        if sum(parts) > 1e-9:
            out[i, j] = sum(p * data[rc] for p, rc in zip(parts, cells)) / sum(parts)
    return out


def call(cube, crs, side, method, bounds):
    return f"WARP({cube}, crs => '{crs}', resolution => {side}, method => '{method}', bounds => [{', '.join(map(str, bounds))}])"


def warp_case(label, name, crs, side, method, bounds, tolerance=1e-5, **more):
    values = warped(name, crs, bounds, side, method)
    case(label, f"SELECT band_1 AS v FROM {call(name[:-4], crs, side, method, bounds)}", values, order="ORDER BY y DESC, x", tolerance=tolerance, digits=3, **more)


holes = field(70, 60).round()
holes[20:24, 30:41] = 0
holes[50, 10] = 0
utm = tiff("utm.tif", holes.astype("u2"), "EPSG:32632", from_origin(600_000, 5_400_000, 100, 100), 0)
# Beside it and over a part of it, in the next zone.
zone = tiff("zone.tif", (field(50, 50) + 7000).round().astype("u2"), "EPSG:32633", from_origin(163_000, 5_408_000, 100, 100), 0)
north = tiff("north.tif", field(60, 60).astype("f4"), "EPSG:3413", from_origin(-1_500_000, 1_500_000, 50_000, 50_000))
globe = tiff("globe.tif", field(36, 72).astype("f4"), "EPSG:4326", from_origin(-180, 90, 5, 5))
box = (10.35, 48.68, 10.47, 48.76)
for method in ["nearest", "bilinear", "cubic"]:
    warp_case(f"UTM to degrees, {method}", utm, "EPSG:4326", 0.0031, method, box)
warp_case("finer cells, cubic", utm, "EPSG:4326", 0.0004, "cubic", (10.39, 48.72, 10.402, 48.73))
warp_case("UTM to LAEA, bilinear", utm, "EPSG:3035", 310, "bilinear", (4345000, 2844000, 4352000, 2851000))
warp_case("degrees to web Mercator, bilinear", globe, "EPSG:3857", 1300000, "bilinear", (-20037508, -15000000, 20037508, 15000000))
warp_case("degrees to feet, bilinear", globe, "EPSG:2229", 500000, "bilinear", (2e6, 0, 9e6, 5e6))
warp_case("across the antimeridian, bilinear", globe, "EPSG:32601", 50000, "bilinear", (0, -600000, 1000000, 600000))
warp_case("polar to degrees, bilinear", north, "EPSG:4326", 5, "bilinear", (-80, 60, -20, 90))
warp_case("around the pole, cubic", globe, "EPSG:3413", 400000, "cubic", (-4000000, -4000000, 4000000, 4000000))
warp_case("degrees to Mercator, average", globe, "+proj=merc +lon_0=0 +datum=WGS84 +units=m", 3000000, "average", (-18000000, -12000000, 18000000, 12000000))
box31 = (1_040_800, 5_418_000, 1_047_800, 5_426_400)
case("turned grids, average", f"SELECT band_1 AS v FROM {call('utm', 'EPSG:32631', 700, 'average', box31)}", covered(utm, "EPSG:32631", box31, 700),
     order="ORDER BY y DESC, x", tolerance=1e-5, digits=3)
both = [warped(name, "EPSG:4326", box, 0.0031, "bilinear") for name in (utm, zone)]
case("two zones on one grid", f"SELECT coalesce(a.band_1, b.band_1) AS v FROM {call('utm', 'EPSG:4326', 0.0031, 'bilinear', box)} a "
     f"JOIN {call('zone', 'EPSG:4326', 0.0031, 'bilinear', box)} b USING DIMS", np.where(np.isnan(both[0]), both[1], both[0]), order="ORDER BY y DESC, x", tolerance=1e-5, digits=3)
# Several times, missing cells, longitudes from 0 to 360.
bounds, side = (-1_000_000, 1_000_000, 7_000_000, 6_000_000), 500_000
maps, placed = around(first.t2m.values.astype("f8"), from_origin(-7.5, 95, 15, 10))
maps = [gdal(m, placed, "EPSG:4326", "EPSG:3035", bounds, side, "bilinear") for m in maps]
case("times and missing cells", f"SELECT t2m FROM {call(f'weather[{T}]', 'EPSG:3035', side, 'bilinear', bounds)}", maps, order="ORDER BY time, latitude DESC, longitude", tolerance=1e-5, digits=3)
case("reduced after WARP", f"SELECT avg(t2m) AS v FROM {call(f'weather[{T}]', 'EPSG:3035', side, 'bilinear', bounds)} GROUP BY DIMS EXCEPT (time)",
     np.nanmean(maps, 0), order="ORDER BY latitude DESC, longitude", tolerance=1e-5, digits=3)

# Overviews: values that only they have (means of random cells), read by rasterio level by level.
rng = np.random.default_rng(1)
with rasterio.open(os.path.join(HERE, "pyramid.tif"), "w", driver="GTiff", height=90, width=100, count=2, dtype="uint8", crs="EPSG:32632", nodata=0,
                   transform=from_origin(500_000, 5_000_000, 10, 10), compress="deflate", tiled=True, blockxsize=32, blockysize=32) as t:
    t.write((rng.integers(0, 8, (2, 90, 100)) * 30).astype("u1"))
with rasterio.open(os.path.join(HERE, "pyramid.tif"), "r+") as t:
    t.build_overviews([2, 4], Resampling.average)
for factor, level in [(1.5, None), (2, 0), (3.9, 0), (4, 1), (9, 1)]:
    side = 10 * factor
    with rasterio.open(os.path.join(HERE, "pyramid.tif"), **({} if level is None else {"OVERVIEW_LEVEL": level})) as t:
        data, transform, (high, wide) = t.read(2).astype("f8"), t.transform, t.shape
        data[data == 0] = np.nan
        y, x = 5_000_000 - side * (np.arange(min(int(900 / side), 20)) + 0.5) - 0.1, 500_000 + side * (np.arange(min(int(1000 / side), 20)) + 0.5) + 0.1
        rows, columns = np.floor((5_000_000 - y) * high / 900).astype(int), np.floor((x - 500_000) * wide / 1000).astype(int)
        axes = f"y => axis({y[0]}, {y[-1]}, {-side}), x => axis({x[0]}, {x[-1]}, {side})"
        case(f"nearest of overviews, cells of {side}", f"SELECT band_2 AS v FROM REGRID(pyramid, {axes}, method => 'nearest') USING OVERVIEWS",
             data[np.ix_(rows, columns)], order="ORDER BY y DESC, x", digits=0, explains="overview=none as fine" if level is None else f"overview={level + 1} of 2")

cubes = {"weather": {"files": "cubes/weather_*.nc"}, **{name: {"files": f"grids/{name}.tif"} for name in ("utm", "zone", "north", "globe", "pyramid")}}
truth = {"cubes": cubes, "cases": cases}
json.dump(truth, open(os.path.join(HERE, "truth.json"), "w"), separators=(",", ":"))
print(len(cases), "cases,", os.path.getsize(os.path.join(HERE, "truth.json")), "bytes")
