"""Makes filters.json: bytes as HDF5's filters (h5py, hdf5plugin) and numcodecs store them, with what these decode them to.

Run: python make_filters.py   (needs h5py, hdf5plugin, numcodecs, numpy; last run with h5py 3.16, hdf5plugin 7, numcodecs 0.16)
"""

import io
import json
import lzma
import pathlib

import h5py
import hdf5plugin
import numcodecs
import numpy as np

cases = []


def smooth(dtype, cells):
    """A slow wave with some noise, as measurements are; of few bits."""
    steps = np.cumsum(np.random.default_rng(cells).integers(-9, 12, cells))
    return (steps % 251 if np.dtype(dtype).kind == "u" else steps / 4 if np.dtype(dtype).kind == "f" else steps).astype(dtype)


def add(name, codecs, stored, decoded, skip=0):
    cases.append(dict(name=name, codecs=codecs, skip=skip, stored=bytes(stored).hex(), decoded=bytes(decoded).hex()))


def hdf5(name, codec, data, file_type=None, **options):
    """One chunk as libhdf5 stores it. `codec`: from the filter's client values to our codec."""
    file = io.BytesIO()
    with h5py.File(file, "w") as f:
        if file_type is None:
            d = f.create_dataset("x", data=data, chunks=data.shape, **options)
        else:
            space, plist = h5py.h5s.create_simple(data.shape), h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plist.set_chunk(data.shape)
            options["filter"](plist)
            d = h5py.Dataset(h5py.h5d.create(f.id, b"x", file_type, space, plist))
            d[...] = data
    # The mask is right only once the file was closed.
    with h5py.File(file, "r") as f:
        d = f["x"]
        mask, stored = d.id.read_direct_chunk((0,) * data.ndim)
        plist = d.id.get_create_plist()
        codecs = [codec(plist.get_filter(i)[0], list(plist.get_filter(i)[2])) for i in range(plist.get_nfilters())]
        # What libhdf5 decodes, in the file's own type and byte order.
        decoded = np.empty(data.shape, data.dtype)
        d.id.read(h5py.h5s.ALL, h5py.h5s.ALL, decoded, d.id.get_type())
    add(name, codecs, stored, decoded.tobytes(), mask)


def ours(number, values):
    """HDF5 filter to codec."""
    match number:
        case 1:
            return "Deflate"
        case 2:
            return {"Shuffle": {"element": values[0]}}
        case 4:
            return {"Szip": {"parameters": values}}
        case 5:
            return {"NBit": {"parameters": values}}
        case 6:
            return {"ScaleOffset": {"parameters": values}}
        case 307:
            return "Bzip2"
        case 32000:
            return "Lzf"
        case 32001:
            return "Blosc"
        case 32004:
            return {"Lz4": {"framing": "Hdf5"}}
        case 32008:
            inner = {0: "None", 2: "Lz4", 3: "Zstd"}[values[4]]
            return {"Bitshuffle": {"element": values[2], "block": values[3], "inner": inner}}
        case 32015:
            return "Zstd"


for dtype in ("i1", "<i2", ">i4", "<f4", "<f8"):
    data = smooth(dtype, 90)
    hdf5(f"lzf {dtype}", ours, data, compression="lzf")
    hdf5(f"lzf+shuffle {dtype}", ours, data, compression="lzf", shuffle=True)
hdf5("zstd", ours, smooth("<i2", 150), compression=hdf5plugin.Zstd())
hdf5("bzip2", ours, smooth("<i2", 150), compression=hdf5plugin.BZip2())
for block in (0, 64, 4096):
    hdf5(f"lz4 blocks {block}", ours, smooth("<i2", 200), compression=hdf5plugin.LZ4(nbytes=block))
for inner in ("none", "lz4", "zstd"):
    for dtype, cells, block in (("<i2", 131, 0), ("<f4", 75, 32), ("u1", 45, 0), ("<f8", 37, 16)):
        hdf5(f"bitshuffle {inner} {dtype}", ours, smooth(dtype, cells), compression=hdf5plugin.Bitshuffle(nelems=block, cname=inner))
