"""Redis as a fleet has it: behind TLS, with users of its own, under sentinels, as a cluster."""

import binascii
import contextlib
import re
import socket
import subprocess
import time

import redis as redis_client

from . import topology
from .process import PARTS, Process, fresh_folder, wait_for

ACL_FILE = topology.CONTRIB / "redis" / "users.acl"
WEB_ACL_FILE = topology.CONTRIB / "redis" / "gate25-web.acl"
SENTINEL_ACL_FILE = topology.CONTRIB / "redis" / "sentinel-users.acl"
PATIENCE_S = 180  # elections take turns, and a sentinel that was starved does nothing for half a minute
ADMIN = ("admin", "of-the-tests")


def password(user):
    """One with all that makes URLs difficult."""
    return f"{user}-s/ecret@:"


def passwords(file):
    """An ACL file of contrib with passwords in it, and the tests' own user beside its."""
    text = re.sub(r"CHANGE-ME-(\w+)", lambda match: password(match[1]), file.read_text(encoding="ascii"))
    return text + f"user {ADMIN[0]} on >{ADMIN[1]} ~* &* +@all\n"


def login(user):
    """That user's part of a URL."""
    return f"{user}:{user}-s%2Fecret%40%3A@"


class Authority:
    """A certificate authority; issue() makes certificates. Files in PEM."""

    def __init__(self, name="the lab's authority"):
        self.folder = fresh_folder("ca")
        self.certificate, self.key = self.folder / "ca.pem", self.folder / "ca.key"
        self._openssl("req", "-x509", *self._new_key(self.key), "-days", "30", "-subj", f"/CN={name}",
                      "-addext", "basicConstraints=critical,CA:TRUE", "-out", self.certificate)

    @staticmethod
    def _new_key(path):
        return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path)

    @staticmethod
    def _openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)

    def issue(self, name, alternative, days=30):
        """A certificate for `alternative` ("DNS:localhost,IP:127.0.0.1"): paths of it and its key."""
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        request, extensions = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternative}\n", encoding="ascii")
        self._openssl("req", *self._new_key(key), "-subj", f"/CN={name}", "-out", request)
        self._openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key,
                      "-CAcreateserial", "-days", days, "-extfile", extensions, "-out", certificate)
        return certificate, key


def free_port(host, busy=()):
    """A TCP port of loopback in `host` on which nothing listens; its cluster bus port is free, too."""
    while True:
        with host.inside(), contextlib.ExitStack() as stack:
            first = stack.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            second = stack.enter_context(socket.socket())
            with contextlib.suppress(OSError, OverflowError):
                second.bind(("127.0.0.1", port + 10000))
                if port not in busy:
                    return port


class Server(Process):
    """redis-server or a sentinel on TCP, with a unix socket beside it for the tests' own questions.

    `tls` = (authority, certificate): it speaks nothing but TLS, and asks for its clients' certificates.
    """

    name = "redis"

    def __init__(self, host, users=None, folder=None, tls=None):
        super().__init__(host, folder)
        self.port = free_port(host)
        self.tls = tls
        self.frozen = False
        self.socket = self.folder / "redis.sock"
        self.users = users
        self.config = self.folder / "redis.conf"
        self.lines = ["bind 127.0.0.1", f"unixsocket {self.socket}", "unixsocketperm 777",
                      f"dir {self.folder}", 'save ""', "appendonly yes", "appendfsync always"]
        if users:
            (self.folder / "users.acl").write_text(users, encoding="ascii")
            self.lines.append(f"aclfile {self.folder}/users.acl")

    def listen(self):
        """The lines of the configuration that say where, and in which language."""
        if not self.tls:
            return [f"port {self.port}"]
        authority, certificate = self.tls
        return ["port 0", f"tls-port {self.port}", f"tls-cert-file {certificate[0]}",
                f"tls-key-file {certificate[1]}", f"tls-ca-cert-file {authority.certificate}",
                "tls-auth-clients yes", "tls-replication yes"]

    def start(self, *options):
        if not self.config.exists():
            self.config.write_text("\n".join(self.listen() + self.lines) + "\n", encoding="ascii")
        return self.launch(PARTS / "usr/bin/redis-server", self.config, *options)

    def ready(self):
        with contextlib.suppress(redis_client.RedisError):
            return self.client().ping()
        return False

    def stop(self):
        super().stop()
        self.frozen = True

    def cont(self):
        super().cont()
        self.frozen = False

    def answers(self):
        """It is there, and not frozen."""
        return self.alive() and not self.frozen

    def client(self, **options):
        if self.users:
            options = {"username": ADMIN[0], "password": ADMIN[1], **options}
        return redis_client.Redis(unix_socket_path=str(self.socket), decode_responses=True, **options)

    def cli(self, *arguments):
        with contextlib.closing(self.client()) as client:
            return client.execute_command(*arguments)

    def wait_cli(self, expect, *arguments, seconds=PATIENCE_S):
        """Until the answer to the command satisfies expect()."""
        def holds():
            with contextlib.suppress(redis_client.RedisError):
                return expect(self.cli(*arguments))
            return False
        wait_for(holds, seconds, f"{arguments} of redis {self.port}", every=0.05)

    def present(self, certificate):
        """From now on it shows this certificate."""
        self.cli("config", "set", "tls-cert-file", str(certificate[0]), "tls-key-file", str(certificate[1]))

    def denied(self):
        """What Redis has refused to its users since: (user, reason, object)."""
        entries = self.cli("acl", "log")
        pairs = [dict(zip(e[::2], e[1::2])) if isinstance(e, list) else e for e in entries]
        return [(e["username"], e["reason"], e["object"]) for e in pairs]


