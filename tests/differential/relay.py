"""Stands before the servers and writes down what each session's bytes were. A program of its own.

relay.py RECORD LISTEN=SERVER ... : each session that reaches LISTEN port 25 goes on to SERVER port
25, from the address 127.1.X.Y where the subscriber's was 10.20.X.Y: servers log it, and so tell
their sessions apart. A line of RECORD is a session: peer, and its events in order, each the side it
came from and bytes as latin-1; "" is that side's end. "hung" is a server that had not ended long after
its client: the relay ends it.

With TAMPER=drop or TAMPER=double in the environment the relay does wrong, to show a fault to what ought
to find it: a second recipient never arrives, which the bytes tell; or the server hears of it twice,
which is not written down, so that the counts alone can tell.
"""

import asyncio
import json
import os
import re
import sys

HUNG = 20  # seconds
TAMPER = {"drop": b"", "double": rb"\g<0>\g<0>"}.get(os.environ.get("TAMPER"))

running = set()


async def pump(reader, writer, side, events):
    while True:
        try:
            data = await reader.read(65536)
        except ConnectionError:
            data = b""
        given = data
        if TAMPER is not None and side == "C":
            data = re.sub(rb"RCPT TO:<r2@mx\.example>\r\n", TAMPER, data)
        events.append((side, (given if TAMPER else data).decode("latin-1")))
        try:
            if not given:
                writer.write_eof()
                return
            writer.write(data)
            await writer.drain()
        except (ConnectionError, OSError):
            if not given:
                return


async def relay(record, server, reader, writer):
    peer = writer.get_extra_info("peername")[0]
    events = []
    try:
        upstream = await asyncio.open_connection(server, 25, local_addr=("127.1." + peer.split(".", 2)[2], 0))
    except OSError as error:
        events.append(("error", str(error)))
    else:
        down = asyncio.ensure_future(pump(upstream[0], writer, "S", events))
        await pump(reader, upstream[1], "C", events)
        if not (await asyncio.wait([down], timeout=HUNG))[0]:
            events.append(("hung", ""))
            upstream[1].transport.abort()
            await down
        upstream[1].close()
    writer.close()
    record.write(json.dumps({"peer": peer, "events": events}) + "\n")
    record.flush()


def accept(record, server):
    def start(reader, writer):
        task = asyncio.ensure_future(relay(record, server, reader, writer))
        running.add(task)  # the loop itself would let it be collected
        task.add_done_callback(running.discard)

    return start


async def serve():
    with open(sys.argv[1], "w", encoding="ascii") as record:
        for pair in sys.argv[2:]:
            listen, server = pair.split("=")
            await asyncio.start_server(accept(record, server), listen, 25, backlog=1000)
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve())
