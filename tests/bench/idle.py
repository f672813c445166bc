"""Memory of an idle connection, held behind its EHLO: the arm's own, its Redis's, and the kernel's."""

import contextlib
import re
from pathlib import Path

from . import arms, calls, cpu, workloads
from .tools import HOLDING, Load, ToolFailed

# Slab caches that sockets, their files and epoll's entries come from; a kernel that merges caches may lack some.
CACHES = ("TCP", "TCPv6", "sock_inode_cache", "filp", "dentry", "eventpoll_epi", "eventpoll_pwq", "skbuff_head_cache",
          "skbuff_small_head", "skbuff_fclone_cache", "request_sock_TCP", "request_sock_TCPv6", "lsm_file_cache",
          "tcp_bind_bucket", "tcp_bind2_bucket")
NEARLY_ALL = 0.99
PORT_OFFSET = 20
SERVED = 5000  # sessions that have been before: a gate in service
FIRST = 1000  # connections held before: what a gate has in any case is not an idle one's


def slabs():
    """Bytes in each of those caches; nothing where the kernel does not tell."""
    try:
        lines = Path("/proc/slabinfo").read_text(encoding="ascii").splitlines()
    except PermissionError:
        return {}
    rows = (line.split() for line in lines if not line.startswith(("#", "slabinfo")))
    return {row[0]: int(row[1]) * int(row[3]) for row in rows if row[0] in CACHES}


def buffers(host):
    """Bytes in the buffers of the host's TCP sockets. The kernel counts them for all hosts together."""
    text = host.run("cat", "/proc/net/sockstat").stdout
    return int(re.search(r"(?m)^TCP:.* mem (\d+)", text)[1]) * 4096


def unreclaimable():
    text = Path("/proc/meminfo").read_text(encoding="ascii")
    return int(re.search(r"(?m)^SUnreclaim: +(\d+)", text)[1]) * 1024


def redis_memory(arm):
    """Bytes that its Redis has given to what it keeps; 0 without one. Its pages would not tell: some hundred bytes a
    session hide in what is free in them."""
    if not arm.redis:
        return 0
    with contextlib.closing(arm.redis.client()) as client:
        return client.info("memory")["used_memory"]


def state(arm):
    pids = arm.pids()
    caches = slabs()
    return {"resident": cpu.rollup(pids, "Rss"), "proportional": cpu.rollup(pids, "Pss"),
            "private": cpu.rollup(pids, "Private_Dirty"), "caches": sum(caches.values()), "of_caches": caches,
            "redis": redis_memory(arm), "buffers": buffers(arm.bench.lab.gate), "unreclaimable": unreclaimable()}


def of(bench, name):
    """A fresh one of its kind, that has not held anything yet."""
    if name == "direct":
        return contextlib.nullcontext(bench.arms["direct"])
    return bench.another(name, workers=bench.workers, offset=PORT_OFFSET)


@contextlib.contextmanager
def holding(bench, arm, connections):
    """So many are open, behind their EHLO, as long as the block runs; how many really are."""
    with Load(bench.lab.subscribers, arm.servers, "--hold", "--concurrent", connections,
              sources=[arms.MANY]) as load:
        held = int(load.wait_word(HOLDING))
        yield held
        done = load.result()
    if held < NEARLY_ALL * connections:
        raise ToolFailed(f"{arm.name} holds {held} of {connections} connections only: {done}")


def one(bench, name, connections):
    """Bytes for each connection that is held beside the first ones."""
    with of(bench, name) as arm:
        bench.serve(name)
        calls.run_sessions(bench, workloads.SMALL, SERVED, "--concurrent", 20)
        with holding(bench, arm, FIRST):
            before = state(arm)
            with holding(bench, arm, connections) as held:
                after = state(arm)
    return {"connections": held,
            **{what: (after[what] - before[what]) / held for what in before if what != "of_caches"}}


def run(bench, names, connections, tell):
    """{arm: {what: bytes a connection}}; the kernel's beyond direct's, which are those of client and server."""
    found = {}
    for name in names:
        found[name] = one(bench, name, connections)
        kernel = {what: found[name][what] - found["direct"][what] for what in ("caches", "buffers", "unreclaimable")
                  if "direct" in found}
        found[name]["of_gate"] = kernel
        tell(f"  {name}: " + ", ".join(f"{what} {each:.0f}" for what, each in found[name].items()
                                       if isinstance(each, float))
             + " B" + (f"; the gate's: caches {kernel['caches']:.0f} B, buffers {kernel['buffers']:.0f} B"
                       if kernel and name != "direct" else ""))
    return found
