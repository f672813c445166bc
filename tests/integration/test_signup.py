"""Registering a mail server: form, checks, a real mailbox, the link, and what the gate makes of it."""

import concurrent.futures
import email.header
import re
import time

import pytest

from tests.lab import dns
from tests.lab.process import wait_for
from tests.lab.servers import Postfix, read_until
from tests.lab.web import Web

SERVER, OTHER, SLOPPY, SPAMMER = "10.20.41.7", "10.20.41.8", "10.20.41.9", "10.20.66.6"
SERVER6, SERVER6_MTA = "2001:db8:20:4100::abcd", "2001:db8:20:4100::25"
ID6 = "2001:db8:20:4100::/56"
MAILBOX = "198.51.100.25"
RECORDS = {
    "mail.customer.example": [f"A {SERVER}", f"AAAA {SERVER6_MTA}"],
    "customer.example": [dns.txt(f"v=spf1 ip4:{SERVER} ip6:{SERVER6_MTA} -all")],
    "7.41.20.10.in-addr.arpa": ["PTR mail.customer.example."],
    "5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.4.0.2.0.0.8.b.d.0.1.0.0.2.ip6.arpa": ["PTR mail.customer.example."],
    "9.41.20.10.in-addr.arpa": ["PTR <b>odd.customer.example."],
    "8.41.20.10.in-addr.arpa": ["PTR elsewhere.customer.example."],
    "elsewhere.customer.example": ["A 198.51.100.99"],
}
FORM = {"contact": "owner@customer.example", "domain": "customer.example", "host": "mail.customer.example",
        "reason": "My family's own mail server, some ten mails a day"}
GATE = {"class ordinary": {"messages": ["1/1h"]}, "class probation": {"action": "meter", "messages": ["1000/1h"]},
        "spf": {"use": "log", "resolvers": [f"127.0.0.1:{dns.PORT}"], "deadline": "4s"}}
SETTINGS = {"mail": {"smarthost": f"smtp://{MAILBOX}", "from": "port25@isp.example", "name": "Example ISP",
                     "retry": "200ms"}}


@pytest.fixture(name="mailbox")
def mailbox_fixture(lab, started):
    """A real Postfix that keeps mail for customer.example, as the site's smarthost."""
    return started(Postfix(lab.internet, MAILBOX, domains=["customer.example"]))


@pytest.fixture(name="nsd")
def nsd_fixture(lab, started):
    return started(dns.Nsd(lab.gate, RECORDS, zones=("customer.example", "in-addr.arpa", "ip6.arpa")))


@pytest.fixture(name="running")
def running_fixture(gate, site, site_redis, nsd, mailbox):
    """running({"registration": {...}}): a gate and the site beside it, with DNS and mailbox."""
    del nsd
    first = gate(GATE, redis=site_redis)

    def start(overrides=None, **options):
        return site({**SETTINGS, **(overrides or {})}, beside=first, **options)

    start.gate, start.mailbox = first, mailbox
    return start


def text_of(mail):
    return mail.get_payload(decode=True).decode("utf-8")


def subject_of(mail):
    unfolded = re.sub(r"\r?\n(?=[ \t])", "", mail["Subject"])
    return str(email.header.make_header(email.header.decode_header(unfolded)))


def link_in(mail, page="confirm"):
    """The path of the link in a mail; it begins with the configured URL."""
    found = re.findall(r"^https://port25\.isp\.example(/\w+\?token=[\w-]{43})$", text_of(mail), re.MULTILINE)
    assert len(found) == 1 and found[0].startswith(f"/{page}?"), text_of(mail)
    return found[0]


def mail_about(mailbox, words, seconds=60):
    """The last mail whose subject holds these words, once there is one."""
    def found():
        return [mail for mail in mailbox.messages() if words in subject_of(mail)]
    wait_for(found, seconds, f"a mail about {words}")
    return found()[-1]


