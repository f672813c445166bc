"""The part of `make demo` that happens in a browser: a quarantine that ends, and a mail server that signs up."""

import re
import sys
import time

from tests.lab import dns, sandbox
from tests.lab.gate import binaries
from tests.lab.servers import Postfix
from tests.lab.web import URL, Web

MAILBOX = "198.51.100.40"
SIGNING_UP = "10.20.41.7"
FORM = {"contact": "owner@customer.example", "domain": "customer.example", "host": "mail.customer.example",
        "reason": "My family's own mail server, some ten mails a day"}
TO_TRY = "10.20.42.7"  # may sign up by hand with KEEP=1
RECORDS = {
    "mail.customer.example": [f"A {SIGNING_UP}"],
    "second.customer.example": [f"A {TO_TRY}"],
    "customer.example": [dns.txt(f"v=spf1 ip4:{SIGNING_UP} ip4:{TO_TRY} -all")],
    "7.41.20.10.in-addr.arpa": ["PTR mail.customer.example."],
    "7.42.20.10.in-addr.arpa": ["PTR second.customer.example."],
}
POLICY = {"since": "2026-11-01", "review": "2027-05-01", "decides": "The abuse desk of ISP Example",
          "contact": "abuse@isp.example"}
MAIL = {"smarthost": f"smtp://{MAILBOX}", "from": "port25@isp.example", "name": "Example ISP"}
SPF = {"use": "log", "resolvers": [f"127.0.0.1:{dns.PORT}"]}
PATIENCE_S = 20


class Surroundings:
    """What signing up needs of the world: the customer's domain in the DNS, and his mailbox."""

    def __init__(self, lab):
        self.dns = dns.Nsd(lab.gate, RECORDS, zones=("customer.example", "in-addr.arpa"))
        self.mailbox = Postfix(lab.internet, MAILBOX, domains=["customer.example"])

    def start(self):
        self.dns.start()
        self.mailbox.start()
        return self

    def end(self):
        self.mailbox.end()
        self.dns.end()


def until_class(gate, address, name):
    """Waits until every worker decides by that class."""
    began = time.monotonic()
    while gate.ctl_json("explain", address)["class"] != name:
        if time.monotonic() - began > PATIENCE_S:
            raise TimeoutError(f"{address} does not become {name}")
        time.sleep(0.02)


def leave_quarantine(story, gate, web, infected):
    """What a browser on the infected line does, by hand."""
    story.step("The sign-up site: the infected line sees what happened, and gets out by itself")
    browser = web.browser(infected)
    page = browser.get("/quarantine")
    story.hold("Your line is in quarantine" in page.words and "sends spam to many servers" in page.words,
               "the page Quarantine says why")
    seen = re.search(r"Connections (\d+) Mail servers (\d+)", page.words)
    story.hold(seen is not None, f"and what was seen: {seen.group(1)} connections to {seen.group(2)} mail servers")
    neighbour = web.browser("10.20.3.3").get("/quarantine")
    story.hold("is not in quarantine" in neighbour.words and not neighbour.forms(), "a neighbour sees nothing of it")
    answer = browser.submit(page, "/quarantine")
    story.hold(answer.status == 303, "\"I have cleaned it\" releases the line")
    until_class(gate, infected, "ordinary")
    story.hold(True, "and the gate meters it as before")


def sign_up(story, gate, web, surroundings, refused):
    """From the deferred session to the one that passes; `refused(address)` tries to send a mail."""
    story.step("The same site: an honest mail server signs up, and passes")
    while refused(SIGNING_UP) is None:
        pass
    story.hold(refused(SIGNING_UP).smtp_code == 450, f"{SIGNING_UP}, a mail server nobody knows, is deferred")
    browser = web.browser(SIGNING_UP)
    answer = browser.submit(browser.get("/register"), "/register", {**FORM, "action": "send"})
    story.hold(answer.status == 303, f"its owner fills the form in: {FORM['host']}, {FORM['contact']}")
    page = browser.get("/register?done=asked")
    story.hold(page.text.count('class="tag good"') == 3, "reverse DNS, its confirmation and SPF are found to be good")
    mail = surroundings.mailbox.wait_messages(1, PATIENCE_S)[0]
    link = re.search(rf"^{re.escape(URL)}(/confirm\?token=\S+)$",
                     mail.get_payload(decode=True).decode("utf-8"), re.MULTILINE).group(1)
    story.hold(True, f"a mail comes to his mailbox: \"{mail['Subject']}\"")
    other = web.browser("10.20.3.3")
    story.hold(other.submit(other.get(link), "/confirm").status == 404, "its link is of no use on another line")
    answer = browser.submit(browser.get(link), "/confirm")
    story.hold(answer.status == 303, "on his own he confirms it with a click, and the rules approve it")
    until_class(gate, SIGNING_UP, "probation")
    while refused(SIGNING_UP) is not None:  # until each worker has heard of it
        time.sleep(0.02)
    story.hold(True, f"{SIGNING_UP} passes")
    story.command(gate, "show", SIGNING_UP)


def keep(story, gate, redis, surroundings, views):
    """With KEEP=1: a site for each view, each behind a socket that the machine outside can reach.

    `views` are (port, line, what it is). The first site is the desk's as well.
    """
    folder = sandbox.PROJECT / "build" / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    for port, source, whose in views:
        Web(story.lab, redis, {"web": {"url": f"https://localhost:{port}", "listen": [f"172.16.3.2:{port}"], **POLICY},
                               "mail": MAIL}, beside=gate, name="localhost", port=port).start()
        story.lab.subscribers.run(sys.executable, sandbox.PROJECT / "scripts" / "relay.py", "--background",
                                  f"unix:{folder}/{port}.sock", f"tcp:172.16.3.2:{port}", source)
        print(f"   https://localhost:{port}/  {whose} ({source})")
    gate.host.run(f"{binaries()}/gate25ctl", "--config", gate.config, "operator", "add", "demo", "--role", "admin",
                  input="demo at the desk\n")
    print(f"   https://localhost:{views[0][0]}/desk  the desk: operator demo, password \"demo at the desk\"")
    print(f"   To register {TO_TRY}: contact you@customer.example, domain customer.example, host second.customer.example.\n"
          f"   Mails that came:  tests/lab/lab run internet /usr/bin/python3 scripts/demo_mail.py {surroundings.mailbox.inbox}")
