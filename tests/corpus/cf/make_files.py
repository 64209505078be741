"""Writes the netCDF-4 files of this folder and, beside them, what netCDF4-python and xarray read in them.

usage: python make_files.py          (needs netCDF4, xarray, numpy)

decode.nc    packing and missing data; decode.json: decoded values (null: missing) of netCDF4-python, which follows the Users Guide's rules
axes.nc      coordinate variables of all kinds; axes.json: their values by xarray (times as ISO text)
day*.nc      three days of one data set, to be put together along time; grid.nc: the next day on another grid; overlap.nc: one hour of day2 again;
             changed.nc: day2 with other values
"""
import json
from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr

HERE = Path(__file__).parent


def variable(d, name, kind, dims, values, fill=None, **attributes):
    v = d.createVariable(name, kind, dims, fill_value=fill)
    v.set_auto_maskandscale(False)
    for key, value in attributes.items():
        v.setncattr(key, value)
    if values is not None:
        v[...] = values
    return v


def decode():
    with netCDF4.Dataset(HERE / "decode.nc", "w") as d:
        d.createDimension("n", 6)
        n = ("n",)
        i2 = np.array([-32767, -5, 0, 5, 100, 32767], "i2")
        f4 = np.array([1e20, np.nan, -1.5, 0.0, 2.5, 9.96921e36], "f4")
        variable(d, "plain", "i2", n, i2)
        variable(d, "packed", "i2", n, i2, fill=np.int16(-5), scale_factor=np.float32(0.01), add_offset=np.float32(273.15))
        variable(d, "two_missing", "i2", n, i2, fill=np.int16(0), missing_value=np.array([5, 100], "i2"), scale_factor=0.5)
        variable(d, "default_fill", "i2", n, i2)
        variable(d, "never_written", "f4", n, None)
        variable(d, "never_written_i8", "i8", n, None)
        variable(d, "bytes", "i1", n, np.array([-127, -128, 0, 1, 2, 127], "i1"))
        variable(d, "unsigned_bytes", "i1", n, np.array([-127, -128, 0, 1, -16, -1], "i1"), fill=np.int8(-16), _Unsigned="true")
        variable(d, "unsigned_range", "i2", n, np.array([0, 1, 2, -4, -3, -2], "i2"), _Unsigned="true", valid_range=np.array([1, -3], "i2"))
        variable(d, "range_packed", "i2", n, i2, valid_range=np.array([-5, 100], "i2"), scale_factor=0.1)
        variable(d, "range_min", "f4", n, f4, valid_min=np.float32(-1.0))
        variable(d, "missing_double", "f4", n, np.array([1e20, np.nan, -1.5, 0.0, 2.5, 7.0], "f4"), missing_value=1e20)
        variable(d, "packed_i4", "i4", n, np.array([-2147483647, 1, 2, 3, 4, 5], "i4"), scale_factor=1e-3, add_offset=7.0)
        variable(d, "big_endian", ">i2", n, i2, scale_factor=2.0)
        variable(d, "u4", "u4", n, np.array([0, 1, 4294967294, 4294967295, 7, 8], "u4"))
        variable(d, "zero_scale_offset", "u1", n, np.array([0, 1, 2, 254, 255, 9], "u1"), fill=np.uint8(255), add_offset=-1.0)
    truth = {}
    with netCDF4.Dataset(HERE / "decode.nc") as d:
        for name, v in d.variables.items():
            values = np.ma.masked_invalid(np.ma.asarray(v[...])) if v.dtype.kind == "f" else np.ma.asarray(v[...])
            mask = np.ma.getmaskarray(values)
            truth[name] = [None if m else x for x, m in zip(values.data.tolist(), mask.tolist())]
    # Where netCDF4-python is at odds with the decisions: the default fill of bytes is data, and a double that is the missing value of floats
    # is rounded to float first, as NCO and CDO do (both Python decoders compare it unrounded, so that it never matches).
    truth["bytes"] = [-127, -128, 0, 1, 2, 127]
    truth["missing_double"] = [None, None, -1.5, 0.0, 2.5, 7.0]
    (HERE / "decode.json").write_text("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in truth.items()) + "\n}\n")


