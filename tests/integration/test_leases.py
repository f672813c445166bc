"""Leases of addresses: a real FreeRADIUS hears of them by radclient, and gates go by them."""

import pytest
import redis as redis_client

from tests.integration.wire import FREE, MX6, Client, first_reply, send
from tests.lab import radius as radius_module
from tests.lab import servers
from tests.lab.process import wait_for
from tests.lab.radius import Radius
from tests.lab.topology import CommandFailed

LEASED = {"leases": {"prefixes": ["10.20.0.0/16", "2001:db8:20::/48"]}}
HOME, ELSEWHERE = "10.20.0.7", "10.20.9.9"
LEASES = "g25:{leases}"


@pytest.fixture(name="radius")
def radius_fixture(lab, site_redis, started):
    """radius(life=3600): a FreeRADIUS beside the gate."""
    return lambda redis=None, **options: started(Radius(lab.gate, redis or site_redis, **options))


@pytest.fixture(name="leased")
def leased_fixture(gate, site_redis, sink):
    """leased({...}): a gate that goes by leases, and a server that takes its mail."""
    sink()
    return lambda overrides=None, redis=None: gate({**FREE, **LEASED, **(overrides or {})}, redis=redis or site_redis)


def held(redis, unit):
    """The account that Redis says holds it; None: nobody."""
    value = redis.cli("hget", LEASES, unit)
    return (value or "").rpartition(" ")[2] or None


def last(running, client):
    """The journal's last session of a client's address."""
    lines = [line for line in running.journal(event="session") if line["client"].startswith((f"{client}:", f"[{client}]:"))]
    return lines[-1] if lines else None


def wait_seen(lab, running, address, who, what):
    """Sessions from there are this id's, and of this class, within moments."""
    destination = MX6 if ":" in address else "198.51.100.10"

    def seen():
        before = len(running.journal(event="session"))
        send(lab, address, destination)
        running.wait_journal(before + 1, event="session")
        line = last(running, address)
        return line and (line["id"], line["class"]) == (who, what)
    wait_for(seen, 30, f"{address} is {who}, {what}")


# --- following the account ------------------------------------------------------------------------


def test_everything_follows_the_account(lab, leased, radius):
    running, server = leased({"class ordinary": {"messages": ["2/1d"], "sessions": None}}), radius()
    server.tell("Start", "Alice@isp.example", "s1", Framed_IP_Address=HOME)
    wait_seen(lab, running, HOME, "alice@isp.example", "ordinary")
    first_line = running.journal(event="session")[-1]
    assert first_line["client"].startswith(f"{HOME}:")
    server.tell("Stop", "Alice@isp.example", "s1", Framed_IP_Address=HOME, Acct_Session_Time=5)
    server.tell("Start", "Alice@isp.example", "s2", Framed_IP_Address=ELSEWHERE)
    wait_for(lambda: running.ctl_json("explain", ELSEWHERE)["lease"] == "alice@isp.example")
    wait_for(lambda: send(lab, ELSEWHERE).startswith("450"), 20, "the limit is used up at the new address too")
    refusal = running.wait_journal(event="refusal")[-1]
    assert (refusal["id"], refusal["rule"]) == ("alice@isp.example", "messages:2/1d")
    assert refusal["client"].startswith(f"{ELSEWHERE}:")
    with Client(lab, ELSEWHERE) as client:
        client.greet()
        reply = client.mail()
    assert f"{ELSEWHERE} has reached its limit" in reply and "alice" not in reply, "the name is nobody's business"
    wait_for(lambda: len(running.ctl("log", "alice@isp.example").stdout.splitlines()) >= 4)
    log = running.ctl("log", "ALICE@isp.example", "-n", "100").stdout
    assert HOME in log and ELSEWHERE in log
    wait_for(lambda: len({running.ctl("log", who, "-n", "100").stdout for who in (ELSEWHERE, "alice@isp.example")}) == 1,
             what="the same log, and no line that comes in between")
    assert HOME not in running.ctl("log", HOME, check=False).stdout
    running.ctl("register", ELSEWHERE)
    wait_seen(lab, running, ELSEWHERE, "alice@isp.example", "registered")
    server.tell("Stop", "Alice@isp.example", "s2", Framed_IP_Address=ELSEWHERE, Acct_Session_Time=5)
    server.tell("Start", "alice@isp.example", "s3", Framed_IP_Address="10.20.3.3")
    wait_seen(lab, running, "10.20.3.3", "alice@isp.example", "registered")


