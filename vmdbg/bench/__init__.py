"""`vmdbg bench`: how fast this machine is, beside Bochs and QEMU where they are installed.

    workloads   the guests of guests/bench, run by our engine
    emulators   the same images under QEMU and Bochs
    latency     single steps, start-up, the build
    report      figures as a table

Guest instructions per second of user CPU time, start-up subtracted: the same image run with one iteration.
"""

import json as json_format

from vmdbg.bench import emulators, latency, report, workloads

REPEATS = 3  # of each measurement; the best counts


def main(json: bool = False, build: bool = False) -> int:
    """Measure everything and print it; 1 if a workload did not end with its checksum."""
    figures = measure(build, REPEATS, report.Progress())
    print(json_format.dumps(figures, indent=2)) if json else report.show(figures)
    return 0 if all(run["right"] for w in figures["workloads"].values() for run in w["runs"].values()) else 1


def measure(build: bool = False, repeats: int = REPEATS, progress=lambda text: None) -> dict:
    """All figures, as JSON has them; an emulator that is not installed is None."""
    found = emulators.installed()
    names = ["vmdbg", *(e.name for e in emulators.ALL if found[e.name])]
    figures: dict = dict(emulators=found, workloads={}, steps={}, start={}, build=None)
    for workload in workloads.ALL:
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
        right = dict.fromkeys(names, True)
        for _ in range(repeats):
            for name in names:
                progress(f"{workload.name} on {name}")
                whole, start = (runner(name)(workload, iterations) for iterations in (workload.iterations, workload.least))
                seconds[name].append((whole.seconds, start.seconds))
                right[name] &= whole.checksum == workload.checksum and start.checksum == workload.least_checksum
                if name == "vmdbg":
                    instructions = whole.instructions - start.instructions
        runs = {}
        for name in names:
            spent = max(min(w for w, _ in seconds[name]) - min(s for _, s in seconds[name]), 1e-3)
            runs[name] = dict(seconds=round(spent, 4), per_second=round(instructions / spent), right=right[name])
        ratios = {name: round(runs["vmdbg"]["per_second"] / run["per_second"], 2) for name, run in runs.items() if name != "vmdbg"}
        figures["workloads"][workload.name] = dict(instructions=instructions, checksum=workload.checksum, runs=runs, ratios=ratios)
    progress("single steps")
    figures["steps"] = latency.steps()
    progress("start")
    figures["start"] = latency.start(repeats)
    if build:
        progress("building the core")
        figures["build"] = latency.build()
    progress("")
    return figures


def runner(name: str):
    """What runs a workload: (workload, iterations) -> Run."""
    return workloads.run if name == "vmdbg" else next(e for e in emulators.ALL if e.name == name).run
