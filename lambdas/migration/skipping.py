"""Gives up the rest of a file that can't be applied, so that the changes after it go on. A person asks for it."""

from lambdas.migration.objects import Bucket
from lambdas.migration.payment_load import Importer
from lambdas.migration.state import DONE, READING, Progress, State


class NotSkipped(Exception):
    """There is nothing to give up. The message says why."""


def skip(state: State, bucket: Bucket, importer: Importer, key: str, *, by: str, why: str) -> Progress:
    """What was applied of the file stays, and its import ends. Raises ``NotSkipped`` and ``Unavailable``."""
    there = {each.name.key: each for each in bucket.files(key)}
    progress = state.progress(there[key]) if key in there else state.saved(key)
    if progress is None:
        raise NotSkipped("no such file was ever seen: give a key that `status` shows")
    if progress.state == DONE:
        raise NotSkipped("it is applied to its end")
    if key in there and progress.state == READING and progress.file.name.kind == "changes":
        raise NotSkipped("nothing is wrong with it: it waits for its turn")
    importer(progress.file).give_up(progress.report, progress.position.line)
    progress.state, progress.report.given_up = DONE, f"from line {progress.position.line + 1} on by {by}: {why}"
    with state.transaction():
        state.forget(key)
        state.save(progress)
    bucket.put_report(key, progress.to_json())
    return progress
