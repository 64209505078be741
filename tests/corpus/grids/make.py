"""Truth for REGRID and WARP: truth.json, from the files of ../cubes and those made here.

xarray.interp is the truth for linear and nearest, scipy for cubic convolution (weights of Keys with a = -0.5 as a correlation),
numpy's matrices of overlap for means, rasterio for WARP.  Run: python make.py
"""
import glob
import json
import os

import numpy as np
import rasterio
import xarray as xr
from rasterio.transform import from_origin
from rasterio.warp import Resampling, reproject
from scipy.ndimage import correlate1d

HERE = os.path.dirname(os.path.abspath(__file__))
weather = xr.concat([xr.open_dataset(f) for f in sorted(glob.glob(os.path.join(HERE, "../cubes/weather_*.nc")))], "time", data_vars="minimal")
first = weather.isel(time=slice(0, 2))
T = "time('2020-01-01T00:00':'2020-01-01T06:00')"
ORDER = "ORDER BY time, latitude DESC, longitude"
cases = []


def case(name, sql, values, order=ORDER, tolerance=1e-6, **more):
    values = [None if np.isnan(v) else round(float(v), 4) for v in np.asarray(values, "f8").ravel()]
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


lat, lon = np.arange(88.0, -90, -11), np.arange(-20.0, 351, 7.5)
REGRID = f"REGRID(weather[{T}], latitude => axis(88, -90, -11), longitude => axis(-20, 350, 7.5), method => '%s')"
case("bilinear", f"SELECT t2m FROM {REGRID % 'bilinear'}", interp(first.t2m, latitude=lat, longitude=lon))
case("bilinear of single precision", f"SELECT tp * 100000 AS v FROM {REGRID % 'bilinear'}", interp(first.tp, latitude=lat, longitude=lon) * 1e5, tolerance=6e-5)
# No target halfway between cells, which either may have.
near, near_lat = np.arange(-20.0, 350.1, 7.4), 88 - 11.1 * np.arange(17)
case("nearest", f"SELECT t2m FROM REGRID(weather[{T}], latitude => axis(88, -90, -11.1), longitude => axis(-20, 350, 7.4), method => 'nearest')",
     interp(first.t2m, "nearest", latitude=near_lat, longitude=near))
case("nearest of integers", f"SELECT lsm * 1 AS v FROM REGRID(weather[{T}], latitude => axis(88, -90, -11.1), longitude => axis(-20, 350, 7.4), method => 'nearest')",
     interp(first.lsm.broadcast_like(first.t2m).astype("f8"), "nearest", latitude=near_lat, longitude=near))
case("along one axis", f"SELECT t2m FROM REGRID(weather[{T}], latitude => axis(90, -90, -5))", ruled(first.t2m, latitude=np.arange(90.0, -91, -5)))
hours = np.arange("2020-01-01T00", "2020-01-01T13", 4, dtype="M8[h]").astype("M8[ns]")
case("along time", "SELECT t2m FROM REGRID(weather, time => axis('2020-01-01', '2020-01-01T12:00', INTERVAL '4 hours'))",
     ruled(weather.t2m.isel(time=slice(0, 4)), time=hours))
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

# WARP, against GDAL's exact transformer. The fields are smooth, so that a twentieth of a cell moves them little.
def field(rows, columns):
    y, x = np.mgrid[:rows, :columns]
    return 2000 + 3 * y - 5 * x + 60 * np.sin(x / 9) * np.cos(y / 7)


def tiff(name, data, crs, transform, nodata=None):
    with rasterio.open(os.path.join(HERE, name), "w", driver="GTiff", height=data.shape[0], width=data.shape[1], count=1, dtype=data.dtype,
                       crs=crs, transform=transform, nodata=nodata, compress="deflate", tiled=True, blockxsize=32, blockysize=32) as t:
        t.write(data, 1)
    return name


def warped(name, crs, bounds, side, method):
    w, s, e, n = bounds
    rows, columns = int(np.ceil((n - s) / side - 1e-6)), int(np.ceil((e - w) / side - 1e-6))
    out = np.full((rows, columns), np.nan, "f8")
    with rasterio.open(os.path.join(HERE, name)) as t:
        data = t.read(1).astype("f8")
        data[data == (t.nodata if t.nodata is not None else -1e30)] = np.nan
        reproject(data, out, src_transform=t.transform, src_crs=t.crs, dst_transform=from_origin(w, n, side, side), dst_crs=crs,
                  resampling=Resampling[method], src_nodata=np.nan, dst_nodata=np.nan, tolerance=0)
    return out


def warp_case(label, cube, name, crs, side, method, bounds, **more):
    values = warped(name, crs, bounds, side, method)
    sql = f"SELECT {more.pop('band', 'band_1')} AS v FROM WARP({cube}, crs => '{crs}', resolution => {side}, method => '{method}', bounds => [{', '.join(map(str, bounds))}])"
    case(label, sql, values, order="ORDER BY y DESC, x", **more)


holes = field(70, 60).round()
holes[20:24, 30:41] = 0
holes[50, 10] = 0
utm = tiff("utm.tif", holes.astype("u2"), "EPSG:32632", from_origin(600_000, 5_400_000, 100, 100), 0)
north = tiff("north.tif", field(60, 60).astype("f4"), "EPSG:3413", from_origin(-1_500_000, 1_500_000, 50_000, 50_000))
globe = tiff("globe.tif", field(36, 72).astype("f4"), "EPSG:4326", from_origin(-180, 90, 5, 5))
box = (10.35, 48.68, 10.47, 48.76)
for method, tolerance in [("nearest", 1e-9), ("bilinear", 2e-4), ("cubic", 2e-4)]:
    warp_case(f"UTM to degrees, {method}", "utm", utm, "EPSG:4326", 0.002, method, box, tolerance=tolerance, may_differ=4)
warp_case("UTM to LAEA, bilinear", "utm", utm, "EPSG:3035", 150, "bilinear", (4345000, 2844000, 4352000, 2851000), tolerance=2e-4, may_differ=4)
warp_case("degrees to web Mercator, bilinear", "globe", globe, "EPSG:3857", 1000000, "bilinear", (-15000000, -15000000, 15000000, 15000000), tolerance=2e-4)
warp_case("polar to degrees, bilinear", "north", north, "EPSG:4326", 5, "bilinear", (-80, 60, -20, 90), tolerance=2e-3, may_differ=2)
warp_case("around the pole, cubic", "globe", globe, "EPSG:3413", 400000, "cubic", (-4000000, -4000000, 4000000, 4000000), tolerance=2e-3, may_differ=24)

cubes = {"weather": {"files": "cubes/weather_*.nc"}, **{name: {"files": f"grids/{name}.tif"} for name in ("utm", "north", "globe")}}
truth = {"cubes": cubes, "cases": cases}
json.dump(truth, open(os.path.join(HERE, "truth.json"), "w"), separators=(",", ":"))
print(len(cases), "cases,", os.path.getsize(os.path.join(HERE, "truth.json")), "bytes")
