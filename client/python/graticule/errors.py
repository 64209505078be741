"""What can go wrong: the query, the connection, or an answer that is not understood; made from what pyarrow raises."""

from __future__ import annotations

import re
from typing import Callable, Mapping, TypeVar

import pyarrow as pa
import pyarrow.flight as flight

_T = TypeVar("_T")

LINE_HEADER = "graticule-line"
COLUMN_HEADER = "graticule-column"
RETRY_HEADER = "graticule-retry"


class Error(Exception):
    """Base of the errors of this package. ``again_is_safe`` is set where the server says that asking again is safe, and may help: it
    lost a node while it answered. ``sql()`` and ``array()`` have done so once."""

    again_is_safe = False

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class QueryError(Error):
    """The server refused the query or failed while it ran it.

    ``line`` and ``column`` (in characters, both from 1) say where in the text, or are None.
    """

    def __init__(self, message: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(message)
        self.line = line
        self.column = column

    def __reduce__(self) -> tuple[type[QueryError], tuple[str, int | None, int | None]]:
        return QueryError, (self.message, self.line, self.column)


class ConnectionError(Error):  # noqa: A001 - the name that users catch: graticule.ConnectionError
    """The server cannot be reached, was not started, does not know the token, or the connection broke."""


# pyarrow wraps what the server said: "Flight returned invalid argument error, with message: <text>. gRPC client debug
# context: UNKNOWN:Error received from peer ... Client context: OK. Detail: Failed".
_BEFORE = re.compile(r"^(?:Flight |gRPC )?returned [\w -]+?, with message: ", re.IGNORECASE)
_AFTER = re.compile(r"\. gRPC client debug context: .*|\. Client context: .*|\. Detail: \w+$", re.DOTALL)


#: What gRPC says of failed TLS handshakes, and what to do.
_TLS = (
    ("certificate has expired", "the server's certificate has expired; whoever runs the server must renew it"),
    ("certificate is not yet valid", "the server's certificate is not valid yet; look at the clocks of both machines"),
    ("hostname verification check failed", "the server's certificate is for other names than that of the URL"),
    ("is not in peer certificate", "the server's certificate is for other names than that of the URL"),
    ("wrong version number", "the server does not speak TLS: use grpc://"),
    ("http request", "the server does not speak TLS: use grpc://"),
    (
        "certificate verify failed",
        "the server's certificate was signed by an unknown authority, or has expired; name the file of your authority (tls_ca=)",
    ),
    ("certificate required", "the server asks for a certificate of the client: give one (tls_cert=, tls_key=)"),
)


def said(text: str) -> str:
    """The server's own words in the text of an exception of pyarrow's."""
    return _AFTER.sub("", _BEFORE.sub("", text))


def translate(error: BaseException, trailers: Mapping[str, str], url: str) -> Error:
    """The error of ours for an exception of pyarrow's, with the place that the server sent along."""
    # str() of a KeyError, which pyarrow uses for NOT_FOUND, is the repr of its text.
    text = said(str(error.args[0]) if error.args else str(error))
    # BoringSSL and OpenSSL, one of which is in pyarrow, write it in their own ways.
    plain = text.lower().replace("_", " ")
    for mark, advice in _TLS:
        if mark in plain:
            return ConnectionError(f"cannot connect to {url}: {advice}")
    if trailers.get(RETRY_HEADER) == "safe":
        lost = QueryError(text)
        lost.again_is_safe = True
        return lost
    if isinstance(error, flight.FlightUnauthenticatedError):
        return ConnectionError(f"{url}: {text}")
    if isinstance(error, flight.FlightUnavailableError) or "failed to connect to all addresses" in text:
        return ConnectionError(f"cannot reach {url}: {text}")
    return QueryError(text, _number(trailers.get(LINE_HEADER)), _number(trailers.get(COLUMN_HEADER)))


def once_more(ask: Callable[[], _T]) -> _T:
    """What `ask` returns, asked a second time where the server says that it is safe. Nobody has seen anything of the first answer."""
    try:
        return ask()
    except Error as error:
        if not error.again_is_safe:
            raise
    return ask()


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None


#: What pyarrow raises for a failed call.
FAILURES = (pa.ArrowException, flight.FlightError, OSError, KeyError)
