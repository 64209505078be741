"""Every public NetCDF file and Zarr store that xarray opens, opened through a server: the same variables with the same values.

Values are compared cell by cell. Where a cell is missing for us and a number for xarray, netCDF4-python must say that it is
missing: unlike xarray it knows default fill values and valid ranges. What a cube does not hold must be of a kind that
`not_a_column` names."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Iterator

import netCDF4
import numpy as np
import pytest
import xarray as xr

import graticule

ROOT = Path(os.environ.get("GRATICULE_SHARED") or Path(__file__).resolve().parents[4] / "shared") / "data" / "public"
#: Larger variables are compared at both ends of their slowest dimension.
CELLS = 4_000_000
#: Attributes that decoding uses up, or that say how cells are stored.
STORAGE = {"_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned", "coordinates", "units", "calendar", "dtype"}


def is_zarr(path: Path) -> bool:
    return any((path / name).exists() for name in (".zgroup", "zarr.json", ".zmetadata")) or path.suffixes[-2:] == [".zarr", ".zip"]


def sources() -> list[str]:
    files = [p for form in ("netcdf3", "netcdf4") for p in sorted((ROOT / form).glob("*")) if p.is_file()]
    stores = [p for p in sorted((ROOT / "zarr").rglob("*")) if is_zarr(p)]
    return [str(p.relative_to(ROOT)) for p in files + stores]


def by_xarray(path: Path) -> xr.Dataset:
    """The data set of the file, or a skip where xarray has none."""
    try:
        if path.suffix == ".zip":
            import zarr

            found = xr.open_zarr(zarr.storage.ZipStore(str(path), mode="r"))
        else:
            found = xr.open_zarr(path) if is_zarr(path) else xr.open_dataset(path)
    except Exception as error:  # noqa: BLE001 - whatever keeps xarray from opening it
        pytest.skip(f"xarray does not open it: {str(error)[:80]}")
    if not found.variables:
        pytest.skip("no variables in its root group")
    return found


@pytest.fixture(scope="module")
def server(program: Path) -> Iterator[graticule.Client]:
    with graticule.serve(roots=[ROOT]) as client:
        yield client


@pytest.mark.parametrize("path", sources())
@pytest.mark.filterwarnings("ignore")
def test_the_same_as_xarray_alone(server: graticule.Client, path: str) -> None:
    want = by_xarray(ROOT / path)
    try:
        server.execute(f"CREATE OR REPLACE CUBE c FROM '{ROOT / path}'")
    except graticule.QueryError as error:
        assert "it holds no variables" in str(error), error
        kept = [name for name in want.variables if not not_a_column(want, str(name), set())]
        assert not kept, f"xarray has {kept}"
        return
    tables = [t for t in server.cubes().iloc[:, 0] if t == "c" or t.startswith("c.")]
    found = [server.open(t) for t in tables]
    seen = {str(name) for ds in found for name in ds.variables}
    lost = [name for name in want.variables if name not in seen and not not_a_column(want, str(name), seen)]
    assert not lost, f"xarray has {lost} beside {sorted(seen)}"
    for ds in found:
        for name in {n for n in ds.variables if n in want.variables and not is_grid_mapping(want, str(n))}:
            same_variable(ROOT / path, str(name), ds[name].variable, want[name].variable)


def not_a_column(want: xr.Dataset, name: str, seen: set[str]) -> bool:
    """What a cube does not hold as a column of its own."""
    variable = want[name].variable
    return (
        is_grid_mapping(want, name)  # it became the CRS
        or name in named_by(want, "bounds") | named_by(want, "climatology")  # of coordinates that are no axes, or of an axis of another variable
        or variable.dims == (name,) and not any(name in v.dims for other, v in want.variables.items() if other != name)  # an axis of nothing
        or f"{name}_values" in seen  # a variable of its axis's name
        or {f"{name}.r", f"{name}.i"} <= seen  # complex numbers are two columns
        or _only_coordinates(want)
    )


def is_grid_mapping(want: xr.Dataset, name: str) -> bool:
    return "grid_mapping_name" in want[name].attrs or name in named_by(want, "grid_mapping") | {"spatial_ref"}


def named_by(want: xr.Dataset, key: str) -> set[str]:
    """The names in an attribute of any variable."""
    return {word for v in want.variables.values() for word in re.findall(r"[^\s:]+", str({**v.attrs, **v.encoding}.get(key, "")))}


def _only_coordinates(want: xr.Dataset) -> bool:
    return not set(want.data_vars) - {str(v.attrs.get("bounds", v.encoding.get("bounds", ""))) for v in want.variables.values()}


def same_variable(path: Path, name: str, mine: xr.Variable, theirs: xr.Variable) -> None:
    plain = tuple(re.sub(r"(_2)+$", "", str(d)) if d not in theirs.dims else d for d in mine.dims)
    bounds = len(mine.dims) == 2 and mine.dims[1] == "bnds"
    assert mine.shape == theirs.shape, f"{name}: {mine.sizes} {theirs.sizes}"
    assert bounds or plain == theirs.dims, f"{name}: {mine.dims} {theirs.dims}"
    parts: list[Any] = [...] if mine.size <= CELLS else [slice(0, 1), slice(-1, None)]
    for part in parts:
        same_values(path, name, mine[part].values, theirs[part].values, theirs, part)
    if not bounds:
        for key, value in theirs.attrs.items():
            assert key in STORAGE or key in mine.attrs or key in mine.encoding, f"{name} lost {key}"
            if key in mine.attrs and isinstance(value, str) and "\ufffd" not in value:
                assert str(mine.attrs[key]).strip("\0") == value.strip("\0"), f"{name}.{key}"


def same_values(path: Path, name: str, mine: Any, theirs: Any, variable: xr.Variable, part: Any) -> None:
    if theirs.dtype.kind in "SUO" and not hasattr(theirs.flat[0] if theirs.size else "", "calendar"):
        text = lambda values: [(_decoded(v) if isinstance(v, bytes) else str(v)).rstrip("\0 ") for v in values.flat]
        assert text(mine) == text(theirs), name
        return
    if mine.dtype.kind == "O" and theirs.dtype.kind == "f":
        # bounds by the attribute `climatology`: instants by CF (section 7.4), numbers in xarray
        assert variable.ndim == 2, name
        return
    if theirs.dtype.kind == "O":
        apart = [abs((a - b).total_seconds()) for a, b in zip(mine.flat, theirs.flat, strict=True)]
        assert max(apart, default=0) < 1e-3, name
        return
    if theirs.dtype.kind == "M":
        ends = [v.astype("M8[ns]").astype("i8") for v in (mine, theirs)]
        assert (np.abs(ends[0] - ends[1]) <= 1000).all(), f"{name}: {mine.flat[:3]} {theirs.flat[:3]}"
        return
    if theirs.dtype.kind == "m":
        # xarray makes spans of time of what is measured in days; for us they are numbers with units
        return
    gone = np.isnan(mine) & ~np.isnan(theirs.astype("f8")) if mine.dtype.kind == "f" else np.zeros(mine.shape, bool)
    if gone.any():
        with netCDF4.Dataset(path) as file:
            masked = np.ma.getmaskarray(file[name][part])
        assert masked.reshape(gone.shape)[gone].all(), f"{name}: missing for us, and not for netCDF4"
    packed = "scale_factor" in variable.encoding or "add_offset" in variable.encoding
    single = np.float32 in (mine.dtype, theirs.dtype)
    # Packed values differ where scale and offset are applied in another precision; relative to the terms, not to their sum.
    precision = (3e-7 if single else 1e-15) if packed else 0
    largest = np.nanmax(np.abs(theirs), initial=0) if precision else 0
    np.testing.assert_allclose(mine[~gone], theirs[~gone], rtol=precision, atol=precision * largest, err_msg=name)


def _decoded(cell: bytes) -> str:
    try:
        return cell.decode()
    except UnicodeDecodeError:
        return cell.decode("latin-1")
