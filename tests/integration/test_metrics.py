"""What the gate tells of itself: metrics for Prometheus, health for load balancers."""

import contextlib
import json
import os
import re
import signal
import urllib.parse

import pytest

from tests.integration.wire import FREE, Client, send
from tests.lab import servers
from tests.lab.process import PARTS, Process, wait_for
from tests.lab.sandbox import PROJECT

PORT = 9125
PAGE = {"metrics": {"listen": f"127.0.0.1:{PORT}"}}
RULES = PROJECT / "contrib" / "prometheus" / "gate25-alerts.yml"
DASHBOARD = PROJECT / "contrib" / "grafana" / "gate25.json"
SAMPLE = re.compile(r"^(gate25_\w+)(?:\{(.*)\})? (\S+)$")


def fetch(lab, path, method="GET"):
    """Asks the gate's page; the status and the body."""
    with lab.gate.connect("127.0.0.1", port=PORT, timeout=20) as connection:
        connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while more := connection.recv(65536):
            answer += more
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


def samples(lab):
    """The page as {'name{labels}': value}, every line of it understood."""
    status, body = fetch(lab, "/metrics")
    assert status == 200
    found = {}
    for line in body.splitlines():
        if not line.startswith("#"):
            match = SAMPLE.match(line)
            assert match, line
            found[match[1] + (f"{{{match[2]}}}" if match[2] else "")] = float(match[3])
    return found


def promtool(lab, *arguments, **options):
    return lab.gate.run(PARTS / "usr/bin/promtool", *arguments, **options)


def test_the_page_counts_what_the_journal_says(lab, gate, sink):
    sink()
    running = gate({"class ordinary": {"messages": ["2/1h"]}, "class registered": {"action": "pass"}, **PAGE})
    for _ in range(3):
        send(lab, "10.20.90.1")
    running.wait_journal(3, event="session")
    found = samples(lab)
    ends, refusals = running.journal(event="session"), running.journal(event="refusal")
    assert len(refusals) == 1 and refusals[0]["rule"] == "messages:2/1h"
    assert found['gate25_refusals_total{class="ordinary",verdict="defer",rule="messages"}'] == 1
    assert sum(value for name, value in found.items() if name.startswith("gate25_session_ends_total")) == len(ends)
    assert found["gate25_sessions_total"] == 3 and found["gate25_messages_total"] == 2
    assert found["gate25_connect_seconds_count"] == 3
    # Each MAIL and each RCPT waited for a verdict; the refused MAIL had one too.
    asked = found["gate25_store_seconds_count"]
    assert asked >= 6 and found["gate25_verdict_seconds_count"] == asked
    assert found['gate25_verdict_seconds_bucket{le="+Inf"}'] == asked
    assert found["gate25_workers"] == found["gate25_workers_running"] == 2
    assert found["gate25_mirror_age_seconds"] < 60


