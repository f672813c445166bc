"""The files of tests/transcripts, through the real daemon."""

import pytest

from tests.integration import transcript
from tests.lab.servers import Gate, Redis

ONLINE = transcript.load(lambda t: t.settings.get("only") != "dialog" and "store" not in t.settings)
OFFLINE = transcript.load(lambda t: t.settings.get("only") != "dialog" and "store" in t.settings)


def client_of(index, family, bytewise):
    low = 2 * index + bytewise
    return f"10.20.9.{low + 1}" if family == 4 else f"2001:db8:20:{(low + 1) << 8:x}::7"


def server_of(index, family):
    return f"198.51.100.{100 + index}" if family == 4 else f"2001:db8:ffff::{100 + index:x}"


def class_name(index):
    return f"transcript{index}"


def unit(address):
    return address if "." in address else address.replace("::7", "::/56")


@pytest.fixture(scope="module")
def gate(lab):
    with Redis(lab["gate1"]) as redis:
        classes = {}
        for index, played in enumerate(ONLINE):
            classes[f"class {class_name(index)}"] = played.class_options()
            for family in (4, 6):
                for bytewise in (False, True):
                    redis.cli("hset", "g25:standings", unit(client_of(index, family, bytewise)),
                              f"{class_name(index)} 0")
        with Gate(lab, redis, {"class ordinary": {"sessions": ["100/1s"]}, **classes}) as running:
            yield running


def play(lab, played, index, family, bytewise):
    address = server_of(index, family)
    listener = None
    if played.settings.get("server") != "refused":
        listener = lab.internet.listen(address)
        listener.settimeout(10)
    client = lab.subscribers.connect(address, client_of(index, family, bytewise))

    def accept():
        connection, peer = listener.accept()
        assert peer[0] == client.getsockname()[0], "the server sees the subscriber's own address"
        return connection

    player = transcript.Player(played, client, accept, bytewise)
    try:
        player.play()
    finally:
        player.close()
        if listener:
            listener.close()


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("bytewise", [False, True], ids=["whole", "bytewise"])
@pytest.mark.parametrize("index", range(len(ONLINE)), ids=[t.name for t in ONLINE])
def test_transcript(lab, gate, index, bytewise, family):
    assert gate.alive()
    play(lab, ONLINE[index], index, family, bytewise)


@pytest.mark.parametrize("index", range(len(OFFLINE)), ids=[t.name for t in OFFLINE])
def test_transcript_without_redis(lab, index):
    played = OFFLINE[index]
    when_down = played.settings["store"].split()[1]
    overrides = {"redis": {"when-down": when_down}, "class ordinary": played.class_options()}
    with Gate(lab, "unix:/run/gate25-lab/no-redis.sock", overrides):
        for family in (4, 6):
            play(lab, played, 100 + index, family, bytewise=False)
