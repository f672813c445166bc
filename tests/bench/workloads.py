"""What subscribers do, as options of load."""

import dataclasses

from . import arms


@dataclasses.dataclass(frozen=True)
class Workload:
    """`options` beside those that say how many, how long, and from where."""

    name: str
    words: str
    options: tuple = ()
    sources: tuple = (arms.MANY,)
    concurrent: int = 20
    refused: bool = False  # every session is; then none is expected to carry a mail


SMALL = Workload("small", "one mail of 4 kB a session", ("--size", 4096))
ALL = {workload.name: workload for workload in (
    SMALL,
    Workload("twenty", "20 mails of 4 kB a session", ("--size", 4096, "--messages", 20)),
    Workload("pipelined", "one mail of 4 kB a session, pipelined", ("--size", 4096, "--pipelined")),
    Workload("large", "one mail of 1 MB a session", ("--size", 1_000_000)),
    Workload("starttls", "one mail of 4 kB a session, in TLS after STARTTLS", ("--size", 4096, "--starttls")),
    Workload("flood", "one subscriber over his limit: each session deferred", ("--size", 4096), (arms.FLOODER,),
             refused=True),
    Workload("crowd", "one mail of 4 kB a session, of 100,000 subscribers, 1 % registered", ("--size", 4096),
             (arms.CROWD,)),
)}


def of_arm(name):
    """What it is looked at under, where there is no choice."""
    return ALL["flood"] if name == "denied" else SMALL
