"""The few messages of Flight SQL that this client sends and reads, encoded by hand so that protobuf is not needed.

Source: Arrow's ``FlightSql.proto``. Every message here has only fields of wire type 2 (length-delimited: strings and
bytes) and 0 (varint). A field is written as ``key = number << 3 | wire type``, then for type 2 its length as varint and its bytes.
Commands travel inside ``google.protobuf.Any { string type_url = 1; bytes value = 2; }``. Fields that are empty are left out.
"""

from __future__ import annotations

_TYPE_URL = "type.googleapis.com/arrow.flight.protocol.sql."


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _text(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value if value else b""


def _any(name: str, message: bytes) -> bytes:
    return _text(1, (_TYPE_URL + name).encode()) + _text(2, message)


def statement_query(query: str) -> bytes:
    """``CommandStatementQuery { string query = 1; }`` for GetFlightInfo."""
    return _any("CommandStatementQuery", _text(1, query.encode()))


def statement_update(query: str) -> bytes:
    """``CommandStatementUpdate { string query = 1; }`` for DoPut."""
    return _any("CommandStatementUpdate", _text(1, query.encode()))


def create_prepared_statement(query: str) -> bytes:
    """``ActionCreatePreparedStatementRequest { string query = 1; }``."""
    return _any("ActionCreatePreparedStatementRequest", _text(1, query.encode()))


def prepared_statement_query(handle: bytes) -> bytes:
    """``CommandPreparedStatementQuery { bytes prepared_statement_handle = 1; }`` for DoPut (binds) and GetFlightInfo."""
    return _any("CommandPreparedStatementQuery", _text(1, handle))


def close_prepared_statement(handle: bytes) -> bytes:
    """``ActionClosePreparedStatementRequest { bytes prepared_statement_handle = 1; }``."""
    return _any("ActionClosePreparedStatementRequest", _text(1, handle))


def prepared_statement_handle(body: bytes) -> bytes:
    """The handle in an ``Any`` of ``ActionCreatePreparedStatementResult { bytes prepared_statement_handle = 1; ... }``."""
    return _bytes(fields(_bytes(fields(body).get(2))).get(1))


def bound_handle(app_metadata: bytes) -> bytes:
    """The handle in ``DoPutPreparedStatementResult { optional bytes prepared_statement_handle = 1; }``; may be empty."""
    return _bytes(fields(app_metadata).get(1))


def record_count(app_metadata: bytes) -> int:
    """``DoPutUpdateResult { int64 record_count = 1; }``; -1 where the server does not know."""
    value = fields(app_metadata).get(1, 0)
    if not isinstance(value, int):
        raise ValueError("record_count is not a number")
    return value - (1 << 64) if value >= 1 << 63 else value


def _bytes(value: int | bytes | None) -> bytes:
    if isinstance(value, int):
        raise ValueError("a field of bytes holds a number")
    return value or b""


def fields(message: bytes) -> dict[int, int | bytes]:
    """The fields of a message by number; of a repeated field the last. ValueError when it is damaged."""
    out: dict[int, int | bytes] = {}
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        wire, number = key & 7, key >> 3
        if wire == 0:
            out[number], at = _read_varint(message, at)
            continue
        if wire == 2:
            length, at = _read_varint(message, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire} is not known")
        if at + length > len(message):
            raise ValueError("a field is longer than its message")
        out[number] = message[at : at + length]
        at += length
    return out


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 70:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("a number is cut off")
