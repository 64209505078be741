"""How fast the reference libraries decode one array, codec by codec, on one core; and the same bytes for our decoders.

Run: python codecs.py FOLDER   (needs numpy, h5py, hdf5plugin, numcodecs[crc32c])
Then: cargo bench -p graticule-storage --bench codecs -- FOLDER

The array is 2 Mi cells of int16: a smooth field with noise in its low bits, as packed measurements are. FOLDER gets the array,
each codec's bytes, and index.json, which tells the Rust side what the bytes are. MB/s are of decoded bytes, best of several runs.
"""

import io
import json
import os
import pathlib
import sys
import time

for name in ("BLOSC_NTHREADS", "OMP_NUM_THREADS"):
    os.environ[name] = "1"

import h5py  # noqa: E402
import hdf5plugin  # noqa: E402
import numcodecs  # noqa: E402
import numpy as np  # noqa: E402

numcodecs.blosc.use_threads = False
folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
cells = 1 << 21
i = np.arange(cells)
data = (9000 * np.sin(i / 900) + ((i * 2654435761) >> 7 & 15)).astype("<i2")
index = []


def best(decode):
    """Seconds of the fastest of at least five runs within about a second."""
    fastest, runs, begin = float("inf"), 0, time.perf_counter()
    while runs < 5 or time.perf_counter() - begin < 1:
        runs += 1
        start = time.perf_counter()
        decode()
        fastest = min(fastest, time.perf_counter() - start)
    return fastest


def add(name, codecs, stored, decoded, decode):
    """Keeps a case and prints how fast `decode` is."""
    number = len(index)
    (folder / f"{number}.stored").write_bytes(stored)
    (folder / f"{number}.decoded").write_bytes(decoded)
    speed = len(decoded) / best(decode) / 1e6
    index.append(dict(name=name, codecs=codecs, stored=f"{number}.stored", decoded=f"{number}.decoded", reference=speed))
    print(f"{name:28} {len(decoded) / len(stored):6.2f}:1 {speed:8.0f} MB/s", flush=True)


def num(name, codecs, *chain, array=data):
    """numcodecs; `chain` in encoding order."""
    stored = array
    for codec in chain:
        stored = codec.encode(stored)

    def decode():
        bytes_ = stored
        for codec in reversed(chain):
            bytes_ = codec.decode(bytes_)
        return bytes_

    stored = np.ascontiguousarray(stored).tobytes() if isinstance(stored, np.ndarray) else bytes(stored)
    add(f"numcodecs {name}", codecs, stored, np.asarray(decode()).tobytes(), decode)


def hdf5(name, codecs, array=data, **options):
    """One chunk of an HDF5 file in memory, through libhdf5 and its plugins. `codecs`: from the filters' client values."""
    file = io.BytesIO()
    with h5py.File(file, "w") as f:
        f.create_dataset("x", data=array, chunks=array.shape, **options)
    with h5py.File(file, "r", rdcc_nbytes=0) as f:
        d = f["x"]
        plist, out = d.id.get_create_plist(), np.empty_like(array)
        mask, stored = d.id.read_direct_chunk((0,))
        if mask:
            return print(f"HDF5 {name}: the filter gave up")
        codecs = codecs([list(plist.get_filter(i)[2]) for i in range(plist.get_nfilters())])
        add(f"HDF5 {name}", codecs, bytes(stored), d[...].tobytes(), lambda: d.read_direct(out))


shuffle, cell = {"Shuffle": {"element": 2}}, {"data_type": "Int16", "order": "Little"}
num("shuffle", [shuffle], numcodecs.Shuffle(2))
num("zlib", ["Deflate"], numcodecs.Zlib(4))
num("shuffle+zlib", [shuffle, "Deflate"], numcodecs.Shuffle(2), numcodecs.Zlib(4))
num("gzip", ["Gzip"], numcodecs.GZip(4))
num("zstd", ["Zstd"], numcodecs.Zstd(3))
num("shuffle+zstd", [shuffle, "Zstd"], numcodecs.Shuffle(2), numcodecs.Zstd(3))
num("lz4", [{"Lz4": {"framing": "Numcodecs"}}], numcodecs.LZ4())
num("bz2", ["Bzip2"], numcodecs.BZ2(4))
num("lzma", [{"Lzma": {"filters": []}}], numcodecs.LZMA(preset=1))
for inner in ("lz4", "zstd", "zlib", "blosclz"):
    for number, kind in ((1, "shuffle"), (2, "bitshuffle")):
        num(f"blosc {inner} {kind}", ["Blosc"], numcodecs.Blosc(inner, 5, number))
num("crc32c", [{"Crc32c": {"at": "End"}}], numcodecs.CRC32C())
num("adler32", [{"Adler32": {"at": "Start"}}], numcodecs.Adler32())
num("fletcher32", ["Fletcher32"], numcodecs.Fletcher32())
num("delta", [{"Delta": {"decoded": cell, "encoded": cell}}], numcodecs.Delta("<i2"))
scale = {"scale": 10.0, "offset": 5.0, "decoded": {"data_type": "Float32", "order": "Little"}, "encoded": cell}
scaled = (data / 10 + 5).astype("<f4")
num("fixedscaleoffset", [{"FixedScaleOffset": scale}], numcodecs.FixedScaleOffset(5, 10, "<f4", "<i2"), array=scaled)
hdf5("shuffle+deflate", lambda v: [shuffle, "Deflate"], shuffle=True, compression="gzip")
hdf5("lzf", lambda v: ["Lzf"], compression="lzf")
hdf5("shuffle+lzf", lambda v: [shuffle, "Lzf"], shuffle=True, compression="lzf")
hdf5("szip", lambda v: [{"Szip": {"parameters": v[0]}}], compression="szip")
hdf5("scaleoffset", lambda v: [{"ScaleOffset": {"parameters": v[0]}}], scaleoffset=0)
hdf5("scaleoffset float", lambda v: [{"ScaleOffset": {"parameters": v[0]}}], array=scaled, scaleoffset=1)
hdf5("lz4", lambda v: [{"Lz4": {"framing": "Hdf5"}}], compression=hdf5plugin.LZ4())
hdf5("zstd", lambda v: ["Zstd"], compression=hdf5plugin.Zstd())
hdf5("bzip2", lambda v: ["Bzip2"], compression=hdf5plugin.BZip2())
for name, inner in (("none", "None"), ("lz4", "Lz4"), ("zstd", "Zstd")):
    ours = {"element": 2, "block": 0, "inner": inner}
    hdf5(f"bitshuffle {name}", lambda v, ours=ours: [{"Bitshuffle": ours}], compression=hdf5plugin.Bitshuffle(cname=name))
(folder / "index.json").write_text(json.dumps(index, indent=1))
