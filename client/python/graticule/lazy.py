"""A cube as a lazy dataset: indexing a variable asks the server for just those cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from . import dataset
from .layout import Layout, Variable

if TYPE_CHECKING:
    from .client import Client

def quoted(name: str) -> str:
    """A name as SQL takes it for itself, whatever its letters: `a.b`, `Order` and `order` need it."""
    return '"' + name.replace('"', '""') + '"'


def open_cube(client: Client, cube: str) -> xr.Dataset:
    """The dataset of a cube. Asks for the plan of ``SELECT *``, whose schema describes every axis; reads no chunk."""
    layout = client.layout(f"SELECT * FROM {quoted(cube)}")
    lazy = {v.name: indexing.LazilyIndexedArray(CubeArray(client, cube, layout, v)) for v in layout.variables}
    found = dataset.build(layout, lazy)
    for variable in layout.variables:
        found[variable.name].encoding["dtype"] = lazy[variable.name].dtype
    return found


class CubeArray(BackendArray):
    """One variable of a cube for xarray's lazy indexing."""

    def __init__(self, client: Client, cube: str, layout: Layout, variable: Variable) -> None:
        self.client = client
        self.cube = cube
        self.variable = variable
        self.shape = variable.shape
        self.dtype = dataset.lazy_dtype(variable)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> Any:
        """Asks for the bounding box of the key, strided where the key is regular, and picks the rest in numpy."""
        subsets, picks = [], []
        for name, size, part in zip(self.variable.dims, self.shape, key, strict=True):
            box, pick, count = bounding(part, size)
            if count == 0:
                return np.empty([n for n in map(_count, key, self.shape) if n is not None], self.dtype)
            picks.append(pick)
            if box is not None:
                subsets.append(f"{quoted(name)}(INDEX {box})")
        text = f"SELECT {quoted(self.variable.name)} FROM {quoted(self.cube)}"
        if subsets:
            text += f"[{', '.join(subsets)}]"
        values = self.client.arrays(text)[self.variable.name]
        for axis in reversed(range(len(picks))):
            if picks[axis] is not None:
                values = values[(slice(None),) * axis + (picks[axis],)]
        return values.astype(self.dtype, copy=False) if values.dtype.kind != "f" or self.dtype.kind == "f" else values


def bounding(part: Any, size: int) -> tuple[str | None, Any, int]:
    """For one part of an outer key: the ends (both included) and stride to ask for, or None for the whole axis; how to
    pick from the answer, or None for all of it; and how many cells it names."""
    if isinstance(part, (int, np.integer)):
        at = int(part) % size
        return f"{at}:{at}", 0, 1
    if isinstance(part, slice):
        wanted = range(*part.indices(size))
        if len(wanted) == 0:
            return None, None, 0
        low, high, step = min(wanted[0], wanted[-1]), max(wanted[0], wanted[-1]), abs(wanted.step)
        whole = low == 0 and high == size - 1 and step == 1
        return None if whole else _box(low, high, step), slice(None, None, -1) if wanted.step < 0 else None, len(wanted)
    indices = np.asarray(part, np.int64)
    indices = np.where(indices < 0, indices + size, indices)
    if indices.size == 0:
        return None, None, 0
    low, high = int(indices.min()), int(indices.max())
    step = int(np.gcd.reduce(indices - low)) or 1
    return _box(low, high, step), (indices - low) // step, int(indices.size)


def _box(low: int, high: int, step: int) -> str:
    return f"{low}:{high}" if step == 1 or low == high else f"{low}:{high}:{step}"


def _count(part: Any, size: int) -> int | None:
    if isinstance(part, (int, np.integer)):
        return None
    return len(range(*part.indices(size))) if isinstance(part, slice) else int(np.asarray(part).size)
