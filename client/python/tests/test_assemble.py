"""Array answers put together: any order of tiles, missing cells and tiles, every type, axes and scalars."""

import json
import random

import numpy as np
import pyarrow as pa
import pytest
import xarray as xr
from array_server import ArrayServer, answer, axis

import graticule


@pytest.fixture
def ask():
    """A client of a server with these answers."""
    open_ = []

    def start(answers):
        server = ArrayServer(answers)
        client = graticule.connect(server.url)
        open_.extend([client, server])
        return client, server

    yield start
    for thing in open_:
        thing.close() if isinstance(thing, graticule.Client) else thing.shutdown()


def grid(*sizes):
    return [axis(n, s, start=0, step=1, dtype="int64") for n, s in zip("tyx", sizes)]


@pytest.mark.parametrize("tile", [(7, 5, 6), (2, 3, 4), (1, 1, 1), (7, 1, 6)])
@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i1", "u2", "i4", "u8", "M8[ns]", "M8[s]", "m8[us]", "?"])
def test_tiles_in_any_order_make_the_array(ask, tile, dtype):
    values = np.random.default_rng(1).integers(0, 120, (7, 5, 6)).astype(dtype)
    schema, batches = answer(grid(7, 5, 6), {"v": (["t", "y", "x"], values, {}, True)}, tile=tile, order=random.Random(2))
    client, _ = ask({"q": (schema, batches)})
    found = client.array("q").v
    assert found.dims == ("t", "y", "x")
    # xarray before 2024 knows nanoseconds only
    assert found.dtype == values.dtype or values.dtype.kind in "mM"
    np.testing.assert_array_equal(found.values, values)


def test_nulls_are_missing_and_integers_with_nulls_become_floating_point(ask):
    rng = np.random.default_rng(3)
    mask = rng.random((7, 5, 6)) < 0.2
    values = {"f": "f4", "b": "u1", "s": "i2", "i": "i4", "when": "M8[ns]"}
    masked = {k: np.ma.masked_array(rng.integers(0, 99, mask.shape).astype(d), mask) for k, d in values.items()}
    variables = {k: (["t", "y", "x"], v, {}, True) for k, v in masked.items()}
    client, _ = ask({"q": answer(grid(7, 5, 6), variables, tile=(2, 3, 4), order=random.Random(4))})
    found = client.array("q")
    for name, dtype in {"f": "f4", "b": "f4", "s": "f4", "i": "f8", "when": "M8[ns]"}.items():
        assert found[name].dtype == dtype
        np.testing.assert_array_equal(found[name].isnull().values, mask)
        np.testing.assert_array_equal(found[name].values[~mask], masked[name].data[~mask].astype(dtype))


def test_cells_without_a_tile_are_missing_and_counts_are_zero(ask):
    values = np.arange(24, dtype="f4").reshape(4, 6)
    axes = grid(4, 6)
    variables = {
        "f": (["t", "y"], values, {}, True),
        "i": (["t", "y"], values.astype("i8"), {}, True),
        "n": (["t", "y"], values.astype("i8"), {}, False),
    }
    client, _ = ask({"q": answer(axes, variables, tile=(2, 2), skip=(1, 3)), "none": answer(axes, variables, tile=(2, 2), skip=range(6))})
    found = client.array("q")
    expected = values.copy()
    expected[0:2, 2:4] = expected[2:4, 0:2] = np.nan
    np.testing.assert_array_equal(found.f.values, expected)
    np.testing.assert_array_equal(found.i.values, expected.astype("f8"))
    assert found.n.dtype == "i8"
    np.testing.assert_array_equal(found.n.values, np.nan_to_num(expected).astype("i8"))
    empty = client.array("none")
    assert empty.f.isnull().all() and (empty.n == 0).all()


def test_variables_on_fewer_axes_keep_their_dimensions(ask):
    axes = grid(3, 4, 5)
    variables = {
        "v": (["t", "y", "x"], np.arange(60, dtype="f4").reshape(3, 4, 5), {}, True),
        "mask": (["y", "x"], np.arange(20, dtype="u1").reshape(4, 5), {}, True),
        "offset": (["t"], np.arange(3, dtype="f8"), {}, True),
    }
    client, _ = ask({"q": answer(axes, variables, tile=(2, 2, 3), order=random.Random(1))})
    found = client.array("q")
    assert found.mask.dims == ("y", "x") and found.offset.dims == ("t",)
    for name, (_, values, _, _) in variables.items():
        np.testing.assert_array_equal(found[name].values, values)


def test_text_keeps_its_letters(ask):
    values = np.array([["a", "bé"], ["", "d"]], object)
    client, _ = ask({"q": answer(grid(2, 2), {"v": (["t", "y"], values, {}, True)}, tile=(1, 2))})
    assert client.array("q").v.values.tolist() == values.tolist()


