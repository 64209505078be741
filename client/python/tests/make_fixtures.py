"""Writes the netCDF files of the tests, with netCDF4 and the same bytes' worth of values every time."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np


def make(folder: Path) -> None:
    """All fixtures: see each function."""
    for month in (1, 2):
        _era5(folder / f"era5_20230{month}.nc", month)
    _packed(folder / "packed.nc")
    _integers(folder / "integers.nc")
    _calendar(folder / "calendar360.nc")
    _curved(folder / "curved.nc")
    _descending(folder / "descending.nc")
    _projected(folder / "projected.nc")
    _mixed(folder / "mixed.nc")


def _axis(nc, name, values, dtype="f8", **attributes):
    nc.createDimension(name, len(values))
    variable = nc.createVariable(name, dtype, (name,))
    variable.setncatts(attributes)
    variable[:] = values


def _era5(path, month):
    """Two months of one cube: packed temperature with missing cells, rain in float32, chunked and deflated."""
    rng = np.random.default_rng(month)
    with netCDF4.Dataset(path, "w") as nc:
        nc.title = "two months"
        start, n = (0, 62) if month == 1 else (31 * 24, 56)
        _axis(nc, "time", start + 12 * np.arange(n), "i4", units="hours since 2023-01-01", calendar="standard", standard_name="time")
        _axis(nc, "lat", np.linspace(60, 30, 13), "f4", units="degrees_north", standard_name="latitude")
        _axis(nc, "lon", np.arange(0, 20, 1.25), "f4", units="degrees_east", standard_name="longitude")
        options = dict(dimensions=("time", "lat", "lon"), zlib=True, shuffle=True, chunksizes=(20, 5, 7))
        t2m = nc.createVariable("t2m", "i2", fill_value=-32767, **options)
        t2m.setncatts({"units": "K", "scale_factor": 0.01, "add_offset": 273.15, "long_name": "temperature"})
        t2m.set_auto_maskandscale(False)
        values = rng.integers(-3000, 3000, (n, 13, 16)).astype("i2")
        values[rng.random(values.shape) < 0.02] = -32767
        t2m[:] = values
        tp = nc.createVariable("tp", "f4", **options)
        tp.units = "m"
        tp[:] = rng.gamma(0.3, 0.002, (n, 13, 16))


def _packed(path):
    """float64 and uint8 packing, missing_value, _Unsigned-free; no fill value on one."""
    rng = np.random.default_rng(10)
    with netCDF4.Dataset(path, "w") as nc:
        _axis(nc, "y", np.arange(9.0), units="m")
        _axis(nc, "x", np.arange(11.0), units="m")
        for name, dtype, attributes in [
            ("wide", "i4", {"scale_factor": 0.001, "add_offset": -5.0}),
            ("byte", "u1", {"scale_factor": np.float32(0.5)}),
            ("marked", "i2", {"missing_value": np.int16(-1), "scale_factor": 2.0}),
        ]:
            v = nc.createVariable(name, dtype, ("y", "x"), fill_value=False)
            v.setncatts(attributes)
            v.set_auto_maskandscale(False)
            v[:] = rng.integers(-1 if dtype != "u1" else 0, 200, (9, 11)).astype(dtype)


def _integers(path):
    """Plain integers of every width, without and with a fill value."""
    rng = np.random.default_rng(11)
    with netCDF4.Dataset(path, "w") as nc:
        _axis(nc, "station", np.arange(40) * 3, "i8", long_name="station number")
        for dtype in ("i1", "u1", "i2", "u2", "i4", "u4", "i8"):
            v = nc.createVariable(dtype, dtype, ("station",), fill_value=False)
            v.set_auto_maskandscale(False)
            v[:] = rng.integers(0, 100, 40)
        v = nc.createVariable("filled", "i4", ("station",), fill_value=np.int32(-9))
        v.units = "1"
        v[:] = np.ma.masked_less(rng.integers(0, 100, 40), 20)


def _calendar(path):
    """A model's year of 360 days."""
    with netCDF4.Dataset(path, "w") as nc:
        _axis(nc, "time", np.arange(24) * 30 + 15.0, units="days since 2000-01-01", calendar="360_day", standard_name="time", axis="T")
        _axis(nc, "lat", np.linspace(-60, 60, 5), units="degrees_north", standard_name="latitude")
        tas = nc.createVariable("tas", "f4", ("time", "lat"), fill_value=np.float32(1e20))
        tas.setncatts({"units": "K", "cell_methods": "time: mean"})
        tas[:] = np.ma.masked_less(np.random.default_rng(12).normal(280, 10, (24, 5)), 265)


