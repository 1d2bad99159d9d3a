"""The task-state segment field by field (SDM vol. 3, figures 8-2, 8-10 and 8-11)."""

from vmdbg.debugger.registers import SEGMENTS, mode

TR = SEGMENTS.index("tr")
# offset: name; every field is 4 bytes wide but those of WIDE
TSS32 = {0: "link", 4: "esp0", 8: "ss0", 12: "esp1", 16: "ss1", 20: "esp2", 24: "ss2", 28: "cr3", 32: "eip", 36: "eflags"}
TSS32 |= {40 + 4 * n: name for n, name in enumerate("eax ecx edx ebx esp ebp esi edi es cs ss ds fs gs ldt".split())}
TSS64 = {4 + 8 * n: f"rsp{n}" for n in range(3)} | {36 + 8 * n: f"ist{n + 1}" for n in range(7)}
TSS16 = {2 * n: name for n, name in enumerate("link sp0 ss0 sp1 ss1 sp2 ss2 ip flags ax cx dx bx sp bp si di es cs ss ds ldt".split())}
SELECTORS = {"link", "ss0", "ss1", "ss2", "es", "cs", "ss", "ds", "fs", "gs", "ldt"}
MAP_AT = 0x66  # of the offset of the I/O permission bitmap
EACH = 4  # fields of a line


def tss_lines(session) -> list[str]:
    cpu = session.cpu
    selector, base, limit = int(cpu.seg_selector[TR]), int(cpu.seg_base[TR]), int(cpu.seg_limit[TR])
    if mode(cpu) == "real" or not selector & 0xFFFC:
        return ["no task: TR is null" if mode(cpu) != "real" else "no task: real mode has none"]
    kind = int(cpu.seg_attr[TR]) & 15
    fields, size = (TSS64, 8) if int(cpu.efer) & 0x400 else (TSS32, 4) if kind & 8 else (TSS16, 2)
    bits = 8 * size
    lines = [f"tr {selector:04x}: {bits}-bit TSS at {base:x}, limit {limit:x}"]
    values = []
    for at, name in fields.items():
        width = 2 if name in SELECTORS or size == 2 else size
        data = session.read(base + at, width) if at + width - 1 <= limit else None
        values.append(f"{name:<6} {int.from_bytes(data, 'little'):0{2 * width}x}" if data is not None else f"{name:<6} {'-' * 2 * width}")
    lines += ["  ".join(f"{v:<{8 + 2 * size}}" for v in values[n : n + EACH]).rstrip() for n in range(0, len(values), EACH)]
    if size == 2:
        return lines
    data = session.read(base + MAP_AT, 2) if limit > MAP_AT else None
    start = int.from_bytes(data, "little") if data is not None else 0
    if data is None or start >= limit:
        return [*lines, "no I/O permission bitmap: ports are IOPL's alone"]
    open_ports = ports_open(session, base + start, min(limit - start, 0x2000))
    return [*lines, f"I/O permission bitmap at +{start:x}: " + (f"open {open_ports}" if open_ports else "no port is open")]


def ports_open(session, at: int, size: int) -> str:
    """Ranges of ports whose bit is 0."""
    data = session.read(at, size)
    if data is None:
        return "(not in memory)"
    bits = int.from_bytes(data, "little")
    found: list[list[int]] = []
    for port in range(8 * size):
        if not bits >> port & 1:
            if found and found[-1][1] == port - 1:
                found[-1][1] = port
            else:
                found.append([port, port])
    return " ".join(f"{a:x}" if a == b else f"{a:x}-{b:x}" for a, b in found)
