"""The emulator starts only with the MiniStack that its extensions were written for."""

import hashlib
import inspect
import json
from pathlib import Path

import pytest
from ministack.services.cloudformation import provisioners

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


def test_a_function_keeps_the_pin_of_its_own_source_after_it_was_replaced() -> None:
    # Given extensions that replace a function of MiniStack
    extend()
    label = "ministack.services.cloudformation.provisioners._update_resource"
    pinned = upstream._found[label]
    # When another extension uses the replaced function
    upstream.original(provisioners, "_update_resource")
    # Then its pin still is the hash of MiniStack's source
    assert upstream._found[label] == pinned
    assert hashlib.sha256(inspect.getsource(provisioners._update_resource).encode()).hexdigest()[:16] != pinned
