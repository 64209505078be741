"""Compares what fsspec, zarr and xarray read through `graticule inspect --kerchunk FILE` with what netCDF4 or tifffile read from FILE.

usage: python check.py PROGRAM FILE...      (zarr 3, fsspec, xarray, netCDF4, tifffile)
"""
import json
import subprocess
import sys

import fsspec
import numpy as np
import zarr


def truth(path):
    if path.endswith((".tif", ".tiff")):
        import tifffile

        with tifffile.TiffFile(path) as f:
            data = f.series[0].asarray()
            return {"/band_1": data} if data.ndim == 2 else {}
    import netCDF4

    out = {}
    with netCDF4.Dataset(path) as d:
        groups = [d]
        while groups:
            g = groups.pop()
            groups += g.groups.values()
            for name, v in g.variables.items():
                v.set_auto_mask(False)
                v.set_auto_scale(False)
                v.set_auto_chartostring(False)
                out[g.path.rstrip("/") + "/" + name] = v[...]
    return out


def main(program, files):
    total = different = 0
    for path in files:
        run = subprocess.run([program, "inspect", "--kerchunk", path], capture_output=True, text=True, check=True)
        refs = json.loads(run.stdout)
        fs = fsspec.filesystem("reference", fo=refs, asynchronous=True, remote_protocol="file", remote_options={"asynchronous": True})
        store = zarr.storage.FsspecStore(fs, path="")
        root = zarr.open_group(store, mode="r", zarr_format=2)
        read = {"/" + n: a for n, a in root.members(max_depth=None) if isinstance(a, zarr.Array)}
        for name, want in truth(path).items():
            if name not in read:
                print("left out", path, name, [l for l in run.stderr.splitlines() if l.startswith(name + ":")])
                continue
            got = np.asarray(read[name][...])
            same = got.shape == np.shape(want) and all(a == b or (a != a and b != b) for a, b in zip(got.reshape(-1).tolist(), np.asarray(want).reshape(-1).tolist()))
            total += 1
            if not same:
                different += 1
                print("different", path, name, got.dtype, got.reshape(-1)[:5], np.asarray(want).reshape(-1)[:5])
        try:
            import xarray

            xarray.open_dataset(store, engine="zarr", consolidated=False, zarr_format=2).load()
        except Exception as error:
            print("xarray", path, type(error).__name__, error)
    print(f"{total} arrays, {different} different")
    return bool(different)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