def test_a_delegated_prefix(lab, leased, radius, site_redis):
    running, server = leased(), radius()
    server.tell("Start", "alice", "s1", Framed_IP_Address=HOME, Delegated_IPv6_Prefix="2001:db8:20:4200::/56",
                Framed_IPv6_Prefix="2001:db8:20:ff01::/64")
    assert [held(site_redis, unit) for unit in (HOME, "2001:db8:20:4200::/56", "2001:db8:20:ff01::/64")] == ["alice"] * 3
    running.ctl("register", "2001:db8:20:42ff::25")
    for address in (HOME, "2001:db8:20:42ff::25", "2001:db8:20:ff01::7"):
        wait_seen(lab, running, address, "alice", "registered")
    wait_seen(lab, running, "2001:db8:20:ff02::7", "2001:db8:20:ff00::/56", "ordinary")
    # A larger prefix than a unit, given later, and several at once.
    server.tell("Interim-Update", "alice", "s1", Framed_IP_Address=HOME, Acct_Session_Time=60,
                Delegated_IPv6_Prefix="2001:db8:20:6000::/52")
    wait_seen(lab, running, "2001:db8:20:6789::1", "alice", "registered")
    # Without a word of what it was given.
    server.tell("Stop", "alice", "s1", Acct_Session_Time=90)
    for address, unit in ((HOME, HOME), ("2001:db8:20:42ff::25", "2001:db8:20:4200::/56"),
                          ("2001:db8:20:6789::1", "2001:db8:20:6700::/56")):
        wait_seen(lab, running, address, unit, "ordinary")


# --- never inheriting -----------------------------------------------------------------------------


def test_the_next_one_is_not_registered(lab, leased, radius):
    running, server = leased(), radius()
    server.tell("Start", "alice", "s1", Framed_IP_Address=HOME)
    wait_for(lambda: running.ctl("register", HOME, check=False).returncode == 0)
    wait_seen(lab, running, HOME, "alice", "registered")
    server.tell("Stop", "alice", "s1", Framed_IP_Address=HOME, Acct_Session_Time=5)
    wait_seen(lab, running, HOME, HOME, "ordinary")
    server.tell("Start", "bob", "s2", Framed_IP_Address=HOME)
    wait_seen(lab, running, HOME, "bob", "ordinary")
    # A Stop that was lost.
    running.ctl("register", "bob")
    wait_seen(lab, running, HOME, "bob", "registered")
    server.tell("Start", "carol", "s3", Framed_IP_Address=HOME)
    wait_seen(lab, running, HOME, "carol", "ordinary")


def test_a_quarantine_does_not_stick(lab, leased, radius):
    running, server = leased(), radius()
    server.tell("Start", "alice", "s1", Framed_IP_Address=HOME)
    running.ctl("quarantine", "alice", "--reason", "sends spam")
    wait_for(lambda: "sends spam" in first_reply(lab, HOME))
    assert "alice" not in first_reply(lab, HOME)
    server.tell("Start", "bob", "s2", Framed_IP_Address=HOME)
    wait_seen(lab, running, HOME, "bob", "ordinary")
    server.tell("Start", "alice", "s3", Framed_IP_Address=ELSEWHERE)
    wait_for(lambda: "sends spam" in first_reply(lab, ELSEWHERE), 20, "the quarantine goes with the account")
    running.ctl("release", ELSEWHERE)
    wait_seen(lab, running, ELSEWHERE, "alice", "ordinary")


def test_what_was_said_of_the_address_itself_counts_for_nothing(lab, leased, radius, gate, site_redis):
    running, server = leased(), radius()
    # From the time before leases.
    running.configure({"leases": None})
    running.ctl("register", HOME)
    running.ctl("register", "2001:db8:20:4200::1/128")
    running.ctl("quarantine", "10.20.9.0/24", "--reason", "a whole range")
    running.configure(LEASED)
    wait_seen(lab, running, HOME, HOME, "ordinary")
    server.tell("Start", "bob", "s1", Framed_IP_Address=HOME)
    wait_seen(lab, running, HOME, "bob", "ordinary")
    shown = running.ctl("show", f"{HOME}/32")
    assert "passed over" in shown.stdout and "account bob" in shown.stdout
    shown = running.ctl("show", "2001:db8:20:4200::1").stdout
    assert "narrower    2001:db8:20:4200::1/128: class registered\n" in shown, "and is not in force"
    assert running.ctl_json("explain", "2001:db8:20:4200::1")["standing"] is None
    # Over more than one subscriber it holds for whoever is there, unless his account has a standing.
    server.tell("Start", "carol", "s2", Framed_IP_Address=ELSEWHERE)
    wait_for(lambda: "a whole range" in first_reply(lab, ELSEWHERE))
    running.ctl("register", "carol")
    wait_seen(lab, running, ELSEWHERE, "carol", "registered")
    # Nobody can say it anew.
    for who in (f"{HOME}/32", "10.20.77.77", "2001:db8:20:100::/56"):
        refused = running.ctl("register", who, check=False)
        assert refused.returncode == 1 and "name that" in refused.stderr, who
    running.ctl("unregister", f"{HOME}/32")


