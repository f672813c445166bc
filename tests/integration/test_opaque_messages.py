"""What a class makes of the messages behind STARTTLS: opaque-messages and starttls."""

import smtplib

import pytest

from tests.lab import servers, turns_table
from tests.lab.turns_table import LARGE, USUAL, Client, message

SERVER = "198.51.100.10"
SENDER, RECIPIENT = "sender@client.example", "user@mx.example"


def send_until_ended(client, size):
    """Sends messages until the session ends; how many got a 250."""
    for number in range(100):
        try:
            client.sendmail(SENDER, [RECIPIENT], message(number, size))
        except (smtplib.SMTPServerDisconnected, OSError):
            return number
    raise AssertionError("never ended")


@pytest.mark.parametrize("size", [USUAL, LARGE])
def test_session_over_the_limit_ends_between_messages(lab, gate, sink, size):
    """Six: the debt that ends it is made by the first one over the limit."""
    server = sink(starttls=True)
    running = gate({"class ordinary": {"messages": ["5/1h"]}})
    accepted = send_until_ended(Client(lab, SERVER, "10.20.0.7"), size)
    assert accepted == 6
    arrived = server.wait_messages(accepted)
    assert [one["body"] for one in arrived] == [message(number, size) for number in range(accepted)]
    line = running.wait_journal(event="session", id="10.20.0.7")[0]
    assert (line["verdict"], line["rule"]) == ("defer", "messages:5/1h")
    assert line["messages_least"] == accepted
    assert running.wait_journal(event="refusal", id="10.20.0.7")[0]["case"] == line["case"]

    # No content of a seventh message ever reached the server.
    sent = server.received(1).decode("ascii")
    behind = sent[sent.rindex("\r\n.\r\n") + 5:]
    assert "Subject" not in behind
    if size < LARGE:
        assert behind == ""

    with pytest.raises(smtplib.SMTPConnectError) as refused:
        Client(lab, SERVER, "10.20.0.7")
    assert refused.value.smtp_code == 421
    assert b"limit of 5 messages in 1 hour; retry in " in refused.value.smtp_error
    assert len(server.peers()) <= 2  # its banner was never let through
    assert server.received(2) == b""

    log = running.ctl("log", "10.20.0.7").stdout
    assert "6 to " in log and " turns" in log


def test_messages_count_for_those_who_never_say_quit(lab, gate, sink):
    """The last message of a session is charged at its end."""
    server = sink(starttls=True)
    running = gate({"class ordinary": {"messages": ["3/1h"]}})
    for number in range(4):
        client = Client(lab, SERVER, "10.20.0.8")
        client.sendmail(SENDER, [RECIPIENT], message(number, USUAL))
        client.close()
        running.wait_journal(number + 1, event="session", id="10.20.0.8")
    with pytest.raises(smtplib.SMTPConnectError):
        Client(lab, SERVER, "10.20.0.8")
    assert len(server.messages()) == 4


def test_sessions_within_the_limit_notice_nothing(lab, gate, sink):
    server = sink(starttls=True)
    gate({"class ordinary": {"messages": ["10/1h"]}})
    turns_table.by_smtplib(10, USUAL)(lab, SERVER, "10.20.0.9")
    assert len(server.wait_messages(10)) == 10


def test_shadow_mode_ends_nothing(lab, gate, sink):
    sink(starttls=True)
    running = gate({"class ordinary": {"messages": ["1/1h"], "enforce": False}})
    turns_table.by_smtplib(3, USUAL)(lab, SERVER, "10.20.0.10")
    lines = running.wait_journal(2, event="refusal", id="10.20.0.10")
    assert all(line["shadow"] and line["rule"] == "messages:1/1h" for line in lines)


def test_a_token_for_a_session(lab, gate, sink):
    """opaque-messages = "session": one at STARTTLS, whatever comes then."""
    server = sink(starttls=True)
    gate({"class ordinary": {"messages": ["2/1h"], "opaque-messages": "session"}})
    for _ in range(2):
        turns_table.by_smtplib(5, USUAL)(lab, SERVER, "10.20.0.11")
    with pytest.raises(smtplib.SMTPResponseException) as refused:
        Client(lab, SERVER, "10.20.0.11")
    assert refused.value.smtp_code == 421
    assert b"limit of 2 messages" in refused.value.smtp_error
    assert len(server.messages()) == 10
    assert b"STARTTLS" not in server.received(3)


def test_no_tokens(lab, gate, sink):
    server = sink(starttls=True)
    gate({"class ordinary": {"messages": ["1/1h"], "opaque-messages": "off"}})
    turns_table.by_smtplib(5, USUAL)(lab, SERVER, "10.20.0.12")
    assert len(server.wait_messages(5)) == 5


def test_refused_starttls(lab, gate, sink):
    """An open refusal that ends the session; in clear text the client may go on with a new one."""
    server = sink(starttls=True)
    gate({"class ordinary": {"messages": ["9/1h"], "starttls": "refuse"}})
    with pytest.raises(smtplib.SMTPResponseException) as refused:
        Client(lab, SERVER, "10.20.0.13")
    assert refused.value.smtp_code == 554
    assert b"may not use STARTTLS on port 25" in refused.value.smtp_error
    assert b"STARTTLS" not in server.received(1)
    assert "<-  250-STARTTLS" in (shown := servers.swaks(lab.subscribers, SERVER, source="10.20.0.14").stdout) or \
        "<-  250 STARTTLS" in shown  # the keyword is there
    assert len(server.wait_messages(1)) == 1
