"""Weights by path and URL: fetched once, whole, and never by pickle; what is wrong with a file is said in one line."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from benchkit.api import BenchkitError
from benchkit.system.fetching import forbid_downloads
from benchkit_plugins.detectors import _download, _identity

CONTENT = b"weights" * 50_000


class Site(BaseHTTPRequestHandler):
    """Answers by path: the file, a page, a file that stops early, nothing."""

    def __init__(self, seen: list[str], *arguments: Any) -> None:
        self.seen = seen
        super().__init__(*arguments)

    def do_GET(self) -> None:
        self.seen.append(self.path)
        if "absent" in self.path:
            self.send_error(404)
            return
        page, short = "page" in self.path, "short" in self.path
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8" if page else "application/octet-stream")
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:1000] if short else CONTENT)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[str]]]:
    """A server on this machine, and the paths it was asked for."""
    monkeypatch.setenv("BENCHKIT_CACHE", str(tmp_path / "cache"))
    seen: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Site, seen))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", seen
    server.shutdown()
    server.server_close()


def kept(tmp_path: Path) -> list[str]:
    return sorted(file.name for file in (tmp_path / "cache").rglob("*") if file.is_file() and file.suffix != ".lock")


def test_a_url_is_fetched_once_with_its_digest_beside_it(site: tuple[str, list[str]], tmp_path: Path) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    url = f"{site[0]}/swin/ade20k_20210531-{digest[:8]}.pth"
    for _ in range(3):
        path = _download.located(url)
        assert path.read_bytes() == CONTENT
        assert _identity.weights_digest(url) == digest
    assert len(site[1]) == 1
    assert kept(tmp_path) == [path.name, f"{path.name}.sha256"]
    assert path.with_name(f"{path.name}.sha256").read_text().strip() == digest
    path.write_bytes(b"changed")
    with pytest.raises(BenchkitError, match="no longer what was downloaded"):
        _download.located(url)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/page.pth", "is a web page"),
        ("/short.pth", "only 1,000 of 350,000 bytes were received"),
        ("/absent.pth", "the server says 404"),
        ("/swin-deadbeef.pth", "its name promises deadbeef"),
    ],
)
def test_what_does_not_come_whole_is_not_kept(
    site: tuple[str, list[str]], path: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(BenchkitError, match=message) as caught:
        _download.located(site[0] + path)
    assert "\n" not in str(caught.value) and site[0] + path in str(caught.value)
    assert kept(tmp_path) == []


def test_a_server_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHKIT_CACHE", str(tmp_path))
    with pytest.raises(BenchkitError, match=r"cannot be downloaded .*fetch it yourself"):
        _download.located("http://127.0.0.1:9/x.pth")


def test_numbers_alone_may_be_a_date() -> None:
    assert not _download.PUBLISHED.search("/convnext-tiny-20220301.pth")
    assert _download.PUBLISHED.search("/upernet_20210531_112542-e380ad3e.pth")


def test_a_files_digest_follows_its_content(tmp_path: Path) -> None:
    file = tmp_path / "x.pth"
    assert _identity.weights_digest(str(file)) == _identity.weights_digest("none") == ""
    file.write_bytes(b"1")
    first = _identity.weights_digest(str(file))
    file.write_bytes(b"22")
    assert first == hashlib.sha256(b"1").hexdigest() != _identity.weights_digest(str(file))


def test_damaged_files_are_named(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save

    from benchkit_plugins.detectors import _weights

    torch.save({"state_dict": {"a": torch.ones(500)}}, tmp_path / "whole.pth")
    whole = (tmp_path / "whole.pth").read_bytes()
    tensors = save({"a": torch.ones(500)})
    cases = {
        "cut.pth": (whole[: len(whole) // 2], "is incomplete"),
        "page.pth": (b"\n<!DOCTYPE html><html>Sign in</html>", "is a web page"),
        "cut.safetensors": (tensors[:-100], "is damaged or incomplete"),
        "page.safetensors": (b"<html></html>", "is a web page"),
        "empty.pth": (b"", "weights alone"),
    }
    for name, (content, message) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BenchkitError, match=f"{name}: .*{message}") as caught:
            _weights.checkpoint(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_checkpoint_of_mmengines_own_is_read_and_code_in_it_is_not(tmp_path: Path) -> None:
    import numpy as np
    import torch
    from mmengine.logging import HistoryBuffer

    from benchkit_plugins.detectors import _weights

    state = {"backbone.a": torch.arange(3.0)}
    losses = {"loss": HistoryBuffer([0.5, 0.25], [1, 1])}
    hub = {"log_scalars": losses, "runtime_info": {"iter": 7, "best": np.float64(44.4)}}
    torch.save({"meta": {"iter": 7}, "state_dict": state, "message_hub": hub}, tmp_path / "iter_7.pth")
    assert torch.equal(_weights.checkpoint(tmp_path / "iter_7.pth")["backbone.a"], state["backbone.a"])

    class Hostile:
        def __init__(self, *call: Any) -> None:
            self.call = call

        def __reduce__(self) -> Any:
            return self.call[0], self.call[1:]

    marker = tmp_path / "executed"
    for hostile in (Hostile(Path.touch, marker), Hostile(getattr, marker, "name"), Hostile(eval, "1")):
        torch.save({"state_dict": state, "meta": hostile}, tmp_path / "hostile.pth")
        with pytest.raises(BenchkitError, match="weights alone"):
            _weights.checkpoint(tmp_path / "hostile.pth")
    assert not marker.exists()
    torch.save({"state_dict": state, "meta": Hostile(getattr, "a", "upper")}, tmp_path / "hostile.pth")
    with torch.serialization.safe_globals(_weights.PLAIN):
        assert torch.load(tmp_path / "hostile.pth", weights_only=True)["meta"] is None  # not the method it asked for


def test_while_a_dry_run_plans_nothing_is_fetched_and_what_is_here_is_read(
    site: tuple[str, list[str]], tmp_path: Path
) -> None:
    url, seen = site
    name = f"{url}/a.pth"
    with forbid_downloads():
        assert _identity.weights_digest(name) == name
    assert seen == [] and not (tmp_path / "cache").exists()
    digest = _identity.weights_digest(name)
    with forbid_downloads():
        assert _identity.weights_digest(name) == digest == hashlib.sha256(CONTENT).hexdigest()
    assert seen == ["/a.pth"]