def test_promtool_finds_nothing_to_mend(lab, gate):
    gate({**FREE, **PAGE})
    status, body = fetch(lab, "/metrics")
    assert status == 200
    checked = promtool(lab, "check", "metrics", input=body, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout + checked.stderr == ""


@pytest.mark.parametrize("path, method, status", [
    ("/", "GET", 404), ("/metrics/../etc", "GET", 404), ("/metrics", "POST", 405), ("/health", "HEAD", 200)])
def test_nothing_else_is_served(lab, gate, path, method, status):
    gate({**FREE, **PAGE})
    assert fetch(lab, path, method)[0] == status


def test_alerts_fire_when_they_should(lab):
    tested = promtool(lab, "test", "rules", PROJECT / "tests" / "alerts.yml", check=False)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_the_page_at_several_addresses(lab, gate):
    gate({**FREE, "metrics": {"listen": [f"127.0.0.1:{PORT}", f"[::1]:{PORT}"]}})
    for address in ("127.0.0.1", "::1"):
        with lab.gate.connect(address, port=PORT, timeout=20) as connection:
            connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            page = connection.makefile().read()
        assert "# HELP gate25_accept_paused_total times a worker let new connections wait: no descriptors, no memory, " \
               "or max-sessions\n" in page


def health(lab, running):
    """What the page and gate25ctl say, which must agree: status, exit code, text."""
    status, body = fetch(lab, "/health")
    result = running.ctl("health", check=False)
    return status, result.returncode, body, result.stdout


def test_health(lab, started, gate):
    own = started(servers.Redis(lab.gate))
    running = gate({**FREE, **PAGE}, redis=own)
    wait_for(lambda: health(lab, running) == (200, 0, "good\n", "good\n"), 30, "good health")
    own.kill()
    wait_for(lambda: "Redis does not answer" in health(lab, running)[3], 30, "a Redis that is missed")
    assert health(lab, running)[:2] == (200, 0)
    own.start()
    wait_for(lambda: health(lab, running)[3] == "good\n", 30, "good health again")
    text = running.config.read_text(encoding="utf-8")
    running.config.write_text(text + "nonsense\n", encoding="utf-8")
    running.signal(signal.SIGHUP)
    wait_for(lambda: "an older one is used" in health(lab, running)[2], 30, "a bad file")
    running.config.write_text(text, encoding="utf-8")
    running.signal(signal.SIGHUP)
    wait_for(lambda: health(lab, running)[3] == "good\n", 30, "good health with a good file")


@pytest.mark.parametrize("harm, cure", [
    (("acl", "setuser", "default", "-fcall"), ("acl", "setuser", "default", "+fcall")),
    (("config", "set", "maxmemory", "1"), ("config", "set", "maxmemory", "0"))], ids=["no right", "no memory"])
def test_answers_without_redis_are_no_good_health(lab, started, gate, sink, harm, cure):
    """However Redis fails to answer: it is connected, and the standings are followed."""
    sink()
    own = started(servers.Redis(lab.gate))
    running = gate({**FREE, **PAGE}, redis=own)
    send(lab, "10.20.90.3")
    wait_for(lambda: health(lab, running) == (200, 0, "good\n", "good\n"), 30, "good health")
    own.cli(*harm)
    try:
        send(lab, "10.20.90.3")
        said = "impaired: within the last minute metered questions were answered without Redis\n"
        wait_for(lambda: health(lab, running) == (200, 0, said, said), 30, "the reason")
        assert running.ctl_json("status")["counters"]["store_up"] == 2
    finally:
        own.cli(*cure)
    send(lab, "10.20.90.3")
    assert "without Redis" in health(lab, running)[2], "for a minute"
    wait_for(lambda: health(lab, running)[3] == "good\n", 120, "good health again")


@contextlib.contextmanager
def silent_connections(host, port, count):
    """Connections that say nothing."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(host.connect("127.0.0.1", port=port, timeout=20)) for _ in range(count)]


def probe(connection):
    """A request of one who keeps his connection; the status, or None: it was closed."""
    try:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: gate\r\n\r\n")
        answer = b""
        while b"good\n" not in answer:
            more = connection.recv(4096)
            if not more:
                return None
            answer += more
        return int(answer.split()[1])
    except (BrokenPipeError, ConnectionResetError):
        return None


def test_silent_connections_shut_nobody_out(lab, gate):
    running = gate({**FREE, **PAGE})
    wait_for(lambda: health(lab, running)[2] == "good\n", 30, "good health")
    for count in (16, 100):
        with silent_connections(lab.gate, PORT, count):
            assert fetch(lab, "/health") == (200, "good\n")
            assert fetch(lab, "/metrics")[0] == 200
    with silent_connections(lab.gate, PORT, 30) as probers:
        # Each is served; whoever was closed in between comes again, as HTTP clients do.
        for number in [*range(30), *range(30)]:
            if probe(probers[number]) is None:
                with lab.gate.connect("127.0.0.1", port=PORT, timeout=20) as again:
                    assert probe(again) == 200
    with silent_connections(lab.gate, PORT, 16) as silent:
        assert fetch(lab, "/health") == (200, "good\n")
        assert silent[0].recv(10) == b"", "the one that was idle longest was closed"


def test_deaths_and_a_drain_are_on_the_page(lab, gate):
    running = gate({**FREE, **PAGE})
    before = samples(lab)
    assert (before["gate25_worker_deaths_total"], before["gate25_drained"], before["gate25_workers_silent"]) == (0, 0, 0)
    for _ in range(2):
        pid = running.workers()[0]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: pid not in running.workers() and 0 not in running.workers(), 30, "another worker")
    assert samples(lab)["gate25_worker_deaths_total"] == 2
    running.ctl("drain")
    assert samples(lab)["gate25_drained"] == 1
    running.ctl("undrain")
    assert samples(lab)["gate25_drained"] == 0


def test_a_gate_that_is_stopped_is_bad(lab, gate, sink):
    sink()
    running = gate({**FREE, **PAGE})
    with Client(lab, "10.20.90.2").greet() as busy:
        busy.envelope()
        busy.expect("DATA", 354)
        running.signal(signal.SIGTERM)
        wait_for(lambda: health(lab, running)[:2] == (503, 1), 30, "bad health")
        assert json.loads(running.ctl("health", "--json", check=False).stdout) == {
            "health": "bad", "reasons": "it is being stopped"}
        busy.expect(".", 250)


def names_in(text):
    """Metrics of gate25d that an expression asks for; those of gate25-bypassd: test_bypass.py."""
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"gate25_(?!bypass)\w+", text)}


def dashboard_queries():
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def test_rules_and_dashboard_ask_for_what_there_is(lab, gate):
    gate({**FREE, **PAGE})
    there = names_in("\n".join(line for line in fetch(lab, "/metrics")[1].splitlines() if line.startswith("# TYPE")))
    asked = names_in("\n".join(dashboard_queries()))
    assert asked and asked <= there, asked - there
    expressions = re.findall(r"expr: (.*(?:\n {12}.*)*)", RULES.read_text(encoding="utf-8"))
    ruled = names_in("\n".join(expressions))
    assert len(expressions) >= 10 and ruled <= there, ruled - there


class Prometheus(Process):
    """A real one, scraping the gate with contrib's configuration and rules."""

    name = "prometheus"
    address = ("127.0.0.1", 9090)

    def start(self):
        scrape = (PROJECT / "contrib/prometheus/gate25-scrape.yml").read_text(encoding="utf-8")
        file = self.folder / "prometheus.yml"
        file.write_text("global: {scrape_interval: 1s, evaluation_interval: 1s}\n" + scrape, encoding="utf-8")
        (self.folder / RULES.name).write_bytes(RULES.read_bytes())
        return self.launch(PARTS / "usr/bin/prometheus", f"--config.file={file}",
                           f"--storage.tsdb.path={self.folder}/data", "--web.listen-address=127.0.0.1:9090", seconds=60)

    def ask(self, path):
        with self.host.connect(*self.address[:1], port=self.address[1], timeout=20) as connection:
            connection.sendall(f"GET /api/v1/{path} HTTP/1.0\r\n\r\n".encode())
            answer = b""
            while more := connection.recv(65536):
                answer += more
        return json.loads(answer.partition(b"\r\n\r\n")[2])["data"]

    def ready(self):
        try:
            return bool(self.ask("rules")["groups"])
        except (OSError, ValueError, KeyError):
            return False


def test_a_real_prometheus_reads_it(lab, gate, started):
    gate({**FREE, **PAGE})
    prometheus = started(Prometheus(lab.gate))
    wait_for(lambda: [item["value"][1] for item in prometheus.ask("query?query=gate25_workers_running")["result"]]
             == ["2"], 60, "a scrape")
    rules = wait_for(lambda: [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]
                              if rule["health"] != "unknown"], 60, "evaluated rules")
    assert {rule["health"] for rule in rules} == {"ok"}, rules
    for query in dashboard_queries():
        words = query.replace("$__rate_interval", "1m").replace("$instance", ".*")  # as Grafana does it
        assert "$" not in words, query
        assert "result" in prometheus.ask("query?" + urllib.parse.urlencode({"query": words})), query