class Sentinel(Server):
    """One that watches `master` under the name "main"."""

    name = "sentinel"

    def __init__(self, host, master, quorum=2, down_after_ms=3000, **options):
        super().__init__(host, users=passwords(SENTINEL_ACL_FILE), **options)
        self.lines = [line for line in self.lines if not line.startswith(("save", "append"))] + [
            f"sentinel monitor main 127.0.0.1 {master.port} {quorum}",
            f"sentinel down-after-milliseconds main {down_after_ms}",
            "sentinel failover-timeout main 10000",
            "sentinel auth-user main sentinel",
            f"sentinel auth-pass main {password('sentinel')}",
            "sentinel sentinel-user sentinel",
            f"sentinel sentinel-pass {password('sentinel')}",
        ]

    def start(self, *options):
        return super().start("--sentinel", *options)

    def master_port(self):
        with contextlib.suppress(redis_client.RedisError, TypeError):
            return int(self.cli("sentinel", "get-master-addr-by-name", "main")[1])
        return None


class Watched:
    """A master, a replica and three sentinels; every one of them asks for passwords."""

    def __init__(self, host, started):
        self.servers = [Server(host, users=passwords(ACL_FILE)) for _ in range(2)]
        for server in self.servers:
            server.lines += ["masteruser replica", f"masterauth {password('replica')}",
                             "repl-diskless-sync-delay 0"]
        self.servers[1].lines.append(f"replicaof 127.0.0.1 {self.servers[0].port}")
        for server in self.servers:
            started(server)
        self.sentinels = [started(Sentinel(host, self.servers[0])) for _ in range(3)]
        self.wait_whole()

    def url(self, user):
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis-sentinel://{login(user)}{hosts}/main"

    @property
    def settings(self):
        """What the section `redis` needs beside the URL."""
        return {"sentinel-user": "gate25", "sentinel-password": password("gate25")}

    def master(self):
        """The server that says to be the master and that sentinels name, or None."""
        named = {sentinel.master_port() for sentinel in self.sentinels if sentinel.answers()}
        for server in self.servers:
            if server.answers() and named == {server.port}:
                with contextlib.suppress(redis_client.RedisError):
                    if server.cli("role")[0] == "master":
                        return server
        return None

    def other(self, server):
        return self.servers[1 - self.servers.index(server)]

    def wait_master(self, server):
        wait_for(lambda: self.master() is server, PATIENCE_S, f"{server.port} is the master", every=0.05)

    def switch(self):
        """Has a sentinel make the replica the master, which it may decline while others are at it."""
        old = self.master()
        asked = -PATIENCE_S

        def done():
            nonlocal asked
            if self.master() is self.other(old):
                return True
            if time.monotonic() - asked > 15:
                asked = time.monotonic()
                with contextlib.suppress(redis_client.RedisError):
                    self.sentinels[0].cli("sentinel", "failover", "main")
            return False

        wait_for(done, PATIENCE_S, "the other one is the master", every=0.05)

    def wait_whole(self):
        """Until the replica follows the master, and all three sentinels know of everybody."""
        wait_for(self._whole, PATIENCE_S, "the sentinels know of everybody", every=0.05)

    def _whole(self):
        master = self.master()
        if master is None or not self.in_step():
            return False
        for sentinel in self.sentinels:
            words = sentinel.cli("sentinel", "master", "main")
            state = words if isinstance(words, dict) else dict(zip(words[::2], words[1::2]))
            if (int(state["num-other-sentinels"]), int(state["num-slaves"])) != (2, 1):
                return False
            slaves = sentinel.cli("sentinel", "replicas", "main")
            state = slaves[0] if isinstance(slaves[0], dict) else dict(zip(slaves[0][::2], slaves[0][1::2]))
            if state["flags"] not in ("slave", {"slave"}) and "down" in str(state["flags"]):
                return False
        return True

    def in_step(self):
        """The replica has all that the master wrote."""
        master = self.master()
        if master is None:
            return False
        with contextlib.suppress(redis_client.RedisError):
            client = master.client()
            info = client.info("replication")
            client.close()
            return (info["connected_slaves"] == 1 and info["slave0"]["state"] == "online"
                    and int(info["slave0"]["offset"]) >= int(info["master_repl_offset"]))
        return False


