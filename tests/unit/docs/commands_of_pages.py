"""The commands that pages tell people to give, and whether the real programs take them."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import botocore.session
from botocore import xform_name
from botocore.model import OperationModel, Shape
from botocore.validate import ParamValidator

from benchmarks._pages import commands

ROOT = Path(__file__).resolve().parents[3]
OF_ANY_AWS_COMMAND = {"query", "output", "region", "profile", "max-items"}
"""Options of the AWS CLI itself ("Command line options", "Pagination" in its user guide)."""
PARSES = """
import argparse, json, runpy, sys

class Parsed(BaseException):
    pass

def parse(parser, *arguments, real=argparse.ArgumentParser.parse_args):
    real(parser, *arguments)
    raise Parsed

argparse.ArgumentParser.parse_args = parse
for words in json.load(sys.stdin):
    sys.argv = words
    try:
        runpy.run_module(words[0], run_name="__main__")
    except Parsed:
        pass
    except SystemExit:
        print(" ".join(words), flush=True)
"""
"""Runs each module until its parser has accepted the command line. In a process of its own, because to import locust
changes the process."""


def given(page: str) -> Iterator[list[str]]:
    """The commands of a page, in words; the command after ``--`` stands for itself too."""
    for words in commands(ROOT / page):
        yield words
        while "--" in words:
            words = words[words.index("--") + 1 :]
            yield words


def refused_by_parsers(given: Sequence[Sequence[str]]) -> str:
    """What the parsers of ``python -m MODULE ...`` say against these commands; empty if they take all."""
    words = sorted(list(each[2:]) for each in given)
    done = subprocess.run(
        [sys.executable, "-c", PARSES], cwd=ROOT, input=json.dumps(words), capture_output=True, text=True
    )
    if done.returncode:
        return done.stderr
    return done.stdout and done.stdout + "\n".join(line for line in done.stderr.splitlines() if "error:" in line)


def check_aws_command(words: Sequence[str]) -> None:
    """Raise if AWS has no such operation, or takes no such parameters, by botocore's own models."""
    service, command, *options = words[1:]
    model = botocore.session.get_session().get_service_model(service)
    operations = {xform_name(name, "-"): name for name in model.operation_names}
    operation = model.operation_model(operations[command])
    parameters = _parameters(operation, options)
    report = ParamValidator().validate(parameters, operation.input_shape)
    assert not report.has_errors(), f"{' '.join(words)}: {report.generate_report()}"


def _parameters(operation: OperationModel, options: Sequence[str]) -> dict[str, Any]:
    shape = operation.input_shape
    members = {xform_name(name, "-"): (name, each) for name, each in shape.members.items()} if shape else {}
    found: dict[str, Any] = {}
    words = list(options)
    while words and not words[0].startswith("--"):
        assert operation.has_streaming_output, f"{words[0]!r} is no option"
        words.pop(0)  # the file for the streamed answer
    while words:
        option = words.pop(0).removeprefix("--")
        values = []
        while words and not words[0].startswith("--"):
            values.append(words.pop(0))
        if option in OF_ANY_AWS_COMMAND:
            continue
        name, member = members[option if option in members else option.removeprefix("no-")]
        found[name] = _value(member, values)
        words = [word for word in words if word != "/dev/stdout"]
    return found


def _value(shape: Shape, values: list[str]) -> Any:
    if shape.type_name == "boolean":
        return True
    if shape.type_name in ("structure", "map") or (shape.type_name == "list" and values[0].startswith("[")):
        return json.loads(values[0])
    if shape.type_name == "list":
        return values
    return int(values[0]) if shape.type_name in ("integer", "long") else values[0]
