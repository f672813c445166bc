"""The differential test itself: does it find what it is there to find?"""

import pytest

from tests.differential import harness, names, receivers
from tests.integration import transcript

RECIPIENT = b"RCPT TO:<r2@mx.example>\r\n"


@pytest.mark.parametrize("tamper", ["drop", "double"])
def test_a_difference_is_made_short_and_kept(lab, redis, tamper):
    """The relay behind the gate spoils a second recipient: found, and nothing else; as short as can be; a transcript."""
    with harness.running(lab, redis, "aiosmtpd", TAMPER=tamper) as ready:
        sessions = [ready.made("self-test", number) for number in range(60)]
        wrong = ready.run(sessions, seconds=3)
        assert wrong, "nothing was found"
        assert len(wrong) < len(sessions) / 2, "what is right was found wrong"
        assert all(RECIPIENT in b"".join(session.pieces) for session in wrong)
        session, fault = max(wrong.items(), key=lambda pair: len(pair[0].pieces))
        short = ready.minimise(session)
        assert RECIPIENT in short.pieces
        assert len(b"".join(short.pieces)) < 200 and len(short.pieces) <= 5, short.pieces
        kept = ready.keep(short, fault, f"self-test-{tamper}")
    assert kept.parent == harness.FOUND
    assert fault in kept.read_text(encoding="ascii")
    steps = [line for _, line in transcript.Transcript(kept).steps]
    said = b"".join(transcript.unescape(line[4:]).encode("latin-1") for line in steps if line.startswith("C>>"))
    assert said == b"".join(short.pieces)
    assert any(line.startswith("S>>") for line in steps)


@pytest.mark.parametrize("sent, arrived, right", [
    (b"NOOP\r\n", b"NOOP\r\n", 6), (b"NOOP\r\nQUIT\r\n", b"NOOP\r\n", 6), (b"NOOP\n", b"NOOP\r\n", 5),
    (b"a\n.\nb", b"a\r\n..\r\nb", 5),
    (b"NOOP\r\n", b"NOOP\r\n\r\n", None), (b"NOOP\r\n", b"NOP\r\n", None), (b"NOOP\r\n", b"NNOOP\r\n", None),
    (b"a\r\nb", b"a\r\n.\r\nb", None), (b"a\r\n.\r\n", b"a\r\n..\r\n", 6), (b"a.\r\n", b"a..\r\n", None),
    (b"abc", b"acb", None), (b"", b"x", None),
])
def test_bytes(sent, arrived, right):
    said = harness.compare_bytes(sent, arrived)
    assert said == right if right is not None else isinstance(said, str)


@pytest.mark.parametrize("sent, arrived, own, right", [
    (b"A\r\nB\r\nC\r\n", b"A\r\nC\r\n", 1, 9), (b"A\r\nB\r\nC\r\n", b"A\r\nC\r\n", 0, None),
    (b"A\r\nB\r\nC\r\n", b"A\r\nC\r\n", 2, None), (b"AA\r\nAB\r\n", b"AB\r\n", 1, 8), (b"A\r\nA\r\nA\r\n", b"A\r\n", 2, 9),
    (b"A\r\nBDAT 4 LAST\r\nx\r\nyNOOP\r\n", b"A\r\nNOOP\r\n", 1, 26), (b"BDAT 4\r\nx\r\nyNOOP\r\n", b"yNOOP\r\n", 1, None),
    (b"BDAT 3\r\nabcRCPT\r\nBDAT 1 LAST\r\n\nQUIT\r\n", b"BDAT 3\r\nabcBDAT 1 LAST\r\n\nQUIT\r\n", 1, 37),
    (b"BDAT 3\r\nabcRCPT\r\nBDAT 1 LAST\r\n\nQUIT\r\n", b"BDAT 3\r\nabcQUIT\r\n", 2, 37), (b"ABC\r\n", b"A\r\n", 1, None),
    (b"BDAT 3\r\nabcRCPT\r\nBDAT 1 LAST\r\n\nQUIT\r\n", b"BDAT 3\r\nabcBDAT 1 LAST\r\nQUIT\r\n", 1, None),
])
def test_bytes_behind_the_gates_own_replies(sent, arrived, own, right):
    said = harness.compare_bytes(sent, arrived, own)
    assert said == right if right is not None else isinstance(said, str)


OWN = b"421 4.4.2 10.20.0.1 timeout; see https://mail.isp.example/ (case 0000000000)\r\n"


SEQUENCE = b"503 5.5.1 10.20.0.1 sent a command; see https://mail.isp.example/ (case 0000000000)\r\n"


