"""gate25ctl against a real Redis and, where a verb needs one, a real gate."""

import json
import subprocess
import time

import pytest

from tests.lab import gate as lab_gate
from tests.lab import servers

# (what an operator types, the unit it stands for, another address of that unit)
SUBSCRIBERS = [
    pytest.param("10.20.0.7", "10.20.0.7", "10.20.0.7", id="ipv4"),
    pytest.param("2001:db8:20:7ff::7", "2001:db8:20:700::/56", "2001:db8:20:700::1", id="ipv6"),
]


LIMITS = {"class ordinary": {"sessions": ["30/1m"], "concurrent": 5}}
UNKNOWN = "(class unknown to the configuration: passed over)"


@pytest.fixture(name="desk")
def desk_fixture(lab, redis):
    """A gate's configuration and gate25ctl, without the gate."""
    return lab_gate.Gate(lab, redis, LIMITS)


def refused(desk, *arguments, status=1):
    """What a command that fails says on stderr, its only output."""
    result = desk.ctl(*arguments, check=False)
    assert (result.returncode, result.stdout) == (status, "")
    return result.stderr


@pytest.mark.parametrize("typed, unit, address", SUBSCRIBERS)
def test_registration_from_beginning_to_end(desk, redis, typed, unit, address):
    said = desk.ctl("register", typed, "--reason", "Büro Nord", "--note", "ticket 7", "--by", "ann@noc",
                    "--until", "30d").stdout
    assert said.startswith(f"{unit} is registered, until 20")
    until = int(redis.cli("hget", f"g25:standing:{{{unit}}}", "until"))
    assert abs(until - time.time() - 30 * 86400) < 600
    assert redis.cli("hget", "g25:standings", unit) == f"registered {until}"

    shown = desk.ctl_json("show", address)
    assert (shown["id"], shown["class"]) == (unit, "registered")
    standing = shown["standing"]
    assert (standing["by"], standing["reason"], standing["note"]) == ("ann@noc", "Büro Nord", "ticket 7")
    assert standing["until"].endswith("Z") and not standing["ended"]
    assert desk.ctl_json("list") == [
        {"id": unit, "class": "registered", "class_known": True, "until": standing["until"], "ended": False}]

    # Registered anew: no field of the first time is left.
    desk.ctl("register", typed)
    standing = desk.ctl_json("show", typed)["standing"]
    assert (standing["until"], standing["reason"], standing["note"]) == (None, None, None)
    assert standing["by"].count("@") == 1

    assert desk.ctl("unregister", typed, "--reason", "moved").stdout == f"{unit} is no longer registered\n"
    assert redis.cli("exists", f"g25:standing:{{{unit}}}", "g25:standings") == 0
    result = desk.ctl("show", typed, "--json", check=False)
    shown = json.loads(result.stdout)
    assert (result.returncode, shown["class"], shown["standing"]) == (1, "ordinary", None)
    assert [(change["verb"], change["class"], change["reason"]) for change in shown["changes"]] == [
        ("register", "registered", "Büro Nord"), ("register", "registered", None), ("unregister", None, "moved")]
    said, hint = refused(desk, "unregister", typed).splitlines()
    assert said == f"gate25ctl: {unit} has no standing"
    assert hint.endswith(f'first "register {unit}", then "unregister {unit}"')
    assert f'first "quarantine {unit}", then "release {unit}"' in refused(desk, "release", typed)


@pytest.mark.parametrize("typed, unit, address", SUBSCRIBERS)
def test_quarantine_is_ended_by_release_alone(desk, typed, unit, address):
    desk.ctl("register", typed)
    assert "use \"unregister\"" in refused(desk, "release", typed)
    assert desk.ctl("quarantine", address, "--reason", "Cutwail").stdout == (
        f"{unit} is in quarantine (was registered)\n")
    assert "release it first" in refused(desk, "register", typed)
    assert "use \"release\"" in refused(desk, "unregister", typed)
    assert desk.ctl_json("explain", address)["action"] == "refuse"
    released = desk.ctl_json("release", typed)
    assert (released["verb"], released["id"], released["was"]) == ("release", unit, "quarantined")
    assert desk.ctl_json("explain", address)["class"] == "ordinary"


