"""The promotions: what the page shows, its log, and decisions."""

import json
import time
from pathlib import Path

import pytest

from console.promotions import page
from console.promotions.local import LocalPromotions, promotion_of
from console.promotions.model import CannotDecide, NotFound, Promotion, history
from console.reading import Reading
from console.text import LONGEST_LINE, MOST_LINES
from pipeline.local.run import Run
from pipeline.local.state import State
from tests.recorded import append, record, three

from .conftest import KEYS, OWN, Open, Recorded

PROD = "prod-promotetoprod"


def decision(promotion: str, reason: str, decision: str = "approve", step: str = PROD) -> dict[str, str]:
    given = {"promotion": promotion, "step": step, "decision": decision}
    return given | {"name": "Ann", "reason": reason, "csrf": KEYS.csrf}


class Silent:
    """A source that does not answer."""

    def reading(self) -> Reading[list[Promotion]]:
        return Reading(failure="CodePipeline does not answer: <timeout>")

    def latest(self) -> list[Promotion]:
        raise OSError("CodePipeline does not answer: <timeout>")

    def log(self, promotion: str, step: str, offset: int | None) -> None: ...
    def change(self, promotion: str) -> list[str]:
        return []

    def decide(self, promotion: str, step: str, decision: str, *, name: str, comment: str) -> str:
        return ""


def test_without_a_promotion_the_page_says_how_to_start_one(browser: Open) -> None:
    html = browser().get("/promotion").text
    assert "No promotion yet" in html
    assert "make promote" in html


def test_the_path_shows_each_step_and_the_question_as_a_place_of_its_own(browser: Open, state: State) -> None:
    three(state)
    html = browser().get("/promotion").text
    path = html.partition('<ol class="path">')[2].partition("</section>")[0]
    places = [part.partition("<span")[0].rstrip() for part in path.split("</span> ") if part[:1].isupper()]
    assert places[:1] == ["Build"]
    assert [html.index(f"</span> {name} <span") for name in ("Build", "Dev", "Staging", "Approval", "Prod")] == sorted(
        html.index(f"</span> {name} <span") for name in ("Build", "Dev", "Staging", "Approval", "Prod")
    )
    assert "prod waits for a person" in html


def test_each_environment_names_the_commit_that_went_through_it(state: State, actions: Recorded) -> None:
    three(state)
    found = history(LocalPromotions(state, actions).latest())
    assert {each.environment: each.commit.short for each in found.deployed if each.commit} == {
        "dev": "c0ffee1234",
        "staging": "c0ffee1234",
        "prod": "aaaaaaa111",
    }


def test_a_promotion_whose_process_was_killed_is_not_said_to_run(browser: Open, state: State) -> None:
    record(state, ends_at="Dev/LoadGate", status="running")
    html = browser().get("/promotion").text
    assert "its process was killed" in html
    with state.lock("a promotion"):
        html = browser().get("/promotion").text
    assert "its process was killed" not in html


@pytest.mark.parametrize("spoilt", ["", "{", "[]", '{"version": 2}', '{"version": 1, "stages": 3}'])
def test_a_spoilt_record_hides_no_other(browser: Open, state: State, spoilt: str) -> None:
    three(state)
    (state.runs / "20990101-000000").mkdir()
    (state.runs / "20990101-000000/run.json").write_text(spoilt)
    assert "c0ffee1234" in browser().get("/promotion").text


def test_a_source_that_does_not_answer_is_said(browser: Open) -> None:
    html = browser(Silent()).get("/promotion").text  # type: ignore[arg-type]
    assert "The pipeline does not answer." in html
    assert "No promotion yet" not in html
    assert "CodePipeline does not answer: &lt;timeout&gt;" in html


