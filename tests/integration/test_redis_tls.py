"""Redis behind TLS, with users of its own: who is trusted, and what each program may do."""

import concurrent.futures
import re

import pytest
import redis as redis_client

from tests.integration.mail import attempt, meters
from tests.lab.gate import binaries
from tests.lab.process import wait_for
from tests.lab.redis_fleet import (ACL_FILE, PATIENCE_S, WEB_ACL_FILE, Authority, Cluster, Sentinel, Server, login,
                                   password, passwords)
from tests.lab.servers import Gate

MX4 = "198.51.100.10"
OTHERS = ["198.51.100.11", "198.51.100.12", "198.51.100.13"]
REGISTERED, QUARANTINED = "10.20.30.25", "10.20.30.66"
LIMIT = 4
# Every kind of limit, so that every command of the functions is used.
CLASS = {"action": "meter", "sessions": ["1000/1d"], "messages": [f"{LIMIT}/1d"], "bytes": ["100M/1h"],
         "recipients": ["100/1d"], "spread": ["3/1h"], "concurrent": 20}
numbers = iter(range(1, 250))


def stranger():
    """A subscriber nobody has heard of."""
    return f"10.20.31.{next(numbers)}"


@pytest.fixture(scope="module", name="authority")
def authority_fixture():
    return Authority()


@pytest.fixture(scope="module", name="certificates")
def certificates_fixture(authority):
    good = "DNS:localhost,IP:127.0.0.1"
    return {
        "good": authority.issue("good", good),
        "named": authority.issue("named", "DNS:redis.isp.example"),
        "client": authority.issue("client", "DNS:gate1"),
        "wrong-host": authority.issue("wrong-host", "DNS:elsewhere.example,IP:127.0.0.9"),
        "expired": authority.issue("expired", good, days=-1),
        "unknown": Authority("somebody else").issue("unknown", good),
    }


@pytest.fixture(name="server")
def server_fixture(lab, authority, certificates, started):
    return started(Server(lab.gate, users=passwords(ACL_FILE), tls=(authority, certificates["good"])))


@pytest.fixture(name="make")
def make_fixture(lab, server, authority, certificates):
    """make(user, host, **options) is a gate, not started, that finds the server by TLS."""
    def make(user="gate25d", host="localhost", port=None, url=None, **options):
        settings = {"ca": authority.certificate, "certificate": certificates["client"][0],
                    "key": certificates["client"][1], "deadline": "5s", **options}
        return Gate(lab, url or f"rediss://{login(user)}{host}:{port or server.port}",
                    {"redis": settings, "class ordinary": CLASS})
    return make


def wait_up(gate):
    wait_for(lambda: gate.ctl_json("status")["counters"]["store_up"] == len(gate.workers()), PATIENCE_S,
             "the store is up")


def run_operators(lab, desk):
    def operator(*arguments):
        return lab.gate.run(f"{binaries()}/gate25ctl", "--config", desk.config, "operator", *arguments,
                            input="correct horse battery\n").stdout
    operator("add", "eve", "--role", "agent")
    operator("add", "sso", "--role", "viewer", "--no-password")
    operator("passwd", "eve")
    assert operator("list").count("since") == 2
    for name in ("eve", "sso"):
        operator("remove", name)


