"""Chromium signs up: from the form over a real mailbox to a session that passes; each page looked at."""

import pytest

from tests.integration import test_signup
from tests.integration.test_signup import FORM, OTHER, SERVER, link_in, mail_through
from tests.lab.chromium import Chromium
from tests.lab.process import wait_for

mailbox_fixture, nsd_fixture = test_signup.mailbox_fixture, test_signup.nsd_fixture
running_fixture = test_signup.running_fixture


@pytest.fixture(name="chromium")
def chromium_fixture(lab, started):
    return lambda web, source: started(Chromium(lab.subscribers, web, source))


def fill(page, **fields):
    for name, value in {**FORM, **fields}.items():
        page.fill(f"#{name}", value)


def test_signing_up(lab, running, sink, chromium):
    web, mailbox = running(), running.mailbox
    sink()
    assert mail_through(lab, SERVER).startswith(b"250")
    assert mail_through(lab, SERVER).startswith(b"450")  # deferred before ...
    browser = chromium(web, SERVER)
    page = browser.page()
    page.goto("/")
    page.click("text=Register a mail server")
    page.wait("#contact")
    page.inspect("register-form")
    fill(page, contact="nobody", host="192.0.2.1")
    assert page.submit('button[value="send"]') == 422
    page.inspect("register-faults", faults=("status of 422",))
    assert page.attribute("#contact", "aria-describedby") == "contact-hint contact-fault"
    fill(page)
    assert page.submit('button[value="send"]') == 200
    assert page.url().endswith("/register?done=asked")
    assert "Look into your mailbox" in page.text()
    page.inspect("register-asked")
    link = link_in(mailbox.wait_messages(1)[0])
    assert page.goto(link) == 200
    page.inspect("register-confirm")
    assert page.submit("main button") == 200
    assert "Confirmed, and registered" in page.text() and "on probation" in page.text()
    page.inspect("register-approved")
    page.goto("/")
    assert "Registered, on probation" in page.text() and page.count("text=Register a mail server") == 0
    page.inspect("home-probation")
    assert mail_through(lab, SERVER).startswith(b"250")  # ... and passes now
    assert page.goto(link) == 200
    assert page.submit("main button") == 200
    assert "Confirmed, and registered" in page.text()  # pressed twice
    page.goto("/confirm?token=" + "A" * 43)
    assert page.submit("main button") == 404
    page.click("summary")
    page.inspect("register-link-invalid", faults=("status of 404",))
    page.goto("/withdraw")
    page.inspect("register-withdraw")
    assert page.submit("main button") == 200
    assert "usual limits are in force again" in page.text()
    wait_for(lambda: mail_through(lab, SERVER).startswith(b"450"), what="the limits again")


def test_the_desk_decides_in_german(running, chromium):
    web, mailbox = running(), running.mailbox
    page = chromium(web, OTHER).page(language="de")
    page.goto("/register")
    page.inspect("register-form-de")
    fill(page, host="192.0.2.1", reason="Für den Verein, übermorgen auch für Müller")
    assert page.submit('button[value="send"]') == 422
    # What is typed, changed or not, outlives a change of the language.
    page.fill("#domain", "verein.example")
    assert page.submit("footer button[lang=en]") == 422
    assert page.attribute("html", "lang") == "en" and page.evaluate("document.querySelector('#domain').value") == "verein.example"
    assert page.evaluate("document.querySelector('#reason').value") == "Für den Verein, übermorgen auch für Müller"
    assert page.submit("footer button[lang=de]") == 422
    page.inspect("register-faults-de", faults=("status of 422",))
    fill(page)
    assert page.submit('button[value="check"]') == 200
    assert "Was das DNS sagt" in page.text() and "stimmt nicht" in page.text()
    page.inspect("register-checks-de")
    assert page.submit('button[value="send"]') == 200
    page.inspect("register-asked-de")
    link = link_in(mailbox.wait_messages(1)[0])
    page.goto(link)
    page.click("footer a[hreflang=en]")
    assert "Confirm your mail server" in page.text()
    page.click("footer a[hreflang=de]")
    assert page.submit("main button") == 200
    assert "sieht sie sich an" in page.text()
    page.inspect("register-pending-de")
    page.goto("/")
    assert "wartet auf einen Menschen" in page.text()
    page.inspect("home-pending-de")


def test_without_a_script(running, chromium):
    web, mailbox = running(), running.mailbox
    page = chromium(web, SERVER).page(script=False)
    page.goto("/register")
    fill(page)
    assert page.submit('button[value="send"]') == 200
    page.goto(link_in(mailbox.wait_messages(1)[0]))
    assert page.submit("main button") == 200
    assert "on probation" in page.text()


def test_a_quarantined_line(running, chromium):
    web = running()
    running.gate.ctl("quarantine", OTHER, "--reason", "spam")
    page = chromium(web, OTHER).page()
    wait_for(lambda: page.goto("/register") == 200 and "in quarantine" in page.text(), what="the quarantine")
    assert page.count("#contact") == 0
    page.inspect("register-quarantined")