def test_a_prefix_covers_its_addresses(desk):
    desk.ctl("register", "10.20.4.0/24")
    desk.ctl("quarantine", "10.20.4.9")
    desk.ctl("register", "2001:db8:20:ab00::/64")
    found = {row["id"]: row["class"] for row in desk.ctl_json("list")}
    assert found == {"10.20.4.0/24": "registered", "10.20.4.9": "quarantined",
                     "2001:db8:20:ab00::/64": "registered"}
    assert [row["id"] for row in desk.ctl_json("list", "quarantined")] == ["10.20.4.9"]
    explained = desk.ctl_json("explain", "10.20.4.8")
    assert (explained["unit"], explained["id"], explained["class"]) == ("10.20.4.8", "10.20.4.0/24", "registered")
    assert desk.ctl_json("explain", "10.20.4.9")["class"] == "quarantined"
    assert desk.ctl_json("explain", "2001:db8:20:ab00::1")["standing"]["id"] == "2001:db8:20:ab00::/64"
    assert desk.ctl_json("explain", "2001:db8:20:ab01::1")["standing"] is None
    assert "that of 10.20.4.0/24 (class registered) covers it" in refused(desk, "unregister", "10.20.4.8")


def test_what_it_says_can_be_given_back_to_it(desk, redis):
    """An IPv6 address without its length would stand for its unit."""
    address = "2001:db8:20:9900::1"
    name = f"{address}/128"
    assert desk.ctl("register", name).stdout == f"{name} is registered\n"
    assert redis.cli("hget", "g25:standings", address) == "registered 0", "the id has no length"
    assert desk.ctl_json("register", name)["id"] == address
    assert [row["id"] for row in desk.ctl_json("list")] == [address]
    assert desk.ctl("list").stdout == f"{name}   registered\n"
    assert desk.ctl("list", "--units").stdout == f"{address}\n", "for scripts"
    assert desk.ctl("show", name).stdout.startswith(f"{name}\n")
    explained = desk.ctl("explain", address).stdout
    assert f"id          {name}\n" in explained and f"standing    of {name}\n" in explained
    assert desk.ctl_json("explain", address)["id"] == address
    assert refused(desk, "log", name) == f"gate25ctl: {name}: no entry is kept\n"
    assert desk.ctl("unregister", name).stdout == f"{name} is no longer registered\n"
    assert refused(desk, "unregister", name).startswith(f"gate25ctl: {name} has no standing\n")


NARROWER = [("2001:db8:20:9900::1", "/128"), ("2001:db8:20:9900::", "/127"), ("2001:db8:20:9900::", "/64"),
            ("2001:db8:20:9900::", "/60")]


@pytest.mark.parametrize("base, length", NARROWER)
def test_a_standing_narrower_than_the_unit_is_shown_where_it_holds(desk, base, length):
    address, name = "2001:db8:20:9900::1", base + length
    stored = name.removesuffix("/128")
    desk.ctl("register", name, "--until", "2100-01-01")
    shown = desk.ctl("show", address)
    assert shown.stdout == (
        "2001:db8:20:9900::/56\n"
        "in force    class ordinary, as for everybody\n"
        f"narrower    {name}: class registered until 2100-01-01T00:00:00Z, in force for {address}\n")
    assert (shown.returncode, shown.stderr) == (0, "")
    row = {"id": stored, "class": "registered", "class_known": True, "until": "2100-01-01T00:00:00Z",
           "ended": False, "in_force": True}
    shown = desk.ctl_json("show", address)
    assert (shown["narrower"], shown["class"], shown["in_force"]) == ([row], "ordinary", None)
    assert desk.ctl_json("explain", address)["standing"]["id"] == stored

    # It holds for what it covers, and for nobody else; named itself it is the standing.
    outside = desk.ctl("show", "2001:db8:20:99f0::1", check=False)
    assert outside.returncode == 1 and "narrower" not in outside.stdout
    shown = desk.ctl_json("show", name)
    assert (shown["id"], shown["class"], shown["narrower"]) == (stored, "registered", [])

    for verb in ("unregister", "release"):
        assert refused(desk, verb, address) == (
            f"gate25ctl: 2001:db8:20:9900::/56 has no standing; {name} has one: name it with its length\n")
    assert desk.ctl("unregister", name).stdout == f"{name} is no longer registered\n"
    assert "2001:db8:20:9900::/56 has no standing\n" in refused(desk, "unregister", address)


def test_who_sets_a_standing_hears_of_a_narrower_one(desk):
    """Otherwise the address that was quarantined would go on as before."""
    address = "2001:db8:20:9900::1"
    desk.ctl("register", f"{address}/128")
    result = desk.ctl("quarantine", address)
    assert result.stdout == "2001:db8:20:9900::/56 is in quarantine\n"
    assert result.stderr == (f"gate25ctl: warning: for {address} the narrower standing of {address}/128 "
                             "(class registered) stays in force\n")
    assert desk.ctl_json("explain", address)["class"] == "registered"
    assert desk.ctl("quarantine", "2001:db8:20:9900::2").stderr == ""


