"""Arrays that come from the nodes of a pool: those of xarray, also when a node is killed while it sends; asking once more."""

import subprocess
import time

import numpy as np
import pyarrow.flight as flight
import pytest
import xarray as xr

import graticule
from array_server import ArrayServer, answer, axis
from graticule import assemble, layout
from graticule.errors import once_more

SHAPE = (100, 512, 512)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A file of 105 MB, some cells missing."""
    path = tmp_path_factory.mktemp("large") / "large.nc"
    cells = np.random.default_rng(7).random(SHAPE, "f4")
    cells[3, 10:20] = np.nan
    coordinates = {name: np.arange(float(n)) for name, n in zip(("time", "y", "x"), SHAPE)}
    # Several chunks along each axis, so that every node has some.
    xr.Dataset({"v": (("time", "y", "x"), cells)}, coordinates).to_netcdf(path, encoding={"v": {"chunksizes": (10, 128, 128)}})
    return path


@pytest.fixture
def pool(program, large):
    """A client of a server with three nodes, and the nodes."""
    with graticule.serve(roots=[large.parent], threads=1, arguments=["--pool-from", "1KiB"]) as client:
        command = [str(program), "node", "--join", client.url, "--threads", "1", "--cache", "1KiB"]
        nodes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
        try:
            for node in nodes:
                assert node.stdout.readline().startswith("joined")
            client.execute(f"CREATE CUBE large FROM '{large}'")
            yield client, nodes
        finally:
            for node in nodes:
                node.kill()
                node.wait()
                node.stdout.close()


def test_arrays_from_nodes_are_those_of_xarray(pool, large):
    client, _ = pool
    want = xr.open_dataset(large)
    assert len(client.connection.info("SELECT v FROM large", (), "array").endpoints) == 3
    xr.testing.assert_equal(client.array("SELECT v FROM large"), want)
    time.sleep(1.5)
    sent = client.sql("SELECT sent_bytes FROM nodes()")["sent_bytes"].to_pylist()
    assert len(sent) == 3 and min(sent) > 1 << 20 and sum(sent) >= want.v.nbytes, sent
    some = client.array("SELECT v FROM large[y(INDEX 7:300:3)] WHERE v > 0.5").v.values
    part = want.v[:, 7:301:3].values
    np.testing.assert_array_equal(some, np.where(part > 0.5, part, np.nan))
    with client.open("large") as lazy:
        np.testing.assert_array_equal(lazy.v[5, ::2].values, want.v[5, ::2].values)


def test_a_node_killed_while_it_sends_costs_no_cell(pool, large):
    client, nodes = pool
    info = client.connection.info("SELECT v FROM large", (), "array")

    def batches():
        for i, batch in enumerate(client.connection.batches(info, "array")):
            if i == 0:
                nodes[1].kill()
                nodes[1].wait()
            yield batch

    found = assemble.assemble(layout.parse(info.schema), batches())
    want = xr.open_dataset(large).v.values
    np.testing.assert_array_equal(found["v"], want)
    # For a while the server is asked for all of it.
    assert len(client.connection.info("SELECT v FROM large", (), "array").endpoints) == 1
    np.testing.assert_array_equal(client.array("SELECT v FROM large").v.values, want)


def test_what_is_not_wanted_is_cancelled(pool):
    client, _ = pool
    batches = client.connection.batches(client.connection.info("SELECT v FROM large", (), "array"), "array")
    next(batches)
    batches.close()
    deadline = time.monotonic() + 30
    while any(client.sql("SELECT tasks FROM nodes()")["tasks"].to_pylist()):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_an_error_of_the_query_is_the_servers(pool):
    client, nodes = pool
    with pytest.raises(graticule.QueryError, match="zero"):
        client.array("SELECT 1 % cast(v * 0 AS BIGINT) AS w FROM large")
    assert all(node.poll() is None for node in nodes)


def test_a_share_that_nobody_gives_is_an_error():
    """Never an answer that was cut off and looks whole."""
    values = np.arange(12.0).reshape(3, 4)
    axes = [axis("y", 3), axis("x", 4)]

    class HalfServer(ArrayServer):
        def get_flight_info(self, context, descriptor):
            places = ["grpc://127.0.0.1:9", "arrow-flight-reuse-connection://?"]
            ends = [flight.FlightEndpoint(ticket, places) for ticket in (b"good", b"bad")]
            return flight.FlightInfo(self.answers["q"][0], descriptor, ends, -1, -1)

        def do_get(self, context, ticket):
            if ticket.ticket == b"bad":
                raise flight.FlightServerError("lost for good")
            return super().do_get(context, flight.Ticket(b"q"))

    schema, batches = answer(axes, {"v": (["y", "x"], values, {}, True)}, tile=(1, 4))
    with HalfServer({"q": (schema, batches)}) as server, graticule.Client(server.url) as client:
        with pytest.raises(graticule.QueryError, match="lost for good"):
            client.array("q")


def test_asking_once_more_where_the_server_says_that_it_is_safe():
    asked = []

    def ask(error):
        def one():
            asked.append(error)
            if len(asked) == 1:
                raise error
            return "an answer"

        return one

    lost = graticule.QueryError("a node was lost")
    lost.again_is_safe = True
    assert once_more(ask(lost)) == "an answer" and len(asked) == 2
    asked.clear()
    with pytest.raises(graticule.QueryError):
        once_more(ask(graticule.QueryError("no")))
    assert len(asked) == 1
