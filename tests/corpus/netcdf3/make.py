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
lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in truth.items())
(here / "truth.json").write_text("{\n" + lines + "\n}\n")
