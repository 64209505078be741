"""Nodes that are killed, frozen, slow, cut off, that join and leave while queries run: every answer is right, or an error that names the
node and says that asking again is safe; nothing hangs, and the server keeps nothing. The long ones run with `make test-long`."""

from __future__ import annotations

import random
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
import pyarrow as pa
import pytest
from netCDF4 import Dataset

import graticule
from pool import Cable, Pool

#: Longest time of a query, faults included, on a busy machine. Nodes that hang are found out within seconds.
PATIENCE = 180
SHAPE = (96, 120, 240)
CUBE = "CREATE CUBE field FROM '{}/field.nc'"
QUERIES = {
    "mean map": "SELECT avg(t2m) AS v, count(t2m) AS n FROM field GROUP BY DIMS EXCEPT (time)",
    "median": "SELECT median(t2m) AS v FROM field GROUP BY DIMS EXCEPT (time)",
    "bulk": "SELECT t2m FROM field",
}
#: Rows, arrays, small and large; `ORDER BY` where there are several rows, so that answers can be compared.
MIXED = [
    ("sql", "SELECT count(*) AS n, min(t2m) AS a, max(t2m) AS b FROM field"),
    ("sql", "SELECT time, max(t2m) AS m FROM field GROUP BY time ORDER BY time"),
    ("sql", "SELECT lat, count(t2m) AS n FROM field WHERE t2m > 280 GROUP BY lat ORDER BY lat"),
    ("sql", "SELECT time, lat, lon, t2m FROM field WHERE t2m > 309.5 ORDER BY time, lat, lon"),
    ("sql", "SELECT t2m FROM field[lat(INDEX 7), lon(INDEX 9)] ORDER BY time LIMIT 10"),
    ("sql", "SELECT count(*) AS n FROM (SELECT max(t2m) AS m FROM field GROUP BY lat, lon) WHERE m > 300"),
    ("array", "SELECT max(t2m) AS v FROM field GROUP BY DIMS EXCEPT (time)"),
    ("array", "SELECT t2m - 273.15 AS c FROM field[lat(-20:20)]"),
    ("array", QUERIES["median"]),
    ("array", QUERIES["bulk"]),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One cube of noise: nothing about it compresses well, and no two cells agree."""
    folder = tmp_path_factory.mktemp("field")
    with Dataset(folder / "field.nc", "w") as nc:
        for name, length, units in zip(("time", "lat", "lon"), SHAPE, ("hours since 2024-01-01", "degrees_north", "degrees_east")):
            nc.createDimension(name, length)
            axis = nc.createVariable(name, "f8", (name,))
            axis.units = units
            axis[:] = {"time": np.arange(length) * 6.0, "lat": np.linspace(-60, 60, length), "lon": np.linspace(0, 239, length)}[name]
        t2m = nc.createVariable("t2m", "f4", ("time", "lat", "lon"), zlib=True, complevel=1, chunksizes=(8, 30, 60), fill_value=np.float32(-1))
        values = np.random.default_rng(5).uniform(250, 310, SHAPE).astype("f4")
        t2m[:] = np.ma.masked_less(values, 252)
    return folder


@pytest.fixture
def pool(program, folder):
    pool = Pool(program, folder, CUBE.format(folder))
    yield pool
    pool.close()


def answer(db: graticule.Client, form: str, text: str):
    return db.sql(text) if form == "sql" else db.arrays(text)


def same(found, want) -> bool:
    if isinstance(want, pa.Table):
        return found.equals(want)
    # A mean of means of parts differs from that of a whole in its last digits.
    return found.keys() == want.keys() and all(np.allclose(found[k], want[k], rtol=1e-12, atol=0, equal_nan=True) for k in want)


def clean(error: graticule.Error, addresses: list[str]) -> bool:
    """Whether an error says what a client needs: which node, and that nothing is lost."""
    return "asking again is safe" in error.message and any(address in error.message for address in addresses)


def settled(db: graticule.Client, form: str, text: str, want, addresses: list[str]) -> None:
    """Asking again is safe indeed: the right answer comes, though a node that was struck may still be met by some queries."""
    for _ in range(4):
        try:
            assert same(answer(db, form, text), want), text
            return
        except graticule.Error as error:
            assert clean(error, addresses), error.message
    pytest.fail(f"no answer in four tries: {text}")


def strike(pool: Pool, fault: str) -> None:
    node = pool.nodes[1]
    match fault:
        case "kill":
            node.signal(signal.SIGKILL)
        case "stop":
            node.signal(signal.SIGSTOP)
        case "slow":
            node.proxy.rate = 300_000
        case "freeze":
            node.proxy.frozen.set()
        case "cut":
            node.proxy.cut()


def survives(pool: Pool, fault: str, query: str, times: int = 1) -> None:
    text = QUERIES[query]
    want = pool.db.arrays(text)
    pool.fill()
    with graticule.connect(pool.db.url) as other:
        assert same(other.arrays(text), want)
        # Arrays come from the nodes themselves: rows make the server connect to them, and stay so.
        other.sql("SELECT avg(t2m) FROM field")
        files = pool.files()
        for again in range(times):
            with ThreadPoolExecutor(1) as asking:
                begun = time.monotonic()
                running = asking.submit(other.arrays, text)
                # A node is struck in the middle, at another moment each time.
                pool.works(running.done)
                time.sleep(0.03 * again)
                strike(pool, fault)
                try:
                    assert same(running.result(PATIENCE), want), f"{query} is wrong after {fault}"
                except graticule.Error as error:
                    assert clean(error, pool.known), error.message
                print(f"{query}, {fault}: {time.monotonic() - begun:.2f} s")
            # The others go on, and what was lost is made up for.
            settled(other, "array", text, want, pool.known)
            if again + 1 < times:
                pool.nodes.pop(1).close()
                pool.join()
    pool.settles(files)


@pytest.mark.parametrize(("fault", "query"), [("kill", "mean map"), ("cut", "median"), ("slow", "bulk"), ("freeze", "bulk")])
def test_a_node_is_lost_in_the_middle(pool, fault, query):
    survives(pool, fault, query)


@pytest.mark.long
@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("fault", ["kill", "stop", "slow", "freeze", "cut"])
def test_a_node_is_lost_at_any_moment(pool, fault, query):
    survives(pool, fault, query, times=6)


@pytest.mark.long
@pytest.mark.parametrize("query", QUERIES)
def test_a_cable_is_pulled(program, folder, tmp_path, query):
    """What a proxy cannot show: packets vanish, and neither end is told."""
    secret = tmp_path / "secret"
    secret.write_text("0123456789abcdef0123456789abcdef")
    shown = ("--pool-secret", str(secret))
    try:
        cable = Cable()
    except OSError as error:
        pytest.skip(f"no networks can be made here: {error}")
    pool = Pool(program, folder, CUBE.format(folder), 2, (*shown, "--insecure"), shown, "0.0.0.0:0")
    far = None
    try:
        want = pool.db.arrays(QUERIES[query])
        pool.fill()
        join = f"grpc://{cable.HERE}:{pool.db.url.rpartition(':')[2]}"
        command = cable.inside(str(program), "node", "--join", join, *shown, "--threads", "1", "--cache", "1MiB")
        far = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert far.stdout.readline().startswith("joined")
        assert same(pool.db.arrays(QUERIES[query]), want)
        files = pool.files()
        with graticule.connect(pool.db.url) as other, ThreadPoolExecutor(1) as asking:
            running = asking.submit(other.arrays, QUERIES[query])
            pool.works(running.done)
            cable.pull()
            try:
                assert same(running.result(PATIENCE), want)
            except graticule.Error as error:
                assert clean(error, [cable.THERE]), error.message
            settled(other, "array", QUERIES[query], want, [cable.THERE])
        pool.settles(files)
    finally:
        if far is not None:
            far.kill()
            far.wait()
            far.stdout.close()
        pool.close()
        cable.close()


class Gremlin(threading.Thread):
    """Lets nodes join, leave, die, freeze and slow down until told to stop; at least one that is well stays."""

    def __init__(self, pool: Pool, pause: float) -> None:
        super().__init__(daemon=True)
        self.pool, self.pause, self.ended = pool, pause, threading.Event()
        self.done: list[str] = []
        self.failed: BaseException | None = None

    def run(self) -> None:
        chance = random.Random(11)
        try:
            while not self.ended.wait(self.pause):
                self.act(chance)
        except BaseException as error:
            self.failed = error

    def act(self, chance: random.Random) -> None:
        nodes = self.pool.nodes
        if len(nodes) < self.pool.count:
            self.pool.join()
            self.done.append("join")
            return
        node = nodes.pop(chance.randrange(len(nodes)))
        act = chance.choice(["leave", "kill", "stop", "freeze", "cut", "slow"])
        self.done.append(act)
        match act:
            case "leave":
                node.signal(signal.SIGTERM)
                self.ended.wait(self.pause)
            case "stop":
                node.signal(signal.SIGSTOP)
                self.ended.wait(self.pause)
            case "freeze":
                node.proxy.frozen.set()
                self.ended.wait(self.pause)
            case "slow":
                node.proxy.rate = 300_000
                self.ended.wait(self.pause)
            case "cut":
                node.proxy.cut()
        node.close()


def mixed(pool: Pool, queries: int, clients: int, pause: float) -> None:
    want = [answer(pool.db, *question) for question in MIXED]
    pool.fill()
    for question, expected in zip(MIXED, want):
        assert same(answer(pool.db, *question), expected), question
    pool.settles(1 << 20)
    files = pool.files()
    gremlin = Gremlin(pool, pause)
    gremlin.start()
    numbers = iter(range(queries))
    lock, errors, wrong = threading.Lock(), [], []

    def client(seed: int) -> int:
        chance, asked = random.Random(seed), 0
        with graticule.connect(pool.db.url) as db:
            while True:
                with lock:
                    if next(numbers, None) is None:
                        return asked
                number = chance.randrange(len(MIXED))
                try:
                    if not same(answer(db, *MIXED[number]), want[number]):
                        wrong.append(MIXED[number])
                except graticule.Error as error:
                    errors.append(error)
                asked += 1

    asking = ThreadPoolExecutor(clients)
    begun = time.monotonic()
    running = [asking.submit(client, seed) for seed in range(clients)]
    hanging = wait(running, timeout=PATIENCE + queries).not_done
    gremlin.ended.set()
    gremlin.join(60)
    asking.shutdown(wait=not hanging, cancel_futures=True)
    peak = pool.memory() >> 20
    print(f"{queries} queries in {time.monotonic() - begun:.1f} s: {len(errors)} clean errors; {len(gremlin.done)} events: {' '.join(gremlin.done)}; peak {peak} MiB")
    assert not hanging, "queries hang"
    assert gremlin.failed is None and gremlin.done
    assert sum(done.result() for done in running) == queries
    assert not wrong
    for error in errors:
        assert clean(error, pool.known), f"{type(error).__name__}: {error.message}"
    assert pool.db.process.poll() is None
    # The limits of memory and cache, what decoding needs beside them, and the program itself.
    assert peak < 1536
    for node in pool.nodes:
        node.proxy.rate = None
    for question, expected in zip(MIXED, want):
        settled(pool.db, *question, expected, pool.known)
    pool.settles(files + 4)


def test_nodes_come_and_go(pool):
    mixed(pool, queries=40, clients=4, pause=0.5)


@pytest.mark.long
def test_nodes_come_and_go_for_long(pool):
    mixed(pool, queries=200, clients=8, pause=0.7)
