"""`vmdbg bench`: how fast this machine is, beside Bochs and QEMU where they are installed.

    workloads   the guests of guests/bench, run by our engine
    emulators   the same images under QEMU and Bochs
    boot        Linux, from its first instruction to its power-off
    latency     single steps, start-up, the build
    debugger    recording and watching a boot, going back in it (armed: breakpoints; remote: QEMU's own debugger)
    report      figures as a table

Guest instructions per second of user CPU time, start-up subtracted: the same image run with one iteration.
"""

import json as json_format
from pathlib import Path

from vmdbg.bench import boot, debugger, emulators, latency, report, workloads

REPEATS = 3  # of each measurement; the best counts


def main(json: bool = False, build: bool = False, kernel: Path | None = None, initrd: Path | None = None, only: str | None = None) -> int:
    """Measure everything, or `only` one part, and print it; 1 if our engine did not end a workload with its checksum or Linux
    with its power-off, or an emulator computed something else.  An emulator that was given up is no such thing."""
    figures = measure(build, REPEATS, report.Progress(), kernel, initrd, only)
    print(json_format.dumps(figures, indent=2)) if json else report.show(figures)
    right = all(run["right"] or run["note"] for w in figures["workloads"].values() for run in w["runs"].values())
    booted = not figures["boot"].get("runs", {}).get("vmdbg", {}).get("note")
    return 0 if right and booted else 1


def measure(
    build: bool = False,
    repeats: int = REPEATS,
    progress=lambda text: None,
    kernel: Path | None = None,
    initrd: Path | None = None,
    only: str | None = None,
) -> dict:
    """All figures, as JSON has them, or those of `only` one part; an emulator that is not installed is None."""
    found = emulators.installed()
    names = ["vmdbg", *(e.name for e in emulators.ALL if found[e.name])]
    figures: dict = dict(emulators=found, workloads={}, boot={}, steps={}, start={}, debugger={}, build=None)
    if only in (None, "boot"):
        figures["boot"] = boot.measure(kernel, initrd, found, progress)
    for workload in workloads.ALL if only in (None, "workloads") else ():
        figures["workloads"][workload.name] = measure_workload(workload, names, repeats, progress)
    if only in (None, "latency"):
        progress("single steps")
        figures["steps"] = latency.steps()
        progress("start")
        figures["start"] = latency.start(repeats)
    if only in (None, "debugger"):
        figures["debugger"] = debugger.measure(kernel, initrd, found, progress)
    if build:
        progress("building the core")
        figures["build"] = latency.build()
    progress("")
    return figures


def measure_workload(workload, names: list[str], repeats: int, progress) -> dict:
    """One workload on every engine; an engine that does not end is not asked again."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    right, notes, instructions = dict.fromkeys(names, True), dict.fromkeys(names, ""), 0
    for _ in range(repeats):
        for name in names:
            if notes[name]:
                continue
            progress(f"{workload.name} on {name}")
            whole = runner(name)(workload, workload.iterations)
            start = runner(name)(workload, workload.least) if not whole.note else whole
            notes[name] = whole.note or start.note
            seconds[name].append((whole.seconds, start.seconds))
            right[name] &= whole.checksum == workload.checksum and start.checksum == workload.least_checksum
            if name == "vmdbg":
                instructions = whole.instructions - start.instructions
    runs = {}
    for name in names:
        spent = max(min(w for w, _ in seconds[name]) - min(s for _, s in seconds[name]), 1e-3)
        runs[name] = dict(seconds=round(spent, 4), per_second=round(instructions / spent), right=right[name], note=notes[name])
    rates = {name: run["per_second"] for name, run in runs.items() if not run["note"]}
    ratios = {name: round(runs["vmdbg"]["per_second"] / rate, 2) for name, rate in rates.items() if name != "vmdbg"}
    return dict(instructions=instructions, checksum=workload.checksum, runs=runs, ratios=ratios)


def runner(name: str):
    """What runs a workload: (workload, iterations) -> Run."""
    return workloads.run if name == "vmdbg" else next(e for e in emulators.ALL if e.name == name).run