@pytest.mark.parametrize("heard, said, right", [
    (b"220 a\r\n250 b\r\n", b"220 a\r\n250 b\r\n", True), (b"220 a\r\n", b"220 a\r\n250 b\r\n", True),
    (b"220 a\r\n" + OWN, b"220 a\r\n", True), (b"220 a\r\n" + OWN, b"220 a\r\n421 lost\r\n", True), (OWN, b"", True),
    (b"220 a\r\n250 c\r\n", b"220 a\r\n250 b\r\n", False), (b"220 a\r\n250 b\r\n", b"220 a\r\n", False),
    (b"220 a\r\n" + OWN + b"250 b\r\n", b"220 a\r\n250 b\r\n", False), (b"220 a\r\n220 a\r\n", b"220 a\r\n", False),
    (b"250 " + OWN, b"", False), (b"220 a\r\n" + SEQUENCE + b"250 b\r\n", b"220 a\r\n250 b\r\n", True),
    (b"220 a\r\n" + SEQUENCE + SEQUENCE + OWN, b"220 a\r\n", True), (b"220 a\r\n503 5.5.1 no\r\n250 b\r\n", b"220 a\r\n250 b\r\n", False),
])
def test_replies(heard, said, right):
    assert (harness.compare_replies(heard, said) is None) == right


@pytest.mark.parametrize("gate, server, died, right", [
    ((1, 2), (1, 2), False, True), ((1, 2), (1, 1), False, False), ((0, 1), (1, 1), False, False), ((2, 1), (1, 1), False, False),
    ((1, 1), (2, 1), True, True), ((2, 1), (1, 1), True, False),
])
def test_counts(gate, server, died, right):
    entry = {"messages": gate[0], "recipients": gate[1], "tls": False}
    assert (harness.compare_counts(entry, *server, died) is None) == right


SERVED = """\
Nov 28 21:46:00 mx postfix/smtpd[66]: connect from unknown[127.1.11.86]
Nov 28 21:46:00 mx postfix/smtpd[68]: connect from unknown[127.1.11.85]
Nov 28 21:46:00 mx postfix/smtpd[66]: disconnect from unknown[127.1.11.86] ehlo=1 mail=1 rcpt=1 bdat=0/2 commands=3/5
Nov 28 21:46:00 mx postfix/smtpd[66]: connect from unknown[127.1.11.87]
Nov 28 21:46:00 mx postfix/smtpd[66]: NOQUEUE: info: RCPT from unknown[127.1.11.87]: recipient; from=<a@c.example> to=<r2@mx.example>
"""
KILLED = "Nov 28 21:46:00 mx postfix/master[36]: warning: process /usr/lib/postfix/sbin/smtpd pid 66 killed by signal 11\n"


@pytest.mark.parametrize("log, dead", [(SERVED, set()), (SERVED + KILLED, {"127.1.11.87"}),
                                       (SERVED + KILLED.replace("smtpd pid", "cleanup pid"), set()),
                                       (SERVED + KILLED.replace("killed by signal 11", "exit status 1"), set())])
def test_a_server_that_died(lab, tmp_path, log, dead):
    """What its log does not say excuses nothing."""
    server = receivers.make(lab.internet, "postfix-no")
    (tmp_path / "log").write_text(log, encoding="ascii")
    server.lines = receivers.Lines(tmp_path / "log")
    assert server.counts()["127.1.11.87"].recipients == 1
    assert {address for address in ("127.1.11.85", "127.1.11.86", "127.1.11.87") if server.died(address)} == dead


@pytest.mark.parametrize("name", ["N", "SEED"])
@pytest.mark.parametrize("text", ["-5", "abc", "hello", "1.5", "", " 300", "+300", "0x10", "9" * 30])
def test_what_may_be_asked_for(name, text, monkeypatch):
    monkeypatch.setenv(f"DIFFERENTIAL_{name}", text)
    with pytest.raises(ValueError, match=rf"{name}=.*: allowed is a whole number from \d+ to \d+$"):
        names.number(f"DIFFERENTIAL_{name}")


@pytest.mark.parametrize("text, right", [("0", False), ("199", False), ("200", True), ("10000000", True), ("10000001", False)])
def test_how_many(text, right, monkeypatch):
    monkeypatch.setenv("DIFFERENTIAL_N", text)
    if right:
        assert names.count() == int(text)
    else:
        with pytest.raises(ValueError, match="from 200 to 10000000$"):
            names.count()


@pytest.mark.parametrize("messages, secret, right", [(3, 100, True), (4, 100, True), (5, 100, True), (6, 100, False),
                                                     (2, 100, False), (2, 600, True)])
def test_bounds(messages, secret, right):
    """A message in plain text, and two to four behind STARTTLS."""
    entry = {"messages": 1, "recipients": 1, "tls": True, "messages_least": 2, "messages_most": 4}
    assert (harness.compare_counts(entry, messages, messages, False, secret) is None) == right
