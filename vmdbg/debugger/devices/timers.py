"""The timers by register and bit: PIT, real-time clock, ACPI power management timer."""

from collections.abc import Iterable
from datetime import timedelta

from vmdbg.debugger.devices.registers import Device, Register, register
from vmdbg.machine.board.pit import FREQUENCY, tick_of
from vmdbg.machine.board.rtc import EPOCH

ACCESS = ("latch", "low", "high", "low, high")
RTC_BYTES = ("seconds", "alarm s", "minutes", "alarm m", "hours", "alarm h", "weekday", "day", "month", "year")


def devices(board) -> Iterable[Device]:
    yield Device("PIT", "ports 40-43 and 61, counter 0 on IRQ 0", pit(board.pit))
    yield Device("RTC", "ports 70-71, IRQ 8", rtc(board.rtc))
    yield Device("ACPI", "ports 600-60B, SCI on IRQ 9", acpi(board.acpi))


def pit(p) -> tuple[Register, ...]:
    tick = tick_of(p.clock())
    rows = []
    for n in range(3):
        c = p.state["counters"][n].copy()  # its value is brought up to date in the copy
        rate = f"{FREQUENCY / int(c['count']):.1f} Hz" if c["running"] and c["mode"] in (2, 3) and c["count"] else "not running"
        if c["running"] and c["mode"] not in (2, 3):
            rate = "running"
        rows.append(
            register(
                f"counter {n}",
                p._value(c, tick),
                2,
                note=f"mode {int(c['mode'])}, {ACCESS[int(c['access']) & 3]}{', BCD' if c['bcd'] else ''}, from {int(c['count'])}: {rate}"
                f"; gate {int(c['gate'])}, out {p._out(c, tick)}",
            )
        )
    return (*rows, register("port 61", p.state["port61"], 1, "gate2:0 speaker:1 parity_off:2 channel_off:3"))


def rtc(r) -> tuple[Register, ...]:
    ram, now = r.state["ram"], EPOCH + timedelta(seconds=r._now(r.clock()))
    rows = [register("index", r.state["index"], 1, "NMI_off:7 register:6:0")]
    rows += [register(name, ram[n], 1) for n, name in enumerate(RTC_BYTES)]
    rows[-1] = register(RTC_BYTES[-1], ram[9], 1, note=f"the time is {now}; these bytes are brought up to date when they are read")
    return (
        *rows,
        register("A", ram[0x0A], 1, "divider:6:4 rate:3:0"),
        register("B", ram[0x0B], 1, "set:7 periodic:6 alarm:5 update:4 square:3 binary:2 24h:1 summer:0"),
        register("C", ram[0x0C], 1, "IRQF:7 periodic:6 alarm:5 update:4"),
        register("D", ram[0x0D], 1, "valid:7"),
    )


def acpi(a) -> tuple[Register, ...]:
    s = a.state
    events = "timer:0 busmaster:4 global:5 power_button:8 sleep_button:9 RTC:10"
    return (
        register("PM1 status", s["status"], 2, f"{events} wake:15"),
        register("PM1 enable", s["enable"], 2, events),
        register("PM1 control", s["control"], 2, "SCI:0 sleep_type:12:10 sleep:13"),
        register("PM timer", a.timer() & 0xFFFFFFFF, 4, note="3.579545 MHz"),
    )
