"""Registrations at the desk: what waits, approved and refused, with real mail to the customer."""

import pytest

from tests.integration.test_desk import csrf, logged_in, subscriber
from tests.integration.test_signup import (OTHER, SERVER, mail_through, mailbox_fixture, nsd_fixture,  # noqa: F401
                                           running_fixture, sign_up, subject_of, text_of)
from tests.lab import desk
from tests.lab.process import wait_for
from tests.lab.web import URL


@pytest.fixture(name="web")
def web_fixture(running):
    web = running({"registration": {"approve": "desk"}})
    desk.add_operators(web)
    return web


def decided(browser, action, name=OTHER, **fields):
    """Fills the form about that registration on the page of those that wait; the answer."""
    page = browser.get("/desk/pending")
    form = next(form for form in page.forms() if form["action"] == action and form["fields"]["id"] == name)
    return browser.post(action, {**form["fields"], **fields})


def test_approved(lab, running, web, sink):
    sink()
    assert mail_through(lab, OTHER).startswith(b"250")
    assert mail_through(lab, OTHER).startswith(b"450 4.7.1")
    line, page = sign_up(web, running.mailbox, OTHER)
    assert "The desk looks at it" in page.words
    browser = logged_in(web, "agent")
    assert "1 registrations wait" in browser.get("/desk").words
    waiting = browser.get("/desk/pending")
    for part in (OTHER, "owner@customer.example", "mail.customer.example", "My family's own mail server",
                 "Reverse DNS: elsewhere.customer.example , which does not lead back", "SPF of customer.example : fail"):
        assert part in waiting.words, waiting.words
    answer = decided(browser, "/desk/approve")
    assert answer.header("Location") == f"{URL}/desk/pending?done=approved"
    assert "Nobody waits." in browser.get("/desk/pending?done=approved").words
    mail = running.mailbox.wait_messages(2)[-1]
    assert "mail.customer.example" in subject_of(mail)
    assert mail_through(lab, OTHER).startswith(b"250"), "what was deferred passes"
    assert "on probation" in line.get("/register").words
    page = subscriber(browser, OTHER)
    assert "Registration: on probation" in page.words and "Standing: probation" in page.words
    trail = [fields for _, fields in web.redis.cli("xrange", "g25:trail", "-", "+")]
    assert (trail[-1]["what"], trail[-1]["by"], trail[-1]["about"]) == ("approve", "agent", OTHER)


def test_refused_with_a_reason(running, web):
    line, _ = sign_up(web, running.mailbox, OTHER)
    browser = logged_in(web, "agent")
    answer = decided(browser, "/desk/refuse", reason="")
    assert answer.status == 422 and "give a reason" in answer.words
    answer = decided(browser, "/desk/refuse", reason="x" * 501)
    assert answer.status == 422 and "up to 500 bytes" in answer.words
    answer = decided(browser, "/desk/refuse", reason="Reverse DNS fehlt: bitte übermorgen nochmal")
    assert answer.header("Location") == f"{URL}/desk/pending?done=refused"
    mail = running.mailbox.wait_messages(2)[-1]
    assert "Reverse DNS fehlt: bitte übermorgen nochmal" in text_of(mail)
    assert "übermorgen" in line.get("/register").words
    assert "Registration: refused" in subscriber(browser, OTHER).words
    assert "refuse" in [fields["what"] for _, fields in web.redis.cli("xrange", "g25:trail", "-", "+")]


@pytest.mark.parametrize("action", ["/desk/approve", "/desk/refuse"])
def test_decided_meanwhile(running, web, action):
    sign_up(web, running.mailbox, OTHER)
    browser, other = logged_in(web, "agent"), logged_in(web, "admin", "10.20.200.2")
    page = browser.get("/desk/pending")
    form = next(form["fields"] for form in page.forms() if form["action"] == action)
    assert decided(other, "/desk/refuse", reason="first").status == 303
    answer = browser.post(action, {**form, "reason": "second"})
    assert answer.status == 409 and "has changed meanwhile" in answer.words
    running.mailbox.wait_messages(2)
    assert web.redis.cli("hget", f"g25:registration:{{{OTHER}}}", "why") == "first"


def test_a_quarantine_comes_first(running, web):
    sign_up(web, running.mailbox, OTHER)
    browser = logged_in(web, "agent")
    running.gate.ctl("quarantine", OTHER, "--reason", "spam")
    answer = decided(browser, "/desk/approve")
    assert answer.status == 409 and "which has to end first" in answer.words
    assert running.gate.ctl_json("show", OTHER)["class"] == "quarantined"


def test_a_viewer_only_looks(running, web):
    sign_up(web, running.mailbox, OTHER)
    browser = logged_in(web, "viewer")
    page = browser.get("/desk/pending")
    assert OTHER in page.words and [form["action"] for form in page.forms()] == ["/desk/logout"]
    for action in ("/desk/approve", "/desk/refuse"):
        assert browser.post(action, {"csrf": csrf(browser), "id": OTHER, "version": "1", "reason": "x"}).status == 403
    assert web.redis.cli("zcard", "g25:registrations:pending") == 1


def test_found_by_domain_and_contact(running, web):
    sign_up(web, running.mailbox, OTHER)
    browser = logged_in(web, "viewer")
    for words in ("customer.example", "Customer.EXAMPLE", "owner@customer.example"):
        wait_for(lambda words=words: browser.get(f"/desk/search?q={words}").header("Location")
                 == f"{URL}/desk/subscriber?id={OTHER}", 20, f"found by {words}")
    sign_up(web, running.mailbox, SERVER, contact="other@customer.example")
    page = wait_for(lambda: (page := browser.get("/desk/search?q=customer.example")).status == 200 and page, 20)
    assert f"{OTHER} waits for the desk" in page.words and f"{SERVER} waits for the desk" in page.words
    # An id that no longer has the name leaves the set.
    web.redis.cli("sadd", "g25:named:{customer.example}", "10.20.99.99")
    assert "10.20.99.99" not in browser.get("/desk/search?q=customer.example").words
    assert web.redis.cli("sismember", "g25:named:{customer.example}", "10.20.99.99") == 0
