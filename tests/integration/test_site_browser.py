"""Chromium as a subscriber: every page, looked at with axe-core at phone and desktop widths, light and dark."""

import contextlib
import json
import smtplib

import pytest

from tests.integration.test_site import put_line
from tests.lab import leases
from tests.lab.chromium import TWO_LOOKS, Chromium
from tests.lab.process import wait_for

ORDINARY, SPAMMER, SERVER, SIX = "10.20.41.7", "10.20.66.6", "10.20.0.25", "2001:db8:20:6600::6"
LIMITS = {"action": "meter", "sessions": ["30/1m", "500/1d"], "messages": ["3/1m", "200/1d"],
          "recipients": ["50/1m", "500/1d"], "bytes": ["100M/1h"], "spread": ["20/1h"], "concurrent": 5}
POLICY = {"since": "2026-11-01", "review": "2027-05-01", "decides": "The abuse desk of ISP Example",
          "contact": "abuse@isp.example"}
SERVERS = [f"198.51.100.{n}" for n in range(10, 16)]


@pytest.fixture(name="chromium")
def chromium_fixture(lab, started):
    return lambda web, source: started(Chromium(lab.subscribers, web, source))


@pytest.fixture(name="running")
def running_fixture(gate, site, site_redis, sink):
    """A gate with servers behind it, and the site beside it."""
    sink(SERVERS)
    running = gate({"class ordinary": LIMITS, "submission": {"host": "smtp.isp.example"}}, redis=site_redis)
    return running, site({"web": POLICY}, beside=running)


def spray(lab, source):
    """A mail to each server, of which the limit defers all but three."""
    for server in SERVERS:
        with contextlib.closing(smtplib.SMTP(local_hostname="pc.example", timeout=30)) as client:
            client.sock = lab.subscribers.connect(server, source)
            client.getreply()
            client.ehlo()
            with contextlib.suppress(smtplib.SMTPException):
                client.sendmail("me@home.example", ["user@mx.example"], b"Subject: hello\r\n\r\nhello\r\n")
            with contextlib.suppress(smtplib.SMTPException):
                client.quit()


def refusals(running, source):
    return [entry for entry in running.journal(event="refusal", id=source)]


def test_pages_of_an_ordinary_line(running, chromium):
    _, web = running
    page = chromium(web, ORDINARY).page()
    for path, name in (("/", "home"), ("/activity", "activity-empty"), ("/quarantine", "quarantine-none"),
                       ("/policy", "policy"), ("/feedback", "feedback"), ("/nowhere", "not-found")):
        assert page.goto(path) == (404 if path == "/nowhere" else 200)
        page.inspect(name, faults=["status of 404"])


def test_german(running, chromium):
    _, web = running
    page = chromium(web, ORDINARY).page(language="de-AT")
    for path, name in (("/", "de-home"), ("/activity", "de-activity"), ("/quarantine", "de-quarantine"),
                       ("/policy", "de-policy"), ("/feedback", "de-feedback")):
        assert page.goto(path) == 200
        assert page.attribute("html", "lang") == "de"
        page.inspect(name, looks=TWO_LOOKS)
    # Another language is one click away, and stays.
    page.click("footer a[hreflang=en]")
    assert page.attribute("html", "lang") == "en"
    page.goto("/policy")
    assert page.attribute("html", "lang") == "en"


def test_a_sprayer_sees_what_happened(lab, running, chromium):
    """The limit in words, what is left, the refusals with their case ids; and the whole log."""
    def entries(show):
        return json.loads(web.browser(SPAMMER).get(f"/activity.json?show={show}").body)

    def told(show):
        return sum(entry.get("times", 1) for entry in entries(show))

    gate, web = running
    spray(lab, SPAMMER)
    cases = [entry["case"] for entry in gate.wait_journal(3, event="refusal", id=SPAMMER)]
    gate.wait_journal(6, event="session", id=SPAMMER)
    page = chromium(web, SPAMMER).page()
    wait_for(lambda: page.goto("/") == 200 and cases[-1] in page.text(), 20, "the case id on the page")
    assert "You had reached your limit of 3 messages in 1 minute." in page.text()
    assert "0 of 3 left" in page.text() or "1 of 3 left" in page.text()
    page.inspect("home-sprayer")
    page.click(f"text={cases[-1]}")
    assert page.count("tbody tr") >= 1
    assert cases[-1] in page.text("tbody")
    # Some of them share an entry, and which is up to the workers and to time.
    wait_for(lambda: (told("sessions"), told("refusals")) == (6, 3), 20, "six connections, three refusals")
    page.goto("/activity")
    assert page.count("tbody tr") == len(entries("all"))
    page.inspect("activity")
    page.select("#show", "refusals")
    page.submit("button:has-text('Filter')")
    assert page.count("tbody tr") == len(entries("refusals"))


def test_long_names_stay_on_the_screen(running, chromium, site_redis):
    """What others write, a sender or a server's name without a place to break it, is not wider than a phone."""
    _, web = running
    sender = "bounce+" + "a" * 57 + "@" + "b" * 60 + ".mailer.example"
    put_line(site_redis, ORDINARY, client=f"{ORDINARY}:1", to="c" * 64 + "@" + "d" * 60 + ".example", **{"from": sender})
    page = chromium(web, ORDINARY).page(width=360)
    page.goto("/")
    page.inspect("home-long", looks=[("phone", 360, 780, "light")])
    page.goto("/activity")
    page.inspect("activity-long", looks=[("phone", 360, 780, "light"), ("desktop", 1280, 800, "light")])


