"""The change that a person approves: its commits, their effect, and the proof of earlier stages. Both engines show it.

    python -m pipeline.change FACTS BRIEF

prints the change that ``pipeline/predecessor.py`` has found, and writes the few words of it that fit into the mail of
the approval. CodePipeline's step ``Summary`` runs it with the code of the commit that the environment runs already: no
commit writes about itself.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from localcloud.files import read_object
from pipeline.output import say
from pipeline.review import NotCompared
from pipeline.review.comparison import compare
from pipeline.review.reports.summary import headlines, verdict
from pipeline.review.synthesis import read
from reporting.text import one_line

COMMITS = 10
"""The number of commits that are listed. The line after them says how many more there are."""
BRIEF, PROOFS, EFFECT_ENDS = 440, 200, 120
"""Characters of the few words, of the proofs in them, and of the end of a long effect. The text of an approval may have
1,000 in all."""
UNREADABLE = (OSError, KeyError, TypeError, ValueError, AttributeError)
"""What reports raise that are missing, or of another version."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """A commit, and the folders of what was checked out and synthesised."""

    revision: str
    subject: str
    source: Path
    assembly: Path

    @property
    def title(self) -> str:
        return f"{self.revision[:12]} {self.subject}"

    @classmethod
    def of(cls, facts: Mapping[str, str]) -> "Side":
        folders = {name: Path(facts[name]) for name in ("source", "assembly")}
        return cls(revision=facts["revision"], subject=facts["subject"], **folders)


def told(
    stage: str, before: Side | None, after: Side, *, facts: Iterable[str], commits: Iterable[str]
) -> Iterator[str]:
    """The change from ``before``, which ``stage`` runs, to ``after``, line by line. ``facts``: of ``after`` alone."""
    yield f"To approve: {after.title}"
    yield from (f"  {each}" for each in facts)
    if before is None:
        yield f"  {stage} has nothing to compare with: no promotion has gone through it yet"
    elif before.revision == after.revision:
        yield f"  {stage} runs this commit already"
    else:
        yield f"  {stage} runs {before.title}. New since then:"
        new = list(commits)
        yield from (f"    {each}" for each in new[:COMMITS])
        if len(new) > COMMITS:
            yield f"    and {len(new) - COMMITS} more commits"
        yield f"  effect: {effect(before, after)}"


@cache
def effect(before: Side, after: Side) -> str:
    """Findings, changes of templates and costs, in one line."""
    try:
        comparison = compare(
            read("before", before.source, before.assembly), read("after", after.source, after.assembly), name="before"
        )
    except (NotCompared, *UNREADABLE) as error:
        return f"not compared, because {error}"
    return "; ".join([verdict(comparison), *(text for text, _ in headlines(comparison))])


def beside(stage: str, gate: Path) -> Iterator[str]:
    """The p99 of each route beside that of the stage's last promoted release. ``gate``: the report ``gate.json``."""
    try:
        comparison = read_object(gate)["comparison"]
        if comparison["release_id"] is None:
            yield f"{stage} not compared with a promoted release: {comparison['reason']}"
            return
        routes = [
            f"{route} {each['now_ms']:.1f} ms{' SLOWER' * each['slower']} (was {each['before_ms']:.1f})"
            for route, each in comparison["routes"].items()
        ]
        yield f"{stage} beside release {comparison['release_id']}: p99 {', '.join(routes)}"
    except UNREADABLE:  # no gate, or that of an older commit
        return


def proven(stage: str, gate: Path, shift: Path) -> Iterator[str]:
    """How gate and shift of ``stage`` ended, by their folders of reports, which the commit's own code has written."""
    try:
        report = read_object(gate / "gate.json")
        routes = ", ".join(f"{each['route']} {each['p99_ms']:.0f}" for each in report["routes"])
        yield f"{stage} gate {report['verdict']}: p99 {routes} of {report['limit_ms']:g} ms"
    except UNREADABLE as error:
        yield f"{stage} gate: its report can't be read ({error!r})"
    try:
        yield f"{stage} shift {read_object(shift / 'outcome.json')['text']}"
    except UNREADABLE as error:
        yield f"{stage} shift: its report can't be read ({error!r})"


def main(facts: Path, brief: Path) -> int:
    found: dict[str, Any] = json.loads(facts.read_text())
    before, after = Side.of(found["before"]), Side.of(found["after"])
    pushes, link = found["pushes"], found["link"]
    for line in told(found["stage"], before, after, facts=found["facts"], commits=[*pushes, *([link] * bool(link))]):
        say(one_line(line))
    proofs: list[str] = []
    for each in found["reports"]:
        gate, shift = Path(each["gate"]), Path(each["shift"])
        proofs += proven(each["stage"], gate, shift)
        for line in (*proven(each["stage"], gate, shift), *beside(each["stage"], gate / "gate.json")):
            say(f"  {one_line(line)}")
    new = (
        f"{len(pushes)} push{'' if len(pushes) == 1 else 'es'}" if before.revision != after.revision else "nothing new"
    )
    brief.write_text(
        few_words(f"{found['stage']} runs {before.revision[:12]}, {new} since", effect(before, after), proofs)
    )
    return 0


def few_words(begin: str, effect: str, proofs: Sequence[str]) -> str:
    """A value of a CodePipeline variable: printable ASCII in one line, with no variable in it. Of a long effect, the
    middle is left out: it begins with findings, and ends with IAM and costs."""
    end = _cut("".join(f" {each}." for each in proofs), PROOFS, last=0)
    text = f"{begin}. {_cut(effect, BRIEF - len(begin) - len(end) - 3, last=EFFECT_ENDS)}.{end}"
    return re.sub("[^ -~]|[#{}]", "?", text)


def _cut(text: str, most: int, *, last: int) -> str:
    """At most ``most`` characters of ``text``, with its ``last`` ones."""
    return text if len(text) <= most else f"{text[: most - last - 5]} ... {text[len(text) - last :]}"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
