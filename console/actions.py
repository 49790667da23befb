"""Actions: each is a command of this project, in a process of its own, and a line in the record.

The command has its guards, its record and its exit code, and it goes on when the console ends. The record is
``.pipeline/console/actions.jsonl``: who asked for what, why and when, and how it ended.
"""

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from console import text

OUTPUT_SECONDS = 60.0
SHOWN = 20
"""Actions that the pages show, the latest first."""


class NotAllowed(Exception):
    """This console must not do it. The message says why."""


@dataclass(frozen=True, kw_only=True)
class Action:
    """One action. Times are seconds since the epoch."""

    id: str
    at: float
    who: str
    """The user of the system, or the IAM identity: not what somebody typed."""
    command: Sequence[str]
    target: str
    reason: str
    exit_code: int | None = None
    """``None``: it runs, or nobody saw its end."""
    ended: float | None = None
    output: str = ""
    """The end of what it printed."""

    @property
    def words(self) -> str:
        """Those of the command that neither the target nor the reason says: ``undo --now``."""
        said = {"--env", *self.target.replace(":", "").split()}
        return " ".join(word for word in self.command[1:] if "=" not in word and word not in said)


class Actions:
    """Starts commands in ``root``, and keeps their record in ``folder``."""

    def __init__(
        self,
        root: Path,
        folder: Path,
        *,
        who: str,
        allowed: bool,
        environment: Mapping[str, str] | None = None,
        now: Callable[[], str] | None = None,
    ) -> None:
        """``now``: asks who it is at the moment of an action, where that can change."""
        self._root, self._folder = root, folder
        self.who, self.allowed = who, allowed
        self._environment, self._now = environment, now
        self._lock = threading.Lock()
        self._here: dict[str, Action] = {}

    def start(
        self, module: str, *arguments: str, target: str, reason: str, environment: Mapping[str, str] | None = None
    ) -> str:
        """Start ``python -m module arguments`` and return the action's id. Raises ``NotAllowed``, ``OSError``."""
        action = self._begin((module, *arguments), target, reason)
        self._run(action, environment)
        return action.id

    def carry_out(self, words: Sequence[str], call: Callable[[], str], *, target: str, reason: str) -> str:
        """Make one call of AWS's API, described by ``words``, and return what it says. Raises what it raises, and
        ``NotAllowed`` and ``OSError``."""
        action = self._begin(words, target, reason)
        code = 1
        try:
            said = call()
            code = 0
            return said
        finally:
            self._record(replace(action, exit_code=code, ended=time.time()))

    def _begin(self, command: Sequence[str], target: str, reason: str) -> Action:
        """An action on record, before it begins: nothing happens that is not."""
        if not self.allowed:
            raise NotAllowed("This console is read-only. Start it with --allow-actions to act.")
        if self._now and (now := self._now()) != self.who:
            raise NotAllowed(f"This console was started by {self.who}, and you are {now} now. Start it again to act.")
        self._folder.mkdir(parents=True, exist_ok=True)
        id = uuid.uuid4().hex[:12]
        action = Action(id=id, at=time.time(), who=self.who, command=command, target=target, reason=reason)
        self._record(action)
        return action

    def _run(self, action: Action, environment: Mapping[str, str] | None) -> None:
        with self._log(action.id).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *action.command],
                cwd=self._root,
                env=self._variables(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C at the console is not for it
            )
        with self._lock:
            self._here[action.id] = action
        threading.Thread(target=self._wait, args=(process, action), daemon=True).start()

    def output(self, module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> list[str]:
        """The lines that a command prints which changes nothing. Raises ``OSError`` and ``SubprocessError``."""
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=self._root,
            env=self._variables(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=OUTPUT_SECONDS,
        )
        lines = done.stdout.splitlines() or done.stderr.splitlines()[-3:]
        return [text.line(each) for each in lines]

    def latest(self) -> list[Action]:
        """The last actions, newest first, those of earlier consoles too."""
        found: dict[str, Action] = {}
        try:
            lines = (self._folder / "actions.jsonl").read_text(errors="replace").splitlines()
        except OSError:
            lines = []
        for line in lines[-4 * SHOWN :]:
            try:
                raw: dict[str, Any] = json.loads(line)
                action = Action(**raw)
            except (ValueError, TypeError):
                continue
            found[action.id] = action
        return [self._shown(each) for each in sorted(found.values(), key=lambda a: a.at, reverse=True)[:SHOWN]]

    def is_running(self, action: Action) -> bool:
        with self._lock:
            return action.id in self._here

    def _shown(self, action: Action) -> Action:
        try:
            with self._log(action.id).open("rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - 4_000))
                printed = log.read().decode(errors="replace").splitlines()[-8:]
        except OSError:
            printed = []
        return replace(action, reason=text.line(action.reason), output="\n".join(map(text.line, printed)))

    def _wait(self, process: "subprocess.Popen[bytes]", action: Action) -> None:
        code = process.wait()
        self._record(replace(action, exit_code=code, ended=time.time()))
        with self._lock:
            self._here.pop(action.id, None)

    def _record(self, action: Action) -> None:
        entry = (json.dumps(asdict(action)) + "\n").encode()
        with self._lock:
            file = os.open(self._folder / "actions.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(file, entry)
                os.fsync(file)
            finally:
                os.close(file)

    def _log(self, id: str) -> Path:
        return self._folder / f"{id}.log"

    def _variables(self, more: Mapping[str, str] | None) -> dict[str, str]:
        own = dict(os.environ if self._environment is None else self._environment)
        return {**own, **(more or {}), "PYTHONUNBUFFERED": "1"}
