"""Stores for tests: an S3 server (moto) and a plain HTTP server that answers ranges, both on ports of their own."""

from __future__ import annotations

import hashlib
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class S3:
    """`moto_server` as a child process, with one bucket."""

    def __init__(self, bucket: str) -> None:
        import boto3

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.bucket, self.url = bucket, f"http://127.0.0.1:{port}"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], **quiet)
        for _ in range(300):
            try:
                urllib.request.urlopen(self.url + "/moto-api/", timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        else:
            raise RuntimeError("moto_server did not start")
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        self.client = boto3.client("s3", endpoint_url=self.url, **keys)
        self.client.create_bucket(Bucket=bucket)

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs to find this server."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }

    def put(self, key: str, file: Path) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=file.read_bytes())

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=key)

    def refuse_strangers(self, refuse: bool) -> None:
        """From now on, requests must be signed by keys that the server knows: it knows none."""
        count = b"0" if refuse else b"1000000000"
        plain = {"Content-Type": "text/plain"}
        urllib.request.urlopen(urllib.request.Request(self.url + "/moto-api/reset-auth", count, plain, method="POST")).close()

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)


class Http:
    """Gives the files of a folder away, in ranges; fails and counts as it is told."""

    def __init__(self, folder: Path) -> None:
        self.requests: list[tuple[str, str, str]] = []
        self.failures: dict[str, int] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_HEAD(self) -> None:
                self.answer(False)

            def do_GET(self) -> None:
                self.answer(True)

            def answer(self, with_body: bool) -> None:
                asked = self.headers.get("Range") or ""
                outer.requests.append((self.command, self.path, asked))
                file = folder / self.path.lstrip("/")
                if outer.failures.get(self.path, 0) > 0:
                    outer.failures[self.path] -= 1
                    return self.send(500, {}, b"", with_body)
                if not file.is_file():
                    return self.send(404, {}, b"", with_body)
                whole = file.read_bytes()
                tag = hashlib.md5(whole).hexdigest()
                headers = {"ETag": f'"{tag}"', "Last-Modified": formatdate(file.stat().st_mtime, usegmt=True), "Accept-Ranges": "bytes"}
                found = re.fullmatch(r"bytes=(\d+)-(\d+)", asked)
                if not found:
                    return self.send(200, headers, whole, with_body)
                first, last = int(found[1]), min(int(found[2]), len(whole) - 1)
                headers["Content-Range"] = f"bytes {first}-{last}/{len(whole)}"
                self.send(206, headers, whole[first : last + 1], with_body)

            def send(self, status: int, headers: dict[str, str], body: bytes, with_body: bool) -> None:
                self.send_response(status)
                for name, value in (headers | {"Content-Length": str(len(body))}).items():
                    self.send_header(name, value)
                self.end_headers()
                if with_body:
                    self.wfile.write(body)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
