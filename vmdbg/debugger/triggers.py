"""What a breakpoint waits for: each kind knows what to ask of the machine, and whether a stop of the machine is its own.

    Trigger.want(wants) -> what the machine is armed with -> a stop -> Event -> Trigger.match(event) -> words, or None

The machine stops more often than any one trigger asks for (an armed form is not yet the port that was meant); `match` decides.
"""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

import isa
from vmdbg.debugger.outlook import memory_operand
from vmdbg.debugger.registers import linear_rip, reader
from vmdbg.debugger.traps import TRAPS, describe
from vmdbg.debugger.traps import name as trap_name
from vmdbg.machine.state import RAX, RCX, RDX
from vmdbg.machine.watch import MODE_64, MODE_CPL, MODE_LONG, MODE_PAGING, MODE_PROTECTED, MODE_V86

LONGEST = 15  # bytes of an instruction
UNKNOWN = object()
_rip, _bits, _rax, _rcx, _rdx = reader("rip"), reader("bits"), reader("gpr", RAX), reader("gpr", RCX), reader("gpr", RDX)
ACCESS = ("r", "w", "rw")
ORIGINS = {"hardware": ("interrupt", "nmi"), "software": ("software",), "exception": ("exception",)}
MODES = {
    "real": lambda m: not m & MODE_PROTECTED,
    "protected": lambda m: bool(m & MODE_PROTECTED) and not m & MODE_LONG,
    "v86": lambda m: bool(m & MODE_V86),
    "long": lambda m: bool(m & MODE_LONG),
    "64": lambda m: bool(m & MODE_64),
    "compatibility": lambda m: bool(m & MODE_LONG) and not m & MODE_64,
    "paging": lambda m: bool(m & MODE_PAGING),
}


@dataclass
class Wants:
    """What a machine is to stop at: the union of what several triggers ask for."""

    addresses: set[int] = field(default_factory=set)  # linear
    physical: set[int] = field(default_factory=set)
    vectors: set[int] = field(default_factory=set)
    forms: set[int] = field(default_factory=set)  # numbers in isa.forms.FORMS
    watches: list[tuple[int, int, int]] = field(default_factory=list)  # first, last, WATCH_* bits
    modes: bool = False


@functools.lru_cache(maxsize=4096)
def decoded(code: bytes, bits: int, ip: int):
    """The instruction at the start of some bytes, or None; the places that are stopped at are few, and come again and again."""
    return isa.decode(code, bits=bits, ip=ip)


class Event:
    """A stop of the machine as triggers see it."""

    __slots__ = ("kind", "found", "cpu", "_session", "_rip", "_instruction", "_facts")

    def __init__(self, session, found, kind: str | None = None):
        self.kind = kind or found.reason  # break, trap, watch, mode
        self.found = found
        self.cpu = session.cpu
        self._session, self._instruction = session, UNKNOWN
        self._facts: dict[str, int] | None = None
        self._rip = found.address if kind is None and found.reason == "break" else None

    @property
    def cpu_index(self) -> int:
        return self._session.cpu_index

    @property
    def rip(self) -> int:
        """The linear address of the next instruction."""
        if self._rip is None:
            self._rip = linear_rip(self.cpu)
        return self._rip

    @property
    def physical(self) -> int | None:
        """Where the next instruction lies."""
        return self._session.machine.physical_of(self._session.cpu_index, self.rip)

    @property
    def instruction(self):
        """The instruction that is next, or None."""
        if self._instruction is UNKNOWN:
            code = self._session.machine.mapped_at(self._session.cpu_index, self.rip, LONGEST)
            self._instruction = decoded(code, _bits(self.cpu), _rip(self.cpu))
        return self._instruction

    @property
    def facts(self) -> dict[str, int]:
        """What conditions may ask about: the trap's; port, width, value, msr, cr, exit_reason of the next
        instruction; size of a watched access."""
        if self._facts is None:
            self._facts = self._find_facts()
        return self._facts

    def _find_facts(self) -> dict[str, int]:
        if self.kind == "trap":
            return dict(vector=self.found.vector, error_code=self.found.error_code, address=self.found.address)
        if self.kind == "watch":
            a = self.found.access
            return dict(address=a.physical if a.linear is None else a.linear, size=a.size, write=int(a.write))
        if self.kind != "break" or not self._session.armed.wants.forms:
            return {}
        i = self.instruction
        if i is None:
            return {}
        facts_of = access_kind(number_of(i.form))
        facts = {} if facts_of is None else facts_of(i, self.cpu) or {}
        return facts if i.row.exit is None else {**facts, "exit_reason": i.row.exit.number}

    def read(self, linear: int, size: int) -> bytes | None:
        """Guest memory; None where any of it is not mapped."""
        return self._session.read(linear, size)

    def operand(self) -> int | None:
        """The linear address of the next instruction's operand in memory, if it has one."""
        return memory_operand(self._session)


