"""All packets of a host of the lab, as they stand on its links."""

import socket
import struct
import threading

ETH_P_ALL = 3
IPV4, IPV6, TCP = 0x0800, 0x86dd, 6


class Tap:
    """Captures every packet of a host while it is open."""

    def __init__(self, host):
        self.host = host
        self.frames = []
        with host.inside():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.socket.settimeout(0.1)  # to look whether it is to end
        self.ended = False
        self.thread = threading.Thread(target=self._capture)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        """What has been sent by now is captured still: it ends with the first silence."""
        self.ended = True
        self.thread.join()
        self.socket.close()

    def _capture(self):
        while True:
            try:
                self.frames.append(self.socket.recv(65536))
            except TimeoutError:
                if self.ended:
                    return

    def carrying(self, secret):
        """Whose segments, and to whom, carry these bytes: {(source, destination, port)}.

        Bytes that go over the lab's loopback, or in a packet that is no TCP, count as (None, ...)."""
        return {addresses(frame) for frame in self.frames if secret in frame}


def addresses(frame):
    """(source, destination, destination's port) of a TCP segment in an Ethernet frame."""
    kind = struct.unpack("!H", frame[12:14])[0]
    packet = frame[14:]
    if kind == IPV4 and packet[9] == TCP:
        port = struct.unpack("!H", packet[(packet[0] & 15) * 4 + 2:][:2])[0]
        return socket.inet_ntop(socket.AF_INET, packet[12:16]), socket.inet_ntop(socket.AF_INET, packet[16:20]), port
    if kind == IPV6 and packet[6] == TCP:
        port = struct.unpack("!H", packet[42:44])[0]
        return socket.inet_ntop(socket.AF_INET6, packet[8:24]), socket.inet_ntop(socket.AF_INET6, packet[24:40]), port
    return None, kind, packet[:60]