def test_a_lost_stop_ends_by_itself(lab, leased, radius):
    running, server = leased(), radius(life=3)
    running.ctl("register", "alice")
    server.tell("Start", "alice", "s1", Framed_IP_Address=HOME)

    def is_registered():
        server.tell("Interim-Update", "alice", "s1", Framed_IP_Address=HOME, Acct_Session_Time=60)
        send(lab, HOME)
        return any(line["id"] == "alice" and line["class"] == "registered" for line in running.journal(event="session"))
    wait_for(is_registered, 60, "as long as somebody renews it, it holds")
    wait_seen(lab, running, HOME, HOME, "ordinary")
    wait_for(lambda: running.ctl_json("explain", HOME)["lease"] is None)


def test_late_words(lab, leased, radius, site_redis):
    running, server = leased(), radius()
    server.tell("Start", "alice", "s1", Framed_IP_Address=HOME, Acct_Delay_Time=100)
    server.tell("Start", "bob", "s2", Framed_IP_Address=HOME)
    server.tell("Stop", "alice", "s1", Framed_IP_Address=HOME, Acct_Session_Time=90, Acct_Delay_Time=10)
    server.tell("Interim-Update", "alice", "s1", Framed_IP_Address=HOME, Acct_Session_Time=60, Acct_Delay_Time=40)
    server.tell("Interim-Update", "alice", "s1", Framed_IP_Address=HOME)
    server.tell("Start", "alice", "s1", Framed_IP_Address=HOME, Acct_Delay_Time=101)
    assert held(site_redis, HOME) == "bob"
    wait_seen(lab, running, HOME, "bob", "ordinary")
    server.tell("Interim-Update", "bob", "s2", Framed_IP_Address=HOME, Acct_Session_Time=1)
    server.tell("Stop", "bob", "s2", Framed_IP_Address=HOME, Acct_Session_Time=2)
    server.tell("Interim-Update", "bob", "s2", Framed_IP_Address=HOME, Acct_Session_Time=2)
    assert held(site_redis, HOME) is None
    wait_seen(lab, running, HOME, HOME, "ordinary")


def test_a_session_id_that_comes_again(lab, leased, radius, site_redis):
    """An access server's counter begins anew when it restarts; the Stop of before comes late."""
    running, server = leased(), radius()
    running.ctl("quarantine", "mallory", "--reason", "sends spam")
    server.tell("Start", "alice", "0001", Framed_IP_Address=HOME, Acct_Delay_Time=100)
    server.tell("Start", "mallory", "0001", Framed_IP_Address=HOME)
    assert held(site_redis, HOME) == "mallory"
    server.tell("Stop", "alice", "0001", Framed_IP_Address=HOME, Acct_Session_Time=90, Acct_Delay_Time=10)
    assert held(site_redis, HOME) == "mallory"
    server.tell("Interim-Update", "mallory", "0001", Framed_IP_Address=HOME, Acct_Session_Time=1)
    wait_for(lambda: "sends spam" in first_reply(lab, HOME))
    server.tell("Start", "alice", "0002", Framed_IP_Address=HOME, Acct_Delay_Time=4294967295)
    assert held(site_redis, HOME) == "mallory", "a delay that cannot be takes nothing from anybody"
    server.tell("Stop", "Mallory", "0001", Framed_IP_Address=HOME, Acct_Session_Time=2)
    assert held(site_redis, HOME) is None
    server.tell("Start", "bob", "0001", Framed_IP_Address=HOME)
    wait_seen(lab, running, HOME, "bob", "ordinary")