def without_address(answer):
    """A page's words up to the foot, and without the visitor's address."""
    return re.sub(r"(10\.20\.[\d.]+|2001:db8:[\w:/]+)", "", answer.words.split("You are connected from")[0])


def ask(web, source, form=None, browser=None, **fields):
    """Fills the form in; the browser and the answer to it."""
    browser = browser or web.browser(source)
    page = browser.get("/register")
    assert page.status == 200
    return browser, browser.submit(page, "/register", {**FORM, "action": "send", **(form or {}), **fields})


def place(answer):
    """The path that an answer leads to: redirects, too, begin with the configured URL alone."""
    location = answer.header("Location")
    assert location.startswith("https://port25.isp.example/"), location
    return location.removeprefix("https://port25.isp.example")


def confirm(browser, link):
    page = browser.get(link)
    assert page.status == 200
    return browser.submit(page, "/confirm")


def sign_up(web, mailbox, source, **fields):
    """From the form to the confirmation; the browser and the page then."""
    def links():
        return [link_in(mail) for mail in mailbox.messages() if "/confirm?" in text_of(mail)]
    before = len(links())
    browser, answer = ask(web, source, **fields)
    assert answer.status == 303, answer.words
    wait_for(lambda: len(links()) > before, 60, "the mail")
    answer = confirm(browser, links()[-1])
    assert answer.status == 303, answer.words
    return browser, browser.get(place(answer))


def mail_through(lab, source, destination="198.51.100.10"):
    """One message through the gate; the server's or the gate's answer to MAIL."""
    with lab.subscribers.connect(destination, source=source) as connection:
        banner = read_until(connection)
        if not banner.startswith(b"220"):
            return banner
        connection.sendall(b"EHLO mail.customer.example\r\n")
        while not re.search(rb"^250 .*\r\n", read_until(connection), re.MULTILINE):
            pass
        connection.sendall(b"MAIL FROM:<owner@customer.example>\r\n")
        reply = read_until(connection)
        connection.sendall(b"QUIT\r\n")
        return reply


def test_the_whole_way(lab, running, sink):
    web, mailbox = running(), running.mailbox
    sink()
    assert mail_through(lab, SERVER).startswith(b"250")
    assert mail_through(lab, SERVER).startswith(b"450 4.7.1")

    browser, answer = ask(web, SERVER)
    assert (answer.status, place(answer)) == (303, "/register?done=asked")
    page = browser.get("/register?done=asked")
    assert "Look into your mailbox" in page.words and "owner@customer.example" in page.words
    assert page.text.count('<span class="tag good">') == 3, page.words
    mail = mailbox.wait_messages(1)[0]
    assert subject_of(mail) == "Confirm your mail server mail.customer.example"
    assert mail["From"].split() == ["Example", "ISP", "<port25@isp.example>"]
    assert mail["To"] == "<owner@customer.example>" and mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"] and mail["Date"] and mail.get_content_charset() == "utf-8"
    link = link_in(mail)

    # Nothing has happened yet, and opening the link alone does nothing.
    assert browser.get(link).status == 200
    assert mail_through(lab, SERVER).startswith(b"450")
    answer = confirm(browser, link)
    assert (answer.status, place(answer)) == (303, "/register?done=approved")
    assert mail_through(lab, SERVER).startswith(b"250")
    page = browser.get("/register?done=approved")
    assert "on probation" in page.words and "mail.customer.example" in page.words
    shown = running.gate.ctl_json("show", SERVER)
    assert shown["class"] == "probation"
    assert web.redis.cli("hmget", f"g25:standing:{{{SERVER}}}", "contact", "domain") == [
        "owner@customer.example", "customer.example"]
    # Who and why, in the trail.
    entry = web.redis.cli("xrevrange", "g25:changes", "+", "-", "COUNT", "1")[0][1]
    entry = dict(zip(entry[::2], entry[1::2])) if isinstance(entry, list) else entry
    assert entry["by"] == f"subscriber {SERVER}" and entry["verb"] == "register"
    assert entry["reason"] == FORM["reason"]

    # Withdrawn: the limits hold again.
    answer = browser.submit(browser.get("/withdraw"), "/withdraw")
    assert place(answer) == "/register?done=withdrawn"
    wait_for(lambda: mail_through(lab, SERVER).startswith(b"450"), what="the limits again")
    approved = text_of(mail_about(mailbox, "is registered"))
    assert SERVER in approved and "on probation" in approved
    mail_about(mailbox, "is withdrawn")


