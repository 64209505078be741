"""Makes the GeoTIFFs of codecs/ with GDAL (through rasterio), and codecs.json: what GDAL reads from each; crs.json: geo keys that
GDAL writes for user-defined CRSs, and what PROJ says that they mean.

Each array has its type, its count of valid cells, and two sums over them: of v and of v * (i % 97 + 1), i its C-order number. Chroma of
JPEG is taken from libjpeg-turbo (through tifffile and imagecodecs): this rasterio has IJG's library, which spreads it otherwise.

Run: python make_codecs.py   (last run with rasterio 1.4.4, GDAL 3.10.3, tifffile 2026.3.3, imagecodecs 2026.3.6, pyproj 3.7.2)
"""

import json
import pathlib
import tempfile

import numpy as np
import pyproj
import rasterio
import tifffile
from rasterio.enums import ColorInterp, Resampling
from rasterio.transform import Affine

HERE = pathlib.Path(__file__).parent
OUT = HERE / "codecs"
OUT.mkdir(exist_ok=True)
WIDTH, HEIGHT = 44, 37
WHERE = dict(crs="EPSG:32632", transform=Affine(30.0, 0, 399960.0, 0, -30.0, 5300040.0))
cases = {}


def cells(dtype, bands, limit=100):
    b, r, c = np.mgrid[0:bands, 0:HEIGHT, 0:WIDTH]
    return ((7 * r + 3 * c + 11 * b + r * c // 5) % limit).astype(dtype)


def told(values, valid):
    v = values.astype("f8").ravel()
    ok = valid.ravel() & ~np.isnan(v)
    i = np.arange(v.size) % 97 + 1
    return dict(dtype=str(values.dtype), count=int(ok.sum()), sum=float(v[ok].sum()), weighted=float((v * i)[ok].sum()))


def record(name, path, turbo=False):
    arrays = {}
    with rasterio.open(path) as f:
        for b in range(1, f.count + 1):
            levels = [("", {})] + [(f"/overview_{n + 1}", dict(overview_level=n)) for n in range(len(f.overviews(b)))]
            for group, options in levels:
                with rasterio.open(path, **options) as level:
                    values, valid = level.read(b), level.read_masks(b) > 0
                    if turbo:
                        values = np.moveaxis(tifffile.imread(path), -1, 0)[b - 1]
                    if np.iscomplexobj(values):
                        arrays[f"{group}/band_{b}.real"] = told(values.real, valid)
                        arrays[f"{group}/band_{b}.imag"] = told(values.imag, valid)
                    else:
                        arrays[f"{group}/band_{b}"] = told(values, valid)
    cases[name] = arrays


def make(name, data, turbo=False, mask=None, alpha=False, overviews=(), nodata=None, external=False, nbits=None, **options):
    path = OUT / f"{name}.tif"
    if nbits:
        options["nbits"] = nbits
    dtype = options.pop("dtype", str(data.dtype))
    profile = dict(driver="GTiff", width=WIDTH, height=HEIGHT, count=len(data), dtype=dtype, nodata=nodata, **WHERE, **options)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=not external, TIFF_USE_OVR=external, COMPRESS_OVERVIEW="DEFLATE", GDAL_TIFF_OVR_BLOCKSIZE=64):
        with rasterio.open(path, "w", **profile) as f:
            f.write(data)
            if alpha:
                f.colorinterp = [*f.colorinterp[:-1], ColorInterp.alpha]
            if mask is not None:
                f.write_mask(mask)
        if overviews:
            with rasterio.open(path, "r+") as f:
                f.build_overviews(list(overviews), Resampling.nearest)
    record(name, path, turbo)


tiles = dict(tiled=True, blockxsize=16, blockysize=16)
make("zstd_p2_int16", cells("int16", 2) - np.int16(50), compress="zstd", predictor=2, interleave="pixel", blockysize=8)
make("zstd_p3_float32", cells("float32", 1) / np.float32(2), compress="zstd", predictor=3, **tiles)
make("lzma_uint16", cells("uint16", 1, 60000), compress="lzma", blockysize=9)
make("lerc_float32", np.where(cells("float32", 1) > 90, np.nan, cells("float32", 1) / np.float32(3)), compress="lerc", **tiles)
make("lerc_deflate_uint8", cells("uint8", 3), compress="lerc_deflate", interleave="pixel", **tiles)
make("lerc_zstd_be_int16", cells("int16", 1) - np.int16(50), compress="lerc_zstd", endianness="big", blockysize=10)
make("webp_lossless", cells("uint8", 3, 250), compress="webp", webp_lossless=True, interleave="pixel", **tiles)
make("webp_lossy", cells("uint8", 3, 40), compress="webp", webp_level=60, interleave="pixel", **tiles)
rgba = cells("uint8", 4, 250)
rgba[3] = np.where(cells("uint8", 1)[0] % 3 == 0, 0, 255)
make("webp_alpha", rgba, compress="webp", webp_lossless=True, interleave="pixel", alpha=True, **tiles)
make("jpeg_grey", cells("uint8", 1, 40), compress="jpeg", blockysize=16)
make("jpeg_rgb", cells("uint8", 3, 40), compress="jpeg", photometric="rgb", interleave="pixel", **tiles)
make("jpeg_separate", cells("uint8", 2, 40), compress="jpeg", interleave="band", **tiles)
make("jpeg_ycbcr", cells("uint8", 3, 40), turbo=True, compress="jpeg", photometric="ycbcr", interleave="pixel", **tiles)
make("rgba_alpha", rgba, compress="deflate", photometric="rgb", interleave="pixel", alpha=True, **tiles)
grey = np.stack([cells("uint16", 1, 60000)[0], np.where(cells("uint8", 1)[0] % 4 == 1, 0, 7).astype("uint16")])
make("grey_alpha_uint16", grey, compress="lzw", interleave="band", alpha=True, blockysize=12)
for bits, dtype in [(1, "uint8"), (2, "uint8"), (4, "uint8"), (7, "uint8"), (10, "uint16"), (12, "uint16"), (14, "uint16"), (24, "uint32"), (27, "uint32")]:
    limit = min(1 << bits, 1 << 16)
    scale = max(1, (1 << bits) // limit) if bits > 16 else 1
    data = (cells("uint32", 2, limit) * scale).astype(dtype)
    make(f"bits_{bits}", data, nbits=bits, interleave="pixel", compress="deflate" if bits % 2 else "none", blockysize=11)
make("bits_12_be", cells("uint16", 1, 4096), nbits=12, endianness="big", **tiles)
make("float24", cells("float32", 1) / np.float32(4) - np.float32(7), nbits=24, compress="deflate", predictor=3, **tiles)
make("float24_be", cells("float32", 1) / np.float32(4) - np.float32(7), nbits=24, endianness="big", blockysize=9)
for code in ["ccittrle", "ccittfax3", "ccittfax4"]:
    make(code, (cells("uint8", 1) % 5 == 0).astype("uint8"), nbits=1, compress=code, blockysize=10)
for dtype in ["complex64", "complex128"]:
    z = cells("float32", 2) + 1j * (cells("float32", 2, 70) - 30)
    make(f"{dtype}_pixel", z.astype(dtype), interleave="pixel", compress="deflate", blockysize=10)
make("complex64_be", z[:1].astype("complex64"), endianness="big", blockysize=10)
make("complex_int16", z.astype("complex64"), dtype="complex_int16", interleave="band", blockysize=10)
hole = cells("uint8", 1)[0] % 5 != 2
make("mask_overviews", cells("uint8", 3), mask=hole, nodata=3, overviews=(2, 4), interleave="pixel", compress="deflate", **tiles)
make("mask_external", cells("int16", 2), mask=hole, external=True, overviews=(2,), compress="deflate", **tiles)
make("pam", cells("int16", 2), nodata=5, compress="deflate")
(OUT / "pam.tif.aux.xml").write_text(
    '<PAMDataset><PAMRasterBand band="2"><NoDataValue>7</NoDataValue><Scale>0.5</Scale><Offset>3</Offset><UnitType>K</UnitType>'
    "</PAMRasterBand></PAMDataset>\n"
)
record("pam", OUT / "pam.tif")

lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(case)}" for name, case in cases.items())
(HERE / "codecs.json").write_text(f"{{\n{lines}\n}}\n")

PROJECTIONS = [
    "+proj=tmerc +lat_0=1 +lon_0=10 +k=0.9999 +x_0=1000 +y_0=2000 +ellps=GRS80",
    "+proj=tmerc +lat_0=1 +lon_0=10 +k=0.9999 +x_0=1000 +y_0=2000 +ellps=intl +units=us-ft",
    "+proj=merc +lon_0=12 +k=0.9 +x_0=10 +datum=WGS84",
    "+proj=merc +lon_0=12 +lat_ts=40 +x_0=10 +datum=WGS84",
    "+proj=lcc +lat_1=33 +lat_2=45 +lat_0=40 +lon_0=-97 +x_0=5 +datum=NAD83",
    "+proj=lcc +lat_1=33 +lat_0=33 +lon_0=-97 +k_0=0.99 +datum=NAD27",
    "+proj=laea +lat_0=52 +lon_0=10 +x_0=4321000 +y_0=3210000 +ellps=bessel",
    "+proj=aea +lat_1=29.5 +lat_2=45.5 +lat_0=23 +lon_0=-96 +datum=NAD83",
    "+proj=aeqd +lat_0=50 +lon_0=8 +datum=WGS84",
    "+proj=eqdc +lat_1=20 +lat_2=60 +lat_0=40 +lon_0=-96 +datum=NAD83",
    "+proj=stere +lat_0=50 +lon_0=8 +k=0.99 +datum=WGS84",
    "+proj=stere +lat_0=90 +lon_0=-45 +k=0.994 +datum=WGS84",
    "+proj=stere +lat_0=-90 +lat_ts=-71 +lon_0=0 +datum=WGS84",
    "+proj=sterea +lat_0=46 +lon_0=25 +k=0.99975 +x_0=500000 +y_0=500000 +ellps=krass",
    "+proj=eqc +lat_ts=30 +lon_0=5 +a=3396190 +b=3376200",
    "+proj=cass +lat_0=31 +lon_0=35 +datum=WGS84",
    "+proj=gnom +lat_0=90 +lon_0=-50 +datum=WGS84",
    "+proj=mill +lon_0=10 +R=6371000",
    "+proj=ortho +lat_0=40 +lon_0=10 +R=1560800",
    "+proj=poly +lat_0=0 +lon_0=-54 +x_0=5000000 +y_0=10000000 +ellps=aust_SA",
    "+proj=robin +lon_0=11 +R=6371000",
    "+proj=sinu +lon_0=11 +R=6371007.181",
    "+proj=vandg +lon_0=11 +R=6371000",
    "+proj=cea +lat_ts=30 +lon_0=11 +datum=WGS84",
    "+proj=omerc +lat_0=4 +lonc=115 +alpha=53.3 +gamma=53.1 +k=0.99984 +x_0=5 +no_uoff +ellps=evrstSS",
    "+proj=utm +zone=33 +south +ellps=intl",
]
crs = []
for text in PROJECTIONS:
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "a.tif"
        with rasterio.open(path, "w", driver="GTiff", width=1, height=1, count=1, dtype="uint8", crs=text, transform=Affine(1, 0, 0, 0, -1, 0)) as f:
            f.write(np.zeros((1, 1, 1), "u1"))
        with rasterio.open(path) as f:
            truth = pyproj.CRS.from_wkt(f.crs.to_wkt(version="WKT2_2019"))
        tags = tifffile.TiffFile(path).pages[0].tags
        keys = list(tags[34735].value)
        if not any(keys[i] == 3075 for i in range(4, len(keys), 4)):
            print("no method in the keys:", text)
            continue
        value = lambda tag: tags[tag].value if tag in tags else None
        doubles = value(34736)
        crs.append(
            dict(
                proj=text,
                keys=keys,
                doubles=list(doubles) if isinstance(doubles, tuple) else [doubles] if doubles is not None else [],
                ascii=value(34737) or "",
                method=truth.coordinate_operation.method_name,
                parameters={p.name: p.value for p in truth.coordinate_operation.params},
                major=truth.ellipsoid.semi_major_metre,
                inverse_flattening=truth.ellipsoid.inverse_flattening,
                unit=truth.axis_info[0].unit_conversion_factor,
            )
        )
lines = ",\n".join(json.dumps(c) for c in crs)
(HERE / "crs.json").write_text(f"[\n{lines}\n]\n")
