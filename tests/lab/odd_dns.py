"""A DNS server that answers as real ones do on bad days: the first label of a name says how.

    tcp.…      over UDP truncated, whole over TCP
    silent.…   never
    slow.…     after a second
    lame.…     REFUSED           servfail.…  SERVFAIL
    garbage.…  bytes that are no message
    cut.…      a message that ends in the middle of its record
    other.…    an answer to another question
    chainN.…   N aliases, one after the other, each in an answer of its own
    circle.…   an alias of itself
    crowd.…    300 TXT records, over TCP

Everything else, and the end of a chain, has the SPF record `record`.
"""

import os
import socket
import struct
import threading

PORT = 5310
TXT, CNAME = 16, 5
TRUNCATED = 0x0200


def _name(labels):
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def _txt(text):
    data = text.encode("ascii")
    return b"".join(bytes([len(data[at:at + 255])]) + data[at:at + 255] for at in range(0, len(data), 255))


class OddDns:
    """Serves on a loopback address of a host, until it is closed."""

    name = "odd-dns"

    def __init__(self, host, record="v=spf1 ip4:10.20.0.7 -all"):
        self.record = record
        self.address = f"127.0.0.1:{PORT}"
        with host.inside():
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.udp.bind(("127.0.0.1", PORT))
        self.tcp.bind(("127.0.0.1", PORT))
        self.tcp.listen(128)
        self.asked = []

        for opened in (self.udp, self.tcp):
            opened.settimeout(0.1)  # to look whether it is to end
        self.ended = False
        self.threads = [threading.Thread(target=serve) for serve in (self._serve_udp, self._serve_tcp)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended = True
        for thread in self.threads:
            thread.join()
        self.udp.close()
        self.tcp.close()

    def _serve_udp(self):
        while not self.ended:
            try:
                query, peer = self.udp.recvfrom(4096)
            except TimeoutError:
                continue
            answer, delay = self.answer(query, False)
            if answer and delay:
                threading.Timer(delay, self._send, (answer, peer)).start()
            elif answer:
                self._send(answer, peer)

    def _send(self, answer, peer):
        try:
            self.udp.sendto(answer, peer)
        except OSError:
            pass

    def _serve_tcp(self):
        while not self.ended:
            try:
                connection, _ = self.tcp.accept()
            except TimeoutError:
                continue
            threading.Thread(target=self._serve_one, args=(connection,), daemon=True).start()

    def _serve_one(self, connection):
        with connection:
            connection.settimeout(20)
            try:
                while head := connection.recv(2, socket.MSG_WAITALL):
                    query = connection.recv(struct.unpack("!H", head)[0], socket.MSG_WAITALL)
                    answer, _ = self.answer(query, True)
                    connection.sendall(struct.pack("!H", len(answer)) + answer)
            except (OSError, struct.error):
                pass

    def answer(self, query, tcp):
        """The answer's bytes, or None, and the seconds to wait before it."""
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]])
            at += 1 + query[at]
        question = query[12:at + 5]
        kind = struct.unpack("!H", query[at + 1:at + 3])[0]
        how = labels[0].decode("ascii").lower()
        self.asked.append(how)

        def message(records, code=0, flags=0, number=query[:2], asked=question):
            return (number + struct.pack("!HHHHH", 0x8180 | flags | code, 1, len(records), 0, 0) + asked +
                    b"".join(records))

        def record(data, of=TXT):
            return b"\xc0\x0c" + struct.pack("!HHIH", of, 1, 1, len(data)) + data

        whole = [record(_txt(self.record))] if kind == TXT else []
        if how == "silent":
            return None, 0
        if how == "slow":
            return message(whole), 1
        if how in ("lame", "servfail"):
            return message([], 5 if how == "lame" else 2), 0
        if how == "garbage":
            return query[:2] + os.urandom(60), 0
        if how == "cut":
            return message(whole)[:-5], 0
        if how == "other":
            asked = _name([b"pass", *labels[1:]]) + question[-4:]
            return message(whole, number=bytes([query[0] ^ 1, query[1]]), asked=asked), 0
        if how == "crowd":
            whole += [record(_txt(f"{n} " + "x" * 150)) for n in range(299)]
        if how in ("tcp", "crowd") and not tcp:
            return message([], flags=TRUNCATED), 0
        if how == "circle" or (how.startswith("chain") and int(how[5:]) > 0):
            following = how if how == "circle" else f"chain{int(how[5:]) - 1}"
            return message([record(_name([following.encode("ascii"), *labels[1:]]), CNAME)]), 0
        return message(whole), 0
