#!/usr/bin/env python3
"""The decode limit of the machine: how long the chunks that a workload needs take to be read from the page cache and decoded
once, by libdeflate and vectorised unshuffle and predictor kernels (imagecodecs), on all cores. Nothing is computed of them.

    python limit.py DATA_FOLDER          # prints {"W3": seconds, ...}, medians of three
"""

from __future__ import annotations

import glob
import json
import os
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable

import h5py
import imagecodecs
import numpy as np
import tifffile

Task = Callable[[], Any]


def hdf5(files: list[str], variable: str, most: int = 1 << 62) -> list[Task]:
    """One task a chunk of the variable that begins before step `most` of the files laid end to end."""
    tasks: list[Task] = []
    start = 0
    for file in files:
        fd = os.open(file, os.O_RDONLY)
        with h5py.File(file) as h:
            d = h[variable]
            cells, dtype, shuffle = int(np.prod(d.chunks)), d.dtype, d.shuffle
            for i in range(d.id.get_num_chunks()):
                chunk = d.id.get_chunk_info(i)
                if start + chunk.chunk_offset[0] < most:
                    tasks.append(lambda fd=fd, c=chunk, n=cells, t=dtype, s=shuffle: inflated(os.pread(fd, c.size, c.byte_offset), n, t, s))
            start += d.shape[0]
    return tasks


def inflated(stored: bytes, cells: int, dtype: np.dtype[Any], shuffle: bool) -> Any:
    """A chunk: inflate, then unshuffle."""
    raw = imagecodecs.deflate_decode(stored, out=cells * dtype.itemsize)
    if not shuffle:
        return raw
    out = np.empty(cells, dtype)
    return imagecodecs.byteshuffle_decode(np.frombuffer(raw, dtype).reshape(1, cells), axis=-1, out=out.reshape(1, cells))


def tiff(files: list[str]) -> list[Task]:
    """One task a tile: inflate, then horizontal differencing."""
    tasks: list[Task] = []
    for file in files:
        fd = os.open(file, os.O_RDONLY)
        with tifffile.TiffFile(file) as t:
            page = t.pages[0]
            shape, dtype = page.tile, page.dtype
            for offset, size in zip(page.dataoffsets, page.databytecounts, strict=True):
                tasks.append(lambda fd=fd, o=offset, n=size, s=shape, t=dtype: differenced(os.pread(fd, n, o), s, t))
    return tasks


def differenced(stored: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """A tile with predictor 2."""
    raw = np.frombuffer(imagecodecs.deflate_decode(stored, out=int(np.prod(shape)) * dtype.itemsize), dtype).reshape(shape)
    return imagecodecs.delta_decode(raw, axis=-1)


def seconds(tasks: list[Task]) -> float:
    """Median of three runs on all cores, after one that is not counted."""
    found = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in range(4):
            start = time.perf_counter()
            for _ in pool.map(lambda task: task() is None, tasks):
                pass
            found.append(time.perf_counter() - start)
    return statistics.median(found[1:])


def main() -> None:
    """Prints the limits of the workloads whose chunks are all of a variable's, or all of some."""
    folder = Path(sys.argv[1])
    nc = sorted(glob.glob(str(folder / "d1/nc/*.nc")))
    scenes = {band: sorted(glob.glob(str(folder / f"d2/*_{band}.tif"))) for band in ("B04", "B08", "SCL")}
    with h5py.File(nc[0]) as h:
        step = h["t2m"].chunks[0]
    t2m, composite = seconds(hdf5(nc, "t2m")), seconds([task for files in scenes.values() for task in tiff(files)])
    limits = dict.fromkeys(["W3", "W4", "W5", "W6", "W9", "W14", "W15"], t2m) | {"W7": composite, "W8": composite}
    limits["W10a"] = limits["W11"] = seconds(tiff(scenes["B08"][:1]))
    limits["W12"] = seconds(hdf5(nc, "t2m", 240 // step * step))
    limits["W13"] = limits["W13w"] = seconds(hdf5(sorted(glob.glob(str(folder / "d3/*.nc"))), "sst"))
    limits["W16"] = t2m + seconds(hdf5(nc, "tp"))
    print(json.dumps({wid: round(limit, 4) for wid, limit in limits.items()}))


if __name__ == "__main__":
    main()
