"""The least that relays (relay.c), in a gate of the lab."""

from tests.lab.process import Process

from . import tools


class Relay(Process):
    """It takes what TPROXY hands to `port` of loopback; a process a core."""

    name = "relay"

    def __init__(self, host, port, processes):
        super().__init__(host)
        self.port, self.processes = port, processes

    def start(self):
        return self.launch(tools.tool("relay"), self.port, self.processes)

    def ready(self):
        return tools.READY in self.text().splitlines()
