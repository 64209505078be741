"""Writes model*.nc, reform.nc, curved.nc, stations.nc and cubes.json: cubes whose axes are not those of every day, and what xarray, cftime and
numpy answer to questions about them.

usage: python make_cubes.py          (needs netCDF4, xarray, cftime, numpy)

A question is a query on a cube (named after its file or, for model_*.nc, `model`); `{cube}` stands for its name. The answer is the number of
rows, of values of the last column that are not missing, and their sum; or the texts of the last column; or a part of the error's text; `shape`
is that of the array form, `chunks` the most chunks that EXPLAIN may say.
"""
import json
from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr

HERE = Path(__file__).parent


def create(name, **dims):
    d = netCDF4.Dataset(HERE / name, "w")
    for dim, n in dims.items():
        d.createDimension(dim, n)
    return d


def add(d, name, kind, dims, values, chunks=None, fill=None, **attributes):
    v = d.createVariable(name, kind, dims, fill_value=fill, chunksizes=chunks, zlib=chunks is not None)
    v.setncatts(attributes)
    v[...] = values
    return v


def files():
    rng = np.random.default_rng(3)
    # Two years of a model of 360 days, a file a year, each counting from its own beginning, the second one with noon and midnight exchanged.
    for year, name in ((2001, "model_2001.nc"), (2002, "model_2002.nc")):
        with create(name, time=360, lat=3) as d:
            add(d, "time", "f8", ("time",), np.arange(360) + 0.5, units=f"days since {year}-01-01", calendar="360_day", standard_name="time")
            add(d, "lat", "f4", ("lat",), [-45, 0, 45], units="degrees_north")
            add(d, "t", "f4", ("time", "lat"), rng.normal(280, 5, (360, 3)), chunks=(30, 3), units="K", cell_methods="time: mean")
    # The standard calendar across its reform: 4 October 1582 is followed by 15 October.
    with create("reform.nc", time=40) as d:
        add(d, "time", "i4", ("time",), np.arange(40), units="days since 1582-09-20", calendar="standard")
        add(d, "t", "f8", ("time",), np.arange(40.0))
    # A curvilinear grid across the date line, turned by thirty degrees, with a corner that has no coordinates.
    with create("curved.nc", time=3, y=80, x=112) as d:
        y, x = np.mgrid[0:80, 0:112].astype("f8")
        lat = 20 + 0.5 * y + 0.2 * x
        lon = (150 + 0.6 * x - 0.3 * y) % 360
        lat, lon = np.ma.array(lat), np.ma.array(lon)
        lat[70:, :5] = np.ma.masked
        lon[70:, :5] = np.ma.masked
        add(d, "time", "i4", ("time",), np.arange(3), units="days since 2001-02-28", calendar="noleap")
        add(d, "nav_lat", "f4", ("y", "x"), lat, chunks=(20, 28), fill=np.float32(-999), standard_name="latitude", units="degrees_north")
        add(d, "nav_lon", "f8", ("y", "x"), lon, chunks=(20, 28), fill=-999.0, standard_name="longitude", units="degrees_east")
        add(d, "sst", "f4", ("time", "y", "x"), np.random.default_rng(4).normal(15, 3, (3, 80, 112)), chunks=(1, 20, 28), coordinates="nav_lat nav_lon", units="degC")
    # Stations with names and a scalar height; a climatology-like duration without an epoch; names that SQL has to quote.
    with create("stations.nc", station=4, length=6, time=5) as d:
        names = netCDF4.stringtochar(np.array([b"Oslo", b"Bergen", b"Voss", b""], "S6"))
        add(d, "station_name", "S1", ("station", "length"), names, cf_role="timeseries_id")
        add(d, "time", "i4", ("time",), np.arange(5), units="days since 2000-01-01")
        add(d, "height", "f4", (), 2.0, units="m", standard_name="height")
        add(d, "age", "i4", ("station",), [1, 2, 3, 4], units="days", long_name="time since the last visit")
        add(d, "seen", "f8", ("station",), [0.5, 1.5, 2.5, 3.5], units="days since 1850-02-30", calendar="360_day")
        add(d, "air temperature", "f4", ("station", "time"), np.arange(20.0).reshape(4, 5), coordinates="station_name height")
        add(d, "Select", "f4", ("station",), [4.0, 3.0, 2.0, 1.0])
        add(d, "a.b", "f4", ("station",), [1.0, 2.0, 3.0, 4.0])


def answer(values):
    values = np.ma.masked_invalid(np.ma.asarray(values, "f8"))
    return {"cells": int(values.size), "count": int(values.count()), "sum": float(values.sum() or 0.0)}


