"""People at the console, in a real browser."""

import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from pipeline.local.run import Run
from pipeline.local.state import State
from tests.browser.chromium import ROOT, SHIFTS
from tests.browser.conftest import Open, Served
from tests.browser.platforms import Platforms, serving, shifting
from tests.browser.story import payments, told
from tests.recorded import HOSTILE, append, record, three
from tests.unit.console.test_monitoring import BODY

READING, LIVE = re.compile("^Reading "), re.compile("^(live|read )")
"""What a page says before a source has answered, and of itself when it is as live as it becomes."""
AXE = (ROOT / "node_modules/axe-core/axe.min.js").read_text()
expect.set_options(timeout=60_000)


def only_the_question_is_left(run: Run) -> Run:
    """So that an approval ends the promotion, and starts no cloud."""
    prod = run.stages[-1]
    prod.steps = prod.steps[:1]
    run.save()
    return run


def go_on(run: Run, step: str, next_step: str, status: str = "running") -> None:
    """The promotion itself: a step succeeds, and the next one is under way."""
    done, begun = run.step(*step.split("/")), run.step(*next_step.split("/"))
    done.status, done.ended = "succeeded", time.time()
    begun.status, begun.started = status, time.time()  # type: ignore[assignment]
    run.status = "waiting" if status == "waiting" else "running"
    run.save()


def looked_at(page: Page, link: str, *paths: str) -> dict[str, list[str]]:
    """The faults that axe finds on each page that has some, and whether it is wider than the window."""
    found = {}
    for path in paths:
        page.goto(link.partition("/?")[0] + path)
        page.evaluate(AXE)
        faults = [each["id"] for each in page.evaluate("axe.run()")["violations"]]
        found[path] = faults + ["too wide"] * page.evaluate("document.body.scrollWidth > innerWidth")
    return {path: faults for path, faults in found.items() if faults}


def test_a_promotion_is_watched_live_approved_in_the_page_and_seen_to_its_end(
    state: State, opened: Open, served: Served
) -> None:
    # Given a promotion whose load gate runs in staging
    run = only_the_question_is_left(record(state, ends_at="Staging/LoadGate", status="running"))
    with state.lock("a promotion"):
        page = opened(served.start())
        expect(page.locator("#connection")).to_have_text("live")
        expect(page.locator(".step.running .name")).to_have_text("LoadGate")
        # When the gate prints, then its line is in the log, without a reload
        append(run, "Staging/LoadGate", "measured 12 of 30 s")
        expect(page.locator("#log")).to_contain_text("measured 12 of 30 s")
        # And when the promotion comes to prod, then a person is asked
        go_on(run, "Staging/LoadGate", "Staging/Shift")
        expect(page.locator(".step.running .name")).to_have_text("Shift")
        go_on(run, "Staging/Shift", "Staging/Evidence")
        go_on(run, "Staging/Evidence", "Prod/PromoteToProd", "waiting")
    expect(page.get_by_text("prod waits for a person.")).to_be_visible()
    # When this person approves, with a name and a reason
    page.get_by_role("link", name="Approve …").click()
    expect(page.get_by_role("region", name="What it is about")).to_contain_text("To approve: c0ffee1234")
    page.get_by_label("Your name").fill("Ann")
    page.get_by_label("Comment").fill("The gate is fine")
    page.get_by_role("button", name="Approve PromoteToProd").click()
    # Then the promotion ends, and the page says who let it in and why
    expect(page.locator(".head .status")).to_have_text("✓ succeeded")
    expect(page.get_by_role("heading", name="Decisions")).to_be_visible()
    expect(page.locator("#more")).to_contain_text("approved by Ann")
    expect(page.locator("#more")).to_contain_text("“The gate is fine”")
    assert Run.load(run.folder).approvals[0]["comment"] == "The gate is fine"


