"""A server with nodes as processes on loopback, between whom a proxy can be slowed, frozen or cut; and what the server holds."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import struct
import subprocess
import threading
import time
import urllib.request
from pathlib import Path
from typing import Callable

import graticule

LOOPBACK = "127.0.0.1"


class Proxy:
    """Passes bytes between a server and one node: at once, slowly (`rate` bytes a second), not at all (`frozen`), or no more (`cut`)."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.rate: float | None = None
        self.frozen = threading.Event()
        self.passed = 0
        self._open: set[socket.socket] = set()
        self._closed = False
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        try:
            node = socket.create_connection((LOOPBACK, self.target), timeout=5)
        except OSError:
            client.close()
            return
        node.settimeout(None)
        pair = {client: node, node: client}
        self._open |= set(pair)
        try:
            while not self._closed:
                if self.frozen.is_set():
                    time.sleep(0.05)
                    continue
                for ready in select.select(list(pair), [], [], 0.1)[0]:
                    if self.frozen.is_set():
                        break
                    data = ready.recv(1 << 16 if self.rate is None else 4096)
                    if not data:
                        return
                    if self.rate is not None:
                        time.sleep(len(data) / self.rate)
                    pair[ready].sendall(data)
                    self.passed += len(data)
        except (OSError, ValueError):
            pass
        finally:
            for end in pair:
                self._open.discard(end)
                end.close()

    def cut(self) -> None:
        """Breaks all connections, and takes none any more."""
        self._closed = True
        # Wakes the thread that accepts, which holds the socket.
        for act in (lambda: self._listener.shutdown(socket.SHUT_RDWR), self._listener.close):
            try:
                act()
            except OSError:
                pass
        for end in list(self._open):
            try:
                # A reset, as from a machine that lost its power and came back.
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Node:
    """A node behind a proxy."""

    def __init__(self, program: Path, url: str, more: tuple[str, ...] = ()) -> None:
        with socket.create_server((LOOPBACK, 0)) as free:
            port = free.getsockname()[1]
        self.proxy = Proxy(port)
        self.address = f"{LOOPBACK}:{self.proxy.port}"
        command = [program, "node", "--join", url, "--listen", f"{LOOPBACK}:{port}", "--advertise", self.address, "--threads", "1", "--cache", "1MiB", *more]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline().startswith("joined")

    def signal(self, number: signal.Signals) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)

    def close(self) -> None:
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()
        self.proxy.cut()


class Cable:
    """A network of its own for one node, joined to this one's by a cable that can be pulled. Needs root and iproute2: OSError without."""

    HERE, THERE = "10.231.7.1", "10.231.7.2"

    def __init__(self) -> None:
        self.name = f"graticule{os.getpid()}"
        self.end = f"gr{os.getpid()}"
        try:
            self._ip(f"netns add {self.name}")
            self._ip(f"link add {self.end} type veth peer name {self.end}x")
            self._ip(f"link set {self.end}x netns {self.name}")
            self._ip(f"addr add {self.HERE}/30 dev {self.end}")
            self._ip(f"link set {self.end} up")
            for command in (f"addr add {self.THERE}/30 dev {self.end}x", f"link set {self.end}x up", "link set lo up"):
                self._ip(f"netns exec {self.name} ip {command}")
        except OSError:
            self.close()
            raise

    def _ip(self, command: str) -> None:
        done = subprocess.run(["ip", *command.split()], capture_output=True, text=True)
        if done.returncode:
            raise OSError(f"ip {command}: {done.stderr.strip()}")

    def inside(self, *command: str) -> list[str]:
        """A command that runs at the other end."""
        return ["ip", "netns", "exec", self.name, *command]

    def pull(self) -> None:
        """From now on packets vanish; nobody is told."""
        self._ip(f"link set {self.end} down")

    def close(self) -> None:
        for command in (f"link del {self.end}", f"netns del {self.name}"):
            try:
                self._ip(command)
            except OSError:
                pass


class Pool:
    """A server and nodes. Everything is asked of the nodes that is not nothing."""

    def __init__(
        self, program: Path, folder: Path, cube: str, count: int = 3, arguments: tuple[str, ...] = (), more: tuple[str, ...] = (), listen: str = f"{LOOPBACK}:0"
    ) -> None:
        self.program, self.more = program, more
        with socket.create_server((LOOPBACK, 0)) as free:
            self.http = free.getsockname()[1]
        always = ["--pool-from", "1KiB", "--http", f"{LOOPBACK}:{self.http}", *arguments]
        self.db = graticule.serve(roots=[folder], memory="512MiB", cache="32MiB", threads=1, arguments=always, listen=listen)
        self.nodes: list[Node] = []
        # The addresses of all nodes that ever joined: some query may still meet one that is gone.
        self.known: list[str] = []
        self.db.execute(cube)
        self.count = count

    def fill(self) -> None:
        while len(self.nodes) < self.count:
            self.join()

    def join(self) -> Node:
        self.nodes.append(Node(self.program, self.db.url, self.more))
        self.known.append(self.nodes[-1].address)
        return self.nodes[-1]

    def states(self) -> dict[str, str]:
        found = self.db.sql("SHOW NODES").to_pydict()
        return dict(zip(found["address"], found["state"]))

    def files(self) -> int:
        return len(os.listdir(f"/proc/{self.db.process.pid}/fd"))

    def memory(self, name: str = "VmHWM") -> int:
        """Bytes that the server has, or had at most."""
        status = Path(f"/proc/{self.db.process.pid}/status").read_text()
        found = re.search(rf"{name}:\s+(\d+) kB", status)
        assert found
        return int(found[1]) << 10

    def open(self) -> dict[str, float]:
        """Queries and streams of nodes that the server still holds something for."""
        page = urllib.request.urlopen(f"http://{LOOPBACK}:{self.http}/metrics", timeout=20).read().decode()
        return {what: float(n) for what, n in re.findall(r'^graticule_pool_open\{what="(\w+)"\} (\S+)$', page, re.MULTILINE)}

    def works(self, done: Callable[[], bool]) -> None:
        """Waits until nodes have got something to do, more than signs of life, or until nothing more is to be done."""
        before = sum(node.proxy.passed for node in self.nodes)
        while not done() and sum(node.proxy.passed for node in self.nodes) < before + 1000:
            time.sleep(0.001)

    def settles(self, files: int) -> None:
        """Nothing is left of queries that are over: waits for it, and fails when it does not come."""
        deadline = time.monotonic() + 30
        while (left := self.open()) != {"queries": 0.0, "streams": 0.0} or self.files() > files:
            assert time.monotonic() < deadline, f"{left}, {self.files()} open files where there were {files}"
            time.sleep(0.2)

    def close(self) -> None:
        for node in self.nodes:
            node.close()
        self.db.close()