def model(questions):
    coder = xr.coders.CFDatetimeCoder(use_cftime=True)
    t = xr.concat([xr.open_dataset(HERE / f"model_{y}.nc", decode_times=coder) for y in (2001, 2002)], "time").t.load()
    ask = lambda query, found, **more: questions.append({"cube": "model", "query": query, **answer(found), **more})
    text = lambda query, found: questions.append({"cube": "model", "query": query, "texts": [str(v) for v in found]})
    iso = lambda times: [v.isoformat() for v in times.values]
    text("SELECT time FROM {cube}[time('2001-02-28':'2001-03-02'), lat(INDEX 0)] ORDER BY time", iso(t.time.sel(time=slice("2001-02-28", "2001-03-02"))))
    text("SELECT min(time) FROM {cube}", iso(t.time[:1]))
    text("SELECT max(time) FROM {cube}", iso(t.time[-1:]))
    text("SELECT DISTINCT season(time) AS s FROM {cube} ORDER BY s", ["DJF", "JJA", "MAM", "SON"])
    text("SELECT date_trunc('month', time) AS m FROM {cube}[lat(INDEX 0), time('2001-02':'2001-03')] GROUP BY 1 ORDER BY 1", ["2001-02-01T00:00:00", "2001-03-01T00:00:00"])
    ask("SELECT t FROM {cube}[time('2001-02')]", t.sel(time="2001-02"), shape=[30, 3])
    ask("SELECT t FROM {cube}[time('2001-02-30')]", t.sel(time="2001-02-30"))
    ask("SELECT t FROM {cube}[time('2001-02-30T12:00')]", t.sel(time="2001-02-30T12:00:00"), shape=[3])
    ask("SELECT t FROM {cube}[time('2001-12-30':'2002-01-02')]", t.sel(time=slice("2001-12-30", "2002-01-02")), shape=[3, 3])
    ask("SELECT t FROM {cube} WHERE time >= '2001-02-30' AND time < '2001-03'", t.sel(time="2001-02-30"), chunks=1)
    ask("SELECT t FROM {cube} WHERE time BETWEEN '2002-02-29' AND '2002-02-30T12:00'", t.sel(time=slice("2002-02-29", "2002-02-30T12")))
    ask("SELECT t FROM {cube} WHERE '2002-02-30 12:00' = time", t.sel(time="2002-02-30"))
    ask("SELECT t FROM {cube} WHERE time IN ('2001-02-30T12:00', '2001-02-29T12')", t.sel(time=slice("2001-02-29", "2001-02-30")))
    ask("SELECT t FROM {cube} WHERE time >= TIMESTAMP '2002-12-28'", t.sel(time=slice("2002-12-28", None)))
    ask("SELECT t FROM {cube} WHERE time > DATE '2002-12-28'", t.sel(time=slice("2002-12-28", None)))
    ask("SELECT t FROM {cube} WHERE month(time) = 2", t[t.time.dt.month == 2], chunks=2)
    ask("SELECT t FROM {cube} WHERE EXTRACT(day FROM time) = 30", t[t.time.dt.day == 30])
    ask("SELECT t FROM {cube} WHERE dayofyear(time) > 358 AND hour(time) = 12", t[t.time.dt.dayofyear > 358])
    ask("SELECT year(time) AS y, avg(t) AS v FROM {cube} GROUP BY year(time)", t.groupby("time.year").mean(...), shape=[2])
    ask("SELECT avg(t) AS v FROM {cube} GROUP BY month(time), lat", t.groupby("time.month").mean(), shape=[12, 3])
    ask("SELECT avg(t) AS v FROM {cube} GROUP BY season(time), lat", t.groupby("time.season").mean(), shape=[4, 3])
    ask("SELECT max(t) AS v FROM {cube} GROUP BY date_trunc('month', time), lat", t.resample(time="1MS").max(), shape=[24, 3])
    ask("SELECT avg(t) AS v FROM {cube} GROUP BY DIMS EXCEPT (lat)", t.mean("lat"), shape=[720])
    questions.append({"cube": "model", "query": "SELECT t FROM {cube} WHERE time > '2001-02-31'", "error": "the calendar 360_day has no 2001-02-31"})
    questions.append({"cube": "model", "query": "SELECT t FROM {cube}[time('2001-01-31')]", "error": "the calendar 360_day has no 2001-01-31"})
    questions.append({"cube": "model", "query": "SELECT week(time) FROM {cube}", "error": "the calendar 360_day has no weeks"})


def reform(questions):
    t = xr.open_dataset(HERE / "reform.nc", decode_times=xr.coders.CFDatetimeCoder(use_cftime=True)).t.load()
    questions.append({"cube": "reform", "query": "SELECT time FROM {cube}[time('1582-10-04':'1582-10-15')] ORDER BY time", "texts": ["1582-10-04T00:00:00", "1582-10-15T00:00:00"]})
    october = t[t.time.dt.month == 10]
    questions.append({"cube": "reform", "query": "SELECT t FROM {cube}[time('1582-10')]", **answer(october)})
    questions.append({"cube": "reform", "query": "SELECT dayofyear(time) FROM {cube}", **answer(t.time.dt.dayofyear)})
    questions.append({"cube": "reform", "query": "SELECT dayofweek(time) FROM {cube}", **answer([(v.dayofwk + 1) % 7 for v in t.time.values])})
    questions.append({"cube": "reform", "query": "SELECT t FROM {cube}[time('1582-10-10')]", "error": "the calendar standard has no 1582-10-10"})


