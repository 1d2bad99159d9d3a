"""vmdbg bench: workloads that end with their checksum wherever they run, and the shape of the figures.  No times."""

import json
import socket
import threading
import time

import pytest

from tests.monitor.images import linux
from vmdbg import bench
from vmdbg.bench import armed, boot, debugger, emulators, latency, remote, report, workloads
from vmdbg.cli import main
from vmdbg.debugger.opening import open_bare


@pytest.mark.parametrize("workload", workloads.ALL, ids=lambda w: w.name)
def test_our_engine_computes_the_checksum(workload):
    """With the fewest iterations; the instructions are counted exactly, so twice the same."""
    first, second = (workloads.run(workload, workload.least) for _ in range(2))
    assert first.checksum == workload.least_checksum
    assert first.instructions == second.instructions > 5000


@pytest.mark.parametrize("name", ["alu", "sys"])
def test_the_plain_engine_agrees(name):
    workload = next(w for w in workloads.ALL if w.name == name)
    plain, threaded = (workloads.run(workload, workload.least, engine) for engine in ("plain", "threaded"))
    assert (plain.checksum, plain.instructions) == (threaded.checksum, threaded.instructions)


@pytest.mark.slow
@pytest.mark.parametrize("workload", workloads.ALL, ids=lambda w: w.name)
def test_the_whole_workload(workload):
    found = workloads.run(workload, workload.iterations)
    assert found.checksum == workload.checksum
    assert found.instructions > 100_000_000


@pytest.mark.debian
@pytest.mark.parametrize("emulator", emulators.ALL, ids=lambda e: e.name)
@pytest.mark.parametrize("workload", workloads.ALL, ids=lambda w: w.name)
def test_others_compute_the_same(emulator, workload):
    """QEMU and Bochs, started from the same image."""
    if emulator.version() is None:
        pytest.skip(f"{emulator.name} is not installed")
    assert emulator.run(workload, workload.least).checksum == workload.least_checksum


class Least(workloads.Workload):
    """A workload whose whole is hardly more than its start."""

    @property
    def iterations(self) -> int:
        return self.least + 1


@pytest.fixture
def short(monkeypatch):
    """A bench of moments: one small workload, no other emulator, few steps, no app."""
    alu = workloads.ALL[0]
    checksum = workloads.run(alu, alu.least + 1).checksum
    monkeypatch.setattr(workloads, "ALL", (Least("alu", checksum, alu.least_checksum),))
    monkeypatch.setattr(emulators, "installed", lambda: dict.fromkeys(e.name for e in emulators.ALL))
    monkeypatch.setattr(boot, "find", lambda *_: "no kernel here")
    monkeypatch.setattr(latency, "STEPS", 1000)
    monkeypatch.setattr(latency, "start", lambda n: dict(first_instruction=0.1, first_frame=0.2, first_snapshot=0.3, user_cpu=0.2))
    monkeypatch.setattr(bench, "REPEATS", 1)


def test_figures_as_json(short, capfd):
    assert main(["bench", "--json"]) == 0
    figures = json.loads(capfd.readouterr().out)
    assert set(figures) == {"emulators", "workloads", "boot", "steps", "start", "debugger", "build"}
    assert figures["boot"] == {"missing": "no kernel here"}
    alu = figures["workloads"]["alu"]
    assert set(alu["runs"]) == {"vmdbg"} and alu["ratios"] == {}
    assert set(alu["runs"]["vmdbg"]) == {"seconds", "per_second", "right", "note"}
    assert alu["instructions"] > 20
    assert set(figures["steps"]) == {"machine", "session"}
    assert figures["build"] is None
    assert figures["debugger"] == {"steps": figures["debugger"]["steps"], "start": figures["start"], "missing": "no kernel here"}


