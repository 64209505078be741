"""``%load_ext graticule``: ``%graticule`` connects, ``%%graticule`` runs the cell's SQL and shows a table or a map."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

from .client import Client, connect
from .errors import Error, QueryError

_USAGE = """\
%graticule [URL | VARIABLE]         connect, or use the client that VARIABLE holds
%%graticule [--array] [--map] [--rows N] [NAME]
    runs the SQL of the cell; the answer is shown, and kept in NAME
    --array   as an xarray.Dataset        --map   draws it: a map or a line        --rows N   rows to show (default 20)"""


class _Arguments(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise Error(f"{message}\n{_USAGE}")


_CELL = _Arguments(prog="%%graticule", add_help=False)
_CELL.add_argument("--array", action="store_true")
_CELL.add_argument("--map", action="store_true")
_CELL.add_argument("--rows", type=int, default=20)
_CELL.add_argument("name", nargs="?")


class Magic:
    """The magics of one notebook; `client` is what the cells ask."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.client: Client | None = None

    def __call__(self, line: str, cell: str | None = None) -> Any:
        try:
            return self._connect(line.strip()) if cell is None else self._run(_CELL.parse_args(shlex.split(line)), cell)
        except QueryError as error:
            place = f"line {error.line}, column {error.column}: " if error.line else ""
            print(f"{place}{error.message}")
        except Error as error:
            print(error.message)
        return None

    def _connect(self, target: str) -> Client:
        held = self.shell.user_ns.get(target) if target else None
        self.client = held if isinstance(held, Client) else connect(target) if target else connect()
        return self.client

    def _run(self, arguments: argparse.Namespace, text: str) -> Any:
        client = self.client or next((v for v in self.shell.user_ns.values() if isinstance(v, Client)), None) or self._connect("")
        answer: Any
        shown: Any
        if arguments.array or arguments.map:
            answer = shown = client.array(text)
            if arguments.map:
                draw(answer)
                shown = None
        else:
            answer = client.sql(text)
            shown = answer.slice(0, arguments.rows).to_pandas()
            if answer.num_rows > arguments.rows:
                print(f"{arguments.rows} of {answer.num_rows:,} rows")
        if arguments.name:
            self.shell.user_ns[arguments.name] = answer
        return shown


def draw(answer: Any) -> None:
    """Each variable on its own figure: two dimensions as a map, one as a line; of more dimensions the first cells."""
    import matplotlib.pyplot as plt

    for name, variable in answer.data_vars.items():
        sized = [d for d in variable.dims if variable.sizes[d] > 1]
        picked = variable.isel({d: 0 for d in variable.dims if d not in sized[-2:]})
        _, axes = plt.subplots()
        if picked.ndim == 2:
            picked.plot(ax=axes, robust=picked.dtype.kind == "f")
            if set(picked.dims) & {"y", "x"}:
                axes.set_aspect("equal")
        elif picked.ndim == 1:
            picked.plot(ax=axes)
        else:
            axes.text(0.5, 0.5, f"{name} = {picked.item()}", ha="center")
    plt.show()


def load(shell: Any) -> None:
    """Registers the magics with IPython."""
    magic = Magic(shell)
    shell.register_magic_function(magic, magic_kind="line_cell", magic_name="graticule")
