"""What the gate tells of itself: metrics for Prometheus, health for load balancers."""

import json
import re
import signal

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


def test_rules_and_dashboard_ask_for_what_there_is(lab, gate):
    gate({**FREE, **PAGE})
    there = names_in("\n".join(line for line in fetch(lab, "/metrics")[1].splitlines() if line.startswith("# TYPE")))
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    asked = names_in("\n".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"]))
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
