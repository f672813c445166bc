"""What the bench makes of its samples: ratios, their intervals, what is not counted, goals, tables, the plot."""

import json
import random
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from tests.bench import __main__ as whole
from tests.bench import (arms, goals, growth, latency, options, pairs, parts, plot, ratios, report, run, sample,
                         workloads)
from tests.lab import sandbox

SMALL, FLOOD = workloads.SMALL, workloads.ALL["flood"]
HALF_WIDTH = 0.15  # of the intervals below; wide enough for any seed, far from those of the wrong arms


def near(value, noise, count, seed):
    chance = random.Random(seed)
    return [value * chance.gauss(1, noise) for _ in range(count)]


# -- ratios -----------------------------------------------------------------------------------------

def test_the_median_of_ratios_is_that_of_the_pairs_and_not_of_all_together():
    ratio = ratios.paired([(10, 10), (200, 100), (3000, 1000)])
    assert ratio["median_of_ratios"] == 2
    assert ratio["ratio_of_medians"] == 2
    assert ratio["pairs"] == 3
    assert ratios.paired([(1, 2), (90, 100), (5, 1)])["ratio_of_medians"] == 2.5


def test_a_slow_moment_that_both_of_a_pair_have_does_not_show():
    """That is what pairs are for: the machine is twice as slow now and then."""
    chance = random.Random(3)
    pairs_taken = [(80 * slow, 100 * slow) for slow in (chance.choice((1, 2)) for _ in range(15))]
    assert ratios.paired(pairs_taken)["interval"] == pytest.approx([0.8, 0.8])


@pytest.mark.parametrize("truth", [0.8, 1.0, 1.3])
def test_the_interval_holds_the_true_ratio(truth):
    held = 0
    for seed in range(40):
        found = ratios.paired(list(zip(near(100 * truth, 0.04, 12, seed), near(100, 0.04, 12, seed + 1000))))
        low, high = found["interval"]
        assert low <= found["median_of_ratios"] <= high
        assert high - low < 2 * HALF_WIDTH
        held += low <= truth <= high
    assert held >= 34  # 95 of 100 are promised


def test_more_pairs_make_the_interval_narrower():
    few, many = (ratios.paired(list(zip(near(1, 0.05, count, 1), near(1, 0.05, count, 2)))) for count in (8, 200))
    assert many["interval"][1] - many["interval"][0] < (few["interval"][1] - few["interval"][0]) / 2


def test_the_interval_is_the_same_each_time():
    values = near(5, 0.1, 9, 1)
    assert ratios.median(values) == ratios.median(values)


def test_fewer_than_six_have_no_interval_but_a_least_and_a_greatest():
    few = ratios.paired([(90, 100), (80, 100), (10, 10), (200, 100), (70, 100)])
    assert few["interval"] == [0.7, 2] and few["medians_interval"] == [0.7, 2] and not few["confident"]
    assert report.ratio_words(few) == "0.900 (0.700 to 2.000)"
    assert ratios.median([7.0]) == {"median": 7.0, "interval": [7.0, 7.0], "count": 1, "confident": False}
    assert report.median_words(ratios.median([7.0, 9.0])) == "8 (7 to 9)"
    many = ratios.paired([(8, 10)] * 6)
    assert many["confident"] and report.ratio_words(many) == "0.800 [0.800, 0.800]"
    row, = (row for row in goals.judge({"pairs": {"ratios": {"meter/small : haproxy/small": {"cpu_us": few}}}})
            if row["value"] is not None)
    assert "0.80 (0.70 to 2.00)" in report.goals_table([row])
    assert options.Options({}, quick=True).pairs >= ratios.CONFIDENT


def test_a_thing_agrees_with_itself_within_two_percent_alone():
    for median, interval, agrees in ((1.0, [0.99, 1.01], True), (1.019, [0.99, 1.03], True),
                                     (1.03, [0.99, 1.06], False), (1.015, [1.01, 1.02], False),
                                     (1.0, [0.951, 1.049], True), (1.0, [0.94, 1.05], False)):
        assert ratios.agrees({"median_of_ratios": median, "interval": interval}, 0.02, 0.05) is agrees


def test_what_is_noise_alone_does_not_agree_with_itself():
    noise = ratios.paired([(a, 1) for a in (0.55, 0.7, 0.8, 1.0, 1.01, 1.4, 1.5, 1.9)])
    assert abs(noise["median_of_ratios"] - 1) <= run.SAME_WITHIN
    assert not ratios.agrees(noise, run.SAME_WITHIN, run.SAME_SURE)


