"""``xr.open_dataset("grpc://host:port/cube", engine="graticule")``, or ``grpcs://``: the entry point that xarray finds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Iterable

import xarray as xr
from xarray.backends import BackendEntrypoint

from .client import Client, connect
from .errors import Error
from .lazy import open_cube


@dataclass(frozen=True)
class CubeOf:
    """A cube of a client that is connected already; what ``Client.open`` hands to xarray."""

    client: Client
    cube: str


class GraticuleBackendEntrypoint(BackendEntrypoint):
    """Opens a cube of a Graticule server, lazily."""

    description = "Cubes of a Graticule server, as grpc://host:port/cube"
    url = "https://github.com/graticule-db/graticule"
    open_dataset_parameters = ("filename_or_obj", "drop_variables")

    def open_dataset(  # type: ignore[override]
        self, filename_or_obj: str | os.PathLike[Any] | CubeOf, *, drop_variables: str | Iterable[str] | None = None
    ) -> xr.Dataset:
        if isinstance(filename_or_obj, CubeOf):
            found = open_cube(filename_or_obj.client, filename_or_obj.cube)
        else:
            scheme, separator, rest = str(filename_or_obj).rpartition("://")
            address, _, cube = rest.partition("/")
            if not cube:
                raise Error(f"'{filename_or_obj}' names no cube; write grpc://host:port/cube")
            client = connect(f"{scheme}{separator}{address}")
            try:
                found = open_cube(client, cube)
            except BaseException:
                client.close()
                raise
            found.set_close(client.close)
            found.encoding["source"] = str(filename_or_obj)
        if drop_variables is not None:
            close = found._close
            found = found.drop_vars([drop_variables] if isinstance(drop_variables, str) else list(drop_variables), errors="ignore")
            found.set_close(close)
        return found

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        return isinstance(filename_or_obj, str) and filename_or_obj.startswith(("grpc://", "grpcs://"))
