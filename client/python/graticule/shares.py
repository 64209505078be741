"""Arrays from several places at once: the tiles of each endpoint are read by a thread of its own, in any order.

A node that cannot be reached, or fails in the middle, costs time and no answer: its share is read again from the server, under
the same ticket. Tiles carry their place, so those that had come from the node are put there once more.
"""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, Iterator

import pyarrow as pa
import pyarrow.flight as flight

from .errors import ConnectionError, Error

if TYPE_CHECKING:
    from .connection import Connection

#: Batches that wait to be put in their places; with 4 MiB a batch some 32 MB.
_AHEAD = 8
#: Seconds between two looks at whether anybody still wants what waits.
_LOOK = 0.1
#: Seconds for which a node may keep tiles back that are waited for: it answers signs of life, and nobody else would notice.
_STALLED = 60.0
#: Seconds that threads may take to end.
_END = 5.0


class _Stopped(Exception):
    """Nobody wants the rest."""


class Shares:
    """The endpoints of one answer while they are read."""

    def __init__(self, server: Connection, info: flight.FlightInfo, form: str) -> None:
        self.server = server
        self.endpoints = list(info.endpoints)
        self.form = form
        self.come: queue.Queue[pa.RecordBatch | BaseException | None] = queue.Queue(_AHEAD)
        self.stopped = threading.Event()
        # Streams that are read, and since when their next batch is waited for.
        self.readers: dict[flight.FlightStreamReader, float] = {}
        # What nodes fail to give is asked of the server one share after the other: it has one's work for all of its cores.
        self.of_server = threading.Lock()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All batches; an error when a share comes neither from its node nor from the server. Closing it cancels the query."""
        threads = [threading.Thread(target=self._read, args=(e,), name="graticule-share", daemon=True) for e in self.endpoints]
        for thread in threads:
            thread.start()
        try:
            left = len(threads)
            while left:
                try:
                    item = self.come.get(timeout=1.0)
                except queue.Empty:
                    self._cancel_stalled()
                    continue
                if item is None:
                    left -= 1
                elif isinstance(item, BaseException):
                    raise item
                else:
                    yield item
        finally:
            self.stopped.set()
            for reader in list(self.readers):
                reader.cancel()
            for thread in threads:
                thread.join(_END)

    def _read(self, endpoint: flight.FlightEndpoint) -> None:
        """One share: from its node, or else from the server. It ends with None, or with what went wrong."""
        try:
            if not self._read_from_node(endpoint):
                with self.of_server:
                    self._read_from(self.server, endpoint)
            self._put(None)
        except _Stopped:
            pass
        except BaseException as error:
            try:
                self._put(error)
            except _Stopped:
                pass

    def _read_from_node(self, endpoint: flight.FlightEndpoint) -> bool:
        for url in self.server.nodes_of(endpoint):
            try:
                self._read_from(self.server.node(url), endpoint)
                return True
            except ConnectionError:
                self.server.cannot_reach_nodes()
            except Error:
                pass  # The server has the last word, also on a query that fails.
        return False

    def _read_from(self, place: Connection, endpoint: flight.FlightEndpoint) -> None:
        with place.translated():
            reader = place.open(endpoint, self.form)
            try:
                while not self.stopped.is_set():
                    # The server watches its own time.
                    self.readers[reader] = float("inf") if place is self.server else time.monotonic()
                    try:
                        chunk = reader.read_chunk()
                    except StopIteration:
                        return
                    self.readers[reader] = float("inf")
                    if chunk.data is not None:
                        self._put(chunk.data)
                reader.cancel()
                raise _Stopped
            finally:
                self.readers.pop(reader, None)

    def _cancel_stalled(self) -> None:
        """Their threads wake up with an error, and ask the server."""
        for reader, since in list(self.readers.items()):
            if time.monotonic() - since > _STALLED:
                self.server.cannot_reach_nodes()
                reader.cancel()

    def _put(self, item: pa.RecordBatch | BaseException | None) -> None:
        while not self.stopped.is_set():
            try:
                return self.come.put(item, timeout=_LOOK)
            except queue.Full:
                pass
        raise _Stopped
