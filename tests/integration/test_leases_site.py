"""The site and the desk where addresses are handed out by lease."""

import pytest

from tests.integration.test_signup import (
    FORM, GATE, ID6, RECORDS, SERVER6, SETTINGS, ask, confirm, link_in, mail_about, place, text_of)
from tests.integration.wire import send
from tests.lab import desk, dns, leases
from tests.lab.process import wait_for
from tests.lab.servers import Postfix

LEASED = {"leases": {"prefixes": ["10.20.0.0/16", "2001:db8:20::/48"]}}
HOME, ELSEWHERE, OFFICE = "10.20.41.7", "10.20.9.9", "10.20.200.1"


@pytest.fixture(name="web")
def web_fixture(gate, site, site_redis, sink):
    """The site beside a gate that goes by leases."""
    sink()
    running = gate({**GATE, **LEASED}, redis=site_redis)
    web = site({}, beside=running)
    web.gate = running
    return web


def wait_id(web, source, words):
    """The site knows whose the line is, within moments; its home page."""
    browser = web.browser(source)
    return wait_for(lambda: (lambda page: page if words in page.words else None)(browser.get("/")), 20, words)


def test_a_line_that_nobody_is_known_to_hold(web, site_redis):
    """What hangs on the unit may be somebody else's: nothing is shown, and nothing can be done."""
    site_redis.cli("xadd", f"g25:log:{{{HOME}}}", "*", "line", '{"event": "session", "client": "%s:1"}' % HOME)
    browser = web.browser(HOME)
    for path in ("/", "/activity", "/activity.json", "/quarantine", "/register", "/withdraw", "/feedback",
                 "/confirm?token=" + "x" * 43):
        page = browser.get(path)
        assert page.status == 503 and "whose connection" in page.words, path
    csrf = web.browser(OFFICE)
    assert browser.get("/policy").status == 200
    for path in ("/register", "/quarantine", "/confirm", "/withdraw", "/renew", "/feedback"):
        assert csrf.post(path, FORM).status == 503, path
    assert site_redis.cli("keys", "g25:asked:*") == []
    leases.start(site_redis, "alice", HOME)
    wait_id(web, HOME, f"Counted as {HOME}")


def test_nobody_reads_the_log_of_the_one_before(lab, web, site_redis):
    leases.start(site_redis, "alice", HOME)
    wait_id(web, HOME, HOME)
    send(lab, HOME)
    wait_for(lambda: web.gate.journal(id="alice"))
    wait_for(lambda: site_redis.cli("xlen", "g25:log:{alice}"))
    browser = web.browser(HOME)
    assert "198.51.100.10" in browser.get("/activity").words
    leases.start(site_redis, "bob", HOME)
    wait_for(lambda: "198.51.100.10" not in browser.get("/activity").words)
    leases.start(site_redis, "alice", ELSEWHERE, session="another")
    wait_id(web, ELSEWHERE, ELSEWHERE)
    page = web.browser(ELSEWHERE).get("/activity")
    assert "198.51.100.10" in page.words, "his own, wherever he was"
    assert "alice" not in page.text, "who looks from a line is not told its account"


def test_a_form_of_the_one_before_does_nothing(web, site_redis):
    leases.start(site_redis, "alice", HOME)
    wait_id(web, HOME, HOME)
    web.gate.ctl("quarantine", "alice", "--reason", "spam")
    browser = web.browser(HOME)
    page = wait_for(lambda: (lambda p: p if "/quarantine" in [f["action"] for f in p.forms()] else None)(
        browser.get("/quarantine")))
    leases.start(site_redis, "bob", HOME)
    web.gate.ctl("quarantine", "bob", "--reason", "spam")
    wait_for(lambda: "spam" in browser.get("/").words)
    assert browser.submit(page, "/quarantine").status == 403
    assert {row["id"] for row in web.gate.ctl_json("list", "quarantined")} == {"alice", "bob"}
    # The one whose form it is may go on elsewhere.
    leases.start(site_redis, "alice", ELSEWHERE, session="another")
    wait_id(web, ELSEWHERE, "In quarantine")
    browser.source = ELSEWHERE
    answer = browser.submit(page, "/quarantine")
    assert (answer.status, place(answer)) == (303, "/quarantine?done=released")
    assert [row["id"] for row in web.gate.ctl_json("list", "quarantined")] == ["bob"]
    assert web.gate.ctl_json("show", HOME)["class"] == "quarantined"


def test_a_registration_follows_the_account(lab, gate, site, site_redis, started):
    """Asked for at one address, confirmed at another; the link is no use to who has the first one now."""
    started(dns.Nsd(lab.gate, RECORDS, zones=("customer.example", "in-addr.arpa", "ip6.arpa")))
    mailbox = started(Postfix(lab.internet, "198.51.100.25", domains=["customer.example"]))
    running = gate({**GATE, **LEASED}, redis=site_redis)
    web = site(SETTINGS, beside=running)
    leases.start(site_redis, "alice", HOME)
    wait_id(web, HOME, HOME)
    browser, answer = ask(web, HOME)
    assert answer.status == 303, answer.words
    assert "alice" not in browser.get("/register").text
    mail = mailbox.wait_messages(1)[0]
    link = link_in(mail)
    assert "alice" not in mail.as_string()
    leases.start(site_redis, "bob", HOME)
    leases.start(site_redis, "alice", ELSEWHERE, session="another")
    wait_id(web, ELSEWHERE, ELSEWHERE)
    # A whole range is refused: nobody there gets out of it by registering.
    running.ctl("quarantine", "10.20.9.0/24", "--reason", "a whole range")
    wait_id(web, ELSEWHERE, "In quarantine")
    page = web.browser(ELSEWHERE).get("/quarantine")
    assert "Your line is in quarantine" in page.words and "a whole range" in page.words
    assert "/quarantine" not in [form["action"] for form in page.forms()], "it is not his own to end"
    answer = confirm(web.browser(ELSEWHERE), link)
    assert (answer.status, place(answer)) == (303, "/register")
    running.ctl("release", "10.20.9.0/24")
    wait_for(lambda: "In quarantine" not in web.browser(ELSEWHERE).get("/").words)
    bob = web.browser(HOME)
    wait_for(lambda: "Look into your mailbox" not in bob.get("/register").words)
    assert confirm(bob, link).status == 404
    answer = confirm(web.browser(ELSEWHERE), link)
    assert (answer.status, place(answer)) == (303, "/register?done=approved")
    shown = running.ctl_json("show", ELSEWHERE)
    assert (shown["id"], shown["class"]) == ("alice", "probation")
    assert running.ctl_json("show", HOME)["class"] == "ordinary"
    assert site_redis.cli("keys", "g25:registration:*") == ["g25:registration:{alice}"]


