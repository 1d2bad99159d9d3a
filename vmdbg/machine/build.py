"""Building the core: numba compiles every meaning once per width, LLVM makes the kinds of it, two processes share the work.

Imported only to build.  What comes out is object code for core.py to load: the table of handlers, the driver, the
decoder.  Functions marked @outlined, the frame and the driver live in the first part; the other parts call them there.
"""

import importlib
import inspect
import json
import pkgutil
import re
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import llvmlite.binding as llvm

import isa.decoder
import isa.decoding
from isa.lang import emit
from isa.lang.lower import STRUCT, WORD, declare
from isa.lang.word import U64
from vmdbg.machine import kinds, looking, semantics, softfloat, threaded
from vmdbg.machine.core import BuildError
from vmdbg.machine.glue import CPU, FRAME, Writer, kind_symbol, signature
from vmdbg.machine.kinds import Kind
from vmdbg.machine.plain import meanings

U64T = WORD[U64]
declare(isa.decoding.Decoded, isa.decoding.DecodeTables)
DECODED_TABLES = STRUCT[isa.decoding.DecodeTables]

# What Python may call: exported name -> (module, function, argument types)
EXPORTS = {
    "vm_run": ("threaded", "run", (CPU,)),
    "vm_go": ("threaded", "go", (CPU, U64T, U64T)),
    "vm_steps": ("threaded", "steps", (CPU, U64T)),
    "vm_drop_all": ("blocks", "drop_all", (CPU,)),
    "vm_drop_page": ("code_pages", "drop_page", (CPU, U64T)),
    "vm_flush": ("tlb", "flush", (CPU,)),
    "vm_look": ("looking", "look", (CPU, U64T)),
    "vm_copy_linear": ("looking", "copy_linear", (CPU, U64T, U64T, U64T)),
    "vm_decode_section": (isa.decoder, "decode_section", (DECODED_TABLES, U64T, U64T, U64T, U64T, U64T, U64T)),
}

INLINED = frozenset("move_vector move_scalar".split())  # meanings of SSE that are worth a copy in every handler


def modules() -> list[ModuleType]:
    """Every module that is written in the word language."""
    found = [isa.decoder, looking]
    for package in (semantics, softfloat):
        found += [importlib.import_module(f"{package.__name__}.{m.name}") for m in pkgutil.iter_modules(package.__path__)]
    seen = {m.__name__ for m in found}
    todo = [threaded, *found]
    while todo:  # and whatever they take functions from
        module = todo.pop()
        for f in vars(module).values():
            name = getattr(f, "__module__", None)
            if inspect.isfunction(f) and name and name.startswith("vmdbg.machine.") and name not in seen:
                seen.add(name)
                found.append(importlib.import_module(name))
                todo.append(found[-1])
    return found


