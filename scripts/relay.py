"""Passes connections on, from one place to another: `make demo KEEP=1` shows the site on this machine with it.

    relay.py LISTEN CONNECT [SOURCE]

LISTEN and CONNECT are unix:PATH or tcp:ADDRESS:PORT; SOURCE is the address to connect from. Where CONNECT
is a unix socket, the relay ends when nobody listens there any more.
"""

import asyncio
import contextlib
import os
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


async def relay(listen, where, source):
    async def serve(reader, writer):
        with contextlib.closing(writer), contextlib.suppress(OSError):
            far_reader, far_writer = await connect(where, source)
            with contextlib.closing(far_writer):
                await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    kind, _, place = listen.partition(":")
    if kind == "unix":
        with contextlib.suppress(FileNotFoundError):
            os.unlink(place)
        await asyncio.start_unix_server(serve, place)
    else:
        address, _, port = place.rpartition(":")
        await asyncio.start_server(serve, address, int(port))
    while True:
        await asyncio.sleep(2)
        if where.startswith("unix:"):
            _, writer = await asyncio.open_unix_connection(where[5:])
            writer.close()


if __name__ == "__main__":
    with contextlib.suppress(OSError, KeyboardInterrupt):
        asyncio.run(relay(*sys.argv[1:3], sys.argv[3] if len(sys.argv) > 3 else None))
