"""Actions: a command in a process of its own, and its record."""

import json
import time
from pathlib import Path

import pytest

from console.actions import Action, Actions, NotAllowed


def ended(actions: Actions, id: str) -> Action:
    for _ in range(500):
        [action] = [each for each in actions.latest() if each.id == id]
        if action.exit_code is not None:
            return action
        time.sleep(0.02)
    raise AssertionError(action)


def command(folder: Path, name: str, *lines: str) -> None:
    (folder / f"{name}.py").write_text("\n".join(lines))


@pytest.fixture
def actions(tmp_path: Path) -> Actions:
    return Actions(tmp_path, tmp_path / "record", who="ann", allowed=True)


def test_who_has_become_another_acts_as_nobody(tmp_path: Path) -> None:
    """The person may log in anew while the console runs, and the record names who started it."""
    actions = Actions(tmp_path, tmp_path / "record", who="arn:ann", allowed=True, now=lambda: "arn:bob")
    with pytest.raises(NotAllowed, match="started by arn:ann, and you are arn:bob now"):
        actions.start("anything", target="it", reason="why")
    assert actions.latest() == []


def test_a_command_runs_with_its_words_and_its_end_is_on_record(actions: Actions, tmp_path: Path) -> None:
    # Given a command that prints its words, and fails
    command(tmp_path, "say_words", "import os, sys", "print(sys.argv[1:], os.environ['CLOUD'])", "sys.exit(5)")
    # When it is started
    id = actions.start(
        "say_words", "--reason=a; rm -rf $HOME", target="release of prod", reason="why", environment={"CLOUD": "prod"}
    )
    # Then no shell has seen its words, and the record says who, what, why and how it ended
    action = ended(actions, id)
    assert action.output == "['--reason=a; rm -rf $HOME'] prod"
    assert (action.who, action.reason, action.exit_code) == ("ann", "why", 5)
    entries = [json.loads(line) for line in (tmp_path / "record/actions.jsonl").read_text().splitlines()]
    assert [each["exit_code"] for each in entries] == [None, 5]
    assert (tmp_path / "record/actions.jsonl").stat().st_mode & 0o777 == 0o600


def test_what_can_not_be_recorded_is_not_done(actions: Actions, tmp_path: Path) -> None:
    command(tmp_path, "trace", "open('trace', 'w')")
    (tmp_path / "record").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="record"):
        actions.start("trace", target="x", reason="y")
    time.sleep(0.2)
    assert not (tmp_path / "trace").exists()


def test_a_command_outlives_the_console(actions: Actions, tmp_path: Path) -> None:
    """It has a session of its own, so Ctrl-C at the console is not for it."""
    command(tmp_path, "session", "import os", "print(os.getsid(0) == os.getpid())")
    assert ended(actions, actions.start("session", target="x", reason="y")).output == "True"


def test_another_console_shows_the_record_and_that_it_saw_no_end(actions: Actions, tmp_path: Path) -> None:
    command(tmp_path, "slow", "import time", "time.sleep(1)")
    id = actions.start("slow", target="x", reason="y")
    other = Actions(tmp_path, tmp_path / "record", who="bob", allowed=True)
    [action] = other.latest()
    assert (action.id, action.who, action.exit_code) == (id, "ann", None)
    assert actions.is_running(action)
    assert not other.is_running(action)
    ended(actions, id)


def test_a_spoilt_line_of_the_record_hides_no_other(actions: Actions, tmp_path: Path) -> None:
    command(tmp_path, "nothing", "")
    ended(actions, actions.start("nothing", target="x", reason="y"))
    with (tmp_path / "record/actions.jsonl").open("a") as record:
        record.write('{"id": 1}\n[]\nnull\n{half')
    assert [each.reason for each in actions.latest()] == ["y"]


def test_a_read_only_console_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(NotAllowed, match="--allow-actions"):
        Actions(tmp_path, tmp_path / "record", who="ann", allowed=False).start("x", target="x", reason="y")
    assert list(tmp_path.iterdir()) == []