for inner in ("blosclz", "lz4", "lz4hc", "zlib", "zstd"):
    for shuffle in (0, 1, 2):
        dtype, cells = (("<i2", 300), ("<i2", 272), ("<f4", 136))[shuffle]
        hdf5(f"blosc {inner} {shuffle}", ours, smooth(dtype, cells), compression=hdf5plugin.Blosc(cname=inner, clevel=5, shuffle=shuffle))

# scale-offset: integers with and without a fill value, of one value, of all bits; floats of 3 decimal places.
for dtype in ("i1", "u1", "<i2", ">u2", "<i4", ">i8"):
    data = smooth(dtype, 50)
    hdf5(f"scaleoffset {dtype}", ours, data, scaleoffset=0)
    data[::7] = 99
    hdf5(f"scaleoffset fill {dtype}", ours, data, scaleoffset=0, fillvalue=99)
hdf5("scaleoffset one value", ours, np.full(40, -7, "<i4"), scaleoffset=0)
hdf5("scaleoffset only fill", ours, np.full(40, -7, "<i4"), scaleoffset=0, fillvalue=-7)
hdf5("scaleoffset all bits", ours, np.array([-(2**31), 2**31 - 1, 0, 5], ">i4"), scaleoffset=0)
hdf5("scaleoffset 5 bits", ours, np.arange(30, dtype="<u4"), scaleoffset=5)
for dtype in ("<f4", ">f4", "<f8", ">f8"):
    data = (smooth("<f8", 30) * 1.2345 + 100).astype(dtype)
    hdf5(f"scaleoffset {dtype}", ours, data, scaleoffset=3)
    data[::5] = -999
    hdf5(f"scaleoffset fill {dtype}", ours, data, scaleoffset=2, fillvalue=-999)


# n-bit: integers of some bits at some bit, and a compound with an array in it.
def integer(base, precision, offset):
    t = base.copy()
    t.set_precision(precision)
    t.set_offset(offset)
    return t


def nbit(plist):
    plist.set_filter(h5py.h5z.FILTER_NBIT, 0, ())


for base, precision, offset in (
    (h5py.h5t.STD_I32LE, 17, 3),
    (h5py.h5t.STD_I32BE, 17, 3),
    (h5py.h5t.STD_U16LE, 9, 0),
    (h5py.h5t.STD_I16BE, 11, 4),
    (h5py.h5t.STD_I8LE, 7, 1),
    (h5py.h5t.STD_I64LE, 64, 0),
    (h5py.h5t.STD_I64BE, 61, 2),
):
    t = integer(base, precision, offset)
    data = (smooth("<i8", 37) % (1 << min(precision - 1, 40))).astype(base.dtype)
    hdf5(f"nbit {precision}@{offset} {base.dtype}", ours, data, file_type=t, filter=nbit)

# numcodecs
rng = np.random.default_rng(5)


def num(name, codec, codecs, data):
    stored = codec.encode(data)
    decoded = np.asarray(codec.decode(stored))
    add(name, codecs, np.ascontiguousarray(stored).tobytes() if isinstance(stored, np.ndarray) else stored, decoded.tobytes())


data = smooth("<i4", 90)
num("numcodecs zstd", numcodecs.Zstd(level=3), ["Zstd"], data)
num("numcodecs gzip", numcodecs.GZip(), ["Gzip"], data)
num("numcodecs zlib", numcodecs.Zlib(), ["Deflate"], data)
num("numcodecs bz2", numcodecs.BZ2(), ["Bzip2"], data)
num("numcodecs lz4", numcodecs.LZ4(), [{"Lz4": {"framing": "Numcodecs"}}], data)
num("numcodecs lzma", numcodecs.LZMA(), [{"Lzma": {"filters": []}}], data)
num("numcodecs lzma alone", numcodecs.LZMA(format=lzma.FORMAT_ALONE), [{"Lzma": {"filters": []}}], data)
raw = [dict(id=lzma.FILTER_DELTA, dist=4), dict(id=lzma.FILTER_LZMA2, preset=1)]
num("numcodecs lzma raw 2", numcodecs.LZMA(format=lzma.FORMAT_RAW, filters=raw), [{"Lzma": {"filters": [{"Delta": {"distance": 4}}, "Lzma2"]}}], data)
raw = [dict(id=lzma.FILTER_LZMA1, preset=1, lc=2, lp=1, pb=1)]
ours_raw = [{"Lzma": {"filters": [{"Lzma1": {"lc": 2, "lp": 1, "pb": 1}}]}}]
num("numcodecs lzma raw 1", numcodecs.LZMA(format=lzma.FORMAT_RAW, filters=raw), ours_raw, data)
for shuffle in (0, 1, 2):
    num(f"numcodecs blosc {shuffle}", numcodecs.Blosc(cname="lz4", shuffle=shuffle, blocksize=256), ["Blosc"], smooth("<i4", 333))
