"""action = "submit" and over = "submit": mail programs are led to authenticated submission."""

import base64
import contextlib
import smtplib
import socket
import ssl
import threading

import pytest

from tests.lab import topology
from tests.lab.postfix import Postfix
from tests.lab.process import PARTS, wait_for
from tests.lab.servers import Sink, read_until
from tests.lab.tap import Tap

HOST4, HOST6 = "198.51.100.10", "2001:db8:ffff::10"
SERVICE4, SERVICE6 = "198.51.100.20", "2001:db8:ffff::20"
LINE4, LINE6 = "10.20.0.7", "2001:db8:20:700::7"
FAMILIES = pytest.mark.parametrize("line, host", [(LINE4, HOST4), (LINE6, HOST6)], ids=["ipv4", "ipv6"])
USER, PASSWORD = "carol@mx.example", "correct horse battery staple"
SUBMIT = {"class ordinary": {"action": "submit"}, "submission": {"host": "smtp.isp.example"}}
ADVICE = "use smtp.isp.example port 587 with STARTTLS or port 465 with TLS"
MESSAGE = "From: carol@mx.example\r\nTo: user@mx.example\r\nSubject: submitted\r\n\r\nHello.\r\n"


pytestmark = pytest.mark.usefixtures("submission_rules")
RULES = ["inet", "gate25_router_submission"]


class Submission(Postfix):
    """A Postfix whose port 587 takes mail from whom SASL knows, and from nobody without TLS."""

    def __init__(self, host, addresses, options=(), **more):
        super().__init__(host, starttls=True, settings={
            "cyrus_sasl_config_path": "${config_directory}/sasl",
            "smtpd_sasl_path": "smtpd",
            "smtpd_tls_auth_only": "yes",
            "smtpd_sasl_authenticated_header": "yes",
        }, **more)
        settings = ["smtpd_tls_security_level=encrypt", "smtpd_sasl_auth_enable=yes",
                    "smtpd_recipient_restrictions=permit_sasl_authenticated,reject", *options]
        with open(self.conf / "master.cf", "a", encoding="ascii") as file:
            for address in addresses:
                file.write(f"[{address}]:587 inet n - n - - smtpd\n" + "".join(f" -o {s}\n" for s in settings))
        sasl = self.conf / "sasl"
        sasl.mkdir()
        (sasl / "smtpd.conf").write_text(
            f"pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\nsasldb_path: {sasl}/db\n",
            encoding="ascii")
        user, realm = USER.split("@")
        host.run(PARTS / "usr/sbin/saslpasswd2", "-p", "-c", "-f", sasl / "db", "-u", realm, user, input=PASSWORD)
        (sasl / "db").chmod(0o644)

    def logged_in(self):
        return self.maillog_text().count(f"sasl_username={USER}")


class Program(smtplib.SMTP):
    """A mail program at `line` that was told: server mx.example (at `host`), port 25, STARTTLS, password."""

    def __init__(self, lab, line, host, port=25):
        self.connect_there = lambda: lab.subscribers.connect(host, line, port=port, timeout=20)
        super().__init__("mx.example", port, local_hostname="pc.example", timeout=20)

    def _get_socket(self, host, port, timeout):
        return self.connect_there()

    def submit(self, certificate):
        """As any mail program does it: the certificate has to be that of mx.example."""
        self.starttls(context=ssl.create_default_context(cafile=certificate))
        self.login(USER, PASSWORD)
        self.sendmail(USER, ["user@mx.example"], MESSAGE)


def greeting(lab, line, host, port=25):
    """The first line that a connection hears."""
    with lab.subscribers.connect(host, line, port=port, timeout=20) as connection:
        return read_until(connection).decode()


def used(guard, line):
    return {limit["limit"]: limit["used"] for limit in guard.ctl_json("explain", line)["limits"]}


def everything(redis):
    """All that Redis holds."""
    reads = {"hash": "hgetall", "zset": "zrange 0 -1", "stream": "xrange - +", "string": "get"}
    with contextlib.closing(redis.client()) as client:
        found = {}
        for key in client.keys():
            verb, *bounds = reads[client.type(key)].split()
            found[key] = client.execute_command(verb, key, *bounds)
        return found


def pipe(lab, line, host):
    """Two ends of a connection: the subscriber's, to port 25, and a bare server's at port 587."""
    with lab.internet.listen(host, port=587) as listener:
        listener.settimeout(20)
        client = lab.subscribers.connect(host, line, timeout=20)
        server, peer = listener.accept()
    server.settimeout(20)
    return client, server, peer