def test_a_shift_is_aborted_in_the_page_and_seen_to_roll_back(state: State, opened: Open) -> None:
    # Given a release whose first step bakes
    with shifting() as bench, serving(state, Platforms(bench=bench)) as link:
        page = opened(link)
        page.get_by_role("link", name="Release", exact=True).click()
        expect(page.get_by_text("Step 1 of 4, 10 %: baking")).to_be_visible()
        expect(page.locator(".version.candidate .number").first).to_have_text("10 %")
        # When a person aborts it, who was told what that does, and says why
        page.get_by_role("link", name="Abort …").click()
        expect(page.get_by_text("and the candidate is rejected.")).to_be_visible()
        page.get_by_label("Reason").fill("declines rise")
        page.get_by_role("button", name="Abort").click()
        # Then the page shows how all traffic goes back, without a reload, and who wanted it
        expect(page.locator(".head .badge")).to_have_text("rolled-back")
        for share in page.locator(".version.stable .number").all():
            expect(share).to_have_text("100 %")
        expect(page.get_by_role("link", name="Abort …")).to_have_count(0)
        expect(page.locator(".head")).to_contain_text("abort, asked for by ann: declines rise")
        expect(page.locator(".actions")).to_contain_text("“declines rise”")
    assert bench.all_on("1")


def act(page: Page, link: str, reason: str) -> None:
    """Follow the ``link`` of an action, and confirm it on its page with a ``reason``."""
    page.get_by_role("link", name=f"{link} …", exact=True).click()
    page.get_by_label("Reason").fill(reason)
    page.get_by_role("button", name=link).click()


def test_a_release_is_paused_resumed_promoted_and_undone_in_the_page(state: State, opened: Open) -> None:
    # Given a release whose first step bakes
    with shifting() as bench, serving(state, Platforms(bench=bench)) as link:
        page = opened(link)
        page.get_by_role("link", name="Release", exact=True).click()
        doing, actions = page.locator(".head [role=status]"), page.locator(".actions")
        expect(doing).to_contain_text("Step 1 of 4, 10 %: baking")
        # When a person pauses it, then its weight stays, the page says what becomes of it, and a resume is offered
        act(page, "Pause", "look at the logs")
        expect(doing).to_contain_text("paused; if nobody resumes it, it is rolled back in")
        expect(page.locator(".version.candidate .number").first).to_have_text("10 %")
        expect(page.get_by_role("link", name="Pause …")).to_have_count(0)
        expect(actions).to_contain_text("“look at the logs”")
        # And when it is resumed, then its step bakes again
        act(page, "Resume", "the logs are fine")
        expect(doing).to_contain_text("Step 1 of 4, 10 %: baking")
        # And when nobody wants to wait any longer, then its version is stable
        act(page, "Promote now", "a hot fix")
        expect(page.locator(".head .badge")).to_have_text("promoted")
        expect(page.locator(".version.stable .big")).to_have_text("version 2")
        # And when that was wrong, then it is undone, by a person who sees where traffic goes
        page.get_by_role("link", name="Undo now …").click()
        expect(page.get_by_role("region", name="What it is about")).to_contain_text("stable before: version 1")
        page.go_back()
        act(page, "Undo now", "customers complain")
        expect(page.locator(".version.stable .big")).to_have_text("version 1")
        expect(actions).to_contain_text("“customers complain”")
    assert bench.all_on("1")


def test_payments_in_review_are_approved_and_declined_in_the_page(state: State, opened: Open) -> None:
    # Given payments that stand in review
    platforms = Platforms(payments=payments())
    with serving(state, platforms) as link:
        page = opened(link)
        found = page.locator(".payment")
        for decision, status in (("Approve", "approved"), ("Decline", "declined")):
            reason = f"seen, so {status}"
            page.get_by_role("link", name="Payments", exact=True).click()
            id = found.first.get_by_role("link").first.inner_text()
            # When a reviewer decides the first one, who sees what it is about
            found.first.get_by_role("link", name=f"{decision} …").click()
            expect(page.get_by_role("region", name="What it is about")).to_contain_text("now in review")
            page.get_by_label("Reason").fill(reason)
            platforms.decides.clear()
            with page.expect_response("**/live?**"):
                page.get_by_role("button", name=decision).click()
            # Then the page of this payment says that it is being decided
            expect(found).to_have_count(1)
            expect(found).to_contain_text(id)
            expect(found.locator(".badge")).to_have_text("review")
            expect(page.locator(".actions")).to_contain_text(f"running decide {decision.lower()}")
            # And shows the decision without a reload, and nobody is asked again
            platforms.decides.set()
            expect(found.locator(".badge")).to_have_text(status)
            expect(found).to_contain_text(f"“{reason}”")
            expect(found.get_by_role("link", name="Approve …")).to_have_count(0)
            expect(page.locator(".actions")).to_contain_text(f"“{reason}”")
        # And those that are left stand in review
        page.get_by_role("link", name="Payments", exact=True).click()
        expect(found).to_have_count(1)
        # And a decision on a form that somebody has left open is refused
        page.goto(f"{link.partition('/?')[0]}/payments/prod/{id}/approve")
        page.get_by_label("Reason").fill("found it again")
        page.get_by_role("button", name="Approve").click()
        expect(page.locator(".actions")).to_contain_text("does not stand in review")
        expect(found.locator(".badge")).to_have_text("declined")


