"""A client that says what it is told to, TLS and all, and writes down each byte it sent and got."""

import asyncio
import contextlib
import re
import socket
import ssl

from tests.differential.grammar import TLS

STEP = 0.15  # seconds that one waits for a reply which may never come
LONG = 5  # and for one that decides what is said next
REPLY = re.compile(rb"^(\d{3})(?: [^\n]*)?\r?\n\Z", re.MULTILINE)  # the end of what was heard is a whole reply


class Layer:
    """One TLS, within another or not."""

    def __init__(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing)
        self.open = False

    def heard(self):
        """What has come in and can be read by now."""
        text = b""
        with contextlib.suppress(ssl.SSLError):  # no more for now, its end, or no TLS at all
            while more := self.tls.read(65536):
                text += more
        return text


class Session:
    """One session: what is sent to which server, from an address of its own.

    `pieces` are bytes, and TLS where it is begun; `cuts` say where the bytes are cut into writes;
    `stepwise` waits for a reply to each piece, as a client without PIPELINING.
    """

    ADDRESSES = 60000  # addresses are used again after so many sessions
    count = 0

    def __init__(self, server, listen, pieces, cuts=(), stepwise=False):
        number = Session.count = (Session.count + 1) % self.ADDRESSES
        self.server, self.listen, self.pieces, self.cuts = server, listen, pieces, list(cuts)
        self.stepwise = stepwise or any(piece is TLS for piece in pieces)
        suffix = f"{10 + number // 250}.{1 + number % 250}"
        self.client, self.logged = f"10.20.{suffix}", f"127.1.{suffix}"
        self.forget()

    def forget(self):
        """Before it is sent once more."""
        self.sent, self.replies = bytearray(), bytearray()  # as they went over the wire
        self.said = bytearray()  # replies, without TLS
        self.layers = []
        self.secret = 0  # octets said within TLS
        self.stuck = self.was_reset = self.ended = False

    async def run(self, loop):
        self.forget()
        self.changed = asyncio.Event()
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as self.connection:
            self.connection.setblocking(False)
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connection.bind((self.client, 0))
            try:
                await loop.sock_connect(self.connection, (self.listen, 25))
                sending = asyncio.ensure_future(self.send(loop))
                try:
                    await self.receive(loop)
                finally:
                    self.ended = True
                    self.changed.set()
                    await sending
            except ConnectionError:
                self.was_reset = True

    async def receive(self, loop):
        while data := await loop.sock_recv(self.connection, 65536):
            self.replies += data
            for layer in self.layers:
                layer.incoming.write(data)
                data = layer.heard() if layer.open else b""
            self.said += data
            self.changed.set()

    async def send(self, loop):
        with contextlib.suppress(OSError):
            if self.stepwise:
                await self.send_stepwise(loop)
            else:
                await self.send_whole(loop)
            self.connection.shutdown(socket.SHUT_WR)

    async def put(self, loop, data):
        self.sent += data
        await loop.sock_sendall(self.connection, data)

    async def send_whole(self, loop):
        text, at = b"".join(self.pieces), 0
        for cut in self.cuts + [len(text)]:
            await self.put(loop, text[at:cut])
            await asyncio.sleep(0.002)
            at = cut

    async def until(self, condition, seconds):
        """Waits for it, for the end of the session, or for so many seconds; did it come true?"""
        deadline = asyncio.get_running_loop().time() + seconds
        while not condition() and not self.ended:
            self.changed.clear()
            try:
                await asyncio.wait_for(self.changed.wait(), deadline - asyncio.get_running_loop().time())
            except asyncio.TimeoutError:
                break
        return condition()

    async def send_stepwise(self, loop):
        await self.until(lambda: REPLY.search(self.said), LONG)
        for number, piece in enumerate(self.pieces):
            if piece is TLS:
                if not self.may_begin_tls() or not await self.begin_tls(loop):
                    continue
                before = len(self.said)
            else:
                before = len(self.said)
                self.secret += len(piece) if self.layers else 0
                await self.put(loop, self.wrap(piece))
            decides = TLS is self.pieces[number + 1] if number + 1 < len(self.pieces) else False
            if piece is not TLS:
                await self.until(lambda: len(self.said) > before and REPLY.search(self.said),
                                 LONG if decides else STEP)

    def may_begin_tls(self):
        last = REPLY.search(self.said)
        return not self.ended and last and last[1] == b"220"

    async def begin_tls(self, loop):
        """The handshake, within the TLS that there is; False: it failed."""
        layer = Layer()
        self.layers.append(layer)
        try:
            while True:
                waits = False
                try:
                    layer.tls.do_handshake()
                except ssl.SSLWantReadError:
                    waits = True
                await self.put(loop, self.wrap(layer.outgoing.read(), len(self.layers) - 1))
                if not waits:
                    layer.open = True
                    self.said += layer.heard()
                    return True
                before = len(self.replies)
                if not await self.until(lambda: len(self.replies) > before, LONG):
                    return False
        except ssl.SSLError:
            return False

    def wrap(self, data, depth=None):
        """The bytes on the wire for these within `depth` TLSs, or all."""
        for layer in reversed(self.layers[:depth]):
            if layer.open and data:
                layer.tls.write(data)
                data = layer.outgoing.read()
        return data
