"""The result as tables of text."""

from . import parts
from .ratios import CONFIDENT

COLUMNS = (("rate", "sessions/s", 0), ("cpu_us", "CPU us", 1), ("redis_us", "Redis us", 1),
           ("machine_us", "machine us", 0), ("others_us", "others us", 0),
           ("sink_us", "sink us", 1), ("load_us", "load us", 1), ("redis_functions", "functions", 2),
           ("redis_commands", "commands", 2))
BRACKETS = (f"[..]: interval of 95 %; (.. to ..): least and greatest, of fewer than {CONFIDENT}, which have no "
            "such interval\n")
RATIOS = (("cpu_us", "CPU a session"), ("rate", "sessions/s"), ("machine_us", "machine CPU"))


def table(head, rows):
    """Text in columns; the first is set left, the others right."""
    rows = [list(map(str, row)) for row in [head, *rows]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["  ".join(cell.rjust(width) if column else cell.ljust(width)
                       for column, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]]) + "\n"


def around(interval, confident, number):
    """[0.76, 0.81] is an interval of 95 %, (0.76 to 0.81) the least and the greatest of too few for such a one."""
    low, high = map(number, interval)
    return f"[{low}, {high}]" if confident else f"({low} to {high})"


def ratio_words(ratio):
    """0.78 [0.76, 0.81]"""
    return (f"{ratio['median_of_ratios']:.3f} "
            + around(ratio["interval"], ratio["confident"], lambda value: f"{value:.3f}"))


def median_words(figure):
    """185 [180, 190]"""
    if not figure:
        return "-"
    return f"{figure['median']:.0f} " + around(figure["interval"], figure["confident"], lambda value: f"{value:.0f}")


def medians_table(medians):
    return table(["a session", *(words for _, words, _ in COLUMNS)],
                 [[cell, *(f"{found[name]['median']:.{digits}f}" if name in found else "-"
                           for name, _, digits in COLUMNS)] for cell, found in medians.items()])


def ratios_table(comparisons, good):
    rows = []
    for name, found in comparisons.items():
        pairs = "{} of {}".format(*good[name])
        rows.append([name, pairs, *(ratio_words(found[figure]) if figure in found else "-" for figure, _ in RATIOS)])
    return table(["median of ratios", "pairs", *(words for _, words in RATIOS)], rows)


def wrong_list(samples):
    """Each kind of thing that made samples invalid, once."""
    found = {}
    for one in samples:
        for words in one["wrong"]:
            found.setdefault((one["cell"], words), 0)
            found[one["cell"], words] += 1
    return "".join(f"not counted: {cell}: {words}{f' ({count} times)' if count > 1 else ''}\n"
                   for (cell, words), count in found.items())


def goals_table(rows):
    def number(row, value):
        return f"{value:.{row['digits']}f}{' ' + row['unit'] if row['unit'] else ''}"

    def value(row):
        if row["value"] is None:
            return "not measured"
        if not row["interval"]:
            beside = f"; {row['beside'][0]} {number(row, row['beside'][1])}" if row["beside"] else ""
            return number(row, row["value"]) + beside
        interval = around(row["interval"], row["confident"], lambda value: number(row, value))
        return f"{number(row, row['value'])} {interval}"

    def verdict(row):
        if row["reached"] is None:
            return ""
        return ("reached" if row["reached"] else "NOT reached") + ("" if row["sure"] else ", not surely")

    return table(["goal", "limit", "measured", ""],
                 [[row["goal"], ("at least " if row["at_least"] else "at most ") + number(row, row["limit"]),
                   value(row), verdict(row)] for row in rows])


def goals_words(result):
    """The table, and what has to be known to read it."""
    before = "This run is INVALID, as the end says why: the verdicts below are hints, no more.\n\n"
    behind = "not measured: its part, or an arm that it names, was not wanted, or too few samples of it were good\n"
    rows = result["goals"]
    return ((before if result.get("invalid") else "") + goals_table(rows)
            + (behind if any(row["reached"] is None for row in rows) else ""))