class Part:
    """One part of the core: its share of the kinds, and in the first part everything they share."""

    def __init__(self, share: list[tuple[int, Kind]], first: bool, progress: Callable[[int, int, str], None] = lambda *_: None):
        self.share, self.first, self.progress = share, first, progress
        self.compiler = emit.Compiler(modules())
        self.meanings = meanings()
        self.symbols: dict[str, tuple[str, str]] = {}

    def function(self, module: str | ModuleType, name: str) -> Callable:
        """The function `name` as seen in a module of the machine."""
        if isinstance(module, str):
            module = importlib.import_module(f"vmdbg.machine.{module}")
        return getattr(module, name)

    def compile(self, f: Callable, args: tuple) -> tuple[str, str]:
        """(symbol, LLVM type of the result) of f compiled for these types."""
        symbol = self.compiler.function(f, args)
        result = re.search(rf'@"{re.escape(symbol)}"\((\S+)\* ', emit.TEXTS[symbol])[1]
        return symbol, "ptr" if result.endswith("*") else result

    def compile_all(self) -> None:
        """Let numba do its part."""
        for name, args in FRAME:
            self.symbols[name] = self.compile(self.frame_function(name), args)
        if self.first:
            for name, (module, function, args) in EXPORTS.items():
                self.symbols[name] = self.compile(self.function(module, function), args)
        total = len(self.share)
        for done, (_number, kind) in enumerate(self.share):
            key = kind_symbol(kind)
            if key not in self.symbols:
                self.symbols[key] = self.compile(self.meanings[kind.sem], signature(kind))
            if done % 64 == 0:
                self.progress(done, 2 * total, "meanings")

    def frame_function(self, name: str) -> Callable:
        for module in ("threaded", "blocks", "faults", "semantics.sse_state", "semantics.x87_state", "semantics.segments"):
            f = getattr(importlib.import_module(f"vmdbg.machine.{module}"), name, None)
            if f is not None:
                return f
        raise LookupError(f"no function {name} for the glue")

    def canonical(self) -> dict[str, str]:
        """Names that every process gives to the same outlined function."""
        found = {}
        for symbol, (f, args) in self.compiler.instances().items():
            if getattr(f, "outlined", False):
                found[symbol] = f"{f.__module__}.{f.__name__}({','.join(map(str, args))})"
        return found

    def module(self, elsewhere: frozenset[str]) -> llvm.ModuleRef:
        """All functions of this part, not yet optimized; outlined ones in `elsewhere` are only declared."""
        canonical = self.canonical()
        defined, declared, constants = {}, {}, {}
        for symbol, text in emit.TEXTS.items():
            body, declarations, names = taken_apart(text)
            refuse_floats(symbol, body)
            if canonical.get(symbol) in elsewhere:
                declared[symbol] = f'declare i32 @"{symbol}"({declaration_of(body)})'
            else:
                defined[symbol] = body
            declared.update(declarations)
            constants.update(names)
        handlers, called = self.handlers()
        for symbol in called:
            if symbol not in defined:
                declared.setdefault(symbol, called[symbol])
        host = emit.machine()
        lines = [f'target datalayout = "{host.target_data}"', f'target triple = "{host.triple}"', *constants.values()]
        lines += [d for symbol, d in declared.items() if symbol not in defined]
        core = llvm.parse_assembly("\n".join([*lines, *defined.values(), handlers]))
        core.name = "core"
        called_meanings = {self.symbols[kind_symbol(k)][0] for _, k in self.share if k.unit and k.sem not in INLINED}
        for f in core.functions:
            name = f.name
            if name in canonical:
                f.name = canonical[name]
                if not f.is_declaration:
                    f.add_function_attribute("noinline")
            elif name in defined:
                f.linkage = "internal"
                f.add_function_attribute("noinline" if name in called_meanings else "alwaysinline")
        return core

    def handlers(self) -> tuple[str, dict[str, str]]:
        """The text of this part's handlers and exports, and declarations of what they call."""
        writer = Writer(self.symbols)
        body = []
        if self.first:
            body.append(writer.others())
        names = []
        for number, kind in self.share:
            name = f"h{number}"
            names.append(f"ptr @{name}")
            body.append(writer.handler(kind, name))
        lead = ["ptr @goto", "ptr @stop"] if self.first else []
        table = f"@handlers{0 if self.first else 1} = constant [{len(lead + names)} x ptr] [{', '.join(lead + names)}]\n"
        if self.first:
            body += [self.export(name) for name in EXPORTS]
        text = "\n".join([table, *body, "declare void @llvm.assume(i1)"])
        called = {}
        for symbol in sorted(set(re.findall(r'call i32 @"([^"]+)"', text))):
            called[symbol] = f'declare i32 @"{symbol}"({declaration_of(taken_apart(emit.TEXTS[symbol])[0])})'
        return text, called

    def export(self, name: str) -> str:
        """A C function around a compiled one."""
        symbol, result = self.symbols[name]
        args = EXPORTS[name][2]
        shapes = ["i64" if a == U64T else "ptr" for a in args]
        given = ", ".join(f"{s} %a{i}" for i, s in enumerate(shapes))
        lines = [f"define i64 @{name}({given}) {{", "  %ret = alloca i64", "  %exc = alloca ptr", "  store i64 0, ptr %ret"]
        passed = "".join(f", {s} %a{i}" for i, s in enumerate(shapes))
        lines += [f'  call i32 @"{symbol}"(ptr %ret, ptr %exc{passed})', "  %r = load i64, ptr %ret", "  ret i64 %r", "}", ""]
        return "\n".join(lines)

    def object_code(self, elsewhere: frozenset[str] = frozenset()) -> bytes:
        """Optimized machine code of this part, after compile_all."""
        core = self.module(elsewhere)
        passes = llvm.create_new_module_pass_manager()
        for step in "sroa instruction_combine simplify_cfg always_inliner".split():
            getattr(passes, f"add_{step}_pass")()
        passes.add_global_dead_code_eliminate_pass()
        passes.run(core, emit.pass_builder())
        core.verify()
        builder = emit.pass_builder(2)
        builder.getModulePassManager().run(core, builder)
        last = llvm.create_new_module_pass_manager()
        last.add_global_dead_code_eliminate_pass()
        last.add_strip_dead_prototype_pass()
        last.run(core, emit.pass_builder())
        self.calls = sorted(f.name for f in core.functions if f.is_declaration and not f.name.startswith("llvm."))
        return emit.machine(2).emit_object(core)


