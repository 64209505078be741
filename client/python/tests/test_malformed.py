"""Broken files of other people: the program says what is wrong, or reads right values; it never dies, hangs or grows."""

from __future__ import annotations

import json
import os
import resource
import subprocess
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("GRATICULE_SHARED") or Path(__file__).resolve().parents[4] / "shared") / "data" / "malformed"
FOLDERS = ["netcdf3", "netcdf4", "hdf5", "tiff", "zarr", "jp2", "grib"]
#: What one file may take.
SECONDS = 5
BYTES = 512 << 20


def files() -> list[Path]:
    found = [p for folder in FOLDERS for p in sorted((ROOT / folder).glob("*"))]
    return [p.relative_to(ROOT) for p in found]


def run(command: list[str]) -> subprocess.CompletedProcess[bytes]:
    """Runs with a limit on time and on memory that is really used: an allocation of a claimed length is only seen when it is filled."""
    try:
        return subprocess.run(command, capture_output=True, timeout=SECONDS, preexec_fn=limit)
    except subprocess.TimeoutExpired:
        pytest.fail(f"{' '.join(command)}: more than {SECONDS} s")


def limit() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (BYTES, BYTES))


@pytest.mark.parametrize("path", files(), ids=str)
def test_one_clear_message_or_values(program, path):
    done = run([str(program), "inspect", "--json", "--stats", str(ROOT / path)])
    assert done.returncode in (0, 1), done
    assert b"panicked" not in done.stderr, done.stderr
    answer = json.loads(done.stdout)
    if done.returncode == 1:
        message = done.stderr.decode().strip()
        assert answer["error"] and len(message.splitlines()) == 1 and message, message