# -- samples ----------------------------------------------------------------------------------------

def done(**changes):
    return {"sessions": 1000, "messages": 1000, "seconds": 2.0, "refused": {}, "failed": {}, "missed": 0, "open": 20,
            "silent": 0, **changes}


def used(**changes):
    return {"at": 2.0, "own": 0.4, "redis": 0.1, "sink": 0.2, "load": 0.2, "machine": 1.0, "stolen": 0.0,
            "commands": 4000, "functions": 2000, **changes}


def test_costs_are_those_of_a_session():
    found = sample.figures(done(), used(), SMALL)
    assert found["rate"] == 500
    assert found["cpu_us"] == pytest.approx(400) and found["redis_us"] == pytest.approx(100)
    assert found["machine_us"] == pytest.approx(1000) and found["others_us"] == pytest.approx(100)
    assert found["redis_commands"] == pytest.approx(4) and found["redis_functions"] == pytest.approx(2)
    assert found["sink_alone_rate"] == pytest.approx(5000)
    assert found["wrong"] == []


def test_counters_that_were_read_late_do_not_make_a_session_dearer():
    late = sample.figures(done(), used(at=2.2, own=0.44), SMALL)
    assert late["cpu_us"] == pytest.approx(400)


@pytest.mark.parametrize("changes, words", [
    ({"failed": {"mail ECONNRESET": 2}}, "2 mail ECONNRESET"),
    ({"refused": {"banner 421": 1}}, "1 refused at banner 421"),
    ({"silent": 3}, "3 of 20 sessions hung at the end"),
    ({"missed": 30}, "30 sessions could not begin when it was time"),
    ({"sessions": 0}, "no session was completed"),
])
def test_a_sample_in_which_something_went_wrong_says_what(changes, words):
    assert words in sample.figures(done(**changes), used(), SMALL)["wrong"]


def test_a_packet_that_is_lost_does_not_spoil_a_sample():
    assert sample.figures(done(silent=2), used(), SMALL)["wrong"] == []


def test_a_sample_does_not_count_where_the_sinks_are_hardly_faster():
    assert sample.figures(done(), used(sink=1.1), SMALL)["wrong"] == ["the sinks alone manage 909 sessions/s only"]
    assert sample.figures(done(), used(sink=1.1), SMALL, sinks=2)["wrong"] == []


def test_a_flood_counts_its_refusals_and_no_mail_may_come_through():
    flood = sample.figures(done(messages=0, refused={"banner 450": 800, "mail 450": 200}), used(), FLOOD)
    assert flood["rate"] == 500 and flood["wrong"] == []
    assert sample.figures(done(messages=3, refused={"banner 450": 997}), used(), FLOOD)["wrong"] == [
        "3 messages let through"]


# -- comparisons ------------------------------------------------------------------------------------

class Taken:
    """In place of sample.take(): an arm costs what its name says, in the order in which it was asked."""

    def __init__(self, costs, wrong=()):
        self.costs, self.wrong, self.order, self.paces = costs, wrong, [], []

    def __call__(self, _bench, _sinks, arm, workload, seconds, warmup, concurrent=None, rate=0, pause=0):
        self.paces.append((seconds, warmup, concurrent, rate, pause))
        self.order.append(arm)
        at = len(self.order)
        return {"arm": arm, "workload": workload.name, "concurrent": concurrent, "cpu_us": self.costs[arm] * 1.0,
                "rate": 1000.0, "machine_us": 1.0, "sink_alone_rate": None,
                "wrong": ["a fault"] if at in self.wrong else []}


def compared(monkeypatch, taken, count=20):
    monkeypatch.setattr(sample, "take", taken)
    haproxy = pairs.Cell("haproxy", SMALL)
    comparisons = [pairs.Comparison(pairs.Cell(name, SMALL), haproxy, count) for name in ("pass", "meter")]
    found = pairs.run(comparisons, None, None, 2, 0.5, 1, lambda *_: None)
    assert set(taken.paces) == {(2, 0.5, 0, 0, 0)}
    return found


