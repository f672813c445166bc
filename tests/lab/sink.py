#!/usr/bin/python3
"""An SMTP server that accepts what it is told to and writes down everything.

Its one argument is a JSON object:
    addresses, port     where to listen (port 25)
    record              file for its events, one JSON object a line
    banner              the greeting's text; null: never greets
    ehlo                EHLO keywords (default PIPELINING, 8BITMIME, SIZE, ENHANCEDSTATUSCODES, CHUNKING)
    starttls, certificate, key
                        offers STARTTLS, with real TLS behind it
    auth                offers AUTH PLAIN LOGIN, and accepts any credentials
    replies             {"RCPT": "550 5.1.1 no", ...}: that reply instead, for the verb, CONNECT for the
                        banner, or MESSAGE for the reply after a body; a list is used up one by one,
                        its null entries and its end meaning the usual reply. \\n separates lines.
    delays              {"RCPT": 0.5, ...}: seconds before the reply, same names
    close_after         a verb after whose reply it closes
    drip                seconds between the bytes of each reply

Events: connect, bytes (exactly as received), tls, injected, message, close. Bytes are written as latin-1 text.
"""

import asyncio
import json
import re
import signal
import socket
import ssl
import sys

DEFAULT_EHLO = ["PIPELINING", "SIZE 52428800", "8BITMIME", "ENHANCEDSTATUSCODES", "CHUNKING"]
USUAL = {
    "HELO": "250 mx.example",
    "MAIL": "250 2.1.0 Ok",
    "RCPT": "250 2.1.5 Ok",
    "DATA": "354 End data with <CR><LF>.<CR><LF>",
    "RSET": "250 2.0.0 Ok",
    "NOOP": "250 2.0.0 Ok",
    "VRFY": "252 2.0.0 Try it",
    "QUIT": "221 2.0.0 Bye",
    "STARTTLS": "220 2.0.0 Ready",
    "MESSAGE": "250 2.0.0 Ok: queued",
}


