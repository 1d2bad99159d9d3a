"""The command line: one command a file.  Everything heavy is imported by the command that needs it.

values   sizes, numbers, errors
boot     the options that load a guest
debug run check trace disasm isa bench core config      the commands
"""

import os
import sys

from cyclopts import App, CycloptsError

from vmdbg.cli import bench, check, config, core, debug, disasm, isa, run, trace
from vmdbg.cli.values import CANNOT_GO_ON, USAGE_ERROR, USER_BREAK, CannotGoOn, UsageError
from vmdbg.monitor.guest import GuestError

app = App(
    name="vmdbg",
    help="A terminal debugger for whole x86 virtual machines.\n\nvmdbg GUEST opens one; without a guest, vmdbg lists those that ship.",
    help_format="plaintext",
    version_flags=["--version"],
    result_action="return_value",
)
app.default(debug.debug)
for command in (run.run, check.check, trace.record, trace.replay, disasm.disasm, isa.isa, bench.bench, core.build, config.config):
    app.command(command)
app.command(trace.trace)


def main(arguments: list[str] | None = None) -> int:
    """Run one command line; its exit status.  Errors of input are one sentence on standard error, and status 2."""
    try:
        return app(arguments, exit_on_error=False, print_error=False) or 0
    except (UsageError, GuestError) as e:
        return fail(str(e))
    except CannotGoOn as e:
        return fail(str(e), CANNOT_GO_ON)
    except CycloptsError as e:
        return fail(" ".join(str(e).split()))
    except KeyboardInterrupt:
        return fail("interrupted", USER_BREAK)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read us has had enough
        return 0


def fail(sentence: str, status: int = USAGE_ERROR) -> int:
    print(f"vmdbg: {sentence}", file=sys.stderr)
    return status
