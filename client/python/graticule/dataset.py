"""Array answers as xarray datasets, with the conventions that xarray itself keeps: what decoding used up goes to
``encoding`` (fill values, packing, time units, calendar), the rest stays in ``attrs``."""

from __future__ import annotations

from typing import Any, Mapping

import numpy as np
import xarray as xr

from .layout import Axis, Bounds, Layout, Variable

#: Attributes that decoding used up. xarray moves the same ones.
_DECODED = ("_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned", "coordinates")
_NUMBERS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
#: The attribute that holds a CRS, and the coordinate that carries it where the files name no grid mapping; both as rioxarray has them.
SPATIAL_REF = "spatial_ref"
#: The dimension of the two bounds of a cell.
BOUNDS = "bnds"


def build(layout: Layout, data: Mapping[str, Any]) -> xr.Dataset:
    """The dataset of an answer; `data` holds an array, lazy or not, for each variable."""
    coords: dict[str, xr.Variable] = {}
    for axis in layout.axes:
        if axis.coordinates is not None:
            coords[axis.name] = coordinate(axis)
        if axis.bounds is not None and axis.bounds.name not in data:
            taken = any(a.name == BOUNDS and a.size != 2 for a in layout.axes)
            coords[axis.bounds.name] = bounds(axis, axis.bounds, f"{axis.name}_{BOUNDS}" if taken else BOUNDS)
    for scalar in layout.scalars:
        attributes, encoding = split(scalar.attributes)
        if isinstance(scalar.value, np.datetime64):
            _move_time(attributes, encoding, None)
        one = xr.Variable((), scalar.value, attributes, encoding)
        if scalar.calendar is not None and not isinstance(scalar.value, np.datetime64):
            one.attrs.setdefault("calendar", scalar.calendar)
            one = _model_time(scalar.name, one)
        coords[scalar.name] = one
    if layout.crs is not None:
        for name in {str(v.attributes.get("grid_mapping", SPATIAL_REF)) for v in layout.variables} - set(data):
            coords[name] = xr.Variable((), np.int64(0), {SPATIAL_REF: layout.crs})
    variables: dict[str, xr.Variable] = {}
    for variable in layout.variables:
        attributes, encoding = split(variable.attributes)
        if getattr(data[variable.name], "dtype", np.dtype(object)).kind == "M":
            _move_time(attributes, encoding, None)
        if layout.crs is not None and "grid_mapping" not in attributes:
            encoding["grid_mapping"] = SPATIAL_REF
        one = xr.Variable(variable.dims, data[variable.name], attributes, encoding)
        variables[variable.name] = _model_time(variable.name, one) if _is_time(one) else one
    # What a `coordinates` attribute names is a coordinate, as xarray has it.
    said = [v.attributes.get("coordinates", "") for v in layout.variables] + [layout.attributes.get("coordinates", "")]
    for name in {word for text in said if isinstance(text, str) for word in text.split()} & set(variables):
        coords[name] = variables.pop(name)
    attributes = {k: _value(v) for k, v in layout.attributes.items() if k != "coordinates"}
    return xr.Dataset(variables, coords, attributes)


def coordinate(axis: Axis) -> xr.Variable:
    """The coordinate variable of an axis."""
    attributes, encoding = split(axis.attributes)
    if axis.units is not None:
        attributes.setdefault("units", axis.units)
    if axis.coordinates is not None and axis.coordinates.dtype.kind == "M":
        _move_time(attributes, encoding, axis.calendar)
    elif axis.calendar is not None:
        attributes.setdefault("calendar", axis.calendar)
        return _model_time(axis.name, xr.Variable((axis.name,), axis.coordinates, attributes, encoding))
    return xr.Variable((axis.name,), axis.coordinates, attributes, encoding)


def bounds(axis: Axis, of: Bounds, dimension: str) -> xr.Variable:
    """The bounds of an axis's cells, as xarray reads them: a variable along the axis and a dimension of two, in the axis's calendar."""
    counts = xr.Variable((axis.name, dimension), of.values)
    if axis.calendar is None or of.values.dtype.kind == "M":
        return counts
    counts.attrs.update(units=axis.units, calendar=axis.calendar)
    return _model_time(of.name, counts)


def _is_time(variable: xr.Variable) -> bool:
    """True for numbers whose units count from an instant: times of a calendar that only models have."""
    units = variable.attrs.get("units")
    return variable.dtype.kind in "iuf" and isinstance(units, str) and " since " in units and "calendar" in variable.attrs


def _model_time(name: str, counts: xr.Variable) -> xr.Variable:
    """Times of a calendar that only models have, as cftime objects where cftime is installed, else as they are: numbers."""
    try:
        return xr.conventions.decode_cf_variable(name, counts)
    except (ImportError, ValueError):
        return counts


def split(described: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Attributes and encoding."""
    attributes: dict[str, Any] = {}
    encoding: dict[str, Any] = {}
    for key, value in described.items():
        (encoding if key in _DECODED else attributes)[key] = _number(value) if key in _DECODED else _value(value)
    return attributes, encoding


def lazy_dtype(variable: Variable) -> np.dtype[Any]:
    """The type that a variable's cells will have when they are read: the rule of xarray, by which integers that
    declare a missing value are read as floating point, as wide as they need."""
    from .assemble import _reader

    dtype = _reader(variable.type).dtype
    declares = any(key in variable.attributes for key in ("_FillValue", "missing_value", "valid_range", "valid_min", "valid_max"))
    if dtype.kind in "iub" and declares:
        return np.dtype(np.float32 if dtype.itemsize <= 2 else np.float64)
    return dtype


def _move_time(attributes: dict[str, Any], encoding: dict[str, Any], calendar: str | None) -> None:
    for key in ("units", "calendar"):
        if key in attributes:
            encoding[key] = attributes.pop(key)
    if calendar is not None:
        encoding.setdefault("calendar", calendar)


def _value(value: Any) -> Any:
    """A list of numbers as numpy, as netCDF gives it."""
    if isinstance(value, list) and value and all(isinstance(v, (int, float)) or v in _NUMBERS for v in value):
        return np.asarray([_number(v) for v in value])
    return value


def _number(value: Any) -> Any:
    return _NUMBERS.get(value, value) if isinstance(value, str) else _value(value) if isinstance(value, list) else value