def curved(questions):
    ds = xr.open_dataset(HERE / "curved.nc").load()
    lat, lon, sst = ds.nav_lat.astype("f8"), ds.nav_lon, ds.sst

    def ask(query, inside, chunks=None, shape=True):
        cells = sst.values[:, inside.values]
        box = [int(inside.any(d).sum()) for d in ("x", "y")]
        more = {"chunks": chunks} if chunks else {}
        questions.append({"cube": "curved", "query": query, **answer(cells), **({"shape": [3, *box]} if shape else {}), **more})

    ask("SELECT sst FROM {cube}[nav_lat(40:44), nav_lon(160:170)]", (lat >= 40) & (lat <= 44) & (lon >= 160) & (lon <= 170), chunks=10)
    ask("SELECT sst FROM {cube} WHERE nav_lat BETWEEN 40 AND 44 AND nav_lon BETWEEN 160 AND 170", (lat >= 40) & (lat <= 44) & (lon >= 160) & (lon <= 170), chunks=10)
    ask("SELECT sst FROM {cube}[nav_lon(178:-175)]", (lon >= 178) & (lon <= 185))
    ask("SELECT sst FROM {cube}[nav_lon(-182:-175), nav_lat(:44)]", (lon >= 178) & (lon <= 185) & (lat <= 44))
    ask("SELECT sst FROM {cube}[nav_lat(75:)]", lat >= 75)
    ask("SELECT sst FROM {cube}[nav_lat(79:)]", lat >= 79)
    ask("SELECT sst FROM {cube} WHERE nav_lat > 40 OR nav_lat < 22", (lat > 40) | (lat < 22))
    ask("SELECT sst FROM {cube} WHERE NOT nav_lat > 40", ~(lat > 40) & lat.notnull())
    ask("SELECT sst FROM {cube} WHERE nav_lat IS NULL", lat.isnull())
    ask("SELECT sst FROM {cube} WHERE nav_lat > 200", lat > 200)
    ask("SELECT sst FROM {cube}[nav_lat(30:32), y(INDEX 0:40)] WHERE x < 50", (lat >= 30) & (lat <= 32) & (ds.x_index < 50 if "x_index" in ds else xr.DataArray(np.arange(112) < 50, dims="x")) & xr.DataArray(np.arange(80) <= 40, dims="y"))
    inside = (lat >= 40) & (lat <= 44) & (lon >= 160) & (lon <= 170)
    means = sst.where(inside).mean(("y", "x"))
    questions.append({"cube": "curved", "query": "SELECT avg(sst) AS v FROM {cube}[nav_lat(40:44), nav_lon(160:170)] GROUP BY time", **answer(means), "shape": [3], "chunks": 10})
    questions.append({"cube": "curved", "query": "SELECT time FROM {cube}[y(INDEX 0), x(INDEX 0)] ORDER BY time", "texts": ["2001-02-28T00:00:00", "2001-03-01T00:00:00", "2001-03-02T00:00:00"]})
    questions.append({"cube": "curved", "query": "SELECT sst FROM {cube}[nav_lat(40)]", "error": "is no axis but a coordinate along 2 axes"})


def stations(questions):
    text = lambda query, found: questions.append({"cube": "stations", "query": query, "texts": found})
    ask = lambda query, found: questions.append({"cube": "stations", "query": query, **answer(found)})
    text("SELECT DISTINCT station_name FROM {cube} ORDER BY station_name", ["", "Bergen", "Oslo", "Voss"])
    ask("SELECT \"air temperature\" FROM {cube} WHERE station_name = 'Voss'", np.arange(10.0, 15.0))
    ask("SELECT \"air temperature\" + height FROM {cube}[time(INDEX 0)]", np.array([2.0, 7.0, 12.0, 17.0]))
    ask("SELECT sum(age) FROM {cube}[time(INDEX 0)]", [10])
    ask("SELECT \"Select\" FROM {cube}[time(INDEX 0)]", [4.0, 3.0, 2.0, 1.0])
    ask("SELECT \"a.b\" * \"Select\" FROM {cube}[time(INDEX 0)]", [4.0, 6.0, 6.0, 4.0])
    questions.append({"cube": "stations", "query": "SELECT sum(air temperature) FROM {cube}", "error": ""})


def main():
    files()
    questions = []
    for part in (model, reform, curved, stations):
        part(questions)
    (HERE / "cubes.json").write_text("[\n" + ",\n".join(json.dumps(q) for q in questions) + "\n]\n")


if __name__ == "__main__":
    main()
