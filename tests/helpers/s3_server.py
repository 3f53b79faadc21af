"""A real S3 server on this machine (moto), for the tests of caches behind a URL."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def serving(port: int = 0) -> Iterator[Any]:
    """Lend a running server; it can be stopped and started again meanwhile, and keeps its objects."""
    pytest.importorskip("s3fs")
    moto = pytest.importorskip("moto.server")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def address(server: Any) -> str:
    """Its URL."""
    host, port = server.get_host_and_port()
    return f"http://{host}:{port}"


def new_bucket(server: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a cache in an empty bucket; this process's S3 is the server's from now on."""
    import s3fs

    for name, value in {
        "AWS_ACCESS_KEY_ID": "fake",
        "AWS_SECRET_ACCESS_KEY": "fake",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": address(server),
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    bucket = f"b{time.time_ns()}"
    s3fs.S3FileSystem().mkdir(bucket)
    return f"s3://{bucket}/cache"
