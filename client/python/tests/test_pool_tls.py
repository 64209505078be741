"""A pool whose server and nodes show each other certificates: who is let in, and the words for who is not."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import netCDF4
import numpy as np
import pytest

import graticule

TLS = Path(__file__).resolve().parents[3] / "tests" / "corpus" / "tls"
CA = TLS / "ca.pem"
SHAPE = (64, 256, 256)
CHUNKS = (64 // 8) * (256 // 128) ** 2
QUESTION = "SELECT time, sum(v) AS s FROM large GROUP BY time ORDER BY time"
TOKEN = "admin-0123456789abcdef"


def certificate(name: str) -> list[str]:
    return ["--tls-cert", str(TLS / f"{name}.pem"), "--tls-key", str(TLS / f"{name}.key")]


@contextmanager
def node(program: Path, server: str, *arguments: str) -> Iterator[str]:
    """A node; its first line, or what it says of why it does not join."""
    command = [program, "node", "--join", server, "--threads", "1", "--cache", "8MiB", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    try:
        yield process.stdout.readline().strip() or process.stderr.read()
    finally:
        process.terminate()
        process.wait(timeout=60)
        process.stdout.close()
        process.stderr.close()


@pytest.fixture(scope="module")
def secret(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("secrets") / "pool"
    file.write_text("0123456789abcdef0123456789abcdef\n")
    file.chmod(0o600)
    return file


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """A cube of many chunks, so that there is something for every node."""
    file = tmp_path_factory.mktemp("large") / "large.nc"
    with netCDF4.Dataset(file, "w") as dataset:
        for name, length in zip(("time", "y", "x"), SHAPE, strict=True):
            dataset.createDimension(name, length)
        v = dataset.createVariable("v", "f4", ("time", "y", "x"), chunksizes=(8, 128, 128), zlib=True, complevel=1)
        v[:] = np.arange(np.prod(SHAPE), dtype="f4").reshape(SHAPE) % 1009
    return file


@pytest.fixture(scope="module")
def server(program, large, secret):
    tokens = secret.with_name("tokens")
    tokens.write_text(f"admin {TOKEN}\n")
    arguments = [*certificate("server"), "--tokens", str(tokens), "--pool-secret", str(secret), "--pool-ca", str(CA), "--pool-from", "1B"]
    with graticule.serve(large, arguments=arguments, token=TOKEN, tls_ca=CA) as client:
        yield client


def ready(client: graticule.Client) -> list[dict]:
    return client.sql("SELECT * FROM nodes() WHERE state = 'ready' AND address <> 'in process'").to_pylist()


def test_nodes_work_over_tls_both_ways(program, server, secret):
    arguments = [*certificate("server"), "--pool-secret", str(secret), "--pool-ca", str(CA)]
    with node(program, server.url, *arguments) as first, node(program, server.url, *arguments) as second:
        assert first.startswith("joined grpcs://") and "https://" in first, first
        assert "https://" in second, second
        assert len(ready(server)) == 2
        expected = (np.arange(np.prod(SHAPE)) % 1009).reshape(SHAPE).sum(axis=(1, 2))
        assert server.sql(QUESTION)["s"].to_pylist() == expected.tolist()
        begun = time.monotonic()
        while not all(row["chunks_read"] > 0 for row in ready(server)) and time.monotonic() < begun + 20:
            time.sleep(0.2)
        assert all(row["chunks_read"] > 0 for row in ready(server))
        explained = {row["plan_type"]: row["plan"] for row in server.sql("EXPLAIN ANALYZE " + QUESTION).to_pylist()}
        assert explained["total"].startswith(f"{SHAPE[0]} rows")
        addresses = [line.rsplit("https://")[-1].rstrip("/") for line in (first, second)]
        assert sorted(line.split(": ")[1] for line in explained["nodes"].splitlines()) == sorted(addresses)
        # Each node tells what it did of the leaf, and together they did all of it.
        chunks = re.findall(r"chunks_(?:read|cached)={(\d): ?(\d+)}", explained["plan with metrics"])
        assert {task for task, _ in chunks} == {"0", "1"} and sum(int(n) for _, n in chunks) == CHUNKS, explained
        planned = {row["plan_type"]: row["plan"] for row in server.sql("EXPLAIN " + QUESTION).to_pylist()}
        assert "tasks=2" in planned["physical_plan"] and planned["nodes"] == explained["nodes"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "unknown authority"),
        (["--pool-ca", str(CA)], "nodes of this pool speak TLS"),
        ([*certificate("server"), "--pool-ca", str(TLS / "other-ca.pem")], "unknown authority"),
        ([*certificate("server"), "--pool-ca", str(TLS / "nothing.pem")], "nothing.pem"),
    ],
)
def test_nodes_that_do_not_fit_are_told_why(program, server, secret, arguments, words):
    with node(program, server.url, "--pool-secret", str(secret), *arguments) as said:
        assert words in said, said


def test_a_node_with_an_expired_certificate_gets_no_work(program, server, secret):
    more = ["--pool-secret", str(secret), "--pool-ca", str(CA)]
    with node(program, server.url, *certificate("expired"), *more) as said, node(program, server.url, *certificate("server"), *more) as good:
        assert said.startswith("joined") and good.startswith("joined"), (said, good)
        assert server.sql(QUESTION).num_rows == SHAPE[0]
        (failure,) = server.sql("SELECT last_failure FROM nodes() WHERE last_failure LIKE '%expired%'").to_pylist()
        assert "certificate" in failure["last_failure"]


def test_a_plain_node_is_refused(program, server, secret):
    with node(program, server.url.replace("grpcs", "grpc"), "--pool-secret", str(secret)) as said:
        assert "grpcs://" in said, said
