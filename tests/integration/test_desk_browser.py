"""Chromium at the desk: its daily work; each page looked at with axe-core, at phone and desktop widths, light and dark."""

import pytest

from tests.integration.test_desk_registrations import wait_in_line
from tests.integration.test_signup import (OTHER, SLOPPY, mailbox_fixture, nsd_fixture, running_fixture,  # noqa: F401
                                           sign_up, text_of)
from tests.integration.wire import Client, first_reply, send
from tests.lab import desk
from tests.lab.chromium import TWO_LOOKS, Chromium
from tests.lab.process import wait_for

OFFICE, SPAMMER = "10.20.200.1", "10.20.66.6"
XSS = "<img/src=x/onerror=document.title='owned'>"


@pytest.fixture(name="web")
def web_fixture(running, sink):
    sink()
    web = running({"registration": {"approve": "desk"}})
    desk.add_operators(web)
    return web


@pytest.fixture(name="chromium")
def chromium_fixture(lab, started):
    return lambda web: started(Chromium(lab.subscribers, web, OFFICE))


def log_in(page, name):
    assert page.goto("/desk") == 200
    assert page.url().endswith("/desk/login?to=/desk")
    page.fill("#name", name)
    page.fill("#password", desk.PASSWORDS[name])
    assert page.submit("main button") == 200
    assert page.url().endswith("/desk")


def spray(lab, web, source, count):
    """So many sessions through the gate, each with a mail where that is let."""
    for _ in range(count):
        send(lab, source)
    wait_for(lambda: sum(float(web.redis.cli("zscore", key, source) or 0)
                         for key in web.redis.cli("keys", "g25:tally:*:sessions")) >= count, 30, "the tally has it")


def test_a_deferred_subscriber_is_quarantined_and_released(lab, running, web, chromium):
    spray(lab, web, SPAMMER, 9)
    spray(lab, web, "10.20.66.7", 4)
    spray(lab, web, "10.20.1.1", 1)
    running.gate.ctl("register", "10.20.0.25", "--reason", "runs a mail server", "--until", "365d")
    page = chromium(web).page()
    assert page.goto("/desk/login") == 200
    page.inspect("desk-login")
    log_in(page, "agent")
    assert page.texts("section:has(#list-deferrals) th[scope=row]")[0] == SPAMMER
    label = page.attribute("section:has(#list-deferrals) svg", "aria-label")
    assert label.startswith("Last 24 hours: 9 sessions") and "8 deferred or refused" in label
    page.inspect("desk-overview")
    page.click(f"section:has(#list-deferrals) a >> text={SPAMMER}")
    assert "1 messages in 1 hour" in page.text() and "me@home.example" in page.text()
    page.fill("#reason", "sends spam to many servers")
    page.fill("#note", "ticket 4711")
    assert page.submit("button.danger") == 200
    assert "is in quarantine" in page.text("[role=status]")
    assert wait_for(lambda: (said := first_reply(lab, SPAMMER)).startswith("554 ") and said, 20).count("sends spam")
    page.goto(f"/desk/subscriber?id={SPAMMER}")
    page.inspect("desk-subscriber")
    page.fill("#release-reason", "cleaned")
    assert page.submit("form[action='/desk/release'] button") == 200
    assert "The quarantine is ended" in page.text("[role=status]").replace("Done: the", "The")
    wait_for(lambda: not first_reply(lab, SPAMMER).startswith("554 "), 20)


def test_what_is_open_stays_open(lab, web, chromium):
    """While the figures refresh themselves, a table that somebody has opened is not closed under his eyes."""
    spray(lab, web, SPAMMER, 1)
    page = chromium(web).page()
    log_in(page, "viewer")
    page.goto(f"/desk/subscriber?id={SPAMMER}")
    page.click("section:has(#tally) summary")
    page.evaluate("document.activeElement.blur()")
    page.evaluate("document.querySelector('section:has(#tally)').dataset.seen = 'yes'")
    send(lab, SPAMMER)
    wait_for(lambda: page.texts("section:has(#tally) .counts dd")[0] == "2", 60, "the page refreshes itself")
    assert page.count("section:has(#tally)[data-seen]") == 0, "the section is another one"
    assert page.count("section:has(#tally) details[open]") == 1


