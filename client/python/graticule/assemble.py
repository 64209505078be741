"""Tiles to arrays: each tile is copied from Arrow's buffer straight into its place in the numpy result.

The results are allocated once without being filled. Copies run in a small thread pool (numpy releases the GIL) while the
next batch is received. What no tile covered, and NULL cells, become missing values at the end.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Iterable

import numpy as np
import pyarrow as pa

from .errors import Error
from .layout import Layout, Variable

#: Batches that may wait for their copy; with the server's 4 MiB a batch some 32 MB.
_AHEAD = 8
#: Cells of a batch from which on a thread copies them.
_WORTH_A_THREAD = 100_000


def assemble(layout: Layout, batches: Iterable[pa.RecordBatch]) -> dict[str, np.ndarray[Any, Any]]:
    """The variables of an answer by name, C order, slowest axis first. Tiles may come in any order."""
    targets = [_Target(variable) for variable in layout.variables]
    copies = _Copies()
    try:
        for batch in batches:
            origins = _origins(batch.column(layout.origin), len(layout.axes))
            for target in targets:
                tiles = _Tiles(batch.column(target.variable.column), origins, target.variable)
                if tiles.null_count and target.needs_promotion():
                    copies.wait()
                    target.promote()
                target.note(tiles)
                copies.add(target, tiles)
        copies.wait()
    finally:
        copies.stop()
    return {target.variable.name: target.finish() for target in targets}


class _Copies:
    """Large tiles are copied by threads, a bounded number ahead; small ones at once, since threads cost more than they do."""

    def __init__(self) -> None:
        self.pool: ThreadPoolExecutor | None = None
        self.pending: deque[Future[None]] = deque()

    def add(self, target: _Target, tiles: _Tiles) -> None:
        if tiles.cells < _WORTH_A_THREAD:
            target.copy(tiles)
            return
        if self.pool is None:
            threads = max(1, min(4, os.cpu_count() or 1))
            self.pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="graticule-tiles")
        self.pending.append(self.pool.submit(target.copy, tiles))
        while len(self.pending) > _AHEAD:
            self.pending.popleft().result()

    def wait(self) -> None:
        while self.pending:
            self.pending.popleft().result()

    def stop(self) -> None:
        if self.pool is not None:
            self.pool.shutdown()


def _origins(column: pa.ListArray, axes: int) -> np.ndarray[Any, Any]:
    """Cell indices of the tiles, [tiles, axes]."""
    flat = column.flatten().to_numpy(zero_copy_only=False)
    if flat.size != len(column) * axes:
        raise Error(f"a tile's origin does not have one index for each of the {axes} axes")
    return np.asarray(flat, np.int64).reshape(len(column), axes)


class _Tiles:
    """The tiles of one variable in one batch: views into Arrow's buffers."""

    def __init__(self, column: pa.Array, origins: np.ndarray[Any, Any], variable: Variable) -> None:
        if isinstance(column, pa.ExtensionArray):
            column = column.storage
        self.present = np.ones(len(column), bool) if column.null_count == 0 else column.is_valid().to_numpy(zero_copy_only=False)
        data = column.field("data")
        n, ndim = len(column), len(variable.dims)
        self.values = data.values
        self.offsets = np.asarray(data.offsets.to_numpy(zero_copy_only=False), np.int64)
        shapes = column.field("shape")
        flat = shapes.values.to_numpy(zero_copy_only=False)[shapes.offset * ndim : (shapes.offset + n) * ndim]
        self.shapes = np.asarray(flat, np.int64).reshape(n, ndim)
        self.origins = origins[:, list(variable.axes)]
        ends = self.origins + self.shapes
        if (self.origins < 0).any() or (self.shapes < 0).any() or (ends > np.asarray(variable.shape, np.int64)).any():
            raise Error(f"a tile of {variable.name} lies outside its axes")
        if (np.diff(self.offsets)[self.present] != self.shapes.prod(axis=1)[self.present]).any():
            raise Error(f"a tile of {variable.name} does not have the cells of its shape")
        self.null_count = self.values.null_count
        self.cells = len(self.values)


