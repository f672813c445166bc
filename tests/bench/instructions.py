"""Instructions a session in user space: callgrind, one worker, the difference of runs of different length."""

import re

from tests.lab.process import fresh_folder

from . import calls

TOTALS = re.compile(r"(?m)^(?:summary|totals): (\d+)")
RUNS = 3  # of N, 2N, 3N sessions: their differences show how repeatable it is
PORT_OFFSET = 10


def one_run(bench, name, workload, sessions):
    """Instructions of all processes of an arm, from its start to its end."""
    folder = fresh_folder("callgrind")
    folder.chmod(0o777)  # for a daemon of another user
    wrapper = ["valgrind", "--tool=callgrind", "-q", f"--callgrind-out-file={folder}/out.%p"]
    with bench.another(name, workers=1, offset=PORT_OFFSET, wrapper=wrapper, patient=True) as arm:
        bench.serve(name)
        done = calls.run_sessions(bench, workload, sessions, "--concurrent", 4, "--timeout", 120)
        through = sum(done["refused"].values()) if workload.refused else done["sessions"]
        assert through >= sessions - 1 and not done["failed"], done
        for server in arm.own:
            server.end(60)
    totals = [max(map(int, TOTALS.findall(path.read_text(encoding="utf-8")))) for path in folder.iterdir()]
    assert totals, f"callgrind left nothing: {arm.own[0].tail()}"
    return sum(totals)


def run(bench, names, workload, sessions, tell):
    """{arm: {"a_session", "runs", "spread"}} of those arms."""
    found = {}
    for name in names:
        totals = [one_run(bench, name, workload, sessions * (run + 1)) for run in range(RUNS)]
        steps = [(after - before) / sessions for before, after in zip(totals, totals[1:])]
        found[name] = {"a_session": sum(steps) / len(steps), "steps": steps, "totals": totals, "sessions": sessions}
        tell(f"  {name}: {found[name]['a_session']:,.0f} instructions a session ("
             + ", ".join(f"{step:,.0f}" for step in steps) + ")")
    return found