def test_an_account_with_many_units(lab, leased, site_redis):
    """All are named: the walled garden goes by the list."""
    running = leased()
    units = [f"10.20.{64 + number // 250}.{number % 250 + 1}" for number in range(300)]
    for at in range(0, 300, 30):
        site_redis.cli("fcall", "gate25_lease_start", 3, LEASES, f"{LEASES}:changes", f"{LEASES}:accounts", "multi", "s1",
                       600, 0, ",".join(units[at:at + 30]))
    running.ctl("quarantine", "multi")
    assert {lease["unit"] for lease in running.ctl_json("show", "multi")["leases"]} == set(units)
    assert set(running.ctl("list", "--units").stdout.split()) == set(units)


def test_a_reload_begins_and_ends_it(lab, leased, radius):
    running, server = leased({"leases": None}), radius()
    running.ctl("register", HOME)
    server.tell("Start", "alice", "s1", Framed_IP_Address=HOME)
    wait_seen(lab, running, HOME, HOME, "registered")
    running.configure(LEASED)
    running.ctl("reload")
    wait_seen(lab, running, HOME, "alice", "ordinary")
    wait_for(lambda: running.ctl_json("status")["counters"]["leases"] == 1)
    running.configure({"leases": None})
    running.ctl("reload")
    wait_seen(lab, running, HOME, HOME, "registered")


# --- hostile --------------------------------------------------------------------------------------