@FAMILIES
def test_a_mail_program_logs_in_and_submits(lab, gate, started, line, host):
    server = started(Submission(lab.internet, [HOST4, HOST6]))
    others = [started(Sink(lab.internet, [SERVICE4, SERVICE6], port=port)) for port in (25, 587)]
    elsewhere = started(Sink(lab.internet, [HOST4, HOST6]))  # the same host's port 25
    guard = gate({**SUBMIT, "submission": {"host": "smtp.isp.example", "address": [SERVICE4, SERVICE6]}})

    with Program(lab, line, host) as program:
        program.submit(server.conf / "cert.pem")
    message, = server.wait_messages(1)
    assert message["Subject"] == "submitted"
    assert f"Authenticated sender: {USER}" in message["Received"]
    assert f"[{line}]" in message["Received"] or f"[IPv6:{line}]" in message["Received"]
    assert server.clients() == [line] and server.logged_in() == 1
    # Whoever did not ask for it has heard nothing, not even a connection.
    for sink in (*others, elsewhere):
        assert not sink.events()

    entry, = guard.wait_journal(event="session")
    assert (entry["verdict"], entry["rule"], entry["class"]) == ("submit", "class", "ordinary")
    bracketed = f"[{host}]" if ":" in host else host
    assert entry["server"] == f"{bracketed}:25" and entry["detail"] == f"bridged to {bracketed}:587"
    assert entry["helo"] is None and entry["from"] == "" and entry["bytes_up"] > 1000
    assert guard.ctl_json("status")["counters"]["bridged_total"] == 1
    assert not guard.journal(event="refusal")
    # The gate keeps nothing of what was said.
    assert PASSWORD not in guard.text() + guard.journal_file.read_text(encoding="utf-8")


@FAMILIES
def test_where_a_password_goes(lab, gate, redis, started, line, host):
    """In clear text, so that it can be followed: every packet of every host of the network is looked at."""
    server = started(Submission(lab.internet, [HOST4, HOST6],
                                ["smtpd_tls_security_level=may", "smtpd_tls_auth_only=no"]))
    for address in ([SERVICE4, SERVICE6], [HOST4, HOST6]):  # who would take it if it came
        started(Sink(lab.internet, address))
    guard = gate({**SUBMIT, "submission": {"host": "smtp.isp.example", "address": [SERVICE4, SERVICE6]}})
    secret = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode())
    hosts = {"subscribers": lab.subscribers, "router": lab.router, "gate": lab.gate, "internet": lab.internet}
    with contextlib.ExitStack() as stack:
        taps = {name: stack.enter_context(Tap(there)) for name, there in hosts.items()}
        with Program(lab, line, host) as program:
            program.login(USER, PASSWORD)
            program.sendmail(USER, ["user@mx.example"], MESSAGE)
        server.wait_messages(1)
        guard.wait_journal(event="session")
    to_gate, to_server = (line, host, 25), (line, host, 587)
    assert taps["subscribers"].carrying(secret) == {to_gate}
    assert taps["router"].carrying(secret) == {to_gate, to_server}
    assert taps["gate"].carrying(secret) == {to_gate, to_server}
    assert taps["internet"].carrying(secret) == {to_server}
    # And nothing keeps it.
    kept = guard.text() + guard.journal_file.read_text(encoding="utf-8") + repr(everything(redis))
    assert line in kept and PASSWORD not in kept and secret.decode() not in kept


@FAMILIES
def test_a_wrong_password_is_the_servers_to_refuse(lab, gate, started, line, host):
    server = started(Submission(lab.internet, [HOST4, HOST6]))
    gate(SUBMIT)
    with Program(lab, line, host) as program:
        program.starttls(context=ssl.create_default_context(cafile=server.conf / "cert.pem"))
        with pytest.raises(smtplib.SMTPAuthenticationError):
            program.login(USER, "wrong")
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            program.sendmail("spam@mx.example", ["user@mx.example"], MESSAGE)
    assert not server.messages()


@FAMILIES
def test_nobody_listens(lab, gate, sink, line, host):
    heard = sink([HOST4, HOST6])  # port 25 alone
    guard = gate(SUBMIT)
    told = greeting(lab, line, host)
    assert told.startswith("554 5.7.1 ") and ADVICE in told
    assert f"{host} port 587: Connection refused" in told and "https://mail.isp.example/" in told
    entry, = guard.wait_journal(event="refusal")
    assert (entry["verdict"], entry["rule"]) == ("refuse", "class")
    assert f"(case {entry['case']})" in told
    assert guard.ctl_json("status")["counters"]["bridged_total"] == 0
    assert not heard.events()