def test_over_ipv6_and_in_german(running):
    web, mailbox = running(), running.mailbox
    browser = web.browser(SERVER6, headers={"Accept-Language": "de"})
    _, answer = ask(web, SERVER6, browser=browser, reason="Für den Verein, übermorgen auch für Müller")
    assert answer.status == 303
    mail = mailbox.wait_messages(1)[0]
    assert mail["Content-Language"] == "de" and "Bestätigen" in text_of(mail)
    page = browser.get("/register")
    assert SERVER6_MTA in page.words  # it, not the computer that fills in the form, is looked at
    answer = confirm(browser, link_in(mail))
    assert place(answer) == "/register?done=approved", browser.get("/register").words
    assert running.gate.ctl_json("show", SERVER6)["id"] == ID6
    stored = web.redis.cli("hgetall", f"g25:registration:{{{ID6}}}")
    assert stored["reason"] == "Für den Verein, übermorgen auch für Müller" and stored["server"] == SERVER6_MTA


def test_what_dns_says_decides(running):
    """Checks that are not good lead to the desk, and are told."""
    web, mailbox = running(), running.mailbox
    browser, page = sign_up(web, mailbox, OTHER)
    assert "The desk looks at it" in page.words
    assert web.redis.cli("zrange", "g25:registrations:pending", "0", "-1") == [OTHER]
    stored = web.redis.cli("hgetall", f"g25:registration:{{{OTHER}}}")
    assert (stored["check-host"], stored["check-reverse"], stored["check-spf"], stored["spf"]) == (
        "bad", "bad", "bad", "fail")
    assert stored["reverse"] == "elsewhere.customer.example"
    assert running.gate.ctl("show", OTHER, check=False).returncode == 1
    assert browser.submit(browser.get("/withdraw"), "/withdraw").status == 303
    assert web.redis.cli("zcard", "g25:registrations:pending") == 0


def test_looking_alone_sends_nothing(running):
    web = running()
    browser = web.browser(SLOPPY)
    answer = browser.submit(browser.get("/register"), "/register",
                            {**FORM, "action": "check", "domain": "nothing.customer.example",
                             "host": "nothing.customer.example"})
    assert answer.status == 200
    assert "has no address" in answer.words and "has no name" in answer.words and "no SPF record" in answer.words
    assert "<b>odd" not in answer.text
    assert 'value="nothing.customer.example"' in answer.text
    assert web.redis.cli("keys", "g25:asked:*") + web.redis.cli("keys", "g25:signup:*") == []
    assert running.mailbox.messages() == []


def test_dead_dns_is_told(running, nsd):
    web = running()
    nsd.stop()
    _, answer = ask(web, SERVER, action="check")
    nsd.cont()
    assert answer.status == 200
    assert answer.words.count("not known") == 3, answer.words


