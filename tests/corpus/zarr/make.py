"""Makes the Zarr stores of this folder and truth.json, the values that zarr-python reads from them.

usage: python make.py      (zarr 3.1, numcodecs 0.16, pcodec)
codecs_v2.zip, codecs_v3.zip: one array a codec, data type, order or layout, in ZIP stores (chunks stored, not deflated).
"""
import json
import warnings
from pathlib import Path

import numcodecs
import numpy as np
import zarr
from numcodecs import zarr3

warnings.simplefilter("ignore")
HERE = Path(__file__).resolve().parent
RNG = np.random.default_rng(7)


def as_json(value):
    if isinstance(value, (np.void,)):
        return [as_json(value[n]) for n in value.dtype.names]
    if isinstance(value, (complex, np.complexfloating)):
        return [as_json(value.real), as_json(value.imag)]
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return int(value.astype("i8"))
    if isinstance(value, (bytes, np.bytes_)):
        return value.decode()
    if isinstance(value, (bool, np.bool_)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else str(float(value)).replace("inf", "Infinity").replace("nan", "NaN")
    if isinstance(value, np.integer):
        return int(value)
    return value


def truth(group):
    out = {}
    for name, array in group.members(max_depth=None):
        if isinstance(array, zarr.Array):
            data = np.asarray(array[...])
            out["/" + name] = {"shape": list(data.shape), "values": [as_json(v) for v in data.reshape(-1)]}
    return out


def numbers(dtype, shape=(5, 7)):
    if np.dtype(dtype).kind == "f":
        return (RNG.integers(-400, 400, shape) / 8).astype(dtype)
    if np.dtype(dtype).kind == "b":
        return RNG.integers(0, 2, shape).astype(bool)
    low = 0 if np.dtype(dtype).kind == "u" else -100
    return RNG.integers(low, 100, shape).astype(dtype)


def v2():
    path = HERE / "codecs_v2.zip"
    path.unlink(missing_ok=True)
    store = zarr.storage.ZipStore(path, mode="w")
    root = zarr.create_group(store, zarr_format=2, attributes={"title": "v2"})
    add = lambda name, data, chunks=(3, 4), **kw: root.create_array(
        name, shape=data.shape, dtype=data.dtype, chunks=chunks, **{"filters": None, "compressors": None, **kw}
    ).__setitem__(Ellipsis, data)
    for t in ["b1", "i1", "<i2", ">i2", "<i4", ">i8", "u1", "<u2", ">u4", "<u8", "<f2", ">f2", "<f4", ">f4", "<f8", ">f8"]:
        add("type " + t.replace("<", "little ").replace(">", "big "), numbers(t))
    i2, f4, f8 = numbers("<i2"), numbers("<f4"), numbers("<f8")
    for codec in [
        numcodecs.GZip(), numcodecs.Zlib(), numcodecs.Zstd(), numcodecs.BZ2(), numcodecs.LZ4(), numcodecs.LZMA(),
        numcodecs.LZMA(format=3, filters=[{"id": 3, "dist": 2}, {"id": 33, "preset": 1}]),
        numcodecs.Blosc("lz4", shuffle=2), numcodecs.Blosc("blosclz", shuffle=1), numcodecs.Blosc("zstd", shuffle=0),
        numcodecs.Blosc("zlib", shuffle=1), numcodecs.Blosc("lz4hc", shuffle=1),
    ]:
        n = sum(1 for k in root.array_keys() if k.startswith("compressor." + codec.codec_id))
        add(f"compressor.{codec.codec_id}.{n}", i2, compressors=codec)
    for codec in [
        numcodecs.Delta("<i2"), numcodecs.Delta("<i2", astype="<i4"), numcodecs.Shuffle(2), numcodecs.Fletcher32(), numcodecs.CRC32(),
        numcodecs.Adler32(), numcodecs.CRC32C(), numcodecs.AsType("<i4", "<i2"),
    ]:
        n = sum(1 for k in root.array_keys() if k.startswith("filter." + codec.codec_id))
        add(f"filter.{codec.codec_id}.{n}", i2, filters=[codec], compressors=numcodecs.Zlib())
    add("filter.fixedscaleoffset", f8, filters=[numcodecs.FixedScaleOffset(offset=-50, scale=8, dtype="<f8", astype="<u2")])
    add("filter.quantize", f8, filters=[numcodecs.Quantize(1, "<f8", "<f4")])
    add("filter.bitround", f4, filters=[numcodecs.BitRound(5)])
    add("filter.packbits", numbers("b1"), filters=[numcodecs.PackBits()])
    add("filter.two", i2, filters=[numcodecs.Delta("<i2"), numcodecs.Shuffle(2)], compressors=numcodecs.GZip())
    add("order.f", i2, order="F", compressors=numcodecs.Zlib())
    add("order.f.3", numbers("<f4", (3, 4, 5)), chunks=(2, 3, 4), order="F")
    add("text.s", np.array([["a", "bc"], ["", "defg"]], "S4"), chunks=(1, 2))
    add("text.u", np.array([["a", "é€"], ["", "😀bcd"]], "<U4"), chunks=(1, 2), compressors=numcodecs.Zlib())
    add("text.u.big", np.array(["a", "é€"], ">U4"), chunks=(2,))
    add("time", np.array(["2000-01-01", "NaT", "1969-12-31T23"], "<M8[s]"), chunks=(2,))
    add("duration", np.array([5, -6], "<m8[ms]"), chunks=(2,))
    add("complex", (i2 + 1j * i2[::-1]).astype("<c8"), chunks=(3, 4))
    add("scalar", np.array(3.5), chunks=())
    add("no cells", np.zeros((0, 4), "<i4"), chunks=(1, 4))
    nested = root.create_group("group", attributes={"level": 1}).create_group("in.ner")
    nested.create_array("v", shape=(4,), chunks=(4,), dtype="i4", attributes={"_ARRAY_DIMENSIONS": ["x"], "units": "m"})[:] = [1, 2, 3, 4]
    nested.create_array("x", shape=(4,), chunks=(4,), dtype="f8", attributes={"_ARRAY_DIMENSIONS": ["x"]})[:] = [10, 20, 30, 40]
    # Never written in part: the fill value; none at all.
    some = root.create_array("filled", shape=(6,), chunks=(2,), dtype="<i2", fill_value=-9, compressors=None)
    some[2:4] = [7, 8]
    root.create_array("not filled", shape=(3,), chunks=(2,), dtype="<f8", fill_value=None, compressors=None)
    text = root.create_array("text", shape=(5,), chunks=(2,), dtype=str, compressors=numcodecs.Zlib())
    text[:] = np.array(["a", "", "längere Texte", "x" * 50, "e"], object)
    # Chunks larger than the array; nested keys.
    root.create_array("large chunk", shape=(2,), chunks=(100,), dtype="<i4", compressors=numcodecs.Zlib())[:] = [4, 5]
    slash = {"name": "v2", "separator": "/"}
    root.create_array("slashes", shape=(4, 4), chunks=(2, 2), dtype="u1", chunk_key_encoding=slash)[:] = np.arange(16).reshape(4, 4)
    out = truth(root)
    store.close()
    return out


def v3():
    path = HERE / "codecs_v3.zip"
    path.unlink(missing_ok=True)
    store = zarr.storage.ZipStore(path, mode="w")
    root = zarr.create_group(store, zarr_format=3, attributes={"title": "v3"})
    add = lambda name, data, chunks=(3, 4), **kw: root.create_array(
        name, shape=data.shape, dtype=data.dtype, chunks=chunks, **{"compressors": None, **kw}
    ).__setitem__(Ellipsis, data)
    for t in ["bool", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]:
        add("type " + t, numbers(t))
    i2, f4, f8 = numbers("i2"), numbers("f4"), numbers("f8")
    big = zarr.codecs.BytesCodec(endian="big")
    add("big endian", i2, serializer=big)
    c = zarr.codecs
    for name, codec in {
        "gzip": c.GzipCodec(), "zstd": c.ZstdCodec(), "blosc": c.BloscCodec(cname="lz4", shuffle="bitshuffle"), "crc32c": c.Crc32cCodec(),
        "numcodecs.zlib": zarr3.Zlib(), "numcodecs.bz2": zarr3.BZ2(), "numcodecs.lz4": zarr3.LZ4(), "numcodecs.lzma": zarr3.LZMA(),
        "numcodecs.zstd": zarr3.Zstd(), "numcodecs.gzip": zarr3.GZip(), "numcodecs.blosc": zarr3.Blosc(cname="zstd"),
        "numcodecs.shuffle": zarr3.Shuffle(elementsize=2), "numcodecs.fletcher32": zarr3.Fletcher32(),
        "numcodecs.adler32": zarr3.Adler32(), "numcodecs.crc32": zarr3.CRC32(),
    }.items():
        add("bytes " + name, i2, compressors=[codec])
    add("bytes two", i2, compressors=[c.ZstdCodec(), c.Crc32cCodec()])
    add("transpose", numbers("f4", (3, 4, 5)), chunks=(2, 3, 4), filters=[c.TransposeCodec(order=(2, 0, 1))], compressors=[c.ZstdCodec()])
    add("filter delta", i2, filters=[zarr3.Delta(dtype="<i2")])
    add("filter scale", f8, filters=[zarr3.FixedScaleOffset(offset=-50, scale=8, dtype="<f8", astype="<u2")])
    add("filter astype", i2, filters=[zarr3.AsType(encode_dtype="<i4", decode_dtype="<i2")])
    add("filter quantize", f8, filters=[zarr3.Quantize(digits=1, dtype="<f8")])
    add("filter bitround", f4, filters=[zarr3.BitRound(keepbits=5)])
    add("pcodec", f4, serializer=zarr3.PCodec(level=8, mode_spec="auto"))
    add("pcodec zstd", numbers("i8"), serializer=zarr3.PCodec(), compressors=[c.ZstdCodec()])
    shard = lambda index_location="end", inner=None, **kw: c.ShardingCodec(
        chunk_shape=(2, 2), codecs=inner or [c.BytesCodec(), c.ZstdCodec()], index_location=index_location, **kw
    )
    some = np.zeros((7, 9), "i4")
    some[1:4, 2:8] = RNG.integers(1, 99, (3, 6))
    for name, codec in {"sharding": shard(), "sharding start": shard("start"), "sharding plain index": shard(index_codecs=[c.BytesCodec()])}.items():
        add(name, some, chunks=(4, 6), serializer=codec)
    nested = c.ShardingCodec(chunk_shape=(4, 2), codecs=[shard()])
    add("sharding twice", some, chunks=(4, 6), serializer=nested)
    add("sharding transposed", some, chunks=(4, 6), serializer=shard(inner=[c.TransposeCodec(order=(1, 0)), c.BytesCodec(endian="big")]))
    text = root.create_array("text", shape=(5,), chunks=(2,), dtype=str, compressors=[c.ZstdCodec()])
    text[:] = np.array(["a", "", "längere Texte", "x" * 50, "e"])
    root.create_array("text missing", shape=(4,), chunks=(2,), dtype=str)[2:] = np.array(["c", "d"])
    add("text fixed", np.array([["a", "é€"], ["", "😀bcd"]], "<U4"), chunks=(1, 2), compressors=[c.GzipCodec()])
    add("bytes fixed", np.array(["ab", ""], "S4"), chunks=(2,))
    add("time", np.array(["2000-01-01", "NaT", "1969-12-31T23"], "<M8[ns]"), chunks=(2,))
    add("complex", (i2 + 1j * i2[::-1]).astype("c16"))
    record = np.dtype([("a", "<i4"), ("b", "<f8"), ("c", "S3")])
    add("record", np.array([(1, 2.5, b"xyz"), (-3, 4.25, b"")], record), chunks=(1,))
    add("scalar", np.array(3.5), chunks=())
    filled = root.create_array("filled", shape=(6,), chunks=(2,), dtype="f4", fill_value=np.nan, dimension_names=["x"])
    filled[2:4] = [7, 8]
    root.create_array("v2 keys", shape=(4, 4), chunks=(2, 2), dtype="u1", chunk_key_encoding={"name": "v2", "separator": "."})[:] = np.arange(16).reshape(4, 4)
    root.create_array("dots", shape=(4, 4), chunks=(2, 2), dtype="u1", chunk_key_encoding={"name": "default", "separator": "."})[:] = np.arange(16).reshape(4, 4)
    root.create_group("a group", attributes={"level": 1}).create_array("x", shape=(4,), chunks=(4,), dtype="f8", dimension_names=["x"])[:] = [10, 20, 30, 40]
    out = truth(root)
    store.close()
    return out


(HERE / "truth.json").write_text(json.dumps({"codecs_v2": v2(), "codecs_v3": v3()}, ensure_ascii=False))