@pytest.mark.parametrize("wait", ["300ms", None], ids=["configured", "default"])
def test_nobody_answers(lab, gate, wait):
    """Packets to port 587 that vanish: the default is three seconds, not a minute."""
    lab.internet.run("nft", "add table inet hole; add chain inet hole in { type filter hook input priority 0; };"
                            "add rule inet hole in tcp dport 587 drop")
    try:
        guard = gate({**SUBMIT, "timeouts": {"submission": wait}})
        told = greeting(lab, LINE4, HOST4)
        assert told.startswith("554 5.7.1 ") and ADVICE in told and "no answer" in told
        entry, = guard.wait_journal(event="session")
        assert entry["duration_ms"] >= (300 if wait else 3000)
    finally:
        lab.internet.run("nft", "delete", "table", "inet", "hole")


@FAMILIES
def test_sessions_over_the_limit_are_bridged(lab, gate, sink, started, line, host):
    submission = started(Submission(lab.internet, [HOST4, HOST6]))
    plain = sink([HOST4, HOST6])
    guard = gate({**SUBMIT, "class ordinary": {
        "sessions": ["2/1h"], "bytes": ["1M/30d"], "concurrent": 9, "over": "submit"}})
    for _ in range(2):
        with Program(lab, line, host) as program:
            program.sendmail("me@home.example", ["user@mx.example"], MESSAGE)
    guard.wait_journal(2, event="session")
    wait_for(lambda: used(guard, line)["concurrent"] == 0, what="no slot in use")
    before = used(guard, line)
    assert before["bytes"] > len(MESSAGE)
    for _ in range(2):
        with Program(lab, line, host) as program:
            program.submit(submission.conf / "cert.pem")
    assert len(plain.messages()) == 2 and len(submission.wait_messages(2)) == 2
    # The server at port 25 has not even seen connections of those that were bridged.
    assert len(plain.events("connect")) == 2
    bridged = guard.wait_journal(2, verdict="submit")
    assert {entry["rule"] for entry in bridged} == {"sessions:2/1h"}
    assert guard.ctl_json("status")["counters"]["bridged_total"] == 2
    # Nothing of it was metered. (What was used before is given back by and by.)
    after = used(guard, line)
    assert all(after[kind] <= before[kind] for kind in before)
    assert "over them bridged to submission" in guard.ctl("explain", line).stdout


def test_over_the_limit_where_nobody_listens(lab, gate, sink):
    sink()
    guard = gate({**SUBMIT, "class ordinary": {"sessions": ["1/1h"], "concurrent": 3, "over": "submit"}})
    assert greeting(lab, LINE4, HOST4).startswith("220 ")
    told = greeting(lab, LINE4, HOST4)
    assert told.startswith("421 4.7.0 ") and ADVICE in told and "retry in " in told
    entry, = guard.wait_journal(event="refusal")
    assert (entry["verdict"], entry["rule"]) == ("defer", "sessions:1/1h")
    wait_for(lambda: used(guard, LINE4)["concurrent"] == 0, what="no slot in use")


@FAMILIES
@pytest.mark.parametrize("limits", [{"action": "submit"}, {"sessions": ["1/1h"], "over": "submit"}], ids=["submit", "over"])
def test_bridged_sessions_count_as_open(lab, gate, sink, line, host, limits):
    """Else one subscriber could hold all the sessions that the gate may have."""
    sink([HOST4, HOST6])
    sink([HOST4, HOST6], port=587)
    guard = gate({**SUBMIT, "class ordinary": {**limits, "concurrent": 3}})
    if "sessions" in limits:
        assert greeting(lab, line, host).startswith("220 ")
        wait_for(lambda: used(guard, line)["concurrent"] == 0, what="no slot in use")
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            bridged = stack.enter_context(lab.subscribers.connect(host, line, timeout=20))
            assert read_until(bridged).startswith(b"220 ")
        told = greeting(lab, line, host)
        assert told.startswith("421 4.7.0 ") and "has reached its limit of 3 sessions at once (one that was broken off may count" in told
        assert used(guard, line)["concurrent"] == 3
        entry, = guard.wait_journal(event="refusal")
        assert (entry["verdict"], entry["rule"]) == ("defer", "concurrent:3")
        other = {LINE4: "10.20.0.8", LINE6: "2001:db8:20:800::8"}[line]
        assert greeting(lab, other, host).startswith("220 ")
    wait_for(lambda: used(guard, line)["concurrent"] == 0, what="no slot in use")
    assert greeting(lab, line, host).startswith("220 ")
    guard.wait_journal(4, verdict="submit")


