"""The page of the promotions."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from markupsafe import escape

from console.actions import Actions
from console.promotions.model import Decision, History, NotFound, Promotion, Promotions, Stage, Step, history
from reporting.text import visible

NO_STEP = ""


def chosen(found: History, id: str | None) -> Promotion | None:
    """The promotion with this id, else the last one."""
    wanted = [each for each in found.promotions if each.id == id] if id else []
    return next(iter(wanted or found.promotions), None)


def view(source: Promotions, promotion_id: str | None, step_id: str | None, actions: Actions) -> Mapping[str, Any]:
    """The values of ``promotion_live.html``."""
    reading = source.reading()
    found = history(reading.value or ())
    promotion = chosen(found, promotion_id)
    asked = {"promotion": promotion_id, "step": step_id}
    return {
        "reading": reading,
        "promotions": found.promotions,
        "deployed": found.deployed,
        "in_prod": found.in_prod,
        "promotion": promotion,
        "waits_for": promotion.waits_for if promotion else None,
        "step": step_of(promotion, step_id) if promotion else None,
        "chosen": step_id is not None,
        "query": urlencode({name: value for name, value in asked.items() if value}),
        "recorded_actions": [each for each in actions.latest() if each.target.startswith("promotion ")],
    }


def question(source: Promotions, promotion_id: str, step_id: str) -> tuple[Stage, Step]:
    """The approval that a form is about, with its stage. Raises ``NotFound``, and ``CannotDecide`` unless it waits."""
    found = next((each for each in source.latest() if each.id == promotion_id), None)
    if found is None:
        raise NotFound(f"there is no promotion {promotion_id}")
    return found.question(step_id)


def effect(stage: Stage, step: Step, decision: Decision) -> str:
    """What ``decision`` about ``step`` does."""
    where = "The pipeline" if stage.changes_pipeline else stage.environment or stage.name
    if decision == "reject":
        return f"The promotion ends at {step.name}. {where} stays as it is."
    if stage.changes_pipeline:
        return (
            f"{step.name} lets a change of the pipeline itself take effect: of its steps, its roles, or who must"
            " approve. Compare its template with the deployed one before."
        )
    return f"{step.name} lets this commit go on to {where}."


def step_of(promotion: Promotion, id: str | None) -> Step | None:
    """The step with this id; without one, the step that somebody wants to see."""
    if id:
        try:
            return promotion.step(id)
        except NotFound:
            pass
    return promotion.current_step


def log_part(source: Promotions, promotion_id: str | None, step_id: str | None, since: str | None) -> tuple[str, str]:
    """What is new in the log since ``since``, as HTML, and the position after it: step and offset."""
    promotion = chosen(history(source.latest()), promotion_id)
    step = step_of(promotion, step_id) if promotion else None
    if promotion is None or step is None:
        return "", since or NO_STEP
    shown_step, _, offset = (since or NO_STEP).rpartition(":")
    begun = step.id != shown_step
    # What the step before printed since the last look: it has ended meanwhile.
    lines = list(source.log(promotion.id, shown_step, int(offset)).lines) if begun and shown_step else []
    log = source.log(promotion.id, step.id, None if begun else int(offset))
    position = f"{step.id}:{log.offset}"
    lines += [f"── {step.name} ──"] if begun and not step_id else []
    lines += ["… earlier lines are in the file"] if begun and log.skipped else []
    lines += log.lines
    if begun and not log.lines:
        lines.append(
            "(this step has printed nothing yet)" if step.status == "running" else "(this step printed nothing)"
        )
    html = "".join(f"<span>{escape(visible(line))}\n</span>" for line in lines)
    return html, position
