"""Makes chunks.json: chunks as libhdf5 stores them (h5py's read_direct_chunk), with what h5py reads from them.

Run: python make_chunks.py   (needs h5py and numpy; last run with h5py 3.16, HDF5 2.0)
"""

import io
import json
import pathlib
import zlib

import h5py
import numpy as np

CASES = [
    # dtype, cells, shuffle, deflate level, fletcher32
    ("i1", 37, True, 4, False),
    ("<i2", 250, True, 4, False),
    ("<i2", 250, False, 1, False),
    (">i4", 121, True, 9, True),
    ("<f4", 300, True, 4, True),
    ("<f8", 77, True, 6, False),
    ("<f8", 77, True, None, True),
    ("<u2", 51, False, None, True),
    ("u1", 51, False, None, True),
    ("S3", 40, True, 4, False),
    ("S12", 33, True, 4, True),
]

cases = []
for dtype, cells, shuffle, level, fletcher in CASES:
    steps = np.cumsum(np.random.default_rng(cells).integers(-9, 12, cells))
    data = np.array([b"%d" % v for v in steps], dtype) if dtype.startswith("S") else steps.astype(dtype)
    with h5py.File("x", "w", driver="core", backing_store=False) as f:
        options = dict(compression="gzip", compression_opts=level) if level is not None else {}
        d = f.create_dataset("x", data=data, chunks=data.shape, shuffle=shuffle, fletcher32=fletcher, **options)
        assert (d[...] == data).all()
        mask, stored = d.id.read_direct_chunk((0,))
    codecs = [{"Shuffle": {"element": data.itemsize}}] * shuffle + ["Deflate"] * (level is not None) + ["Fletcher32"] * fletcher
    cases.append(dict(codecs=codecs, skip=mask, stored=bytes(stored).hex(), decoded=data.tobytes().hex()))

# A declared filter that was left out of one chunk: bit 0 of the mask. (HDF5 2.0 forgets the mask until the file is closed.)
data = np.arange(100, dtype="<i4")
file = io.BytesIO()
with h5py.File(file, "w") as f:
    d = f.create_dataset("x", shape=(100,), dtype="<i4", chunks=(100,), shuffle=True, compression="gzip")
    d.id.write_direct_chunk((0,), zlib.compress(data.tobytes()), filter_mask=1)
with h5py.File(file, "r") as f:
    assert (f["x"][...] == data).all()
    mask, stored = f["x"].id.read_direct_chunk((0,))
cases.append(dict(codecs=[{"Shuffle": {"element": 4}}, "Deflate"], skip=mask, stored=bytes(stored).hex(), decoded=data.tobytes().hex()))

lines = ",\n".join(json.dumps(c) for c in cases)
pathlib.Path(__file__).with_name("chunks.json").write_text(f"[\n{lines}\n]\n")