def test_of_several_narrower_standings_the_longest_that_counts_holds(desk, redis):
    unit, address = "2001:db8:20:9900::/56", "2001:db8:20:9900::1"
    desk.ctl("register", unit)
    redis.cli("hset", "g25:standings", address, "gold 0", "2001:db8:20:9900::/96", "registered 1000",
              "2001:db8:20:9900::/64", "quarantined 0", "2001:db8:20:9900::/60", "registered 0",
              "2001:db8:20:99f0::/60", "registered 0")
    shown = desk.ctl("show", address).stdout
    assert shown.startswith(f"{unit}\nclass       registered\n")
    assert [line for line in shown.splitlines() if line.startswith("narrower")] == [
        f"narrower    {address}/128: class gold {UNKNOWN}",
        "narrower    2001:db8:20:9900::/96: class registered until 1970-01-01T00:16:40Z (ended)",
        f"narrower    2001:db8:20:9900::/64: class quarantined, in force for {address}",
        "narrower    2001:db8:20:9900::/60: class registered"]
    rows = desk.ctl_json("show", address)["narrower"]
    assert [row["in_force"] for row in rows] == [False, False, True, False]
    assert desk.ctl_json("explain", address)["class"] == "quarantined"
    assert desk.ctl("unregister", address).stdout == f"{unit} is no longer registered\n", "it stands for its unit"


@pytest.mark.parametrize("arguments, said", [
    (["register", "192.0.2.1"], "not within the subscribers' prefixes, which are: 10.20.0.0/16, 2001:db8:20::/48"),
    (["register", "10.20.0.7/24"], "the prefix is 10.20.0.0/24"),
    (["register", "10.0.0.0/8"], "not within"),
    (["register", "customer-17"], "accounts come with leases"),
    (["register", "10.20.0.7", "--class", "gold"],
     'no class "gold"; it has: registered, ordinary, quarantined'),
    (["register", "10.20.0.7", "--until", "2001-01-01"], "not in the future"),
    (["register", "10.20.0.7", "--until", "soon"], "30d, 12h, 2026-12-31"),
    (["register", "10.20.0.7", "--until", "999999d"], "too far in the future: 104249d at most"),
    (["quarantine", "10.20.0.7", "--class", "ordinary"], "no quarantine"),
    (["register", "10.20.0.7", "--class", "quarantined"], 'is a quarantine: use "quarantine"'),
    (["list", "gold"], 'no class "gold" is in the configuration, nor has any standing it; there are: '
                       'registered, ordinary, quarantined\n'),
    (["explain", "10.20.0.0/24"], "no address"),
    (["log", "10.20.0.99"], "10.20.0.99: no entry is kept"),
    (["status"], "no answer from the gate"),
    (["reload"], "no answer from the gate"),
])
def test_refusals_say_what_is_allowed(desk, arguments, said):
    assert said in refused(desk, *arguments)


@pytest.mark.parametrize("arguments", [
    [], ["frobnicate"], ["register"], ["register", "10.20.0.7", "10.20.0.8"], ["list", "--until", "3d"],
    ["show", "--frob"], ["log", "10.20.0.7", "-n", "0"]])
def test_wrong_use(desk, arguments):
    assert "see gate25ctl --help" in refused(desk, *arguments, status=2)


def test_help_and_version(desk):
    assert desk.ctl("--version").stdout.startswith("gate25ctl ")
    text = desk.ctl("--help").stdout
    for verb in ("register", "unregister", "quarantine", "release", "show", "list", "log", "explain", "status",
                 "reload"):
        assert f"gate25ctl {verb}" in text


def test_a_standing_that_has_ended(desk, redis):
    redis.cli("hset", "g25:standings", "10.20.0.7", "registered 1000")
    assert desk.ctl_json("explain", "10.20.0.7")["class"] == "ordinary"
    shown = desk.ctl_json("show", "10.20.0.7")
    assert (shown["class"], shown["standing"]["ended"], shown["in_force"]) == ("ordinary", True, None)
    assert "ended 1970-01-01T00:16:40Z" in desk.ctl("list").stdout


def test_nothing_but_text_reaches_the_terminal(desk):
    desk.ctl("register", "10.20.0.7", "--note", "\x1b[2J\n\x9b\u202e")
    shown = desk.ctl("show", "10.20.0.7").stdout
    assert r"\x1b[2J\x0a\xc2\x9b\xe2\x80\xae" in shown
    assert "\x1b" not in shown
    assert desk.ctl_json("show", "10.20.0.7")["standing"]["note"] == "\x1b[2J\n\x9b\u202e"


