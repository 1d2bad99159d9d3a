"""Sessions over the stub machine."""

from pathlib import Path

from tests.debugger.stub_machine import StubMachine
from vmdbg.debugger.session import Session
from vmdbg.debugger.symbols import Symbols
from vmdbg.monitor.bare import Bare
from vmdbg.monitor.guest import Options
from vmdbg.monitor.load_flat import load_flat

CODE = 0x7C00
# 7c00 nop; nop; call 7c20; int 0x21; int 0x22; mov al, 'A'-ish; out 0xe9; jmp 7c0b | 7c20 nop; nop; ret
PROGRAM = bytes.fromhex("90 90 e81b00 cd21 cd22 e6e9 90 ebfd".replace(" ", "")).ljust(0x20, b"\x90") + b"\x90\x90\xc3\xf4"


def stub_session(program: bytes = PROGRAM, symbols: dict[str, int] | None = None) -> Session:
    """A session in real mode over `program` at 7C00; RAX counts instructions."""
    guest = load_flat(Path("stub.bin"), program, Options(memory=1 << 20, bits=16))
    return Session(Bare(StubMachine(guest.memory), guest), Symbols({"start": CODE, "work": CODE + 0x20} if symbols is None else symbols))
