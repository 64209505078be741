"""Cubes of files in object stores: an S3 server (moto) and a plain HTTP server, against xarray on the same files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time

import numpy as np
import pytest
import xarray as xr

import graticule
from remote_stores import S3, Http


@pytest.fixture(scope="module")
def s3(files):
    pytest.importorskip("moto.server")
    pytest.importorskip("boto3")
    store = S3("data")
    for file in files.glob("era5_*.nc"):
        store.put(f"era5/{file.name}", file)
        store.put(f"changing/{file.name}", file)
    yield store
    store.close()


@pytest.fixture(scope="module")
def remote(program, s3):
    """A server that may read one bucket only."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3.environment.items():
            patch.setenv(name, value)
        with graticule.serve(roots=["s3://data"]) as client:
            yield client


@pytest.fixture
def http(files, tmp_path):
    for file in files.glob("era5_*.nc"):
        shutil.copy(file, tmp_path)
    server = Http(tmp_path)
    server.folder = tmp_path
    yield server
    server.close()


def want(files) -> xr.Dataset:
    return xr.concat([xr.open_dataset(f) for f in sorted(files.glob("era5_*.nc"))], "time")


def same(found: xr.Dataset, expected: xr.Dataset) -> None:
    for name in expected.data_vars:
        # Packed values are single here, double in xarray.
        np.testing.assert_array_equal(found[name].values, expected[name].values.astype(found[name].dtype))
    for name in expected.dims:
        np.testing.assert_array_equal(found[name].values, expected[name].values)


def test_a_cube_of_a_bucket(remote, files):
    remote.execute("CREATE CUBE era5 FROM 's3://data/era5/*.nc'")
    same(remote.array("SELECT * FROM era5"), want(files))
    granules = remote.sql("SHOW GRANULES OF era5")["location"].to_pylist()
    assert granules == sorted(f"s3://data/era5/{f.name}" for f in files.glob("era5_*.nc"))
    # A folder, a pattern over folders, and one name say the same.
    for name, source in (("folder", "s3://data/era5"), ("deep", "s3://data/**/era5_*.nc")):
        remote.execute(f"CREATE CUBE {name} FROM '{source}' OVERLAP FIRST")
        same(remote.array(f"SELECT * FROM {name}"), want(files))
    first = sorted(files.glob("era5_*.nc"))[0]
    remote.execute(f"CREATE CUBE one FROM 's3://data/era5/{first.name}'")
    same(remote.array("SELECT * FROM one"), xr.open_dataset(first))


@pytest.mark.parametrize("version, consolidated", [(2, True), (2, False), (3, True), (3, False)])
def test_a_zarr_store_in_a_bucket(remote, s3, files, tmp_path, version, consolidated):
    """Chunks that are objects of their own; a store without consolidated metadata is found by listing."""
    pytest.importorskip("zarr")
    whole, name = want(files), f"zarr{version}{'c' if consolidated else ''}"
    plain = whole.drop_encoding()
    plain.to_zarr(tmp_path / name, zarr_format=version, consolidated=consolidated, encoding={v: {"chunks": (20, 5, 7)} for v in plain.data_vars})
    for file in (tmp_path / name).rglob("*"):
        if file.is_file():
            s3.put(f"{name}/{file.relative_to(tmp_path / name)}", file)
    remote.execute(f"CREATE CUBE {name} FROM 's3://data/{name}'")
    same(remote.array(f"SELECT * FROM {name}"), whole)
    same(remote.array(f"SELECT t2m FROM {name}[time(INDEX 3), lat(INDEX 2:7)]"), whole[["t2m"]].isel(time=3, lat=slice(2, 8)).drop_vars("time"))


def test_references_into_a_bucket(remote, program, s3, files, tmp_path):
    """A kerchunk file that `inspect` wrote about a file in the bucket, itself in the bucket."""
    first = sorted(files.glob("era5_*.nc"))[0]
    told = subprocess.run([program, "inspect", "--kerchunk", f"s3://data/era5/{first.name}"],
                          capture_output=True, text=True, env={**os.environ, **s3.environment})
    assert told.returncode == 0, told.stderr
    (tmp_path / "refs.json").write_text(told.stdout)
    s3.put("refs/refs.json", tmp_path / "refs.json")
    remote.execute("CREATE CUBE referred FROM 's3://data/refs/refs.json'")
    same(remote.array("SELECT * FROM referred"), xr.open_dataset(first))