def test_pairs_are_interleaved_and_in_random_order(monkeypatch):
    taken = Taken({"haproxy": 100, "pass": 80, "meter": 90})
    found = compared(monkeypatch, taken)
    assert found["ratios"]["pass/small : haproxy/small"]["cpu_us"]["median_of_ratios"] == 0.8
    assert found["ratios"]["meter/small : haproxy/small"]["cpu_us"]["interval"] == [0.9, 0.9]
    assert found["ratios"]["meter/small : haproxy/small"]["cpu_us"]["pairs"] == 20
    assert found["medians"]["haproxy/small"]["cpu_us"]["count"] == 40
    both = [tuple(taken.order[at:at + 2]) for at in range(0, len(taken.order), 2)]
    assert len(both) == 40 and {frozenset(pair) for pair in both} == {
        frozenset(("pass", "haproxy")), frozenset(("meter", "haproxy"))}
    assert len(set(both)) == 4  # each pair in both orders
    kinds = ["pass" in pair for pair in both]
    assert kinds != sorted(kinds) and kinds != sorted(kinds, reverse=True)
    assert len(found["samples"]) == 80 and json.loads(json.dumps(found))["samples"][0]["pair"] == 1


def test_a_pair_with_a_wrong_sample_counts_for_nothing(monkeypatch):
    found = compared(monkeypatch, Taken({"haproxy": 100, "pass": 80, "meter": 90}, wrong={1, 2, 3}))
    assert sum(ratio["cpu_us"]["pairs"] for ratio in found["ratios"].values()) == 38
    assert sum(figures["cpu_us"]["count"] for figures in found["medians"].values()) == 77
    assert sum(good for good, _ in found["good"].values()) == 38
    assert "not counted: " in report.wrong_list(found["samples"])


@pytest.mark.parametrize("good, planned, verdict", [
    (1, 1, True), (4, 4, True), (5, 5, True), (5, 6, True), (10, 12, True), (16, 20, True),
    (0, 0, False), (0, 1, False), (3, 4, False), (4, 5, False), (1, 4, False), (9, 12, False), (15, 20, False)])
def test_a_verdict_needs_most_of_the_pairs_that_were_asked_for(good, planned, verdict):
    assert ratios.enough(good, planned) is verdict


def test_what_is_left_of_many_failures_has_no_verdict_and_the_run_is_invalid(monkeypatch):
    """All samples but those of three pairs are wrong: what these say must not reach a goal."""
    found = compared(monkeypatch, Taken({"haproxy": 100, "pass": 80, "meter": 90}, wrong=set(range(7, 81))))
    assert sum(good for good, _ in found["good"].values()) == 3
    assert set(map(str, found["ratios"].values())) == {"{}"} and found["medians"] == {}
    result = {"pairs": found, "same": {"agrees": True}}
    assert {row["reached"] for row in goals.judge(result)} == {None}
    name = "meter/small : haproxy/small"
    good = found["good"][name][0]
    assert any(f"{name}: {good} of 20 good" in why for why in whole.invalid(result, options.Options({})))
    assert f"{good} of 20" in report.ratios_table(found["ratios"], found["good"])
    fine = compared(monkeypatch, Taken({"haproxy": 100, "pass": 80, "meter": 90}, wrong={1}))
    assert whole.invalid({"pairs": fine, "same": {"agrees": True}}, options.Options({})) == []
    assert whole.invalid({"pairs": fine, "same": {"agrees": False}}, options.Options({})) != []


# -- goals, tables, the plot ------------------------------------------------------------------------

def a_ratio(value):
    return {"median_of_ratios": value, "interval": [value - 0.01, value + 0.01], "ratio_of_medians": value,
            "medians_interval": [value - 0.01, value + 0.01], "pairs": 8, "confident": True}


def test_a_goal_is_reached_missed_or_not_measured():
    result = {"pairs": {"ratios": {"meter/small : haproxy/small": {"cpu_us": a_ratio(0.95), "rate": a_ratio(0.99)}},
                        "medians": {}}}
    rows = {row["goal"]: row for row in goals.judge(result)}
    assert rows["meter, CPU a session against HAProxy, Redis apart"]["reached"] is True
    assert rows["meter, sessions/s against HAProxy"]["reached"] is False
    assert rows["meter, sessions/s against HAProxy"]["interval"] == [0.98, 1.0]
    assert rows["bypass, sessions/s against direct"]["reached"] is None
    lines = report.goals_table(goals.judge(result)).splitlines()
    assert len(lines) == len(goals.GOALS) + 2
    assert sum("not measured" in line for line in lines) == len(goals.GOALS) - 2
    assert sum(line.endswith("  NOT reached, not surely") for line in lines) == 1