def run_everything(lab, gate, desk):
    """All that the two programs do with Redis."""
    for verb, address in (("register", REGISTERED), ("quarantine", QUARANTINED)):
        desk.ctl(verb, address, "--reason", "a test")
    wait_for(lambda: attempt(lab, REGISTERED, MX4).code == 250, PATIENCE_S, "the registered server passes")
    wait_for(lambda: attempt(lab, QUARANTINED, MX4).code == 554, PATIENCE_S, "the quarantine holds")
    assert "a test" in attempt(lab, QUARANTINED, MX4).text
    source, stranger_of_many = stranger(), stranger()
    assert [attempt(lab, source, MX4).code for _ in range(LIMIT + 2)] == [250] * LIMIT + [450] * 2
    assert [attempt(lab, stranger_of_many, mx).code for mx in [MX4, *OTHERS]] == [250] * 3 + [421]
    assert "a test" in desk.ctl("show", QUARANTINED).stdout
    wait_for(lambda: len(desk.ctl("log", source).stdout.splitlines()) > LIMIT, PATIENCE_S, "the subscriber's log")
    assert "messages" in desk.ctl("explain", source).stdout
    assert len(desk.ctl("list").stdout.splitlines()) >= 2
    wait_for(lambda: source in desk.ctl("top").stdout, PATIENCE_S, "the tally")
    assert QUARANTINED in desk.ctl("list", "--units").stdout
    run_operators(lab, desk)
    desk.ctl("unregister", REGISTERED)
    desk.ctl("release", QUARANTINED)
    wait_for(lambda: gate.ctl_json("status")["counters"]["standings"] == 0, PATIENCE_S, "standings are gone again")
    return source


def test_each_with_its_own_rights(lab, server, make, sink, started):
    """Both programs do all they can do, with TLS, certificates of their own, and the users of contrib."""
    sink([MX4, *OTHERS])
    gate, desk = started(make()), make("gate25ctl")
    desk.configure({"control": {"socket": gate.control}})
    wait_up(gate)
    source = run_everything(lab, gate, desk)
    assert meters(server, source)[0].keys() >= {"messages:86400"}
    assert server.denied() == []

    # Nothing is allowed that nobody needs: each command of the file was called. (A single server has
    # no cluster's commands, no role to be asked for, one database; no tally here is large enough to be cut.)
    allowed = {word[1:] for line in ACL_FILE.read_text(encoding="ascii").splitlines()
               if line.startswith(("user gate25d", "user gate25ctl")) for word in line.split() if word[0] == "+"}

    def called():
        return {name.removeprefix("cmdstat_") for name in server.client().info("commandstats")}

    elsewhere = {"cluster|slots", "cluster|info", "asking", "role", "select", "wait"} | {"zremrangebyrank"}
    # The tally is written once a second.
    wait_for(lambda: allowed - elsewhere <= called(), PATIENCE_S, f"all of {allowed - elsewhere} called")
    assert server.denied() == []


VERBS = {"register", "unregister", "quarantine", "release", "show", "list", "log", "explain", "top", "operator"}
ASK_THE_GATE = {"spf", "status", "health", "drain", "undrain", "upgrade", "reload"}


def test_one_configuration_for_gate_and_gate25ctl(lab, server, make, sink, started):
    """Each comes as its own user, and does all it can; with leases, gate25ctl reads them too."""
    sink([MX4, *OTHERS])
    gate = make(**{"ctl-user": "gate25ctl", "ctl-password": password("gate25ctl")})
    gate.configure({"leases": {"prefixes": ["10.20.128.0/17"]}})
    started(gate)
    wait_up(gate)
    run_everything(lab, gate, gate)
    server.cli("fcall", "gate25_lease_start", 3, "g25:{leases}", "g25:{leases}:changes", "g25:{leases}:accounts",
               "alice", "s1", 600, 0, "10.20.200.7")
    for verb, who in (("register", "10.20.200.7"), ("show", "alice"), ("explain", "10.20.200.7"), ("list", "--units"),
                      ("log", "alice"), ("unregister", "alice")):
        gate.ctl(verb, who, check=verb != "log")
    assert server.denied() == []
    known = gate.ctl("nonsense", check=False).stderr.partition("known are: ")[2].split(" (")[0]
    assert set(known.split(", ")) == VERBS | ASK_THE_GATE, "a new verb belongs into run_everything()"
    gate.configure({"redis": {"ctl-user": None, "ctl-password": None}})
    refused = gate.ctl("register", "10.20.1.1", check=False)
    assert refused.returncode == 1 and "NOPERM" in refused.stderr
    refused = gate.ctl("top", check=False)
    assert refused.returncode == 1 and "NOPERM" in refused.stderr, "top says it too"


