#!/usr/bin/env python3
"""Makes the small cubes that the black-box tests query, and the truth about them by xarray.

    python make.py          # needs numpy, netCDF4, xarray, pandas, scipy; rewrites *.nc and truth.json beside it
    python make.py truth    # truth.json only

weather_2020MM.nc (three files, one cube `weather`): six-hourly t2m (int16 packed, with missing cells), tp (float32, with
NaN), lsm (latitude, longitude; int8), over time, a falling latitude and a 0..360 longitude. Chunks do not divide the
shapes, and the files' chunks differ, so that every kind of edge is met.
"""
import json
import sys
from pathlib import Path

import netCDF4
import numpy as np
import pandas as pd
import xarray as xr
from scipy import ndimage

HERE = Path(__file__).resolve().parent
RNG = np.random.default_rng(20200101)
LAT = np.linspace(90, -90, 19).astype("f4")
LON = (np.arange(24) * 15).astype("f4")
MONTHS = [("202001", 31, (7, 5, 9)), ("202002", 29, (10, 19, 24)), ("202003", 31, (1, 8, 8))]


def write(name, first_hour, days, chunk):
    n = days * 4
    hours = first_hour + 6 * np.arange(n)
    season = 15 * np.cos(2 * np.pi * (hours / 24 - 15) / 366)[:, None, None] * -np.sin(np.deg2rad(LAT))[None, :, None]
    day = 5 * np.cos(2 * np.pi * ((hours[:, None] + LON[None, :] / 15) - 14) / 24)[:, None, :]
    t = 288 - 40 * np.sin(np.deg2rad(LAT))[None, :, None] ** 2 + season + day + RNG.normal(0, 2, (n, 19, 24))
    packed = np.rint((t - 260) / 0.01).astype("i2")
    packed[RNG.random(packed.shape) < 0.03] = -32767
    rain = np.maximum(RNG.gamma(0.3, 0.004, packed.shape) - 0.001, 0).astype("f4")
    rain[RNG.random(packed.shape) < 0.02] = np.nan
    with netCDF4.Dataset(HERE / name, "w") as nc:
        nc.title = "Made by tests/corpus/cubes/make.py"
        nc.createDimension("time", None), nc.createDimension("latitude", 19), nc.createDimension("longitude", 24)
        v = nc.createVariable("time", "i4", ("time",))
        v.units, v.calendar, v.standard_name = "hours since 2020-01-01 00:00:00", "standard", "time"
        v[:] = hours
        for dim, values, units, standard in (("latitude", LAT, "degrees_north", "latitude"), ("longitude", LON, "degrees_east", "longitude")):
            v = nc.createVariable(dim, "f4", (dim,))
            v.units, v.standard_name = units, standard
            v[:] = values
        v = nc.createVariable("t2m", "i2", ("time", "latitude", "longitude"), zlib=True, shuffle=True, chunksizes=chunk, fill_value=-32767)
        v.set_auto_maskandscale(False)
        v.scale_factor, v.add_offset, v.units, v.long_name = 0.01, 260.0, "K", "2 metre temperature"
        v[:] = packed
        v = nc.createVariable("tp", "f4", ("time", "latitude", "longitude"), zlib=True, fletcher32=True, chunksizes=chunk)
        v.units = "m"
        v[:] = rain
        v = nc.createVariable("lsm", "i1", ("latitude", "longitude"))
        v.long_name = "land mask"
        v[:] = (np.add.outer(np.arange(19), np.arange(24)) % 3 == 0).astype("i1")


def stats(a):
    a = np.asarray(a, "f8").ravel()
    ok = a[~np.isnan(a)]
    return {"cells": int(a.size), "count": int(ok.size), "sum": float(ok.sum()), "first": None if np.isnan(a[0]) else float(a[0])}


def mode(a):
    values, counts = np.unique(a[~np.isnan(a)], return_counts=True)
    return values[counts == counts.max()].min() if values.size else np.nan


def slope(t):
    """Kelvin an hour, of each cell."""
    hours = (t.time - t.time[0]) / np.timedelta64(1, "h")
    x, y = hours.where(t.notnull()), t
    return ((x - x.mean("time")) * (y - y.mean("time"))).sum("time") / ((x - x.mean("time")) ** 2).sum("time")