def test_limits_are_explained(desk, redis):
    desk.ctl("explain", "10.20.0.7")  # loads the functions
    redis.cli("fcall", "gate25_take", 3, "g25:meter:{10.20.0.7}", "g25:open:{10.20.0.7}", "g25:spread:{10.20.0.7}",
              "session", 0, 0, 0, "gate1:1", "198.51.100.10",
              "sessions", 30, 60000000, "concurrent", 5, 0)
    sessions, concurrent = desk.ctl_json("explain", "10.20.0.7")["limits"]
    assert (sessions["limit"], sessions["count"], sessions["period_s"]) == ("sessions", 30, 60)
    assert sessions["left"] == 29 or sessions["full_in_s"] == 0
    assert (concurrent["used"], concurrent["left"]) == (1, 4)
    assert "  sessions    30 in 1 minute" in desk.ctl("explain", "10.20.0.7").stdout


def add_log(redis, unit, **fields):
    line = json.dumps({"time": "2026-11-21T23:40:00.000Z", "event": "refusal", "verdict": "defer", **fields})
    redis.cli("xadd", f"g25:log:{{{unit}}}", "*", "line", line)
    return line


@pytest.mark.parametrize("typed, unit, address", SUBSCRIBERS)
def test_log(desk, redis, typed, unit, address):
    lines = [add_log(redis, unit, rule="messages:10/1m", retry_after_s=6, case=f"CASE{number}")
             for number in range(3)]
    assert desk.ctl("log", typed, "--json").stdout.splitlines() == lines
    assert desk.ctl("log", address, "--json", "-n", "1").stdout.splitlines() == lines[2:]
    assert desk.ctl("log", typed).stdout.splitlines()[0] == (
        "2026-11-21T23:40:00.000Z  refusal  deferred: messages:10/1m, again in 6 seconds, case CASE0")


def test_log_of_an_address_with_a_narrower_standing(desk, redis):
    address = "2001:db8:20:9900::1"
    desk.ctl("register", f"{address}/128")
    line = add_log(redis, address, case="NARROW")
    for typed in (address, f"{address}/128"):
        assert desk.ctl("log", typed, "--json").stdout == f"{line}\n"


