"""Glue: a handler for every kind, in LLVM's language, around the compiled meaning.  Imported only to build.

A handler checks what its kind demands, makes a place of each operand (all memory translated before anything
changes), calls the meaning, and jumps to the next uop's handler or leaves.  LLVM inlines everything, so that what a
constant decides folds away.  All handlers use preserve_none: they have every register to themselves and save none.
"""

from llvmlite import ir
from numba import types

from isa.lang.lower import BYTE_PTR, I64, PLACE, STRUCT, WORD, declare, primitive
from isa.lang.word import U64
from vmdbg.machine import threaded
from vmdbg.machine.kinds import DIRECT, EA, FLAT, GPR, IMM, INDIRECT, MEM, MMX, NUMBER, ONE, XMM, Kind
from vmdbg.machine.ready_ports import PortBuffer, PortBuffers
from vmdbg.machine.state import BRANCH, FAULT, NEXT, Block, CacheEntry, Cpu, Identity, Shared, TlbEntry, Uop, Watch

CONVENTION = "preserve_nonecc"
HANDLER = ir.FunctionType(ir.IntType(64), [BYTE_PTR, BYTE_PTR])
OFFSET = {name: at for name, (at, _word, _count) in Cpu.fields.items()}
FIELD = {name: at for name, (at, _word, _count) in Uop.fields.items()}
declare(Cpu, Uop, TlbEntry, CacheEntry, Block, Shared, Watch, PortBuffer, PortBuffers, Identity)
CPU, UOP, U64T = STRUCT[Cpu], STRUCT[Uop], WORD[U64]


def _execute(b, cpu, u):
    handler = b.load(b.bitcast(u, ir.IntType(64).as_pointer()))
    return b.call(b.inttoptr(handler, HANDLER.as_pointer()), [cpu, u], cconv=CONVENTION)


primitive(threaded.execute, lambda c, u: (U64T, c, u), _execute, type(CPU), type(UOP))


def place_type(place) -> types.Type:
    """The numba type a meaning sees for a place."""
    return PLACE[place.bits]


def signature(kind: Kind) -> tuple:
    """The numba types a kind's meaning is compiled for."""
    args = [CPU, UOP] + [place_type(p) for p in kind.places]
    if kind.string_bits:
        args.append(types.int64)
    if kind.cc is not None:
        args.append(types.int64)
    return tuple(args)


FRAME = [
    ("enter", (CPU, UOP)),
    ("leave", (CPU, UOP, U64T)),
    ("lookup", (CPU,)),
    ("operand", (CPU, UOP, U64T, types.boolean, types.boolean, types.boolean)),
    ("operand_flat", (CPU, UOP, U64T, types.boolean, types.boolean, types.boolean)),
    ("effective", (CPU, UOP)),
    ("fault_gp0", (CPU,)),
    ("sse_available", (CPU,)),
    ("mmx_available", (CPU,)),
    ("sse_mmx_available", (CPU,)),
    ("mmx_written", (CPU, U64T)),
    ("x87_available", (CPU,)),
    ("x87_control_available", (CPU,)),
    ("protected_available", (CPU,)),
    ("protected_umip_available", (CPU,)),
    ("umip_available", (CPU,)),
]


