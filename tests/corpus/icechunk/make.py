"""Makes an Icechunk repository and truth.json, the values that zarr-python reads from it.

usage: python make.py v1      (icechunk 1.1, zarr 3.1)
       python make.py v2      (icechunk 2, which writes version 2 of the format)
"""
import json
import shutil
import sys
from pathlib import Path

import icechunk
import numpy as np
import zarr

HERE = Path(__file__).resolve().parent
RNG = np.random.default_rng(11)
BIG = RNG.normal(size=(20, 30)).astype("f4")
SMALL = np.arange(6, dtype="i2")

truth = {}
for version in sys.argv[1:2]:
    path = HERE / version
    shutil.rmtree(path, ignore_errors=True)
    config = icechunk.RepositoryConfig.default()
    # A file that is nowhere: its array is refused, and hides no other.
    outside = "file:///absent-directory/"
    config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(outside, icechunk.local_filesystem_store("/absent-directory")))
    repo = icechunk.Repository.create(
        icechunk.local_filesystem_storage(str(path)), config=config,
        authorize_virtual_chunk_access=icechunk.containers_credentials({outside: None}),
    )
    session = repo.writable_session("main")
    root = zarr.create_group(session.store, attributes={"title": "repository"})
    group = root.create_group("group")
    group.create_array("big", shape=BIG.shape, chunks=(10, 15), dtype="f4", compressors=None, dimension_names=["y", "x"])[:] = BIG
    root.create_array("small", shape=(6,), chunks=(4,), dtype="i2", fill_value=-1)[:] = SMALL
    root.create_array("never", shape=(3,), chunks=(2,), dtype="i2", fill_value=7)
    root.create_array("virtual", shape=(4,), chunks=(4,), dtype="u1", compressors=None)
    session.store.set_virtual_ref("virtual/c/0", outside + "a.bin", offset=3, length=4)
    session.commit("first")
    session = repo.writable_session("main")
    SECOND = SMALL * 2
    zarr.open_group(session.store)["small"][:] = SECOND
    session.commit("second")
    read = zarr.open_group(repo.readonly_session("main").store, mode="r")
    for name in ("group/big", "small", "never"):
        data = read[name][...]
        at = [[int(i) for i in index] for index in np.ndindex(data.shape)][::7]
        values = [float(data[tuple(i)]) if data.dtype.kind == "f" else int(data[tuple(i)]) for i in at]
        found = {"at": at, "values": values}
        assert truth.setdefault("/" + name, found) == found
(HERE / "truth.json").write_text(json.dumps(truth))
