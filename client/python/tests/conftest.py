"""What the tests share: a server of the real program over files that `make_fixtures` writes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import graticule
from make_fixtures import make


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> Path:
    """A folder of netCDF files with the features that the tests ask about."""
    folder = tmp_path_factory.mktemp("files")
    make(folder)
    return folder


@pytest.fixture(scope="session")
def program() -> Path:
    """The real program; tests that need it are skipped without."""
    try:
        return graticule.server.find_program()
    except graticule.ConnectionError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def bare(program):
    """A server without cubes."""
    with graticule.serve() as client:
        yield client


@pytest.fixture(scope="session")
def db(program, files):
    """A server with the cube `era5` of two files; `single` adds others."""
    with graticule.serve(roots=[files]) as client:
        client.execute(f"CREATE CUBE era5 FROM '{files}/era5_*.nc'")
        yield client


@pytest.fixture
def single(db, files):
    """Makes the cube of one fixture file, once, and returns its name."""

    def make_cube(name: str) -> str:
        db.execute(f"CREATE CUBE IF NOT EXISTS {name} FROM '{files}/{name}.nc'")
        return name

    return make_cube


@pytest.fixture(scope="session")
def shared() -> Path:
    """Files of other people; tests that need them are skipped without."""
    root = Path(os.environ.get("GRATICULE_SHARED") or Path(__file__).resolve().parents[4] / "shared")
    folder = root / "data" / "public" / "netcdf4"
    if not folder.is_dir():
        pytest.skip("the public test files are not here")
    return folder
