"""What can go wrong: the query, the connection, or an answer that is not understood; made from what pyarrow raises."""

from __future__ import annotations

import re
from typing import Mapping

import pyarrow as pa
import pyarrow.flight as flight

LINE_HEADER = "graticule-line"
COLUMN_HEADER = "graticule-column"


class Error(Exception):
    """Base of the errors of this package."""

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
    """The server cannot be reached, was not started, or the connection broke."""


# pyarrow wraps what the server said: "Flight returned invalid argument error, with message: <text>. gRPC client debug
# context: UNKNOWN:Error received from peer ... Client context: OK. Detail: Failed".
_BEFORE = re.compile(r"^(?:Flight |gRPC )?returned [\w -]+?, with message: ", re.IGNORECASE)
_AFTER = re.compile(r"\. gRPC client debug context: .*|\. Client context: .*|\. Detail: \w+$", re.DOTALL)


def said(text: str) -> str:
    """The server's own words in the text of an exception of pyarrow's."""
    return _AFTER.sub("", _BEFORE.sub("", text))


def translate(error: BaseException, trailers: Mapping[str, str], url: str) -> Error:
    """The error of ours for an exception of pyarrow's, with the place that the server sent along."""
    # str() of a KeyError, which pyarrow uses for NOT_FOUND, is the repr of its text.
    text = said(str(error.args[0]) if error.args else str(error))
    if isinstance(error, flight.FlightUnavailableError) or "failed to connect to all addresses" in text:
        return ConnectionError(f"cannot reach {url}: {text}")
    return QueryError(text, _number(trailers.get(LINE_HEADER)), _number(trailers.get(COLUMN_HEADER)))


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None


#: What pyarrow raises for a failed call.
FAILURES = (pa.ArrowException, flight.FlightError, OSError, KeyError)
