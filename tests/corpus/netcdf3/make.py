"""Makes classic netCDF files of each version, and truth.json: every variable's cells as netCDF-C (netCDF4-python) reads them.

Run: python make.py   (needs netCDF4 and numpy; last run with netCDF4 1.7.5)
"""

import json
import pathlib

import netCDF4
import numpy as np

here = pathlib.Path(__file__).parent
CLASSIC = ("i1", "i2", "i4", "f4", "f8")
TYPES = dict(NETCDF3_CLASSIC=CLASSIC, NETCDF3_64BIT_OFFSET=CLASSIC, NETCDF3_64BIT_DATA=CLASSIC + ("u1", "u2", "u4", "i8", "u8"))


def cells(dtype, shape, seed):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, size=shape, dtype=dtype, endpoint=True)


def everything(name, format):
    """Fixed and record variables of every type, odd sizes (so that slabs are padded), characters, scalars, attributes."""
    with netCDF4.Dataset(here / name, "w", format=format) as f:
        f.createDimension("time", None)
        f.createDimension("y", 5)
        f.createDimension("x", 7)
        f.createDimension("letters", 3)
        f.title, f.empty, f.numbers = "grün", "", np.array([1, -2], "i2")
        for seed, dtype in enumerate(TYPES[format]):
            v = f.createVariable(f"fixed_{dtype}", dtype, ("y", "x"))
            v[:] = cells(dtype, (5, 7), seed)
            v.setncattr("valid_min", np.array(-3 if dtype[0] != "u" else 3, dtype))
            v = f.createVariable(f"record_{dtype}", dtype, ("time", "x"))
            v[:] = cells(dtype, (4, 7), seed + 50)
        f.createVariable("scalar", "f8", ())[...] = 2.5
        f.createVariable("time", "i4", ("time",))[:] = [1, 2, 4, 8]
        f.createVariable("names", "S1", ("y", "letters"))[:] = np.array([list(n) for n in ("abc", "d  ", "ef\0", "ghi", "jkl")], "S1")
        f.createVariable("flag", "S1", ("time",))[:] = np.array(list("tfxy"), "S1")


everything("classic.nc", "NETCDF3_CLASSIC")
everything("offset64.nc", "NETCDF3_64BIT_OFFSET")
everything("data64.nc", "NETCDF3_64BIT_DATA")

# The only record variable has no padding between its records.
with netCDF4.Dataset(here / "one_record_variable.nc", "w", format="NETCDF3_CLASSIC") as f:
    f.createDimension("time", None)
    f.createDimension("x", 3)
    f.createVariable("fixed", "i2", ("x",))[:] = [1, 2, 3]
    f.createVariable("v", "i1", ("time", "x"))[:] = np.arange(15).reshape(5, 3)

# No record was written.
with netCDF4.Dataset(here / "no_records.nc", "w", format="NETCDF3_64BIT_OFFSET") as f:
    f.createDimension("time", None)
    f.createDimension("x", 3)
    f.createVariable("v", "f4", ("time", "x"))
    f.createVariable("time", "f8", ("time",))
    f.createVariable("x", "f4", ("x",))[:] = [1, 2, 3]

# A stream cannot count its records: all bits of their number are set.
for source, name in (("classic.nc", "stream.nc"), ("data64.nc", "stream64.nc")):
    data = bytearray((here / source).read_bytes())
    width = 8 if data[3] == 5 else 4
    data[4 : 4 + width] = b"\xff" * width
    (here / name).write_bytes(data)

# One series of packed temperatures in three files, each laid out in another way: records beside the time's, a fixed axis, and
# 64-bit records.
months = here / "months"
months.mkdir(exist_ok=True)
packed = np.random.default_rng(3).integers(-300, 300, (12, 4, 6)).astype("i2")
packed[packed > 290] = -999
for number, (format, fixed, steps) in enumerate((("NETCDF3_CLASSIC", None, (0, 5)), ("NETCDF3_64BIT_OFFSET", 3, (5, 8)), ("NETCDF3_64BIT_DATA", None, (8, 12)))):
    with netCDF4.Dataset(months / f"{number}.nc", "w", format=format) as f:
        f.createDimension("time", fixed)
        f.createDimension("lat", 4)
        f.createDimension("lon", 6)
        time = f.createVariable("time", "i4", ("time",))
        time.units, time.standard_name = "days since 2000-02-25", "time"
        f.createVariable("lat", "f4", ("lat",))[:] = [60, 50, 40, 30]
        f.createVariable("lon", "f4", ("lon",))[:] = np.arange(6) * 2.5
        f["lat"].units, f["lon"].units = "degrees_north", "degrees_east"
        t2m = f.createVariable("t2m", "i2", ("time", "lat", "lon"), fill_value=-999)
        t2m.scale_factor, t2m.add_offset = 0.1, 273.15
        t2m.set_auto_maskandscale(False)
        time[:], t2m[:] = np.arange(*steps), packed[slice(*steps)]

truth = {}
for path in sorted(here.glob("*.nc")):
    if path.name.startswith("stream"):
        continue  # the same cells as in its source
    with netCDF4.Dataset(path) as f:
        f.set_auto_maskandscale(False)
        f.set_auto_chartostring(False)
        truth[path.name] = {
            name: dict(
                dims=v.dimensions,
                shape=v.shape,
                dtype="S1" if v.dtype.kind == "S" else v.dtype.name,
                cells=[c.decode("latin-1") if isinstance(c, bytes) else c for c in v[...].ravel().tolist()],
            )
            for name, v in f.variables.items()
        }
values = [netCDF4.Dataset(months / f"{number}.nc")["t2m"][:].astype("f4").filled(np.nan) for number in range(3)]
truth["months"] = [None if v != v else v for v in np.concatenate(values).ravel().tolist()]
lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in truth.items())
(here / "truth.json").write_text("{\n" + lines + "\n}\n")