num("numcodecs blosc noise", numcodecs.Blosc(), ["Blosc"], rng.integers(0, 256, 300, "u1"))
num("numcodecs shuffle", numcodecs.Shuffle(4), [{"Shuffle": {"element": 4}}], data)
num("numcodecs crc32", numcodecs.CRC32(), [{"Crc32": {"at": "Start"}}], data)
num("numcodecs crc32 end", numcodecs.CRC32(location="end"), [{"Crc32": {"at": "End"}}], data)
num("numcodecs crc32c", numcodecs.CRC32C(), [{"Crc32c": {"at": "End"}}], data)
num("numcodecs adler32", numcodecs.Adler32(), [{"Adler32": {"at": "Start"}}], data)
num("numcodecs fletcher32", numcodecs.Fletcher32(), ["Fletcher32"], data)
num("numcodecs packbits", numcodecs.PackBits(), ["PackedBools"], rng.integers(0, 2, 77).astype(bool))


def cell(dtype):
    dtype = np.dtype(dtype)
    name = {"i1": "Int8", "i2": "Int16", "i4": "Int32", "i8": "Int64", "u1": "UInt8", "u2": "UInt16", "u4": "UInt32", "u8": "UInt64"}
    name |= {"f2": "Float16", "f4": "Float32", "f8": "Float64"}
    return {"data_type": name[dtype.str[1:]], "order": "Big" if dtype.str[0] == ">" else "Little"}


for decoded, encoded in (("<i4", "<i2"), (">i2", ">i2"), ("<u1", "<u1"), ("<f4", "<f4"), (">f8", ">f8"), ("<i8", "<i1")):
    codec = numcodecs.Delta(dtype=decoded, astype=encoded)
    num(f"numcodecs delta {decoded} {encoded}", codec, [{"Delta": {"decoded": cell(decoded), "encoded": cell(encoded)}}], smooth(decoded, 60))
for decoded, encoded, scale, offset in (("<f8", "<u2", 10, 1000), ("<f4", "u1", 1.5, -3), ("<f8", ">i4", 100.0, 0.25), (">i2", "<i4", 3, 7), ("<f8", "<f4", 3, 1)):
    codec = numcodecs.FixedScaleOffset(offset=offset, scale=scale, dtype=decoded, astype=encoded)
    ours_scale = {"scale": scale, "offset": offset, "decoded": cell(decoded), "encoded": cell(encoded)}
    num(f"numcodecs fixedscaleoffset {decoded} {encoded}", codec, [{"FixedScaleOffset": ours_scale}], abs(smooth(decoded, 60)) + 1000 * (encoded == "<u2"))
for decoded, encoded in (("<f8", "<f4"), ("<i2", "<i8"), ("<f4", ">i2"), ("<i4", "<f8"), ("<f8", "<f2"), ("<u2", "<i1")):
    codec = numcodecs.AsType(encode_dtype=encoded, decode_dtype=decoded)
    num(f"numcodecs astype {decoded} {encoded}", codec, [{"AsType": {"decoded": cell(decoded), "encoded": cell(encoded)}}], smooth(decoded, 40))

if h5py.h5z.get_filter_info(h5py.h5z.FILTER_SZIP) & h5py.h5z.FILTER_CONFIG_ENCODE_ENABLED:
    for dtype, cells, options in (("u1", 130, ("nn", 8)), ("<i2", 130, ("nn", 16)), ("<f4", 90, ("ec", 8)), ("<f8", 50, ("nn", 32)), (">i4", 60, ("ec", 10))):
        hdf5(f"szip {dtype} {options}", ours, smooth(dtype, cells), compression="szip", compression_opts=options)
else:
    print("no szip encoder")

lines = ",\n".join(json.dumps(c) for c in cases)
pathlib.Path(__file__).with_name("filters.json").write_text(f"[\n{lines}\n]\n")
print(len(cases), "cases,", len(lines), "bytes")
