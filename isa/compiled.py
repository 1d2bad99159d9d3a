"""`decode_section` as machine code, without the machine's core: compiled in this process in a few seconds, on demand.

The core has its own copy of the decoder; this one serves tools and tests that want a million instructions a second
and no virtual machine.  Imports numba.
"""

import llvmlite.binding as llvm

import isa.decoder
from isa.decoding import Decoded, DecodeTables
from isa.lang import emit
from isa.lang.lower import STRUCT, WORD, declare
from isa.lang.word import U64
from isa.records import install, installed

_engines = []  # keep the code alive

WRAPPER = """
declare i32 @"{symbol}"(ptr, ptr, ptr, i64, i64, i64, i64, i64, i64)
define i64 @decode_section(ptr %tables, i64 %code, i64 %size, i64 %bits, i64 %ip, i64 %out, i64 %room) {{
  %result = alloca i64
  %error = alloca ptr
  %status = call i32 @"{symbol}"(ptr %result, ptr %error, ptr %tables, i64 %code, i64 %size, i64 %bits, i64 %ip, i64 %out, i64 %room)
  %n = load i64, ptr %result
  ret i64 %n
}}
"""


def compile_decoder() -> None:
    """Compile the decoder and use it from now on (isa.records); does nothing if that was done already."""
    if installed():
        return
    declare(DecodeTables, Decoded)
    compiler = emit.Compiler([isa.decoder])
    word = WORD[U64]
    symbol = compiler.function(isa.decoder.decode_section, (STRUCT[DecodeTables],) + (word,) * 6)
    module = llvm.parse_assembly(f'target triple = "{llvm.get_process_triple()}"' + WRAPPER.format(symbol=symbol))
    wanted = set(compiler.instances())
    for name, text in emit.TEXTS.items():
        if name in wanted:
            module.link_in(llvm.parse_assembly(text))
    for f in module.functions:
        if f.name in wanted and not f.is_declaration:
            f.linkage = "internal"
    for g in module.global_variables:
        if g.name.startswith(("numba.", ".const")):
            g.linkage = "internal"
    builder = emit.pass_builder()
    builder.getModulePassManager().run(module, builder)
    engine = llvm.create_mcjit_compiler(module, emit.machine())
    engine.finalize_object()
    _engines.append(engine)
    install(engine.get_function_address("decode_section"))
