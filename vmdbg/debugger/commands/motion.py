"""Commands that run the machine."""

from vmdbg.debugger.commands.places import places
from vmdbg.debugger.commands.registry import CommandError, command, count_of
from vmdbg.debugger.vm_exits import Exits


def may_run(session) -> None:
    if session.stop.ended:
        raise CommandError(f"nothing can run any more: {session.stop.text}")


@command("stepi,si,s,step", "si [COUNT]", "one step: an instruction, or the delivery of a trap", repeats=True)
def stepi(interpreter, text):
    count = count_of(text, "a count of steps")
    may_run(interpreter.session)
    return interpreter.moved(interpreter.session.step(count))


@command("nexti,ni,n,next", "ni", "one step, but calls, int and repeated string instructions as a whole", repeats=True)
def nexti(interpreter, text):
    count = count_of(text, "a count")
    may_run(interpreter.session)
    for _ in range(count):
        stop = interpreter.session.step_over()
        if not stop.has("step"):
            break
    return interpreter.moved(stop)


@command("continue,c,run", "c [LIMIT]", "run until something stops it, or LIMIT instructions", repeats=True)
def continue_(interpreter, text):
    limit = count_of(text, "a limit of instructions") if text.strip() else None
    may_run(interpreter.session)
    return interpreter.moved(interpreter.session.run(limit))


@command("trap,nt,t", "trap", "run to the next trap of any kind: before it is delivered", repeats=True)
def trap(interpreter, text):
    if text.strip():
        raise CommandError(f"'trap' takes nothing, not '{text.strip()}'; to stop at some traps only: bp trap VECTOR")
    may_run(interpreter.session)
    return interpreter.moved(interpreter.session.next_trap())


EXITS = (
    "run to the next VM exit: before what always leaves to a monitor, or under the controls that monitors usually set: CPUID, HLT, ports, "
    "MSRs, control and debug registers, INVLPG, MONITOR, MWAIT, WBINVD; bp exit NAME stops at any (RDTSC, PAUSE, RDRAND ...)"
)


@command("exit,ne", "exit", EXITS, repeats=True)
def exit_(interpreter, text):
    if text.strip():
        raise CommandError(f"'exit' takes nothing, not '{text.strip()}'; to stop at some VM exits only: bp exit REASON; to leave: q")
    may_run(interpreter.session)
    with interpreter.session.stopping_at(Exits()):
        return interpreter.moved(interpreter.session.run())


@command("until,u,advance", "until ADDRESS", "run until an address or a line (main.c:42), or whatever stops it before", repeats=False)
def until(interpreter, text):
    if not text.strip():
        raise CommandError("expected an address: until ADDRESS")
    addresses = places(interpreter, text)
    may_run(interpreter.session)
    return interpreter.moved(interpreter.session.run(until=addresses))


@command(
    "warp",
    "warp [on|off]",
    "skip the time in which the guest only waits, instead of waiting too",
    complete=lambda interpreter, text: [w for w in ("on", "off") if w.startswith(text)],
    anytime=True,
)
def warp(interpreter, text):
    word = text.strip()
    if word not in ("", "on", "off"):
        raise CommandError(f"expected on or off, or nothing to change it, not '{word}'")
    session = interpreter.session
    session.warp = word == "on" if word else not session.warp
    return ["idle time is skipped" if session.warp else "idle time passes at wall speed"]