def test_one_registration_for_both_lines_of_an_account(lab, gate, site, site_redis, started):
    """IPv4 and IPv6 of one account are one line: one question, whose last form holds, and one link that either opens."""
    started(dns.Nsd(lab.gate, RECORDS, zones=("customer.example", "in-addr.arpa", "ip6.arpa")))
    mailbox = started(Postfix(lab.internet, "198.51.100.25", domains=["customer.example"]))
    running = gate({**GATE, **LEASED}, redis=site_redis)
    web = site(SETTINGS, beside=running)
    leases.start(site_redis, "alice", HOME, ID6)
    wait_id(web, HOME, HOME)
    four, answer = ask(web, HOME, reason="The first form, by IPv4")
    assert answer.status == 303, answer.words
    mail = mailbox.wait_messages(1)[0]
    six = web.browser(SERVER6)
    page = six.get("/register")
    assert "Look into your mailbox" in page.words and ID6 in page.words
    assert "One registration for IPv4 and IPv6" in page.words and "are two lines" not in page.words
    _, answer = ask(web, SERVER6, browser=six, reason="The second form, by IPv6")
    assert answer.status == 303, answer.words
    assert len(site_redis.cli("keys", "g25:signup:*")) == 1
    link = link_in(mail)
    assert place(confirm(six, link)) == "/register?done=approved"
    assert "is registered, on probation" in four.get("/register").words
    assert place(confirm(four, link)) == "/register?done=approved", "it was used by the other one"
    assert site_redis.cli("keys", "g25:registration:*") == ["g25:registration:{alice}"]
    assert site_redis.cli("hget", "g25:registration:{alice}", "reason") == "The second form, by IPv6"
    for address in (HOME, SERVER6):
        assert running.ctl_json("show", address)["id"] == "alice", address
        assert running.ctl_json("show", address)["class"] == "probation", address
    mail_about(mailbox, "is registered")
    assert sum("/confirm?" in text_of(one) for one in mailbox.messages()) == 1
    assert "alice" not in mail.as_string() and HOME in text_of(mail)


# --- the desk -------------------------------------------------------------------------------------


def logged_in(web, site_redis):
    desk.add_operators(web)
    leases.start(site_redis, "noc", OFFICE)
    browser = web.browser(OFFICE)
    assert desk.log_in(browser, "agent").status == 303
    return browser


def test_the_desk_shows_leases_and_finds_accounts(lab, web, site_redis):
    browser = logged_in(web, site_redis)
    leases.start(site_redis, "alice@isp.example", HOME, "2001:db8:20:4100::/56")
    wait_id(web, HOME, HOME)
    for words in (HOME, "2001:db8:20:41ff::1", "Alice@ISP.example"):
        answer = browser.get(f"/desk/search?q={words}")
        assert answer.status == 303 and answer.header("Location").endswith("id=alice%40isp.example"), words
    page = browser.get("/desk/subscriber?id=Alice@isp.example")
    for words in ("Leases", HOME, "2001:db8:20:4100::/56", "Standing: ordinary"):
        assert words in page.words, words
    unit = browser.get(f"/desk/subscriber?id={HOME}")
    assert "alice@isp.example" in unit.words and "handed out by lease" in unit.words
    assert "/desk/quarantine" not in [form["action"] for form in unit.forms()]
    # Somebody else has given that name as his address.
    for number in ("1", "2"):
        site_redis.cli("hset", f"g25:registration:{{bob{number}}}", "version", "1", "state", "registered", "contact",
                       "alice@isp.example", "domain", "d.example", "host", "h.example", "reason", "because of it")
        site_redis.cli("sadd", "g25:named:{alice@isp.example}", f"bob{number}")
        both = browser.get("/desk/search?q=alice@isp.example")
        assert both.status == 200 and ">bob1</a>" in both.text and ">alice@isp.example</a>" in both.text
    csrf = page.form("/desk/quarantine")["csrf"]
    refused = browser.post("/desk/quarantine", {"csrf": csrf, "id": HOME, "seen": "", "reason": "spam"})
    assert refused.status == 409 and "count for nothing" in refused.words
    answer = browser.submit(page, "/desk/quarantine", {"reason": "sends spam", "days": "0"})
    assert answer.status == 303
    assert web.gate.ctl_json("show", HOME)["class"] == "quarantined"
    wait_id(web, HOME, "In quarantine")
    assert "Standing: quarantined" in browser.get("/desk/subscriber?id=alice@isp.example").words
    leases.stop(site_redis, "alice@isp.example", HOME)
    page = browser.get("/desk/subscriber?id=alice@isp.example")
    assert "2001:db8:20:4100::/56" not in page.words, "what ended is no lease"