def _curved(path):
    """A curvilinear grid in a calendar without leap days, with a scalar coordinate and named columns."""
    rng = np.random.default_rng(17)
    with netCDF4.Dataset(path, "w") as nc:
        _axis(nc, "time", np.arange(5) + 58.5, units="days since 2000-01-01", calendar="365_day", standard_name="time")
        for dim, n in (("y", 6), ("x", 7), ("length", 5)):
            nc.createDimension(dim, n)
        y, x = np.mgrid[0:6, 0:7]
        for name, values, units in (("lat", 40 + y + 0.1 * x, "degrees_north"), ("lon", 10 + x - 0.2 * y, "degrees_east")):
            v = nc.createVariable(name, "f8", ("y", "x"))
            v.units = units
            v[:] = values
        height = nc.createVariable("height", "f8", ())
        height.units = "m"
        height[...] = 2.0
        column = nc.createVariable("column_name", "S1", ("x", "length"))
        column[:] = netCDF4.stringtochar(np.array([b"a", b"bc", b"def", b"", b"ghijk", b"l", b"m"], "S5"))
        tas = nc.createVariable("tas", "f4", ("time", "y", "x"))
        tas.setncatts({"units": "K", "coordinates": "lat lon height column_name"})
        tas[:] = rng.random((5, 6, 7))


def _descending(path):
    """Irregular levels that fall, latitudes that fall, a size-1 axis."""
    with netCDF4.Dataset(path, "w") as nc:
        _axis(nc, "level", [1000, 850, 700, 500, 250, 50], "i4", units="hPa", positive="down", standard_name="air_pressure")
        _axis(nc, "lat", [80, 40.5, 10, -3, -70], "f4", units="degrees_north", standard_name="latitude")
        _axis(nc, "lon", [7.5], units="degrees_east", standard_name="longitude")
        q = nc.createVariable("q", "f8", ("level", "lat", "lon"), zlib=True, fletcher32=True)
        q.units = "kg kg-1"
        q[:] = np.random.default_rng(13).random((6, 5, 1))


def _projected(path):
    """A projected grid with its grid mapping."""
    with netCDF4.Dataset(path, "w") as nc:
        _axis(nc, "y", 5_400_000 - 100.0 * np.arange(8), units="m", standard_name="projection_y_coordinate")
        _axis(nc, "x", 400_000 + 100.0 * np.arange(6), units="m", standard_name="projection_x_coordinate")
        crs = nc.createVariable("crs", "i4", ())
        crs.setncatts({"grid_mapping_name": "transverse_mercator", "spatial_epsg": np.int32(32631), "epsg_code": "EPSG:32631"})
        dem = nc.createVariable("elevation", "f4", ("y", "x"))
        dem.setncatts({"units": "m", "grid_mapping": "crs", "valid_range": np.array([0, 9000], "f4")})
        dem[:] = np.random.default_rng(14).random((8, 6)) * 500


def _mixed(path):
    """A variable on fewer axes than its cube."""
    rng = np.random.default_rng(15)
    with netCDF4.Dataset(path, "w") as nc:
        _axis(nc, "time", np.arange(6), "i4", units="days since 2023-06-01", calendar="standard", standard_name="time")
        _axis(nc, "lat", np.arange(5.0), units="degrees_north", standard_name="latitude")
        _axis(nc, "lon", np.arange(4.0), units="degrees_east", standard_name="longitude")
        for name, dims in (("v", ("time", "lat", "lon")), ("mask", ("lat", "lon"))):
            shape = [nc.dimensions[d].size for d in dims]
            v = nc.createVariable(name, "f4", dims)
            v[:] = rng.random(shape)