@pytest.mark.parametrize("value, interval, at_least, words", [
    (0.80, [0.70, 0.94], False, "reached"), (0.80, [0.70, 0.96], False, "reached, not surely"),
    (0.99, [0.96, 1.10], False, "NOT reached"), (0.99, [0.80, 1.10], False, "NOT reached, not surely"),
    (1.10, [0.96, 1.20], True, "reached"), (1.10, [0.90, 1.20], True, "reached, not surely"),
    (0.90, [0.80, 0.94], True, "NOT reached"), (0.95, [0.95, 0.95], True, "reached, not surely"),
    (0.80, None, False, "reached"), (0.95, None, False, "reached"), (0.99, None, False, "NOT reached"),
])
def test_a_verdict_is_sure_where_the_interval_lies_on_one_side_of_the_limit(value, interval, at_least, words):
    goal = goals.Goal("a goal", 0.95, lambda _: (value, interval, True), at_least=at_least)
    row = json.loads(json.dumps(goal.judge({})))
    assert row["reached"] is words.startswith("reached") and row["sure"] is not words.endswith("surely")
    assert report.goals_table([row]).splitlines()[-1].endswith(f"  {words}")


def test_the_verdicts_of_an_invalid_run_are_hints_and_that_is_said_before_them():
    result = {"options": vars(options.Options({})), "goals": goals.judge({})}
    for why, said in (([], False), (["too noisy"], True)):
        text = report.whole({**result, "invalid": why}, [])
        assert ("INVALID" in text) is said
        assert not said or text.index("INVALID") < text.index("goal  ")
        assert "not measured: its part, or an arm" in text


def test_system_calls_are_judged_under_load_and_those_alone_stand_beside():
    calls = {"meter": {"loaded_total": 55.2, "loaded_further": 25.0, "method": "tracepoints",
                       "machine": {"busy": 0.97, "load_average": 13.8},
                       "alone": {"one": {}, "one_total": 73.2, "further_total": 27.0}}}
    rows = [row for row in goals.judge({"calls": calls}) if row["value"] is not None]
    assert [(row["reached"], row["beside"]) for row in rows] == [(True, ["alone", 73.2]), (False, ["alone", 27.0])]
    assert all("under load" in row["goal"] for row in rows)
    assert "55.2; alone 73.2" in report.goals_table(rows)
    assert "97%" in report.calls_table(calls) and "13.8" in report.calls_table(calls)


def test_fewer_standings_say_nothing_of_a_million():
    words = "a million standings, memory"
    found = {"standings": 999_999, "bytes": 67_000_000, "one_ns": {"p99": 100}}
    assert {row["goal"]: row["reached"] for row in goals.judge({"lookup": found})}[words] is None
    found["standings"] = 1_000_000
    assert {row["goal"]: row["reached"] for row in goals.judge({"lookup": found})}[words] is True


def test_a_lookup_pays_for_what_was_asked_for_before_it():
    found = {"standings": 1_000_000, "bytes": 1, "one_ns": {"p99": 380}, "prefetched_ns": {"p99": 170}}
    for prefetch_ns, reached in ((30, True), (31, False)):
        row, = [row for row in goals.judge({"lookup": {**found, "prefetch_ns": prefetch_ns}}) if "p99" in row["goal"]
                and row["value"] is not None]
        assert (row["value"], row["reached"], row["beside"]) == (170 + prefetch_ns, reached, ["not prefetched", 380])


def test_what_a_hop_adds_is_taken_round_by_round():
    rounds = [{"direct": {"p50": 30.0, "p99": 100.0}, "haproxy": {"p50": 60.0, "p99": 200.0},
               "meter": {"p50": 50.0 + more, "p99": 150.0}} for more in (0, 2, 4)]
    rounds += [rounds[1], rounds[1], {"meter": {"p50": 1.0, "p99": 1.0}}]
    found = latency.summary(rounds, ["direct", "haproxy", "meter"])
    assert found["added"]["meter"]["p50"]["median"] == 22 and found["added"]["haproxy"]["p99"]["median"] == 100
    assert found["ratios"]["meter"]["p99"]["median_of_ratios"] == 0.75
    assert "direct" not in found["added"] and "haproxy" not in found["ratios"]
    assert found["good"] == {"direct, latency": [5, 6], "haproxy, latency": [5, 6], "meter, latency": [6, 6]}
    few = latency.summary([*rounds, {"meter": {"p50": 1.0, "p99": 1.0}}], ["direct", "haproxy", "meter"])
    assert set(few["arms"]) == {"meter"} and few["added"] == few["ratios"] == {}