def test_a_bridge_is_held_to_its_number_without_redis(lab, gate, sink):
    sink([HOST4, HOST6], port=587)
    gate({**SUBMIT, "class ordinary": {"action": "submit", "concurrent": 1}, "intercept": {"workers": 1}},
         redis="unix:/run/gate25-lab/no-redis.sock")
    with lab.subscribers.connect(HOST4, LINE4, timeout=20) as bridged:
        assert read_until(bridged).startswith(b"220 ")
        assert greeting(lab, LINE4, HOST4).startswith("421 4.7.0 ")


def test_over_a_limit_within_the_session(lab, gate, sink):
    heard = sink()
    gate({**SUBMIT, "class ordinary": {"messages": ["1/1h"], "over": "submit"}})
    with Program(lab, LINE4, HOST4) as program:
        program.sendmail("me@home.example", ["user@mx.example"], MESSAGE)
        code, told = program.mail("me@home.example")
        assert code == 450 and ADVICE in told.decode() and "retry in " in told.decode()
        assert program.noop()[0] == 250
    assert len(heard.messages()) == 1


@FAMILIES
def test_direct_submission_keeps_working(lab, gate, started, line, host):
    """The subscriber's own connections to port 587, and those of the gate, at the same time."""
    server = started(Submission(lab.internet, [HOST4, HOST6]))
    guard = gate(SUBMIT)
    lab.gate.run("nft", "add table inet probe; add chain inet probe seen { type filter hook forward priority 0; };"
                        "add rule inet probe seen tcp sport 587 counter")
    with contextlib.ExitStack() as stack:
        stack.callback(lab.gate.run, "nft", "delete", "table", "inet", "probe")
        direct = [stack.enter_context(Program(lab, line, host, port=587)) for _ in range(3)]
        bridged = [stack.enter_context(Program(lab, line, host)) for _ in range(3)]
        for program in [*direct, *bridged]:
            program.submit(server.conf / "cert.pem")
        assert "packets 0 " in lab.gate.run("nft", "list", "table", "inet", "probe").stdout, "no detour"
    assert len(server.wait_messages(6)) == 6
    assert server.clients() == [line] * 6
    assert len(guard.wait_journal(3, event="session")) == 3
    assert guard.ctl_json("status")["counters"]["sessions_total"] == 3


@FAMILIES
def test_without_the_rules_for_replies_nobody_is_harmed(lab, gate, started, line, host):
    """A router that was not told brings replies to the subscriber: advice, and direct use as ever."""
    server = started(Submission(lab.internet, [HOST4, HOST6]))
    gate({**SUBMIT, "timeouts": {"submission": "300ms"}})
    rules = lab.router.run("nft", "list", "table", *RULES).stdout
    lab.router.run("nft", "flush", "table", *RULES)
    try:
        assert ADVICE in greeting(lab, line, host)
        with Program(lab, line, host, port=587) as program:
            program.submit(server.conf / "cert.pem")
        assert len(server.wait_messages(1)) == 1
    finally:
        lab.router.run("nft", "-f", "-", input=rules)


@FAMILIES
def test_one_port_for_two(lab, gate, started, line, host):
    """The gate has one port to choose, and the subscriber uses it to the same server: he keeps it."""
    server = started(Submission(lab.internet, [HOST4, HOST6]))
    gate({**SUBMIT, "timeouts": {"submission": "300ms"}})
    with Program(lab, line, host, port=587) as program:
        port = program.sock.getsockname()[1]
        with topology.other_sysctls(lab.gate, {"net.ipv4.ip_local_port_range": f"{port} {port}"}):
            assert ADVICE in greeting(lab, line, host)
        program.submit(server.conf / "cert.pem")
    assert len(server.wait_messages(1)) == 1
    with Program(lab, line, host) as program:
        program.submit(server.conf / "cert.pem")
    assert len(server.wait_messages(2)) == 2