def test_a_link_is_its_line_s_alone_and_works_once(running):
    web, mailbox = running(), running.mailbox
    browser, answer = ask(web, SERVER)
    assert answer.status == 303
    link = link_in(mailbox.wait_messages(1)[0])
    stranger = web.browser(OTHER)
    theirs = confirm(stranger, link)
    never = confirm(stranger, "/confirm?token=" + "A" * 43)
    assert (theirs.status, theirs.words) == (never.status, never.words) == (404, theirs.words)
    assert web.redis.cli("exists", f"g25:registration:{{{OTHER}}}") == 0
    # The token is stored as a hash alone.
    token = link.split("=")[1]
    for key in web.redis.cli("keys", "*"):
        assert token not in key
        if web.redis.cli("type", key) == "hash":
            assert token not in str(web.redis.cli("hgetall", key))
    assert confirm(browser, link).status == 303
    # Pressed again by the same line: nothing is done, and what is so is said. To others it is no link.
    stored = web.redis.cli("hgetall", f"g25:registration:{{{SERVER}}}")
    assert place(confirm(browser, link)) == "/register?done=approved"
    assert web.redis.cli("hgetall", f"g25:registration:{{{SERVER}}}") == stored
    theirs_now = confirm(stranger, link)
    assert (theirs_now.status, theirs_now.words) == (404, theirs.words)
    for path in ("/confirm", "/confirm?token=", "/confirm?token=x", "/renew?token=" + "A" * 44):
        assert browser.get(path).status == 404
    # Without the CSRF token of this line's browser nothing is done.
    assert web.browser(SERVER).post("/withdraw", {}).status != 303
    assert running.gate.ctl_json("show", SERVER)["class"] == "probation"
    # A used link brings nothing back.
    assert browser.submit(browser.get("/withdraw"), "/withdraw").status == 303
    again = confirm(browser, link)
    assert (again.status, without_address(again)) == (404, without_address(theirs))


def test_pressed_ten_times_at_once(running):
    web, mailbox = running(), running.mailbox
    browser, _ = ask(web, SERVER)
    page = browser.get(link_in(mailbox.wait_messages(1)[0]))
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: browser.submit(page, "/confirm"), range(10)))
    assert {answer.status for answer in answers} == {303}
    assert running.gate.ctl_json("show", SERVER)["class"] == "probation"
    changes = [entry for entry in web.redis.cli("xrange", "g25:changes", "-", "+") if "register" in str(entry)]
    assert len(changes) == 1, changes
    mail_about(mailbox, "is registered")
    assert sum("is registered" in subject_of(mail) for mail in mailbox.messages()) == 1


def test_both_lines_of_a_server_by_one_mail(running):
    """IPv4 and IPv6 are two lines: each is asked for and confirmed by itself, with one mail to the address."""
    web, mailbox = running(), running.mailbox
    four, answer = ask(web, SERVER)
    six, answer6 = ask(web, SERVER6)
    assert (answer.status, place(answer)) == (answer6.status, place(answer6))
    link = link_in(mailbox.wait_messages(1)[0])
    page = six.get("/register")
    assert "good for this line, too," in page.words and "IPv4 and IPv6 are two lines" in page.words
    stranger = web.browser(OTHER)
    invalid = confirm(stranger, link)
    assert invalid.status == 404 and "You are connected by IPv4 now" in invalid.words
    assert place(confirm(six, link)) == "/register?done=approved"
    assert running.gate.ctl_json("show", SERVER6)["id"] == ID6
    assert running.gate.ctl("show", SERVER, check=False).returncode == 1
    assert place(confirm(four, link)) == "/register?done=approved"
    assert running.gate.ctl_json("show", SERVER)["class"] == "probation"
    mail_about(mailbox, "is registered")
    assert sum("/confirm?" in text_of(mail) for mail in mailbox.messages()) == 1


def test_somebody_elses_address_is_not_registered_by_its_owner(running):
    """Whoever names another's contact address gets nothing from the link that its owner opens."""
    web, mailbox = running(), running.mailbox
    ask(web, OTHER)
    browser, _ = ask(web, SERVER)
    link = link_in(mailbox.wait_messages(1)[0])
    assert place(confirm(browser, link)) == "/register?done=approved"
    assert running.gate.ctl_json("show", SERVER)["class"] == "probation"
    assert web.redis.cli("exists", f"g25:registration:{{{OTHER}}}") == 0


