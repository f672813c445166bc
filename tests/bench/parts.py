"""The parts of a run, and what each measures of which arms: run.py takes it from here, and options.py looks whether
anything is left of it where not all arms or workloads are wanted."""

import dataclasses

from . import arms, workloads


@dataclasses.dataclass(frozen=True)
class Figure:
    """What a part measures, where all of these arms are wanted, and the workload; "": whatever workloads are."""

    arms: tuple
    workload: str = ""

    def is_wanted(self, names, some_workloads):
        return set(self.arms) <= set(names) and self.workload in ("", *some_workloads)


def of_each(*names):
    return tuple(Figure((name,)) for name in names)


def of_pairs(*pairs):
    """Each under the workload of its first."""
    return tuple(Figure(pair, workloads.of_arm(pair[0]).name) for pair in pairs)


# In the order in which they are run: what is idle has to be fresh.
FIGURES = {
    "idle": of_each("direct", "haproxy", "pass", "meter"),
    "pairs": of_pairs(("pass", "haproxy"), ("meter", "haproxy"), ("least", "haproxy"), ("bypass", "direct"),
                      ("bypass-nft", "direct"), ("haproxy", "direct"), ("denied", "meter")),
    # The crowd is no one's to pass.
    "workloads": tuple(Figure((first, "haproxy"), name) for name in workloads.ALL if name not in ("small", "flood")
                       for first in ("pass", "meter") if (first, name) != ("pass", "crowd")),
    "latency": of_each("direct", "haproxy", "least", "pass", "meter", "bypass", "bypass-nft"),
    "growth": of_each("haproxy", "pass", "meter"),
    "calls": of_each("haproxy", "pass", "meter", "bypass", "denied"),
    "instructions": of_each("haproxy", "pass", "meter"),
    "cross-check": (Figure(("direct", "haproxy")), Figure(("meter", "haproxy"))),
    "lookup": (),  # has no arms
}


def wanted(part, names, some_workloads):
    """The figures of a part that can be had of those arms and workloads."""
    return [figure for figure in FIGURES[part] if figure.is_wanted(names, some_workloads)]


def arms_of(figures):
    """Their arms, each once, in their order."""
    return list(dict.fromkeys(name for figure in figures for name in figure.arms))


def lacks(part, names, some_workloads):
    """In words, why nothing can be had of a part, and which arms it has; "" where something can, or it has none."""
    if not FIGURES[part] or wanted(part, names, some_workloads):
        return ""
    of_arms = wanted(part, names, workloads.ALL)
    if of_arms:
        found = " ".join(dict.fromkeys(figure.workload for figure in of_arms))
        return f"WORKLOADS {' '.join(some_workloads)}: {part} measures none of them with these arms; it has {found}"
    figures = wanted(part, arms.ALL, workloads.ALL)  # those that can be had here
    if len(figures[0].arms) == 1:
        return f"ARMS {' '.join(names)}: {part} measures none of them; it has {' '.join(arms_of(figures))}"
    pairs = dict.fromkeys(" with ".join(figure.arms) for figure in figures)
    return f"ARMS {' '.join(names)}: {part} needs both of two that it compares, which are {', '.join(pairs)}"


def missing(part, names, some_workloads):
    """In words, each wanted arm that a part compares with others alone, none of which is wanted."""
    figures = [figure for figure in FIGURES[part] if figure.is_wanted(arms.ALL, some_workloads)]
    measured, lines = arms_of(wanted(part, names, some_workloads)), []
    for name in names:
        others = arms_of(figure for figure in figures if name in figure.arms and len(figure.arms) > 1)
        if others and name not in measured:
            words = " or ".join(other for other in others if other != name)
            lines.append(f"{name} is not here: {part} compares it with {words}, which ARMS is without")
    return lines
