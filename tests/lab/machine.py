"""A virtual machine of Debian's own kernel, without disks: it runs one program, and ends."""

import contextlib
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

from . import process, sandbox

KERNEL = sandbox.PROJECT / ".parts" / "kernel"
MODULES = ("veth", "sch_ingress", "cls_bpf")  # in an order in which they can be loaded
MEMORY_MB = 1024
PROGRAM = "/program"
ENDED = "ended with status"
INIT = f"""#!/bin/sh
export PATH=/usr/sbin:/sbin:/usr/bin:/bin
/busybox mount -t proc proc /proc
/busybox mount -t sysfs sysfs /sys
/busybox mount -t devtmpfs devtmpfs /dev
/busybox mount -t tmpfs tmpfs /run
for module in {" ".join(MODULES)}; do /busybox insmod /$module.ko; done
ip link set lo up
{PROGRAM}
echo "{ENDED} $?"
/busybox sleep 1 # until the console has said it
/busybox poweroff -f
"""


def libraries(program):
    """What the dynamic linker would load for it, itself among it."""
    told = subprocess.run(["ldd", program], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert "not found" not in told, f"{program}: {told}"
    return re.findall(r"(/\S+)", told)


def archive_entry(name, mode, data=b""):
    """One file of an archive that the kernel unpacks as its first root (cpio, "newc")."""
    words = name.encode() + b"\0"
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(words), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + words
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def archive(files):
    """{name: content}, all of them programs, with the folders that they need and those to mount on."""
    folders = {str(folder) for name in files for folder in Path(name).parents}
    folders |= {"/proc", "/sys", "/dev", "/run", "/tmp"}
    parts = [archive_entry(folder[1:], stat.S_IFDIR | 0o755) for folder in sorted(folders - {"/"})]
    parts += [archive_entry(name[1:], stat.S_IFREG | 0o755, content) for name, content in files.items()]
    return b"".join(parts) + archive_entry("TRAILER!!!", 0)


def kernel_file(pattern):
    found = list(KERNEL.glob(pattern))
    assert len(found) == 1, f"of {KERNEL}/{pattern} there is not one, but {found}: scripts/deps.sh fetches it"
    return found[0]


def run(program, seconds=300):
    """Everything that the machine's console has said; of the program's end the line ENDED and its status."""
    sources = {"/bin/sh": "/bin/sh", "/busybox": shutil.which("busybox"), PROGRAM: program}
    sources["/usr/sbin/ip"] = shutil.which("ip", path=sandbox.PATH)
    for name in MODULES:
        sources[f"/{name}.ko"] = kernel_file(f"lib/modules/*/kernel/**/{name}.ko")
    for source in ("/bin/sh", program, sources["/usr/sbin/ip"]):
        sources.update({library: library for library in libraries(source)})
    image = process.fresh_folder("machine") / "root"
    image.write_bytes(archive({name: Path(source).read_bytes() for name, source in sources.items()}
                              | {"/init": INIT.encode()}))
    command = ["qemu-system-x86_64", "-m", str(MEMORY_MB), "-cpu", "max", "-nodefaults", "-display", "none",
               "-serial", "stdio", "-no-reboot", "-kernel", kernel_file("boot/vmlinuz-*"), "-initrd", image,
               "-append", "console=ttyS0 quiet panic=-1"]
    console = image.with_name("console")
    with console.open("wb") as file, contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run([os.fspath(word) for word in command], stdin=subprocess.DEVNULL, stdout=file,
                       stderr=subprocess.STDOUT, timeout=seconds, check=False)
    return console.read_text(encoding="utf-8", errors="replace")