def test_a_payment_is_looked_up(state: State, opened: Open) -> None:
    # Given a payment that was decided after a review, and another one of its customer
    known = payments()
    last, decided = known[0], known[-1]
    assert last["customer_id"] == decided["customer_id"]
    with serving(state, Platforms(payments=known)) as link:
        page = opened(link)
        page.get_by_role("link", name="Payments", exact=True).click()
        found = page.locator(".payment")
        expect(found).to_have_count(3)
        # When a person looks it up by its id, then it is there with its history
        page.get_by_label("Id").fill(decided["transaction_id"])
        page.get_by_role("button", name="Look up").click()
        expect(found).to_have_count(1)
        expect(found).to_contain_text("89.90 EUR")
        expect(found).to_contain_text("“The customer was asked”")
        # And from there its customer's payments are a click away
        page.get_by_role("link", name=decided["customer_id"]).click()
        expect(found).to_have_count(2)
        expect(found.first).to_contain_text(last["transaction_id"])
        # And an id that nobody has, finds nothing
        page.get_by_label("Id").fill("txn_" + "0" * 32)
        page.get_by_role("button", name="Look up").click()
        expect(page.get_by_text("There is none.")).to_be_visible()


def test_a_commit_that_attacks_the_page_is_text(state: State, opened: Open, link: str) -> None:
    run = record(state, subject=HOSTILE, ends_at="Dev/LoadGate", status="failed", log="<img src=x onerror=alert(2)>\n")
    run.failure = "<script>alert(3)</script>"
    run.save()
    page = opened(link)
    expect(page.locator(".head h2")).to_contain_text("Fix <script>alert(1)</script>")
    expect(page.locator(".head h2")).to_contain_text("****1111")
    expect(page.locator("#log")).to_contain_text("<img src=x onerror=alert(2)>")
    assert page.locator("#log img, .head script").count() == 0


def test_two_tabs_show_the_same_and_the_reader_is_not_disturbed(state: State, opened: Open, link: str) -> None:
    # Given two tabs, a keyboard user on a link, and a reader who has scrolled
    run = record(state, ends_at="Dev/LoadGate", status="running", log="line\n" * 400)
    with state.lock("a promotion"):
        one = opened(link)
        two = one.context.new_page()
        two.goto(one.url)
        for page in (one, two):
            expect(page.locator("#connection")).to_have_text("live")
            expect(page.locator("#log")).to_contain_text("line")
        synth = one.get_by_role("link", name="Synth")
        synth.focus()
        two.locator("#log").evaluate("log => { log.scrollTop = 0 }")
        # When the promotion goes on
        append(run, "Dev/LoadGate", "the gate has passed")
        go_on(run, "Dev/LoadGate", "Dev/Evidence")
        # Then both tabs follow, the focus stays, and the log is not pulled away
        for page in (one, two):
            expect(page.locator(".step.running .name")).to_have_text("Evidence")
        expect(synth).to_be_focused()
        expect(one.locator("#log")).to_contain_text("the gate has passed")
        assert two.locator("#log").evaluate("log => log.scrollTop") == 0