def axes():
    with netCDF4.Dataset(HERE / "axes.nc", "w") as d:
        for name, n in dict(time=4, lat=3, lon=4, level=2, member=3, name_length=5, region=2, bare=3, step=3, model=2, twice=3, x=2, y=2, bnds=2).items():
            d.createDimension(name, n)
        variable(d, "time", "i4", ("time",), [0, 6, 12, 18], units="hours since 2020-01-01", standard_name="time", bounds="time_bnds", calendar="proleptic_gregorian")
        variable(d, "time_bnds", "f8", ("time", "bnds"), [[-3, 3], [3, 9], [9, 15], [15, 21]])
        variable(d, "lat", "f4", ("lat",), [60.0, 59.75, 59.5], units="degrees_north")
        variable(d, "lon", "i2", ("lon",), [0, 1, 2, 3], units="degrees_east", scale_factor=0.25, add_offset=-10.0)
        variable(d, "level", "i8", ("level",), [850, 500], units="hPa", positive="down")
        variable(d, "member", "S1", ("member", "name_length"), netCDF4.stringtochar(np.array(["r1", "r10", "r2"], "S5")))
        labels = d.createVariable("region", str, ("region",))
        labels[0], labels[1] = "north", "süd"
        variable(d, "step", "i4", ("step",), [1, 2, 3], fill=np.int32(2))
        variable(d, "model", "f8", ("model",), [0.5, 1.5], units="days since 1850-01-01", calendar="noleap")
        variable(d, "twice", "i4", ("twice",), [1, 1, 2])
        variable(d, "height", "f8", (), 2.0, units="m", standard_name="height")
        variable(d, "crs", "i4", (), 0, grid_mapping_name="latitude_longitude", crs_wkt='GEOGCRS["WGS 84",DATUM["W",ELLIPSOID["W",6378137,298.257223563]],CS[ellipsoidal,2],ID["EPSG",4326]]')
        variable(d, "reference", "f8", ("time",), [1.5, 2.5, 3.5, 4.5], units="days since 1970-01-01", standard_name="forecast_reference_time")
        variable(d, "longitude", "f8", ("y", "x"), [[1, 2], [3, 4]], units="degrees_east")
        variable(d, "column", "f4", ("x",), [500.0, 700.0], units="m", standard_name="projection_x_coordinate")
        variable(d, "t", "f4", ("time", "lat", "lon"), np.arange(48).reshape(4, 3, 4), grid_mapping="crs", coordinates="height reference")
        variable(d, "u", "f4", ("level", "bare", "step"), np.arange(18).reshape(2, 3, 3))
        variable(d, "m", "f4", ("member", "region", "model", "twice"), np.zeros((3, 2, 2, 3)))
        variable(d, "p", "f4", ("y", "x"), np.zeros((2, 2)), coordinates="longitude column", grid_mapping="nowhere")
        g = d.createGroup("inner")
        g.createDimension("lat", 2)
        variable(g, "lat", "f8", ("lat",), [1.0, 2.0], units="degrees_north")
        variable(g, "q", "f4", ("time", "lat"), np.zeros((4, 2)))
        variable(g, "bare_in_group", "f4", ("lon",), np.zeros(4), grid_mapping="crs")
    truth = {}
    with xr.open_dataset(HERE / "axes.nc") as d:
        for name in ("time", "lat", "lon", "level", "member", "region", "twice"):
            v = d[name].values
            if v.dtype.kind == "M":
                truth[name] = [str(t)[:19] for t in v]
            else:
                truth[name] = [x.decode() if isinstance(x, bytes) else x for x in v.tolist()]
    (HERE / "axes.json").write_text(json.dumps(truth, indent=1, ensure_ascii=False) + "\n")


def day(name, day_number, hours, lat0=50.0, offset=0.0, factor=0.01):
    with netCDF4.Dataset(HERE / f"{name}.nc", "w") as d:
        d.createDimension("time", None)
        d.createDimension("lat", 3)
        d.createDimension("lon", 4)
        d.title = "made by make_files.py"
        variable(d, "time", "i4", ("time",), [24 * day_number + h for h in hours], units="hours since 2024-01-01")
        variable(d, "lat", "f8", ("lat",), [lat0, lat0 - 0.25, lat0 - 0.5], units="degrees_north")
        variable(d, "lon", "f8", ("lon",), [10.0, 10.25, 10.5, 10.75], units="degrees_east")
        t = np.arange(12 * len(hours)).reshape(len(hours), 3, 4) + 1000 * day_number + offset
        variable(d, "t2m", "i2", ("time", "lat", "lon"), t, fill=np.int16(-1), scale_factor=factor, units="K")
        variable(d, "mask", "i1", ("lat", "lon"), np.ones((3, 4)))
        variable(d, "height", "f8", (), 2.0, units="m")


def main():
    decode()
    axes()
    day("day1", 0, [0, 12])
    day("day2", 1, [0, 12], factor=0.02)
    day("day3", 2, [0, 12])
    day("grid", 3, [0, 12], lat0=50.1)
    day("overlap", 1, [12], offset=500)
    day("changed", 1, [0, 6, 12], offset=7)


if __name__ == "__main__":
    main()
