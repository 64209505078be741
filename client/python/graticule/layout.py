"""What the schema of an array answer says: axes with their coordinates, scalars, CRS, and the variables' dimensions.

The JSON under ``graticule.axes`` and the extension type ``arrow.variable_shape_tensor`` are described in the README of
this package ("On the wire").
"""

from __future__ import annotations

import base64
import itertools
import json
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from .errors import Error

AXES_KEY = b"graticule.axes"
ATTRIBUTES_KEY = b"graticule.attributes"
DIMS_KEY = b"graticule.dims"
ABSENT_KEY = b"graticule.absent"
_EXTENSION_METADATA = b"ARROW:extension:metadata"
ORIGIN = "origin"
_SHOWN_NAMES = re.compile(r"dim_names=\[(.*?)\](?:, permutation=|, uniform_shape=|\])")


@dataclass(frozen=True)
class Axis:
    """One dimension of an answer. ``coordinates`` is None for an axis of positions."""

    name: str
    size: int
    dtype: np.dtype[Any] | None
    units: str | None
    calendar: str | None
    role: str | None
    attributes: dict[str, Any]
    coordinates: np.ndarray[Any, Any] | None
    bounds: Bounds | None = None


@dataclass(frozen=True)
class Bounds:
    """Lower and upper bound of each cell of an axis, [cells, 2], under the name of the files' bounds variable."""

    name: str
    values: np.ndarray[Any, Any]


@dataclass(frozen=True)
class Scalar:
    """An axis that the query fixed at one coordinate."""

    name: str
    value: Any
    attributes: dict[str, Any]
    calendar: str | None = None


@dataclass(frozen=True)
class Variable:
    """One column of tensors. ``dims`` are its own dimensions, slowest first; ``axes`` their places among the answer's axes."""

    name: str
    dims: tuple[str, ...]
    axes: tuple[int, ...]
    shape: tuple[int, ...]
    type: pa.DataType
    zero_when_absent: bool
    attributes: dict[str, Any]
    column: int


@dataclass(frozen=True)
class Layout:
    """The whole answer before its tiles."""

    axes: tuple[Axis, ...]
    variables: tuple[Variable, ...]
    scalars: tuple[Scalar, ...] = ()
    crs: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    origin: int = 0