def test_back_to_the_first_address(running):
    """The last form holds, also where its address had its mail before."""
    web, mailbox = running(), running.mailbox
    browser, _ = ask(web, SERVER, contact="a1@customer.example")
    first = link_in(mailbox.wait_messages(1)[0])
    ask(web, SERVER, browser=browser, contact="a2@customer.example")
    second = link_in(next(mail for mail in mailbox.wait_messages(2) if "a2@" in mail["To"]))
    assert confirm(browser, first).status == 404
    _, answer = ask(web, SERVER, browser=browser, contact="a1@customer.example")
    assert answer.status == 303 and "a1@customer.example" in browser.get("/register").words
    assert confirm(browser, second).status == 404
    assert place(confirm(browser, first)) == "/register?done=approved"
    assert web.redis.cli("hget", f"g25:registration:{{{SERVER}}}", "contact") == "a1@customer.example"


def test_notices_are_true(running):
    """What the address says is told only where it is so; and nothing is withdrawn where nothing is."""
    web, mailbox = running(), running.mailbox
    browser = web.browser(SERVER)
    for done in ("approved", "pending", "renewed", "mailed", "early", "withdrawn"):
        assert 'role="status"' not in browser.get(f"/register?done={done}").text, done
    page = browser.get("/withdraw")
    assert (page.status, place(page)) == (303, "/register?done=nothing")
    assert "nothing is registered for your line" in browser.get(place(page)).words
    csrf = browser.get("/feedback").form("/feedback")["csrf"]
    for path in ("/withdraw", "/renew"):
        assert place(browser.post(path, {"csrf": csrf})) == "/register?done=nothing"
    browser, page = sign_up(web, mailbox, SERVER)
    assert "Confirmed, and registered" in page.words
    assert place(browser.post("/renew", {"csrf": csrf, **browser.get("/withdraw").form("/withdraw")})) \
        == "/register?done=early"
    running.gate.ctl("quarantine", SERVER, "--reason", "spam")
    wait_for(lambda: "Your line is in quarantine" in browser.get("/register").words, what="the quarantine on the page")
    assert "Confirmed, and registered" not in browser.get("/register?done=approved").words


def test_home_says_what_is_next(running):
    """The first page offers what is possible for the line, and says how its registration stands."""
    web, mailbox = running({"registration": {"probation": "14d"}}), running.mailbox
    offer = "Register it. It takes some minutes"
    home = web.browser(SERVER).get("/").words
    assert offer in home and "after a probation of 14 days" in home
    browser, _ = sign_up(web, mailbox, SERVER)
    wait_for(lambda: "Registered, on probation" in browser.get("/").words, what="the probation on the first page")
    home = browser.get("/").words
    assert offer not in home and "The probation ends on" in home and "Registered until" in home
    pending, _ = sign_up(web, mailbox, OTHER, contact="other@customer.example")
    home = pending.get("/").words
    assert offer not in home and "waits for the desk" in home
    running.gate.ctl("register", SLOPPY)
    by_desk = web.browser(SLOPPY)
    wait_for(lambda: "Registered: your mail server" in by_desk.get("/").words, what="the desk's registration")
    assert offer not in by_desk.get("/").words
    running.gate.ctl("quarantine", SPAMMER, "--reason", "spam")
    spammer = web.browser(SPAMMER)
    wait_for(lambda: "In quarantine" in spammer.get("/").words, what="the quarantine")
    assert offer not in spammer.get("/").words and "none can be registered" in spammer.get("/").words


def test_german_durations(running):
    page = running({"registration": {"term": "365d", "probation": "14d"}}).browser(
        SERVER, headers={"Accept-Language": "de"}).get("/register").words
    assert "endet nach 365 Tagen" in page and "Probezeit von 14 Tagen" in page


