"""Devices by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchkit.errors import BenchkitError
from benchkit.system import devices


def test_a_device_is_checked_by_name_and_presence() -> None:
    assert devices.resolve_device("cpu") == "cpu"
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert devices.resolve_device() == expected
    assert devices.resolve_device(torch.device("cpu")) == "cpu"  # type: ignore[arg-type]
    with pytest.raises(BenchkitError, match="unknown device 'gpu'"):
        devices.resolve_device("gpu")
    with pytest.raises(BenchkitError, match="'cuda:99' is not available"):
        devices.resolve_device("cuda:99")


@pytest.mark.parametrize(
    ("text", "gpus"),
    [
        ("cuda: Optional[str] = None\nhip: Optional[str] = None\n", False),
        ("cuda: Optional[str] = '12.8'\nhip: Optional[str] = None\n", True),
        ("cuda: Optional[str] = None\nhip: Optional[str] = '6.3'\n", True),
        ("__version__ = '1.0'\n", True),
    ],
)
def test_a_torch_without_gpus_is_known_by_its_version_file(
    text: str, gpus: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "version.py").write_text(text)
    there = type("Found", (), {"origin": str(tmp_path / "__init__.py")})
    monkeypatch.setattr(devices, "find_spec", lambda name: there)
    assert devices._built_for_gpus() is gpus
