"""The commands on a release that the page offers, and when."""

from collections.abc import Sequence
from dataclasses import dataclass

from console.releases.reading import Standing
from pipeline.release.record import Phase


@dataclass(frozen=True, kw_only=True)
class ReleaseCommand:
    """A command of ``pipeline.release``."""

    id: str
    words: Sequence[str]
    title: str
    effect: str
    """What it does, as a person who confirms it has to know."""
    grave: bool = False


COMMANDS = {
    each.id: each
    for each in (
        ReleaseCommand(
            id="pause",
            words=("pause",),
            title="Pause",
            effect="The weights stay as they are until somebody resumes. When the pause is over, traffic goes back to "
            "the stable version. Alarms still roll back.",
        ),
        ReleaseCommand(id="resume", words=("resume",), title="Resume", effect="The step bakes again, and goes on."),
        ReleaseCommand(
            id="promote",
            words=("promote",),
            title="Promote",
            effect="This step's bake ends now, if the analysis finds nothing against it.",
        ),
        ReleaseCommand(
            id="promote-now",
            words=("promote", "--now"),
            title="Promote now",
            effect="All bakes and all analysis are skipped: all traffic goes to the candidate. Alarms still roll back.",
            grave=True,
        ),
        ReleaseCommand(
            id="abort",
            words=("abort",),
            title="Abort",
            effect="All traffic goes back to the stable version, and the candidate is rejected.",
            grave=True,
        ),
        ReleaseCommand(
            id="undo",
            words=("undo",),
            title="Undo",
            effect="Traffic goes back, step by step, to the version that was stable before.",
            grave=True,
        ),
        ReleaseCommand(
            id="undo-now",
            words=("undo", "--now"),
            title="Undo now",
            effect="All traffic goes back in seconds to the version that was stable before. Nothing is analysed.",
            grave=True,
        ),
        ReleaseCommand(
            id="rollback",
            words=("rollback",),
            title="Roll back",
            effect="All traffic goes to the stable version now, with or without a release under way.",
            grave=True,
        ),
    )
}


def offered(standing: Standing) -> list[ReleaseCommand]:
    """Those that can mean something now. The command itself refuses what its guards do not allow."""
    release = standing.state.under_way
    if release is not None:
        onward = ["resume"] if release.phase is Phase.PAUSED else ["pause", "promote"]
        return [COMMANDS[each] for each in (*onward, "promote-now", "abort")]
    if standing.state.drift:
        return [COMMANDS["rollback"]]
    promoted = standing.state.last is not None and standing.state.last.phase is Phase.PROMOTED
    return [COMMANDS["undo"], COMMANDS["undo-now"]] if promoted else []
