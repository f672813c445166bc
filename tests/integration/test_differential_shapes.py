"""Do the gate and real servers read the same, where nothing is left to chance? tests/differential/shapes.py"""

import re

import pytest

from tests.differential import harness, names, shapes


@pytest.fixture(name="ready", params=names.wanted(), scope="module")
def ready_fixture(lab, redis_server, request):
    with harness.running(lab, redis_server, request.param) as ready:
        yield ready


def test_short_sequences(ready):
    """Every one, and not those alone that chance brings."""
    ready.check([ready.session(pieces) for pieces in shapes.short_sequences()], "short")


def test_chunk_states(ready):
    """No server executes what the gate takes for a chunk's octets, whatever was said before."""
    ready.check([ready.session(pieces) for pieces in shapes.chunk_states()], "chunks")
    counted = [entry["messages"] for entry in ready.known.values()]
    assert ready.name in ("aiosmtpd", "opensmtpd") or counted.count(1) > 20, "no server had CHUNKING"


def test_late_answers(ready):
    ready.check([ready.session(pieces) for pieces in shapes.late_answers()], "late")
    begun = sum("\r\n353 " in "".join(data for side, data in ready.relay.known[client] if side == "S") for client in ready.known)
    assert ready.name != "exim" or begun >= 16, "Exim has hardly begun PRDR"


def test_oddities(ready):
    """Each odd spelling of MAIL and RCPT: is it counted if, and only if, the server takes it?"""
    ready.check([ready.session(pieces) for pieces in shapes.oddities()], "odd")
    counted = [entry["recipients"] for entry in ready.known.values()]
    assert counted.count(0) > 20 and len(counted) - counted.count(0) > 60, "these spellings tell nothing"


def test_starttls(ready):
    """Real TLS. What is said in plain text behind STARTTLS reaches no server; aiosmtpd never ends a session with
    TLS within TLS, which is a fault of its own and not the gate's."""
    sessions = [ready.session(pieces) for pieces in shapes.handshakes()]
    ready.check(sessions, "starttls")
    entries = [ready.known[session.client] for session in sessions]
    assert sum(entry["tls"] for entry in entries) > 8, "TLS was hardly begun"
    agreed = 0
    for session, entry in zip(sessions, entries):
        if any(piece.lower().startswith(b"starttls") and piece.count(b"\n") > 1 for piece in session.pieces):
            said = "".join(data for side, data in ready.relay.known[session.client] if side == "S")
            readies = len(re.findall("^220 ", said, re.MULTILINE)) - 1  # besides the greeting
            agreed += readies > 0
            assert not entry["tls"]
            assert entry["rule"] == "starttls" or readies <= 0, f"an injection was not refused: {session.pieces} {entry}"
    assert agreed > 0, "no server was ready for TLS with an injection behind it"
    assert sum(ready.server.counts()[session.logged].messages for session in sessions) > 4, "nothing was said within TLS"
