"""What is compiled: what the core may call, what it may compute with, that meanings fit their rows, and some kinds compiled alone."""

import ctypes
import inspect
import random
import types

import llvmlite.binding as llvm
import numpy as np
import pytest

from isa.forms import FORMS
from isa.lang import emit
from isa.lang.word import U64
from tests.oracles import ours
from tests.oracles.compare import compare, report
from tests.oracles.encode import encode
from vmdbg.machine import build, core, kinds, plain
from vmdbg.machine.glue import CPU, UOP, Writer

SEED, SAMPLE = 20, 30  # of the kinds compiled here


def test_calls():
    """The white list of what the compiled core calls outside itself is empty."""
    assert core.load().calls == []


def test_meanings_fit_their_rows():
    """Every row's meaning exists and takes the operands its row hands it: places, the element size of strings, the condition."""
    for kind in kinds.all_kinds()[0]:
        assert kind.sem in plain.MEANINGS, f"no meaning for {kind.name}"
        parameters = inspect.signature(plain.MEANINGS[kind.sem]).parameters.values()
        handed = len(kind.places) + (kind.string_bits != 0) + (kind.cc is not None)
        assert len(parameters) == 2 + handed and all(p.default is p.empty for p in parameters), kind.name


OFFENCE = """
from isa.lang.word import U64

def promotes(cpu, u):
    share = 0
    if cpu.rip == 0:
        share = 0.5  # numba unites an integer and a fraction as float64
    if share > 0.25:
        cpu.rip = U64(1)
    return 0

def counts(cpu, u):
    n = U64(0)
    while n < cpu.rip:
        n = n + 1
    cpu.rip = n
    return 0
"""


def test_floats_are_refused():
    """A function that computes with a floating-point type ends the build, and is named; one with words does not."""
    offence = types.ModuleType("offence")
    exec(OFFENCE, vars(offence))
    part = build.Part([], False)
    part.compiler = emit.Compiler([*build.modules(), offence])
    part.compiler.function(offence.counts, (CPU, UOP))
    part.module(frozenset())
    part.compiler.function(offence.promotes, (CPU, UOP))
    try:
        with pytest.raises(core.BuildError, match=r"offence\.promotes computes with double"):
            part.module(frozenset())
    finally:
        for symbol in [s for s in emit.TEXTS if build.plain_name(s).startswith("offence.")]:
            del emit.TEXTS[symbol]


# ---- some kinds compiled alone


class Sample(build.Part):
    """A part without the driver: its handlers, what they share, and a function that calls a handler."""

    def handlers(self):
        text, called = super().handlers()
        execute = (
            "define i64 @execute(ptr %cpu, ptr %u) {\n  %h = load ptr, ptr %u\n"
            "  %r = call preserve_nonecc i64 %h(ptr %cpu, ptr %u)\n  ret i64 %r\n}\n"
        )
        return text + "\n" + Writer(self.symbols).others() + execute, called

    def load(self):
        """(library, execute, {number of a kind: address of its handler}, address of STOP's)."""
        host = emit.machine()
        builder = llvm.JITLibraryBuilder().add_object_img(self.object_code())
        for name in ("execute", "handlers1", "stop"):
            builder.export_symbol(name)
        builder.add_current_process()
        self.jit = llvm.create_lljit_compiler(host, use_jit_link=False)
        library = builder.link(self.jit, "sample")
        table = (ctypes.c_uint64 * len(self.share)).from_address(library["handlers1"])
        execute = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64)(library["execute"])
        return library, execute, {n: table[i] for i, (n, _) in enumerate(self.share)}, library["stop"]


@pytest.fixture(scope="module")
def sample():
    """(SAMPLE random forms, the part of their kinds); no strings, for a repeated one goes on to what stands behind it."""
    everything, table = kinds.all_kinds()
    good = [k.sem not in ("ud", "nop") and not k.string_bits for k in everything]
    forms = [n for n, form in enumerate(FORMS) if form.offered and good[table[n, 0]] and encode(form, 64, [0])]
    chosen = random.Random(SEED).sample(forms, SAMPLE)
    numbers = sorted({int(n) for form in chosen for n in table[form]})
    part = Sample([(n, everything[n]) for n in numbers], False)
    part.compile_all()
    return [FORMS[n] for n in chosen], part


class Compiled(ours.Ours):
    """The plain machine with compiled handlers."""

    def __init__(self, handlers, stop):
        super().__init__("plain")
        table = self.machine._handlers
        for n, address in handlers.items():
            table[n + 2] = address
        self.cpu.stop = stop


def test_kinds_compiled_equal_plain(sample, monkeypatch):
    """Handlers made by numba and LLVM, under the driver run by Python, do what the meanings do in Python."""
    forms, part = sample
    library, execute, handlers, stop = part.load()
    assert library is not None and part.calls == []
    machine, interpreted = Compiled(handlers, stop), plain.execute

    def native(cpu, u):
        assert int(u.handler) in handlers.values(), "an encoding that is another form's"
        return U64(execute(int(cpu.address), int(u.address)))

    def run(states, code, bits):
        with monkeypatch.context() as m:
            m.setattr(plain, "execute", native)
            return machine.run(states, code, bits)

    for form in forms:
        for d in compare(form, run, ours.run_plain, states=24, instances=6, seed=7):
            pytest.fail(report(d))
    assert plain.execute is interpreted and np.any(machine.machine.ram)