def test_figures_as_a_table(short, capfd):
    assert main(["bench"]) == 0
    out = capfd.readouterr().out
    assert "alu" in out and "not installed" in out and "Single steps" in out and "first frame" in out
    assert "Boot of Linux: no kernel here" in out


def test_a_wrong_checksum_is_told(short, monkeypatch, capfd):
    monkeypatch.setattr(workloads, "ALL", (Least("alu", "0", "0"),))
    assert main(["bench"]) == 1
    assert "wrong" in capfd.readouterr().out


# ---- what does not end


def test_an_emulator_that_does_not_end_is_given_up(monkeypatch, tmp_path):
    """It is killed with what it has started, said, and not asked again."""
    asked = []

    def command(folder):
        asked.append(folder)
        return ["sh", "-c", f"sleep 300 & echo $! >{tmp_path}/child; wait"]

    monkeypatch.setattr(emulators, "LONGEST", 1)
    monkeypatch.setattr(emulators, "ALL", (emulators.Emulator("sleeper", lambda: "1.0", command),))
    began = time.monotonic()
    figures = bench.measure_workload(Least("alu", "", "", 1), ["sleeper"], 3, lambda text: None)
    assert time.monotonic() - began < 60 and len(asked) == 1
    assert figures["runs"]["sleeper"]["note"] == "gave up after 1 s" and figures["ratios"] == {}
    child = int((tmp_path / "child").read_text())
    while any(line.startswith("State:") and "Z" not in line for line in status(child)):  # a killed process takes a moment
        assert time.monotonic() - began < 60
        time.sleep(0.01)


def status(process: int) -> list[str]:
    try:
        with open(f"/proc/{process}/status") as f:
            return f.read().splitlines()
    except OSError:
        return []


def test_a_boot_that_does_not_end_is_given_up(tmp_path):
    found = boot.run(["sh", "-c", "sleep 300"], tmp_path, tmp_path / "serial", 1)
    assert found.note == "gave up after 1 s"
    assert boot.run(["true"], tmp_path, tmp_path / "serial", 60).note == "it did not switch itself off"


# ---- the boot of Linux, with a kernel of a few instructions

OFF = ((0xB004, 0x2000), (0x604, 0x2000))  # PM1_CNT, SLP_EN and type 0: in Bochs, vmdbg
WORDS = b"reboot: Power down\r\n"
SEND = "ba f8 03 00 00 b0 {:02x} ee ba fd 03 00 00 ec a8 40 74 fb"  # and wait until it has left
TINY = bytes.fromhex("ba fb 03 00 00 b0 03 ee")  # 8 bits a byte
TINY += b"".join(bytes.fromhex(SEND.format(byte)) for byte in WORDS)
TINY += (
    b"".join(b"\xba" + port.to_bytes(4, "little") + b"\xb8" + value.to_bytes(4, "little") + b"\x66\xef" for port, value in OFF) + b"\xf4"
)


@pytest.fixture
def tiny(tmp_path):
    """A bzImage that says what a kernel says last, and switches the machine off; and an initrd."""
    kernel, initrd = tmp_path / "vmlinuz", tmp_path / "initrd"
    kernel.write_bytes(linux(TINY))
    initrd.write_bytes(bytes(5000))
    return boot.Linux(kernel, initrd)


@pytest.mark.parametrize("name", ["vmdbg", pytest.param("bochs", marks=pytest.mark.debian)])
def test_a_kernel_boots_on_every_machine(tiny, tmp_path, monkeypatch, name):
    """In ours (threaded) as files, in Bochs from a disk that the loader's boot sector reads.  (QEMU wants setup code too.)"""
    if name != "vmdbg" and next(e for e in emulators.ALL if e.name == name).version() is None:
        pytest.skip(f"{name} is not installed")
    monkeypatch.setattr(boot, "LONGEST", 100)
    folder = tmp_path / "run"
    folder.mkdir()
    found = boot.BOOTS[name](tiny, folder)
    assert found.note == ""
    assert (folder / "serial").read_bytes() == WORDS
    assert found.seconds > 0 and (found.instructions > 100) == (name == "vmdbg")


