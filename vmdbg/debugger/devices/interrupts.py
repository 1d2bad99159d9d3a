"""The interrupt controllers by register and bit: the 8259s, every local APIC, the I/O APIC."""

from collections.abc import Iterable

from vmdbg.debugger.devices.registers import Device, Register, numbers, register, vectors

CHIPS = (("PIC master", "ports 20-21, INTR through LINT0", 0), ("PIC slave", "ports A0-A1, on IR2 of the master", 8))
DELIVERY = "{fixed lowest SMI reserved NMI INIT start-up ExtINT}"
LVT = ("timer", "thermal", "performance", "LINT0", "LINT1", "error")
DIVISORS = (2, 4, 8, 16, 32, 64, 128, 1)
MASKED = 1 << 16


def devices(board) -> Iterable[Device]:
    for n, (name, place, first) in enumerate(CHIPS):
        yield Device(name, place, chip(board.pic.state["chips"][n], first))
    for n, lapic in enumerate(board.lapics):
        yield Device(f"Local APIC {n}", f"memory FEE00000 of CPU {n}", local(lapic))
    yield Device("I/O APIC", "memory FEC00000, 24 inputs", redirections(board.ioapic))


def chip(c, first: int) -> tuple[Register, ...]:
    """One 8259; its input 0 is IRQ `first`."""

    def irqs(bits) -> str:
        found = [n for n in range(8) if int(bits) >> n & 1]
        return "IRQ " + ", ".join(str(first + n) for n in found) if found else "none"

    base = int(c["base"])
    programmed = "not programmed yet" if c["step"] == 1 else f"IRQ {first}-{first + 7} are vectors {base:02x}-{base + 7:02x}"
    modes = [
        text
        for name, text in (
            ("auto_eoi", "automatic EOI"),
            ("nested", "special fully nested"),
            ("special_mask", "special mask"),
            ("rotate_on_aeoi", "rotates"),
            ("single", "single"),
        )
        if c[name]
    ]
    return (
        register("lines", c["lines"], 1, note=irqs(c["lines"])),
        register("IRR", c["irr"], 1, note=f"requested: {irqs(c['irr'])}"),
        register("IMR", c["imr"], 1, note=f"masked: {irqs(c['imr'])}"),
        register("ISR", c["isr"], 1, note=f"in service: {irqs(c['isr'])}"),
        register("ELCR", c["elcr"], 1, note=f"level-triggered: {irqs(c['elcr'])}"),
        register("base", base, 1, note=programmed),
        register("lowest", c["lowest"], 1, note=", ".join(modes) or "fully nested"),
    )


def words(array) -> int:
    """256 bits in eight words."""
    return int.from_bytes(array.tobytes(), "little")


def local(lapic) -> tuple[Register, ...]:
    s, now = lapic.state, lapic.clock()
    divide = int(s["divide"])
    rows = [
        register("mode", s["mode"], 1, note=("disabled", "invalid", "xAPIC", "x2APIC")[int(s["mode"]) & 3]),
        register("ID", s["id"], 4),
        register("SVR", s["svr"], 4, "enabled:8 vector:7:0"),
        register("TPR", lapic._tpr(), 1, "class:7:4"),
        register("PPR", lapic.priority(), 1, "class:7:4"),
        Register("IRR", words(s["irr"]) and 1, 1, note=f"requested: {vectors(words(s['irr']))}"),
        Register("ISR", words(s["isr"]) and 1, 1, note=f"in service: {vectors(words(s['isr']))}"),
        Register("TMR", words(s["tmr"]) and 1, 1, note=f"level-triggered: {vectors(words(s['tmr']))}"),
        register("LDR", s["ldr"], 4),
        register("DFR", s["dfr"], 4),
        register("ICR", s["icr"], 8, f"vector:7:0 mode:10:8{DELIVERY} logical:11 to:19:18{{one self all others}} destination:63:56"),
        register("ESR", s["esr"], 4, "send_checksum:0 send_illegal:5 received_illegal:6 illegal_register:7"),
    ]
    for n, name in enumerate(LVT):
        kind = "mode:18:17{one-shot periodic TSC-deadline}" if n == 0 else f"mode:10:8{DELIVERY}"
        level = " level:15 remote_IRR:14" if n in (3, 4) else ""
        rows.append(register(f"LVT {name}", s["lvt"][n], 4, f"masked:16 vector:7:0 {kind}{level}"))
    rows += [
        register("initial", s["initial"], 4),
        register("current", lapic._count(now), 4),
        register("divide", divide, 4, note=f"counts every {DIVISORS[divide & 3 | divide >> 1 & 4]} ns"),
        register("deadline", lapic.core.tsc_deadline, 8, note="of the TSC; 0: none"),
    ]
    return tuple(rows)


def redirections(ioapic) -> tuple[Register, ...]:
    s = ioapic.state
    rows = [register("ID", s["id"], 4), register("lines", s["lines"], 4, note=f"active: {numbers(int(s['lines']))}")]
    notation = f"masked:16 vector:7:0 mode:10:8{DELIVERY} logical:11 low:13 remote_IRR:14 level:15 destination:63:56"
    return (*rows, *(register(f"entry {n:02}", entry, 8, notation) for n, entry in enumerate(s["entries"])))


# ---- What is pending, in a few words


def pending(board) -> tuple[tuple[str, bool], ...]:
    """A line for each controller that is in use: what is requested, in service, masked; whether anything is pending there."""
    lines: list[tuple[str, bool]] = []
    for n, name in enumerate(("PIC", "PIC2")):
        c = board.pic.state["chips"][n]
        if c["step"] != 1 and (int(c["imr"]) != 0xFF or c["isr"]):
            irr, isr, imr, base = (int(c[field]) for field in ("irr", "isr", "imr", "base"))
            lines.append((f"{name} {base:02x}-{base + 7:02x}  irr {irr:02x}  isr {isr:02x}  imr {imr:02x}", bool(irr & ~imr or isr)))
    for n, lapic in enumerate(board.lapics):
        irr, isr = words(lapic.state["irr"]), words(lapic.state["isr"])
        if lapic.state["svr"] & 0x100 and (irr or isr or not int(lapic.state["lvt"][0]) & MASKED):
            lines.append((f"LAPIC{n}  irr {vectors(irr)}  isr {vectors(isr)}  tpr {lapic._tpr():02x}", bool(irr or isr)))
    open_ = [(n, int(e)) for n, e in enumerate(board.ioapic.state["entries"]) if not int(e) & MASKED]
    if open_:
        lines.append(("IOAPIC  " + " ".join(f"{n}→{e & 0xFF:02x}{'!' if e & 0x4000 else ''}" for n, e in open_), False))
    return tuple(lines)


def sources(board) -> dict[int, str]:
    """Vector -> what raises it as the controllers are programmed now: 'IRQ0', 'timer'."""
    found: dict[int, str] = {}
    for n, chip_ in enumerate(board.pic.state["chips"]):
        if chip_["step"] != 1:
            for line in range(8):
                if not int(chip_["imr"]) >> line & 1:
                    found[int(chip_["base"]) + line] = f"IRQ{8 * n + line}"
    for n, entry in enumerate(board.ioapic.state["entries"]):
        if not int(entry) & MASKED and int(entry) >> 8 & 7 <= 1:
            found[int(entry) & 0xFF] = f"IRQ{0 if n == 2 else n}"
    for lapic in board.lapics:
        for n, name in enumerate(LVT):
            entry = int(lapic.state["lvt"][n])
            if not entry & MASKED and entry >> 8 & 7 == 0 and lapic.state["svr"] & 0x100:
                found[entry & 0xFF] = name
    return found
