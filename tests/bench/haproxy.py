"""HAProxy in a gate of the lab: transparent TCP, as a good operator would have it."""

import resource

from tests.lab.process import PARTS, Process

# What is not its default, and why. It goes into the result.
SETTINGS = """\
global
    # One process, a thread a core, no master, no log.
    nbthread {threads}
    maxconn {most}
    maxpipes {pipes}

defaults
    mode tcp
    maxconn {most}
    backlog 8192
    option splice-auto
    timeout connect 30s
    timeout client 10m
    timeout server 10m
    retries 0

listen port25
    # A listening socket a thread, so that the kernel spreads new connections.
    bind 127.0.0.1:{port} transparent shards by-thread
    bind ::1:{port} transparent shards by-thread
    # No server: on to where the client wanted to go, from the client's own address.
    option transparent
    source 0.0.0.0 usesrc clientip
"""
MOST_SESSIONS = 20000
PIPES = 250  # in use only while a session splices
OTHER_FILES = 100  # listening sockets, epoll, log


def most_sessions():
    """As many as its open files allow: two sockets each."""
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return MOST_SESSIONS
    return min(MOST_SESSIONS, (files - 2 * PIPES - OTHER_FILES) // 2)


class HAProxy(Process):
    """haproxy of Debian, which takes what TPROXY hands to `port` of loopback."""

    name = "haproxy"

    def __init__(self, host, port, threads, wrapper=()):
        super().__init__(host)
        self.wrapper = wrapper
        self.port = port
        self.settings = SETTINGS.format(threads=threads, most=most_sessions(), pipes=PIPES, port=port)
        self.config = self.folder / "haproxy.cfg"

    def start(self):
        self.config.write_text(self.settings, encoding="ascii")
        return self.launch(*self.wrapper, PARTS / "usr/sbin/haproxy", "-db", "-f", self.config, seconds=60)

    def ready(self):
        """It listens; asked of the kernel, as a connection would be led on to itself."""
        return f"127.0.0.1:{self.port} " in self.host.run("ss", "-Hltn", f"sport = :{self.port}").stdout