def test_a_console_that_has_ended_is_said_and_its_old_link_opens_nothing(
    state: State, opened: Open, served: Served
) -> None:
    three(state)
    page = opened(served.start())
    expect(page.locator("#connection")).to_have_text("live")
    # When the console ends, although a stream is open, then its terminal has the next link, and no error
    printed = served.stop()
    assert "A browser has opened the console. The link for another one:" in printed
    assert "ERROR" not in printed
    # And the page says so
    expect(page.locator("#connection")).to_have_text("the console does not answer")
    # And when it is started again, then the tab of before shows nothing until the new link is opened
    link = served.start()
    page.goto(served.address("/promotion"))
    expect(page.locator("body")).to_contain_text("Open the link that the console printed")
    page.goto(link)
    page.wait_for_url("**/promotion")
    expect(page.get_by_text("prod waits for a person.")).to_be_visible()


def test_a_page_whose_files_come_late_becomes_live_all_the_same(opened: Open, link: str) -> None:
    def late(route: Route) -> None:
        time.sleep(0.5)
        route.continue_()

    page = opened(link)
    page.route("**/hx-sse.js*", late)
    page.reload()
    expect(page.locator("#connection")).to_have_text("live", timeout=10_000)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 400)])
def test_every_page_is_accessible_and_fits(state: State, opened: Open, scheme: str, width: int) -> None:
    # Given pages with all that they can show
    waiting, platforms = told(state)
    platforms.dashboard = BODY
    with serving(state, platforms) as link:
        page = opened(link, scheme=scheme, width=width, unchecked=True)
        confirm = f"/promotion/decide?promotion={waiting.id}&step=prod-promotetoprod&decision=approve"
        paths = ("/promotion", "/release/prod", "/gate", "/platform/dev", "/payments/dev", "/evidence", confirm)
        assert looked_at(page, link, *paths, "/release/dev/abort") == {}


def test_every_empty_page_is_accessible_and_fits(opened: Open, served: Served) -> None:
    page = opened(served.start(), width=400, unchecked=True)
    paths = ("/promotion", "/release/prod", "/gate", "/platform/dev", "/payments/dev", "/evidence")
    assert looked_at(page, served.address(""), *paths) == {}


def jumps_of(page: Page) -> list[tuple[float, list[str]]]:
    """How far a page has jumped, and what moved, when it is live and all sources have answered."""
    page.wait_for_load_state()
    expect(page.locator("#connection")).to_have_text(LIVE)
    expect(page.get_by_text(READING)).to_have_count(0)
    return page.evaluate(SHIFTS)  # type: ignore[no-any-return]


def test_no_page_jumps_however_late_its_parts_come(state: State, opened: Open) -> None:
    # Given a slow machine, and pages with all that they can show
    waiting, platforms = told(state)
    platforms.dashboard = BODY
    known = f"/promotion?promotion={waiting.id}"
    decide = f"/promotion/decide?promotion={waiting.id}&step=prod-promotetoprod&decision=approve"
    with serving(state, platforms, late=True) as link:
        # When each is opened, and becomes live
        page = opened(link)
        jumps = {"/promotion": jumps_of(page)}
        for path in (known, "/release/prod", "/gate", "/platform/prod", "/payments/prod", "/evidence", decide):
            page.goto(link.partition("/?")[0] + path)
            jumps[path] = jumps_of(page)
    # Then none moves what a person reads
    assert {path: moved for path, moved in jumps.items() if sum(far for far, _ in moved) > 0.05} == {}


def test_without_a_mouse_the_content_is_one_key_away(state: State, opened: Open, link: str) -> None:
    three(state)
    page = opened(link)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Approve …")).to_be_focused()


def test_nothing_is_loaded_from_elsewhere(state: State, opened: Open, link: str) -> None:
    three(state)
    page, address = opened(link), link.partition("?")[0]
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for path in ("/promotion", "/release/prod", "/evidence"):
        page.goto(address.rstrip("/") + path)
        expect(page.locator("h1")).to_be_attached()
    assert [url for url in asked if not url.startswith(address)] == []
    assert Path(page.url).name == "evidence"