@pytest.mark.parametrize("files", [[ACL_FILE], [WEB_ACL_FILE], [ACL_FILE, WEB_ACL_FILE]])
def test_the_files_of_contrib_are_aclfiles(lab, started, files):
    """As they are: Redis does not start with an aclfile that has a comment or a line that goes on."""
    text = "".join(passwords(file) if file is files[-1] else file.read_text(encoding="ascii") for file in files)
    server = started(Server(lab.gate, users=text))
    users = {line.split()[1] for line in text.splitlines()}
    assert set(server.cli("acl", "users")) == users | {"default"}
    web = [line for line in server.cli("acl", "list") if line.startswith("user gate25-web ")]
    assert len(web) == (WEB_ACL_FILE in files) and all("~g25:* " in line and "-@all" in line for line in web)


def test_rights_are_tight(server):
    """What a stolen password of one program does not open."""
    refused = {
        "gate25d": [("hset", "g25:standings", "10.0.0.1", "registered 0"), ("xadd", "g25:changes", "*", "id", "x"),
                    ("del", "g25:meter:{x}"), ("hget", "g25:log:{x}", "y"), ("get", "other"), ("flushall",),
                    ("config", "get", "*"), ("keys", "*"), ("function", "flush"), ("acl", "list"),
                    ("eval", "return 1", 0), ("replicaof", "no", "one")],
        "gate25ctl": [("fcall", "gate25_take", 1, "g25:meter:{x}"), ("hset", "g25:meter:{x}", "a", 1),
                      ("xadd", "g25:log:{x}", "*", "line", "x"), ("get", "other"), ("flushall",),
                      ("config", "get", "*"), ("shutdown",), ("function", "delete", "gate25")],
    }
    server.cli("acl", "log", "reset")
    for user, commands in refused.items():
        client = server.client(username=user, password=password(user))
        for command in commands:
            with pytest.raises(redis_client.exceptions.NoPermissionError):
                client.execute_command(*command)
        client.close()
    assert {user for user, _, _ in server.denied()} == set(refused)


TRUST = [  # what the server shows, what the client is told, why it is refused
    ("good", {}, None),
    ("good", {"host": "127.0.0.1"}, None),
    ("named", {"tls-name": "redis.isp.example"}, None),
    ("named", {}, "certificate is not accepted: hostname mismatch"),
    ("wrong-host", {}, "certificate is not accepted: hostname mismatch"),
    ("wrong-host", {"host": "127.0.0.1"}, "certificate is not accepted: IP address mismatch"),
    ("expired", {}, "certificate is not accepted: certificate has expired"),
    ("unknown", {}, "certificate is not accepted: unable to get local issuer certificate"),
    ("good", {"ca": None}, "certificate is not accepted: "),
    ("good", {"certificate": None, "key": None}, "TLS: tlsv13 alert certificate required"),
    ("good", {"user": "nobody"}, "WRONGPASS"),
]


def test_who_is_trusted(lab, make, authority, certificates, started):
    servers = {name: started(Server(lab.gate, users=passwords(ACL_FILE), tls=(authority, certificates[name])))
               for name in {presented for presented, _, _ in TRUST}}
    gates = [make(**{"user": "gate25ctl", "port": servers[presented].port, **options})
             for presented, options, _ in TRUST]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda gate: gate.ctl("list", check=False), gates))
    for case, result in zip(TRUST, results):
        if case[2] is None:
            assert (result.returncode, result.stderr) == (0, ""), case
        else:
            assert result.returncode == 1, case
            assert case[2].lower() in result.stderr.lower(), (case, result.stderr)
            assert "s/ecret" not in result.stderr