def test_an_answer_without_axes_is_a_scalar(ask):
    client, _ = ask({"q": answer([], {"v": ([], np.array(3.5), {"units": "K"}, True)}, tile=())})
    found = client.array("q").v
    assert found.shape == () and float(found) == 3.5 and found.units == "K"


def test_an_empty_axis_gives_an_empty_array(ask):
    client, _ = ask({"q": answer(grid(0, 3), {"v": (["t", "y"], np.empty((0, 3), "f4"), {}, True)}, tile=(1, 3))})
    assert client.array("q").v.shape == (0, 3)


def test_axes_scalars_and_attributes(ask):
    day = 86_400_000_000_000
    start = int(np.datetime64("2020-01-01", "ns").view("i8"))
    axes = [
        axis("time", 3, start=start, step=day, dtype="datetime64[ns]", role="Time", calendar="standard",
             attributes={"units": "hours since 1900-01-01", "calendar": "standard", "long_name": "time"}),
        axis("lat", 4, start=90.0, step=-0.25, dtype="float32", units="degrees_north", role="Latitude", attributes={"units": "degrees_north"}),
        axis("band", 2, values=["B04", "B08"], dtype="str"),
        axis("level", 2, values=pa.array([850.0, 500.0]), dtype="float64", units="hPa"),
        axis("cell", 2),
    ]
    values = np.zeros((3, 4, 2, 2, 2), "f4")
    attributes = {"units": "K", "_FillValue": "NaN", "scale_factor": 0.01, "valid_range": [0, 5]}
    scalars = [{"name": "height", "value": 2.0, "dtype": "float64", "attributes": {"units": "m"}},
               {"name": "run", "value": start, "dtype": "datetime64[ns]", "attributes": {"units": "days since 2000-01-01"}}]
    schema, batches = answer(axes, {"v": (["time", "lat", "band", "level", "cell"], values, attributes, True)},
                             tile=(3, 4, 2, 2, 2), scalars=scalars, crs="EPSG:4326", attributes={"title": "a test"})
    client, _ = ask({"q": (schema, batches)})
    found = client.array("q")
    assert found.attrs == {"title": "a test"}
    np.testing.assert_array_equal(found.time.values, np.array(["2020-01-01", "2020-01-02", "2020-01-03"], "M8[ns]"))
    assert found.time.encoding["units"] == "hours since 1900-01-01" and found.time.encoding["calendar"] == "standard"
    assert found.time.attrs == {"long_name": "time"}
    assert found.lat.dtype == "f4" and found.lat.values.tolist() == [90.0, 89.75, 89.5, 89.25] and found.lat.units == "degrees_north"
    assert found.band.values.tolist() == ["B04", "B08"]
    assert found.level.values.tolist() == [850.0, 500.0] and found.level.units == "hPa"
    assert "cell" not in found.coords
    assert float(found.height) == 2.0 and found.height.units == "m"
    assert found.run.values == np.datetime64("2020-01-01")
    assert found.spatial_ref.attrs["spatial_ref"] == "EPSG:4326"
    assert found.v.attrs["units"] == "K" and found.v.attrs["valid_range"].tolist() == [0, 5]
    assert np.isnan(found.v.encoding["_FillValue"]) and found.v.encoding["scale_factor"] == 0.01
    assert isinstance(found, xr.Dataset)


def test_a_tile_outside_its_axes_is_an_error(ask):
    schema, batches = answer(grid(4, 4), {"v": (["t", "y"], np.zeros((4, 4), "f4"), {}, True)}, tile=(2, 2))
    described = json.loads(schema.metadata[b"graticule.axes"])
    described["axes"][0]["size"] = 3
    small = schema.with_metadata({"graticule.axes": json.dumps(described)})
    client, _ = ask({"q": (small, [b.replace_schema_metadata(small.metadata) for b in batches])})
    with pytest.raises(graticule.Error, match="outside its axes"):
        client.array("q")


def test_rows_are_not_arrays(ask):
    table = pa.table({"a": [1, 2]})
    client, _ = ask({"q": (table.schema, table.to_batches())})
    assert client.sql("q").equals(table)
    with pytest.raises(graticule.Error, match="array form"):
        client.array("q")


def test_a_failed_query_says_what_the_server_said(ask):
    client, _ = ask({})
    with pytest.raises(graticule.QueryError) as caught:
        client.sql("SELECT nothing")
    assert caught.value.message == "no answer to SELECT nothing"


def test_nobody_there_is_a_connection_error():
    with pytest.raises(graticule.ConnectionError, match="127.0.0.1:1"):
        graticule.connect("grpc://127.0.0.1:1", timeout=2)
