"""The differential test itself: does it find what it is there to find?"""

import pytest

from tests.differential import harness
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


OWN = b"421 4.4.2 10.20.0.1 timeout; see https://mail.isp.example/ (case 0000000000)\r\n"


@pytest.mark.parametrize("heard, said, right", [
    (b"220 a\r\n250 b\r\n", b"220 a\r\n250 b\r\n", True), (b"220 a\r\n", b"220 a\r\n250 b\r\n", True),
    (b"220 a\r\n" + OWN, b"220 a\r\n", True), (b"220 a\r\n" + OWN, b"220 a\r\n421 lost\r\n", True), (OWN, b"", True),
    (b"220 a\r\n250 c\r\n", b"220 a\r\n250 b\r\n", False), (b"220 a\r\n250 b\r\n", b"220 a\r\n", False),
    (b"220 a\r\n" + OWN + b"250 b\r\n", b"220 a\r\n250 b\r\n", False), (b"220 a\r\n220 a\r\n", b"220 a\r\n", False),
    (b"250 " + OWN, b"", False),
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


@pytest.mark.parametrize("messages, secret, right", [(3, 100, True), (4, 100, True), (5, 100, True), (6, 100, False),
                                                     (2, 100, False), (2, 600, True)])
def test_bounds(messages, secret, right):
    """A message in plain text, and two to four behind STARTTLS."""
    entry = {"messages": 1, "recipients": 1, "tls": True, "messages_least": 2, "messages_most": 4}
    assert (harness.compare_counts(entry, messages, messages, False, secret) is None) == right
