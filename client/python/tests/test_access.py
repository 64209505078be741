"""TLS and tokens from Python: what connects, what is refused, and in which words; through this client, ADBC and the command line."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
from pathlib import Path

import adbc_driver_flightsql.dbapi as adbc
import adbc_driver_manager
import pyarrow.flight as flight
import pytest
import xarray as xr
from adbc_driver_flightsql import DatabaseOptions

import graticule
from graticule.connection import Access

TLS = Path(__file__).resolve().parents[3] / "tests" / "corpus" / "tls"
CA = TLS / "ca.pem"
READER, ADMIN = "reader-0123456789abcdef", "admin-0123456789abcdef"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("GRATICULE_TOKEN", "GRATICULE_TOKEN_FILE", "GRATICULE_TLS_CA", "GRATICULE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("secrets") / "tokens"
    file.write_text(f"# test\nreader {READER}\nadmin {ADMIN} # me\n")
    file.chmod(0o600)
    return file


def certificate(name: str) -> list[str]:
    return ["--tls-cert", str(TLS / f"{name}.pem"), "--tls-key", str(TLS / f"{name}.key")]


@pytest.fixture(scope="module")
def asking(program, tokens, files):
    """A server that asks for tokens, over TLS, with one cube."""
    arguments = [*certificate("server"), "--tokens", str(tokens)]
    with graticule.serve(files / "descending.nc", arguments=arguments, token=ADMIN, tls_ca=CA) as client:
        yield client


def test_rows_arrays_and_cubes_over_tls(asking):
    assert asking.url.startswith("grpcs://")
    with graticule.connect(asking.url, token=READER, tls_ca=CA) as db:
        assert db.sql("SELECT count(*) AS n FROM descending")["n"][0].as_py() > 0
        assert db.open("descending").sizes == db.array("SELECT * FROM descending").sizes
        with pickle.loads(pickle.dumps(db)) as copy:
            assert copy.sql("SELECT $1 AS a", [2])["a"].to_pylist() == [2]


def test_readers_change_nothing(asking):
    with graticule.connect(asking.url, token=READER, tls_ca=CA) as reader:
        for statement in ("DROP CUBE descending", "REFRESH CUBE descending", "CREATE VIEW v AS SELECT 1 AS a", "SET graticule.dense = true"):
            for run in (reader.sql, reader.execute):
                with pytest.raises(graticule.QueryError, match="role admin"):
                    run(statement)
    asking.execute("REFRESH CUBE descending")


@pytest.mark.parametrize("token", ["", "wrong-0123456789abcdef", READER + "x"])
def test_without_a_token_nobody_comes_in(asking, token):
    with pytest.raises(graticule.ConnectionError, match="token") as caught:
        graticule.connect(asking.url, token=token, tls_ca=CA)
    assert "0123456789" not in caught.value.message and "gRPC" not in caught.value.message and "\n" not in caught.value.message


def test_the_environment_says_who_asks(asking, monkeypatch):
    monkeypatch.setenv("GRATICULE_TOKEN", READER)
    monkeypatch.setenv("GRATICULE_TLS_CA", str(CA))
    with graticule.connect(asking.url) as db:
        assert db.sql("SELECT 1 AS a").num_rows == 1
    found = xr.open_dataset(f"{asking.url}/descending", engine="graticule")
    assert found.sizes and READER not in repr(Access())
    found.close()


def test_certificates_that_do_not_do(program, asking):
    with pytest.raises(graticule.ConnectionError, match="unknown authority"):
        graticule.connect(asking.url, token=READER, tls_ca=TLS / "other-ca.pem", timeout=5)
    with pytest.raises(graticule.ConnectionError, match="no-such-file"):
        graticule.connect(asking.url, tls_ca="no-such-file")
    for name, said in (("expired", "expired"), ("elsewhere", "other names")):
        with pytest.raises(graticule.ConnectionError, match=said) as caught:
            graticule.serve(arguments=certificate(name), tls_ca=CA)
        assert "\n" not in caught.value.message


def test_the_wrong_scheme_is_named(bare, asking):
    with pytest.raises(graticule.ConnectionError, match="this server speaks TLS: use grpcs://"):
        graticule.connect(asking.url.replace("grpcs://", "grpc://"), token=READER, timeout=5)
    with pytest.raises(graticule.ConnectionError, match="does not speak TLS: use grpc://"):
        graticule.connect(bare.url.replace("grpc://", "grpcs://"), tls_ca=CA, timeout=5)


def test_a_certificate_of_the_client(program):
    arguments = [*certificate("server"), "--tls-client-ca", str(CA)]
    with pytest.raises(graticule.ConnectionError):
        graticule.serve(arguments=arguments, tls_ca=CA)
    process = subprocess.Popen([program, "serve", "--listen", "127.0.0.1:0", "--data-dir", ":memory:", *arguments], stdout=subprocess.PIPE, text=True)
    try:
        url = process.stdout.readline().split()[-1]
        with graticule.connect(url, tls_ca=CA, tls_cert=TLS / "client.pem", tls_key=TLS / "client.key") as db:
            assert db.sql("SELECT 1 AS a").num_rows == 1
    finally:
        process.terminate()
        process.wait(timeout=20)
        process.stdout.close()


def test_adbc_logs_in(asking):
    tls = {DatabaseOptions.TLS_ROOT_CERTS.value: CA.read_text()}
    for login in (
        {"username": "anybody", "password": READER},
        {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {READER}"},
    ):
        with adbc.connect(asking.url.replace("grpcs://", "grpc+tls://"), db_kwargs=tls | login) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM descending")
            assert cursor.fetchone()[0] > 0
            with pytest.raises(adbc_driver_manager.Error, match="role admin"):
                cursor.execute("DROP CUBE descending")
    with pytest.raises(adbc_driver_manager.Error, match="token"):
        adbc.connect(asking.url.replace("grpcs://", "grpc+tls://"), db_kwargs=tls | {"username": "anybody", "password": "wrong"})


def test_pyarrow_alone_logs_in(asking):
    client = flight.connect(asking.url.replace("grpcs://", "grpc+tls://"), tls_root_certs=CA.read_bytes())
    with pytest.raises(flight.FlightUnauthenticatedError):
        list(client.list_actions())
    header = client.authenticate_basic_token("anybody", READER)
    assert list(client.list_actions(flight.FlightCallOptions(headers=[header])))


def sql(program, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [program, "sql", "--format", "csv", *arguments, "SELECT 40 + 2 AS n"]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=60)


def test_the_command_line_logs_in(program, asking, tmp_path):
    file = tmp_path / "token"
    file.write_text(READER + "\n")
    for run in (
        sql(program, "--url", asking.url, "--tls-ca", str(CA), "--token-file", str(file)),
        sql(program, "--url", asking.url, GRATICULE_TLS_CA=str(CA), GRATICULE_TOKEN=READER),
        sql(program, GRATICULE_URL=asking.url, GRATICULE_TLS_CA=str(CA), GRATICULE_TOKEN_FILE=str(file)),
    ):
        assert run.returncode == 0 and run.stdout.split() == ["n", "42"], run.stderr
    for said, run in {
        "asks for a token": sql(program, "--url", asking.url, "--tls-ca", str(CA)),
        "does not know this token": sql(program, "--url", asking.url, "--tls-ca", str(CA), GRATICULE_TOKEN="wrong-0123456789"),
        "unknown authority": sql(program, "--url", asking.url, GRATICULE_TOKEN=READER),
        "use grpcs://": sql(program, "--url", asking.url.replace("grpcs", "grpc"), GRATICULE_TOKEN=READER),
        "no-such-file": sql(program, "--url", asking.url, "--token-file", "no-such-file"),
    }.items():
        assert run.returncode == 1 and said in run.stderr and run.stderr.count("\n") == 1, run.stderr
        assert "0123456789" not in run.stderr


def test_a_token_is_never_written_down(program, tokens, tmp_path):
    """Not in the log at its most talkative, and not where a server that does not start says why."""
    environment = os.environ | {"RUST_LOG": "trace"}
    command = [program, "serve", "--listen", "127.0.0.1:0", "--data-dir", ":memory:", "--tokens", str(tokens)]
    with (tmp_path / "log").open("w") as written:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=written, text=True, env=environment)
    try:
        url = process.stdout.readline().split()[-1]
        with graticule.connect(url, token=ADMIN) as db:
            assert db.sql("SELECT 1 AS a").num_rows == 1
        with pytest.raises(graticule.ConnectionError):
            graticule.connect(url, token="wrong-0123456789abcdef")
    finally:
        process.terminate()
        process.communicate(timeout=20)
    log = (tmp_path / "log").read_text()
    assert "TRACE" in log
    assert "reader-0123" not in log and "admin-0123" not in log and "wrong-0123" not in log


def test_a_file_of_tokens_that_everybody_may_read_is_warned_of(program, tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"admin {ADMIN}\n")
    file.chmod(0o644)
    with graticule.serve(arguments=["--tokens", str(file)], token=ADMIN) as client:
        assert "chmod 600" in client.log() and ADMIN not in client.log()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--listen", "0.0.0.0:0"], "--insecure"),
        (["--tokens", "/nowhere/tokens"], "/nowhere/tokens"),
        (["--tls-cert", str(CA)], "--tls-key"),
        (["--http", "300.1.1.1:1"], "300.1.1.1"),
    ],
)
def test_a_server_that_does_not_start_says_what_it_wants(program, arguments, said):
    command = [program, "serve", "--data-dir", ":memory:", *([] if "--listen" in arguments else ["--listen", "127.0.0.1:0"]), *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 1 and said in run.stderr and not run.stdout, run.stderr
    assert len(re.findall(r"^graticule: ", run.stderr, re.MULTILINE)) == 1
