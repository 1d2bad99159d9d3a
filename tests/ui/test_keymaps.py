"""Key maps and the config file: data that is whole, keys that do what it says, and bad files refused in one sentence."""

import pytest

from tests.debugger.stub_session import stub_session
from tests.ui.screens import opened, screen_text, settled
from vmdbg.cli import main
from vmdbg.debugger.commands.interpreter import Interpreter
from vmdbg.debugger.commands.registry import BY_WORD
from vmdbg.ui import themes
from vmdbg.ui.app import Debugger
from vmdbg.ui.config import ConfigError, Settings, read_settings, settings_of
from vmdbg.ui.keymaps import MAPS, bound, in_effect, spelled
from vmdbg.ui.keys import GDB

assert Interpreter  # importing it fills the registry


@pytest.mark.parametrize("name", MAPS)
def test_a_map_is_whole(name):
    """Its ids exist, every binding keeps a key, no key is bound twice, every key has its one spelling, every command exists."""
    assert MAPS[name].keys() <= {row.id for row in GDB}
    assert all(key == spelled(key) for keys in MAPS[name].values() for key in keys.split(","))
    rows = in_effect(name, {})
    assert all(row.keys for row in rows), [row.id for row in rows if not row.keys]
    keys = [spelled(key) for row in rows for key in row.keys.split(",")]
    assert len(keys) == len(set(keys)), sorted(key for key in keys if keys.count(key) > 1)
    for row in rows:
        if row.does.startswith(": "):
            assert row.does[2:].split()[0] in BY_WORD, row


def keys_of(name: str, own: dict[str, str]) -> dict[str, str]:
    return {row.id: row.keys for row in in_effect(name, own)}


def test_what_is_in_effect():
    """map, the user's own -> keys by id"""
    for name, own, expected in [
        ("gdb", {}, dict(step="s,f7", trap="t")),
        ("vscode", {}, dict(step="f7,f11", over="f8,f10", pause="f6,space", trap="t", reverse_continue="shift+f5")),
        ("windbg", {}, {"step": "t,f8,f11", "continue": "g,f5", "goto": "u", "trap": "x"}),
        ("gdb", dict(step="t"), dict(step="t", trap="", over="n,f8,f10")),
        ("gdb", dict(step="f8"), dict(step="f8", over="n,f10")),
        ("windbg", dict(trap="t"), dict(trap="t", step="f8,f11")),
        ("gdb", dict(step="t", trap="s"), dict(step="t", trap="s")),
    ]:
        found = keys_of(name, own)
        assert {id: found[id] for id in expected} == expected, (name, own)


def test_spelling():
    for key, expected in [("colon", ":"), ("?", "?"), ("space", "space"), ("comma", "comma"), ("S", "S"), ("F7".lower(), "f7")]:
        assert spelled(key) == expected
    for key in ("", "foo", "hyper+x", "shift+", "f99", "ctrl+]"):
        with pytest.raises(ValueError):
            spelled(key)
    assert bound("shift+f11,s,shift+f1") == "shift+f11,f23,s,shift+f1,f13"


@pytest.mark.parametrize("keys", [("vscode", "f11"), ("bochs", "f11"), ("windbg", "t")], ids=lambda k: k[0])
async def test_keys_of_a_map_step(keys):
    """They do, the default ones that the map takes do not, the footer and the help say so; shifted function keys arrive as F13 up."""
    name, key = keys
    app = Debugger("stub.bin", stub_session, Settings(keymap=name))
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(pilot)
        await pilot.press(key)
        await settled(pilot, lambda: app.snapshot.position == 1 and not app.session_thread.busy)
        lines = []
        app.action_command = lambda line: lines.append(line)
        await pilot.press("s", key)
        await settled(pilot, lambda: lines == ["stepi"] * (2 if name == "bochs" else 1))
        shown = next(row for row in app.key_map if row.id == "step").keys.split(",")[0]
        await settled(pilot, lambda: f"{shown} Step" in screen_text(app)[-1])
        await pilot.press("question_mark")
        await settled(pilot, lambda: any(key in line and "one step: an instruction" in line for line in screen_text(app)))


