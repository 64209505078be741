"""A cube opened in Python equals `xr.open_dataset` of the same file, lazily and as an array answer: our fixtures, and public files."""

import numpy as np
import pytest
import xarray as xr

import graticule

OWN = ["packed", "integers", "calendar360", "curved", "descending", "projected", "mixed"]
#: Public files whose variables share one grid that xarray reads the same way.
PUBLIC = ["air.nc", "euro_air_temp.nc", "hybrid_height.nc", "tmmx_20190121.nc", "o3_Amon_GFDL-ESM4_historical_r1i1p1f1_gr1_185001-194912.nc",
          "pr_Amon_HadGEM3-GC31-MM_dcppA-hindcast_s2004-r3i1p1f2_gn_200411-200412.nc", "cl_Amon_CESM2_amip_r1i1p1f1_gn_195001-201412.nc"]


def two_months(files) -> xr.Dataset:
    """The cube `era5` by xarray alone."""
    return xr.concat([xr.open_dataset(files / f"era5_20230{m}.nc") for m in (1, 2)], "time").load()


def same_instants(mine: np.ndarray, theirs: np.ndarray, name: str) -> None:
    """Instants that are not whole microseconds may be rounded to them."""
    apart = np.abs(mine.astype("M8[ns]") - theirs.astype("M8[ns]"))
    assert (np.isnat(mine) == np.isnat(theirs)).all() and not (apart > np.timedelta64(1, "us")).any(), name


def compare(found: xr.Dataset, want: xr.Dataset) -> None:
    """Every variable that the cube has: values, dimensions, coordinates, units and the other attributes."""
    assert found.data_vars, "the cube has no variables"
    for name in set(found.variables) & set(want.coords) - set(want.dims):
        assert name in found.coords, f"{name} is a coordinate"
        assert found[name].dims == want[name].dims, name
        text = want[name].dtype.kind in "SO"
        mine, theirs = (v.values.astype(str) if text else v.values for v in (found[name], want[name]))
        if mine.dtype.kind == "M":
            same_instants(mine, theirs, name)
        else:
            np.testing.assert_array_equal(mine, theirs, err_msg=name)
    for name, variable in found.data_vars.items():
        other = want[name]
        assert variable.dims == other.dims, name
        assert variable.dtype.kind == other.dtype.kind, f"{name}: {variable.dtype} {other.dtype}"
        if variable.dtype.kind == "f":
            # float32 where xarray decodes 16 bits with a float64 factor in float64: equal to float32's precision
            precision = 1e-6 if variable.dtype != other.dtype else 0
            np.testing.assert_allclose(variable.values, other.values, rtol=precision, err_msg=name)
        elif variable.dtype.kind == "M":
            same_instants(variable.values, other.values, name)
        else:
            np.testing.assert_array_equal(variable.values, other.values, err_msg=name)
        attributes = {k: v for k, v in variable.attrs.items()}
        assert set(attributes) == set(other.attrs), name
        for key, value in attributes.items():
            np.testing.assert_array_equal(value, other.attrs[key], err_msg=f"{name}.{key}")
        for dim in variable.dims:
            assert (dim in found.coords) == (dim in want.coords), dim
            if dim not in want.coords:
                continue
            mine, theirs = found[dim], want[dim]
            if theirs.dtype == object:
                # cftime objects of a model calendar
                assert mine.encoding.get("calendar", mine.attrs.get("calendar")) == theirs.encoding["calendar"]
                np.testing.assert_array_equal(mine.values, theirs.values, err_msg=str(dim))
                continue
            np.testing.assert_array_equal(mine.values, theirs.values, err_msg=str(dim))
            assert mine.attrs.get("units") == theirs.attrs.get("units"), dim
            if theirs.dtype.kind == "M":
                assert mine.encoding.get("calendar") in (theirs.encoding.get("calendar"), "standard"), dim


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("way", ["open", "array", "backend"])
def test_own_files(db, files, single, name, way):
    want = xr.open_dataset(files / f"{name}.nc")
    single(name)
    if way == "array":
        found = db.array(f"SELECT * FROM {name}")
    elif way == "open":
        found = db.open(name)
    else:
        found = xr.open_dataset(f"{db.url}/{name}", engine="graticule")
    compare(found, want)
    found.close()


