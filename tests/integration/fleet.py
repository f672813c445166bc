"""What tests of a fleet's Redis ask of gates: a limit that holds, standings that are known."""

from tests.integration.mail import attempt
from tests.lab.process import wait_for
from tests.lab.redis_fleet import PATIENCE_S

MX4 = "198.51.100.10"
LIMIT = 6  # messages


def quiet_ctl(gate):
    """ctl("register", ...): what gate25ctl prints, which has nothing to complain of."""
    def ctl(*arguments):
        result = gate.ctl(*arguments)
        assert result.stderr == ""
        return result.stdout

    return ctl


def wait_up(gate):
    workers = len(gate.workers())
    wait_for(lambda: gate.ctl_json("status")["counters"]["store_up"] == workers, PATIENCE_S, "the store is up")


def wait_current(gate, standings):
    wait_for(lambda: gate.ctl_json("status")["counters"]["standings"] == standings, PATIENCE_S,
             f"{standings} standings in each worker: {gate.ctl_json('status')['counters']}")


def pass_messages(lab, source, count):
    assert [attempt(lab, source, MX4).code for _ in range(count)] == [250] * count


def pass_the_rest(lab, source, used):
    """As many as are left of LIMIT, and not one more. Refusals for want of Redis do not count."""
    codes = []

    def over():
        code = attempt(lab, source, MX4).code
        if code != 421:
            codes.append(code)
        return code == 450

    wait_for(over, PATIENCE_S, "the limit is reached")
    assert codes == [250] * (LIMIT - used) + [450]


def check_known(lab, registered, quarantined):
    for _ in range(3):
        assert attempt(lab, registered, MX4).code == 250
        assert attempt(lab, quarantined, MX4).code == 554