def test_growth_keeps_the_rate_and_lets_sessions_last(monkeypatch):
    """So many are open as begin in the time that a session lasts, which is what its six pauses take."""
    taken = Taken({"meter": 100})
    monkeypatch.setattr(sample, "take", taken)
    found = growth.run(None, None, ["meter"], 1000, options.Options({"PAIRS": "3"}), lambda *_: None)
    assert found["steps"] == [100, 1000, 9000] and found["good"] == {
        "meter/small x1000 : meter/small x100": [1, 1], "meter/small x9000 : meter/small x100": [1, 1]}
    for seconds, warmup, many, rate, pause in taken.paces:
        assert rate == 1000 and pause * 6 * rate == pytest.approx(many)
        assert seconds == 3 and warmup >= many / rate


def test_growth_is_plotted_with_a_line_an_arm():
    def figure(value):
        return {"median": value, "interval": [value - 5, value + 5], "count": 8, "confident": True}

    found = {"steps": [100, 1000, 9000], "arms": {"haproxy": [figure(160), figure(165), figure(180)],
                                                  "meter": [figure(150), None, figure(155)], "pass": [None] * 3},
             "ratios": {"meter/small x9000 : meter/small x100": {"cpu_us": a_ratio(1.03)}}}
    drawn = ElementTree.fromstring(plot.growth(found))
    lines = [element for element in drawn.iter() if element.tag.endswith("polyline")]
    assert len(lines) == 2 and len(lines[0].get("points").split()) == 3 and len(lines[1].get("points").split()) == 2
    names = {element.text for element in drawn.iter() if element.tag.endswith("text")}
    assert {"haproxy", "meter", "100", "1,000", "9,000"} <= names and "pass" not in names
    assert growth.ratio(found, "meter")["ratio_of_medians"] == 1.03 and growth.ratio(found, "pass") is None
    assert plot.growth({"steps": [100], "arms": {"pass": [None]}}) is None


# -- options ----------------------------------------------------------------------------------------

def test_options_are_read_and_what_is_allowed_is_said():
    chosen = options.Options({"ARMS": "meter, haproxy", "PAIRS": "7", "SECONDS": "0.5", "PARTS": "growth pairs"})
    assert chosen.arms == ("haproxy", "meter") and chosen.parts == ("pairs", "growth")
    assert (chosen.pairs, chosen.seconds, chosen.warmup) == (7, 0.5, 0.5)
    assert options.Options({}).parts == options.PARTS and options.Options({}, quick=True).parts == ("pairs",)
    assert options.Options({"SEED": "0"}).seed == 0


def test_the_readme_has_each_option_with_all_that_it_may_be():
    readme = (sandbox.PROJECT / "README.md").read_text(encoding="utf-8")
    rows = {line.split("|")[1].strip(" `"): line for line in readme.splitlines() if line.startswith("| `")}
    for name in ("ARMS", "WORKLOADS", "PARTS", "PAIRS", "SECONDS", "SEED", "SCALE"):
        assert name in rows
    for name, words in (("PARTS", options.PARTS), ("WORKLOADS", workloads.ALL)):
        assert all(f"`{word}`" in rows[name] for word in words)
    assert all(f"`{part}`" in rows["ARMS"] for part in options.TIMED)
    assert set(arms.ALL) <= set(rows)


@pytest.mark.parametrize("name, value, words", [
    ("ARMS", "nginx", "allowed are direct haproxy"), ("ARMS", ",", "allowed are direct haproxy"),
    ("PARTS", "all", "allowed are idle"), ("PARTS", ",", 'PARTS is "," and names nothing'),
    ("WORKLOADS", " , ", "allowed are small"),
    *(("PAIRS", value, "a whole number from 1 to") for value in ("0", "-1", "2.5", "nan", "inf", "many")),
    *(("SEED", value, "a whole number from 0 to") for value in ("-1", "0.5", "nan")),
    *(("SECONDS", value, "a number from 0.1 to") for value in ("soon", "nan", "inf", "-inf", "0", "0.0001")),
    *(("SCALE", value, "a number from 0.001 to") for value in ("nan", "inf", "0", "4.5", "1e9")),
])
def test_an_option_that_cannot_be_says_what_is_allowed(name, value, words):
    with pytest.raises(SystemExit) as ended:
        options.Options({name: value})
    assert words in str(ended.value)


