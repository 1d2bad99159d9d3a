"""The figures of a bench as a table."""

from rich.console import Console
from rich.table import Table

TITLES = dict(vmdbg="vmdbg", qemu="QEMU TCG", qemu_icount="QEMU -icount", bochs="Bochs")
MILLION = 1_000_000
JOURNEYS = dict(
    goto="to a random point", reverse_step="a step back", previous_trap="to the trap before", previous_exit="to the VM exit before"
)


class Progress:
    """Says on standard error what is being measured, where a terminal shows it."""

    def __init__(self):
        self.console = Console(stderr=True)
        self.status = None

    def __call__(self, text: str) -> None:
        if not self.console.is_terminal:
            return
        if self.status is None:
            self.status = self.console.status(text)
            self.status.start()
        self.status.update(text)
        if not text:
            self.status.stop()
            self.status = None


def show(figures: dict) -> None:
    """Print the figures."""
    console = Console()
    names = list(TITLES)
    if figures["workloads"]:
        table = Table(title="Million guest instructions per second of user CPU time", title_justify="left")
        table.add_column("workload")
        table.add_column("instructions", justify="right")
        for name in names:
            table.add_column(TITLES[name], justify="right")
        for name, w in figures["workloads"].items():
            table.add_row(name, f"{w['instructions']:,}", *(cell(w, n) for n in names))
        console.print(table)
        console.print("In brackets: how many times as fast vmdbg is.")
    for name, version in figures["emulators"].items():
        console.print(f"{TITLES[name]}: {version or 'not installed'}", markup=False, highlight=False)
    if figures["boot"]:
        console.print()
        for line in boot(figures["boot"]):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    s, t = figures["steps"], figures["start"]
    if s:
        show_latency(console, s, t)
    if figures["debugger"]:
        console.print()
        for line in debugger(figures["debugger"]):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    if figures["build"] is not None:
        console.print(f"Build of the core: {figures['build']} s", highlight=False)


def boot(figures: dict) -> list[str]:
    """A line for every machine that booted Linux."""
    if "missing" in figures:
        return [f"Boot of Linux: {figures['missing']}"]
    lines = [f"Boot of Linux to its power-off ({figures['kernel']}):"]
    for name, run in figures["runs"].items():
        text = f"{run['seconds']:.1f} s by the clock, {run['user_cpu']:.1f} s of user CPU"
        if "per_second" in run:
            text += f", {run['instructions']:,} instructions, {run['per_second'] / MILLION:,.0f} million a second of it"
        lines.append(f"  {TITLES[name]:<12} {run['note'] or text}")
    return lines


def show_latency(console: Console, s: dict, t: dict) -> None:
    console.print(f"\nSingle steps a second: {s['machine']:,} by Machine.step, {s['session']:,} by Session.step", highlight=False)
    times = f"{t['first_instruction']:.2f} s to the first instruction, {t['first_frame']:.2f} s to the app's first frame"
    console.print(f"Start: {times}, {t['first_snapshot']:.2f} s to the guest in it ({t['user_cpu']:.2f} s of CPU)", highlight=False)


def debugger(figures: dict) -> list[str]:
    """A line for every figure of the debugger."""
    steps, start = figures["steps"], figures["start"]
    rows = [
        ("single steps a second of CPU", f"{steps['machine']:,} by Machine.step, {steps['session']:,} by Session.step"),
        ("first frame", f"{start['first_frame']:.2f} s; the guest in it: {start['first_snapshot']:.2f} s"),
    ]
    if (qemu := figures.get("qemu_steps")) is not None:
        rows.append(("QEMU's gdb stub", qemu["note"] or f"{qemu['per_second']:,} single steps a second by the clock"))
    if "missing" in figures:
        rows.append(("a boot of Linux", figures["missing"]))
    else:
        rows += recording(figures["recording"])
        rows += [(JOURNEYS[name], milliseconds(found)) for name, found in figures["journeys"].items()]
        found, armed = figures["search"], figures["armed"]
        how = f"{found['steps'] / MILLION:,.0f} million steps{', then cancelled' if found['cancelled'] else ''}"
        rate = f"{found['backwards'] / MILLION:,.0f} million a second, {found['ratio']:.2f} of the way forwards"
        rows += [
            ("search backwards", f"{rate} ({how})"),
            ("20 addresses and a trap, never hit", f"{armed['never']:+.1f} %"),
            ("condition that is false", f"{armed['false']:.1f} us a hit ({armed['hits']:,} hits)"),
            ("watchpoint on the stack's page", f"{armed['stack']:.2f} times as long"),
        ]
    if (qemu := figures.get("qemu_back")) is not None:
        rows.append(("QEMU's rr, a step back", (milliseconds(qemu) if qemu["count"] else "") + f" {qemu['note']}".rstrip()))
    return ["The debugger:", *(f"  {name:<36} {text.strip()}" for name, text in rows)]


def recording(found: dict) -> list[tuple[str, str]]:
    seconds, process = found["seconds"], found["process"]
    whole = f"{percent(process['recorded'], process['plain'])} with its other threads"
    return [
        ("a boot of Linux", f"{found['instructions']:,} instructions in {seconds['plain']:.2f} s of CPU"),
        ("recorded", f"{found['recording']:+.1f} %, {whole}"),
        ("its trace", f"{found['trace'] / MILLION:,.1f} MB, {found['checkpoints']:,} checkpoints"),
        ("watched 25 times a second", f"{found['watching']:+.1f} %"),
    ]


def percent(more: float, less: float) -> str:
    return f"{100 * (more / max(less, 1e-6) - 1):+.1f} %"


def milliseconds(found: dict) -> str:
    text = f"{found['median']:,.1f} ms in the median of {found['count']}, {found['worst']:,.1f} at worst"
    return text + (f" (of CPU {found['cpu_median']:,.1f} and {found['cpu_worst']:,.1f})" if "cpu_median" in found else "")


def cell(workload: dict, name: str) -> str:
    """One engine's figure, and the ratio."""
    if name not in workload["runs"]:
        return "not installed"
    run = workload["runs"][name]
    if run["note"]:
        return run["note"]
    if not run["right"]:
        return "wrong"
    text = f"{run['per_second'] / MILLION:,.0f}"
    return text if name == "vmdbg" else f"{text} ({workload['ratios'][name]:.1f}x)"