def slot_of(key):
    """The slot of a key in a cluster, reckoned by another hand than the gate's."""
    found = re.search(r"\{([^}]+)\}", key)
    return binascii.crc_hqx((found[1] if found else key).encode(), 0) % 16384


class Node(Server):
    """A node of a cluster."""

    def __init__(self, host, node_timeout_ms, **options):
        super().__init__(host, users=passwords(ACL_FILE), **options)
        self.lines += ["cluster-enabled yes", f"cluster-node-timeout {node_timeout_ms}",
                       "cluster-require-full-coverage no", "cluster-replica-validity-factor 0",
                       "masteruser replica", f"masterauth {password('replica')}", "repl-diskless-sync-delay 0"]

    def listen(self):
        return super().listen() + [f"cluster-port {self.port + 10000}"] + ["tls-cluster yes"] * bool(self.tls)

    @property
    def id(self):
        return self.cli("cluster", "myid")

    def is_master(self):
        with contextlib.suppress(redis_client.RedisError):
            return self.cli("role")[0] == "master"
        return False


class Cluster:
    """Three masters with a replica each: nodes[i + 3] begins as the replica of nodes[i]."""

    def __init__(self, host, started, node_timeout_ms=4000, replicas=3, tls=None):
        self.tls = tls
        self.nodes = [started(Node(host, node_timeout_ms, tls=tls)) for _ in range(3 + replicas)]
        for number, node in enumerate(self.nodes):
            node.cli("cluster", "set-config-epoch", number + 1)
            if number > 0:
                node.cli("cluster", "meet", "127.0.0.1", self.nodes[0].port)
        shares = [(0, 5460), (5461, 10922), (10923, 16383)]
        for node, (first, last) in zip(self.nodes, shares):
            node.cli("cluster", "addslotsrange", first, last)
        wait_for(self._all_know_all, PATIENCE_S, "the nodes know each other", every=0.05)
        for master, replica in zip(self.nodes, self.nodes[3:]):
            replica.cli("cluster", "replicate", master.id)
        self.wait_whole()

    def _all_know_all(self):
        return all(f"cluster_known_nodes:{len(self.nodes)}\r" in node.cli("cluster", "info") for node in self.nodes)

    def url(self, user):
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[1:4])
        return f"redis{'s' * bool(self.tls)}-cluster://{login(user)}{hosts}"

    def owner(self, key):
        """The live master that says to hold a key's slot."""
        return self._owner(slot_of(key))

    def _owner(self, slot):
        for node in self.nodes:
            if node.answers() and node.is_master():
                mine = next(line for line in node.cli("cluster", "nodes").splitlines() if "myself" in line)
                for share in mine.split()[8:]:
                    first, _, last = share.partition("-")
                    if first.isdigit() and int(first) <= slot <= int(last or first):
                        return node
        return None

    def wait_whole(self):
        """Until all slots are served, and each master that lives has a replica that has all of it."""
        wait_for(self._whole, PATIENCE_S, "the cluster is whole", every=0.05)

    def _whole(self):
        alive = [node for node in self.nodes if node.answers()]
        if any("cluster_state:ok\r" not in node.cli("cluster", "info") for node in alive):
            return False
        return len(self.nodes) == 3 or all(self.in_step(node) for node in alive if node.is_master())

    @staticmethod
    def in_step(node):
        with contextlib.closing(node.client()) as client:
            info = client.info("replication")
        return (info["connected_slaves"] >= 1 and info["slave0"]["state"] == "online"
                and int(info["slave0"]["offset"]) >= int(info["master_repl_offset"]))

    def migrate(self, slot, to, pause=lambda: None):
        """Moves a slot as redis-cli's reshard does, key by key; pause() between the steps."""
        source = self._owner(slot)
        to.cli("cluster", "setslot", slot, "importing", source.id)
        source.cli("cluster", "setslot", slot, "migrating", to.id)
        pause()
        while keys := source.cli("cluster", "getkeysinslot", slot, 1):
            source.cli("migrate", "127.0.0.1", to.port, keys[0], 0, 10000, "AUTH2", *ADMIN)
            pause()
        for node in (to, source, *self.nodes):
            if node.answers() and node.is_master():
                node.cli("cluster", "setslot", slot, "node", to.id)
