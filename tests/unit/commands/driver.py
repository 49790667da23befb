"""Runs command lines of this project, each in a fork of one process that has imported the packages already.

    python -P driver.py MODULE...  < cases  > results

A case and a result are a line of JSON: see ``Case`` and ``Result`` in ``running.py``. A command runs as with
``python -m``, in the case's folder and with its variables only. What it does to the machine is recorded: the programs
that it starts, the addresses that it calls, and the files that it opens for writing.
"""

import gc
import importlib
import json
import os
import resource
import runpy
import signal
import sys
from pathlib import Path
from typing import Any

SECONDS = 30
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def main(modules: list[str]) -> None:
    for module in modules:
        importlib.import_module(module)
    gc.freeze()  # a collection in a fork would copy the memory of all modules
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)


def run(case: dict[str, Any]) -> dict[str, Any]:
    pipes = [os.pipe() for _ in ("out", "err", "done")]  # a limit of files is none of pipes
    child = os.fork()
    if not child:
        perform(case, *(write for _, write in pipes))
    for _, write in pipes:
        os.close(write)
    out, err, done = (read_all(read) for read, _ in pipes)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return {"code": code, "out": out, "err": err, "done": [json.loads(each) for each in done.splitlines()]}


def read_all(pipe: int) -> str:
    with os.fdopen(pipe, errors="replace") as stream:
        return stream.read()


def perform(case: dict[str, Any], out: int, err: int, done: int) -> None:
    """Be the command, and end as Python would."""
    written = os.open(case["output"], os.O_WRONLY) if case["output"] else out
    for number, descriptor in ((0, os.open(os.devnull, os.O_RDONLY)), (1, written), (2, err)):
        os.dup2(descriptor, number)
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False, errors="backslashreplace")  # as Python opens it
    os.environ.clear()
    os.environ.update(case["variables"])
    os.chdir(case["folder"])
    if case["file_limit"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (case["file_limit"],) * 2)
    signal.alarm(SECONDS)
    sys.argv = [case["module"], *case["arguments"]]
    sys.addaudithook(lambda event, arguments: record(done, event, arguments))
    os._exit(ended(case["module"]))


def ended(module: str) -> int:
    code: Any
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException:
        code = explained(*sys.exc_info())
    try:
        sys.stdout.flush()
    except OSError:
        code = 120
    if not isinstance(code, int | None):
        print(code, file=sys.stderr)
        code = 1
    sys.stderr.flush()
    return code or 0


def explained(*error: Any) -> int:
    try:
        sys.excepthook(*error)
    except SystemExit as end:
        return int(str(end.code))
    return 1


def record(done: int, event: str, arguments: tuple[Any, ...]) -> None:
    match event, arguments:
        case "open", (path, _, int(flags)) if flags & WRITING and isinstance(path, str | bytes | Path):
            told = ["writes", os.path.abspath(os.fsdecode(path))]
        case (("os.mkdir" | "os.remove" | "os.rename" | "os.rmdir" | "os.symlink" | "shutil.rmtree"), (path, *_)):
            told = ["writes", os.path.abspath(os.fsdecode(path))]
        case "subprocess.Popen", (_, words, *_):
            told = ["starts", *([words] if isinstance(words, str) else map(os.fsdecode, words))]
        case (("os.system" | "os.exec" | "os.posix_spawn"), (program, *_)):
            told = ["starts", os.fsdecode(program), "", event]
        case "socket.connect", (_, address):
            told = ["connects", str(address[0] if isinstance(address, tuple) else address)]
        case _:
            return
    os.write(done, json.dumps(told).encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1:])
