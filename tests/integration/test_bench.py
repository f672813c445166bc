"""`make bench` with tiny numbers: is each figure there, and can it be one? Never how large it is."""

import json
import xml.etree.ElementTree as ElementTree

import pytest

from tests.bench import __main__ as whole
from tests.bench import arms, goals, idle, instructions, report, run, workloads
from tests.bench.options import PARTS, Options
from tests.bench.tools import Sinks
from tests.integration.wire import Client

TINY = {"PAIRS": "1", "SECONDS": "0.3", "SCALE": "0.01"}
# What callgrind runs is gate25 as it is built for use: it cannot run a build that has sanitizers, nor itself.
SMOKE = tuple(part for part in PARTS if part != "instructions")
FAMILIES = [pytest.param("10.20.16.7", "198.51.100.10", id="ipv4"),
            pytest.param("2001:db8:20:700::1", "2001:db8:ffff::10", id="ipv6")]


@pytest.fixture(scope="module", name="bench")
def bench_fixture():
    """The lab with all arms; `lab`, the fixture of others, is not used here: there is one lab a sandbox."""
    with arms.Bench() as bench:
        yield bench


@pytest.fixture(scope="module", name="sinks")
def sinks_fixture(bench):
    with Sinks(bench.lab.internet, [*arms.SINK, "2001:db8:ffff::10"], 2) as sinks:
        yield sinks


@pytest.fixture(scope="module", name="result")
def result_fixture(bench, sinks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whole, "FOLDER", folder)
        options = Options({**TINY, "PARTS": " ".join(SMOKE)})
        result = whole.measure(options, bench, sinks)
        result["goals"] = goals.judge(result)
    kept = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert kept["pairs"] == json.loads(json.dumps(result["pairs"]))
    # Of samples that are not counted, on a machine that stood still, nothing is drawn: test_bench_statistics has it.
    if any(figure for figures in result["growth"]["arms"].values() for figure in figures):
        ElementTree.fromstring((folder / "growth.svg").read_text(encoding="utf-8"))
    return result


@pytest.mark.parametrize("source, server", FAMILIES)
@pytest.mark.parametrize("name", [name for name in arms.ALL if name != "denied"])
def test_each_arm_leads_to_the_server_and_through_itself_alone(bench, sinks, name, source, server):
    bench.serve(name)
    with Client(bench.lab, source, server) as client:
        client.greet()
        held = bench.lab.gate.run("ss", "-Htn", "state", "established", "( sport = :25 or dport = :25 )").stdout
        # By plain routing, and for a registered line by the kernel's bypass, no socket of the gate's host is in it.
        routed = name == "direct" or (name.startswith("bypass") and ":" not in source)
        assert (held.strip() == "") is routed, held
    assert sinks.pids()


def test_every_part_is_there_with_its_conditions(result):
    assert {"same", *SMOKE} <= set(result)
    assert result["conditions"]["cores"] >= 1 and "2.6" in result["conditions"]["haproxy"]
    assert set(result["conditions"]["settings"]) == set(arms.ALL)
    assert "option splice-auto" in result["conditions"]["settings"]["haproxy"]["haproxy"]
    assert set(result["conditions"]["seconds"]) == {"same", *SMOKE}


def test_samples_are_of_every_arm_and_workload_and_nothing_failed_in_them(result):
    samples = run.samples(result)
    assert {one["arm"] for one in samples} == set(arms.ALL)
    assert {one["workload"] for one in samples} == set(workloads.ALL)
    for one in samples:
        assert not one["load"]["failed"], one
        assert workloads.ALL[one["workload"]].refused or not one["load"]["refused"], one
        if "rate" in one:
            assert one["rate"] > 0 and one["machine_us"] > 0 and one["load_us"] > 0
            assert one["cpu_us"] > 0 or one["arm"] == "direct" or one["arm"].startswith("bypass")
            assert one["cpu_us"] == 0 or one["arm"] != "direct"
    assert any("rate" in one for one in samples)


def test_system_calls_are_counted_and_named(result):
    assert set(result["calls"]) == {"haproxy", "pass", "meter", "bypass", "denied"} & set(arms.ALL)
    for name in ("haproxy", "pass", "meter", "denied"):
        found = result["calls"][name]
        assert found["method"] in ("tracepoints", "strace") and found["loaded_total"] > 5
        assert 0 < found["machine"]["busy"] < 1.2 and found["machine"]["load_average"] >= 0
        assert found["alone"]["one"]["accept4"] >= 1
        assert found["alone"]["one_total"] == pytest.approx(sum(found["alone"]["one"].values()))
    # What a session alone has to make, whoever carries it: a socket to the server, and each reply to the client.
    assert result["calls"]["meter"]["alone"]["one"]["connect"] == pytest.approx(1, abs=0.2)
    assert result["calls"]["meter"]["alone"]["further_total"] > 8
    assert "further_total" not in result["calls"]["denied"]["alone"]


def test_idle_connections_take_memory(result):
    for name in ("haproxy", "pass", "meter"):
        assert result["idle"][name]["connections"] == 40
        for what in ("resident", "proportional", "private"):
            assert -100_000 < result["idle"][name][what] < 1_000_000
    assert result["idle"]["direct"]["resident"] == 0
    assert result["idle"]["haproxy"]["redis"] == result["idle"]["direct"]["redis"] == 0


def test_what_redis_keeps_of_sessions_that_are_held_is_counted(bench, sinks):
    """So many that its clients' buffers, which come and go, do not matter: a slot and meters for each."""
    assert sinks.pids()
    bench.serve("meter")
    arm = bench.arms["meter"]
    with idle.holding(bench, arm, 200):
        before = idle.redis_memory(arm)
        with idle.holding(bench, arm, 1500) as held:
            assert 50 < (idle.redis_memory(arm) - before) / held < 10_000


def test_latency_is_of_every_arm_but_the_denied(result):
    assert result["latency"]["rate"] >= 1
    assert {one["arm"] for one in result["latency"]["samples"]} == set(arms.ALL) - {"denied"}
    for name in result["latency"]["arms"]:
        assert 0 < result["latency"]["arms"][name]["p50"]["median"] <= result["latency"]["arms"][name]["p99"]["median"]


def test_the_lookup_finds_half(result):
    found = result["lookup"]
    assert found["standings"] == 10_000 and 0 < found["one_ns"]["p50"] <= found["one_ns"]["p99"]
    assert 0 < found["prefetched_ns"]["p50"] <= found["prefetched_ns"]["p99"] and found["prefetch_ns"] >= 0
    assert found["bytes"] > 10_000 * 24
    assert 0.45 < found["found"] / found["lookups"] < 0.55


def test_it_can_be_printed(result):
    text = report.whole(result, run.samples(result))
    for words in ("meter/small : haproxy/small", "CPU a session", "a hop in us", "bytes an idle connection",
                  "each further mail", "smtp-source", "open at once", "goal"):
        assert words in text


def test_instructions_are_repeatable(bench, sinks):
    assert sinks.pids()
    found = instructions.run(bench, ["haproxy"], workloads.SMALL, 20, lambda _: None)["haproxy"]
    assert 1000 < found["a_session"] < 10_000_000
    assert found["totals"] == sorted(found["totals"])
