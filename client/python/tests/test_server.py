"""The client against the real program: rows, parameters, statements, errors, and what starting and stopping it does."""

import os
import pickle
import signal

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import graticule


def test_rows(bare):
    table = bare.sql("SELECT 1 AS a, 'x' AS b")
    assert table.to_pydict() == {"a": [1], "b": ["x"]}


def test_rows_of_a_cube_are_those_of_xarray(db, files):
    want = xr.concat([xr.open_dataset(files / f"era5_20230{m}.nc") for m in (1, 2)], "time")
    table = db.sql("SELECT time, avg(t2m) AS t, count(t2m) AS n FROM era5 GROUP BY time ORDER BY time")
    np.testing.assert_array_equal(table["time"].to_numpy(), want.time.values)
    np.testing.assert_allclose(table["t"].to_numpy(), want.t2m.mean(("lat", "lon"), dtype="f8").values, rtol=1e-6)
    np.testing.assert_array_equal(table["n"].to_numpy(), want.t2m.count(("lat", "lon")).values)


def test_parameters(bare):
    table = bare.sql("SELECT $1 + 1 AS a, $2 AS b", [40, "x"])
    assert table.to_pydict() == {"a": [41], "b": ["x"]}
    assert bare.sql("SELECT $1 AS a", [None])["a"].to_pylist() == [None]


def test_parameters_compare_with_axes(db):
    some = db.sql("SELECT count(*) AS n FROM era5 WHERE lat > $1", [40])
    every = db.sql("SELECT count(*) AS n FROM era5 WHERE lat > 40")
    assert some.equals(every)


def test_parameters_in_array_form(db):
    found = db.array("SELECT t2m FROM era5[time($1), lat(40:60)]", ["2023-01-02T12:00"])
    want = db.array("SELECT t2m FROM era5[time('2023-01-02T12:00'), lat(40:60)]")
    xr.testing.assert_identical(found, want)


def test_cubes_are_listed(db, single):
    single("packed")
    found = db.cubes()
    assert isinstance(found, pd.DataFrame)
    assert {"era5", "packed"} <= set(found.iloc[:, 0])


def test_statements(db, files):
    db.execute(f"CREATE CUBE once FROM '{files}/packed.nc'")
    assert "once" in set(db.cubes().iloc[:, 0])
    db.execute("DROP CUBE once")
    assert "once" not in set(db.cubes().iloc[:, 0])


def test_an_error_says_where(db):
    with pytest.raises(graticule.QueryError) as caught:
        db.sql("SELECT\n  t2n FROM era5")
    assert "t2n" in caught.value.message and "t2m" in caught.value.message
    assert "gRPC" not in caught.value.message and "Flight" not in caught.value.message
    assert (caught.value.line, caught.value.column) == (2, 3)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.message, again.line, again.column) == (caught.value.message, 2, 3)


@pytest.mark.parametrize("text", ["SELEC 1", "SELECT * FROM nowhere", "DROP CUBE nowhere"])
def test_wrong_statements_are_query_errors(bare, text):
    with pytest.raises(graticule.QueryError):
        bare.sql(text)
    with pytest.raises(graticule.QueryError):
        bare.execute(text)
    assert bare.sql("SELECT 1 AS a").num_rows == 1


def test_a_client_can_be_copied(bare):
    with pickle.loads(pickle.dumps(bare)) as copy:
        assert type(copy) is graticule.Client
        assert copy.sql("SELECT 2 AS a")["a"].to_pylist() == [2]
    assert bare.sql("SELECT 1 AS a").num_rows == 1


def test_closing_ends_the_server(program):
    client = graticule.serve()
    assert client.sql("SELECT 1 AS a").num_rows == 1
    client.close()
    assert client.process.returncode is not None
    with pytest.raises(graticule.ConnectionError):
        graticule.connect(client.url, timeout=2)


def test_a_server_that_dies_is_a_connection_error(program):
    with graticule.serve() as client:
        os.kill(client.process.pid, signal.SIGKILL)
        client.process.wait()
        with pytest.raises(graticule.ConnectionError):
            client.sql("SELECT 1")


def test_a_server_that_does_not_start_says_why(program, tmp_path):
    with pytest.raises(graticule.ConnectionError, match="nothing-here"):
        graticule.serve(tmp_path / "nothing-here.nc")
    with pytest.raises(graticule.ConnectionError, match="no-such-program"):
        graticule.serve(program=tmp_path / "no-such-program")


def test_serving_a_path_indexes_it(program, files):
    with graticule.serve(files / "descending.nc") as client:
        assert client.cubes().iloc[:, 0].tolist() == ["descending"]
