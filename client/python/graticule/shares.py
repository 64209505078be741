"""Arrays from several places at once: the tiles of each endpoint are read by a thread of its own, in any order.

A node that cannot be reached, or fails in the middle, costs time and no answer: its share is read again from the server, under
the same ticket. Tiles carry their place, so those that had come from the node are put there once more.
"""

from __future__ import annotations

import queue
import threading
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
        self.readers: list[flight.FlightStreamReader] = []
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
                item = self.come.get()
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
            self.readers.append(reader)
            try:
                while not self.stopped.is_set():
                    try:
                        chunk = reader.read_chunk()
                    except StopIteration:
                        return
                    if chunk.data is not None:
                        self._put(chunk.data)
                reader.cancel()
                raise _Stopped
            finally:
                self.readers.remove(reader)

    def _put(self, item: pa.RecordBatch | BaseException | None) -> None:
        while not self.stopped.is_set():
            try:
                return self.come.put(item, timeout=_LOOK)
            except queue.Full:
                pass
        raise _Stopped
