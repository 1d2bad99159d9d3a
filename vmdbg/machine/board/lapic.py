"""The local APIC: xAPIC at FEE00000 and x2APIC in MSRs 800-83F (SDM vol. 3, chapter 11).

    020 ID  030 version  080 TPR  0A0 PPR  0B0 EOI  0D0 LDR  0E0 DFR  0F0 SVR  100 ISR  180 TMR  200 IRR  280 ESR
    300 310 ICR  320 timer  330 thermal  340 performance  350 LINT0  360 LINT1  370 error  380 initial  390 current  3E0 divide

The timer counts virtual nanoseconds, divided.  TPR is CR8 of the vCPU, which keeps an announced interrupt waiting by itself:
this file only announces the class of the request, see `Core`.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

import numpy as np

from vmdbg.machine.board.apic_bus import BROADCAST, EXTINT, FIXED, INIT, LOWEST, NMI, START_UP, ApicBus, Message
from vmdbg.machine.board.lapic_state import LAPIC, Parts, highest

DISABLED, XAPIC, X2APIC = 0, 2, 3
APIC_BASE, TSC, TSC_ADJUST, TSC_DEADLINE_MSR = 0x1B, 0x10, 0x3B, 0x6E0
ID, VERSION, TPR, APR, PPR, EOI, RRD, LDR, DFR, SVR = 0x20, 0x30, 0x80, 0x90, 0xA0, 0xB0, 0xC0, 0xD0, 0xE0, 0xF0
ISR, TMR, IRR, ESR, ICR, ICR_HIGH, LVT = 0x100, 0x180, 0x200, 0x280, 0x300, 0x310, 0x320
INITIAL, CURRENT, DIVIDE, SELF_IPI = 0x380, 0x390, 0x3E0, 0x3F0
TIMER, THERMAL, PERFORMANCE, LINT0, LINT1, ERROR = range(6)
LVT_BITS = (0x700FF, 0x107FF, 0x107FF, 0x1A7FF, 0x1A7FF, 0x100FF)
MASKED, LEVEL, REMOTE_IRR, STATUS = 0x10000, 0x8000, 0x4000, 0x1000
ENABLED = 0x100  # SVR
ONE_SHOT, PERIODIC, TSC_DEADLINE = 0, 1, 2
SEND_ILLEGAL, RECEIVED_ILLEGAL, ILLEGAL_REGISTER = 0x20, 0x40, 0x80  # ESR
VERSION_VALUE = 0x00050014  # six LVT entries, integrated
EXTERNAL = 16  # priority of what CR8 cannot hold back
NEVER = (1 << 63) - 1
X2APIC_REGISTERS = {ID, VERSION, TPR, PPR, EOI, LDR, SVR, ESR, ICR, INITIAL, CURRENT, DIVIDE, SELF_IPI}
X2APIC_REGISTERS |= {base + 0x10 * n for base in (ISR, TMR, IRR) for n in range(8)} | {LVT + 0x10 * n for n in range(6)}
READ_ONLY = {ID, VERSION, APR, PPR, RRD, CURRENT} | {base + 0x10 * n for base in (ISR, TMR, IRR) for n in range(8)}


class Core(Protocol):
    """The vCPU of a local APIC.

    interrupt(p): a request of priority class p is announced until further notice; 1-15 waits for CR8 to be below it,
    EXTERNAL for nothing; 0: none.
    """

    cr8: int
    tsc_offset: int
    tsc_deadline: int

    def interrupt(self, priority: int) -> None: ...

    def nmi(self) -> None: ...

    def init(self) -> None: ...

    def start_up(self, vector: int) -> None: ...


@lru_cache(maxsize=256)
def message_of(destination: int, logical: bool, mode: int, vector: int) -> Message:
    """A message that the ICR sends; the same ones are sent again and again."""
    return Message(destination, logical, mode, vector)


class Lapic:
    """`external()` is the acknowledge cycle of what hangs on LINT0: the 8259s; `moved(base)` hears where the registers lie now."""

    def __init__(
        self,
        number: int,
        core: Core,
        bus: ApicBus,
        clock: Callable[[], int],
        external: Callable[[], int] = lambda: 0xFF,
        moved: Callable[[int], None] = lambda base: None,
    ):
        self.core, self.bus, self.clock, self.external, self.moved = core, bus, clock, external, moved
        self.state = np.zeros((), LAPIC)
        self.parts = Parts(self.state)
        self.state["id"], self.state["mode"] = number, XAPIC
        self.reset()
        bus.targets.append(self)

    def reset(self) -> None:
        """Power-up and INIT: everything but the ID, the mode and the pins (SDM vol. 3, 11.4.7.1)."""
        s = self.state
        for name in ("tpr", "ldr", "isr", "tmr", "irr", "esr", "errors", "icr", "initial", "divide", "stopped", "extint"):
            s[name] = 0
        s["dfr"], s["svr"], s["lvt"], s["due"] = 0xFFFFFFFF, 0xFF, MASKED, NEVER
        if s["mode"] == X2APIC:
            s["ldr"] = self._logical_id()
        self.core.tsc_deadline = 0
        self._announce()

    def virtual_wire(self) -> None:
        """What firmware leaves behind on the boot processor: LINT0 is the 8259s', LINT1 is NMI (MP specification 3.6.2.2)."""
        self.state["svr"] = ENABLED | 0x0F
        self.state["lvt"][LINT0], self.state["lvt"][LINT1] = EXTINT << 8, NMI << 8
        self._announce()

    def set_mode(self, mode: int) -> None:
        """IA32_APIC_BASE was written: bits 11:10.  Disabling it forgets everything."""
        if mode != self.state["mode"]:
            self.state["mode"] = mode
            if mode == DISABLED:
                self.reset()
            elif mode == X2APIC:
                self.state["ldr"] = self._logical_id()
            self._announce()

    def _logical_id(self) -> int:
        n = int(self.state["id"])
        return (n >> 4) << 16 | 1 << (n & 15)

    # ---- registers in memory

    def read(self, offset: int, width: int) -> int:
        """32 bits at each multiple of 16; what lies between is 0."""
        if self.state["mode"] != XAPIC:
            return (1 << 8 * width) - 1
        byte = offset & 15
        if byte > 3:
            return 0
        return self._read(offset & 0xFF0) >> 8 * byte & (1 << 8 * width) - 1

    def write(self, offset: int, width: int, value: int) -> None:
        """Only 32 bits at a multiple of 16 (SDM vol. 3, 11.4.1); others go nowhere."""
        if self.state["mode"] == XAPIC and offset & 15 == 0 and width >= 4:
            self._write(offset & 0xFF0, value & 0xFFFFFFFF)

    # ---- MSRs

    def read_msr(self, number: int) -> int | None:
        """x2APIC register, 800-8FF; None: #GP."""
        offset = (number & 0xFF) << 4
        if offset not in X2APIC_REGISTERS or offset in (EOI, SELF_IPI):
            return None
        if offset == CURRENT:
            return self._count(self.clock())
        if offset == ID:
            return int(self.state["id"])
        return int(self.state["icr"]) if offset == ICR else self._read(offset)

    def write_msr(self, number: int, value: int) -> bool:
        """False: #GP.  Besides x2APIC registers: IA32_APIC_BASE (checked by the vCPU), IA32_TSC_DEADLINE and, for its sake, the TSC."""
        if number == APIC_BASE:
            self.set_mode(value >> 10 & 3)
            self.moved(value & ~0xFFF)
            return True
        if number in (TSC, TSC_ADJUST):
            self.core.tsc_offset = value - (self.clock() if number == TSC else 0) & (1 << 64) - 1
            self.retime()
            return True
        if number == TSC_DEADLINE_MSR:
            self._write_tsc_deadline(value)
            return True
        offset = (number & 0xFF) << 4
        if offset == ICR:
            if value & ~0xFFFFFFFF000CCFFF:
                return False
            self.parts.icr[0] = value
            self._send(value & 0xFFFFFFFF, value >> 32)
            return True
        if offset not in X2APIC_REGISTERS or offset in READ_ONLY or offset == LDR:
            return False
        if LVT <= offset < LVT + 0x60:
            n = offset - LVT >> 4
            valid = LVT_BITS[n] | STATUS | (REMOTE_IRR if n in (LINT0, LINT1) else 0)
        else:
            valid = {TPR: 0xFF, EOI: 0, SVR: 0x1FF, ESR: 0, DIVIDE: 0xB, SELF_IPI: 0xFF}.get(offset, 0xFFFFFFFF)
        if value & ~valid:
            return False
        if offset == SELF_IPI:
            self._send(value | 1 << 18, 0)
        else:
            self._write(offset, value)
        return True

    def _write_tsc_deadline(self, value: int) -> None:
        """Ignored in the other modes of the timer (SDM vol. 3, 11.5.4.1)."""
        if self._timer_mode() == TSC_DEADLINE:
            self.core.tsc_deadline = value
            self.retime()

    # ---- the bus

    def matches(self, destination: int, logical: bool) -> bool:
        s = self.parts
        if s.mode[0] == DISABLED:
            return False
        if destination == BROADCAST:
            return True
        if not logical:
            return destination == s.id[0]
        ldr = s.ldr[0]
        if s.mode[0] == X2APIC:
            return destination >> 16 == ldr >> 16 and bool(destination & ldr & 0xFFFF)
        if destination > 0xFF:
            return False
        mine = ldr >> 24
        if s.dfr[0] >> 28 == 0xF:
            return bool(destination & mine)
        return (destination >> 4 in (mine >> 4, 15)) and bool(destination & mine & 15)

    def accept(self, message: Message) -> None:
        """A message for this vCPU."""
        mode = message.mode
        if mode in (FIXED, LOWEST):
            self._accept(message.vector, message.level)
        elif mode == NMI:
            self.core.nmi()
        elif mode == INIT:
            self.core.init()
            self.reset()
        elif mode == START_UP:
            self.core.start_up(message.vector)
        elif mode == EXTINT:
            self.parts.extint[0] = 1
            self._announce()

    def _accept(self, vector: int, level: bool = False) -> None:
        s = self.parts
        if vector < 16:
            self._error(RECEIVED_ILLEGAL)
        elif s.svr[0] & ENABLED and s.mode[0]:
            word, bit = vector >> 5, 1 << (vector & 31)
            s.irr[word] |= bit
            s.tmr[word] = s.tmr[word] | bit if level else s.tmr[word] & ~bit
            self._announce()

    def _send(self, low: int, destination: int) -> None:
        """Write of the ICR."""
        mode, vector, shorthand = low >> 8 & 7, low & 0xFF, low >> 18 & 3
        if mode in (FIXED, LOWEST) and vector < 16:
            self._error(SEND_ILLEGAL)
            return
        if mode == INIT and low & (LEVEL | 0x4000) == LEVEL:
            return  # level de-assert: only arbitration IDs, which nobody has
        message = message_of(destination, bool(low & 0x800), mode, vector) if shorthand == 0 else message_of(BROADCAST, False, mode, vector)
        if shorthand == 1:
            if mode in (FIXED, NMI):
                self.accept(message)
        else:
            self.bus.send(message, self if shorthand == 3 else None)

    # ---- pins

    def lint(self, n: int) -> Callable[[bool], None]:
        """The line to pin LINT0 or LINT1."""
        return lambda level: self._pin(n, level)

    def _pin(self, n: int, level: bool) -> None:
        s = self.state
        rose = level and not s["lines"] >> n & 1
        s["lines"] = int(s["lines"]) & ~(1 << n) | level << n
        entry = int(s["lvt"][LINT0 + n])
        mode = entry >> 8 & 7
        if s["mode"] == DISABLED:  # the pins are INTR and NMI
            if n == 1 and rose:
                self.core.nmi()
            self._announce()
        elif entry & MASKED:
            return
        elif mode == EXTINT:
            self._announce()
        elif mode == NMI and rose:
            self.core.nmi()
        elif mode == FIXED and entry & LEVEL and n == 0:
            if level and not entry & REMOTE_IRR:
                s["lvt"][LINT0 + n] = entry | REMOTE_IRR
                self._accept(entry & 0xFF, True)
        elif mode == FIXED and rose:
            self._accept(entry & 0xFF)

    # ---- between the APIC and its vCPU

    def _asks_external(self) -> bool:
        s = self.parts
        entry = s.lvt[LINT0]
        through = s.mode[0] == DISABLED or (entry & MASKED == 0 and entry >> 8 & 7 == EXTINT)
        return bool(s.extint[0]) or (through and bool(s.lines[0] & 1))

    def _announce(self) -> None:
        if self._asks_external():
            self.core.interrupt(EXTERNAL)
            return
        wanted, serving = highest(self.parts.irr), highest(self.parts.isr)
        self.core.interrupt(wanted >> 4 if wanted >> 4 > serving >> 4 else 0)

    def acknowledge(self) -> int:
        """The vCPU takes an interrupt: its vector; the spurious one if the request is gone."""
        s = self.parts
        if self._asks_external():
            s.extint[0] = 0
            vector = self.external()
            self._announce()
            return vector
        wanted = highest(s.irr)
        if wanted >> 4 <= max(highest(s.isr) >> 4, self.core.cr8):
            self._announce()
            return s.svr[0] & 0xFF
        word, bit = wanted >> 5, 1 << (wanted & 31)
        s.irr[word] &= ~bit
        s.isr[word] |= bit
        self._announce()
        return wanted

    def _end(self) -> None:
        """EOI."""
        s = self.parts
        vector = highest(s.isr)
        if vector < 0:
            return
        word, bit = vector >> 5, 1 << (vector & 31)
        s.isr[word] &= ~bit
        self._announce()
        if s.tmr[word] & bit:
            entry = s.lvt[LINT0]
            if entry & REMOTE_IRR and entry & 0xFF == vector:
                s.lvt[LINT0] = entry & ~REMOTE_IRR
                self._pin(0, bool(s.lines[0] & 1))
            self.bus.end_of_interrupt(vector)

    def priority(self) -> int:
        """PPR."""
        tpr, serving = self._tpr(), max(highest(self.parts.isr), 0)
        return tpr if tpr >> 4 >= serving >> 4 else serving & 0xF0

    def _tpr(self) -> int:
        tpr, cr8 = int(self.state["tpr"]), self.core.cr8
        return tpr if tpr >> 4 == cr8 else cr8 << 4

    def _error(self, bits: int) -> None:
        s = self.state
        s["errors"] |= bits
        entry = int(s["lvt"][ERROR])
        if not entry & MASKED and entry & 0xFF >= 16:
            self._accept(entry & 0xFF)

    # ---- one register

    def _read(self, offset: int) -> int:
        s = self.state
        if ISR <= offset < ESR:
            return int(s[("isr", "tmr", "irr")[offset - ISR >> 7]][offset >> 4 & 7])
        if LVT <= offset < LVT + 0x60:
            return int(s["lvt"][offset - LVT >> 4])
        if offset == ID:
            return int(s["id"]) << 24 & 0xFFFFFFFF
        if offset in (TPR, APR, PPR):
            return self._tpr() if offset == TPR else self.priority()
        if offset == CURRENT:
            return self._count(self.clock())
        if offset in (ICR, ICR_HIGH):
            return int(s["icr"]) >> (32 if offset == ICR_HIGH else 0) & 0xFFFFFFFF
        names = {LDR: "ldr", DFR: "dfr", SVR: "svr", ESR: "esr", INITIAL: "initial", DIVIDE: "divide"}
        if offset in names:
            return int(s[names[offset]])
        if offset == VERSION:
            return VERSION_VALUE
        if offset not in (EOI, RRD):
            self._error(ILLEGAL_REGISTER)
        return 0

    def _write(self, offset: int, value: int) -> None:
        s = self.state
        if offset == EOI:
            self._end()
        elif offset == TPR:
            s["tpr"] = value & 0xFF
            self.core.cr8 = value >> 4 & 15
        elif offset == ICR:
            s["icr"] = int(s["icr"]) & ~0xFFFFFFFF | value & ~STATUS
            destination = int(s["icr"]) >> 56
            self._send(value, BROADCAST if destination == 0xFF else destination)
        elif offset == ICR_HIGH:
            s["icr"] = int(s["icr"]) & 0xFFFFFFFF | (value & 0xFF000000) << 32
        elif offset == LDR:
            s["ldr"] = value & 0xFF000000
        elif offset == DFR:
            s["dfr"] = value | 0x0FFFFFFF
        elif offset == SVR:
            s["svr"] = value & 0x1FF
            if not value & ENABLED:
                s["lvt"] |= MASKED
                self.retime()
        elif offset == ESR:
            s["esr"], s["errors"] = int(s["errors"]), 0
        elif LVT <= offset < LVT + 0x60:
            self._write_lvt(offset - LVT >> 4, value)
        elif offset == INITIAL:
            if self._timer_mode() != TSC_DEADLINE:
                s["initial"], s["start"], s["stopped"] = value, self.clock(), 0
                self.retime()
        elif offset == DIVIDE:
            now = self.clock()
            done = int(s["initial"]) - self._count(now)
            s["divide"] = value & 0xB
            s["start"] = now - done * self._divisor()
            self.retime()
        elif offset not in READ_ONLY:
            self._error(ILLEGAL_REGISTER)

    def _write_lvt(self, n: int, value: int) -> None:
        s = self.state
        value = value & LVT_BITS[n] | int(s["lvt"][n]) & REMOTE_IRR
        if not value & LEVEL:
            value &= ~REMOTE_IRR
        if not s["svr"] & ENABLED:
            value |= MASKED
        if n == TIMER:
            self._settle(self.clock())
            was = self._timer_mode()
            if was == ONE_SHOT and s["initial"] and not self._count(self.clock()):
                s["stopped"] = 1
            s["lvt"][n] = value
            if (was == TSC_DEADLINE) != (self._timer_mode() == TSC_DEADLINE):
                s["initial"], self.core.tsc_deadline = 0, 0
            self.retime()
            return
        s["lvt"][n] = value
        if n in (LINT0, LINT1):
            self._announce()
            if value & LEVEL:
                self._pin(n - LINT0, bool(s["lines"] >> n - LINT0 & 1))

    # ---- the timer

    def _timer_mode(self) -> int:
        return self.parts.lvt[TIMER] >> 17 & 3

    def _divisor(self) -> int:
        d = self.parts.divide[0]
        return 1 << ((d >> 1 & 4 | d & 3) + 1 & 7)

    def _settle(self, clock: int) -> None:
        """Let `start` be the beginning of the present period."""
        s = self.state
        if self._timer_mode() == PERIODIC and s["initial"]:
            period = int(s["initial"]) * self._divisor()
            s["start"] = clock - (clock - int(s["start"])) % period

    def _count(self, clock: int) -> int:
        """The current count register."""
        s = self.parts
        initial, mode = s.initial[0], self._timer_mode()
        if not initial or s.stopped[0] or mode == TSC_DEADLINE:
            return 0
        done = (clock - s.start[0]) // self._divisor()
        return initial - done % initial if mode == PERIODIC else max(initial - done, 0)

    def retime(self) -> None:
        """Find out when the timer expires next; also for a guest that sets its TSC."""
        s, now = self.state, self.clock()
        mode, entry, due = self._timer_mode(), int(s["lvt"][TIMER]), NEVER
        if mode == TSC_DEADLINE:
            wanted = self.core.tsc_deadline
            if wanted:
                due = now + max(wanted - (now + self.core.tsc_offset & (1 << 64) - 1), 0)
        elif s["initial"] and not s["stopped"] and not entry & MASKED:
            period = int(s["initial"]) * self._divisor()
            due = int(s["start"]) + period
            if due <= now:
                due = due + (now - due) // period * period + period if mode == PERIODIC else NEVER
        s["due"] = min(due, NEVER)

    def deadline(self) -> int | None:
        due = self.parts.due[0]
        return None if due == NEVER else due

    def advance(self, clock: int) -> None:
        s = self.state
        if clock < int(s["due"]):
            return
        if self._timer_mode() == TSC_DEADLINE:
            self.core.tsc_deadline = 0
        entry = int(s["lvt"][TIMER])
        if not entry & MASKED:
            self._accept(entry & 0xFF)
        self.retime()
