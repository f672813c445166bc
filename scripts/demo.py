"""The story that `make demo` tells, with real parts; each step is checked, and ends it if it fails.

Runs inside the lab (scripts/demo.sh): Postfix on both sides, Redis, gate25d behind a router that
steers port 25 to it. What is printed is what really happened.
"""

import os
import smtplib
import sys
import textwrap
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts import demo_site  # noqa: E402
from tests.lab import sandbox, topology  # noqa: E402
from tests.lab.servers import Gate, Postfix, Redis  # noqa: E402
from tests.lab.web import Web  # noqa: E402

MX4, MX6 = "198.51.100.10", "2001:db8:ffff::10"
SPRAYED = [f"198.51.100.{n}" for n in range(20, 32)]
CUSTOMER4, CUSTOMER6 = "10.20.0.25", "2001:db8:20:2500::25"
INFECTED, NEIGHBOUR = "10.20.66.6", "10.20.7.7"
INFECTED6, INFECTED6_TOO = "2001:db8:20:6600::6", "2001:db8:20:66ff::bad"
LIMITS = {"action": "meter", "sessions": ["100/1m"], "messages": ["10/1m", "200/1d"],
          "recipients": ["50/1m", "500/1d"], "spread": ["20/1h"], "concurrent": 5}
PROBATION = {"action": "meter", "messages": ["1000/1h"]}  # a new registration's

# As whose line a browser on this machine finds the site with KEEP=1; at which ports, scripts/demo.sh says.
VIEWS = [(NEIGHBOUR, "a registered line"), (INFECTED, "a line in quarantine"),
         (demo_site.TO_TRY, "a mail server's line, not registered yet")]


class Failed(Exception):
    """A step did not hold."""


class Story:
    def __init__(self):
        self.number = 0
        self.lab = topology.Lab.attach()
        self.colour = sys.stdout.isatty()

    def bold(self, text):
        return f"\033[1m{text}\033[0m" if self.colour else text

    def step(self, title):
        self.number += 1
        print(f"\n{self.bold(f'{self.number}. {title}')}", flush=True)

    def tell(self, text, prefix="   "):
        for line in str(text).rstrip("\n").splitlines():
            print(f"{prefix}{line}", flush=True)

    def reply(self, error):
        code, text = error.smtp_code, error.smtp_error.decode()
        print(textwrap.fill(f"{code} {text}", 96, initial_indent="   <- ", subsequent_indent="      "),
              flush=True)
        return f"{code} {text}"

    def command(self, gate, *arguments):
        print("   $ gate25ctl " + " ".join(f'"{a}"' if " " in a else a for a in arguments), flush=True)
        result = gate.ctl(*arguments, check=False)
        self.tell(result.stdout + result.stderr, "     ")
        self.hold(result.returncode == 0, f"gate25ctl {arguments[0]} succeeds")
        return result.stdout

    def hold(self, condition, what):
        if not condition:
            raise Failed(what)
        print(f"   [ok] {what}", flush=True)


def smtp(lab, source, destination):
    """An SMTP client program on a subscriber's line, past the greeting and EHLO."""
    connection = lab.subscribers.connect(destination, source)
    client = smtplib.SMTP(local_hostname="pc.example", timeout=20)
    client.sock = connection
    code, text = client.getreply()
    if code != 220:
        raise smtplib.SMTPConnectError(code, text)
    client.ehlo()
    return client


def send(lab, source, destination, sender="me@home.example"):
    with smtp(lab, source, destination) as client:
        client.sendmail(sender, ["user@mx.example"], "Subject: hello\r\n\r\nHello.\r\n")


def refused(lab, source, destination):
    """The error that the gate answers with, or None when the mail went through."""
    try:
        send(lab, source, destination)
    except (smtplib.SMTPResponseException, smtplib.SMTPSenderRefused) as error:
        return error
    return None


def deliver(story, server, client, count, subject):
    client.send("user@mx.example", subject=subject)
    server.wait_messages(count, 30)
    return [m for m in server.messages() if m["subject"] == subject]


def registered_server(story, gate, server, client, address, mail_number):
    story.command(gate, "register", address, "--reason", "runs a mail server at home", "--until", "365d")
    deliver(story, server, client, mail_number, f"from {address}")
    line = server.wait_maillog(rf"connect from \S*\[{address}\]").group(0)
    story.tell(f"the receiving Postfix logs: {line}")
    story.hold(True, f"delivered; the server saw the customer's own address {address}")


def spray(story, gate, address, targets):
    through, first = 0, None
    for target in targets:
        error = refused(story.lab, address, target)
        through += error is None
        first = first or error
    story.tell(f"{address} tried {len(targets)} mails to {len(set(targets))} servers: "
               f"{through} went through, {len(targets) - through} were deferred")
    story.hold(first is not None and first.smtp_code == 450, "after its limit it is deferred, and told why:")
    text = story.reply(first)
    story.hold(through == 10, "exactly the 10 messages a minute that the class allows")
    story.hold("retry in" in text and "https://mail.isp.example/" in text and "case " in text,
               "the reply names limit, waiting time, help URL and case id")
    return text