def test_a_cube_of_two_files(db, files):
    want = two_months(files)
    compare(db.open("era5"), want)
    compare(db.array("SELECT * FROM era5"), want)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_files(program, shared, name):
    want = xr.open_dataset(shared / name)
    with graticule.serve(roots=[shared]) as client:
        client.execute(f"CREATE CUBE c FROM '{shared / name}'")
        compare(client.open("c"), want)


@pytest.mark.parametrize(
    "pick",
    [
        dict(time=3),
        dict(time=slice(5, 50, 7), lat=slice(None, None, -1)),
        dict(lat=[2, 9, 4], lon=[0, 15]),
        dict(time=-1, lat=slice(2, 5), lon=7),
        dict(time=slice(0, 0)),
        dict(time=xr.DataArray([3, 60, 100], dims="p"), lat=xr.DataArray([0, 5, 12], dims="p")),
    ],
)
def test_indexing_is_that_of_xarray(db, files, pick):
    want = two_months(files)
    xr.testing.assert_allclose(db.open("era5").t2m.isel(pick).drop_vars("spatial_ref", errors="ignore"), want.t2m.isel(pick), rtol=1e-6)


def test_labels(db, files):
    want = two_months(files)
    ds = db.open("era5")
    got = ds.t2m.sel(time="2023-02", lat=slice(50, 40)).mean("time")
    xr.testing.assert_allclose(got.drop_vars("spatial_ref", errors="ignore"), want.t2m.sel(time="2023-02", lat=slice(50, 40)).mean("time"), rtol=1e-5)


def test_dask_chunks(db, files):
    pytest.importorskip("dask")
    want = two_months(files)
    got = db.open("era5", chunks={"time": 30}).tp.max(("lat", "lon")).compute()
    np.testing.assert_allclose(got.values, want.tp.max(("lat", "lon")).values)


def test_array_answers(db, files):
    want = two_months(files)
    mean = db.array("SELECT avg(t2m) AS t FROM era5 GROUP BY DIMS EXCEPT (time)")
    assert mean.t.dims == ("lat", "lon")
    np.testing.assert_allclose(mean.t.values, want.t2m.mean("time", dtype="f8").values, rtol=1e-6)
    count = db.array("SELECT count(t2m) AS n FROM era5 GROUP BY DIMS EXCEPT (time)")
    np.testing.assert_array_equal(count.n.values, want.t2m.count("time").values)
    assert count.n.dtype.kind == "i"
    at = db.array("SELECT t2m FROM era5[time('2023-01-02T12:00'), lat(40:60)]")
    other = want.t2m.sel(time="2023-01-02T12:00", lat=slice(60, 40))
    np.testing.assert_allclose(at.t2m.values, other.values, rtol=1e-6)
    assert at.time.values == other.time.values and at.t2m.attrs["units"] == "K"
    coarse = db.array("SELECT avg(t2m) AS t FROM era5 GROUP BY time, coarsen(lat, 4), coarsen(lon, 5)")
    blocks = want.t2m.astype("f8").coarsen(lat=4, lon=5, boundary="trim").mean()
    full = dict(lat=slice(0, blocks.sizes["lat"]), lon=slice(0, blocks.sizes["lon"]))
    np.testing.assert_allclose(coarse.t.isel(full).values, blocks.values, rtol=1e-6)
    # an axis that falls stays falling
    np.testing.assert_allclose(coarse.lat.values[full["lat"]], blocks.lat.values)
    daily = db.array("SELECT max(tp) AS m FROM era5 GROUP BY date_trunc('day', time), lat, lon")
    np.testing.assert_allclose(daily.m.values, want.tp.resample(time="1D").max().values)