@pytest.mark.parametrize("language, times, others, to", [
    ("en", "64 times since", "and 63 others", "and 31 others"),
    ("de", "64-mal seit", "und 63 weitere", "und 31 weitere")])
def test_what_repeats_shares_a_line(running, chromium, site_redis, language, times, others, to):
    """How many and since when; the cases are there for who wants them, and seen by who looks for one."""
    _, web = running
    cases = [f"CASE{number:06}" for number in range(64)]
    servers = [f"[2001:db8:ffff:ffff:ffff:ffff:ffff:{number:x}]:25" for number in range(0x1000, 0x1020)]
    put_line(site_redis, ORDINARY, client=f"{ORDINARY}:1", times=64, since="2026-11-28T09:59:59.100Z", cases=cases,
             case=cases[-1], servers=servers, server=servers[-1])
    page = chromium(web, ORDINARY).page(language=language)
    page.goto("/activity")
    assert page.count("tbody tr") == 1 and all(said in page.text("tbody") for said in (times, others, to))
    assert page.count("tbody details[open]") == 0
    page.inspect(f"activity-repeats-{language}", looks=TWO_LOOKS)
    page.click("td[data-label^='Mail'] summary")
    page.click("td[data-label^='Mail'] + td + td summary")
    assert page.count("tbody details[open]") == 2 and cases[7] in page.text("tbody") and servers[7] in page.text("tbody")
    page.goto(f"/activity?search={cases[7].lower()}")
    assert page.count("tbody tr") == 1 and page.count("tbody details[open]") == 1 and cases[7] in page.text("tbody")
    page.inspect(f"activity-repeats-found-{language}", looks=TWO_LOOKS)
    page.goto("/activity?search=ffff:1007")
    assert page.count("tbody details[open]") == 1 and servers[7] in page.text("tbody")
    page.inspect(f"activity-servers-found-{language}", looks=TWO_LOOKS)
    page.goto("/")
    assert all(said in page.text() for said in (times, others, to))
    page.inspect(f"home-repeats-{language}", looks=TWO_LOOKS)


def test_the_quarantine_and_release_round(lab, running, chromium, site_redis):
    gate, web = running
    spray(lab, SPAMMER)
    gate.ctl("quarantine", SPAMMER, "--reason", "sends spam to many servers", "--until", "7d")
    page = chromium(web, SPAMMER).page()
    wait_for(lambda: page.goto("/") == 200 and "In quarantine" in page.text(), 20, "the site knows it")
    page.inspect("home-quarantined")
    page.click("text=See what was seen")
    assert "sends spam to many servers" in page.text()
    assert "2 more times" in page.text()
    page.inspect("quarantine")
    assert page.submit("button:has-text('I have cleaned it')") == 200
    assert "Your line is released" in page.text()
    page.inspect("quarantine-released")
    assert site_redis.cli("hget", "g25:standings", SPAMMER) is None
    # A gate hears of it, and lets mail through again.
    wait_for(lambda: gate.ctl_json("explain", SPAMMER)["class"] == "ordinary", 20, "the gate knows it")


def test_a_registered_line_and_ipv6(running, chromium):
    gate, web = running
    for number, source in enumerate((SERVER, SIX)):
        gate.ctl("register", source, "--reason", "runs a mail server at home", "--until", "365d")
        page = chromium(web, source).page()
        wait_for(lambda page=page: page.goto("/") == 200 and "Registered: your mail server" in page.text(), 20,
                 "the site knows it")
        page.inspect(f"home-registered-{number}")


def test_feedback_without_a_script(running, chromium, site_redis):
    """Everything is complete without JavaScript, and by keyboard."""
    _, web = running
    page = chromium(web, ORDINARY).page(script=False)
    assert page.goto("/feedback?topic=objection") == 200
    page.fill("#words", "The limit is too low for my mailing list.")
    page.fill("#contact", "me@home.example")
    assert page.submit("main button") == 200
    assert "The desk has your message" in page.text()
    (_, entry), = site_redis.cli("xrange", "g25:feedback", "-", "+")
    assert entry["id"] == ORDINARY and entry["topic"] == "objection"
    assert entry["words"] == "The limit is too low for my mailing list."


def test_keyboard(running, chromium):
    _, web = running
    page = chromium(web, ORDINARY).page()
    page.goto("/")
    seen = []
    for _ in range(9):
        page.press("Tab")
        at = page.focused()
        assert at["outline"] != "none", at
        seen.append(at["text"])
    assert seen[:3] == ["Skip to the content", "Mail and port 25", "Home"]
    page.goto("/")
    page.press("Tab")
    page.press("Enter")
    assert page.focused()["tag"] == "MAIN"


def test_figures_refresh_by_script(lab, running, chromium):
    _, web = running
    page = chromium(web, ORDINARY).page()
    page.goto("/")
    assert "30 of 30 left" in page.text()
    spray(lab, ORDINARY)
    page.wait("text=/2[0-9] of 30 left/")


def test_a_line_that_nobody_is_known_to_hold(gate, site, site_redis, chromium):
    """Where addresses are handed out by lease, until one is known."""
    leased = {"leases": {"prefixes": ["10.20.0.0/16"]}}
    web = site({"web": POLICY}, beside=gate({"class ordinary": LIMITS, **leased}, redis=site_redis))
    page = chromium(web, ORDINARY).page()
    assert page.goto("/") == 503
    page.inspect("no-lease", faults=["status of 503"])
    leases.start(site_redis, "alice", ORDINARY)
    wait_for(lambda: page.goto("/") == 200)
    assert ORDINARY in page.text() and "alice" not in page.text()
