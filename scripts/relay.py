"""Passes connections on, from one place to another: `make demo KEEP=1` shows the site on this machine with it.

    relay.py [--background [--pid FILE]] LISTEN CONNECT [SOURCE]

LISTEN and CONNECT are unix:PATH or tcp:ADDRESS:PORT; SOURCE is the address to connect from. Where CONNECT
is a unix socket, the relay ends when nobody listens there any more. With --background it returns once it
listens, and goes on behind; FILE gets its number. Where it cannot listen it says why, and fails.
"""

import argparse
import asyncio
import contextlib
import os
import socket
import sys


async def pump(reader, writer):
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


async def connect(where, source):
    kind, _, place = where.partition(":")
    if kind == "unix":
        return await asyncio.open_unix_connection(place)
    address, _, port = place.rpartition(":")
    return await asyncio.open_connection(address, int(port), local_addr=(source, 0) if source else None)


def listen(where):
    kind, _, place = where.partition(":")
    if kind == "tcp":
        address, _, port = place.rpartition(":")
        return socket.create_server((address, int(port)))
    with contextlib.suppress(FileNotFoundError):
        os.unlink(place)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(place)
    listener.listen()
    return listener


async def relay(listener, where, source):
    async def serve(reader, writer):
        with contextlib.closing(writer), contextlib.suppress(OSError):
            far_reader, far_writer = await connect(where, source)
            with contextlib.closing(far_writer):
                await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    if listener.family == socket.AF_UNIX:
        await asyncio.start_unix_server(serve, sock=listener)
    else:
        await asyncio.start_server(serve, sock=listener)
    while True:
        await asyncio.sleep(2)
        if where.startswith("unix:"):
            _, writer = await asyncio.open_unix_connection(where[5:])
            writer.close()


def go_behind(pid_file):
    """The caller's process ends here; what goes on holds nothing of it open."""
    pid = os.fork()
    if pid:
        if pid_file:
            with open(pid_file, "w", encoding="ascii") as file:
                file.write(f"{pid}\n")
        sys.exit(0)
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--background", action="store_true")
    parser.add_argument("--pid")
    parser.add_argument("listen")
    parser.add_argument("connect")
    parser.add_argument("source", nargs="?")
    options = parser.parse_args()
    try:
        listener = listen(options.listen)
    except OSError as error:
        sys.exit(f"relay.py: cannot listen at {options.listen}: {error.strerror or error}")
    if options.background:
        go_behind(options.pid)
    with contextlib.suppress(OSError, KeyboardInterrupt):
        asyncio.run(relay(listener, options.connect, options.source))


if __name__ == "__main__":
    main()
