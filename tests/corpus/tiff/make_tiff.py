"""Makes the small GeoTIFFs of this folder with GDAL (through rasterio), and cases.json: what GDAL reads from each.

Cell values follow one formula, so that tests need no second copy of them: band b (from 0), row r, column c hold
(7 r + 3 c + 11 b + r c // 5) mod 100, less 50 in signed types and half of it in floats.

Run: python make_tiff.py   (last run with rasterio 1.4.4, GDAL 3.10.3)
"""

import json
import pathlib

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.transform import Affine
from rasterio.windows import Window

HERE = pathlib.Path(__file__).parent
WIDTH, HEIGHT = 44, 37
UTM = dict(crs="EPSG:32632", transform=Affine(30.0, 0, 399960.0, 0, -30.0, 5300040.0))
GLOBE = dict(crs="EPSG:4326", transform=Affine(0.25, 0, -10.0, 0, -0.25, 50.0))


def cells(dtype, bands):
    b, r, c = np.mgrid[0:bands, 0:HEIGHT, 0:WIDTH]
    v = (7 * r + 3 * c + 11 * b + r * c // 5) % 100
    kind = np.dtype(dtype).kind
    return (v - 50 if kind == "i" else v / 2 if kind == "f" else v).astype(dtype)


cases = {}


def make(name, dtype="uint8", bands=1, where=UTM, nodata=None, after=None, window=None, tags=None, overviews=(), **options):
    path = HERE / f"{name}.tif"
    data = cells(dtype, bands)
    profile = dict(driver="GTiff", width=WIDTH, height=HEIGHT, count=bands, dtype=dtype, nodata=nodata, **where, **options)
    with rasterio.open(path, "w", **profile) as f:
        if window is None:
            f.write(data)
        else:
            f.write(data[:, window.row_off : window.row_off + window.height, window.col_off : window.col_off + window.width], window=window)
        if after:
            after(f)
    if overviews:
        with rasterio.open(path, "r+") as f:
            f.build_overviews(list(overviews), Resampling.nearest)
    with rasterio.open(path) as f:
        read = f.read()
        formula = bool((read == data).all())
        assert formula or window is not None, name
        cases[name] = dict(
            dtype=options.get("nbits") == 16 and "float16" or f.dtypes[0],
            bands=f.count,
            width=f.width,
            height=f.height,
            block=list(f.block_shapes[0]),
            transform=list(f.transform)[:6],
            epsg=f.crs.to_epsg() if f.crs else None,
            nodata=None if f.nodata is None else str(f.nodata),
            scales=list(f.scales),
            offsets=list(f.offsets),
            descriptions=list(f.descriptions),
            overviews=f.overviews(1),
            formula=formula,
            sums=[float(b.sum(dtype="f8")) for b in read],
        )


for dtype in ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]:
    make(f"none_{dtype}", dtype)
    make(f"lzw_p2_{dtype}", dtype, compress="lzw", predictor=2, bands=2, interleave="pixel", blockysize=7)
    make(f"deflate_p2_be_{dtype}", dtype, compress="deflate", predictor=2, endianness="big", tiled=True, blockxsize=16, blockysize=32)
for dtype in ["float32", "float64"]:
    for endianness in ["little", "big"]:
        make(f"deflate_p3_{endianness}_{dtype}", dtype, compress="deflate", predictor=3, endianness=endianness, bands=3, interleave="pixel")
make("float16_none", "float32", nbits=16)
make("float16_p3", "float32", nbits=16, compress="lzw", predictor=3, tiled=True, blockxsize=16, blockysize=16)
make("packbits_strips", compress="packbits", blockysize=5)
make("packbits_pixel", "uint16", bands=3, compress="packbits", interleave="pixel", tiled=True, blockxsize=32, blockysize=16)
make("lzw", "int16", compress="lzw", blockysize=6)
make("separate_strips", "int16", bands=3, interleave="band", blockysize=9)
make("separate_tiles", "int16", bands=3, interleave="band", compress="deflate", tiled=True, blockxsize=16, blockysize=16)
make("pixel_none", "int32", bands=4, interleave="pixel", blockysize=3)
make("bigtiff", "int16", bigtiff="yes", compress="deflate", tiled=True, blockxsize=16, blockysize=16)
make("bigtiff_be", "float32", bigtiff="yes", endianness="big", blockysize=4)
make("globe", "int16", where=GLOBE, nodata=-9999, compress="deflate")
make("sparse", "int16", nodata=-7, sparse_ok=True, tiled=True, blockxsize=16, blockysize=16, compress="deflate", window=Window(16, 16, 16, 16))
make("nan_nodata", "float32", nodata=float("nan"), compress="deflate", predictor=3)
make("tile_larger_than_image", tiled=True, blockxsize=64, blockysize=64, compress="lzw")
make("overviews", "int16", nodata=0, compress="deflate", tiled=True, blockxsize=16, blockysize=16, bands=2, overviews=(4, 2))


def describe(f):
    f.scales, f.offsets = (0.1, 2.0), (-273.15, 0.0)
    f.set_band_description(1, "temperature & more")
    f.update_tags(1, season="winter")
    f.update_tags(SOURCE="formula")


make("scaled", "int16", bands=2, after=describe)


def point(f):
    f.update_tags(AREA_OR_POINT="Point")


make("pixel_is_point", after=point)
make("rotated", where=dict(crs="EPSG:32632", transform=Affine(30.0, 5.0, 399960.0, 5.0, -30.0, 5300040.0)))
make("plain", where={})

with rasterio.open(HERE / "masked.tif", "w", driver="GTiff", width=WIDTH, height=HEIGHT, count=1, dtype="uint8", **UTM) as f:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        f.write(cells("uint8", 1))
        f.write_mask(np.arange(WIDTH) % 2 * np.ones((HEIGHT, 1), "u1") * 255)

lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(case)}" for name, case in cases.items())
(HERE / "cases.json").write_text(f"{{\n{lines}\n}}\n")
