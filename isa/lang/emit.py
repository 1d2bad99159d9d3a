"""From functions of this language to LLVM, and from LLVM to object code.  Imported only to build.

`Compiler.function` lets numba type and lower one function for given argument types and keeps its IR unlinked and
unoptimized; callees follow by themselves, each compiled once.  `Compiler.module` links what was compiled: functions
marked @outlined keep a body of their own, all others are inlined into their callers.
"""

import os
from types import FunctionType, ModuleType

os.environ["NUMBA_OPT"] = "0"  # numba emits; LLVM optimizes once, after linking

import llvmlite.binding as llvm  # noqa: E402
from numba import njit, types  # noqa: E402
from numba.core import codegen, untyped_passes  # noqa: E402
from numba.core.compiler import CompilerBase  # noqa: E402
from numba.core.compiler_machinery import PassManager, register_pass  # noqa: E402
from numba.core.dispatcher import Dispatcher  # noqa: E402
from numba.core.lowering import Lower  # noqa: E402
from numba.core.typed_passes import AnnotateTypes, BaseNativeLowering, NopythonTypeInference, PreLowerStripPhis  # noqa: E402

from isa.lang import lower  # noqa: E402

TEXTS: dict[str, str] = {}  # symbol -> IR of the module that defines it


def _keep_text(library, ir_module):
    for f in ir_module.functions:
        if not f.is_declaration and f.name.startswith("_ZN"):
            TEXTS[f.name] = str(ir_module)


def _keep_overload(dispatcher, result):
    dispatcher.overloads[tuple(result.signature.args)] = result


Dispatcher.add_overload = _keep_overload
codegen.CPUCodeLibrary.add_ir_module = _keep_text
codegen.CPUCodeLibrary.finalize = lambda library: setattr(library, "_finalized", True)
codegen.CPUCodeLibrary.add_linking_library = lambda library, other: None


@register_pass(mutates_CFG=True, analysis_only=False)
class _Lower(BaseNativeLowering):
    """Lower to IR and stop there."""

    _name = "lower_to_text"

    @property
    def lowering_class(self):
        return Lower

    def run_pass(self, state):
        state.flags.no_compile = True
        super().run_pass(state)
        from numba.core.compiler import compile_result

        low = state["cr"]
        signature = _signature(state)
        key = object()
        state.targetctx.insert_user_function(key, low.fndesc, [state.library])
        state.cr = compile_result(
            typing_context=state.typingctx,
            target_context=state.targetctx,
            entry_point=key,
            typing_error=state.status.fail_reason,
            type_annotation=state.type_annotation,
            library=state.library,
            call_helper=low.call_helper,
            signature=signature,
            objectmode=False,
            lifted=state.lifted,
            fndesc=low.fndesc,
            environment=low.env,
            metadata=state.metadata,
            reload_init=state.reload_init,
        )
        return True


def _signature(state):
    from numba.core.typing import signature

    return signature(state.return_type, *state.args)


class _Pipeline(CompilerBase):
    """The passes that this language needs, of numba's."""

    def define_pipelines(self):
        pm = PassManager("words")
        for step in (
            untyped_passes.TranslateByteCode,
            untyped_passes.FixupArgs,
            untyped_passes.IRProcessing,
            untyped_passes.DeadBranchPrune,
            untyped_passes.ReconstructSSA,
            NopythonTypeInference,
            AnnotateTypes,
            PreLowerStripPhis,
            _Lower,
        ):
            pm.add_pass(step, step._name)
        pm.finalize()
        return [pm]


class Compiler:
    """Compiles functions that come from the given modules; calls between them find each other."""

    def __init__(self, modules: list[ModuleType]):
        self.names = {m.__name__ for m in modules}
        self.dispatchers: dict[FunctionType, object] = {}
        self.outlined: set[str] = set()
        self.spaces = {m.__name__: dict(vars(m)) for m in modules}
        for m in modules:
            for f in vars(m).values():
                if self.ours(f):
                    self.dispatcher(f)
        for space in self.spaces.values():
            for name, f in list(space.items()):
                if self.ours(f):
                    space[name] = self.dispatchers[f]

    def ours(self, f):
        return isinstance(f, FunctionType) and f.__module__ in self.names and not hasattr(f, "primitive")

    def dispatcher(self, f):
        if f not in self.dispatchers:
            clone = FunctionType(f.__code__, self.spaces[f.__module__], f.__name__)
            clone.__module__ = f.__module__
            self.dispatchers[f] = njit(
                clone,
                pipeline_class=_Pipeline,
                error_model="numpy",
                boundscheck=False,
                no_cpython_wrapper=True,
                no_cfunc_wrapper=True,
            )
        return self.dispatchers[f]

    def function(self, f: FunctionType, args: tuple) -> str:
        """Compile f for argument types (numba types); returns its symbol."""
        d = self.dispatchers[f]
        d.compile(args)
        return d.overloads[args].fndesc.llvm_func_name

    def instances(self) -> dict[str, tuple]:
        """{symbol: (function, argument types)} of everything compiled so far."""
        found = {}
        for f, d in self.dispatchers.items():
            for args, result in d.overloads.items():
                found[result.fndesc.llvm_func_name] = f, args
        return found


def machine(opt: int = 2):
    """LLVM's target machine of this host, for code that a JIT loads."""
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=opt,
        reloc="static",
        codemodel="jitdefault",
        jit=True,
    )


def pass_builder(level: int = 2):
    """Always a fresh one: llvmlite adds callbacks to a pass builder at each run, and it gets slower."""
    options = llvm.create_pipeline_tuning_options(speed_level=level)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = options.loop_interleaving = False
    return llvm.create_pass_builder(machine(level), options)


__all__ = ["TEXTS", "Compiler", "lower", "machine", "pass_builder", "types"]
