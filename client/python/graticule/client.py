"""The client: one connection to a server, asked in rows or in arrays."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import xarray as xr

from . import assemble, dataset, layout
from .connection import Access, Connection
from .errors import once_more


def connect(
    url: str = "grpc://127.0.0.1:8815",
    *,
    token: str | None = None,
    tls_ca: str | os.PathLike[str] | None = None,
    tls_cert: str | os.PathLike[str] | None = None,
    tls_key: str | os.PathLike[str] | None = None,
    timeout: float = 20.0,
) -> Client:
    """Connects to a server; ConnectionError when none answers within `timeout` seconds, or none that takes the token.

    ``grpcs://host:port`` is reached over TLS. `token` (default: ``$GRATICULE_TOKEN``) is shown to servers that ask for one;
    `tls_ca` (default: ``$GRATICULE_TLS_CA``) is a file of authorities to trust in place of this machine's, for a certificate that
    you made yourself; `tls_cert` and `tls_key` are files of a certificate of your own, for servers that ask for one.
    """
    client = Client(url, Access(token, tls_ca, tls_cert, tls_key))
    client.connection.check(timeout)
    return client


class Client:
    """A connection to a Graticule server. Use it as a context manager, or call :meth:`close`. Safe to use from several
    threads; a copy that was pickled connects anew."""

    def __init__(self, url: str, access: Access | None = None) -> None:
        self.connection = Connection(url, access)

    @property
    def url(self) -> str:
        """Where the server is."""
        return self.connection.url

    def sql(self, text: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """Runs a query and returns its rows; `parameters` are the values of ``$1``, ``$2``, ..."""
        return once_more(lambda: self.connection.table(text, parameters))

    def array(self, text: str, parameters: Sequence[Any] = ()) -> xr.Dataset:
        """Runs a query and returns its arrays with coordinates, units and CRS."""
        return dataset.build(*self._assembled(text, parameters))

    def arrays(self, text: str, parameters: Sequence[Any] = ()) -> dict[str, np.ndarray[Any, Any]]:
        """Like :meth:`array`, without coordinates: each variable as a numpy array, C order, slowest axis first."""
        return self._assembled(text, parameters)[1]

    def _assembled(self, text: str, parameters: Sequence[Any]) -> tuple[layout.Layout, dict[str, np.ndarray[Any, Any]]]:
        def ask() -> tuple[layout.Layout, dict[str, np.ndarray[Any, Any]]]:
            info = self.connection.info(text, parameters, "array")
            found = layout.parse(info.schema)
            return found, assemble.assemble(found, self.connection.batches(info, "array"))

        return once_more(ask)

    def layout(self, text: str, parameters: Sequence[Any] = ()) -> layout.Layout:
        """The axes and variables that :meth:`array` would return. Plans the query and reads no chunk."""
        return layout.parse(self.connection.info(text, parameters, "array", whole=True).schema)

    def open(self, cube: str, **options: Any) -> xr.Dataset:
        """A cube as a lazy dataset: indexing it runs queries. `options` go to :func:`xarray.open_dataset` (``chunks``, ...)."""
        from .backend import CubeOf, GraticuleBackendEntrypoint

        return xr.open_dataset(CubeOf(self, cube), engine=GraticuleBackendEntrypoint, **options)  # type: ignore[arg-type]

    def cubes(self) -> pd.DataFrame:
        """The cubes of the server: name, axes, variables, size."""
        found: pd.DataFrame = self.sql("SHOW CUBES").to_pandas()
        return found

    def execute(self, statement: str) -> int | None:
        """Runs a statement that returns nothing (``CREATE CUBE ...``); the number of rows that it affected, where the server says it."""
        return self.connection.update(statement)

    def close(self) -> None:
        """Closes the connection."""
        self.connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        # The token goes along: a copy that could not ask anything would be of no use to workers of dask.
        return {"url": self.url, "access": self.connection.access}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.connection = Connection(state["url"], state["access"])

    def __repr__(self) -> str:
        return f"<graticule.Client {self.url}>"