def test_the_language_keeps_the_form(running):
    web = running()
    browser, answer = ask(web, SERVER, contact="owner", reason="Für übermorgen,\r\nfür Müller")
    assert answer.status == 422 and 'form="page-form" formaction="/register?lang=de"' in answer.text
    for contact, status in (("owner", 422), ("owner@customer.example", 200)):
        form = {**FORM, **answer.form("/register"), "contact": contact, "reason": "Für übermorgen",
                "action": "language"}
        german = browser.post("/register?lang=de", form)
        assert german.status == status and 'lang="de"' in german.text
        assert f'value="{contact}"' in german.text and ">Für übermorgen<" in german.text
    assert web.redis.cli("keys", "g25:asked:*") == []


def test_a_link_expires(running):
    web, mailbox = running({"registration": {"link": "1s"}}), running.mailbox
    browser, answer = ask(web, SERVER)
    assert answer.status == 303
    link = link_in(mailbox.wait_messages(1)[0])
    wait_for(lambda: web.redis.cli("keys", "g25:signup:*") == [], what="the link's end")
    assert confirm(browser, link).status == 404
    assert running.gate.ctl("show", SERVER, check=False).returncode == 1


def test_quarantined_lines_cannot(running):
    web, mailbox = running(), running.mailbox
    browser, answer = ask(web, SERVER)
    link = link_in(mailbox.wait_messages(1)[0])
    # It came between the mail and its link.
    running.gate.ctl("quarantine", SERVER, "--reason", "spam")
    answer = confirm(browser, link)
    assert place(answer) == "/register"
    wait_for(lambda: "Your line is in quarantine" in browser.get("/register").words, what="the quarantine on the page")
    assert running.gate.ctl_json("show", SERVER)["class"] == "quarantined"
    # It was there before; one over a wider prefix counts too.
    running.gate.ctl("quarantine", "10.20.66.0/24", "--reason", "spam")
    wait_for(lambda: "in quarantine" in web.browser(SPAMMER).get("/register").words, what="the wider one")
    for source in (SERVER, SPAMMER):
        attacker = web.browser(source)
        csrf = attacker.get("/feedback").form("/feedback")["csrf"]
        answer = attacker.post("/register", {**FORM, "csrf": csrf, "action": "send"})
        assert answer.status == 409
    time.sleep(0.3)
    assert len(mailbox.messages()) == 1


def test_a_wider_standing_is_not_taken_over(running):
    """A line below a class of a whole prefix registers itself, and no other."""
    web, mailbox = running(), running.mailbox
    running.gate.ctl("register", "10.20.41.0/24", "--class", "ordinary")
    wait_for(lambda: web.browser(SERVER).get("/").words.count("10.20.41.0/24"), what="the site to follow")
    _, page = sign_up(web, mailbox, SERVER)
    assert "on probation" in page.words
    assert running.gate.ctl_json("show", SERVER)["id"] == SERVER
    assert running.gate.ctl_json("show", "10.20.41.0/24")["class"] == "ordinary"


FLOOD = [f"owner+{n}@customer.example" for n in range(4)] + ["OWNER@Customer.Example"]


def test_flooding(running):
    """At most one mail an hour goes to an address, however it is spelt and whoever asks; the answers are equal."""
    web, mailbox = running(), running.mailbox
    answers = []
    for number, contact in enumerate(FLOOD):
        browser, answer = ask(web, f"10.20.50.{number}", contact=contact)
        assert answer.status == 303
        page = browser.get("/register").words
        answers.append(re.sub(r"owner\S*|10\.20\.50\.\d|The mail is on its way\.|\s+", " ", page, flags=re.I))
    assert len({re.sub(r"\s+", " ", answer) for answer in answers}) == 1, answers
    mailbox.wait_messages(1)
    # One line asks for mails to many addresses.
    statuses = [ask(web, OTHER, contact=f"victim{number}@customer.example")[1].status for number in range(5)]
    assert statuses == [303, 303, 303, 429, 429]
    mailbox.wait_messages(4)
    time.sleep(0.5)
    assert len(mailbox.messages()) == 4


