"""Starts the ``graticule`` program as a child process and connects to it: for notebooks and tests."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import IO, Any

from .client import Client
from .connection import Access
from .errors import ConnectionError

_NAME = "graticule.exe" if os.name == "nt" else "graticule"


def serve(
    *paths: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] = ":memory:",
    roots: list[str | os.PathLike[str]] | None = None,
    listen: str = "127.0.0.1:0",
    memory: str | None = None,
    cache: str | None = None,
    threads: int | None = None,
    arguments: list[str] | None = None,
    token: str | None = None,
    tls_ca: str | os.PathLike[str] | None = None,
    program: str | os.PathLike[str] | None = None,
    timeout: float = 3600.0,
) -> Server:
    """Starts a server on a free port, indexes `paths` in place, and connects.

    `data_dir` keeps the catalog; by default nothing is kept. `arguments` are passed on to ``graticule serve``. `token` and
    `tls_ca` are for the client, as in :func:`connect`. The
    program is looked for in ``$GRATICULE``, on the PATH, and in the target folders of the repository that this package is in.
    Indexing counts towards `timeout` seconds. Closing the client ends the server; so does the end of this process.
    """
    command = [str(program or find_program()), "serve", *map(str, paths), "--listen", listen, "--data-dir", str(data_dir)]
    for root in roots or []:
        command += ["--root", str(root)]
    for flag, value in (("--memory", memory), ("--cache", cache), ("--threads", threads)):
        if value is not None:
            command += [flag, str(value)]
    # A file and not a pipe: nobody has to read it, and its end explains a server that does not start.
    errors = tempfile.TemporaryFile()
    try:
        process = subprocess.Popen(command + (arguments or []), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True)
    except OSError as error:
        raise ConnectionError(f"cannot start {command[0]}: {error}") from error
    try:
        url = _url(process, errors, timeout)
        return Server(url, process, errors, timeout=20.0, access=Access(token, tls_ca))
    except BaseException:
        process.kill()
        process.wait()
        raise


class Server(Client):
    """A client whose server is a child of this process; closing it ends the server."""

    def __init__(
        self, url: str, process: subprocess.Popen[str], errors: IO[bytes], timeout: float, access: Access | None = None
    ) -> None:
        super().__init__(url, access)
        self.process = process
        self._errors = errors
        self.connection.check(timeout)
        atexit.register(self._stop)

    def log(self) -> str:
        """What the server wrote to its standard error."""
        return _tail(self._errors, 1 << 20)

    def close(self) -> None:
        """Closes the connection and ends the server."""
        super().close()
        self._stop()
        atexit.unregister(self._stop)

    def _stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy in another process is a plain client: the server has one owner.
        return Client, (self.url, self.connection.access)


def find_program() -> Path:
    """The program: ``$GRATICULE``, on the PATH, or the newest build in the repository's target folders."""
    named = os.environ.get("GRATICULE")
    if named:
        return Path(named)
    found = shutil.which(_NAME)
    if found:
        return Path(found)
    targets = [Path(os.environ["CARGO_TARGET_DIR"])] if os.environ.get("CARGO_TARGET_DIR") else []
    targets += [parent / "target" for parent in Path(__file__).resolve().parents if (parent / "Cargo.toml").exists()]
    targets.append(Path.home() / ".cache" / "graticule" / "target")
    built = [p for target in targets for profile in ("release", "debug") if (p := target / profile / _NAME).exists()]
    if not built:
        raise ConnectionError("the program `graticule` was not found: put it on the PATH or set GRATICULE to its path")
    return max(built, key=lambda p: p.stat().st_mtime)


def _url(process: subprocess.Popen[str], errors: IO[bytes], timeout: float) -> str:
    """The address on the first line of the server's output; the rest of the output is read and dropped."""
    out = process.stdout
    assert out is not None
    first: list[str] = []
    ready = threading.Event()

    def read() -> None:
        try:
            first.append(out.readline())
            ready.set()
            for _ in out:
                pass
        except ValueError:
            pass  # closed while it was read: the server is being stopped
        finally:
            ready.set()

    threading.Thread(target=read, name="graticule-output", daemon=True).start()
    if not ready.wait(timeout):
        raise ConnectionError(f"the server did not start within {timeout:g} s")
    line = first[0].strip() if first else ""
    if "grpc" not in line:
        process.wait(timeout=10)
        said = _tail(errors, 2000).strip()
        raise ConnectionError(f"the server did not start (exit status {process.returncode}): {said or line or 'it said nothing'}")
    return line.split()[-1]


def _tail(errors: IO[bytes], most: int) -> str:
    size = errors.seek(0, os.SEEK_END)
    errors.seek(max(0, size - most))
    return errors.read().decode(errors="replace")
