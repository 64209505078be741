#!/usr/bin/env python3
"""What a pool of nodes gains and costs, as Markdown tables: two nodes of one core each beside one, a point query beside a server alone,
and how much is decoded again by whom.

    GRATICULE=target/release/graticule python tests/bench/pool.py --harness DIR [--size medium] [--only speed,point,affinity]

DIR is a copy of the peers' harness that has data (run.py makes one). Needs the Python client, and `taskset`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

import graticule

CLEAR = "scl IN (4, 5, 6, 7) AND b08 > 0 AND b04 > 0"
MEDIANS = ", ".join(f"median({b}) FILTER (WHERE {CLEAR}) AS {b}m" for b in ("b04", "b08"))
#: As in ours.py.
QUERIES = {
    "W3": "SELECT avg(t2m) AS v FROM era5 GROUP BY DIMS EXCEPT (time)",
    "W5": "SELECT avg(t2m) AS v, var_pop(t2m) AS s, count(t2m) AS n FROM era5 GROUP BY month(time), latitude, longitude",
    "W7": f"SELECT max((b08 - b04) / (b08 + b04)) FILTER (WHERE {CLEAR}) AS v FROM s2 GROUP BY DIMS EXCEPT (time)",
    "W8": f"SELECT {MEDIANS} FROM s2 GROUP BY DIMS EXCEPT (time)",
}
POINT = "SELECT t2m FROM era5[time(INDEX 0), latitude(INDEX 7), longitude(INDEX 9)]"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--harness", type=Path, required=True)
    parser.add_argument("--size", default="medium")
    parser.add_argument("--only", default="speed,point,affinity")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    program = Path(os.environ.get("GRATICULE") or graticule.server.find_program())
    root = arguments.harness / "data" / arguments.size
    for name in arguments.only.split(","):
        {"speed": speed, "point": point, "affinity": affinity}[name](program, root, arguments.repeat)


@contextmanager
def pool(program: Path, root: Path, cores: list[int], *serve: str, cache: str = "16MiB") -> Iterator[tuple[graticule.Client, list[subprocess.Popen]]]:
    """A server with a node on each of these cores."""
    with ExitStack() as stack:
        arguments = ["--cache", cache, *serve]
        db = stack.enter_context(graticule.serve(roots=[root], arguments=arguments))
        db.execute(f"CREATE CUBE era5 FROM '{root}/d1/nc/*.nc'")
        names = " AXIS time FROM FILENAME '_(\\d{8})_' FORMAT '%Y%m%d' VARIABLE FROM FILENAME '_(B04|B08|SCL)\\.tif$'"
        db.execute(f"CREATE CUBE s2 FROM '{root}/d2/*.tif'{names}")
        nodes = []
        for core in cores:
            command = ["taskset", "-c", str(core), program, "node", "--join", db.url, "--threads", "1", "--cache", cache]
            node = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            stack.callback(stop, node)
            assert node.stdout is not None and node.stdout.readline().startswith("joined"), "the node did not join"
            nodes.append(node)
        yield db, nodes


def stop(node: subprocess.Popen) -> None:
    """Lets a node leave."""
    node.terminate()
    node.wait()
    node.stdout.close()


def timed(run) -> tuple[float, object]:
    """Seconds, and what came of it."""
    begun = time.perf_counter()
    found = run()
    return time.perf_counter() - begun, found


def speed(program: Path, root: Path, repeat: int) -> None:
    """Two nodes of one core each beside one."""
    found: dict[str, dict[int, float]] = {name: {} for name in QUERIES}
    answers: dict[str, dict] = {}
    for count in (1, 2):
        with pool(program, root, list(range(count)), "--pool-from", "0") as (db, _):
            for name, query in QUERIES.items():
                answer = db.arrays(query)
                known = answers.setdefault(name, answer)
                for column in known:
                    np.testing.assert_allclose(answer[column], known[column], rtol=1e-6, equal_nan=True)
                found[name][count] = statistics.median(timed(lambda query=query: db.arrays(query))[0] for _ in range(repeat))
    print("| | one node, one core, s | two nodes, one core each, s | ratio |\n|---|---|---|---|")
    for name, seconds in found.items():
        print(f"| {name} | {seconds[1]:.3f} | {seconds[2]:.3f} | {seconds[1] / seconds[2]:.2f} |")


def point(program: Path, root: Path, repeat: int) -> None:
    """One cell, 200 times: a server alone, one with nodes, and one whose nodes do even that."""
    print("\n| one cell | ms, median of 200 | 99 % below, ms |\n|---|---|---|")
    for title, cores, serve in (
        ("server alone", [], []),
        ("server with two nodes", [0, 1], []),
        ("the same, on the nodes (`--pool-from 0`)", [0, 1], ["--pool-from", "0"]),
    ):
        with pool(program, root, cores, *serve) as (db, _):
            db.sql(POINT)
            times = sorted(timed(lambda: db.sql(POINT))[0] * 1e3 for _ in range(200))
            print(f"| {title} | {statistics.median(times):.2f} | {times[197]:.2f} |")


def decoded(db: graticule.Client) -> dict[str, int]:
    """Chunks that each node has read. Nodes tell once a second."""
    time.sleep(2.5)
    return {row["address"]: row["chunks_read"] for row in db.sql("SHOW NODES").to_pylist()}


def affinity(program: Path, root: Path, repeat: int) -> None:
    """How many chunks are decoded again when the same is asked again, and after one of four nodes left."""
    with pool(program, root, [0, 1, 0, 1], "--pool-from", "0", cache="512MiB") as (db, nodes):
        seen = [decoded(db)]
        for step in range(3):
            if step == 2:
                stop(nodes[0])
            db.arrays(QUERIES["W3"])
            seen.append(decoded(db))
    grown = [sum(after.values()) - sum(n for a, n in before.items() if a in after) for before, after in zip(seen, seen[1:])]
    print("\n| W3 on four nodes | chunks decoded | of the first |\n|---|---|---|")
    for title, chunks in zip(("first", "again", "after one of four left"), grown):
        print(f"| {title} | {chunks} | {chunks / max(grown[0], 1):.1%} |")


if __name__ == "__main__":
    sys.exit(main())
