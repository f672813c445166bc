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
    assert answer.header("Location") == f"{URL}/desk/pending?id={OTHER}&done=approved&from=0"
    page = browser.get(f"/desk/pending?id={OTHER}&done=approved&from=0")
    assert "Nobody waits." in page.words and f"{OTHER} : Approved." in page.words
    page = browser.get(f"/desk/pending?id={OTHER}&done=refused")
    assert "Refused." not in page.words, "an address line is not believed"
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
    for typed in ("x" * 501, "tab\there"):
        answer = decided(browser, "/desk/refuse", reason=typed)
        assert answer.status == 422 and "up to 500 bytes" in answer.words
        assert f'name="reason" maxlength="500" required value="{typed}"' in answer.text, "with what was typed"
    answer = decided(browser, "/desk/refuse", reason="Reverse DNS fehlt: bitte übermorgen nochmal")
    assert answer.header("Location") == f"{URL}/desk/pending?id={OTHER}&done=refused&from=0"
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
    assert answer.status == 409 and f"{OTHER} : its registration has changed meanwhile" in answer.words
    assert "You had typed: second" in answer.words
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


def test_found_by_domain_server_and_contact(running, web):
    sign_up(web, running.mailbox, OTHER)
    browser = logged_in(web, "viewer")
    for words in ("customer.example", "Customer.EXAMPLE", "owner@customer.example", "mail.customer.EXAMPLE",
                  "[mail.customer.example]"):
        wait_for(lambda words=words: browser.get(f"/desk/search?q={words}").header("Location")
                 == f"{URL}/desk/subscriber?id={OTHER}", 20, f"found by {words}")
    sign_up(web, running.mailbox, SERVER, contact="other@customer.example")
    page = wait_for(lambda: (page := browser.get("/desk/search?q=customer.example")).status == 200 and page, 20)
    assert f"{OTHER} waits for the desk" in page.words and f"{SERVER} waits for the desk" in page.words
    # An id that no longer has the name leaves the set.
    web.redis.cli("sadd", "g25:named:{customer.example}", "10.20.99.99")
    assert "10.20.99.99" not in browser.get("/desk/search?q=customer.example").words
    assert web.redis.cli("sismember", "g25:named:{customer.example}", "10.20.99.99") == 0


def wait_in_line(web, count):
    """So many registrations more that wait: copies of that of OTHER. Their ids, the oldest first."""
    fields = web.redis.cli("hgetall", f"g25:registration:{{{OTHER}}}")
    words = [word for pair in fields.items() for word in pair]
    names = [f"10.20.{90 + i // 250}.{i % 250 + 1}" for i in range(count)]
    for i, name in enumerate(names):
        web.redis.cli("hset", f"g25:registration:{{{name}}}", *words)
        web.redis.cli("zadd", "g25:registrations:pending", str(i + 1), name)
    return names


def lines_of(page):
    """The ids of the page's cards."""
    return [heading.split("</a>")[0].split(">")[-1] for heading in page.text.split('<h2 id="line-')[1:]]


def follow(page, rel):
    """The path behind the page's link of that kind; None without any."""
    return page.text.split(f'<a rel="{rel}" href="')[1].split('"')[0] if f'<a rel="{rel}"' in page.text else None


def test_all_that_wait_can_be_reached(running, web):
    """25 that nobody decides do not keep the others from being decided."""
    sign_up(web, running.mailbox, OTHER)
    names = [*wait_in_line(web, 59), OTHER]
    browser = logged_in(web, "agent")
    seen, path = [], "/desk/pending"
    while path:
        page = browser.get(path)
        assert f"Shown: {len(seen) + 1} to {len(seen) + len(lines_of(page))} of 60" in page.words
        seen += lines_of(page)
        path = follow(page, "next")
    assert seen == names
    assert follow(page, "prev") == "/desk/pending?from=25"
    assert lines_of(browser.get("/desk/pending?from=4000000000")) == names[:25], "no place in any list"
    assert lines_of(browser.get("/desk/pending?from=999")) == names[50:], "behind the end is the last page"
    # A decision on the third page comes back to it, and so does one that was not good.
    form = next(form for form in page.forms() if form["action"] == "/desk/refuse" and form["fields"]["id"] == names[55])
    answer = browser.post("/desk/refuse", {**form["fields"], "reason": ""})
    assert answer.status == 422 and lines_of(answer) == names[50:] and f"about {names[55]} : give a reason" in answer.words
    answer = browser.post("/desk/refuse", {**form["fields"], "reason": "no"})
    assert answer.header("Location") == f"{URL}/desk/pending?id={names[55]}&done=refused&from=50"
    assert lines_of(browser.get("/desk/pending?from=50")) == [*names[50:55], *names[56:]]


def test_what_was_typed_stays_in_its_card(running, web):
    sign_up(web, running.mailbox, OTHER)
    names = wait_in_line(web, 3)
    browser = logged_in(web, "agent")
    page = browser.get("/desk/pending")
    form = next(form["fields"] for form in page.forms() if form["action"] == "/desk/refuse" and form["fields"]["id"] == names[1])
    # Sent anew meanwhile: it still waits, as another version.
    web.redis.cli("hincrby", f"g25:registration:{{{names[1]}}}", "version", "1")
    answer = browser.post("/desk/refuse", {**form, "reason": 'the "host" & name'})
    assert answer.status == 409 and f"{names[1]} : its registration has changed meanwhile" in answer.words
    cards = answer.text.split('<article class="card')[1:]
    assert ["the &quot;host&quot; &amp; name" in card for card in cards] == [False, True, False, False]
    assert [card.startswith(" warn") for card in cards] == [False, True, False, False]
    assert '<a href="#line-1">' in answer.text and 'id="line-1"' in cards[1]
    assert web.redis.cli("hget", f"g25:registration:{{{names[1]}}}", "state") == "pending"


def test_decided_on_the_own_page(running, web):
    """Each can be approved and refused where his picture is."""
    sign_up(web, running.mailbox, OTHER)
    name, second = wait_in_line(web, 30)[-2:]
    browser = logged_in(web, "agent")
    page = subscriber(browser, name)
    answer = browser.submit(page, "/desk/refuse", {"reason": ""})
    assert answer.status == 422 and f"{name} : give a reason" in answer.words and "Registration: waits" in answer.words
    answer = browser.submit(page, "/desk/refuse", {"reason": "y" * 501})
    assert answer.status == 422 and "y" * 501 in answer.text
    answer = browser.submit(page, "/desk/approve")
    assert answer.header("Location") == f"{URL}/desk/subscriber?id={name}&done=approved"
    page = subscriber(browser, name, done="approved")
    assert "Done: the registration is approved" in page.words and "Registration: on probation" in page.words
    assert "/desk/approve" not in [form["action"] for form in page.forms()]
    # Two at the same one: the second is told, and his words are still there.
    seen = subscriber(browser, second)
    assert browser.submit(seen, "/desk/refuse", {"reason": "first"}).status == 303
    answer = browser.submit(seen, "/desk/refuse", {"reason": "second"})
    assert answer.status == 409 and "has changed meanwhile" in answer.words and "You had typed: second" in answer.words
    assert "Registration: refused" in answer.words
    assert [form["action"] for form in subscriber(logged_in(web, "viewer", "10.20.200.3"), "10.20.90.1").forms()] == ["/desk/logout"]