class Trigger(Protocol):
    """Kinds are frozen dataclasses, so that equal ones are equal."""

    def want(self, wants: Wants) -> None: ...

    def match(self, event: Event) -> bool:
        """Whether a stop is this trigger's."""

    def words(self, event: Event) -> str:
        """What there is to say about a stop that is."""

    def place(self) -> str:
        """As `info break` shows it."""


# ---- where and when


@dataclass(frozen=True)
class Address:
    """Before the instruction at a linear address."""

    address: int
    name: str = ""  # as the user wrote it

    def want(self, wants: Wants) -> None:
        wants.addresses.add(self.address)

    def match(self, event: Event) -> bool:
        return event.kind == "break" and event.rip == self.address

    def words(self, event: Event) -> str:
        return f"at {self.address:#x}" + (f" {self.name}" if self.name else "")

    def place(self) -> str:
        return f"{self.address:#x} {self.name}".rstrip()


@dataclass(frozen=True)
class Places:
    """Before the instruction at any of some linear addresses: those of one line of source."""

    addresses: tuple[int, ...]
    name: str

    def want(self, wants: Wants) -> None:
        wants.addresses.update(self.addresses)

    def match(self, event: Event) -> bool:
        return event.kind == "break" and event.rip in self.addresses

    def words(self, event: Event) -> str:
        return f"at {event.rip:#x} {self.name}"

    def place(self) -> str:
        return f"{self.addresses[0]:#x} {self.name} ({len(self.addresses)} places)"


@dataclass(frozen=True)
class PhysicalAddress:
    """Before an instruction at a physical address, wherever it is mapped."""

    address: int

    def want(self, wants: Wants) -> None:
        wants.physical.add(self.address)

    def match(self, event: Event) -> bool:
        return event.kind == "break" and event.physical == self.address

    def words(self, event: Event) -> str:
        return self.place()

    def place(self) -> str:
        return f"at physical {self.address:#x}"


@dataclass(frozen=True)
class Trap:
    """Before a vector of a range is delivered; `origin`: '' or a key of ORIGINS."""

    vectors: range
    origin: str = ""

    def want(self, wants: Wants) -> None:
        wants.vectors.update(self.vectors)

    def match(self, event: Event) -> bool:
        if event.kind != "trap" or event.found.vector not in self.vectors:
            return False
        return not self.origin or event.found.origin in ORIGINS[self.origin]

    def words(self, event: Event) -> str:
        return trap_words(event.found)

    def place(self) -> str:
        first, last = self.vectors[0], self.vectors[-1]
        if first != last:
            where = f"traps {first:#x}-{last:#x}"
        else:
            where = f"trap {first} {trap_name(first)}" if first in TRAPS else f"trap {first:#x}"
        return f"{where} {self.origin}".rstrip()


def trap_words(found) -> str:
    """A stop of the machine before a delivery in words."""
    return f"trap {describe(found.vector, found.error_code, found.address)}"


@dataclass(frozen=True)
class Ring:
    """After CPL has changed; None stands for any ring."""

    before: int | None = None
    after: int | None = None

    def want(self, wants: Wants) -> None:
        wants.modes = True

    def match(self, event: Event) -> bool:
        if event.kind != "mode":
            return False
        before, after = event.found.before & MODE_CPL, event.found.after & MODE_CPL
        return before != after and self.before in (None, before) and self.after in (None, after)

    def words(self, event: Event) -> str:
        return f"ring {event.found.before & MODE_CPL}->{event.found.after & MODE_CPL}"

    def place(self) -> str:
        return f"ring {'' if self.before is None else self.before}->{'' if self.after is None else self.after}"