def test_registrations_in_the_browser(running, web, chromium):
    for source, host in ((OTHER, "mail.customer.example"), (SLOPPY, "odd.customer.example")):
        sign_up(web, running.mailbox, source, host=host, contact=f"{host.split('.')[0]}@customer.example")
    page = chromium(web).page()
    log_in(page, "agent")
    page.click("text=2 registrations wait")
    page.inspect("desk-pending")
    assert page.submit(f"article:has-text('{OTHER}') form[action='/desk/approve'] button") == 200
    assert "Approved" in page.text("[role=status]")
    page.fill(f"article:has-text('{SLOPPY}') input[name=reason]", "The host name leads elsewhere.")
    assert page.submit(f"article:has-text('{SLOPPY}') form[action='/desk/refuse'] button") == 200
    assert "Refused" in page.text("[role=status]") and "Nobody waits." in page.text()
    mails = [text_of(mail) for mail in running.mailbox.wait_messages(4)]
    assert any("The host name leads elsewhere." in mail for mail in mails)
    assert running.gate.ctl_json("show", OTHER)["class"] == "probation"
    page.goto("/desk/search?q=customer.example")
    page.inspect("desk-search")


def test_the_rest_of_the_pages(lab, web, chromium):
    line = web.browser(SPAMMER)
    line.submit(line.get("/feedback"), "/feedback", {"topic": "objection", "words": "It is my server.\n" + XSS})
    desk.log_in(web.browser("10.20.204.1"), "agent", "wrong")
    page = chromium(web).page()
    log_in(page, "admin")
    page.goto("/desk/feedback")
    assert "It is my server." in page.text() and XSS in page.text()
    page.inspect("desk-feedback")
    page.goto("/desk/audit")
    assert "logged in" in page.text() and "from 10.20.204.1" in page.text()
    page.inspect("desk-audit")
    # By keyboard: the first stop leads past the navigation.
    page.goto("/desk")
    page.press("Tab")
    assert page.focused()["text"] == "Skip to the content"
    page.goto("/desk/search")
    page.fill("#q", "192.0.2.7")
    page.press("Enter")
    page.wait("[role=status]")
    assert page.submit("text=Log out") == 200
    assert "You are logged out." in page.text()
    assert page.goto("/desk") == 200 and "/desk/login" in page.url()


@pytest.mark.parametrize("language, waits, none", [("en", "26 to 50 of 61", "Nothing was done"),
                                                   ("de", "26 bis 50 von 61", "Nichts getan")])
def test_pages_of_registrations(running, web, chromium, language, waits, none):
    """By the keyboard through the pages, and a decision that was not good comes back with its words."""
    sign_up(web, running.mailbox, OTHER)
    names = wait_in_line(web, 60)
    page = chromium(web).page(language=language)
    log_in(page, "agent")
    page.goto("/desk/pending")
    assert page.count("article") == 25
    page.inspect(f"desk-pending-many-{language}", looks=TWO_LOOKS)
    assert page.submit("nav.places a[rel=next]") == 200
    assert waits in page.text() and page.texts("article h2") == names[25:50]
    # The field is asked for by the browser too; what it lets through is looked at all the same.
    page.evaluate("document.querySelectorAll('[name=reason]').forEach(e => e.removeAttribute('maxlength'))")
    page.fill(f"article:has-text('{names[30]}') input[name=reason]", "z" * 600)
    assert page.submit(f"article:has-text('{names[30]}') form[action='/desk/refuse'] button") == 422
    assert none in page.text("[role=alert]") and names[30] in page.text("[role=alert]")
    assert page.evaluate("document.querySelector('[aria-invalid=true]').value.length") == 600
    page.inspect(f"desk-pending-undecided-{language}", looks=TWO_LOOKS, faults=["422"])
    page.goto(f"/desk/subscriber?id={names[30]}")
    page.inspect(f"desk-subscriber-pending-{language}", looks=TWO_LOOKS, faults=["422"])
    page.fill("form[action='/desk/refuse'] input[name=reason]", "no reverse DNS")
    assert page.submit("form[action='/desk/refuse'] button") == 200
    assert page.url().endswith("&done=refused") and page.count("[role=status]") == 1
    page.goto("/desk/pending?from=25")
    assert names[30] not in page.texts("article h2") and page.count("article") == 25


@pytest.mark.parametrize("language, wide, logged_out", [("en", "65536 lines", "You are logged out"),
                                                        ("de", "65536 Anschlüssen", "Sie sind abgemeldet")])