def test_what_is_booted(tiny, tmp_path, monkeypatch):
    """What is given, what is installed, or why there is nothing."""
    monkeypatch.setattr(boot, "BUSYBOX", ())
    assert "--initrd FILE" in boot.find(tiny.kernel, None, tmp_path)
    assert boot.find(tiny.kernel, tiny.initrd, tmp_path) == tiny
    monkeypatch.setattr(boot.Path, "glob", lambda *_: [])
    assert "--kernel FILE" in boot.find(None, tiny.initrd, tmp_path)
    figures = boot.measure(tiny.kernel, tiny.initrd, {"qemu": None, "bochs": None})
    assert figures["kernel"] == "vmlinuz" and set(figures["runs"]) == {"vmdbg"}
    assert set(figures["runs"]["vmdbg"]) == {"seconds", "user_cpu", "note", "instructions", "per_second"}


@pytest.mark.parametrize("option", ["--kernel", "--initrd"])
def test_a_file_that_is_not_there(option, capsys):
    assert main(["bench", option, "/nonexistent"]) == 2
    assert f"{option} '/nonexistent': not a file" in capsys.readouterr().err


# ---- the debugger, on the same kernel and on one that never ends


@pytest.fixture
def quick(monkeypatch):
    """Few journeys and steps, no app."""
    monkeypatch.setattr(debugger, "POINTS", 3)
    monkeypatch.setattr(debugger, "REPEATS", 1)
    monkeypatch.setattr(armed, "REPEATS", 1)
    monkeypatch.setattr(armed, "LOOKED_AT", 20)
    monkeypatch.setattr(latency, "STEPS", 1000)
    monkeypatch.setattr(latency, "start", lambda n: dict(first_instruction=0.1, first_frame=0.2, first_snapshot=0.3, user_cpu=0.2))


def test_figures_of_the_debugger(quick, tiny):
    """Every figure that is asked for is there, and is one of this guest; as a table, too."""
    figures = debugger.measure(tiny.kernel, tiny.initrd, {"qemu": None})
    assert set(figures) == {"steps", "start", "recording", "journeys", "search", "armed"}
    recording = figures["recording"]
    assert set(recording["seconds"]) == set(recording["process"]) == {"plain", "recorded", "watched"}
    assert recording["instructions"] > 100 and recording["checkpoints"] >= 1 and recording["trace"] > 1000
    assert set(figures["journeys"]) == {"goto", "reverse_step", "previous_trap", "previous_exit"}
    assert all(found["count"] == 3 and found["worst"] >= found["median"] > 0 for found in figures["journeys"].values())
    assert figures["search"]["steps"] > 100 and not figures["search"]["cancelled"]
    assert set(figures["armed"]) == {"never", "hits", "false", "stack"}
    lines = "\n".join(report.debugger(json.loads(json.dumps(figures))))
    assert "to a random point" in lines and "a step back" in lines and "us a hit" in lines and "QEMU" not in lines


def test_a_boot_that_does_not_end_is_not_measured(quick, tmp_path, monkeypatch):
    kernel = tmp_path / "endless"
    kernel.write_bytes(linux(bytes.fromhex("eb fe")))
    monkeypatch.setattr(boot, "LONGEST", 1)
    figures = debugger.measure(kernel, kernel, {"qemu": None})
    assert figures["missing"] == "Linux does not end within 1 s" and "journeys" not in figures
    assert any("does not end" in line for line in report.debugger(figures))


def test_a_search_that_is_long_enough_is_cancelled(quick, tiny, monkeypatch):
    """What is measured is what was searched: whole intervals, at least SEARCHED steps."""
    monkeypatch.setattr(armed, "SEARCHED", 50)
    session = debugger.machine(tiny, debugger.BOUND)
    while not session.step(20).ended:
        session.history.take()
    found = armed.search(session)
    assert found["cancelled"] and 50 <= found["steps"] < session.history.line.end