@dataclass(frozen=True)
class Mode:
    """After a mode (a key of MODES) was entered, or left."""

    mode: str
    on: bool = True

    def want(self, wants: Wants) -> None:
        wants.modes = True

    def match(self, event: Event) -> bool:
        if event.kind != "mode":
            return False
        shows = MODES[self.mode]
        return shows(event.found.after) == self.on != shows(event.found.before)

    def words(self, event: Event) -> str:
        return self.place()

    def place(self) -> str:
        return f"mode {self.mode}{'' if self.on else ' off'}"


# ---- instructions


@functools.cache
def forms_named(name: str) -> frozenset[int]:
    """Forms of a class ('sensitive', 'privileged') or of a mnemonic; empty if there is none such."""
    from isa.forms import FORMS
    from isa.sensitivity import classify

    wanted = name.upper()
    if wanted == "SENSITIVE":  # and not privileged: it does not trap
        return frozenset(n for n, f in enumerate(FORMS) if (c := classify(f.row)).sensitive and not c.privileged)
    if wanted == "PRIVILEGED":
        return frozenset(n for n, f in enumerate(FORMS) if classify(f.row).privileged)
    return frozenset(n for n, f in enumerate(FORMS) if wanted in (f.mnemonic.upper(), f.row.mnemonic.upper()))


@functools.cache
def forms_of(mnemonics: tuple[str, ...]) -> frozenset[int]:
    return frozenset().union(*(forms_named(m) for m in mnemonics))


PORT_READS, PORT_WRITES = ("IN", "INS"), ("OUT", "OUTS")
CR0_WRITERS = ("LMSW", "CLTS")


@functools.cache
def port_form(number: int) -> tuple[bool, bool, int, bool] | None:
    """(it writes, it is a string instruction, width in bytes, the port is an immediate) of a form by its number; None: no port access."""
    from isa.forms import FORMS

    form = FORMS[number]
    write = form.mnemonic in PORT_WRITES
    if not write and form.mnemonic not in PORT_READS:
        return None
    string = form.mnemonic.endswith("S")
    operand = next(o for o in form.operands if (o.kind == "str" if string else o.kind == "reg" and o.number == RAX))
    return write, string, operand.bits // 8, any(o.kind == "imm" for o in form.operands)


def port_access(i, cpu) -> dict[str, int] | None:
    """port, width, write, value (of OUT) of an instruction that is about to access a port."""
    form = port_form(number_of(i.form))
    if form is None:
        return None
    write, string, width, immediate = form
    if i.rep and not _rcx(cpu) & (1 << i.asize) - 1:
        return None
    facts = dict(port=i.imm & 0xFF if immediate else _rdx(cpu) & 0xFFFF, width=width, write=int(write))
    if write and not string:
        facts["value"] = _rax(cpu) & (1 << 8 * width) - 1
    return facts


def msr_access(i, cpu) -> dict[str, int] | None:
    """msr, write, value (of WRMSR) of an instruction that is about to access an MSR."""
    if i.mnemonic not in ("RDMSR", "WRMSR"):
        return None
    facts = dict(msr=_rcx(cpu) & 0xFFFFFFFF, write=int(i.mnemonic == "WRMSR"))
    if facts["write"]:
        facts["value"] = (_rdx(cpu) & 0xFFFFFFFF) << 32 | _rax(cpu) & 0xFFFFFFFF
    return facts


def control_access(i, cpu) -> dict[str, int] | None:
    """cr, write, value (of MOV) of an instruction that is about to access a control register."""
    if i.mnemonic in CR0_WRITERS:
        return dict(cr=0, write=1)
    for n, operand in enumerate(i.form.operands):
        if operand.kind == "cr":
            facts = dict(cr=i.numbers[n], write=int("w" in operand.access))
            if facts["write"]:
                facts["value"] = int(cpu.gpr[i.numbers[1 - n]])
            return facts
    return None