def test_what_the_desk_does_not_do(web, chromium, language, wide, logged_out):
    page = chromium(web).page(language=language)
    log_in(page, "agent")
    known = ["404", "403", "422"]
    page.goto("/desk/subscriber?id=10.20.41")
    page.inspect(f"desk-fault-{language}", looks=TWO_LOOKS, faults=known)
    page.goto("/desk/search?q=10.20.41.007")
    page.inspect(f"desk-search-fault-{language}", looks=TWO_LOOKS, faults=known)
    page.goto("/desk/subscriber?id=customer-17")
    page.inspect(f"desk-subscriber-unheard-{language}", looks=TWO_LOOKS, faults=known)
    page.goto("/desk/subscriber?id=10.20.0.0/16")
    assert wide in page.text()
    page.fill("#reason", "all of them")
    page.click("button.danger")  # the browser itself asks for the tick
    assert page.url().endswith("id=10.20.0.0/16") and web.redis.cli("exists", "g25:standings") == 0
    page.inspect(f"desk-subscriber-wide-{language}", looks=TWO_LOOKS, faults=known)
    page.click("#wide")
    assert page.submit("button.danger") == 200
    assert list(web.redis.cli("hgetall", "g25:standings")) == ["10.20.0.0/16"]
    # In mid-form the log-in ends.
    page.fill("#release-reason", "it was the wrong prefix")
    page.fill("#release-note", "ticket 4711")
    web.redis.cli("del", *web.redis.cli("keys", "g25:session:*"))
    assert page.submit("form[action='/desk/release'] button") == 403
    assert logged_out in page.text() and "it was the wrong prefix" in page.text() and "ticket 4711" in page.text()
    page.inspect(f"desk-lapsed-{language}", looks=TWO_LOOKS, faults=known)
    page.click("main a.button")
    page.wait("#password")
    page.fill("#name", "agent")
    page.fill("#password", desk.PASSWORDS["agent"])
    assert page.submit("main button") == 200 and page.url().endswith("/desk/subscriber?id=10.20.0.0/16")


def lines_of(page, selector):
    """On how many lines each of these stands."""
    return page.evaluate("[...document.querySelectorAll('" + selector + "')].map(e => "
                         "new Set([...e.getClientRects()].map(r => Math.round(r.top))).size)")


@pytest.mark.parametrize("language", ["en", "de"])
def test_the_audit_trail_can_be_read(web, chromium, language):
    """Neither an address nor a date breaks, and a long word takes no room from the other columns."""
    for name, reason, note in (("10.20.66.6", "sends spam to many servers", "x" * 300), ("2001:db8:20:4100::/56", "y" * 120, "z"),
                               ("10.20.200.200", "cleaned", "")):
        web.redis.cli("xadd", "g25:changes", "*", "id", name, "class", "quarantined", "until", "1900000000", "verb",
                      "quarantine", "by", "agent", "reason", reason, "note", note)
    web.redis.cli("xadd", "g25:changes", "*", "id", "w" * 63, "class", "registered", "verb", "register", "by", "v" * 60)
    page = chromium(web).page(language=language)
    log_in(page, "admin")
    page.goto("/desk/audit")
    page.inspect(f"desk-audit-{language}")
    for width in (360, 700, 1280):
        page.call("look", width=width, height=900, scheme="light")
        assert set(lines_of(page, ".audit .day")) == {1} and set(lines_of(page, ".audit .clock")) == {1}
        assert [n for n in lines_of(page, ".audit td a.code") if n > 1] in ([], [2], [3]), "none but the long account"
        assert page.evaluate("Math.min(...[...document.querySelectorAll('.audit td:last-child')]"
                             ".map(e => e.clientWidth))") > 150
        assert page.call("wide") <= 0


def test_without_javascript_and_in_german(lab, web, chromium):
    spray(lab, web, SPAMMER, 3)
    page = chromium(web).page(script=False, language="de")
    log_in(page, "agent")
    assert "Überblick" in page.text() and "Am meisten aufgeschoben" in page.text()
    page.shoot("desk-overview-german")
    page.goto(f"/desk/subscriber?id={SPAMMER}")
    page.fill("#reason", "sends spam")
    assert page.submit("button.danger") == 200
    assert "ist in Quarantäne" in page.text("[role=status]")
    page.shoot("desk-subscriber-german")
    page.goto("/desk/pending")
    assert "Niemand wartet." in page.text()


def test_what_a_client_says_stays_text(lab, web, chromium):
    """HELO and MAIL of a real session, with what would be a script in a page."""
    send(lab, SPAMMER)
    with Client(lab, SPAMMER) as client:
        client.reply()
        client.say(f"HELO {XSS}")
        client.say(f"MAIL FROM:<{XSS}@home.example>")
        client.say("QUIT")
    page = chromium(web).page()
    log_in(page, "viewer")
    wait_for(lambda: page.goto(f"/desk/subscriber?id={SPAMMER}") == 200 and "onerror" in page.text(), 20)
    assert page.count("main img") == 0 and page.evaluate("document.title") != "owned"
    assert XSS in page.text()
    assert page.call("faults") == []
    # A viewer sees no form but the one to leave.
    assert page.count("main form") == 0