def test_one_bench_at_a_time_has_the_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(whole, "FOLDER", tmp_path / "build" / "bench")
    with whole.alone():
        with pytest.raises(SystemExit) as ended, whole.alone():
            pass
        assert "another bench is running" in str(ended.value)
    with whole.alone():
        whole.keep({"options": {}})
    with whole.alone():
        pass
    assert json.loads((tmp_path / "build" / "bench" / "result.json").read_text(encoding="utf-8")) == {"options": {}}


@pytest.mark.parametrize("kept, words", [([], "nothing is kept"), (["same", "pairs"], "same pairs is kept")])
def test_ctrl_c_ends_it_with_one_line_that_says_what_is_kept(kept, words):
    code = ("import os, signal; from tests.bench import __main__ as whole; "
            f"whole.Options = lambda **_: os.kill(os.getpid(), signal.SIGINT); whole.kept += {kept}; whole.main()")
    done = subprocess.run([sys.executable, "-c", code], cwd=sandbox.PROJECT, capture_output=True, text=True, timeout=30,
                          check=False)
    assert (done.returncode, done.stderr) == (130, "")
    assert done.stdout.strip() == f"interrupted: of this run {words}"


def test_the_plot_that_lies_there_is_of_the_same_run_as_the_figures(monkeypatch, tmp_path):
    monkeypatch.setattr(whole, "FOLDER", tmp_path)
    figure = {"median": 100, "interval": [95, 105], "count": 8, "confident": True}
    drawn = {"growth": {"steps": [100, 1000], "arms": {"meter": [figure, figure]}}}
    whole.keep(drawn)
    whole.keep({**drawn, "calls": {}})
    assert "polyline" in (tmp_path / "growth.svg").read_text(encoding="utf-8")
    whole.keep({"pairs": {}})
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.parametrize("path", ["build", "build/bench", "build/bench/lock/x", "build/bench/result.json/x"])
def test_a_folder_that_takes_no_results_is_told_at_the_start(monkeypatch, tmp_path, path):
    """A file in place of a folder, or the other way round: root may write anywhere else."""
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).touch()
    monkeypatch.setattr(whole, "FOLDER", tmp_path / "build" / "bench")
    with pytest.raises(SystemExit) as ended:
        whole.main()
    assert f"cannot keep results in {tmp_path}/build/bench" in str(ended.value)


@pytest.mark.parametrize("part", sorted(options.TIMED))
def test_what_is_compared_with_haproxy_needs_haproxy(part):
    with pytest.raises(SystemExit) as ended:
        options.Options({"ARMS": "direct meter", "PARTS": f"idle {part}"})
    assert "without haproxy" in str(ended.value) and part in str(ended.value)
    assert options.Options({"ARMS": "meter", "PARTS": "idle calls lookup"}).arms == ("meter",)


@pytest.mark.parametrize("chosen, words", [
    ({"PARTS": "idle", "ARMS": "least denied"}, "ARMS least denied: idle measures none of them; it has direct haproxy"),
    ({"PARTS": "lookup instructions", "ARMS": "direct"}, "instructions measures none of them; it has haproxy pass"),
    ({"PARTS": "calls", "ARMS": "least"}, "calls measures none of them; it has haproxy pass meter"),
    ({"PARTS": "pairs", "ARMS": "haproxy bypass-nft"}, "both of two that it compares, which are pass with haproxy"),
    ({"PARTS": "workloads", "ARMS": "haproxy direct"}, "workloads needs both of two that it compares"),
    ({"PARTS": "cross-check", "ARMS": "haproxy pass"}, "which are direct with haproxy, meter with haproxy"),
    ({"PARTS": "pairs", "WORKLOADS": "large"}, "WORKLOADS large: pairs measures none of them with these arms; it has"),
    ({"PARTS": "workloads", "ARMS": "haproxy pass", "WORKLOADS": "crowd"}, "it has twenty pipelined large starttls"),
])
def test_a_part_that_would_measure_nothing_is_refused_and_says_what_it_has(chosen, words):
    with pytest.raises(SystemExit) as ended:
        options.Options(chosen)
    assert words in str(ended.value) and str(ended.value).startswith("bench: ") and "\n" not in str(ended.value)


