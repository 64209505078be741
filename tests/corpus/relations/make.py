#!/usr/bin/env python3
"""Makes small cubes as users have them, and xarray's answers to sixty questions about them.

    python make.py            # needs numpy, netCDF4, xarray, pandas, scipy; rewrites *.nc and answers.json beside it
    python make.py answers    # answers.json only

era5.nc        six-hourly t2m (int16 packed, with missing cells) and tp (float32, with NaN) over time, lat, lon (0..350)
orography.nc   z on the same grid, its coordinates in double precision and off by rounding (1e-7 of a cell)
climate.nc     a monthly climatology of t2m: month, lat, lon
coarse.nc      every second lat and lon of the grid: a subset of the coordinates
shifted.nc     the same grid moved by a quarter of a cell
s2.nc          b04, b08 (uint16) and scl (uint8) over irregular times, y falling, x; zero is missing
dem.nc         elevation (float32) and slope class over the y, x of s2

answers.json has the questions (name, SQL) as the test asks them and, of each answer: the number of cells, how many of them are
there, their sum, the sum of their squares, and five single cells by number in C order.
"""
import json
import sys
from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr

HERE = Path(__file__).resolve().parent
RNG = np.random.default_rng(4)
LAT = np.linspace(80, -80, 9).astype("f4")
LON = (np.arange(18) * 20).astype("f4")
Y = 5300000.0 - 20 * np.arange(20)
X = 600000.0 + 20 * np.arange(24)
DAYS = np.array([0, 5, 7, 12, 20, 27, 37, 52])


def new(name, **dims):
    # Small files have the classic form: a header of HDF5 would be most of them.
    nc = netCDF4.Dataset(HERE / name, "w", format="NETCDF4" if name in ("era5.nc", "s2.nc") else "NETCDF3_CLASSIC")
    nc.Conventions = "CF-1.8"
    for dim, (values, units, standard, kind) in dims.items():
        nc.createDimension(dim, len(values))
        v = nc.createVariable(dim, kind, (dim,))
        v.units = units
        if standard:
            v.standard_name = standard
        v[:] = values
    return nc


def lat(values, kind="f4"):
    return values, "degrees_north", "latitude", kind


def lon(values, kind="f4"):
    return values, "degrees_east", "longitude", kind


def add(nc, name, dims, values, kind, chunks=None, fill=None, **attributes):
    packed = {"zlib": True, "shuffle": True, "chunksizes": chunks} if nc.data_model == "NETCDF4" else {}
    v = nc.createVariable(name, kind, dims, fill_value=fill, **packed)
    v.set_auto_maskandscale(False)
    v.setncatts(attributes)
    v[:] = values


