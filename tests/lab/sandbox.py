"""A private world for the lab: own network, mounts, processes; gone when its launcher is gone.

Built from unshare(1). As an ordinary user it begins with a user namespace, with the user's whole
range of /etc/subuid where there is one, so that Postfix can have users of its own in it.
"""

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
STATE = "GATE25_LAB"  # set inside the sandbox, to its folder
WORK = Path("/run/gate25-lab")
PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
PR_SET_PDEATHSIG = 1

# Accounts that Postfix needs and that the host may not have: name -> uid and gid in the sandbox.
ACCOUNTS = {"postfix": 2001, "postdrop": 2002, "vmail": 2003, "Debian-exim": 2004, "opensmtpd": 2005, "opensmtpq": 2006}

libc = ctypes.CDLL(None, use_errno=True)


class SandboxError(Exception):
    """The sandbox cannot be made here; the text says why."""


def inside():
    return STATE in os.environ


def many_users():
    """True inside when uids other than root's exist, as Postfix needs."""
    with open("/proc/self/uid_map", encoding="ascii") as file:
        return sum(int(line.split()[2]) for line in file) > max(ACCOUNTS.values())


def machines_root():
    """True inside where root is the machine's own, as the kernel wants it for BPF."""
    with open("/proc/self/uid_map", encoding="ascii") as file:
        return file.read().split() == ["0", "0", "4294967295"]


def _has_subordinate_ids():
    if not shutil.which("newuidmap", path=PATH):
        return False
    try:
        names = {pwd.getpwuid(os.getuid()).pw_name, str(os.getuid())}
    except KeyError:
        names = {str(os.getuid())}
    for table in ("/etc/subuid", "/etc/subgid"):
        try:
            with open(table, encoding="ascii") as file:
                if not any(line.split(":")[0] in names for line in file):
                    return False
        except OSError:
            return False
    return True


def _unshare_command(script, arguments):
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() != 0:
        command += ["--user", "--map-root-user"]
        if _has_subordinate_ids():
            command.append("--map-auto")
    return command + ["--", sys.executable, str(script), "--inside", *arguments]


def dies_with_parent():
    """A preexec_fn: whatever ends this process ends the child, too."""
    parent = os.getpid()

    def prepare():
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return prepare


def start(script, arguments, detached=False, **options):
    """Starts `script --inside ARGUMENTS` in a fresh sandbox; returns the Popen of its holder.

    Killing the holder, by any signal, ends everything in the sandbox. Unless detached, the
    holder itself dies with this process.
    """
    if str(PROJECT).startswith("/run/"):
        raise SandboxError("the project lies below /run, which the sandbox covers with its own")
    environment = dict(os.environ, PATH=PATH + ":" + os.environ.get("PATH", ""))
    return subprocess.Popen(
        _unshare_command(script, arguments),
        env=environment,
        preexec_fn=None if detached else dies_with_parent(),
        start_new_session=detached,
        **options,
    )


def run(script, arguments):
    """Runs `script --inside ARGUMENTS` in a fresh sandbox; returns its exit status."""
    holder = start(script, arguments)

    def end(_number, _frame):
        holder.kill()

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    # Ctrl-C reaches the command itself, which may want to report before it ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    status = holder.wait()
    return 128 - status if status < 0 else status


def _mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)


def _replace(original, lines):
    """Gives the sandbox a private copy of a file, with these lines."""
    copy = WORK / original.name
    copy.write_text("\n".join(lines) + "\n", encoding="utf-8")
    _mount("--bind", str(copy), str(original))


def _add_accounts():
    """The accounts that the sandbox needs, in passwd and group."""
    for table, line in (("passwd", "{0}:x:{1}:{1}::/nonexistent:/usr/sbin/nologin"),
                        ("group", "{0}:x:{1}:")):
        original = Path("/etc") / table
        lines = [text for text in original.read_text(encoding="utf-8").splitlines()
                 if text.split(":")[0] not in ACCOUNTS]
        lines += [line.format(name, number) for name, number in ACCOUNTS.items()]
        _replace(original, lines)


def _two_localhosts():
    """As Debian's installer leaves it, though not each machine has it: a name of two addresses."""
    hosts = Path("/etc/hosts")
    if hosts.exists():
        lines = hosts.read_text(encoding="utf-8").splitlines()
        _replace(hosts, [*(line for line in lines if "localhost" not in line), "127.0.0.1 localhost",
                         "::1 localhost ip6-localhost ip6-loopback"])


def furnish():
    """Inside, once: an empty /run with the lab's folder, the accounts, and the two addresses of localhost."""
    _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    for folder in (WORK / "tmp", Path("/run/netns")):
        folder.mkdir(parents=True)
    (WORK / "tmp").chmod(0o1777)
    _add_accounts()
    _two_localhosts()
    os.environ.update({STATE: str(WORK), "TMPDIR": str(WORK / "tmp")})
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def serve(command):
    """As process 1: runs the command, reaps what it leaves, returns its exit status."""
    child = os.fork()
    if child == 0:
        try:
            os.execvp(command[0], command)
        except OSError as error:
            print(f"lab: {command[0]}: {error.strerror}", file=sys.stderr)
            os._exit(127)
    # As in run(): Ctrl-C is the command's.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.waitstatus_to_exitcode(status) & 0xFF