def test_of_all_parts_those_are_meant_that_can_be_had():
    chosen = options.Options({"ARMS": "haproxy", "WORKLOADS": "pipelined"})
    assert set(options.PARTS) - set(chosen.parts) == {"pairs", "workloads", "cross-check"}
    with pytest.raises(SystemExit):
        options.Options({"ARMS": "haproxy"}, quick=True)  # whose only part is pairs


def test_an_ordinary_users_lab_has_all_parts_without_the_fast_path(monkeypatch):
    monkeypatch.setattr(arms, "ALL", tuple(name for name in arms.ALL if name != "bypass"))
    chosen = options.Options({})
    assert chosen.parts == options.PARTS and "bypass" not in chosen.arms
    assert all(parts.missing(part, chosen.arms, chosen.workloads) == [] for part in options.PARTS)
    for part in ("pairs", "calls"):
        assert "bypass " not in parts.lacks(part, ("pass",) if part == "pairs" else ("direct",), chosen.workloads)


def test_each_part_measures_what_is_wanted_of_it(monkeypatch):
    taken = Taken(dict.fromkeys(("direct", "haproxy", "least", "pass", "meter", "bypass", "bypass-nft", "denied"), 1))
    monkeypatch.setattr(sample, "take", taken)
    chosen = options.Options({"PAIRS": "3", "ARMS": "haproxy meter denied bypass-nft"})
    found = run.Run(chosen, None, None, lambda _: None)
    assert found.pairs()["good"] == {"meter/small : haproxy/small": [3, 3], "denied/flood : meter/small": [3, 3]}
    assert set(found.workloads()["good"]) == {f"meter/{name} : haproxy/{name}" for name in workloads.ALL
                                              if name not in ("small", "flood")}
    assert (found.arms("idle"), found.arms("calls")) == (["haproxy", "meter"], ["haproxy", "meter", "denied"])


def test_what_is_missing_as_an_arm_is_not_wanted_says_which():
    assert parts.missing("pairs", ("haproxy", "meter"), tuple(workloads.ALL)) == []
    assert parts.missing("pairs", ("haproxy", "pass", "bypass-nft"), tuple(workloads.ALL)) == [
        "bypass-nft is not here: pairs compares it with direct, which ARMS is without"]
    assert parts.missing("calls", ("meter",), tuple(workloads.ALL)) == []
    numbers = dict.fromkeys(("resident", "proportional", "private", "redis"), 1.0)
    kernel = {"caches": 1.0, "buffers": 1.0}
    assert "need the arm direct" in report.idle_table({"meter": {**numbers, "of_gate": {}}})
    assert "need" not in report.idle_table({"direct": {**numbers, "of_gate": kernel}})
    hops = [{"haproxy": {"p50": 1.0, "p99": 2.0}}]
    assert "needs the arm direct" in report.latency_table({"rate": 1, **latency.summary(hops, ["haproxy"])})
    assert "needs" not in report.latency_table({"rate": 1, **latency.summary(hops, ["direct", "haproxy"])})
    result = {"options": vars(options.Options({"ARMS": "haproxy meter bypass-nft"})), "goals": [],
              "pairs": {"medians": {}, "ratios": {}, "good": {}}}
    assert "bypass-nft is not here: " in report.whole(result, [])


def test_sessions_that_the_kernel_carries_are_said_to_make_no_calls():
    calls = {"bypass": {"loaded_total": 0.0, "loaded_further": 0.0, "method": "strace",
                        "machine": {"busy": 0.5, "load_average": 1.0},
                        "alone": {"one": {"read": 0.01}, "one_total": 0.01, "further_total": -0.01}}}
    assert "bypass: the kernel carries its sessions" in report.calls_table(calls)
    assert "-0.0" not in report.calls_table(calls) and report.calls_list(calls) == "bypass, one mail alone: none\n"


def test_haproxy_is_compared_with_itself_whatever_workloads_are_wanted(monkeypatch):
    monkeypatch.setattr(sample, "take", Taken({"haproxy": 100}))
    chosen = options.Options({"WORKLOADS": "pipelined", "PARTS": "workloads", "PAIRS": "1"})
    found = run.Run(chosen, None, None, lambda _: None).same()
    assert found["agrees"] and found["good"] == {"haproxy/small : haproxy/small": [ratios.CONFIDENT] * 2}
