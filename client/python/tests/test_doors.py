"""One answer through every door: this client's rows and arrays, ADBC, and the command line."""

from __future__ import annotations

import csv
import io
import subprocess

import adbc_driver_flightsql.dbapi as adbc
import numpy as np
import pytest
import xarray as xr

QUERY = "SELECT lat, avg(t2m) AS mean, count(t2m) AS n FROM era5 WHERE lat > 30 GROUP BY lat ORDER BY lat"


@pytest.fixture(scope="module")
def want(files) -> xr.Dataset:
    both = xr.concat([xr.open_dataset(files / f"era5_20230{m}.nc") for m in (1, 2)], "time")
    picked = both.t2m.sortby("lat").sel(lat=slice(30.0001, None))
    return xr.Dataset({"mean": picked.mean(("time", "lon"), dtype="f8"), "n": picked.count(("time", "lon"))})


def check(want: xr.Dataset, lat: list[float], mean: list[float], n: list[int]) -> None:
    np.testing.assert_allclose(lat, want.lat.values)
    np.testing.assert_allclose(mean, want["mean"].values, rtol=1e-6)
    np.testing.assert_array_equal(n, want.n.values)


def test_rows(db, want):
    check(want, *(db.sql(QUERY)[c].to_pylist() for c in ("lat", "mean", "n")))


def test_array(db, want):
    found = db.array(QUERY.replace("ORDER BY lat", "")).sortby("lat")
    check(want, found.lat.values, found["mean"].values, found.n.values)


def test_adbc(db, want):
    with adbc.connect(db.url) as connection, connection.cursor() as cursor:
        cursor.execute(QUERY)
        table = cursor.fetch_arrow_table()
        check(want, *(table[c].to_pylist() for c in ("lat", "mean", "n")))


def test_adbc_parameters_and_metadata(db, want):
    with adbc.connect(db.url) as connection, connection.cursor() as cursor:
        cursor.execute(QUERY.replace("30", "$1"), parameters=[30])
        table = cursor.fetch_arrow_table()
        check(want, *(table[c].to_pylist() for c in ("lat", "mean", "n")))
        cursor.execute("SELECT count(*) FROM era5[time($1), lat(40:60)]", parameters=["2023-01-02T12:00"])
        assert cursor.fetchone() == (int(((want.lat >= 40) & (want.lat <= 60)).sum() * db.open("era5").lon.size),)
        objects = connection.adbc_get_objects(depth="all").read_all().to_pylist()
        tables = {t["table_name"]: t for c in objects for s in c["catalog_db_schemas"] for t in s["db_schema_tables"]}
        assert {"time", "lat", "lon", "t2m", "tp"} <= {c["column_name"] for c in tables["era5"]["table_columns"]}
        assert set(connection.adbc_get_table_schema("era5").names) >= {"time", "lat", "lon", "t2m"}


def test_adbc_errors_name_the_place(db):
    with adbc.connect(db.url) as connection, connection.cursor() as cursor, pytest.raises(adbc.ProgrammingError, match="t2n.*did you mean"):
        cursor.execute("SELECT avg(t2n) FROM era5")


def test_command_line(program, db, want):
    run = subprocess.run([program, "sql", "--url", db.url, "--format", "csv", QUERY], capture_output=True, text=True, timeout=60, check=True)
    rows = list(csv.DictReader(io.StringIO(run.stdout)))
    check(want, *([float(r[c]) for r in rows] for c in ("lat", "mean", "n")))


def test_command_line_without_a_server(program, files, want):
    command = [program, "sql", "--format", "csv", "--index", *map(str, sorted(files.glob("era5_*.nc"))), "--", "SELECT count(t2m) AS n FROM era5_202301"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    january = xr.open_dataset(files / "era5_202301.nc")
    assert int(run.stdout.split()[-1]) == int(january.t2m.count())
