"""What people see and touch, by register and bit: keyboard controller, serial ports, screen, POST port."""

from collections.abc import Iterable

from vmdbg.debugger.devices.registers import Device, Register, register

KEYBOARD, MOUSE = 1, 2
WHO = {0: "empty", KEYBOARD: "from the keyboard or the controller", MOUSE: "from the mouse"}


def devices(board) -> Iterable[Device]:
    yield Device("Keyboard", "i8042, ports 60 and 64, IRQ 1 and 12", i8042(board.keyboard, board.port92))
    names = (("uart", "COM1", "ports 3F8-3FF, IRQ 4"), ("uart2", "COM2", "ports 2F8-2FF, IRQ 3"))
    for attribute, name, place in names:
        if hasattr(board, attribute):
            yield Device(name, f"16550A, {place}", uart(getattr(board, attribute)))
    yield Device("VGA", "text, memory B8000-BFFFF, ports 3C0-3DF", vga(board.vga))
    yield Device("POST", "port 80", (register("code", board.post.state["code"], 4),))


def i8042(k, port92) -> tuple[Register, ...]:
    s = k.state
    return (
        register("status", k._status(), 1, "full:0 input:1 system:2 command:3 unlocked:4 mouse:5 timeout:6 parity:7"),
        register("output", s["data"], 1, note=WHO.get(int(s["full"]), "")),
        register("command", s["command"], 1, "IRQ1:0 IRQ12:1 system:2 no_keyboard:4 no_mouse:5 translate:6"),
        register("output port", s["output_port"], 1, "no_reset:0 A20:1 IRQ1:4 IRQ12:5"),
        register("port 92", port92.state["value"], 1, "reset:0 A20:1"),
        register("waiting", s["keyboard"]["count"], 1, note="bytes from the keyboard"),
        register("scanning", s["scanning"], 1, note=f"scan code set {int(s['set'])}"),
        register("LEDs", s["leds"], 1, "scroll:0 num:1 caps:2"),
        register("mouse", s["mouse"]["count"], 1, note=f"bytes wait; reporting {'on' if s['reporting'] else 'off'}"),
    )


def uart(u) -> tuple[Register, ...]:
    s = u.state
    status = 0x60 | (1 if s["count"] else 0) | (2 if s["overrun"] else 0)
    divisor = int(s["divisor"])
    return (
        register("IER", s["ier"], 1, "received:0 transmitter_empty:1 line:2 modem:3"),
        register("IIR", u._cause(), 1, "none:0 cause:3:1{modem empty received line}"),
        register("FCR", s["fcr"], 1, "FIFO:0 DMA:3 trigger:7:6{1 4 8 14}"),
        register("LCR", s["lcr"], 1, "length:1:0{5 6 7 8} stop:2{1 2} parity:5:3{none odd none even none mark none space} break:6 DLAB:7"),
        register("MCR", s["mcr"], 1, "DTR:0 RTS:1 OUT1:2 OUT2:3 loop:4"),
        register("LSR", status, 1, "DR:0 OE:1 PE:2 FE:3 BI:4 THRE:5 TEMT:6"),
        register("SCR", s["scr"], 1),
        register("divisor", divisor, 2, note=f"{115200 // divisor} baud" if divisor else "no clock"),
        register("FIFO", s["count"], 1, note="received bytes that wait"),
    )


def vga(v) -> tuple[Register, ...]:
    crtc = v.state["crtc"]

    def pair(high: int) -> int:
        return int(crtc[high]) << 8 | int(crtc[high + 1])

    return (
        register("CRTC index", v.state["indexes"][0x14], 1),
        register("start", pair(0x0C), 2, note="cell at the top left"),
        register("cursor", pair(0x0E), 2, note=f"row {(pair(0x0E) - pair(0x0C)) // 80}, column {(pair(0x0E) - pair(0x0C)) % 80}"),
        register("cursor start", crtc[0x0A], 1, "off:5 line:4:0"),
        register("cursor end", crtc[0x0B], 1, "skew:6:5 line:4:0"),
    )