def test_objects_that_change_or_vanish(remote, s3, files):
    remote.execute("CREATE CUBE changing FROM 's3://data/changing/'")
    assert remote.sql("REFRESH CUBE changing").select([1, 2, 3]).to_pylist() == [{"added": 0, "changed": 0, "removed": 0}]
    first, second = sorted(files.glob("era5_*.nc"))
    s3.put(f"changing/{first.name}", second)
    with pytest.raises(graticule.QueryError, match=rf"s3://data/changing/{first.name} changed.*REFRESH CUBE"):
        remote.sql("SELECT sum(t2m) FROM changing")
    s3.delete(f"changing/{second.name}")
    assert remote.sql("REFRESH CUBE changing").select([1, 2, 3]).to_pylist() == [{"added": 0, "changed": 1, "removed": 1}]
    same(remote.array("SELECT * FROM changing"), xr.open_dataset(second))
    s3.delete(f"changing/{first.name}")
    with pytest.raises(graticule.QueryError, match=rf"s3://data/changing/{first.name}: no such object"):
        # What the store told within the last seconds still counts.
        for _ in range(20):
            remote.sql("SELECT sum(t2m) FROM changing")
            time.sleep(1)


@pytest.mark.parametrize(
    "source, says",
    [
        ("s3://data/nothing/*.nc", "no object"),
        ("s3://data/nothing.nc", "no such object"),
        ("s3://other/era5/*.nc", "--root"),
        ("gs://data/*.nc", "--root"),
        ("ftp://data/a.nc", "s3://"),
    ],
)
def test_wrong_places(remote, source, says):
    with pytest.raises(graticule.QueryError, match=says) as caught:
        remote.execute(f"CREATE CUBE wrong FROM '{source}'")
    assert source.split("*")[0].rstrip("/") in caught.value.message


def test_wrong_credentials(remote, s3):
    s3.refuse_strangers(True)
    try:
        with pytest.raises(graticule.QueryError) as caught:
            remote.execute("CREATE CUBE refused FROM 's3://data/era5/*.nc'")
    finally:
        s3.refuse_strangers(False)
    message = caught.value.message
    assert "s3://data/era5/*.nc" in message and "AWS_ACCESS_KEY_ID" in message and "\n" not in message
    assert "InvalidAccessKeyId" in message or "refuses access" in message


def test_files_of_a_web_server(program, http, files):
    names = sorted(f.name for f in files.glob("era5_*.nc"))
    http.failures["/" + names[0]] = 2
    with graticule.serve(roots=[http.url]) as client:
        client.execute("CREATE CUBE web FROM " + ", ".join(f"'{http.url}/{name}'" for name in names))
        assert http.failures["/" + names[0]] == 0
        same(client.array("SELECT * FROM web"), want(files))
        with pytest.raises(graticule.QueryError, match="one by one"):
            client.execute(f"CREATE CUBE all_of_it FROM '{http.url}/*.nc'")
        with pytest.raises(graticule.QueryError, match="no such object"):
            client.execute(f"CREATE CUBE gone FROM '{http.url}/gone.nc'")
        shutil.copy(http.folder / names[1], http.folder / names[0])
        with pytest.raises(graticule.QueryError, match=f"{names[0]} changed since it was indexed"):
            # Its chunks are cached, and what the server told within the last seconds still counts.
            for _ in range(20):
                client.sql("SELECT sum(t2m) FROM web")
                time.sleep(1)


def test_inspect_says_what_it_cost(program, http, files):
    name = sorted(f.name for f in files.glob("era5_*.nc"))[0]
    done = subprocess.run([program, "inspect", f"{http.url}/{name}", "--json"], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["requests"] == len(http.requests) <= 4, http.requests
    assert 0 < found["bytes"] <= (files / name).stat().st_size + 65_536
    local = json.loads(subprocess.run([program, "inspect", files / name, "--json"], capture_output=True, text=True, check=True).stdout)
    assert found["arrays"] == local["arrays"]