def test_the_last_form_holds(running):
    """What was corrected within the hour is what the link in the mailbox confirms."""
    web, mailbox = running(), running.mailbox
    browser, _ = ask(web, SERVER, host="mial.customer.example")
    link = link_in(mailbox.wait_messages(1)[0])
    _, answer = ask(web, SERVER, browser=browser)
    assert answer.status == 303
    assert place(confirm(browser, link)) == "/register?done=approved"
    assert web.redis.cli("hget", f"g25:registration:{{{SERVER}}}", "host") == "mail.customer.example"
    # Used up, it is not brought back by another form.
    browser.submit(browser.get("/withdraw"), "/withdraw")
    ask(web, SERVER, browser=browser)
    assert confirm(browser, link).status == 404


INJECTIONS = ["\r\nBcc: evil@customer.example", "\nBcc: evil@customer.example", "\rX: y", "\x00", "\x0b", "\u2028X: y"]


@pytest.mark.parametrize("field", ["contact", "domain", "host", "reason"])
def test_line_breaks_in_every_field(running, field):
    web, mailbox = running(), running.mailbox
    for injection in INJECTIONS:
        _, answer = ask(web, SERVER, **{field: FORM[field] + injection + " x"})
        allowed = field == "reason" and set(injection) & set("\r\n")
        assert answer.status == (303 if allowed else 400 if "\x00" in injection else 422), (injection, answer.words)
    if field != "reason":
        time.sleep(0.3)
        assert mailbox.messages() == []
        return
    for mail in mailbox.wait_messages(1):
        assert mail["Bcc"] is None and mail["X"] is None
        assert "evil@" not in str(mail["To"])


def test_bad_forms_say_what_is_allowed(running):
    web = running()
    _, answer = ask(web, SERVER, contact="owner", domain="-x", host="192.0.2.1", reason="short")
    assert answer.status == 422
    for words in ("NAME@DOMAIN", "such as customer.example", "not an address", "10 characters or more"):
        assert words in answer.words
    assert answer.text.count('aria-invalid="true"') == 4
    assert 'value="-x"' in answer.text and ">short<" in answer.text
    _, answer = ask(web, SERVER, reason="<script>alert(1)</script> is my reason")
    assert answer.status == 303
    _, answer = ask(web, SERVER, contact='"><script>alert(1)</script>')
    assert answer.status == 422 and "<script>alert" not in answer.text


