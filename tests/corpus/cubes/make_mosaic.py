#!/usr/bin/env python3
"""Makes cubes of many files that differ in everything but their grid, and the truth about them by xarray and rasterio.

    python make_mosaic.py          # needs numpy, netCDF4, xarray, rasterio; rewrites mosaic/ and mosaic.json beside it

mosaic/tile_T_YX.nc: one variable over 3 times and 2 x 2 tiles of a 12 x 16 grid, one tile of one time missing; every time has
its own stored type, byte order, packing, fill value, chunk shape and compression. mosaic/raster_YX.tif: tiles with a nodata
value, one of the four missing, one beside a gap. mosaic/over_N.tif: tiles that overlap. mosaic/zone_33.tif: another UTM zone,
mosaic/shifted.tif: a third of a cell off.
"""
import json
from pathlib import Path

import netCDF4
import numpy as np
import rasterio
import rasterio.merge
import xarray as xr
from rasterio.transform import from_origin

HERE = Path(__file__).resolve().parent
OUT = HERE / "mosaic"
RNG = np.random.default_rng(7)
LAT, LON = 50 - 0.5 * np.arange(12), 0.25 * np.arange(16) - 1


def netcdf_tile(t, y, x, values):
    stored, endian, scale, fill, chunks, level = [
        ("i2", "little", 0.01, -32768, (1, 4, 3), 4),
        ("f8", "big", None, -9999.0, (1, 6, 8), 0),
        ("i4", "little", 0.001, 2147483647, (1, 5, 5), 9),
    ][t]
    with netCDF4.Dataset(OUT / f"tile_{t}_{y}{x}.nc", "w") as nc:
        for name, n in (("time", None), ("lat", 6), ("lon", 8)):
            nc.createDimension(name, n)
        time = nc.createVariable("time", "f8", ("time",))
        time.units = ["days since 2020-01-01", "hours since 2020-01-01", "seconds since 2020-01-01 00:00:00"][t]
        time[:] = [t * [1, 24, 86400][t]]
        for name, all_values, units in (("lat", LAT[6 * y :], "degrees_north"), ("lon", LON[8 * x :], "degrees_east")):
            axis = nc.createVariable(name, "f8", (name,))
            axis.units, axis.standard_name = units, {"lat": "latitude", "lon": "longitude"}[name]
            axis[:] = all_values[: {"lat": 6, "lon": 8}[name]]
        v = nc.createVariable("t2m", stored, ("time", "lat", "lon"), fill_value=fill, endian=endian, chunksizes=chunks,
                              compression="zlib" if level else None, complevel=level, shuffle=bool(level))
        v.units, v.comment = "degC", f"time {t}"
        if scale:
            v.scale_factor = scale
        v[:] = np.ma.masked_invalid(values[None])


def raster(name, values, x0, y0, crs="EPSG:32632", nodata=0):
    profile = {"driver": "GTiff", "width": values.shape[1], "height": values.shape[0], "count": 1, "dtype": values.dtype,
               "crs": crs, "transform": from_origin(x0, y0, 10, 10), "nodata": nodata, "compress": "deflate"}
    with rasterio.open(OUT / name, "w", **profile) as file:
        file.write(values, 1)


def summary(values):
    values = np.asarray(values, "f8")
    known = values[~np.isnan(values)]
    return {"cells": values.size, "count": known.size, "sum": float(known.sum())}


def main():
    OUT.mkdir(exist_ok=True)
    for old in OUT.iterdir():
        old.unlink()
    field = np.round(10 + 5 * np.sin(LAT)[None, :, None] + RNG.normal(0, 3, (3, 12, 16)), 2)
    field[RNG.random(field.shape) < 0.05] = np.nan
    for t in range(3):
        for y in range(2):
            for x in range(2):
                if (t, y, x) != (1, 0, 1):
                    netcdf_tile(t, y, x, field[t, 6 * y : 6 * y + 6, 8 * x : 8 * x + 8])
    tiles = [xr.open_dataset(file) for file in sorted(OUT.glob("tile_*.nc"))]
    whole = xr.merge([tile[["t2m"]].astype("f8") for tile in tiles], join="outer", compat="no_conflicts").sortby("lat", ascending=False)
    t2m = whole.t2m
    assert t2m.shape == (3, 12, 16)
    truth = {
        "tiles": summary(t2m),
        "tiles point": summary(t2m.sel(lat=47, lon=1.25)),
        "tiles box": summary(t2m.sel(lat=slice(48.5, 45.5), lon=slice(0, 2))),
        "tiles time mean": summary(t2m.mean("time")),
        "tiles space max": summary(t2m.max(("lat", "lon"))),
    }
    for y, x, n in ((0, 0, 8), (0, 1, 8), (1, 0, 8), (0, 3, 5)):
        raster(f"raster_{y}{x}.tif", RNG.integers(0, 30, (8, n)).astype("u2"), 500_000 + 80 * x, 5_000_000 - 80 * y)
    merged, _ = rasterio.merge.merge(sorted(OUT.glob("raster_*.tif")))
    merged = np.where(merged[0] == 0, np.nan, merged[0])
    truth["raster"] = summary(merged)
    truth["raster rows"] = summary(np.nanmean(np.where(np.isnan(merged), np.nan, merged), axis=1))
    for n, (x0, y0) in enumerate(((0, 0), (50, 20), (-30, 40))):
        raster(f"over_{n}.tif", RNG.integers(1, 200, (9, 10)).astype("u1"), 600_000 + x0, 4_000_000 + y0)
    over = sorted(OUT.glob("over_*.tif"))
    for method, order in (("first", over), ("newest", over[::-1])):
        merged, _ = rasterio.merge.merge(order, method="first")
        truth[f"over {method}"] = summary(np.where(merged[0] == 0, np.nan, merged[0]))
    raster("zone_33.tif", np.ones((8, 8), "u2"), 500_000, 5_000_000, crs="EPSG:32633")
    raster("shifted.tif", np.ones((8, 8), "u2"), 500_080 + 10 / 3, 5_000_000)
    (HERE / "mosaic.json").write_text(json.dumps(truth, indent=1) + "\n")


main()
