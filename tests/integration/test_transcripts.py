"""The files of tests/transcripts, through the real daemon."""

import random

import pytest

from tests.integration import transcript
from tests.lab.servers import Gate, Redis

ELSEWHERE = {"store", "bare-lf"}  # settings of a whole gate: test_transcripts_offline.py, ..._refuse.py
ONLINE = transcript.load(lambda t: t.settings.get("only") != "dialog" and not ELSEWHERE & set(t.settings))


def class_name(index):
    return f"transcript{index}"


def unit(address):
    return address if "." in address else address.replace("::7", f"::/{transcript.UNIT6}")


@pytest.fixture(scope="module", name="gate")
def gate_fixture(lab, submission_rules):
    del submission_rules
    with Redis(lab["gate1"]) as redis:
        classes = {}
        for index, played in enumerate(ONLINE):
            classes[f"class {class_name(index)}"] = played.class_options()
            redis.cli("hset", "g25:standings", transcript.cut_client_of(index), f"{class_name(index)} 0")
            for family in (4, 6):
                for bytewise in (False, True):
                    redis.cli("hset", "g25:standings", unit(transcript.client_of(index, family, bytewise)),
                              f"{class_name(index)} 0")
        with Gate(lab, redis, {"class ordinary": {"sessions": ["100/1s"]},
                               "subscribers": {"ipv6-unit": transcript.UNIT6},
                               "submission": {"host": "smtp.isp.example"}, **classes}) as running:
            yield running


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("bytewise", [False, True], ids=["whole", "bytewise"])
@pytest.mark.parametrize("index", range(len(ONLINE)), ids=[t.name for t in ONLINE])
def test_transcript(lab, gate, index, bytewise, family):
    assert gate.alive()
    transcript.play(lab, ONLINE[index], index, family, bytewise)


@pytest.mark.parametrize("index", range(len(ONLINE)), ids=[t.name for t in ONLINE])
def test_transcript_cut(lab, gate, index):
    """At one byte; the unit test does it at each."""
    assert gate.alive()
    transcript.play_cut(lab, ONLINE[index], index, random.Random(ONLINE[index].name))