def test_a_forged_host_changes_no_link(running):
    web, mailbox = running(), running.mailbox
    browser = web.browser(SERVER, headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"})
    page = browser.get("/register")
    if page.status == 200:
        browser.submit(page, "/register", {**FORM, "action": "send"})
        mail = mailbox.wait_messages(1)[0]
        assert "evil" not in text_of(mail)
        link_in(mail)


def test_probation_ends_and_registrations_end(running):
    """With two sites: each step is done once."""
    times = {"registration": {"probation": "3s", "term": "25s", "reminder": "15s"}}
    web, mailbox = running(times), running.mailbox
    running({**times, "web": {"listen": [f"{web.address(4)}:8443"]}})
    browser, page = sign_up(web, mailbox, SERVER)
    assert "on probation" in page.words
    wait_for(lambda: running.gate.ctl_json("show", SERVER)["class"] == "registered", 60, "the end of the probation")
    assert "passes untouched" in browser.get("/register").words
    link = link_in(mail_about(mailbox, "Renew the registration"), "renew")
    assert confirm(web.browser(OTHER), link.replace("renew", "confirm")).status == 404
    until = int(web.redis.cli("hget", f"g25:registration:{{{SERVER}}}", "until"))
    page = browser.get(link)
    answer = browser.submit(page, "/renew")
    assert place(answer) == "/register?done=renewed"
    assert int(web.redis.cli("hget", f"g25:registration:{{{SERVER}}}", "until")) > until
    assert browser.submit(page, "/renew").status == 404
    # Not renewed again, it ends.
    wait_for(lambda: running.gate.ctl("show", SERVER, check=False).returncode == 1, 120, "the end")
    wait_for(lambda: "was not renewed" in browser.get("/register").words, 30, "the page to say so")
    subjects = [subject_of(mail) for mail in mailbox.messages()]
    assert sum("has ended" in subject for subject in subjects) <= 1
    wait_for(lambda: any("has ended" in subject_of(mail) for mail in mailbox.messages()), 30, "the last mail")


def test_a_dead_smarthost_is_told_and_waited_for(running, mailbox):
    web = running()
    mailbox.kill()
    browser, answer = ask(web, SERVER)
    assert answer.status == 303
    wait_for(lambda: "has not taken the mail so far" in browser.get("/register").words, 30, "the page to say so")
    mailbox.start()
    mail = mailbox.wait_messages(1, 60)[0]
    wait_for(lambda: "has not taken" not in browser.get("/register").words, 30, "the page to say so no more")
    assert confirm(browser, link_in(mail)).status == 303


def test_a_refused_recipient_is_told(running):
    web = running()
    browser, answer = ask(web, SERVER, contact="owner@elsewhere.example")
    assert answer.status == 303
    wait_for(lambda: "could not be sent to this address" in browser.get("/register").words, 30, "the page to say so")
    # It may be corrected at once, and asked for again.
    _, answer = ask(web, SERVER, browser=browser)
    assert answer.status == 303
    running.mailbox.wait_messages(1)


def test_without_a_smarthost(site):
    web = site()
    browser = web.browser(SERVER)
    assert "Only the desk can register" in browser.get("/register").words
    csrf = browser.get("/feedback").form("/feedback")["csrf"]
    assert browser.post("/register", {**FORM, "csrf": csrf}).status == 200
    assert web.redis.cli("keys", "g25:asked:*") == []


def test_redis_away(running, site_redis):
    web = running()
    browser = web.browser(SERVER)
    page = browser.get("/register")
    site_redis.stop()
    try:
        assert browser.submit(page, "/register", {**FORM, "action": "send"}).status == 503
    finally:
        site_redis.cont()
    wait_for(lambda: browser.get("/register").status == 200, 30, "the site")


@pytest.mark.parametrize("change, words", [
    ({"mail": {"smarthost": "smtp://x/path"}}, "smtp://HOST"),
    ({"mail": {"smarthost": "smtp://user:secret@"}}, "smtp://HOST"),
    ({"mail": {"smarthost": "smtp://user:secret@h:99999"}}, "PORT from 1 to 65535"),
    ({"mail": {"smarthost": "smtp://[2001:db8::1"}}, "smtp://HOST"),
    ({"mail": {"smarthost": "smtps://h:"}}, "PORT from 1 to 65535"),
    ({"mail": {"from": None}}, "mail.from"),
    ({"registration": {"probation-class": "quarantined"}}, "quarantined lets no mail out"),
    ({"class probation": {"action": "submit"}}, "probation lets no mail out"),
    ({"class registered": {"action": "refuse"}}, "registered lets no mail out"),
    ({"registration": {"probation": "366d"}}, "registration.probation: is not shorter than term"),
    ({"mail": {"from": "a\nb@c.example"}}, "NAME@DOMAIN"),
    ({"class probation": None}, "no class probation"),
    ({"registration": {"require": ["reverse", "colour"]}}, "host, reverse, spf"),
    ({"registration": {"reminder": "400d"}}, "shorter than term"),
    ({"registration": {"approve": "maybe"}}, "checks, desk, always"),
])
def test_bad_configuration(lab, site_redis, change, words):
    web = Web(lab, site_redis, {**SETTINGS, "class probation": GATE["class probation"]})
    assert web.check().returncode == 0
    web.configure(change)
    checked = web.check()
    assert checked.returncode == 1 and words in checked.stderr and "secret" not in checked.stderr