def test_a_name_of_two_addresses(lab, make, authority, certificates, started):
    """Redis listens at one of them: the other one's refusal is no news, whichever was tried last."""
    server = started(Server(lab.gate, users=passwords(ACL_FILE), tls=(authority, certificates["named"])))
    gate = started(make(port=server.port))
    connections = 3 * len(gate.workers())  # for questions, standings and leases
    wait_for(lambda: server.text().count("Error accepting a client connection") >= 4 * connections,
             PATIENCE_S, "several tries of each")
    assert gate.text().count("hostname mismatch") == connections, "each says it once"
    assert "Connection refused" not in gate.text()
    gate.end()
    trusting = started(make(port=server.port, **{"tls-name": "redis.isp.example"}))
    wait_up(trusting)
    assert "warning: redis" not in trusting.text()
    server.kill()
    wait_for(lambda: "Connection refused" in trusting.text(), PATIENCE_S, "both refuse")


def works(lab, gate, desk):
    """The gate finds its servers, counts, and hears of changes."""
    wait_up(gate)
    desk.ctl("register", REGISTERED)
    wait_for(lambda: gate.ctl_json("status")["counters"]["standings"] == 1, PATIENCE_S, "the change is heard of")
    assert [attempt(lab, REGISTERED, MX4).code for _ in range(LIMIT + 1)] == [250] * (LIMIT + 1)
    source = stranger()
    assert [attempt(lab, source, MX4).code for _ in range(LIMIT + 1)] == [250] * LIMIT + [450]


def test_sentinel_behind_tls(lab, make, authority, certificates, server, sink, started):
    """Sentinels and master alike are spoken to with TLS, and verified."""
    sink()
    sentinel = started(Sentinel(lab.gate, server, quorum=1, tls=(authority, certificates["good"])))
    settings = {"sentinel-user": "gate25", "sentinel-password": password("gate25")}

    def url(user, whom=sentinel):
        return f"rediss-sentinel://{login(user)}localhost:{whom.port}/main"

    works(lab, started(make(url=url("gate25d"), **settings)), make(url=url("gate25ctl"), **settings))
    other = started(Sentinel(lab.gate, server, quorum=1, tls=(authority, certificates["wrong-host"])))
    refused = make(url=url("gate25ctl", other), **settings).ctl("list", check=False)
    assert "hostname mismatch" in refused.stderr


def test_cluster_behind_tls(lab, make, authority, certificates, sink, started):
    sink()
    cluster = Cluster(lab.gate, started, replicas=0, tls=(authority, certificates["good"]))
    works(lab, started(make(url=cluster.url("gate25d"))), make(url=cluster.url("gate25ctl")))
    cluster.nodes[0].present(certificates["wrong-host"])
    cluster.nodes[0].cli("client", "kill", "type", "normal", "skipme", "yes")
    # Two of three masters are still trusted: what they hold is in use.
    source = next(s for s in iter(stranger, None) if cluster.owner(f"{{{s}}}") is not cluster.nodes[0])
    assert [attempt(lab, source, MX4).code for _ in range(LIMIT + 1)] == [250] * LIMIT + [450]
    assert attempt(lab, REGISTERED, MX4).code == 250


def test_a_certificate_goes_bad_and_is_renewed(lab, server, make, sink, started, certificates):
    """The registered pass, others are metered by the node, and all is well when the server is again."""
    sink()
    make("gate25ctl").ctl("register", REGISTERED)
    gate = started(make())
    wait_up(gate)
    assert attempt(lab, REGISTERED, MX4).code == 250
    server.present(certificates["expired"])
    server.cli("client", "kill", "type", "normal", "skipme", "yes")
    wait_for(lambda: gate.ctl_json("status")["counters"]["store_up"] == 0, PATIENCE_S, "the store is away")
    for _ in range(LIMIT + 2):
        assert attempt(lab, REGISTERED, MX4).code == 250
    source = stranger()
    codes = [attempt(lab, source, MX4).code for _ in range(2 * LIMIT + 2)]
    assert 450 in codes and codes.count(250) >= LIMIT
    wait_for(lambda: re.search("certificate has expired", gate.text()), PATIENCE_S, "the log says why")
    server.present(certificates["good"])
    wait_up(gate)
    source = stranger()
    assert [attempt(lab, source, MX4).code for _ in range(LIMIT + 1)] == [250] * LIMIT + [450]
