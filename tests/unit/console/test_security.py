"""Who may look, who may act, and what runs in a page."""

import re

import pytest

from console.security import LONGEST_FORM, Keys
from pipeline.local.state import State
from tests.recorded import HOSTILE, three

from .conftest import KEYS, OWN, PORT, Open, Recorded

APPROVAL = {"decision": "approve", "name": "Ann", "reason": "Looked at it", "csrf": KEYS.csrf}


def approval(state: State) -> dict[str, str]:
    return APPROVAL | {"promotion": three(state)[-1].id}


def test_without_the_printed_link_nothing_is_shown(stranger: Open, state: State) -> None:
    three(state)
    for path in ("/promotion", "/promotion/live", "/release/prod", "/static/console.js", "/nothing"):
        answer = stranger().get(path)
        assert answer.status_code == 401
        assert "c0ffee" not in answer.text


def test_a_wrong_token_opens_nothing(stranger: Open) -> None:
    for token in ("", "another", KEYS.cookie, KEYS.csrf, "ä", "\x00"):
        answer = stranger().get("/", params={"token": token})
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers


def test_the_link_gives_a_strict_cookie_and_leads_on_without_the_token(stranger: Open) -> None:
    client = stranger()
    token = KEYS.token
    answer = client.get(f"/?token={token}")
    cookie = answer.headers["set-cookie"].lower()
    assert "samesite=strict" in cookie
    assert "httponly" in cookie
    assert token.lower() not in cookie
    # From the address without the token, a browser goes on by itself: after a redirect it may send no strict cookie
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert client.get("/").headers["refresh"] == "0; url=/promotion"
    assert client.get("/promotion").status_code == 200


def test_a_link_opens_one_browser_and_the_next_link_is_said(stranger: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a browser that has opened the link
    said: list[str] = []
    monkeypatch.setattr(KEYS, "announce", said.append)
    first, token = stranger(), KEYS.token
    first.get("/", params={"token": token})
    # When a second one opens it, from a history or from a list of processes, then it gets nothing, and hears why
    answer = stranger().get("/", params={"token": token})
    assert answer.status_code == 401
    assert "has opened a browser already" in answer.text
    assert "set-cookie" not in answer.headers
    # And the console has said the link of another browser, which opens that one
    assert said == [KEYS.token]
    assert stranger().get("/", params={"token": KEYS.token}).status_code == 303
    # And the first one may open any link again
    assert first.get("/", params={"token": token}).status_code == 303


def test_each_start_has_a_host_name_of_its_own(stranger: Open) -> None:
    """Cookies know no ports: under a name that others share, every server of this machine would get ours."""
    assert Keys().host != KEYS.host
    assert KEYS.host.endswith(".localhost")
    headers = {"host": f"{KEYS.host}:{PORT}"}
    assert stranger().get("/", headers=headers).status_code == 200
    assert stranger().get("/promotion", headers=headers).status_code == 401


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8484", "127.0.0.1", "127.0.0.1:8485", "localhost:8484", "console-0.localhost:8484"],
)
def test_another_name_is_not_answered(browser: Open, host: str) -> None:
    """DNS rebinding: the browser believes that evil.example is this machine, and sends its name as Host."""
    answer = browser().get("/promotion", headers={"host": host})
    assert answer.status_code == 421


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:8484", "http://127.0.0.1:8485", ""]
)
def test_an_action_from_another_origin_is_refused(browser: Open, state: State, actions: Recorded, origin: str) -> None:
    answer = browser().post("/promotion/decide", data=approval(state), headers={"origin": origin})
    assert answer.status_code == 403
    assert actions.started == []


def test_an_action_without_an_origin_is_refused(browser: Open, state: State, actions: Recorded) -> None:
    assert browser().post("/promotion/decide", data=approval(state)).status_code == 403
    assert actions.started == []


def test_an_action_without_the_page_s_own_value_is_refused(browser: Open, state: State, actions: Recorded) -> None:
    client, fields = browser(), approval(state)
    del fields["csrf"]
    for given in ({}, *({"csrf": value} for value in ("", "0" * 43, KEYS.token, KEYS.cookie))):
        assert client.post("/promotion/decide", data=fields | given, headers=OWN).status_code == 403
    assert actions.started == []


def test_an_action_by_a_get_does_nothing(browser: Open, state: State, actions: Recorded) -> None:
    browser().get("/promotion/decide", params=approval(state))
    assert actions.started == []
    assert actions.latest() == []


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_page_of_this_machine_can_read_nothing(browser: Open, site: str) -> None:
    headers = {"sec-fetch-site": site, "sec-fetch-mode": "no-cors"}
    assert browser().get("/promotion/live", headers=headers).status_code == 403


def test_a_form_that_is_too_long_or_none_is_refused(browser: Open, actions: Recorded) -> None:
    client = browser()
    long = APPROVAL | {"reason": "a" * LONGEST_FORM}
    assert client.post("/promotion/decide", data=long, headers=OWN).status_code == 403
    assert client.post("/promotion/decide", json=APPROVAL, headers=OWN).status_code == 403
    assert client.post("/promotion/decide", files={"csrf": KEYS.csrf.encode()}, headers=OWN).status_code == 403
    assert actions.started == []


def test_every_answer_runs_nothing_but_our_files(browser: Open, stranger: Open, state: State) -> None:
    three(state)
    paths = ("/promotion", "/release/dev", "/nothing", "/static/console.js", "/promotion/decide?decision=approve")
    for client in (browser(), stranger()):
        for path in paths:
            headers = client.get(path).headers
            policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
            assert policy["default-src"] == "'none'"
            assert policy["script-src"] == policy["style-src"] == "'self'"
            assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "same-origin"
            assert "access-control-allow-origin" not in headers


def test_no_page_holds_a_script_or_a_style_of_its_own(browser: Open, state: State) -> None:
    three(state)
    client = browser()
    for path in ("/promotion", "/release/prod", "/promotion/decide?decision=reject"):
        html = client.get(path).text
        assert re.findall(r"<script(?![^>]* src=\"/static/)", html) == []
        assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:", html) == []
        assert re.findall(r"(?:src|href)=\"(?:https?:)?//", html) == []


def test_a_hostile_subject_is_text(browser: Open, state: State) -> None:
    # Given a commit whose subject is markup, colours a terminal, reorders text, and holds a card number
    three(state)
    # When somebody looks at it
    html = browser().get("/promotion").text
    # Then it is text, and the card number is masked
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "\x1b" not in html
    assert "[31m" not in html
    assert "\u202e" not in html
    assert "4111 1111 1111 1111" in HOSTILE
    assert "4111" not in html.partition("alert(1)")[2][:200]


def test_a_browser_asks_for_a_file_once(browser: Open) -> None:
    client = browser()
    addresses = re.findall(r'(?:src|href)="(/static/[^"]+)"', client.get("/promotion").text)
    assert len(addresses) == 6
    for address in addresses:
        assert "immutable" in client.get(address).headers["cache-control"]
        assert re.fullmatch(r"/static/[\w.-]+\?[0-9a-f]{8}", address)


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/__main__.py", "/static/x"]
)
def test_no_other_file_is_served(browser: Open, path: str) -> None:
    assert browser().get(path).status_code == 404
