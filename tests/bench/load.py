#!/usr/bin/env python3
"""Many clients, small queries, a server with nodes: latencies as a Markdown table, and that no query is lost or answered wrongly.

    GRATICULE=target/release/graticule python tests/bench/load.py [--clients 64] [--queries 10000] [--nodes 3]

Needs the Python client (`pip install -e client/python`) and netCDF4. Each client is a connection of its own that asks one query after
the other. `in the server` is how small queries run by default; `on the nodes` sends every one of them through the pool
(`--pool-from 0`): planned again, cut, sent, merged.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from netCDF4 import Dataset

import graticule

SHAPE = (48, 60, 120)
QUERIES = [
    "SELECT t2m FROM field[time(INDEX {t}), lat(INDEX {y}), lon(INDEX {x})]",
    "SELECT avg(t2m) AS m, count(t2m) AS n FROM field[time(INDEX {t})]",
    "SELECT time, t2m FROM field[lat(INDEX {y}), lon(INDEX {x})] ORDER BY time",
    "SELECT lat, max(t2m) AS m FROM field[time(INDEX {t})] GROUP BY lat ORDER BY lat",
]


def main() -> None:
    """Makes the data, asks, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--only", choices=["server", "nodes"], help="one of the two rows")
    arguments = parser.parse_args()
    program = Path(os.environ.get("GRATICULE") or graticule.server.find_program())
    print("| queries run | clients | nodes | queries | lost | wrong | queries/s | p50 ms | p99 ms | slowest ms | server's peak MiB |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "field.nc")
        for way, flags in (("in the server", []), ("on the nodes", ["--pool-from", "0"])):
            if arguments.only in (None, way.rpartition(" ")[2]):
                bad += measure(program, Path(folder), arguments, way, flags)
    sys.exit(1 if bad else 0)


def write(path: Path) -> None:
    """A cube of noise."""
    with Dataset(path, "w") as nc:
        for name, length, units in zip(("time", "lat", "lon"), SHAPE, ("hours since 2024-01-01", "degrees_north", "degrees_east")):
            nc.createDimension(name, length)
            axis = nc.createVariable(name, "f8", (name,))
            axis.units = units
            axis[:] = np.arange(length)
        t2m = nc.createVariable("t2m", "f4", ("time", "lat", "lon"), zlib=True, complevel=1, chunksizes=(8, 30, 60))
        t2m[:] = np.random.default_rng(5).uniform(250, 310, SHAPE)


def measure(program: Path, folder: Path, arguments: argparse.Namespace, way: str, flags: list[str]) -> int:
    """Prints one row; how many queries were lost or wrong."""
    asked = [text.format(t=t, y=t % SHAPE[1], x=t * 2 % SHAPE[2]) for t in range(SHAPE[0]) for text in QUERIES]
    latencies: list[float] = []
    lost: list[str] = []
    wrong: list[str] = []
    lock = threading.Lock()
    with graticule.serve(roots=[folder], arguments=flags, program=program) as db:
        db.execute(f"CREATE CUBE field FROM '{folder}/field.nc'")
        # The answers of the server alone.
        want = [db.sql(text) for text in asked]
        nodes = [node(program, db.url) for _ in range(arguments.nodes)]
        numbers = iter(range(arguments.queries))
        start = threading.Barrier(arguments.clients + 1)

        def client(seed: int) -> None:
            chance, mine = random.Random(seed), []
            with graticule.connect(db.url, timeout=60) as own:
                own.sql(asked[0])
                start.wait()
                while True:
                    with lock:
                        if next(numbers, None) is None:
                            latencies.extend(mine)
                            return
                    number = chance.randrange(len(asked))
                    begun = time.perf_counter()
                    try:
                        same = own.sql(asked[number]).equals(want[number])
                        mine.append(time.perf_counter() - begun)
                    except graticule.Error as error:
                        lost.append(error.message)
                        continue
                    if not same:
                        wrong.append(asked[number])

        clients = [threading.Thread(target=client, args=(seed,)) for seed in range(arguments.clients)]
        for thread in clients:
            thread.start()
        start.wait()
        begun = time.perf_counter()
        for thread in clients:
            thread.join()
        took = time.perf_counter() - begun
        status = Path(f"/proc/{db.process.pid}/status").read_text()
        peak = int(status.split("VmHWM:")[1].split()[0]) // 1024
        for process in nodes:
            process.terminate()
            process.wait()
    p50, p99 = np.percentile(latencies, [50, 99]) * 1e3
    row = [way, arguments.clients, arguments.nodes, arguments.queries, len(lost), len(wrong), f"{len(latencies) / took:.0f}"]
    row += [f"{p50:.1f}", f"{p99:.1f}", f"{max(latencies) * 1e3:.0f}", peak]
    print("| " + " | ".join(map(str, row)) + " |", flush=True)
    for message in sorted(set(lost + wrong))[:5]:
        print(message, file=sys.stderr)
    return len(lost) + len(wrong)


def node(program: Path, url: str) -> subprocess.Popen[str]:
    """A node that has joined."""
    process = subprocess.Popen([program, "node", "--join", url], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    if not process.stdout.readline().startswith("joined"):
        sys.exit("a node did not join")
    return process


if __name__ == "__main__":
    main()