HOSTILE = ["10.20.9.9", "2001:db8:20:100::/56", "%{exec:/bin/touch /tmp/x}", "%{redis:FLUSHALL}", "%s%n", "a b", "bob\r\nFLUSHALL",
           "bob 1 1 10.20.0.8", "'; DROP", "x" * 200, "{leases}", "m\u00fcller", "\u001b[2J", "", "-"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_is_none(name, radius, site_redis, leased, lab):
    """It holds nothing, takes nothing over, and takes the address from who was there before."""
    running, server = leased(), radius()
    running.ctl("register", "alice")
    server.tell("Start", "alice", "s1", Framed_IP_Address=HOME)
    keys = {key for key in site_redis.cli("keys", "*") if "lease" in key}
    server.tell("Start", name, "s2", Framed_IP_Address=HOME)
    assert held(site_redis, HOME) is None
    wait_seen(lab, running, HOME, HOME, "ordinary")
    assert {key for key in site_redis.cli("keys", "*") if "lease" in key} <= keys
    assert site_redis.cli("hgetall", "g25:{leases}:accounts") == {}


def test_the_ends_of_every_attribute(radius, site_redis):
    server = radius()
    server.tell("Start", "alice", "%{User-Name} x\"y", Framed_IP_Address=HOME)
    assert held(site_redis, HOME) == "alice"
    server.tell("Start", "bob", "x" * 250, Framed_IP_Address="0.0.0.0", Framed_IPv6_Prefix="::/0", NAS_Identifier="y" * 250)
    server.tell("Start", "bob", "s3")
    server.tell("Interim-Update", "bob", "s3", Acct_Session_Time=4294967295, Framed_IP_Address="10.20.0.8")
    assert held(site_redis, "10.20.0.8") == "bob"
    server.tell("Accounting-On", "", "")
    many = [f"2001:db8:20:{number:x}00::/56" for number in range(1, 100)]
    server.tell("Start", "dave", "s4", Delegated_IPv6_Prefix=many)
    assert held(site_redis, many[3]) == "dave"
    server.tell("Stop", "alice", "%{User-Name} x\"y")
    assert held(site_redis, HOME) is None
    assert not (server.folder / "gate25-later").exists(), "all of it could be told"


def test_what_the_radius_servers_user_may(radius, site_redis):
    server = radius()
    site_redis.cli("acl", "log", "reset")
    server.tell("Start", "alice", "s1", Framed_IP_Address=HOME)
    server.tell("Interim-Update", "alice", "s1", Framed_IP_Address=HOME, Acct_Session_Time=1)
    server.tell("Stop", "alice", "s1", Framed_IP_Address=HOME, Acct_Session_Time=1)
    assert site_redis.cli("acl", "log") == []
    thief = redis_client.Redis(unix_socket_path=str(site_redis.socket), username="radius",
                               password=radius_module.PASSWORD, decode_responses=True)
    for words in (("hset", "g25:standings", HOME, "registered 0"), ("hget", "g25:standings", HOME),
                  ("xadd", "g25:changes", "*", "id", HOME), ("hset", "g25:standing:{alice}", "class", "registered"),
                  ("keys", "*"), ("scan", "0"), ("flushall",), ("function", "list"), ("function", "load", "replace", "x"),
                  ("eval", "return 1", "0"), ("config", "get", "*"), ("acl", "whoami"), ("hgetall", LEASES),
                  ("del", LEASES), ("rename", LEASES, "x"), ("subscribe", "x"), ("xrange", f"{LEASES}:changes", "-", "+"),
                  ("fcall", "gate25_lease_start", "3", "g25:standings", "g25:changes", "x", "a", "s", "9", "0", HOME),
                  ("fcall", "gate25_take", "1", "g25:meter:{alice}", "session", "0", "0", "0", "", "", "sessions", "1", "1"),
                  ("fcall_ro", "gate25_peek", "1", LEASES)):
        with pytest.raises(redis_client.ResponseError, match="(?i)permission|noperm"):
            thief.execute_command(*words)
    used = {"ping", "fcall", "time", "hget", "hset", "hdel", "hrandfield", "xadd", "xrevrange"}
    assert {word[1:] for word in radius_module.rights() if word.startswith("+")} == used


# --- Redis away -----------------------------------------------------------------------------------


def test_redis_is_away(lab, gate, sink, radius, started):
    """What is known holds; what is said meanwhile is answered, kept, and told later, in any order."""
    sink()
    own = started(servers.Redis(lab.gate, port=6391, appendonly=True))
    running = gate({**FREE, **LEASED}, redis=own)
    server = radius(own)
    server.tell("Start", "alice", "s1", Framed_IP_Address=HOME)
    running.ctl("register", "alice")
    wait_seen(lab, running, HOME, "alice", "registered")
    own.kill()
    wait_seen(lab, running, HOME, "alice", "registered")
    running.end()
    running.start()
    wait_seen(lab, running, HOME, "alice", "registered")
    assert server.tell("Stop", "alice", "s1", Framed_IP_Address=HOME, Acct_Session_Time=60)
    assert server.tell("Start", "bob", "s2", Framed_IP_Address=HOME)
    wait_seen(lab, running, HOME, "alice", "registered")
    own.start()
    radius_module.give_rights(own)
    wait_seen(lab, running, HOME, "bob", "ordinary")
    server.tell("Start", "carol", "s3", Framed_IP_Address=ELSEWHERE)
    wait_seen(lab, running, ELSEWHERE, "carol", "ordinary")
    wait_seen(lab, running, HOME, "bob", "ordinary")


# --- the command line -----------------------------------------------------------------------------


def test_the_command_line_names_accounts(leased, radius):
    running, server = leased(), radius()
    server.tell("Start", "alice", "s1", Framed_IP_Address=HOME, Delegated_IPv6_Prefix="2001:db8:20:4200::/56")
    assert running.ctl("register", HOME, "--reason", "runs a server").stdout == f"alice is registered, which holds {HOME} now\n"
    shown = running.ctl_json("show", "2001:db8:20:42ff::1")
    assert shown["id"] == "alice" and shown["standing"]["class"] == "registered"
    assert [(lease["unit"], lease["account"]) for lease in shown["leases"]] == [
        (HOME, "alice"), ("2001:db8:20:4200::/56", "alice")]
    assert running.ctl_json("show", "ALICE") == running.ctl_json("show", HOME) == shown
    text = running.ctl("show", "alice").stdout
    assert f"{HOME}, account alice since 20" in text and "2001:db8:20:4200::/56, account alice" in text
    explained = running.ctl_json("explain", HOME)
    assert (explained["id"], explained["lease"], explained["unit"]) == ("alice", "alice", HOME)
    assert [row["id"] for row in running.ctl_json("list")] == ["alice"]
    running.ctl("register", "4711")
    running.ctl("register", "10.20.4.0/24")
    assert running.ctl("list", "--units", "registered").stdout.split() == [HOME, "2001:db8:20:4200::/56", "10.20.4.0/24"]
    assert running.ctl_json("list", "--units", "quarantined") == []
    with pytest.raises(CommandFailed, match="is in quarantine: release it first"):
        running.ctl("quarantine", "alice")
        running.ctl("register", HOME)
    running.ctl("release", "alice")
    for name in ("10.20.0", "a b", "x{y}", "2001:db8:20:100"):
        refused = running.ctl("register", name, check=False)
        assert refused.returncode == 1 and "63 letters" in refused.stderr, name