FLOAT = re.compile(r"\b(half|bfloat|float|double|x86_fp80|fp128)\b")


def refuse_floats(symbol: str, body: str) -> None:
    """BuildError if a compiled function uses a floating-point type: numba promotes where words and literals meet unnoticed."""
    found = FLOAT.search(re.sub(r'"[^"]*"', "", body))
    if found:
        where = "; ".join(line.strip() for line in body.splitlines() if FLOAT.search(re.sub(r'"[^"]*"', "", line)))
        raise BuildError(f"{plain_name(symbol)} computes with {found[1]}, words were expected: {where[:200]}")


def plain_name(symbol: str) -> str:
    """module.function of a symbol that numba made (names with their lengths, after _ZN)."""
    names, at = [], 3
    while length := re.match(r"\d+", symbol[at:]):
        start = at + length.end()
        at = start + int(length[0])
        names.append(symbol[start:at])
    return ".".join(names) or symbol


DEFINITION = re.compile(r'^define i32 @"(.+?)"\((.*)\)$', re.M)


def taken_apart(text: str) -> tuple[str, dict[str, str], dict[str, str]]:
    """(definition, {name: declaration}, {name: constant}) of the text of a module with one function; metadata is left out."""
    start = DEFINITION.search(text).start()
    end = text.index("\n}", start) + 3
    declared = dict(re.findall(r'^(?=declare [^@]*@"?([^"(]+)"?\()(.*)$', text, re.M))
    constants = dict(re.findall(r'^(?=@"?([^" ]+)"? =)(.*)$', text, re.M))
    return re.sub(r", !prof !\d+", "", text[start:end]), declared, constants


def declaration_of(definition: str) -> str:
    """The argument types of a definition, pointers opaque."""
    shapes = []
    for argument in split_arguments(DEFINITION.match(definition)[2]):
        shape = argument[: argument.index("%")].strip()
        shapes.append("ptr" if "*" in shape or shape.startswith("ptr") else shape.split(" ")[0])
    return ", ".join(shapes)


def split_arguments(text: str) -> list[str]:
    """The arguments of an LLVM definition; types may hold commas in braces."""
    out, depth, start = [], 0, 0
    for i, c in enumerate(text):
        depth += (c in "{(") - (c in "})")
        if c == "," and depth == 0:
            out.append(text[start:i].strip())
            start = i + 1
    return [*out, text[start:].strip()]


def known_kinds() -> tuple[list[Kind], set[str]]:
    """(all kinds, names of meanings that rows ask for and nobody wrote)."""
    have = meanings()
    found, _table = kinds.all_kinds()
    return found, {k.sem for k in found if k.sem not in have}


def work(number: int, parts: int, target: str) -> None:
    """One building process: numbers of its share of kinds, talking JSON lines with core.py's `build`."""

    def say(**facts):
        print(json.dumps(facts), flush=True)

    everything, missing = known_kinds()
    if missing:
        raise LookupError(f"no meaning is written for {', '.join(sorted(missing))}")
    share = [(n, k) for n, k in enumerate(everything) if home(k, parts) == number]
    part = Part(share, number == 0, lambda done, total, text: say(done=done, total=total, text=text))
    part.compile_all()
    say(outlined=sorted(set(part.canonical().values())), done=len(share), total=2 * len(share), text="machine code")
    elsewhere = json.loads(sys.stdin.readline())
    Path(target).write_bytes(part.object_code(frozenset(elsewhere)))
    say(kinds=[n for n, _ in share], calls=part.calls, done=2 * len(share), total=2 * len(share), text="done")


def home(kind: Kind, parts: int) -> int:
    """Which part a kind belongs to: all kinds of one meaning to the same, so that no meaning is compiled twice."""
    return zlib.crc32(kind.sem.encode()) % parts


if __name__ == "__main__":
    work(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
