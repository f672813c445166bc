"""Traffic that goes on beside a test until the test has seen enough."""

import threading


class Load:
    """So many threads that call one(number, turn) again and again, from `with` to its end."""

    def __init__(self, threads):
        self.lock, self._stop = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(threads)]

    def one(self, number, turn):
        """What thread `number` does in its `turn`; it holds `lock` while it counts."""
        raise NotImplementedError

    def _run(self, number):
        turn = 0
        while not self._stop.is_set():
            self.one(number, turn)
            turn += 1

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()
