"""Graticule from Python: SQL and xarray over NetCDF, GeoTIFF and Zarr files where they lie.

>>> import graticule
>>> db = graticule.connect("grpc://127.0.0.1:8815")  # doctest: +SKIP
>>> db.sql("SELECT time, avg(t2m) FROM era5 GROUP BY time").to_pandas()  # doctest: +SKIP
>>> db.array("SELECT avg(t2m) AS t FROM era5 GROUP BY DIMS EXCEPT (time)").t.plot()  # doctest: +SKIP
"""

from __future__ import annotations

from typing import Any

from .client import Client, connect
from .errors import ConnectionError, Error, QueryError
from .server import Server, serve

__all__ = ["Client", "ConnectionError", "Error", "QueryError", "Server", "connect", "serve"]
__version__ = "0.1.0"


def load_ipython_extension(ipython: Any) -> None:
    """``%load_ext graticule``."""
    from .notebook import load

    load(ipython)
