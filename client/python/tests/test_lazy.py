"""Lazy cubes: which cells each way of indexing asks for, and what it returns."""

import numpy as np
import pytest
from array_server import ArrayServer, answer, axis

import graticule
from graticule.lazy import bounding, quoted


@pytest.mark.parametrize(
    "key",
    [3, -1, np.int64(0), slice(None), slice(2, 5), slice(None, None, 2), slice(8, 1, -3), slice(5, 5), slice(-3, None),
     np.array([4]), np.array([1, 3, 5]), np.array([7, 2, 2]), np.array([-1, 0]), np.array([], int)],
)
def test_the_bounding_box_and_the_pick_give_what_numpy_gives(key):
    cells = np.arange(10)
    box, pick, count = bounding(key, 10)
    expected = cells[key]
    assert count == np.size(expected)
    if count == 0:
        return
    if box is None:
        asked = cells
    else:
        low, high, *step = map(int, box.split(":"))
        asked = cells[low : high + 1 : step[0] if step else 1]
    np.testing.assert_array_equal(asked if pick is None else asked[pick], expected)


def test_names_are_quoted():
    assert quoted("order") == '"order"' and quoted("era5.lat_lon") == '"era5.lat_lon"' and quoted('a"b') == '"a""b"'


def test_indexing_asks_for_just_those_cells():
    values = np.arange(3 * 4 * 5, dtype="f4").reshape(3, 4, 5)
    axes = [axis("time", 3), axis("lat", 4, start=0.0, step=1.0, dtype="float64"), axis("lon", 5, start=0.0, step=1.0, dtype="float64")]
    dims = ["time", "lat", "lon"]
    whole = answer(axes, {"T": (dims, values, {"units": "K"}, True)}, tile=(3, 4, 5))
    part = answer([axis("time", 1), axis("lat", 2), axis("lon", 5)], {"T": (dims, values[1:2, 1:3], {}, True)}, tile=(1, 2, 5))
    server = ArrayServer({'SELECT * FROM "c"': whole, 'SELECT "T" FROM "c"["time"(INDEX 1:1), "lat"(INDEX 1:2)]': part})
    with graticule.connect(server.url) as db:
        ds = db.open("c")
        assert ds.T.units == "K" and ds.T.shape == (3, 4, 5)
        assert server.asked == ['SELECT * FROM "c"']
        np.testing.assert_array_equal(ds.T.isel(time=1).sel(lat=slice(1, 2)).values, values[1, 1:3])
        assert len(server.asked) == 2
        assert ds.T.isel(time=slice(0, 0)).values.shape == (0, 4, 5)
        assert len(server.asked) == 2
    server.shutdown()