class Writer:
    """Writes handlers as LLVM text.  `symbols` maps the names in FRAME, and meanings, to numba's symbols and result types."""

    def __init__(self, symbols: dict[str, tuple[str, str]]):
        self.symbols, self.lines, self.n = symbols, [], 0

    def new(self) -> str:
        self.n += 1
        return f"%v{self.n}"

    def line(self, text: str) -> None:
        self.lines.append("  " + text)

    def assign(self, text: str) -> str:
        name = self.new()
        self.line(f"{name} = {text}")
        return name

    def call(self, symbol: str, result: str, args: list[str]) -> str:
        """Call a function that numba compiled; its result comes through a pointer."""
        self.line(f'call i32 @"{symbol}"(ptr %ret, ptr %exc{"".join(", " + a for a in args)})')
        return self.assign(f"load {result}, ptr %ret")

    def frame(self, name: str, args: list[str]) -> str:
        symbol, result = self.symbols[name]
        return self.call(symbol, result, args)

    def branch(self, condition: str, yes: str, no: str) -> None:
        self.line(f"br i1 {condition}, label %{yes}, label %{no}")

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")

    def at(self, pointer: str, offset) -> str:
        return self.assign(f"getelementptr inbounds i8, ptr {pointer}, i64 {offset}")

    def field(self, name: str, bits: int) -> str:
        return self.assign(f"load i{bits}, ptr {self.at('%u', FIELD[name])}")

    def numbered(self, k: int, base: int, shift: int) -> str:
        """Address of cpu + base + (u.rk << shift)."""
        number = self.assign(f"zext i8 {self.field(f'r{k}', 8)} to i64")
        if shift:
            number = self.assign(f"shl nuw nsw i64 {number}, {shift}")
        return self.at(self.at("%cpu", base), number)

    def place(self, kind: Kind, k: int, place) -> tuple[str, int]:
        """(pointer, extends) of operand k; memory operands may leave through `failed`."""
        if place.where == GPR:
            return self.numbered(k, OFFSET["gpr"], 0), int(place.bits == 32)
        if place.where == NUMBER:
            return self.at("%u", FIELD[f"r{k}"]), 0
        if place.where == XMM:
            return self.numbered(k, OFFSET["xmm"], 4), 0
        if place.where == MMX:
            return self.numbered(k, OFFSET["st"], 4), 0
        if place.where == IMM:
            return self.at("%u", FIELD["imm"]), 0
        if place.where == EA:
            offset = self.frame("effective", ["ptr %cpu", "ptr %u"])
            self.line(f"store i64 {offset}, ptr %ea")
            return "%ea", 0
        if place.where == ONE:
            self.line("store i64 1, ptr %one")
            return "%one", 0
        assert place.where == MEM
        name = "operand_flat" if kind.shape == FLAT else "operand"
        flags = [f"i8 {int(f)}" for f in (place.writes, place.reads, place.aligned)]
        host = self.frame(name, ["ptr %cpu", "ptr %u", f"i64 {place.bits // 8}", *flags])
        good = f"good{self.n}"
        self.branch(self.assign(f"icmp eq i64 {host}, 0"), "failed", good)
        self.label(good)
        return self.assign(f"inttoptr i64 {host} to ptr"), 0

    def jump(self, uop: str) -> None:
        target = self.assign(f"load ptr, ptr {uop}")
        result = self.assign(f"musttail call {CONVENTION} i64 {target}(ptr %cpu, ptr {uop})")
        self.line(f"ret i64 {result}")

    def enter_or_check(self, uop: str, tag: str, origin: bool) -> None:
        allowed = self.frame("enter", ["ptr %cpu", f"ptr {uop}"])
        self.branch(self.assign(f"icmp ne i8 {allowed}, 0"), f"in{tag}", f"out{tag}")
        self.label(f"in{tag}")
        self.jump(uop)
        self.label(f"out{tag}")
        if origin:
            where = self.assign("ptrtoint ptr %u to i64")
            self.line(f"store i64 {where}, ptr {self.at('%cpu', OFFSET['origin'])}")
        self.line(f"ret i64 {threaded.CHECK}")

    def leave(self, status: str) -> None:
        left = self.frame("leave", ["ptr %cpu", "ptr %u", f"i64 {status}"])
        self.line(f"ret i64 {left}")

    def begin(self, name: str) -> None:
        self.lines.append(f'define {CONVENTION} i64 @"{name}"(ptr %cpu, ptr %u) {{')
        self.label("entry")
        for slot in ("ret", "ea", "one"):
            self.line(f"%{slot} = alloca i64")
        self.line("%exc = alloca ptr")

    def end(self) -> str:
        self.lines.append("}\n")
        text, self.lines = "\n".join(self.lines), []
        return text

    def require(self, condition: str, label: str) -> None:
        """Go on if the i1 holds, else to `label`."""
        on = f"on{self.n}"
        self.branch(condition, on, label)
        self.label(on)

    def assume(self, pointer: str, offset: int, value: int) -> None:
        """Tell LLVM what a byte is."""
        byte = self.assign(f"load i8, ptr {self.at(pointer, offset)}")
        self.line(f"call void @llvm.assume(i1 {self.assign(f'icmp eq i8 {byte}, {value}')})")

    def handler(self, kind: Kind, name: str) -> str:
        """The text of one kind's handler."""
        self.begin(name)
        if kind.unit:
            available = self.frame(f"{kind.unit}_available", ["ptr %cpu"])
            self.require(self.assign(f"icmp ne i8 {available}, 0"), "failed")
        if kind.cpl0:
            cpl = self.assign(f"load i8, ptr {self.at('%cpu', OFFSET['cpl'])}")
            self.require(self.assign(f"icmp eq i8 {cpl}, 0"), "privileged")
        if kind.long:
            self.assume("%cpu", OFFSET["bits"], 64)
            self.assume("%cpu", OFFSET["stack_bits"], 64)
            self.assume("%u", FIELD["osize"], 64)
        elif kind.shape == FLAT:
            self.assume("%cpu", OFFSET["bits"], 64)
        args, touched = ["ptr %cpu", "ptr %u"], []
        for k, place in enumerate(kind.places):
            pointer, extends = self.place(kind, k, place)
            args += [f"ptr {pointer}", f"i8 {extends}"]
            if place.where == MMX and place.writes:
                touched.append(k)
        if kind.string_bits:
            args.append(f"i64 {kind.string_bits}")
        if kind.cc is not None:
            args.append(f"i64 {kind.cc}")
        symbol, result = self.symbols[kind_symbol(kind)]
        if kind.unit == "sse_mmx":
            self.frame("mmx_written", ["ptr %cpu", "i64 8"])
        status = self.call(symbol, result, args)
        if touched or (kind.unit == "mmx" and kind.sem != "emms"):
            number = self.assign(f"zext i8 {self.field(f'r{touched[0]}', 8)} to i64") if touched else "8"
            happened = self.assign(f"icmp eq i64 {status}, {NEXT}")
            self.branch(happened, "touch", "untouched")
            self.label("touch")
            self.frame("mmx_written", ["ptr %cpu", f"i64 {number}"])
            self.line("br label %untouched")
            self.label("untouched")
        if kind.sem in DIRECT:
            self.direct(status)
        elif kind.sem in INDIRECT:
            self.require(self.assign(f"icmp eq i64 {status}, {BRANCH}"), "leaving")
            to = self.assign(f"inttoptr i64 {self.frame('lookup', ['ptr %cpu'])} to ptr")
            self.enter_or_check(to, "a", False)
        else:
            self.require(self.assign(f"icmp eq i64 {status}, {NEXT}"), "leaving")
            self.jump(self.at("%u", Uop.size))
        self.label("leaving")
        self.leave(status)
        if any(p.where == MEM for p in kind.places) or kind.unit:
            self.label("failed")
            self.leave(str(FAULT))
        if kind.cpl0:
            self.label("privileged")
            self.frame("fault_gp0", ["ptr %cpu"])
            self.leave(str(FAULT))
        return self.end()

    def direct(self, status: str) -> None:
        self.branch(self.assign(f"icmp eq i64 {status}, {BRANCH}"), "taken", "other")
        self.label("taken")
        self.enter_or_check(self.assign(f"load ptr, ptr {self.at('%u', FIELD['taken'])}"), "a", True)
        self.label("other")
        self.branch(self.assign(f"icmp eq i64 {status}, {NEXT}"), "fall", "leaving")
        self.label("fall")
        self.go_on()

    def go_on(self) -> None:
        after = self.field("after", 64)
        self.line(f"store i64 {after}, ptr {self.at('%cpu', OFFSET['rip'])}")
        self.enter_or_check(self.assign(f"load ptr, ptr {self.at('%u', FIELD['fall'])}"), "b", True)

    def others(self) -> str:
        """GOTO: the end of a block without a branch.  STOP: the end of a part of a block."""
        self.begin("goto")
        self.go_on()
        text = self.end()
        self.begin("stop")
        after = self.field("after", 64)
        self.line(f"store i64 {after}, ptr {self.at('%cpu', OFFSET['rip'])}")
        self.line(f"ret i64 {threaded.CHECK}")
        return text + self.end()


def kind_symbol(kind: Kind) -> str:
    """The key under which a kind's compiled meaning is found in `Writer.symbols`."""
    return f"{kind.sem}/{','.join(map(str, signature(kind)))}"


__all__ = ["CPU", "FRAME", "I64", "UOP", "Writer", "kind_symbol", "signature"]