def focal(t, weights, modes=("constant", "constant")):
    """Sums of weighted neighbours along latitude and longitude, and how many neighbours are not missing; one mode an axis."""
    v, n = np.nan_to_num(t.values), t.notnull().values.astype("f8")
    ones = np.ones(weights.shape)
    pad = [(w // 2, w // 2) for w in weights.shape]
    how = {"constant": "constant", "nearest": "edge", "wrap": "wrap"}

    def grown(a):
        for axis, (width, mode) in enumerate(zip(pad, modes), 1):
            a = np.pad(a, [width if i == axis else (0, 0) for i in range(3)], how[mode])
        return a

    inner = (slice(None),) + tuple(slice(lo, -hi or None) for lo, hi in pad)
    sums = np.stack([ndimage.convolve(x, weights, mode="constant") for x in grown(v)])[inner]
    counts = np.stack([ndimage.convolve(x, ones, mode="constant") for x in grown(n)])[inner]
    return sums, np.rint(counts)


def windows(ds):
    """Windows, neighbourhoods, and aggregates along axes, by xarray, pandas and scipy."""
    t, tp = ds.t2m.astype("f8"), ds.tp.astype("f8")
    flat = pd.DataFrame(t.values.reshape(len(t.time), -1), index=t.time.values)
    square, few = np.ones((3, 3)), t.isel(time=slice(0, 24))
    s, n = focal(few, square)
    clamped, clamped_n = focal(few, square, ("nearest", "nearest"))
    wrapped, wrapped_n = focal(few, np.ones((1, 5)), ("constant", "wrap"))
    with np.errstate(all="ignore"):
        inside = np.where(n > 0, s / n, np.nan)
        edged = inside.copy()
        edged[:, [0, -1]], edged[:, :, [0, -1]] = np.nan, np.nan
        clamped, wrapped = clamped / clamped_n, wrapped / wrapped_n
    kernel = np.array([[1.0, 2, 0], [0, -4, 3], [0.5, 0, 1]])
    weighted, weighted_n = focal(few, kernel)
    highest = ndimage.maximum_filter(few.fillna(-np.inf).values, size=(1, 5, 3), mode="constant", cval=-np.inf)
    seen = tp.notnull().cumsum("time") > 0
    return {
        "anomaly": t.groupby("time.month") - t.groupby("time.month").mean(),
        "along longitude": t.max("longitude").broadcast_like(t),
        "rolling mean": t.rolling(time=7, min_periods=1).mean(),
        "rolling deviation": t.rolling(time=9, min_periods=1).std(ddof=1),
        "three days around": flat.rolling("6D", center=True, closed="both", min_periods=1).mean(),
        "running sum": tp.cumsum("time").where(seen),
        "focal mean": inside,
        "focal mean, edges missing": edged,
        "focal mean, edges repeated": clamped,
        "focal mean, around the globe": wrapped,
        "focal maximum": np.where(np.isfinite(highest), highest, np.nan),
        "weighted neighbours": np.where(weighted_n > 0, weighted, np.nan),
    }


def main():
    hour = 0
    for stamp, days, chunk in MONTHS if "truth" not in sys.argv else ():
        write(f"weather_{stamp}.nc", hour, days, chunk)
        hour += days * 24
    ds = xr.open_mfdataset(sorted(HERE.glob("weather_*.nc")), data_vars="minimal", coords="minimal", compat="override").load()
    t, tp = ds.t2m.astype("f8"), ds.tp.astype("f8")
    truth = {
        "point": stats(t.sel(latitude=50, longitude=15)),
        "box": stats(t.sel(time="2020-02-10T12", latitude=slice(60, 30), longitude=slice(0, 45))),
        "across the seam": stats(xr.concat([t.sel(longitude=[330, 345]), t.sel(longitude=[0, 15])], "longitude").isel(time=3)),
        "february": stats(t.sel(time="2020-02")),
        "time mean": stats(t.mean("time")),
        "daily max": stats(t.resample(time="1D").max()),
        "monthly mean": stats(t.groupby("time.month").mean()),
        "latitude mean": stats(t.mean(("time", "longitude"))),
        "hot and dry": stats(((t > 290) & (tp < 1e-4)).sum("time")),
        "standard deviation": stats(t.std("time", ddof=1)),
        "january and march": stats(t.sel(time=t.time.dt.month.isin([1, 3])).max(("latitude", "longitude"))),
        "land only": stats(t.where(ds.lsm == 1).mean(("latitude", "longitude"))),
        "every sixth": stats(t.isel(time=slice(0, 24, 6))),
        "weighted mean": stats(t.weighted(np.cos(np.deg2rad(ds.latitude.astype("f8")))).mean(("latitude", "longitude"))),
        "weighted sum": stats(t.weighted(np.cos(np.deg2rad(ds.latitude.astype("f8")))).sum("latitude")),
        "time median": stats(t.median("time")),
        "median of a band": stats(t.groupby(np.floor(ds.latitude / 30).rename("band")).median(...)),
        "time quantile": stats(t.quantile(0.9, "time")),
        "monthly quantile": stats(t.groupby("time.month").quantile(0.05)),
        "mode of counts": stats(xr.apply_ufunc(mode, np.floor(t / 5), input_core_dims=[["time"]], vectorize=True)),
        "hour of the maximum": stats(((t.idxmax("time") - ds.time[0]) / np.timedelta64(1, "h")).where(t.count("time") > 0)),
        "hour of the minimum": stats(((t.idxmin("time") - ds.time[0]) / np.timedelta64(1, "h")).where(t.count("time") > 0)),
        "correlation": stats(xr.corr(t, tp.where(t.notnull()), "time")),
        "covariance": stats(xr.cov(t, tp, "time")),
        "slope": stats(slope(t)),
        "coarse": stats(t.coarsen(latitude=4, longitude=5, boundary="pad").mean()),
        "coarse from 60": stats(t.sel(latitude=slice(60, -90)).coarsen(latitude=4, boundary="pad").mean().mean(("time", "longitude"))),
        "histogram": stats(np.histogram(t.values[~np.isnan(t.values)], 12, (240.0, 300.0))[0]),
        "bands": stats(t.groupby(xr.DataArray(np.digitize(ds.latitude, np.linspace(-90, 90, 7)), dims="latitude", name="band")).mean(...)),
        "first and last": stats(tp.isel(time=-1) - tp.isel(time=0)),
        "land and sea": stats(t.groupby(ds.lsm).mean(...)),
        "land and sea by month": stats(np.concatenate([g.groupby(ds.lsm).mean(...).values for _, g in t.groupby("time.month")])),
        "different values": stats(xr.apply_ufunc(lambda a: np.unique(a[~np.isnan(a)]).size, np.floor(t / 5), input_core_dims=[["time"]], vectorize=True)),
    }
    truth |= {name: stats(a) for name, a in windows(ds).items()}
    (HERE / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")


if __name__ == "__main__":
    main()