def test_log_follows(desk, redis):
    first = add_log(redis, "10.20.0.7", case="A")
    with desk.host.popen(f"{lab_gate.binaries()}/gate25ctl", "--config", desk.config, "log", "10.20.0.7", "-f",
                         "--json", stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout.readline() == first + "\n"
        second = add_log(redis, "10.20.0.7", case="B")
        assert following.stdout.readline() == second + "\n"
        following.kill()


def test_log_follows_beyond_a_restart_of_redis(lab, started):
    own = started(servers.Redis(lab.gate, appendonly=True))
    desk = lab_gate.Gate(lab, own, LIMITS)
    with desk.host.popen(f"{lab_gate.binaries()}/gate25ctl", "--config", desk.config, "log", "10.20.0.7", "-f",
                         "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as following:
        try:
            written = [add_log(own, "10.20.0.7", case="A")]
            assert following.stdout.readline() == written[0] + "\n"
            for reason in ("BC", "DE"):
                own.kill()
                said = following.stderr.readline()
                assert said.startswith("gate25ctl: waiting for Redis: ") and len(said) > 35, said
                time.sleep(2)  # several tries, which say nothing more
                own.start()
                written += [add_log(own, "10.20.0.7", case=case) for case in reason]
                assert [following.stdout.readline() for _ in reason] == [f"{line}\n" for line in written[-2:]]
            assert following.poll() is None
        finally:
            following.kill()
        assert (following.stdout.read(), following.stderr.read()) == ("", "")


def test_log_follows_a_redis_that_refuses_for_a_while(desk, redis):
    first = add_log(redis, "10.20.0.7", case="A")
    with desk.host.popen(f"{lab_gate.binaries()}/gate25ctl", "--config", desk.config, "log", "10.20.0.7", "-f",
                         "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as following:
        try:
            assert following.stdout.readline() == first + "\n"
            redis.cli("acl", "setuser", "default", "-xread")
            redis.cli("client", "kill", "type", "normal", "skipme", "yes")
            assert following.stderr.readline().startswith("gate25ctl: waiting for Redis: ")
            second = add_log(redis, "10.20.0.7", case="B")
            time.sleep(2)
            redis.cli("acl", "setuser", "default", "+xread")
            assert following.stdout.readline() == second + "\n"
        finally:
            redis.cli("acl", "setuser", "default", "+xread")
            following.kill()
        assert (following.stdout.read(), following.stderr.read()) == ("", "")


def test_a_class_that_the_configuration_no_longer_knows(desk, redis):
    redis.cli("hset", "g25:standings", "10.20.0.7", "gold 0", "10.20.9.0/24", "gold 4102444800", "10.20.9.9",
              "registered 0")
    assert [(row["id"], row["class_known"]) for row in desk.ctl_json("list", "gold")] == [
        ("10.20.0.7", False), ("10.20.9.0/24", False)]
    assert all(line.endswith(UNKNOWN) for line in desk.ctl("list", "gold").stdout.splitlines())
    assert [line.endswith(UNKNOWN) for line in desk.ctl("list").stdout.splitlines()] == [True, True, False]
    assert desk.ctl("list", "ordinary").stdout == "", "known, of nobody"
    assert "quarantined, gold (of standings only)\n" in refused(desk, "list", "silver")

    shown = desk.ctl("show", "10.20.0.7").stdout
    assert f"class       gold {UNKNOWN}\n" in shown and "in force    class ordinary, as for everybody\n" in shown
    assert "besides" not in shown
    shown = desk.ctl_json("show", "10.20.0.7")
    assert (shown["class"], shown["standing"]["class_known"]) == ("ordinary", False)

    row = f"besides     the standing of 10.20.9.0/24, class gold {UNKNOWN}\n"
    for verb in ("show", "explain"):
        assert row in desk.ctl(verb, "10.20.9.8", check=False).stdout
        assert "besides" not in desk.ctl(verb, "10.20.9.9").stdout, "the longer one holds whatever the other is"
    passed = desk.ctl_json("explain", "10.20.9.8")
    assert (passed["standing"], passed["passed_over"]) == (
        None, {"id": "10.20.9.0/24", "class": "gold", "until": "2100-01-01T00:00:00Z"})
    assert desk.ctl_json("explain", "10.20.9.9")["passed_over"] is None


def test_what_refuses_is_no_registration(desk):
    desk.configure({"class infected": {"action": "refuse"}})
    assert 'use "quarantine --class infected"' in refused(desk, "register", "10.20.0.7", "--class", "infected")
    assert desk.ctl("quarantine", "10.20.0.7", "--class", "infected").returncode == 0


@pytest.mark.parametrize("reason, told", [
    ("plain", None), ("x" * 200, None), ("Büro", ": B??ro; see "), ("two\nlines", ": two?lines; see "),
    ("x" * 201, "x" * 201), ("x" * 900, "xxx; see https://mail.isp.example/ (case ..........)\n")])
def test_a_reason_that_cannot_be_told_as_it_is(desk, reason, told):
    result = desk.ctl("quarantine", "10.20.0.7", "--reason", reason)
    assert desk.ctl_json("show", "10.20.0.7")["standing"]["reason"] == reason
    if told is None:
        assert result.stderr == ""
    else:
        assert told in result.stderr and "the subscriber will be told: 554 5.7.1 10.20.0.7 " in result.stderr
        assert len(result.stderr.split("told: ")[1].strip()) <= 510


def test_without_redis(lab, started):
    own = started(servers.Redis(lab.gate))
    desk = lab_gate.Gate(lab, own, LIMITS)
    own.kill()
    began = time.monotonic()
    said = refused(desk, "register", "10.20.0.7")
    assert time.monotonic() - began < 10
    assert said == f"gate25ctl: no connection to Redis at {own.socket} within 2 seconds: Connection refused\n"


@pytest.mark.parametrize("verb", ["show", "explain", "list"])
def test_a_redis_that_wants_a_password_is_told_in_one_line(lab, started, verb):
    own = started(servers.Redis(lab.gate))
    desk = lab_gate.Gate(lab, own, LIMITS)
    own.cli("config", "set", "requirepass", "secret")
    said = refused(desk, *([verb] if verb == "list" else [verb, "10.20.0.7"]))
    assert "NOAUTH Authentication required" in said and said.count("\n") == 1


def test_without_a_configuration(desk):
    desk.config.unlink()
    assert str(desk.config) in refused(desk, "list")


def test_a_running_gate(gate):
    running = gate(LIMITS)
    status = running.ctl_json("status")
    assert status["pid"] == running.pid
    assert len(status["workers"]) == 2
    assert f"pid                          {running.pid}" in running.ctl("status").stdout
    assert running.ctl("reload").stdout == "the configuration is read anew\n"
    running.configure({"class ordinary": {"sessions": ["nonsense"]}})
    assert "gate25.conf:" in refused(running, "reload")
    assert running.alive()
