"""The Flight calls: plan a query, fetch its streams from every endpoint, run statements, bind parameters."""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from typing import Any, Iterator, Sequence

import pyarrow as pa
import pyarrow.flight as flight

from . import messages
from .errors import FAILURES, ConnectionError, Error, translate
from .shares import Shares

FORM_HEADER = b"graticule-form"
_ENDPOINTS_HEADER = b"graticule-endpoints"
_REUSE_CONNECTION = b"arrow-flight-reuse-connection://"

# Messages of any size: a schema carries the coordinates of irregular axes, a batch some MiB. Larger frames and windows cost
# fewer system calls and turns.
_CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.http2.max_frame_size", 4 << 20),
    ("grpc.http2.lookahead_bytes", 16 << 20),
    ("grpc.keepalive_time_ms", 60_000),
]

# For nodes there is another place to ask: one that cannot be reached, or is silent, is given up soon.
_NODE_OPTIONS = [
    *(option for option in _CHANNEL_OPTIONS if option[0] != "grpc.keepalive_time_ms"),
    ("grpc.min_reconnect_backoff_ms", 3_000),
    ("grpc.keepalive_time_ms", 3_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
]

#: Seconds for which a server is asked for whole answers after one of its nodes could not be reached.
_AVOID_NODES = 60.0

# How pyarrow calls what a URL begins with.
_SCHEMES = {"": "grpc", "grpc": "grpc", "grpc+tcp": "grpc+tcp", "grpcs": "grpc+tls", "grpc+tls": "grpc+tls"}


class Access:
    """How a client shows who it is, and whom it trusts; what is not given is taken from ``GRATICULE_TOKEN`` and ``GRATICULE_TLS_CA``.

    `token` is shown with every call. `tls_ca` is a file (PEM) of authorities to trust in place of this machine's;
    `tls_cert` and `tls_key` are files of a certificate to show to a server that asks for one. Printing it shows no secret.
    """

    def __init__(
        self,
        token: str | None = None,
        tls_ca: str | os.PathLike[str] | None = None,
        tls_cert: str | os.PathLike[str] | None = None,
        tls_key: str | os.PathLike[str] | None = None,
    ) -> None:
        token = (token if token is not None else os.environ.get("GRATICULE_TOKEN", "")).strip()
        if not all("!" <= c <= "~" for c in token):
            raise ConnectionError("a token is a line of letters, digits and signs, without spaces")
        if (tls_cert is None) != (tls_key is None):
            raise ConnectionError("tls_cert and tls_key belong together: the files of a certificate and of its key")
        self.token = token or None
        self.tls_ca = tls_ca or os.environ.get("GRATICULE_TLS_CA") or None
        self.tls_cert, self.tls_key = tls_cert, tls_key

    def without_token(self) -> Access:
        """The same for a place that must not learn the token."""
        return Access("", self.tls_ca, self.tls_cert, self.tls_key)

    def tls_options(self) -> dict[str, bytes]:
        """What pyarrow wants to know."""
        files = {"tls_root_certs": self.tls_ca, "cert_chain": self.tls_cert, "private_key": self.tls_key}
        try:
            return {name: _read(file) for name, file in files.items() if file}
        except OSError as error:
            raise ConnectionError(str(error)) from None

    def __repr__(self) -> str:
        return f"<graticule.Access token={'given' if self.token else 'none'} tls_ca={self.tls_ca}>"


class _Middleware(flight.ClientMiddlewareFactory):  # type: ignore[misc]
    """Shows the token, and keeps the headers and trailers of the last call of each thread: the place of an error travels there."""

    def __init__(self, token: str | None) -> None:
        super().__init__()
        self.last = threading.local()
        self._sent = {"authorization": f"Bearer {token}"} if token else {}

    def start_call(self, info: Any) -> flight.ClientMiddleware:
        headers: dict[str, str] = {}
        self.last.headers = headers
        return _Keep(headers, self._sent)

    def headers(self) -> dict[str, str]:
        return getattr(self.last, "headers", {})


class _Keep(flight.ClientMiddleware):  # type: ignore[misc]
    def __init__(self, headers: dict[str, str], sent: dict[str, str]) -> None:
        super().__init__()
        self.headers = headers
        self._sent = sent

    def sending_headers(self) -> dict[str, str]:
        return self._sent

    def received_headers(self, headers: dict[str, list[str]]) -> None:
        for key, values in headers.items():
            if key.startswith("graticule-") and values:
                self.headers[key] = values[-1] if isinstance(values[-1], str) else values[-1].decode()


class Connection:
    """An open channel to one server. Safe to use from several threads."""

    def __init__(self, url: str, access: Access | None = None, options: list[tuple[str, int]] = _CHANNEL_OPTIONS) -> None:
        scheme, _, rest = url.rpartition("://")
        address = rest.split("/")[0]
        if scheme not in _SCHEMES or not address:
            raise ConnectionError(f"'{url}' is not an address like grpc://host:port, or grpcs://host:port for TLS")
        self.url = f"{scheme or 'grpc'}://{address}"
        self.access = access or Access()
        self.secure = _SCHEMES[scheme] == "grpc+tls"
        self._middleware = _Middleware(self.access.token)
        self._nodes: dict[str, Connection] = {}
        self._opening = threading.Lock()
        self._avoid_nodes_until = 0.0
        tls = self.access.tls_options() if self.secure else {}
        with self.translated():
            self._client = flight.FlightClient(
                f"{_SCHEMES[scheme]}://{address}", generic_options=options, middleware=[self._middleware], **tls
            )

    def check(self, timeout: float) -> None:
        """Fails unless a server answers within `timeout` seconds."""
        with self.translated():
            for _ in self._client.list_actions(flight.FlightCallOptions(timeout=timeout)):
                break

    def info(self, text: str, parameters: Sequence[Any], form: str, whole: bool = False) -> flight.FlightInfo:
        """Plans a query on the server; `whole` asks for one endpoint, as does what is planned and not fetched."""
        options = _options(form, whole or time.monotonic() < self._avoid_nodes_until)
        with self.translated():
            if not parameters:
                return self._client.get_flight_info(_descriptor(messages.statement_query(text)), options)
            handle = self._prepare(text, options)
            try:
                bound = self._bind(handle, parameters, options) or handle
                return self._client.get_flight_info(_descriptor(messages.prepared_statement_query(bound)), options)
            finally:
                action = flight.Action("ClosePreparedStatement", messages.close_prepared_statement(handle))
                list(self._client.do_action(action, options))

    def streams(self, info: flight.FlightInfo, form: str) -> Iterator[flight.FlightStreamReader]:
        """One open stream an endpoint."""
        for endpoint in info.endpoints:
            nodes = self.nodes_of(endpoint)
            place = self.node(nodes[0]) if nodes and not self._has(endpoint) else self
            with self.translated():
                yield place.open(endpoint, form)

    def open(self, endpoint: flight.FlightEndpoint, form: str) -> flight.FlightStreamReader:
        """The stream of an endpoint, from here. Errors are pyarrow's."""
        return self._client.do_get(endpoint.ticket, _options(form))

    def batches(self, info: flight.FlightInfo, form: str) -> Iterator[pa.RecordBatch]:
        """The batches of all endpoints: tiles come in any order, and from several places at once; rows one endpoint after the other.
        Closing the iterator cancels the query."""
        if form == "array" and any(self.nodes_of(endpoint) and self._has(endpoint) for endpoint in info.endpoints):
            yield from Shares(self, info, form).batches()
            return
        for reader in self.streams(info, form):
            try:
                with self.translated():
                    while True:
                        try:
                            chunk = reader.read_chunk()
                        except StopIteration:
                            break
                        if chunk.data is not None:
                            yield chunk.data
            except BaseException:
                reader.cancel()
                raise

    def table(self, text: str, parameters: Sequence[Any]) -> pa.Table:
        """The rows of a query."""
        info = self.info(text, parameters, "rows")
        tables = []
        for reader in self.streams(info, "rows"):
            with self.translated():
                tables.append(reader.read_all())
        return pa.concat_tables(tables) if tables else info.schema.empty_table()

    def update(self, text: str) -> int | None:
        """Runs a statement for its effect; the rows that it affected, where the server knows."""
        with self.translated():
            writer, reader = self._client.do_put(_descriptor(messages.statement_update(text)), pa.schema([]))
            with writer:
                writer.done_writing()
                result = reader.read()
            count = messages.record_count(result.to_pybytes()) if result is not None else -1
            return count if count >= 0 else None

    def close(self) -> None:
        """Closes the channel and those to other nodes."""
        for node in self._nodes.values():
            node.close()
        self._nodes.clear()
        self._client.close()

    def _prepare(self, text: str, options: flight.FlightCallOptions) -> bytes:
        action = flight.Action("CreatePreparedStatement", messages.create_prepared_statement(text))
        results = list(self._client.do_action(action, options))
        if not results:
            raise Error("the server did not prepare the statement")
        return messages.prepared_statement_handle(results[0].body.to_pybytes())

    def _bind(self, handle: bytes, parameters: Sequence[Any], options: flight.FlightCallOptions) -> bytes:
        columns = [pa.array([value]) for value in parameters]
        batch = pa.record_batch(columns, names=[f"${i + 1}" for i in range(len(columns))])
        writer, reader = self._client.do_put(_descriptor(messages.prepared_statement_query(handle)), batch.schema, options)
        with writer:
            writer.write_batch(batch)
            writer.done_writing()
            result = reader.read()
        return messages.bound_handle(result.to_pybytes()) if result is not None else b""

    def nodes_of(self, endpoint: flight.FlightEndpoint) -> list[str]:
        """The URLs of other places that have an endpoint's stream."""
        return [location.uri.decode() for location in endpoint.locations if not self._is_here(location)]

    def node(self, url: str) -> Connection:
        """The connection to a place that the server named. It is shown tickets, and no token: it does not know tokens."""
        with self._opening:
            if url not in self._nodes:
                self._nodes[url] = Connection(url, self.access.without_token(), _NODE_OPTIONS)
            return self._nodes[url]

    def cannot_reach_nodes(self) -> None:
        """For a while the server is asked for whole answers, for which it asks its nodes."""
        self._avoid_nodes_until = time.monotonic() + _AVOID_NODES

    def _has(self, endpoint: flight.FlightEndpoint) -> bool:
        """True when this server has the stream of an endpoint, too."""
        return not endpoint.locations or any(map(self._is_here, endpoint.locations))

    def _is_here(self, location: flight.Location) -> bool:
        return bool(location.uri.startswith(_REUSE_CONNECTION) or location.uri.decode() == self.url)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turns pyarrow's errors into ours."""
        try:
            yield
        except FAILURES as error:
            raise translate(error, self._middleware.headers(), self.url) from None


def _descriptor(command: bytes) -> flight.FlightDescriptor:
    return flight.FlightDescriptor.for_command(command)


def _read(file: str | os.PathLike[str]) -> bytes:
    with open(file, "rb") as opened:
        return opened.read()


def _options(form: str, whole: bool = False) -> flight.FlightCallOptions:
    headers = [(FORM_HEADER, b"array")] if form == "array" else []
    return flight.FlightCallOptions(headers=headers + [(_ENDPOINTS_HEADER, b"one")] if whole else headers)