def make():
    hours = 6 * np.arange(132)
    shape = (132, 9, 18)
    season = 10 * np.sin(2 * np.pi * hours / 24 / 30)[:, None, None]
    t = 285 - 30 * np.sin(np.deg2rad(LAT))[None, :, None] ** 2 + season + RNG.normal(0, 2, shape)
    packed = np.rint((t - 270) / 0.1).astype("i2")
    packed[RNG.random(shape) < 0.05] = -32767
    rain = np.round(np.maximum(RNG.gamma(0.4, 0.003, shape) - 0.001, 0), 3).astype("f4")
    rain[RNG.random(shape) < 0.04] = np.nan
    with new("era5.nc", time=(hours, "hours since 2020-01-01", "time", "i4"), lat=lat(LAT), lon=lon(LON)) as nc:
        dims = ("time", "lat", "lon")
        add(nc, "t2m", dims, packed, "i2", (48, 5, 7), -32767, scale_factor=0.1, add_offset=270.0, units="K")
        add(nc, "tp", dims, rain, "f4", (31, 9, 18), units="m")
    z = np.round(500 * (1 + np.sin(LAT / 9.0)[:, None] * np.cos(LON / 25.0)[None, :]), 1)
    off = lambda values, cell: values.astype("f8") + 1e-7 * cell * np.resize([1, -1, 0.5], len(values))
    with new("orography.nc", lat=lat(off(LAT, 20), "f8"), lon=lon(off(LON, 20), "f8")) as nc:
        add(nc, "z", ("lat", "lon"), z, "f8", units="m")
        add(nc, "land", ("lat", "lon"), (z > 400).astype("i1"), "i1")
    with new("climate.nc", month=(np.arange(1, 4), "1", None, "i4"), lat=lat(LAT), lon=lon(LON)) as nc:
        add(nc, "normal", ("month", "lat", "lon"), np.round(280 + RNG.normal(0, 3, (3, 9, 18)), 2), "f4", units="K")
    with new("coarse.nc", lat=lat(LAT[::2]), lon=lon(LON[1::2])) as nc:
        add(nc, "w", ("lat", "lon"), np.arange(45).reshape(5, 9).astype("f4"), "f4")
    with new("shifted.nc", lat=lat(LAT + 5), lon=lon(LON)) as nc:
        add(nc, "w", ("lat", "lon"), np.ones((9, 18)), "f4")
    with new("s2.nc", time=(DAYS, "days since 2024-06-01 10:30:00", "time", "i4"), y=(Y, "m", "projection_y_coordinate", "f8"),
             x=(X, "m", "projection_x_coordinate", "f8")) as nc:
        dims, size = ("time", "y", "x"), (8, 20, 24)
        for name, low, high in (("b04", 200, 1500), ("b08", 1200, 5000)):
            values = RNG.integers(low, high, size).astype("u2")
            values[RNG.random(size) < 0.06] = 0
            add(nc, name, dims, values, "u2", (1, 16, 16), 0)
        add(nc, "scl", dims, RNG.choice([3, 4, 5, 6, 8, 9], size).astype("u1"), "u1", (4, 20, 24))
    with new("dem.nc", y=(Y, "m", "projection_y_coordinate", "f8"), x=(X, "m", "projection_x_coordinate", "f8")) as nc:
        height = 900 + 40 * np.cos(np.arange(20) / 3.0)[:, None] + 3 * np.arange(24)[None, :] + RNG.normal(0, 4, (20, 24))
        height[RNG.random((20, 24)) < 0.04] = np.nan
        add(nc, "elevation", ("y", "x"), np.round(height, 2), "f4", (8, 8), units="m")


def open_all():
    found = {}
    for name in ("era5", "orography", "climate", "coarse", "s2", "dem"):
        with xr.open_dataset(HERE / f"{name}.nc") as data:
            found[name] = data.load()
    return found


def focal(a, name, before, after):
    """The cells around along one axis as a further axis; what is beyond the ends is missing."""
    shifted = [a.shift({name: -k}) for k in range(-before, after + 1)]
    return xr.concat(shifted, "window")


