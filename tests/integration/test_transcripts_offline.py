"""The files of tests/transcripts that want Redis away, through the real daemon."""

import pytest

from tests.integration import transcript
from tests.lab.servers import Gate

OFFLINE = transcript.load(lambda t: t.settings.get("only") != "dialog" and "store" in t.settings)


@pytest.mark.parametrize("index", range(len(OFFLINE)), ids=[t.name for t in OFFLINE])
def test_transcript_without_redis(lab, index):
    played = OFFLINE[index]
    when_down = played.settings["store"].split()[1]
    overrides = {"redis": {"when-down": when_down}, "class ordinary": played.class_options()}
    with Gate(lab, "unix:/run/gate25-lab/no-redis.sock", overrides):
        for family in (4, 6):
            transcript.play(lab, played, 100 + index, family, bytewise=False)