def parse(schema: pa.Schema) -> Layout:
    """Reads the schema of an array answer; Error when it is not one."""
    text = (schema.metadata or {}).get(AXES_KEY)
    if text is None:
        raise Error("the answer is not in array form: a query for array() selects from a cube or keeps its axes; use sql() for rows")
    try:
        described = json.loads(text)
        axes = tuple(_axis(a) for a in described["axes"])
        places = {axis.name: i for i, axis in enumerate(axes)}
        variables = []
        for i, column in enumerate(schema):
            if column.name != ORIGIN:
                variables.append(_variable(column, i, axes, places))
        return Layout(
            axes=axes,
            variables=tuple(variables),
            scalars=tuple(Scalar(s["name"], _scalar(s["value"], s.get("dtype")), dict(s.get("attributes") or {}), s.get("calendar")) for s in described.get("scalars", ())),
            crs=described.get("crs"),
            attributes=dict(described.get("attributes") or {}),
            origin=schema.get_field_index(ORIGIN),
        )
    except (KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise Error(f"cannot understand the server's description of an array: {error!r}") from error


def _variable(column: pa.Field, index: int, axes: tuple[Axis, ...], places: dict[str, int]) -> Variable:
    storage = column.type.storage_type if isinstance(column.type, pa.BaseExtensionType) else column.type
    names = _dim_names(column, storage.field("shape").type.list_size, [axis.name for axis in axes])
    at = tuple(places[name] for name in names)
    inner = storage.field("data").type.value_field
    return Variable(
        name=column.name,
        dims=tuple(names),
        axes=at,
        shape=tuple(axes[i].size for i in at),
        type=inner.type,
        zero_when_absent=(column.metadata or {}).get(ABSENT_KEY) == b"0",
        attributes=json.loads((column.metadata or {}).get(ATTRIBUTES_KEY, b"{}")),
        column=index,
    )


def _dim_names(column: pa.Field, ndim: int, axes: list[str]) -> list[str]:
    """The dimensions of a tensor column: said by the field, else by the metadata of its extension type."""
    metadata = column.metadata or {}
    if DIMS_KEY in metadata:
        return list(json.loads(metadata[DIMS_KEY]))
    if _EXTENSION_METADATA in metadata:
        return list(json.loads(metadata[_EXTENSION_METADATA]).get("dim_names") or axes)
    if ndim in (0, len(axes)):
        return axes[:ndim]
    # A pyarrow whose C++ knows the extension type takes the metadata from the field and shows them only as text:
    # extension<arrow.variable_shape_tensor[value_type=float, ndim=2, dim_names=[lat,lon]]>.
    shown = _SHOWN_NAMES.search(str(column.type))
    for names in itertools.permutations(axes, ndim):
        if shown is not None and shown[1] == ",".join(names):
            return list(names)
    raise ValueError(f"the dimensions of {column.name} are not known")


def _axis(described: dict[str, Any]) -> Axis:
    size, dtype = int(described["size"]), _dtype(described.get("dtype"))
    return Axis(
        name=described["name"],
        size=size,
        dtype=dtype,
        units=described.get("units"),
        calendar=described.get("calendar"),
        role=described.get("role"),
        attributes=dict(described.get("attributes") or {}),
        coordinates=_coordinates(described.get("coordinates"), size, dtype),
        bounds=_bounds(described.get("bounds"), size),
    )


def _bounds(described: dict[str, Any] | None, size: int) -> Bounds | None:
    if described is None:
        return None
    dtype = _dtype(described.get("dtype"))
    if "edges" in described:
        edges = _coordinates(described["edges"], size + 1, dtype)
        values = None if edges is None else np.stack([edges[:-1], edges[1:]], axis=1)
    else:
        pairs = _coordinates(described["pairs"], 2 * size, dtype)
        values = None if pairs is None else pairs.reshape(size, 2)
    return None if values is None else Bounds(described["name"], values)


def _dtype(name: str | None) -> np.dtype[Any] | None:
    """numpy's type of this name; None where numpy has none, and the coordinates speak for themselves."""
    try:
        return np.dtype(object) if name == "str" else np.dtype(name) if name is not None else None
    except TypeError:
        return None


def _coordinates(described: dict[str, Any] | None, size: int, dtype: np.dtype[Any] | None) -> np.ndarray[Any, Any] | None:
    if described is None:
        return None
    if "ipc" in described:
        table = pa.ipc.open_stream(base64.b64decode(described["ipc"])).read_all()
        values = from_arrow(table.column(0))
        if len(values) != size:
            raise ValueError(f"an axis of {size} cells has {len(values)} coordinates")
        return values if dtype is None or dtype == object else values.astype(dtype, copy=False)
    start, step = described["start"], described["step"]
    if dtype is None:
        dtype = np.dtype(np.float64)
    if dtype.kind in "mMiu":
        whole = int(start) + int(step) * np.arange(size, dtype=np.int64)
        return whole.view(dtype) if dtype.kind in "mM" else whole.astype(dtype)
    return (np.float64(start) + np.arange(size, dtype=np.float64) * np.float64(step)).astype(dtype)


def _scalar(value: Any, dtype: str | None) -> Any:
    if dtype is None or dtype == "str" or value is None:
        return value
    kind = _dtype(dtype)
    if kind is None:
        return value
    if kind.kind == "M" and isinstance(value, str):
        return np.datetime64(value.rstrip("Z")).astype(kind)
    return np.array(int(value), np.int64).view(kind)[()] if kind.kind in "mM" else kind.type(value)


def from_arrow(column: pa.ChunkedArray | pa.Array) -> np.ndarray[Any, Any]:
    """A column without NULLs as numpy: instants keep their unit and lose their zone, text becomes objects."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if pa.types.is_timestamp(column.type):
        return np.asarray(column.cast(pa.int64()).to_numpy(zero_copy_only=False)).view(f"datetime64[{column.type.unit}]")
    if pa.types.is_date(column.type):
        return np.asarray(column.to_numpy(zero_copy_only=False)).astype("datetime64[s]")
    return np.asarray(column.to_numpy(zero_copy_only=False))