def questions():
    """(name, SQL, answer)"""
    data = open_all()
    era, oro, clim, coarse, s2, dem = (data[n].astype("f8") for n in ("era5", "orography", "climate", "coarse", "s2", "dem"))
    t, tp = era.t2m, era.tp
    oro = oro.assign_coords(lat=era.lat, lon=era.lon)
    ndvi = (s2.b08 - s2.b04) / (s2.b08 + s2.b04)
    z, land = oro.z, oro.land
    month = t.time.dt.month
    mean = t.mean("time")
    clear = s2.scl.isin([4, 5, 6])
    def near(a, names, how):
        for k, name in enumerate(names):
            a = focal(a, name, 1, 1).rename(window=f"w{k}")
        return getattr(a, how)([f"w{k}" for k in range(len(names))])
    weights = np.cos(np.deg2rad(t.lat.astype("f8")))
    day = t.time.dt.floor("D")
    by_month = t.groupby("time.month")
    w = xr.where(t.notnull(), weights, np.nan)
    lagged = t - t.shift(time=1)
    return [
        # subsets
        ("instant and box", "SELECT t2m FROM era5[time('2020-01-06T06:00'), lat(-20:40), lon(100:200)]",
         t.sel(time="2020-01-06T06:00", lat=slice(40, -20), lon=slice(100, 200))),
        ("across the seam", "SELECT t2m FROM era5[lon(-60:60), time('2020-02')]",
         t.sel(time="2020-02").isel(lon=[15, 16, 17, 0, 1, 2, 3])),
        ("every fifth", "SELECT tp FROM era5[time(INDEX 3:120:5), lat(IN (0, 20, -40))]",
         tp.isel(time=slice(3, 121, 5)).sel(lat=[20, 0, -40])),
        ("nearest", "SELECT t2m FROM era5[lat(33.1), lon(-38)]", t.sel(lat=40, lon=320)),
        ("from the end", "SELECT t2m FROM era5[time(INDEX -3), lat(INDEX -4:-2)]", t.isel(time=-3, lat=slice(-4, -1))),
        ("a week", "SELECT tp FROM era5[time('2020-01-14':'2020-01-20')]", tp.sel(time=slice("2020-01-14", "2020-01-20"))),
        ("open ends", "SELECT t2m FROM era5[lat(:0), time('2020-01-29':)]", t.sel(lat=slice(0, None), time=slice("2020-01-29", None))),
        ("a predicate", "SELECT t2m FROM era5 WHERE t2m > 290", t.where(t > 290)),
        # cell by cell
        ("celsius", "SELECT t2m - 273.15 AS v FROM era5[time('2020-01-15')]", t.sel(time="2020-01-15") - 273.15),
        ("ndvi", "SELECT (b08 - b04) / (b08 + b04) AS v FROM s2", ndvi),
        ("ndvi of clear cells", "SELECT CASE WHEN scl IN (4, 5, 6) THEN (b08 - b04) / (b08 + b04) END AS v FROM s2", ndvi.where(clear)),
        ("a class", "SELECT CASE WHEN t2m > 290 THEN 2 WHEN t2m > 280 THEN 1 ELSE 0 END AS v FROM era5[time('2020-01-02')]",
         xr.where(t > 290, 2, xr.where(t > 280, 1, 0)).sel(time="2020-01-02")),
        ("filled", "SELECT coalesce(tp, 0) AS v FROM era5", tp.fillna(0)),
        # aggregates along axes
        ("time mean", "SELECT avg(t2m) AS v FROM era5 GROUP BY DIMS EXCEPT (time)", mean),
        ("zonal maximum", "SELECT max(t2m) AS v FROM era5 GROUP BY DIMS EXCEPT (lon)", t.max("lon")),
        ("global weighted mean", "SELECT wavg(t2m, cos(radians(lat))) AS v FROM era5 GROUP BY time",
         (t * weights).sum(["lat", "lon"]) / w.sum(["lat", "lon"])),
        ("monthly mean", "SELECT avg(t2m) AS v FROM era5 GROUP BY month(time), lat, lon", by_month.mean("time")),
        ("daily sum", "SELECT sum(tp) AS v FROM era5 GROUP BY date_trunc('day', time), lat, lon",
         tp.groupby(day).sum(min_count=1)),
        ("hourly deviation", "SELECT stddev(t2m) AS v FROM era5 GROUP BY hour(time), lat", t.groupby("time.hour").std(["time", "lon"], ddof=1)),
        ("median", "SELECT median(t2m) AS v FROM era5 GROUP BY DIMS EXCEPT (time)", t.median("time")),
        ("quantile", "SELECT quantile(t2m, 0.9) AS v FROM era5 GROUP BY DIMS EXCEPT (time)", t.quantile(0.9, "time")),
        ("hot hours", "SELECT count(*) FILTER (WHERE t2m > 290) AS v FROM era5 GROUP BY lat, lon", (t > 290).sum("time")),
        ("composite", "SELECT max((b08 - b04) / (b08 + b04)) FILTER (WHERE scl IN (4, 5, 6)) AS v FROM s2 GROUP BY DIMS EXCEPT (time)",
         ndvi.where(clear).max("time")),
        ("coarse elevation", "SELECT avg(elevation) AS v FROM dem GROUP BY coarsen(y, 4), coarsen(x, 4)", dem.elevation.coarsen(y=4, x=4).mean()),
        ("at least 126", "SELECT avg(t2m) AS v FROM era5 GROUP BY DIMS EXCEPT (time) HAVING count(t2m) >= 126", mean.where(t.count("time") >= 126)),
        ("correlation", "SELECT corr(t2m, tp) AS v FROM era5 GROUP BY DIMS EXCEPT (time)", xr.corr(t.where(tp.notnull()), tp.where(t.notnull()), "time")),
        # windows
        ("anomaly", "SELECT t2m - avg(t2m) OVER (PARTITION BY DIMS EXCEPT (time), month(time)) AS v FROM era5", by_month - by_month.mean("time")),
        ("along lon", "SELECT t2m - avg(t2m) ALONG (lon) AS v FROM era5", t - t.mean("lon")),
        ("rolling mean", "SELECT avg(t2m) AROUND (time(-3:0)) AS v FROM era5", focal(t, "time", 3, 0).mean("window")),
        ("centred maximum", "SELECT max(t2m) AROUND (time(-2:2)) AS v FROM era5", focal(t, "time", 2, 2).max("window")),
        ("smooth", "SELECT avg(elevation) AROUND (y(-1:1), x(-1:1)) AS v FROM dem", near(dem.elevation, ["y", "x"], "mean")),
        ("relief", "SELECT max(elevation) AROUND (y(-1:1), x(-1:1)) - min(elevation) AROUND (y(-1:1), x(-1:1)) AS v FROM dem",
         near(dem.elevation, ["y", "x"], "max") - near(dem.elevation, ["y", "x"], "min")),
        ("running sum", "SELECT sum(tp) OVER (PARTITION BY lat, lon ORDER BY time) AS v FROM era5",
         tp.fillna(0).cumsum("time").where(tp.notnull().cumsum("time") > 0)),
        ("step before", "SELECT t2m - lag(t2m) OVER (PARTITION BY lat, lon ORDER BY time) AS v FROM era5", lagged),
        ("step after", "SELECT lead(t2m, 2) OVER (PARTITION BY lat, lon ORDER BY time) AS v FROM era5", t.shift(time=-2)),
        ("rank", "SELECT CASE WHEN tp IS NOT NULL THEN rank() OVER (PARTITION BY lat, lon ORDER BY tp DESC NULLS LAST) END AS v FROM era5",
         xr.apply_ufunc(lambda a: np.where(np.isnan(a), np.nan, 1 + (a[..., None] < a[..., None, :]).sum(-1)), tp,
                        input_core_dims=[["time"]], output_core_dims=[["time"]]).transpose("time", "lat", "lon")),
        ("mean of anomalies", "SELECT avg(a) AS v FROM (SELECT abs(t2m - avg(t2m) ALONG (time)) AS a FROM era5) GROUP BY time",
         abs(t - mean).mean(["lat", "lon"])),
        # joins along axes
        ("lapse rate", "SELECT t2m + 0.0065 * z AS v FROM era5 JOIN orography USING DIMS", t + 0.0065 * z),
        ("the other way round", "SELECT t2m + 0.0065 * z AS v FROM orography JOIN era5 USING DIMS", (t + 0.0065 * z).transpose("lat", "lon", "time")),
        ("land only", "SELECT avg(t2m) FILTER (WHERE land = 1) AS v FROM era5 JOIN orography USING DIMS GROUP BY time",
         t.where(land == 1).mean(["lat", "lon"])),
        ("minus its mean", "WITH m AS (SELECT avg(t2m) AS mean FROM era5 GROUP BY DIMS EXCEPT (time)) SELECT t2m - mean AS v FROM era5 JOIN m USING DIMS", t - mean),
        ("common cells", "SELECT t2m * w AS v FROM era5 JOIN coarse USING DIMS",
         (t * coarse.w)),
        ("left", "SELECT z + coalesce(w, 0) AS v FROM orography LEFT JOIN coarse USING DIMS", z + coarse.w.reindex_like(z).fillna(0)),
        ("day against first day", "SELECT a.t2m - b.t2m AS v FROM era5[time('2020-02')] a JOIN era5[time('2020-01-01T00:00')] b USING DIMS",
         t.sel(time="2020-02") - t.isel(time=0, drop=True)),
        ("three of them", "SELECT a.t2m - z - w AS v FROM era5 a JOIN orography USING DIMS JOIN coarse USING DIMS", t - z - coarse.w),
        ("in a box", "SELECT t2m - z AS v FROM era5[lat(-20:40), time('2020-01-16')] JOIN orography[lon(100:200)] USING DIMS",
         (t - z).sel(lat=slice(40, -20), lon=slice(100, 200), time="2020-01-16")),
        ("high cells", "SELECT max(t2m) AS v FROM era5 JOIN orography USING DIMS WHERE z > 600 GROUP BY time",
         t.where(z > 600).max(["lat", "lon"])),
        ("slope of ndvi", "SELECT (b08 - b04) / (b08 + b04) * elevation AS v FROM s2 JOIN dem USING DIMS", ndvi * dem.elevation),
        ("mean ndvi by height", "SELECT avg((b08 - b04) / (b08 + b04)) FILTER (WHERE elevation > 930) AS v FROM s2 JOIN dem USING DIMS GROUP BY time",
         ndvi.where(dem.elevation > 930).mean(["y", "x"])),
        ("smooth and rough", "WITH f AS (SELECT avg(elevation) AROUND (y(-1:1), x(-1:1)) AS s FROM dem) SELECT elevation - s AS v FROM dem JOIN f USING DIMS",
         dem.elevation - near(dem.elevation, ["y", "x"], "mean")),
        ("monthly normals",
         "WITH m AS (SELECT month(time) AS month, avg(t2m) AS t FROM era5 GROUP BY month(time), lat, lon) "
         "SELECT t - normal AS v FROM m JOIN climate USING DIMS", by_month.mean("time") - clim.normal),
        # views (the test makes them)
        ("view", "SELECT ndvi AS v FROM ndvi[time('2024-06')]", ndvi.where(clear).sel(time="2024-06")),
        ("reduced view", "SELECT max(ndvi) AS v FROM ndvi GROUP BY DIMS EXCEPT (time)", ndvi.where(clear).max("time")),
        ("view of a view", "SELECT v FROM greener[y(INDEX 2:9)]", (ndvi.where(clear) * dem.elevation).isel(y=slice(2, 10))),
        ("window over a view", "SELECT avg(ndvi) AROUND (time(-1:1)) AS v FROM ndvi", focal(ndvi.where(clear), "time", 1, 1).mean("window")),
        ("subset of a window", "SELECT m AS v FROM smooth[time('2020-01-13':'2020-01-14'), lat(0:30)]",
         focal(t, "time", 3, 0).mean("window").sel(time=slice("2020-01-13", "2020-01-14"), lat=slice(30, 0))),
        ("slice of a window", "SELECT m AS v FROM smooth[time('2020-01-13T12:00')]", focal(t, "time", 3, 0).mean("window").sel(time="2020-01-13T12:00")),
        ("subset of an anomaly", "WITH a AS (SELECT t2m - avg(t2m) ALONG (time) AS a FROM era5) SELECT a AS v FROM a[time('2020-01-17')]",
         (t - mean).sel(time="2020-01-17")),
        ("coarse subset of a window", "SELECT avg(m) AS v FROM smooth[time('2020-01-13':'2020-01-16')] GROUP BY coarsen(time, 4), lat, lon",
         focal(t, "time", 3, 0).mean("window").sel(time=slice("2020-01-13", "2020-01-16")).coarsen(time=4).mean()),
        ("climatology minus a view", "SELECT m - normal AS v FROM monthly JOIN climate USING DIMS", by_month.mean("time") - clim.normal),
    ]


def answer(a):
    """What the test compares: the cells in C order of the answer's own axes."""
    cells = np.asarray(a, "f8").ravel()
    there = cells[~np.isnan(cells)]
    picks = np.unique(np.linspace(0, len(cells) - 1, 5).astype(int))
    return {
        "cells": int(len(cells)),
        "count": int(len(there)),
        "sum": float(there.sum()),
        "squares": float((there**2).sum()),
        "some": {str(i): None if np.isnan(cells[i]) else float(cells[i]) for i in picks},
    }


if __name__ == "__main__":
    if sys.argv[1:] != ["answers"]:
        make()
    found = [{"name": name, "sql": sql, **answer(a)} for name, sql, a in questions()]
    text = ",\n".join(json.dumps(q, ensure_ascii=False) for q in found)
    (HERE / "answers.json").write_text(f"[\n{text}\n]\n", encoding="utf-8")
    print(len(found), "questions")
