"""The hand-written messages against bytes that protobuf itself made, and against damage."""

import pytest

from graticule import messages


def test_a_query_is_encoded_as_protobuf_does():
    # Any(type_url=..., value=StringValue("SELECT 1")) by google.protobuf 7.36.2: field 1 of StringValue is a string as that of
    # CommandStatementQuery is.
    expected = bytes.fromhex(
        "0a43747970652e676f6f676c65617069732e636f6d2f6172726f772e666c696768742e70726f746f636f6c2e73716c2e436f6d6d616e64"
        "53746174656d656e745175657279120a0a0853454c4543542031"
    )
    assert messages.statement_query("SELECT 1") == expected


def test_long_texts_have_long_lengths():
    text = "ü" * 10_000
    inner = messages.fields(messages.fields(messages.statement_update(text))[2])
    assert inner[1].decode() == text


def test_results_are_read():
    assert messages.record_count(b"\x08\x96\x01") == 150
    assert messages.record_count(b"\x08" + b"\xff" * 9 + b"\x01") == -1
    assert messages.record_count(b"") == 0
    assert messages.bound_handle(b"\x0a\x03abc") == b"abc"
    assert messages.prepared_statement_handle(messages._any("X", b"\x0a\x02hi\x12\x01s")) == b"hi"


@pytest.mark.parametrize("damaged", [b"\x0a", b"\x0a\x05ab", b"\x80" * 20, b"\x0b"])
def test_damage_is_an_error(damaged):
    with pytest.raises(ValueError):
        messages.fields(damaged)