class Sink:
    def __init__(self, settings):
        self.settings = settings
        self.replies = {verb: list(reply) if isinstance(reply, list) else reply
                        for verb, reply in settings.get("replies", {}).items()}
        self.record = open(settings["record"], "a", encoding="ascii", buffering=1)
        self.sessions = 0
        self.tls = None
        if settings.get("starttls"):
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(settings["certificate"], settings["key"])

    def write(self, **event):
        self.record.write(json.dumps(event) + "\n")

    def reply_for(self, verb, usual):
        reply = self.replies.get(verb)
        if isinstance(reply, list):
            reply = reply.pop(0) if reply else None
        return reply if reply is not None else usual

    async def serve(self):
        servers = []
        for address in self.settings["addresses"]:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            listener = socket.socket(family, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((address, self.settings.get("port", 25)))
            servers.append(await asyncio.start_server(self.session, sock=listener, backlog=4096, limit=1 << 26))
        print("ready", flush=True)
        await asyncio.get_running_loop().create_future()

    async def session(self, reader, writer):
        self.sessions += 1
        session = Session(self, self.sessions, reader, writer)
        reason = "quit"
        try:
            await session.run()
        except asyncio.IncompleteReadError:
            reason = "eof"
        except (ConnectionError, ssl.SSLError) as error:
            reason = type(error).__name__
        self.write(event="close", session=session.number, peer=session.peer, reason=reason)
        writer.close()


class Session:
    def __init__(self, sink, number, reader, writer):
        self.sink, self.settings, self.number = sink, sink.settings, number
        self.reader, self.writer = reader, writer
        self.peer, self.peer_port = writer.get_extra_info("peername")[:2]
        self.local = writer.get_extra_info("sockname")[0]
        self.helo = None
        self.secure = False
        self.chunks = b""
        self.reset()

    def reset(self):
        self.sender, self.recipients = None, []

    def write(self, kind, **more):
        self.sink.write(event=kind, session=self.number, peer=self.peer, **more)

    def heard(self, data):
        self.write("bytes", bytes=data.decode("latin-1"))
        return data

    async def line(self):
        return self.heard(await self.reader.readuntil(b"\n"))

    async def say(self, verb, usual):
        """Sends the reply for the verb; returns its code."""
        await asyncio.sleep(self.settings.get("delays", {}).get(verb, 0))
        lines = self.sink.reply_for(verb, usual).split("\n")
        code = lines[0][:3]
        texts = [lines[0][4:]] + [re.sub(r"^\d{3}[- ]", "", line) for line in lines[1:]]
        out = "".join(f"{code}{'-' if i < len(texts) - 1 else ' '}{t}\r\n" for i, t in enumerate(texts))
        drip = self.settings.get("drip")
        for piece in out if drip else [out]:
            self.writer.write(piece.encode("latin-1"))
            await self.writer.drain()
            if drip:
                await asyncio.sleep(drip)
        return int(code)

    async def run(self):
        self.write("connect", port=self.peer_port, local=self.local)
        banner = self.settings.get("banner", "mx.example ESMTP sink")
        if banner is not None and await self.say("CONNECT", f"220 {banner}") >= 400:
            return
        while True:
            line = await self.line()
            verb = line.split(None, 1)[0].upper().decode("latin-1") if line.strip() else ""
            await getattr(self, f"on_{verb.lower()}", self.on_other)(verb, line)
            if verb == "QUIT" or verb == self.settings.get("close_after"):
                return

    async def on_other(self, verb, _line):
        await self.say(verb, USUAL.get(verb, "502 5.5.2 Command not recognized"))

    async def on_helo(self, verb, line):
        self.helo = line[5:].strip().decode("latin-1")
        self.reset()
        await self.say(verb, USUAL["HELO"])

    async def on_ehlo(self, verb, line):
        self.helo = line[5:].strip().decode("latin-1")
        self.reset()
        keywords = list(self.settings.get("ehlo", DEFAULT_EHLO))
        if self.sink.tls and not self.secure:
            keywords.append("STARTTLS")
        if self.settings.get("auth"):
            keywords.append("AUTH PLAIN LOGIN")
        await self.say(verb, "250 " + "\n".join(["mx.example", *keywords]))

    async def on_mail(self, verb, line):
        if await self.say(verb, USUAL[verb]) < 300:
            self.sender = _path(line)

    async def on_rcpt(self, verb, line):
        if await self.say(verb, USUAL[verb]) < 300:
            self.recipients.append(_path(line))

    async def on_rset(self, verb, _line):
        self.reset()
        await self.say(verb, USUAL[verb])

    async def on_data(self, verb, _line):
        usual = USUAL[verb] if self.recipients else "503 5.5.1 No recipients"
        if await self.say(verb, usual) != 354:
            return
        body = bytearray()  # it grows in place: bytes would be copied for each line
        while (line := await self.line()) != b".\r\n":
            body += line[1:] if line.startswith(b".") else line
        await self.finish(bytes(body))

    async def on_bdat(self, _verb, line):
        words = line.split()
        self.chunks += self.heard(await self.reader.readexactly(int(words[1])))
        if words[2:] and words[2].upper() == b"LAST":
            body, self.chunks = self.chunks, b""
            await self.finish(body)
        else:
            await self.say("BDAT", "250 2.0.0 Ok: chunk")

    async def finish(self, body):
        if await self.say("MESSAGE", USUAL["MESSAGE"]) < 300:
            self.write("message", **{"from": self.sender}, to=self.recipients, helo=self.helo, tls=self.secure,
                       size=len(body), body=body.decode("latin-1"))
        self.reset()

    async def on_auth(self, verb, line):
        words = line.split()
        if not self.settings.get("auth"):
            await self.say(verb, "502 5.5.1 Not offered")
            return
        questions = [b"VXNlcm5hbWU6", b"UGFzc3dvcmQ6"] if words[1].upper() == b"LOGIN" else [b""]
        for question in questions[len(words) - 2:]:
            self.writer.write(b"334 " + question + b"\r\n")
            await self.writer.drain()
            if (await self.line()).strip() == b"*":
                await self.say(verb, "501 5.7.0 Cancelled")
                return
        await self.say(verb, "235 2.7.0 Authenticated")

    async def on_starttls(self, verb, _line):
        if not self.sink.tls or self.secure:
            await self.say(verb, "502 5.5.1 Not offered")
            return
        if await self.say(verb, USUAL[verb]) != 220:
            return
        await self.start_tls()

    async def start_tls(self):
        # What was sent in clear behind STARTTLS is dropped, as a sound server does, and noted.
        held = self.reader._buffer  # asyncio has no public way to it
        if held:
            self.write("injected", bytes=bytes(held).decode("latin-1"))
            held.clear()
        await self.writer.start_tls(self.sink.tls)
        self.secure = True
        self.reset()
        self.write("tls", version=self.writer.get_extra_info("ssl_object").version())


def _path(line):
    match = re.search(rb"<([^>]*)>", line)
    return (match.group(1) if match else line.partition(b":")[2].strip()).decode("latin-1")


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    asyncio.run(Sink(json.loads(sys.argv[1])).serve())


if __name__ == "__main__":
    main()