def calls_table(found):
    def cell(one, name):
        return f"{round(one[name], 1) + 0:.1f}" if name in one else "-"  # no -0.0

    return table(["system calls", "under load", "each further mail", "one mail alone", "each further mail",
                  "counted by", "cores busy", "load average"],
                 [[name, cell(one, "loaded_total"), cell(one, "loaded_further"), cell(one["alone"], "one_total"),
                   cell(one["alone"], "further_total"), one["method"], f"{one['machine']['busy']:.0%}",
                   f"{one['machine']['load_average']:.1f}"] for name, one in found.items()]) + "".join(
        f"{name}: the kernel carries its sessions, the daemons see none of them\n" for name, one in found.items()
        if name == "bypass" and one["loaded_total"] < 1)


def calls_list(found):
    """Which ones, the most frequent first: one mail alone."""
    lists = {name: ", ".join(f"{call} {each:.1f}" for call, each in one["alone"]["one"].items() if each >= 0.05)
             for name, one in found.items()}
    return "".join(f"{name}, one mail alone: {words or 'none'}\n" for name, words in lists.items())


def instructions_table(found):
    return table(["instructions in user space", "a session", "each run of more"],
                 [[name, f"{one['a_session']:,.0f}", ", ".join(f"{step:,.0f}" for step in one["steps"])]
                  for name, one in found.items()])


def latency_table(found):
    def cell(group, name, place):
        return median_words(found[group].get(name, {}).get(place))

    def to_haproxy(name):
        ratio = found["ratios"].get(name, {}).get("p99")
        return ratio_words(ratio) if ratio else "-"

    return table([f"a hop in us, at {found['rate']}/s", "p50", "p99", "p50 added", "p99 added", "p99 to HAProxy"],
                 [[name, cell("arms", name, "p50"), cell("arms", name, "p99"), cell("added", name, "p50"),
                   cell("added", name, "p99"), to_haproxy(name)] for name in found["arms"]]) + (
        "" if "direct, latency" in found["good"] else "what is added needs the arm direct, which ARMS is without\n")


def idle_table(found):
    rows = []
    for name, one in found.items():
        kernel = one["of_gate"]
        rows.append([name, *(f"{one[what]:.0f}" for what in ("resident", "proportional", "private", "redis")),
                     *(f"{kernel[what]:.0f}" if kernel else "-" for what in ("caches", "buffers"))])
    return table(["bytes an idle connection", "resident", "proportional", "private", "Redis's", "kernel: objects",
                  "buffers"],
                 rows) + ("" if "direct" in found else
                          "the kernel's, beyond those of the two ends, need the arm direct, which ARMS is without\n")


def growth_table(found):
    return table(["CPU us a session, open at once", *found["steps"]],
                 [[name, *map(median_words, figures)] for name, figures in found["arms"].items()])


def crosscheck_table(found):
    return table(["smtp-source, to HAProxy", "CPU a session", "sessions/s"],
                 [[name, *(ratio_words(ratios[figure]) if figure in ratios else "-" for figure in ("cpu_us", "rate"))]
                  for name, ratios in found["ratios"].items()])


def pairs_tables(found):
    return medians_table(found["medians"]) + "\n" + ratios_table(found["ratios"], found["good"])


TABLES = (("same", pairs_tables), ("pairs", pairs_tables), ("workloads", pairs_tables), ("latency", latency_table),
          ("growth", growth_table), ("idle", idle_table), ("calls", calls_table), ("calls", calls_list),
          ("instructions", instructions_table), ("cross-check", crosscheck_table))


def missing_list(name, chosen):
    """What a part has not, as an arm is not wanted; HAProxy to itself is always there."""
    lines = parts.missing(name, chosen["arms"], chosen["workloads"]) if name in parts.FIGURES else []
    return "".join(f"{line}\n" for line in lines)


def whole(result, samples):
    """All of it; what could not be counted, and whether the run is valid, at the end."""
    chosen = result["options"]
    written = [write(result[name]) + missing_list(name, chosen) for name, write in TABLES if name in result]
    return "\n".join([*written, BRACKETS, wrong_list(samples), goals_words(result)])