def tell(story, gate, redis, server, client4, client6):
    lab = story.lab
    story.step("A registered Postfix at a customer's home delivers through the gate")
    registered_server(story, gate, server, client4, CUSTOMER4, 1)

    story.step("An infected PC sprays")
    text = spray(story, gate, INFECTED, SPRAYED)
    log = story.command(gate, "log", INFECTED, "-n", "3")
    case = text.split("(case ")[1].split(")")[0]
    gate.wait_journal(case=case)
    story.hold(case in gate.ctl("log", INFECTED).stdout and log, f"its throttling log holds the case {case}")
    story.command(gate, "explain", INFECTED)

    story.step("The abuse desk quarantines that line")
    story.command(gate, "quarantine", INFECTED, "--reason", "sends spam to many servers", "--until", "7d")
    error = wait_for_refusal(lab, INFECTED)
    answer = story.reply(error)
    story.hold(error.smtp_code == 554, "the line is refused")
    story.hold("sends spam to many servers" in answer, "and told the reason")

    story.step("Somebody who is over the limit registers, and passes in the same second")
    while refused(lab, NEIGHBOUR, MX4) is None:
        pass
    story.hold(refused(lab, NEIGHBOUR, MX4) is not None, f"{NEIGHBOUR} is deferred")
    story.command(gate, "register", NEIGHBOUR, "--reason", "signed up")
    began = time.monotonic()
    while refused(lab, NEIGHBOUR, MX4) is not None:
        time.sleep(0.02)
    took = time.monotonic() - began
    story.hold(took < 1, f"{NEIGHBOUR} passes, {took * 1000:.0f} ms after gate25ctl returned")

    story.step("The same over IPv6: registration, own address, limits for the whole delegated prefix")
    kept = len(server.messages())
    registered_server(story, gate, server, client6, CUSTOMER6, kept + 1)
    half = [MX6] * 6
    spray(story, gate, INFECTED6, half + half)
    error = refused(lab, INFECTED6_TOO, MX6)
    story.hold(error is not None, f"another address of the same /56 ({INFECTED6_TOO}) shares the limit")

    story.step("Redis is killed")
    redis.kill()
    kept = len(server.messages())
    deliver(story, server, client4, kept + 1, "Redis is dead")
    story.hold(True, "the registered server still delivers")
    error = wait_for_refusal(lab, INFECTED)
    story.hold(error.smtp_code == 554, "the quarantined line is still refused")
    story.hold(refused(lab, "10.20.3.3", MX4) is None, "others are metered by this node alone")
    redis.start()
    wait_for_redis(gate)
    story.hold(True, "Redis is back, and the gate uses it again by itself")


def wait_for_refusal(lab, address):
    """The 554 as soon as the change has reached the worker that takes the connection."""
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        error = refused(lab, address, MX4)
        if error is not None and error.smtp_code == 554:
            return error
    raise Failed(f"{address} is refused within a second")


def wait_for_redis(gate):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        status = gate.ctl_json("status")
        if status["counters"]["store_up"] == len(status["workers"]):
            return
        time.sleep(0.05)
    raise Failed("the gate reconnects to Redis")


def main():
    story = Story()
    lab, began = story.lab, time.monotonic()
    story.tell(textwrap.dedent(f"""
        subscribers {topology.SUBSCRIBERS4}, {topology.SUBSCRIBERS6}
             |            port 25, by policy routing
           router  ------------------------------------->  gate25d
             |     <-------------------------------------  (TPROXY, the subscriber's own address)
          internet: a Postfix at {MX4} and {MX6}, and other servers
        """), "  ")
    redis = Redis(lab["gate1"], port=6379, appendonly=True).start()
    server = Postfix(lab.internet, [MX4, MX6, *SPRAYED], starttls=True).start()
    client4 = Postfix(lab.subscribers, sends_from=[CUSTOMER4], relay=MX4, name="home.example").start()
    client6 = Postfix(lab.subscribers, sends_from=[CUSTOMER6], relay=MX6, name="home.example").start()
    around = demo_site.Surroundings(lab).start()
    gate = Gate(lab, redis, {"class ordinary": LIMITS, "class probation": PROBATION, "spf": demo_site.SPF},
                mode="tproxy").start()
    (sandbox.WORK / "demo.conf").symlink_to(gate.config)
    status = 0
    try:
        tell(story, gate, redis, server, client4, client6)
        web = Web(lab, redis, {"web": demo_site.POLICY, "mail": demo_site.MAIL}, beside=gate).start()
        demo_site.leave_quarantine(story, gate, web, INFECTED)
        demo_site.sign_up(story, gate, web, around, lambda address: refused(lab, address, MX4))
        web.end()
        print(f"\nAll of it held, in {time.monotonic() - began:.1f} seconds.")
    except (Failed, OSError, TimeoutError, smtplib.SMTPException, KeyError) as error:
        print(f"\n   [FAILED] {error!r}\n\n{gate.tail()}", file=sys.stderr)
        status = 1
    if os.environ.get("KEEP") == "1":
        story.command(gate, "quarantine", INFECTED, "--reason", "sends spam to many servers", "--until", "7d")
        ports = [int(port) for port in os.environ["GATE25_DEMO_PORTS"].split()]
        demo_site.keep(story, gate, redis, around, [(port, *view) for port, view in zip(ports, VIEWS, strict=True)])
    else:
        for part in (gate, client4, client6, server, around, redis):
            part.end()
    return status


if __name__ == "__main__":
    sys.exit(main())
