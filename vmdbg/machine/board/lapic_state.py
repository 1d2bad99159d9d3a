"""The state of a local APIC as a record, and views of what every message reads and writes."""

import numpy as np

LAPIC = np.dtype(
    [
        ("mode", "u1"),  # IA32_APIC_BASE bits 11:10: 0 disabled, 2 xAPIC, 3 x2APIC
        ("id", "u4"),
        ("tpr", "u1"),  # as last written here; what counts is CR8
        ("ldr", "u4"),
        ("dfr", "u4"),
        ("svr", "u4"),
        ("isr", "u4", 8),
        ("tmr", "u4", 8),
        ("irr", "u4", 8),
        ("esr", "u4"),
        ("errors", "u4"),  # what ESR will show after the next write to it
        ("icr", "u8"),
        ("lvt", "u4", 6),
        ("initial", "u4"),
        ("divide", "u4"),
        ("start", "i8"),  # ns at which the initial count was loaded
        ("due", "i8"),
        ("stopped", "u1"),  # 1: it has counted to 0 in one-shot mode, and stays there until a count is written
        ("lines", "u1"),  # levels of LINT0 and LINT1
        ("extint", "u1"),  # 1: an ExtINT message waits
    ]
)


class Parts:
    """Fields of one LAPIC record (shape ()), in place: item 0 of a view is a plain integer, where a field of the record is an array."""

    def __init__(self, record: np.ndarray):
        self.mode, self.id, self.ldr, self.dfr, self.svr = (view(record, name) for name in ("mode", "id", "ldr", "dfr", "svr"))
        self.isr, self.tmr, self.irr, self.lvt = (view(record, name) for name in ("isr", "tmr", "irr", "lvt"))
        self.initial, self.divide, self.start, self.stopped = (view(record, name) for name in ("initial", "divide", "start", "stopped"))
        self.icr, self.due, self.lines, self.extint = (view(record, name) for name in ("icr", "due", "lines", "extint"))

    def save(self) -> None:
        """Nothing: the record is saved, and restored in place."""

    def restore(self, value: None) -> None:
        pass


def view(record: np.ndarray, name: str) -> memoryview:
    """The items of one field, at least one."""
    items = np.frombuffer(record, np.uint8)[record.dtype.fields[name][1] :][: record[name].nbytes]
    return memoryview(items).cast(record[name].dtype.char)


def highest(bits: memoryview) -> int:
    """The highest vector set in ISR, TMR or IRR, -1 if there is none."""
    return int.from_bytes(bits, "little").bit_length() - 1