@functools.cache
def access_kind(number: int) -> Callable | None:
    """Which of these three has the facts of an instruction, by the number of its form."""
    from isa.forms import FORMS

    mnemonic = FORMS[number].mnemonic
    if mnemonic in PORT_READS + PORT_WRITES:
        return port_access
    if mnemonic in ("RDMSR", "WRMSR"):
        return msr_access
    return control_access if mnemonic in CR0_WRITERS or any(o.kind == "cr" for o in FORMS[number].operands) else None


@dataclass(frozen=True)
class Instructions:
    """Before an instruction of a class or mnemonic that forms_named knows."""

    name: str

    def want(self, wants: Wants) -> None:
        wants.forms |= forms_named(self.name)

    def match(self, event: Event) -> bool:
        i = event.instruction if event.kind == "break" else None
        return i is not None and number_of(i.form) in forms_named(self.name)

    def words(self, event: Event) -> str:
        return f"{event.instruction} at {event.rip:#x}"

    def place(self) -> str:
        return f"insn {self.name}"


@dataclass(frozen=True)
class Port:
    """Before an access to a port of a range; `access` is r, w or rw."""

    ports: range
    access: str

    def want(self, wants: Wants) -> None:
        wants.forms |= forms_of((PORT_READS if "r" in self.access else ()) + (PORT_WRITES if "w" in self.access else ()))

    def match(self, event: Event) -> bool:
        facts = event.facts
        if "port" not in facts or "rw"[facts["write"]] not in self.access:
            return False
        return facts["port"] + facts["width"] > self.ports[0] and facts["port"] <= self.ports[-1]

    def words(self, event: Event) -> str:
        facts = event.facts
        value = f" of {facts['value']:#x}" if "value" in facts else ""
        return f"{'output' if facts['write'] else 'input'}{value}, port {facts['port']:#x}, at {event.rip:#x}"

    def place(self) -> str:
        return f"io {_span(self.ports)} {self.access}"


@dataclass(frozen=True)
class Msr:
    """Before RDMSR or WRMSR of an MSR of a range; `access` is r, w or rw."""

    numbers: range
    access: str

    def want(self, wants: Wants) -> None:
        wants.forms |= forms_of((("RDMSR",) if "r" in self.access else ()) + (("WRMSR",) if "w" in self.access else ()))

    def match(self, event: Event) -> bool:
        facts = event.facts
        return "msr" in facts and facts["msr"] in self.numbers and "rw"[facts["write"]] in self.access

    def words(self, event: Event) -> str:
        facts = event.facts
        value = f" with {facts['value']:#x}" if facts["write"] else ""
        return f"{'write' if facts['write'] else 'read'} of MSR {facts['msr']:#x}{value} at {event.rip:#x}"

    def place(self) -> str:
        return f"msr {_span(self.numbers)} {self.access}"


@dataclass(frozen=True)
class ControlRegister:
    """Before an instruction that names CRn; `access` is r, w or rw."""

    number: int
    access: str

    def want(self, wants: Wants) -> None:
        wants.forms |= _control_forms()

    def match(self, event: Event) -> bool:
        facts = event.facts
        return "cr" in facts and facts["cr"] == self.number and "rw"[facts["write"]] in self.access

    def words(self, event: Event) -> str:
        return f"{event.instruction} at {event.rip:#x}"

    def place(self) -> str:
        return f"cr{self.number} {self.access}"


@functools.cache
def _control_forms() -> frozenset[int]:
    from isa.forms import FORMS

    return forms_of(CR0_WRITERS) | {n for n, f in enumerate(FORMS) if any(o.kind == "cr" for o in f.operands)}


@functools.cache
def _numbers() -> dict[int, int]:
    from isa.forms import FORMS

    return {id(f): n for n, f in enumerate(FORMS)}


def number_of(form) -> int:
    """Its number in isa.forms.FORMS."""
    return _numbers()[id(form)]


def _span(numbers: range) -> str:
    return f"{numbers[0]:#x}" if len(numbers) == 1 else f"{numbers[0]:#x}-{numbers[-1]:#x}"


def wants_of(triggers: Iterable[Trigger]) -> Wants:
    wants = Wants()
    for t in triggers:
        t.want(wants)
    return wants