class _Target:
    """The result of one variable while it is put together."""

    def __init__(self, variable: Variable) -> None:
        self.variable = variable
        self.read = _reader(variable.type)
        self.array = np.empty(variable.shape, self.read.dtype)
        self.boxes: list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = []

    def needs_promotion(self) -> bool:
        return self.array.dtype.kind in "iub"

    def promote(self) -> None:
        """To a floating-point type, which can say that a cell is missing."""
        self.array = self.array.astype(np.float32 if self.array.dtype.itemsize <= 2 else np.float64)

    def note(self, tiles: _Tiles) -> None:
        """Remembers which cells are covered."""
        starts = tiles.origins[tiles.present]
        self.boxes.append((starts, starts + tiles.shapes[tiles.present]))

    def copy(self, tiles: _Tiles) -> None:
        """Copies each tile into its place. Tiles of one answer do not overlap, so that threads do not meet."""
        for i in np.flatnonzero(tiles.present):
            shape = tuple(tiles.shapes[i])
            # The ellipsis makes a view also of an array without dimensions.
            box: tuple[Any, ...] = (*(slice(o, o + s) for o, s in zip(tiles.origins[i], shape, strict=True)), ...)
            place = self.array[box]
            start, stop = int(tiles.offsets[i]), int(tiles.offsets[i + 1])
            place[...] = self.read.values(tiles.values, start, stop).reshape(shape)
            if tiles.null_count:
                missing = ~_validity(tiles.values, start, stop)
                if missing.any():
                    np.copyto(place, _missing(self.array.dtype), where=missing.reshape(shape))

    def finish(self) -> np.ndarray[Any, Any]:
        """The result, with missing values where no tile was (0 in counts)."""
        for hole in self._holes():
            if self.needs_promotion() and not self.variable.zero_when_absent:
                self.promote()
            self.array[hole] = 0 if self.variable.zero_when_absent else _missing(self.array.dtype)
        return self.array

    def _holes(self) -> Iterable[tuple[slice, ...]]:
        """The boxes that no tile covers, on the coarse grid that the tiles' edges make."""
        shape = self.variable.shape
        if self.array.size == 0:
            return []
        if not self.boxes:
            return [tuple(slice(None) for _ in shape)]
        starts = np.concatenate([b[0] for b in self.boxes])
        ends = np.concatenate([b[1] for b in self.boxes])
        edges = [np.unique(np.concatenate([[0, n], starts[:, d], ends[:, d]])) for d, n in enumerate(shape)]
        covered = np.zeros([len(e) - 1 for e in edges], bool)
        first = [np.searchsorted(e, starts[:, d]) for d, e in enumerate(edges)]
        last = [np.searchsorted(e, ends[:, d]) for d, e in enumerate(edges)]
        for k in range(len(starts)):
            covered[tuple(slice(f[k], t[k]) for f, t in zip(first, last, strict=True))] = True
        return [tuple(slice(e[i], e[i + 1]) for e, i in zip(edges, cell, strict=True)) for cell in np.argwhere(~covered)]


def _missing(dtype: np.dtype[Any]) -> Any:
    if dtype.kind in "mM":
        return np.array("NaT", dtype)
    return None if dtype.kind == "O" else np.array(np.nan, dtype)


def _validity(values: pa.Array, start: int, stop: int) -> np.ndarray[Any, Any]:
    """True where cells [start, stop) are not NULL."""
    return _bits(values.buffers()[0], values.offset + start, stop - start)


def _bits(bitmap: pa.Buffer | None, start: int, n: int) -> np.ndarray[Any, Any]:
    if bitmap is None:
        return np.ones(n, bool)
    first = start // 8
    raw = np.frombuffer(bitmap, np.uint8)[first : (start + n + 7) // 8]
    return np.unpackbits(raw, bitorder="little")[start - first * 8 :][:n].view(bool)


class _Reader:
    """Cells of one Arrow type as numpy: a view where the layouts agree."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype

    def values(self, values: pa.Array, start: int, stop: int) -> np.ndarray[Any, Any]:
        raw = np.frombuffer(values.buffers()[1], self.dtype) if values.buffers()[1] is not None else np.empty(0, self.dtype)
        return raw[values.offset + start : values.offset + stop]


class _Booleans(_Reader):
    def values(self, values: pa.Array, start: int, stop: int) -> np.ndarray[Any, Any]:
        return _bits(values.buffers()[1], values.offset + start, stop - start)


class _Objects(_Reader):
    """Types without a numpy layout: text, decimals. One Python object a cell."""

    def values(self, values: pa.Array, start: int, stop: int) -> np.ndarray[Any, Any]:
        out = np.empty(stop - start, object)
        out[:] = values.slice(start, stop - start).to_pylist()
        return out


class _Cast(_Reader):
    """Types that pyarrow turns into one with a numpy layout first: dates into seconds."""

    def __init__(self, dtype: np.dtype[Any], to: pa.DataType) -> None:
        super().__init__(dtype)
        self.to = to

    def values(self, values: pa.Array, start: int, stop: int) -> np.ndarray[Any, Any]:
        part = values.slice(start, stop - start).cast(self.to)
        return np.frombuffer(part.buffers()[1], self.dtype)[part.offset : part.offset + len(part)]


def _reader(type_: pa.DataType) -> _Reader:
    if pa.types.is_timestamp(type_):
        return _Reader(np.dtype(f"datetime64[{type_.unit}]"))
    if pa.types.is_duration(type_):
        return _Reader(np.dtype(f"timedelta64[{type_.unit}]"))
    if pa.types.is_date(type_):
        return _Cast(np.dtype("datetime64[s]"), pa.timestamp("s"))
    if pa.types.is_boolean(type_):
        return _Booleans(np.dtype(bool))
    if pa.types.is_decimal(type_):
        return _Cast(np.dtype(np.float64), pa.float64())
    if pa.types.is_integer(type_) or pa.types.is_floating(type_):
        return _Reader(np.dtype(type_.to_pandas_dtype()))
    return _Objects(np.dtype(object))
