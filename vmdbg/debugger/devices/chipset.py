"""PCI functions and IDE channels by register and bit."""

from collections.abc import Iterable

from vmdbg.debugger.devices.registers import Device, Register, register
from vmdbg.machine.board import ide, pci

# Class codes (PCI Code and ID Assignment), as far as functions of the board have them
CLASSES = {
    0x010000: "SCSI",
    0x010100: "IDE",
    0x010180: "IDE",
    0x060000: "host bridge",
    0x060100: "ISA bridge",
    0x068000: "bridge",
    0x078000: "communication",
}
VENDORS = {0x8086: "Intel", 0x1AF4: "virtio", 0x1234: "QEMU"}
STATUS_BITS = "ERR:0 DRQ:3 DSC:4 DF:5 DRDY:6 BSY:7"


def devices(board) -> Iterable[Device]:
    for (device, function), what in sorted(board.pci.functions.items()):
        name = CLASSES.get(what.get(pci.CLASS, 3), f"class {what.get(pci.CLASS, 3):06x}")
        yield Device(f"PCI {device:02x}.{function}", f"00:{device:02x}.{function}  {name}", configuration(what))
    for n, channel in enumerate(board.chipset.channels):
        place = f"ports {ide.FIRST[n]:X}-{ide.FIRST[n] + 7:X}, IRQ {ide.IRQ[n]}"
        yield Device(f"IDE {n}", place, drives(channel))


def configuration(f) -> tuple[Register, ...]:
    vendor = f.get(pci.VENDOR, 2)
    rows = [
        register("vendor", vendor, 2, note=VENDORS.get(vendor, "")),
        register("device", f.get(pci.DEVICE, 2), 2),
        register("command", f.get(pci.COMMAND, 2), 2, "I/O:0 memory:1 bus_master:2 SERR:8 INTx_off:10"),
        register("status", f.get(pci.STATUS, 2), 2, "interrupt:3 capabilities:4 66MHz:5 master_abort:13"),
        register("class", f.get(pci.CLASS, 3), 3, note=CLASSES.get(f.get(pci.CLASS, 3), "")),
        register("line", f.get(pci.LINE, 1), 1, note=f"pin {'-ABCD'[f.get(pci.PIN, 1) % 5]}"),
    ]
    for n in range(6):
        value = f.get(pci.BARS + 4 * n, 4)
        if value:
            rows.append(register(f"BAR{n}", value, 4, note=f"ports from {value & ~3:x}" if value & 1 else f"memory from {value & ~15:x}"))
    return tuple(rows)


def drives(channel) -> tuple[Register, ...]:
    s = channel.state
    rows = [register("control", s["control"], 1, "no_interrupt:1 reset:2 high_order:7"), register("selected", s["selected"], 1)]
    for n, drive in enumerate(channel.drives):
        d, name = s["drives"][n], ("master", "slave")[n]
        if drive is None:
            rows.append(register(name, 0, 1, note="none"))
            continue
        rows += [
            register(f"{name} status", d["status"], 1, STATUS_BITS),
            register(f"{name} command", d["command"], 1, note=f"sector {int(d['sector'])}, {int(d['left'])} left"),
            register(f"{name} registers", int.from_bytes(d["regs"].tobytes(), "big"), 8, note="data error count LBA device status"),
        ]
    return tuple(rows)