def test_what_is_armed_is_met(quick):
    """The condition is asked at every hit of the busiest place; nothing that is armed is left behind."""
    session = open_bare(workloads.guest(workloads.ALL[0], 50), history=1 << 24)
    session.run()
    assert armed.costs(session)["hits"] > 50 and len(session.breakpoints) == 0


class Stub(threading.Thread):
    """Somebody at a socket who acknowledges packets and answers each with the next of some answers, then never again."""

    def __init__(self, path, answers):
        super().__init__(daemon=True)
        self.listening, self.answers, self.heard = socket.socket(socket.AF_UNIX), list(answers), b""
        self.listening.bind(str(path))
        self.listening.listen(1)

    def run(self):
        other, _ = self.listening.accept()
        while data := other.recv(4096):
            self.heard += data
            for _ in range(data.count(b"#")):
                other.sendall(b"+" + (b"$%s#00" % self.answers.pop(0) if self.answers else b""))


def test_the_remote_protocol(tmp_path, monkeypatch):
    """A packet is framed and summed, its answer acknowledged; one that is never answered is given up."""
    monkeypatch.setattr(remote, "ANSWER", 0.5)
    stub = Stub(tmp_path / "stub", [b"T05thread:01;", b"OK"])
    stub.start()
    with remote.started(["sleep", "300"], tmp_path) as process:
        line = remote.Line(tmp_path / "stub", process)
        assert remote.ask_stub(line, b"s") == b"T05thread:01;" and remote.ask_stub(line, b"bs") == b"OK"
        with pytest.raises(remote.NoAnswer):
            remote.ask_stub(line, b"s", 0.5)
    assert process.returncode is not None
    assert stub.heard == b"$s#73+$bs#d5+$s#73"


def test_a_stub_that_is_not_there(tmp_path, monkeypatch):
    """A program that ends at once, or never makes its socket, is said to give no answer."""
    monkeypatch.setattr(remote, "ANSWER", 0.5)
    for command in (["true"], ["sleep", "300"]):
        monkeypatch.setattr(emulators, "qemu", lambda folder, *more, command=command: command)
        assert remote.stub_steps(workloads.ALL[0]) == dict(per_second=0, note="its gdb stub does not answer")


def test_an_emulator_that_does_not_record(tiny, monkeypatch):
    monkeypatch.setattr(remote, "recorder", lambda *_: ["true"])
    assert remote.steps_back(tiny) == dict(count=0, note="it does not record")
    monkeypatch.setattr(remote, "LONGEST", 1)
    monkeypatch.setattr(remote, "recorder", lambda *_: ["sleep", "300"])
    assert remote.steps_back(tiny) == dict(count=0, note="gave up its recording after 1 s")


@pytest.mark.debian
def test_qemu_steps():
    if emulators.qemu_version() is None:
        pytest.skip("qemu is not installed")
    assert remote.stub_steps(workloads.ALL[0])["per_second"] > 0


@pytest.mark.debian
def test_qemu_takes_the_disk(tmp_path):
    """The qcow2 file of our making is one: QEMU's own words about it, from a machine that is not started."""
    if emulators.qemu_version() is None:
        pytest.skip("qemu is not installed")
    remote.empty_disk(tmp_path / "disk")
    command = ["qemu-system-x86_64", "-S", "-display", "none", "-drive", "file=disk,format=qcow2", "-qmp", "unix:qmp,server=on,wait=off"]
    with remote.started(command, tmp_path) as process:
        line = remote.Line(tmp_path / "qmp", process)
        line.until(b"\n")
        remote.ask_qmp(line, "qmp_capabilities")
        line.put(b'{"execute":"query-block"}\n')
        assert b'"virtual-size": 67108864' in line.until(b"\n")