def test_the_log_grows_line_by_line_and_begins_anew_with_the_next_step(state: State, actions: Recorded) -> None:
    # Given a promotion whose gate prints
    run = record(state, ends_at="Dev/LoadGate", status="running")
    source = LocalPromotions(state, actions)
    with state.lock("a promotion"):
        html, position = page.log_part(source, None, None, None)
        assert "── LoadGate ──" in html
        # When it prints two lines and a half, then the half waits for its end
        append(run, "Dev/LoadGate", "rate 40/s", "p99 <84 ms>")
        with (run.folder / "logs/dev-loadgate.log").open("a") as log:
            log.write("half a")
        html, position = page.log_part(source, None, None, position)
        assert html == "<span>rate 40/s\n</span><span>p99 &lt;84 ms&gt;\n</span>"
        assert page.log_part(source, None, None, position) == ("", position)
        append(run, "Dev/LoadGate", " line")
        html, position = page.log_part(source, None, None, position)
        assert html == "<span>half a line\n</span>"
        # And when the next step begins, then the rest of this log is shown, and that of the next one under its name
        append(run, "Dev/LoadGate", "the verdict")
        gate, evidence = run.step("Dev", "LoadGate"), run.step("Dev", "Evidence")
        gate.status, evidence.status, evidence.started = "succeeded", "running", time.time()
        run.save()
        html, position = page.log_part(source, None, None, position)
        assert html.startswith("<span>the verdict\n</span><span>── Evidence ──\n</span>")
        assert position.startswith("dev-evidence:")


def test_a_huge_log_and_huge_lines_are_cut_from_their_beginning(state: State, actions: Recorded) -> None:
    run = record(state, ends_at="Dev/LoadGate", status="failed", log="x" * 5_000_000 + "\nthe end\n")
    html, _ = page.log_part(LocalPromotions(state, actions), run.id, "dev-loadgate", None)
    assert len(html) < 70_000
    assert "the end" in html
    append(run, "Dev/LoadGate", *("z" for _ in range(2 * MOST_LINES)), *("y" * 3 * LONGEST_LINE for _ in range(9)))
    html, _ = page.log_part(LocalPromotions(state, actions), run.id, "dev-loadgate", None)
    assert html.count("<span>") <= MOST_LINES + 2
    assert f"{2 * LONGEST_LINE} more characters" in html


@pytest.mark.parametrize("id", ["..", "../..", "", ".", "/etc", "20200101-000000"])
def test_no_other_folder_is_read(state: State, actions: Recorded, id: str) -> None:
    with pytest.raises(NotFound):
        LocalPromotions(state, actions).log(id, "dev-loadgate", None)


def test_an_approval_is_the_command_with_name_and_comment(browser: Open, state: State, actions: Recorded) -> None:
    waiting = three(state)[-1]
    # When somebody approves, with a comment that looks like an option
    answer = browser().post("/promotion/decide", data=decision(waiting.id, "--promotion=x"), headers=OWN)
    # Then the command of `make approve` is started for that promotion
    assert (answer.status_code, answer.headers["location"]) == (303, "/promotion")
    assert actions.started == [
        ["pipeline.local", "approve", f"--promotion={waiting.id}", f"--step={PROD}", "--name=Ann",
         "--comment=--promotion=x"]
    ]  # fmt: skip
    # And it is on record before it began
    [action] = actions.latest()
    assert (action.who, action.reason, action.target) == ("ann", "--promotion=x", f"promotion {waiting.id}")


def test_a_promotion_that_does_not_wait_can_not_be_decided(browser: Open, state: State, actions: Recorded) -> None:
    done = record(state)
    answer = browser().post("/promotion/decide", data=decision(done.id, "Late", "reject"), headers=OWN)
    assert answer.status_code == 409
    assert "does not wait for a decision any more: it is succeeded" in answer.text
    assert "Late" in answer.text  # what was typed is not lost
    assert actions.started == []
    with pytest.raises(CannotDecide):
        LocalPromotions(state, actions).decide(done.id, PROD, "reject", name="Ann", comment="")


@pytest.mark.parametrize("step", ["staging-promotetostaging", ""])
def test_a_form_of_another_step_than_the_one_that_waits_is_refused(
    browser: Open, state: State, actions: Recorded, step: str
) -> None:
    waiting = three(state)[-1]
    answer = browser().post("/promotion/decide", data=decision(waiting.id, "Fine", step=step), headers=OWN)
    assert answer.status_code == 409
    assert f"promotion {waiting.id} waits for PromoteToProd now, and the form is of another step" in answer.text
    assert "Fine" in answer.text
    assert (actions.started, actions.latest()) == ([], [])


