"""Writes packed.nc and truth.json: cells of every kind of decoding, and their values as netCDF4-python gives them.

usage: python make.py      (netCDF4, numpy; run in this folder)
"""
import json
import math

import netCDF4
import numpy as np

rng = np.random.default_rng(7)
with netCDF4.Dataset("packed.nc", "w") as d:
    for name, n in dict(time=None, lat=7, lon=9, letters=3).items():
        d.createDimension(name, n)
    t = d.createVariable("time", "f8", ("time",))
    t.units, t.calendar = "hours since 2000-02-28 06:00:00", "standard"
    t[:] = np.arange(5) * 12.5
    for name, n in dict(lat=7, lon=9).items():
        v = d.createVariable(name, "f4", (name,))
        v.units = dict(lat="degrees_north", lon="degrees_east")[name]
        v[:] = np.arange(n) * 0.5
    # Chunks that do not divide the shape; packed, with missing values and a valid range.
    v = d.createVariable("t2m", "i2", ("time", "lat", "lon"), zlib=True, shuffle=True, chunksizes=(2, 3, 4), fill_value=-32767)
    v.set_auto_maskandscale(False)
    v.scale_factor, v.add_offset, v.missing_value = 0.01, 273.15, np.int16(-999)
    v.valid_range = np.array([-500, 500], "i2")
    cells = rng.integers(-510, 511, (5, 7, 9)).astype("i2")
    cells[rng.random(cells.shape) < 0.2] = -32767
    cells[rng.random(cells.shape) < 0.1] = -999
    v[:] = cells
    v = d.createVariable("unsigned", "i1", ("lat", "lon"), zlib=True, chunksizes=(7, 5), fill_value=-1)
    v.set_auto_maskandscale(False)
    v._Unsigned, v.scale_factor, v.add_offset = "true", 0.5, -10.0
    v[:] = np.arange(193, 256, dtype="u1").reshape(7, 9).view("i1")
    v = d.createVariable("big", ">f8", ("lat", "lon"), endian="big", contiguous=True)
    cells = rng.normal(size=(7, 9)); cells[2, 3] = np.nan
    v[:] = cells
    v = d.createVariable("counts", "i8", ("time", "lon"), zlib=True, fletcher32=True, chunksizes=(1, 9))
    v[:] = (2**53 + rng.integers(0, 100, (5, 9))).astype("i8")
    # Two of four chunks are never written.
    v = d.createVariable("sparse", "f4", ("lat", "lon"), chunksizes=(4, 9), fill_value=-5.0)
    v[0:2, 0:5] = 1.5
    v = d.createVariable("unwritten", "i4", ("lat", "lon"), chunksizes=(4, 5))
    v = d.createVariable("when", "f8", ("lat",))
    v.units, v.calendar = "days since 1858-11-17", "standard"
    v[:] = [0, 0.5, 51544.25, 60000.125, -1, 1e4, 59000.0000115741]
    d.createVariable("names", str, ("lat",))[:] = np.array(["a", "", "ä b", "long " * 20, "x", "y", "z"], object)
    v = d.createVariable("code", "S1", ("lat", "letters"))
    v[:] = np.array([list("abc"), ["d", "", ""], *[list("xyz")] * 5], "S1")

truth = {}
with netCDF4.Dataset("packed.nc") as d:
    for name, v in d.variables.items():
        v.set_always_mask(True)
        values = v[:]
        if "since" in getattr(v, "units", ""):
            times = netCDF4.num2date(values, v.units, v.calendar, only_use_cftime_datetimes=True)
            values = np.ma.array([t.strftime("%Y-%m-%dT%H:%M:%S.%f") for t in times], mask=np.ma.getmaskarray(values))
        elif v.dtype == np.dtype("i2") or name == "unsigned":
            # Computed in double precision and rounded once to the type that 16 bits and fewer decode to.
            values = np.ma.asarray(values, "f8").astype("f4")
        flat = []
        for value, missing in zip(np.ma.getdata(values).ravel().tolist(), np.ma.getmaskarray(values).ravel().tolist()):
            if isinstance(value, bytes):
                value = value.decode()
            nothing = missing or (isinstance(value, float) and math.isnan(value))
            flat.append(None if nothing and not isinstance(value, str) else value)
        truth[name] = dict(shape=list(v.shape), values=flat)
with open("truth.json", "w") as out:
    json.dump(dict(made_with=dict(netCDF4=netCDF4.__version__), variables=truth), out, separators=(",", ":"))
