"""What the user has set: a TOML file.

theme = "vmdbg-dark"        # any of themes.NAMES
keymap = "vscode"           # any of keymaps.MAPS

[keys]                      # by the ids that `vmdbg config` lists; they win over the key map
step = "s,f7"
trap = ["t", "ctrl+t"]
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from vmdbg.ui import keymaps, themes
from vmdbg.ui.keys import GDB, Key

VARIABLE = "VMDBG_CONFIG"  # names another file


class ConfigError(Exception):
    """One sentence that names the file."""


@dataclass(frozen=True)
class Settings:
    """`keys`: the user's own, by binding id; `path`: where they are from, whether there is such a file or not."""

    theme: str = themes.DEFAULT
    keymap: str = keymaps.DEFAULT
    keys: Mapping[str, str] = field(default_factory=dict)
    path: Path | None = None

    def bindings(self) -> tuple[Key, ...]:
        return keymaps.in_effect(self.keymap, self.keys)


def config_path() -> Path:
    named = os.environ.get(VARIABLE)
    return Path(named) if named else platformdirs.user_config_path("vmdbg") / "config.toml"


def read_settings(path: Path | None = None) -> Settings:
    """The settings of a file, or of the user's; the default ones if there is none.  ConfigError if it says what cannot be."""
    path = path or config_path()
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Settings(path=path)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise ConfigError(f"{path}: {getattr(e, 'strerror', None) or e}") from None
    try:
        return settings_of(found, path)
    except ValueError as e:
        raise ConfigError(f"{path}: {e}") from None


def settings_of(found: dict, path: Path | None = None) -> Settings:
    """ValueError says what was expected."""
    for name in found.keys() - {"theme", "keymap", "keys"}:
        raise ValueError(f"'{name}' is no setting: expected theme, keymap or keys")
    theme = one_of(found.get("theme", themes.DEFAULT), "theme", themes.NAMES)
    keymap = one_of(found.get("keymap", keymaps.DEFAULT), "keymap", tuple(keymaps.MAPS))
    keys = found.get("keys", {})
    if not isinstance(keys, dict):
        raise ValueError(f"keys = {keys!r}: expected a table, [keys], of binding ids")
    ids = {k.id for k in GDB}
    own: dict[str, str] = {}
    for id, value in keys.items():
        if id not in ids:
            raise ValueError(f"keys.{id}: there is no binding of this id: expected one of {', '.join(sorted(ids))}")
        own[id] = keys_of(id, value)
    by_key: dict[str, str] = {}
    for id, value in own.items():
        for key in value.split(","):
            if by_key.setdefault(key, id) != id:
                raise ValueError(f"keys.{id}: '{key}' is keys.{by_key[key]} already: expected a key for one of them")
    return Settings(theme, keymap, own, path)


def one_of(value: object, name: str, names: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"{name} = {value!r}: expected one of {', '.join(names)}")
    return value


def keys_of(id: str, value: object) -> str:
    """'s,f7' or ['s', 'f7']"""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list) or not parts or not all(isinstance(p, str) and p.strip() for p in parts):
        raise ValueError(f'keys.{id} = {value!r}: expected keys, "s,f7" or ["s", "f7"]')
    try:
        return ",".join(keymaps.spelled(p) for p in parts)
    except ValueError as e:
        raise ValueError(f"keys.{id}: {e}: expected a character or a name (space, f7, shift+f11, ctrl+t, question_mark)") from None