def test_two_commits_are_compared_in_a_frame_that_runs_nothing(
    browser: Open, state: State, actions: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given two promotions, and a review of them
    one, _, other = three(state)
    old, new = one.id, other.id
    client = browser()
    assert f'<option value="{old}" selected>' in client.get("/promotion").text
    written = []

    def output(module: str, *words: str) -> list[str]:
        written.append((module, *words[:3]))
        Path(words[3]).write_text("<script>alert(1)</script>the review")
        return []

    monkeypatch.setattr(actions, "output", output)
    # When somebody compares them, twice
    page_text = client.get("/promotion/compare", params={"base": old, "head": new}).text
    assert f'src="/promotion/compare?base={old}&amp;head={new}&amp;raw=yes"' in page_text
    raw = [client.get("/promotion/compare", params={"base": old, "head": new, "raw": "yes"}) for _ in range(2)]
    # Then it was made once, and nothing in it runs
    assert written == [("console.promotions.comparison", str(one.folder), str(other.folder), "aaaaaaa11100")]
    assert "the review" in raw[1].text
    assert "; sandbox;" in raw[1].headers["content-security-policy"]


def test_what_can_not_be_compared_is_said(browser: Open, state: State) -> None:
    old, *_, new = (run.id for run in three(state))
    answer = browser().get("/promotion/compare", params={"base": old, "head": new, "raw": "yes"})
    assert "console.promotions.comparison of" in answer.text
    answer = browser().get("/promotion/compare", params={"base": "../x", "head": new, "raw": "yes"})
    assert "there is no promotion ../x" in answer.text


def test_who_is_asked_sees_what_it_is_about_without_waiting_for_it(browser: Open, state: State) -> None:
    waiting, client = three(state)[-1], browser()
    html = client.get("/promotion/decide", params=decision(waiting.id, "")).text
    assert "PromoteToProd lets this commit go on to prod." in html
    assert f'<input type="hidden" name="step" value="{PROD}">' in html
    assert (
        f"/promotion/decide?promotion={waiting.id}&amp;step={PROD}&amp;decision=approve"
        in client.get("/promotion").text
    )
    assert f'hx-get="/promotion/change?promotion={waiting.id}"' in html
    change = client.get("/promotion/change", params={"promotion": waiting.id}).text
    assert f"console.promotions.change of {waiting.id}" in change
    assert "not known: there is no promotion ../x" in client.get("/promotion/change?promotion=../x").text


def test_a_read_only_console_offers_and_does_nothing(browser: Open, state: State) -> None:
    waiting, reader = three(state)[-1], Recorded(state.root, allowed=False)
    client = browser(None, reader)
    assert "Approve" not in client.get("/promotion").text
    assert "Read-only" in client.get("/promotion").text
    assert client.post("/promotion/decide", data=decision(waiting.id, "x"), headers=OWN).status_code == 409
    assert reader.started == []
    assert reader.latest() == []


def test_the_page_shows_who_decided_and_why(state: State) -> None:
    run = record(state)
    run.approvals = [
        {
            "step": "PromoteToProd",
            "decision": "approved",
            "by": "root",
            "at": 1.0,
            "name": "Ann",
            "comment": "<b>ok</b>",
        }
    ]
    run.save()
    [verdict] = promotion_of(Run.load(run.folder)).verdicts
    assert (verdict.by, verdict.comment) == ("Ann (root)", "<b>ok</b>")


def test_records_of_an_earlier_version_still_read(state: State) -> None:
    run = record(state)
    raw = json.loads((run.folder / "run.json").read_text())
    del raw["approvals"]
    (run.folder / "run.json").write_text(json.dumps(raw))
    assert promotion_of(Run.load(run.folder)).verdicts == ()


def test_the_history_says_from_when_until_when_a_commit_was_in_prod(browser: Open, state: State) -> None:
    # Given two promotions that reached prod, and one that failed before it
    first, second = record(state, revision="a" * 40, ago=9000), record(state, revision="b" * 40, ago=3000)
    record(state, ends_at="Staging/LoadGate", status="failed", ago=600)
    # When somebody asks what was in prod when
    found = history(LocalPromotions(state, Recorded(state.root)).latest())
    # Then the first was there until the second came, and the second is there now
    came = [run.stages[-1].steps[-1].ended for run in (first, second)]
    assert found.in_prod == {first.id: (came[0], came[1]), second.id: (came[1], None)}
    html = browser().get("/promotion").text
    assert html.count("In prod </span>") == 2
    assert html.count(" now</td>") == 1
