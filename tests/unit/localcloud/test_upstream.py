"""The emulator starts only with the MiniStack that its extensions were written for."""

import json
from pathlib import Path

import pytest

import localcloud.emulator.load_balancer
from localcloud.emulator import upstream
from localcloud.emulator.__main__ import extend


@pytest.fixture
def pins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the pins that a test may change."""
    copy = tmp_path / "pins.json"
    copy.write_text(upstream.PINS.read_text())
    monkeypatch.setattr(upstream, "PINS", copy)
    return copy


def test_the_installed_ministack_is_the_pinned_one() -> None:
    extend()

    upstream.check()


def test_a_changed_function_is_named(pins: Path) -> None:
    # Given a MiniStack in which one replaced function has another source
    content = json.loads(pins.read_text())
    content["functions"]["ministack.services.alb._execute_action"] = "0" * 16
    pins.write_text(json.dumps(content))
    # When the emulator checks it, then it refuses and names the function
    with pytest.raises(upstream.UpstreamChanged, match=r"alb\._execute_action\. Review"):
        upstream.check()


def test_another_version_is_refused(pins: Path) -> None:
    content = json.loads(pins.read_text())
    pins.write_text(json.dumps({**content, "version": "1.0.0"}))

    with pytest.raises(upstream.UpstreamChanged, match=r"is not the 1\.0\.0 that the local cloud extends"):
        upstream.check()


def test_a_function_that_is_gone_is_named() -> None:
    with pytest.raises(upstream.UpstreamChanged, match=r"load_balancer\.gone any more"):
        upstream.original(localcloud.emulator.load_balancer, "gone")