async def test_shifted_function_keys():
    app = Debugger("stub.bin", stub_session, Settings(keymap="vscode"))
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(pilot)
        lines = []
        app.action_command = lambda line: lines.append(line)
        await pilot.press("f19", "shift+f7", "f20", "f17")
        await settled(pilot, lambda: lines == ["reverse-stepi", "reverse-stepi", "reverse-nexti", "reverse-continue"])


async def test_own_keys_and_theme():
    app = Debugger("stub.bin", stub_session, settings_of(dict(theme="vmdbg-light", keys=dict(step="ctrl+t,x", trap=["s"]))))
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(pilot)
        lines = []
        app.action_command = lambda line: lines.append(line)
        await pilot.press("ctrl+t", "x", "s", "t", "n")
        await settled(pilot, lambda: lines == ["stepi", "stepi", "trap", "nexti"])
        assert app.theme == "vmdbg-light"
        assert set(themes.NAMES) == set(app.available_themes)


@pytest.mark.parametrize("theme", [t.name for t in themes.OURS])
async def test_our_themes(theme):
    """What is marked by colour can be told from what is not, and text from its ground."""
    app = Debugger("stub.bin", stub_session, Settings(theme=theme))
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(pilot)
        pane = app.query_one("#disassembly")
        for kind in ("", "changed", "warning", "name", "next", "current"):
            style = pane.get_component_rich_style(f"pane--{kind}") if kind else pane.rich_style
            assert contrast(style.color.triplet, style.bgcolor.triplet) > 4.5, (kind, style)


def contrast(one, other) -> float:
    """WCAG 2's contrast of two colours, 1 to 21."""

    def light(colour) -> float:
        parts = [c / 255 for c in colour]
        r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


BAD = [
    ("theme = 3", "theme = 3: expected one of vmdbg-dark"),
    ("theme = 'blue'", "theme = 'blue': expected one of"),
    ("keymap = 'vi'", "keymap = 'vi': expected one of gdb, vscode, bochs, windbg"),
    ("colour = 1", "'colour' is no setting"),
    ("keys = 's'", "keys = 's': expected a table"),
    ("[keys]\nstap = 's'", "keys.stap: there is no binding of this id: expected one of"),
    ("[keys]\nstep = 3", "keys.step = 3: expected keys"),
    ("[keys]\nstep = ''", "keys.step = '': expected keys"),
    ("[keys]\nstep = ['s', 3]", "expected keys"),
    ("[keys]\nstep = 'F-7'", "keys.step: 'F-7' is no key"),
    ("[keys]\nstep = 'z'\nover = 'z'", "'z' is keys.step already"),
    ("[keys", "Expected ']'"),
]


@pytest.mark.parametrize("text, words", BAD, ids=[b[1][:20] for b in BAD])
def test_bad_files(tmp_path, monkeypatch, capsys, text, words):
    path = tmp_path / "config.toml"
    path.write_text(text)
    monkeypatch.setenv("VMDBG_CONFIG", str(path))
    assert main(["config"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"vmdbg: {path}: ") and words in err and err.count("\n") == 1


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "x").write_bytes(b"\xff\xfe")
    for path in (tmp_path, tmp_path / "x"):
        with pytest.raises(ConfigError, match=str(path)):
            read_settings(path)
    assert read_settings(tmp_path / "none").keymap == "gdb"


def test_vmdbg_config_says_what_is_in_effect(tmp_path, monkeypatch, capsys):
    path = tmp_path / "config.toml"
    monkeypatch.setenv("VMDBG_CONFIG", str(path))
    assert main(["config"]) == 0
    assert f"{path}  (there is none" in capsys.readouterr().out
    path.write_text("theme = 'nord'\nkeymap = 'windbg'\n[keys]\nquit = ['ctrl+w']\n")
    assert main(["config"]) == 0
    said = capsys.readouterr().out
    for words in (
        f"{path}\n",
        "theme   nord ",
        "keymap  windbg ",
        "  step              t f8 f11",
        "  quit              ctrl+w            (yours) ",
    ):
        assert words in said, said
