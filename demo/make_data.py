#!/usr/bin/env python3
"""Makes the sample data of `graticule demo`: a year of a reanalysis, a season of satellite scenes, terrain, outlines.

    python demo/make_data.py [--output demo-data]

    reanalysis/era5_2023MM.nc       12 netCDF-4 files: t2m (int16, packed) and tp (float32), every 6 hours, 2 degrees
    scenes/S2_2023MMDD_BAND.tif     12 dates, bands B04, B08, SCL: cloud-optimised GeoTIFFs of 1024 x 1024 pixels, EPSG:32631
    terrain/dem.tif                 elevation of the same ground in metres, int16
    parcels.geojson                 outlines of 24 of its fields, with the crop that grows there
    regions.geojson                 six parts of the world, for the reanalysis

The data are made up and always the same. They behave like real ones: land and sea, seasons, day and night, travelling
lows with rain and cold behind them; fields that grow and are harvested, a river, clouds with shadows. Finished files are kept.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np

YEAR = 2023
STEP_HOURS = 6
SEED = 2023


# ---------------------------------------------------------------- random fields
def smooth(rng: np.random.Generator, shape: tuple[int, int], scale: float, wrap_rows: bool = True) -> np.ndarray:
    """Gaussian noise of mean 0 and deviation 1 whose features are about `scale` cells wide; columns wrap around."""
    padded = shape if wrap_rows else (2 * shape[0], shape[1])
    spectrum = np.fft.rfft2(rng.standard_normal(padded))
    wave = np.hypot(np.fft.fftfreq(padded[0])[:, None], np.fft.rfftfreq(padded[1])[None, :])
    field = np.fft.irfft2(spectrum * np.exp(-((np.pi * scale * wave) ** 2)), s=padded)[: shape[0]]
    return ((field - field.mean()) / field.std()).astype(np.float32)


# ---------------------------------------------------------------- reanalysis
# Continents as ellipses (lat, lon, half height, half width, tilt in degrees), roughened by noise: enough to know the Earth by.
CONTINENTS = [
    (50, 260, 22, 38, -10), (68, 265, 10, 45, 0), (22, 258, 12, 9, -35), (72, 320, 11, 16, 0),        # North America, Greenland
    (-8, 300, 15, 18, 0), (-30, 294, 26, 8, -8),                                                      # South America
    (22, 12, 14, 26, 0), (6, 20, 16, 20, 0), (-15, 25, 20, 13, 0), (8, 42, 6, 8, 0),                  # Africa
    (50, 15, 8, 22, 10), (63, 22, 9, 12, 25), (40, 356, 5, 6, 0), (53, 357, 5, 3, 0),                 # Europe
    (60, 85, 15, 62, 0), (45, 80, 14, 40, 0), (33, 105, 13, 18, 0), (24, 47, 11, 11, -20), (22, 79, 13, 9, 0),   # Asia
    (16, 103, 9, 7, 0), (0, 114, 5, 6, 0), (-5, 140, 4, 8, 10), (-25, 134, 11, 19, 0), (-42, 172, 5, 3, -40),  # south-east, Australia
    (-83, 70, 13, 200, 0), (-78, 180, 4, 200, 0), (37, 138, 6, 3, -45), (-19, 47, 7, 3, 0),           # Antarctica, islands
]


class Planet:
    """The grid and what stays the same on it. Latitude runs north to south, longitude 0 to 358."""

    def __init__(self) -> None:
        self.lat = np.linspace(90, -90, 91, dtype=np.float32)
        self.lon = np.arange(0, 360, 2, dtype=np.float32)
        self.shape = (self.lat.size, self.lon.size)
        rng = np.random.default_rng(SEED)
        lat, lon = self.lat[:, None].astype(np.float64), self.lon[None, :].astype(np.float64)
        inside = np.full(self.shape, -9.0)
        for la, lo, height, width, tilt in CONTINENTS:
            east = (lon - lo + 180) % 360 - 180
            a = np.radians(tilt)
            u, v = east * np.cos(a) + (lat - la) * np.sin(a), (lat - la) * np.cos(a) - east * np.sin(a)
            inside = np.maximum(inside, 1 - np.hypot(u / width, v / height))
        coast = inside + 0.10 * smooth(rng, self.shape, 3) + 0.05 * smooth(rng, self.shape, 1.2)
        self.land = np.clip(coast / 0.08 + 0.5, 0, 1).astype(np.float32)
        ranges = np.exp(1.1 * smooth(rng, self.shape, 3.5) - 1) + 0.25 * np.clip(coast, 0, 0.6)
        ice_caps = 2200 * np.clip(inside, 0, 0.4) / 0.4 * ((lat < -68) | ((lat > 60) & (np.abs(lon - 320) < 25)))
        self.height = (self.land * (700 * ranges + ice_caps)).clip(0, 5200).astype(np.float32)
        # Deserts, rain forests, storm tracks: where rain likes to fall, from the Hadley cells and some noise.
        bands = np.exp(-((lat / 9) ** 2)) * 1.5 + 0.9 * np.exp(-(((np.abs(lat) - 48) / 15) ** 2)) + 0.1
        self.wet = (bands * np.exp(0.35 * smooth(rng, self.shape, 8))).astype(np.float32)
        # The ocean carries warmth into the north-east of its basins.
        gulf = 8 * np.exp(-(((lat - 57) / 16) ** 2)) * np.exp(-((((lon - 5 + 180) % 360 - 180) / 30) ** 2))
        self.warm = (gulf * (1 - 0.2 * self.land)).astype(np.float32)
        # Seasons are strong far from the sea.
        self.inland = np.clip(1.6 * coast, 0, 1).astype(np.float32)
        # Weather: patterns that drift eastward at their own speeds while they turn into each other.
        self.patterns = [
            (smooth(rng, self.shape, scale, wrap_rows=False), smooth(rng, self.shape, scale, wrap_rows=False), drift, period)
            for scale, drift, period in [(10, 5.0, 21.0), (5.5, 9.0, 9.0), (2.7, 12.0, 5.0)]
        ]

    def weather(self, days: float) -> np.ndarray:
        """The pressure-like field at a time: about 0 on average, low where it is negative."""
        total = np.zeros(self.shape, np.float32)
        for (first, second, drift, period), weight in zip(self.patterns, (0.6, 0.65, 0.45)):
            phase = 2 * np.pi * days / period
            shift = drift * days / 2
            total += weight * (np.cos(phase) * _moved(first, shift) + np.sin(phase) * _moved(second, shift))
        return total

    def at(self, when: dt.datetime) -> tuple[np.ndarray, np.ndarray]:
        """Temperature at 2 m (K) and precipitation of the last 6 hours (m)."""
        days = (when - dt.datetime(YEAR, 1, 1)).total_seconds() / 86400
        lat = np.radians(self.lat)[:, None]
        # Warmest a month after the solstice over land, two over the sea.
        season_land, season_sea = (np.cos(2 * np.pi * (days - peak) / 365.25) for peak in (200, 228))
        swing = np.sin(lat) * (self.land * season_land * (10 + 12 * self.inland) + (1 - self.land) * season_sea * 5.5)
        mean = 301 - 38 * np.sin(lat) ** 2 - 12 * np.sin(lat) ** 8 - 12 * (lat < np.radians(-66)) * self.land
        # Sea ice lets the air above it become as cold as over land in the winter of each pole.
        ice = np.clip((np.degrees(np.abs(lat)) - 66 + 5 * np.sign(lat) * season_sea) / 12, 0, 1) * (1 - self.land)
        swing = swing - 10 * ice * np.clip(1 - np.sign(lat) * season_land, 0, None)
        field = self.weather(days)
        wind = 0.75 * np.gradient(field, axis=1)
        stormy = np.clip(np.abs(np.sin(lat)) * 1.35 - 0.1, 0.1, 1)
        # Behind a low the wind comes from the pole, in front of it from the tropics.
        weather = stormy * (2.4 * field * (0.4 + 0.6 * self.land) + 17 * wind * np.clip(1.2 - np.abs(lat) / 1.6, 0.3, 1))
        local = (when.hour + self.lon[None, :] / 15) % 24
        cloud = np.clip(0.5 - 0.5 * field, 0, 1)
        # The Sun: how high it stands at noon decides how much the day warms.
        tilt = np.radians(-23.44) * np.cos(2 * np.pi * (days + 10) / 365.25)
        noon = np.clip(np.cos(lat - tilt), 0, 1)
        daily = np.cos(2 * np.pi * (local - 14.5) / 24) * noon * (0.5 + 6.5 * self.land * (1 - 0.6 * cloud))
        t2m = mean + swing + weather + daily + self.warm - 0.0062 * self.height
        # The rain belt follows the Sun; afternoons bring showers over warm land.
        belt = np.exp(-(((np.degrees(lat) - 0.6 * np.degrees(tilt)) / 8) ** 2))
        lift = -field + 0.9 * belt - 0.35 + 0.5 * belt * self.land * np.cos(2 * np.pi * (local - 17) / 24)
        cold = np.clip((t2m - 240) / 50, 0.05, 1)
        tp = 0.0058 * self.wet * cold * np.clip(lift, 0, None) ** 1.6
        return t2m.astype(np.float32), np.where(tp < 1e-5, 0, tp).astype(np.float32)


def _moved(field: np.ndarray, columns: float) -> np.ndarray:
    """Shifted eastward by a fraction of cells, around the Earth."""
    whole = int(np.floor(columns))
    part = np.float32(columns - whole)
    return np.roll(field, whole, 1) * (1 - part) + np.roll(field, whole + 1, 1) * part


def make_month(path: Path, month: int) -> None:
    """One file of the reanalysis."""
    import netCDF4

    planet = Planet()
    start = dt.datetime(YEAR, month, 1)
    end = dt.datetime(YEAR + month // 12, month % 12 + 1, 1)
    times = [start + dt.timedelta(hours=h) for h in range(0, int((end - start).total_seconds() // 3600), STEP_HOURS)]
    # The noise of small scales, so that the files are as large as such files are.
    rng = np.random.default_rng([SEED, month])
    with netCDF4.Dataset(path, "w", format="NETCDF4") as nc:
        nc.setncatts({"Conventions": "CF-1.8", "title": "Sample reanalysis of Graticule: made up, not measured", "institution": "Graticule"})
        for name, values in (("time", None), ("latitude", planet.lat), ("longitude", planet.lon)):
            nc.createDimension(name, len(times) if values is None else len(values))
        time_ = nc.createVariable("time", "i4", ("time",))
        time_.setncatts({"units": "hours since 1900-01-01 00:00:00", "calendar": "gregorian", "standard_name": "time", "long_name": "time", "axis": "T"})
        time_[:] = [int((t - dt.datetime(1900, 1, 1)).total_seconds() // 3600) for t in times]
        for name, values, axis in (("latitude", planet.lat, "Y"), ("longitude", planet.lon, "X")):
            v = nc.createVariable(name, "f4", (name,))
            v.setncatts({"units": f"degrees_{'north' if axis == 'Y' else 'east'}", "standard_name": name, "long_name": name, "axis": axis})
            v[:] = values
        options = dict(dimensions=("time", "latitude", "longitude"), zlib=True, complevel=4, shuffle=True, chunksizes=(28, 46, 60))
        t2m = nc.createVariable("t2m", "i2", fill_value=-32767, **options)
        t2m.set_auto_maskandscale(False)
        t2m.setncatts({"scale_factor": 0.05, "add_offset": 265.0, "units": "K", "long_name": "2 metre temperature", "standard_name": "air_temperature"})
        tp = nc.createVariable("tp", "f4", fill_value=np.float32(np.nan), **options)
        tp.setncatts({"units": "m", "long_name": "Total precipitation of the last 6 hours", "standard_name": "lwe_thickness_of_precipitation_amount"})
        t = np.empty((len(times), *planet.shape), np.float32)
        p = np.empty_like(t)
        for i, when in enumerate(times):
            t[i], p[i] = planet.at(when)
        t += 0.04 * rng.standard_normal(t.shape, dtype=np.float32)
        t2m[:] = np.rint((t - 265.0) / 0.05).clip(-32766, 32767).astype(np.int16)
        # As a model would write it: steps of a hundredth of a millimetre.
        tp[:] = np.round(p, 5)


# ---------------------------------------------------------------- scenes
SIZE = 1024
PIXEL = 10.0
CORNER = (448_000.0, 5_416_000.0)  # north-west, EPSG:32631: the Beauce, south-west of Paris, is such a plain
DATES = [dt.date(YEAR, 4, 3) + dt.timedelta(days=15 * i) for i in range(12)]
# Overcast in % of the area, by date: some days are lost, as they are.
OVERCAST = [20, 0, 65, 10, 35, 0, 5, 90, 15, 0, 30, 8]


class Landscape:
    """Fields in rows, a forest, a town, a river with a lake: what is where, fixed for the season."""

    def __init__(self) -> None:
        rng = np.random.default_rng(SEED + 1)
        n = SIZE
        y, x = np.mgrid[0:n, 0:n].astype(np.float32)
        # Fields: the cells nearest to scattered points under a stretched and turned metric, so that they look ploughed.
        points = rng.random((260, 2)).astype(np.float32) * n
        u, v = (x * 0.96 + y * 0.28), (y * 0.96 - x * 0.28)
        pu, pv = (points[:, 1] * 0.96 + points[:, 0] * 0.28), (points[:, 0] * 0.96 - points[:, 1] * 0.28)
        nearest = np.full((n, n), np.inf, np.float32)
        second = nearest.copy()
        self.field = np.zeros((n, n), np.int16)
        for i in range(len(points)):
            d = np.maximum(np.abs(u - pu[i]), 1.6 * np.abs(v - pv[i]))
            closer = d < nearest
            second = np.where(closer, nearest, np.minimum(second, d))
            self.field[closer] = i
            nearest = np.where(closer, d, nearest)
        self.track = (second - nearest) < 1.5
        # Crops: winter wheat (up early, cut in July), maize (late), grass.
        self.crop = rng.choice(3, len(points), p=[0.5, 0.3, 0.2])
        self.vigour = rng.normal(1, 0.08, len(points)).astype(np.float32)
        self.delay = rng.normal(0, 6, len(points)).astype(np.float32)
        relief = smooth(rng, (n, n), 90, wrap_rows=False)
        self.forest = relief + 0.25 * smooth(rng, (n, n), 12, wrap_rows=False) > 1.15
        bend = 60 * np.sin(np.arange(n) / 95) + 25 * np.sin(np.arange(n) / 31 + 1)
        self.water = np.abs(y - (0.62 * n + bend[None, :])) < 5
        self.water |= np.hypot(x - 760, (y - 250) * 1.4) + 12 * smooth(rng, (n, n), 25, wrap_rows=False) < 55
        self.town = (np.hypot(x - 300, y - 380) + 22 * smooth(rng, (n, n), 18, wrap_rows=False) < 60) & ~self.water
        self.texture = smooth(rng, (n, n), 2.5, wrap_rows=False)
        self.soil = smooth(rng, (n, n), 40, wrap_rows=False)

    def green(self, day: int) -> np.ndarray:
        """How much of the ground leaves cover (0 to 1) on a day of the year."""
        rise = lambda middle, width: 1 / (1 + np.exp(-(day - self.delay - middle) / width))
        wheat = rise(85, 12) * (1 - rise(188, 7)) * 0.92 + 0.06
        maize = rise(168, 9) * (1 - rise(268, 8)) * 0.90 + 0.05
        grass = 0.55 + 0.3 * rise(100, 15) - 0.25 * rise(205, 15) * (1 - rise(250, 15))
        cover = np.choose(self.crop, [wheat, maize, grass]) * self.vigour
        cover = cover[self.field] * (1 + 0.05 * self.texture)
        cover = np.where(self.track, 0.3, cover)
        leaves = 0.25 + 0.65 / (1 + np.exp(-(day - 108) / 6)) * (1 - 0.5 / (1 + np.exp(-(day - 290) / 8)))
        cover = np.where(self.forest, leaves + 0.05 * self.texture, cover)
        return np.where(self.town, 0.18 + 0.1 * np.abs(self.texture), cover).clip(0, 1).astype(np.float32)


def make_scene(folder: Path, index: int) -> None:
    """The three bands of one date."""
    land, date = Landscape(), DATES[index]
    rng = np.random.default_rng([SEED, 77, index])
    green = land.green(date.timetuple().tm_yday)
    # Reflectances: soil is bright in red, leaves dark in red and bright in the near infrared.
    red = 0.17 + 0.02 * land.soil - (0.145 + 0.02 * land.soil) * green + 0.004 * land.texture
    nir = 0.22 + 0.02 * land.soil + 0.27 * green + 0.008 * land.texture
    red, nir = (np.where(land.water, w, b) for w, b in ((0.028, red), (0.016, nir)))
    red, nir = (np.where(land.town & ~land.water, 0.14 + 0.05 * np.abs(land.texture), b) for b in (red, nir))
    scene_class = np.where(land.water, 6, np.where(green > 0.35, 4, 5)).astype(np.uint8)
    # Clouds where a smooth field is high; their shadows lie to the north-west, the Sun being in the south-east at 10:30.
    field = smooth(rng, (SIZE, SIZE), 70, wrap_rows=False) + 0.3 * smooth(rng, (SIZE, SIZE), 14, wrap_rows=False)
    overcast = OVERCAST[index]
    level = np.quantile(field, 1 - overcast / 100) if overcast else np.inf
    thick = np.clip((field - level) / 0.35, 0, 1).astype(np.float32)
    shade = np.roll(thick, (-34, -22), (0, 1))
    shadow = (shade > 0.25) & (thick < 0.1)
    red, nir = (np.where(shadow, b * 0.45, b) for b in (red, nir))
    red, nir = (b * (1 - thick) + bright * thick for b, bright in ((red, 0.62), (nir, 0.66)))
    scene_class[shadow] = 3
    scene_class[thick > 0.05] = 8
    scene_class[thick > 0.6] = 9
    noise = lambda: 0.0005 * rng.standard_normal((SIZE, SIZE))
    bands = {"B04": red + noise(), "B08": nir + noise()}
    # The edge of the satellite's swath crosses some scenes: nothing was seen beyond it.
    seen = np.ones((SIZE, SIZE), bool)
    if index % 4 == 2:
        y, x = np.mgrid[0:SIZE, 0:SIZE]
        seen = x + 0.21 * y < 1090
    scene_class[~seen] = 0
    write_cog(folder / f"S2_{date:%Y%m%d}_SCL.tif", scene_class, "nearest")
    for name, band in bands.items():
        digital = np.rint(band * 10_000).clip(1, 16_000).astype(np.uint16)
        digital[~seen] = 0
        write_cog(folder / f"S2_{date:%Y%m%d}_{name}.tif", digital, "average")


def make_terrain(folder: Path) -> None:
    """Hills that fall towards the river, in metres."""
    rng = np.random.default_rng(SEED + 2)
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    land = Landscape()
    river = 0.62 * SIZE + 60 * np.sin(x / 95)
    valley = np.clip(np.abs(y - river) / 260, 0, 1) ** 1.5
    ridges = np.abs(smooth(rng, (SIZE, SIZE), 60, wrap_rows=False)) + 0.3 * np.abs(smooth(rng, (SIZE, SIZE), 15, wrap_rows=False))
    height = 85 + valley * (160 + 240 * ridges) + 3 * smooth(rng, (SIZE, SIZE), 3, wrap_rows=False) * valley
    height = np.where(land.water, np.minimum(height, 84), height)
    write_cog(folder / "dem.tif", np.rint(height).astype(np.int16), "average", nodata=-9999)


# ---------------------------------------------------------------- outlines
#: Name, and an ellipse: latitude, longitude, half height, half width, tilt in degrees.
REGIONS = [("North America", 50, -100, 20, 36, -10), ("South America", -16, -60, 30, 17, 0), ("Europe", 51, 15, 11, 24, 8),
           ("Africa", 3, 20, 30, 22, 0), ("Asia", 55, 88, 20, 52, 0), ("Australia", -25, 134, 12, 20, 0)]
CROPS = ("wheat", "maize", "grass")


def make_regions(path: Path) -> None:
    """Ellipses in longitude and latitude."""
    features = []
    for number, (name, lat, lon, height, width, tilt) in enumerate(REGIONS, 1):
        turn, a = np.linspace(0, 2 * np.pi, 73), np.radians(tilt)
        u, v = width * np.cos(turn), height * np.sin(turn)
        ring = np.round(np.stack([lon + u * np.cos(a) - v * np.sin(a), lat + u * np.sin(a) + v * np.cos(a)], axis=1), 3)
        ring[-1] = ring[0]
        features.append(feature({"id": number, "name": name}, {"type": "Polygon", "coordinates": [ring.tolist()]}))
    write_features(path, features)


def make_parcels(path: Path) -> None:
    """The outlines of the largest fields of each crop, from the map of fields."""
    from rasterio.features import shapes
    from rasterio.transform import from_origin
    from rasterio.warp import transform_geom

    land = Landscape()
    open_ground = ~(land.water | land.forest | land.town)
    cells = np.bincount(land.field[open_ground], minlength=len(land.crop))
    chosen = [int(f) for crop in range(3) for f in sorted(np.flatnonzero(land.crop == crop), key=lambda f: -cells[f])[:8]]
    features = []
    for geometry, value in shapes(land.field, mask=open_ground & np.isin(land.field, chosen), transform=from_origin(*CORNER, PIXEL, PIXEL)):
        corners = sum(len(ring) for ring in geometry["coordinates"])
        if corners < 8:  # specks that the river cuts off
            continue
        outline = transform_geom("EPSG:32631", "EPSG:4326", geometry, precision=6)
        features.append(feature({"id": int(value), "crop": CROPS[land.crop[int(value)]]}, outline))
    write_features(path, features)


def feature(properties: dict[str, object], geometry: dict[str, object]) -> dict[str, object]:
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def write_features(path: Path, features: list[dict[str, object]]) -> None:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}) + "\n")


def write_cog(path: Path, band: np.ndarray, resampling: str, nodata: int = 0) -> None:
    """A cloud-optimised GeoTIFF: tiles of 256, overviews, DEFLATE after differences."""
    import rasterio
    from rasterio.io import MemoryFile
    from rasterio.shutil import copy
    from rasterio.transform import from_origin

    profile = dict(driver="GTiff", width=SIZE, height=SIZE, count=1, dtype=band.dtype, crs="EPSG:32631", nodata=nodata, transform=from_origin(*CORNER, PIXEL, PIXEL))
    with MemoryFile() as memory:
        with memory.open(**profile) as image:
            image.write(band, 1)
        with memory.open() as image:
            copy(image, path, driver="COG", compress="DEFLATE", level=6, predictor="STANDARD", blocksize=256, overview_resampling=resampling, nodata=nodata)
    with rasterio.open(path) as image:
        assert image.overviews(1), path


# ---------------------------------------------------------------- all of it
def jobs(output: Path) -> list[tuple[list[Path], str, int]]:
    """What each job makes: its files, the function, its argument."""
    found = [([output / "reanalysis" / f"era5_{YEAR}{m:02}.nc"], "month", m) for m in range(1, 13)]
    found += [([output / "terrain" / "dem.tif"], "terrain", 0), ([output / "parcels.geojson"], "parcels", 0), ([output / "regions.geojson"], "regions", 0)]
    return found + [([output / "scenes" / f"S2_{d:%Y%m%d}_{b}.tif" for b in ("B04", "B08", "SCL")], "scene", i) for i, d in enumerate(DATES)]


def run(files: list[Path], kind: str, argument: int) -> int:
    """Makes the files of one job beside their places and moves them there when they are whole. Returns their bytes."""
    beside = files[0].parent / f".making-{kind}-{argument}"
    beside.mkdir(parents=True, exist_ok=True)
    if kind == "month":
        make_month(beside / files[0].name, argument)
    elif kind == "scene":
        make_scene(beside, argument)
    elif kind == "terrain":
        make_terrain(beside)
    else:
        {"parcels": make_parcels, "regions": make_regions}[kind](beside / files[0].name)
    for file in files:
        os.replace(beside / file.name, file)
    for left in beside.iterdir():
        left.unlink()
    beside.rmdir()
    return sum(f.stat().st_size for f in files)


def main() -> None:
    """Makes what is missing, in as many processes as there are CPUs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).resolve().parent.parent / "demo-data")
    output: Path = parser.parse_args().output
    todo = [job for job in jobs(output) if not all(f.exists() for f in job[0])]
    if not todo:
        print(f"sample data: complete in {output}")
        return
    began, done = time.monotonic(), 0
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        for future in as_completed([pool.submit(run, *job) for job in todo]):
            future.result()
            done += 1
            if sys.stderr.isatty():
                bar = "█" * round(30 * done / len(todo))
                print(f"\rsample data: {bar:░<30} {done}/{len(todo)}", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    size = sum(f.stat().st_size for job in jobs(output) for f in job[0])
    print(f"sample data: {size / 1e6:.0f} MB in {output}, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
