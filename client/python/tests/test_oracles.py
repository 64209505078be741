"""Public files through the server: what SQL (dense and as rows), arrays and lazy data sets answer is what independent readers saw."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import pytest

import graticule

ROOT = Path(os.environ.get("GRATICULE_SHARED") or Path(__file__).resolve().parents[4] / "shared") / "data" / "public"
FORMATS = ["netcdf4", "tiff"]
#: Above this the array forms are not fetched; statistics are compared at any size.
CELLS = 4_000_000
#: Variables where the oracle is not what a cube holds, with the reason.
EXCEPT = {
    # -127 is the default fill value of 8-bit types, and legal data: only netCDF4-python takes it for missing.
    ("netcdf4/alldatatypes.nc", "/ubyte_var"),
    ("netcdf4/alldatatypes.nc", "/byte_var"),
    ("netcdf4/alldatatypes.nc", "/byte_unsigned_false_var"),
    # The oracle's libjpeg (IJG 9) spreads subsampled chroma otherwise than libjpeg-turbo, with which storage's tests compare.
    *((f"tiff/{file}", f"/band_{n}") for n in (1, 2, 3) for file in (
        "be_cog.tiff", "cogeo.tif", "goes.tif", "image_geos.tif", "cog_hirise_mars.tif", "rgbsmall_JPEG_ycbcr.tif", "tiled-jpeg-ycbcr.tif",
    )),
    # GDAL makes RGBA of CMYK; a cube holds the samples as stored.
    *(("tiff/rgbsmall_cmyk.tif", f"/band_{n}") for n in (1, 2, 3, 4)),
}


def oracles() -> list[str]:
    return [str(p.relative_to(ROOT / "oracles")) for f in FORMATS for p in sorted((ROOT / "oracles" / f).glob("*.json"))]


@pytest.fixture(scope="module")
def server(program) -> Iterator[graticule.Client]:
    with graticule.serve(roots=[ROOT]) as client:
        yield client


def number(value: Any) -> float:
    """A number of an oracle; missing is NaN."""
    return math.nan if value is None else float(value.replace("Infinity", "inf") if isinstance(value, str) else value)


def readings(oracle: dict[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The numeric variables that conventions apply to: name, and the readings of it that are right."""
    for path, v in oracle.get("variables", {}).items():
        decoded = [v[k] for k in ("decoded_xarray", "decoded_netcdf4") if (v.get(k) or {}).get("stats")]
        decoded = decoded or [v[k] for k in ("raw",) if (v.get(k) or {}).get("stats")]
        if decoded:
            yield path, [dict(r, shape=v["shape"]) for r in decoded]
    raster = oracle.get("raster") or {}
    for band in raster.get("bands", []):
        stats = next((band[k] for k in ("scaled_valid_stats", "valid_stats", "raw_stats") if band.get(k)), None)
        if stats:
            # the samples of a scaled band are as stored
            samples = [] if band.get("scaled_valid_stats") else [
                dict(index=[s["row"], s["col"]], value=None if s["masked"] else s["value"]) for s in band.get("values_at", [])
            ]
            yield f"/band_{band['band']}", [dict(stats=stats, values_at=samples, shape=[raster["height"], raster["width"]])]


def cubes_of(client: graticule.Client, name: str) -> list[str]:
    names = list(client.cubes().iloc[:, 0])
    return [n for n in names if n == name or n.startswith(f"{name}.")]


def same(found: Any, wanted: Any, relative: float = 1e-5) -> bool:
    a, b = number(found), number(wanted)
    return a == b or (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=relative, abs_tol=1e-9)


def equal(found: dict[str, Any], reading: dict[str, Any]) -> bool:
    stats = reading["stats"]
    # The sum behind the mean of the largest doubles overflows in one order of addition and not in another.
    keys = ("min", "max", "mean") if abs(number(stats.get("max", 0))) < 1e300 else ("min", "max")
    return found["count"] == stats["count"] and all(same(found[k], stats[k]) for k in keys if k in stats)


@pytest.mark.parametrize("path", oracles())
def test_values_of_independent_readers(server, path):
    oracle = json.loads((ROOT / "oracles" / path).read_text())
    wanted = dict(readings(oracle))
    if not wanted:
        pytest.skip("no numeric arrays")
    cube = Path(oracle["file"]).name
    try:
        server.execute(f"CREATE CUBE \"{cube}\" FROM '{ROOT / oracle['file']}'")
    except graticule.QueryError as error:
        assert "unsupported" in str(error) or "can be read" in str(error) or "no variables" in str(error), error
        pytest.skip(f"refused: {error}")
    compared = 0
    for name in cubes_of(server, cube):
        whole = server.open(name)
        # the two bounds of a cell are no axis of the cube
        cells = math.prod(n for axis, n in whole.sizes.items() if any(axis in v.dims for v in whole.data_vars.values()))
        for variable, lazy in whole.data_vars.items():
            right = wanted.get("/" + str(variable).replace(".", "/"))
            if right is None or lazy.dtype.kind not in "iuf" or (oracle["file"], "/" + str(variable).replace(".", "/")) in EXCEPT:
                continue
            right = [r for r in right if list(r["shape"]) == list(lazy.shape) or not r["shape"]]
            assert right, f"{name}.{variable}: shape {lazy.shape}"
            column = '"' + str(variable).replace('"', '""') + '"'
            query = f'SELECT count({column}) AS "count", min({column}) AS "min", max({column}) AS "max", avg({column}) AS "mean" FROM "{name}"'
            answers = {"dense": server.sql(query)}
            if cells <= CELLS:
                # the same by rows, which no dense rule has touched
                answers["rows"] = server.sql(query.replace("FROM", "FROM (SELECT * FROM") + " OFFSET 0)")
            for way, answer in answers.items():
                found = answer.to_pylist()[0]
                # a variable without some of the cube's axes has its value in every row along them
                found["count"] //= max(1, cells // max(1, lazy.size))
                assert any(equal(found, r) for r in right), f"{name}.{variable}, {way}: {found}, want {[r['stats'] for r in right]}"
            compared += 1
            if lazy.size > CELLS:
                continue
            forms = {"open": lazy.values}
            if lazy.size == cells:
                forms["array"] = server.array(f'SELECT {column} FROM "{name}"')[variable].transpose(*lazy.dims).values
            for way, values in forms.items():
                samples = [[(s["value"], values[tuple(s["index"])]) for s in r.get("values_at", [])] for r in right]
                assert any(all(same(b, a, 1e-6) for a, b in pairs) for pairs in samples), f"{name}.{variable}, {way}: {samples}"
                assert np.isfinite(values.astype("f8")).sum() <= values.size
    if not compared:
        pytest.skip("no variable of the oracle is a plain number")