@FAMILIES
def test_own_servers_go_to_the_service(lab, gate, started, sink, line, host):
    service = started(Submission(lab.internet, [SERVICE4, SERVICE6],
                                 ["smtpd_upstream_proxy_protocol=haproxy"]))
    own = sink([HOST4, HOST6], port=587)
    guard = gate({**SUBMIT, "submission": {
        "host": "smtp.isp.example", "for": [HOST4, "2001:db8:ffff::10/124"], "address": [SERVICE4, SERVICE6],
        "proxy-protocol": True}})
    with Program(lab, line, host) as program:
        program.submit(service.conf / "cert.pem")
    message, = service.wait_messages(1)
    # By the header, since Postfix takes nobody without one here.
    assert service.clients() == [line]
    assert f"Authenticated sender: {USER}" in message["Received"]
    assert not own.events()
    entry, = guard.wait_journal(event="session")
    assert entry["detail"] in (f"bridged to {SERVICE4}:587", f"bridged to [{SERVICE6}]:587")


@pytest.mark.parametrize("line, host, service", [(LINE4, HOST4, SERVICE4), (LINE6, HOST6, SERVICE6)],
                         ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("proxy", [True, False], ids=["header", "no header"])
def test_proxy_header(lab, gate, line, host, service, proxy):
    """Byte for byte: the header, then what the client said before anybody else, then the end."""
    gate({**SUBMIT, "submission": {
        "for": [HOST4, HOST6], "address": [SERVICE4, SERVICE6], "proxy-protocol": proxy}})
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with lab.internet.listen(service, port=587) as listener:
        listener.settimeout(20)
        with lab.subscribers.connect(host, line, timeout=20) as client:
            port = client.getsockname()[1]
            client.sendall(b"EHLO early\r\n\0\xff")
            client.shutdown(socket.SHUT_WR)
            server, peer = listener.accept()
            with server:
                server.settimeout(20)
                heard = b""
                while more := server.recv(4096):
                    heard += more
                server.sendall(b"still there\r\n")
                assert read_until(client) == b"still there\r\n"
    addresses = socket.inet_pton(family, line) + socket.inet_pton(family, host)
    header = (b"\r\n\r\n\0\r\nQUIT\n" + (b"\x21\x21\0\x24" if ":" in host else b"\x21\x11\0\x0c") +
              addresses + port.to_bytes(2, "big") + (25).to_bytes(2, "big"))
    assert heard == (header if proxy else b"") + b"EHLO early\r\n\0\xff"
    assert peer[0] == line, "from the subscriber's own address all the same"


@FAMILIES
def test_byte_for_byte(lab, gate, line, host):
    """Much, in both directions at once, and each half-close for itself."""
    gate(SUBMIT)
    up, down = (bytes([seed]) + bytes(range(256)) * 8192 for seed in (1, 2))
    client, server, peer = pipe(lab, line, host)
    assert peer[0] == line
    with client, server:
        heard = {}

        def receive(name, connection):
            pieces = []
            while piece := connection.recv(65536):
                pieces.append(piece)
            heard[name] = b"".join(pieces)

        def send(connection, data):
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)

        jobs = [threading.Thread(target=job, args=arguments) for job, *arguments in (
            (receive, "server", server), (receive, "client", client), (send, client, up), (send, server, down))]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join(30)
    assert heard == {"server": up, "client": down}


def test_shadow(lab, gate, sink):
    """enforce = false: nobody is led anywhere, and the journal says who would have been."""
    heard = sink()
    guard = gate({**SUBMIT, "class ordinary": {"action": "submit", "enforce": False}})
    with Program(lab, LINE4, HOST4) as program:
        program.sendmail("me@home.example", ["user@mx.example"], MESSAGE)
    assert len(heard.messages()) == 1
    entry, = guard.wait_journal(event="refusal")
    assert (entry["verdict"], entry["shadow"]) == ("submit", True)
    assert guard.ctl_json("status")["counters"]["bridged_total"] == 0


def test_redirect_mode(lab, redirect, gate, started):
    """From the gate's own address, then; the router's rules for replies are not needed."""
    del redirect
    server = started(Submission(lab.internet, [HOST4, HOST6]))
    gate(SUBMIT, mode="redirect")
    with Program(lab, LINE4, HOST4) as program:
        program.submit(server.conf / "cert.pem")
    assert len(server.wait_messages(1)) == 1


def test_explain(lab, gate):
    guard = gate(SUBMIT)
    assert "submit: bridged to submission, port 587 of the same server" in guard.ctl("explain", LINE4).stdout
    assert guard.ctl_json("explain", LINE4)["action"] == "submit"


def test_registered_servers_are_not_bridged(lab, gate, sink):
    heard = sink()
    guard = gate(SUBMIT)
    guard.ctl("register", LINE4)
    wait_for(lambda: greeting(lab, LINE4, HOST4).startswith("220 "), what="the registration is known")
    assert heard.events("connect")
