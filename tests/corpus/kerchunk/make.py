"""Makes kerchunk references of ../inspect/packed.nc: packed.json (version 1), packed.parq (Parquet), with names relative to this folder.

usage: python make.py      (kerchunk, fsspec, h5py, fastparquet)
"""
import json
import shutil
from pathlib import Path

import fsspec
from kerchunk.df import refs_to_dataframe
from kerchunk.hdf import SingleHdf5ToZarr

HERE = Path(__file__).resolve().parent
NAME = "../inspect/packed.nc"

with fsspec.open(str(HERE / NAME)) as f:
    refs = SingleHdf5ToZarr(f, NAME, inline_threshold=60).translate()
(HERE / "packed.json").write_text(json.dumps(refs))
shutil.rmtree(HERE / "packed.parq", ignore_errors=True)
refs_to_dataframe(refs, str(HERE / "packed.parq"), record_size=4)
