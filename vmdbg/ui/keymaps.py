"""Key maps as data, by binding id: what they change of the default keys, and what the user's own keys change of that.

Keys are written as people do: 'S', '?', 'shift+f11'.  Terminals without the newer keyboard protocol send F13 to F24 for shifted
function keys, so each of those is bound as well.
"""

import re
from collections.abc import Mapping

from textual.keys import Keys, key_to_character

from vmdbg.ui.keys import GDB, Key

DEFAULT = "gdb"
MAPS: dict[str, dict[str, str]] = {
    "gdb": {},
    "vscode": {
        "step": "f7,f11",
        "over": "f8,f10",
        "continue": "f5",
        "pause": "f6,space",
        "break": "f9",
        "finish": "shift+f11,f",
        "reverse_step": "shift+f7",
        "reverse_over": "shift+f8",
        "reverse_continue": "shift+f5",
    },
    "bochs": {
        "step": "s,f11",
        "over": "p,n,f10",
        "continue": "c,f5",
        "reverse_step": "S",
        "reverse_over": "P,N",
        "reverse_continue": "C",
        "goto": "u,g",
    },
    "windbg": {
        "step": "t,f8,f11",
        "over": "p,f10",
        "continue": "g,f5",
        "break": "f9,b",
        "finish": "shift+f11,f",
        "trap": "x",
        "reverse_step": "T,shift+f8",
        "reverse_over": "P,shift+f10",
        "reverse_continue": "G,shift+f5",
        "reverse_trap": "X",
        "goto": "u",
    },
}
MODIFIERS = {"ctrl", "shift", "alt", "super"}
NAMES = {k.value for k in Keys if not k.value.startswith("<")}
UNSPELLED = " ,"  # characters that stand between keys: these keys have names
SHIFTED = re.compile(r"shift\+f([1-9]|1[0-2])$")


def spelled(key: str) -> str:
    """One spelling for each key: the character that it types, if it does; ValueError if there is no such key."""
    key = key.strip()
    *modifiers, name = key.split("+") if key != "+" else [key]
    character = key_to_character(key) if not modifiers else None
    if character is not None and character.isprintable() and character not in UNSPELLED:
        return character
    if not set(modifiers) <= MODIFIERS or not (name in NAMES or (name.isalnum() if len(name) == 1 else key_to_character(name) is not None)):
        raise ValueError(f"'{key}' is no key")
    return key


def bound(keys: str) -> str:
    """What is to be bound for these keys."""
    found = []
    for key in keys.split(","):
        found.append(key)
        if shifted := SHIFTED.match(key):
            found.append(f"f{int(shifted[1]) + 12}")
    return ",".join(found)


def in_effect(name: str, own: Mapping[str, str], rows: tuple[Key, ...] = GDB) -> tuple[Key, ...]:
    """The keys of a map with the user's own: a key that one of these takes is no longer anything else's."""
    changes = {**MAPS[name], **own}
    taken = {spelled(key): id for level in (MAPS[name], own) for id, keys in level.items() for key in keys.split(",")}
    found = []
    for row in rows:
        keys = changes.get(row.id, row.keys).split(",")
        found.append(row._replace(keys=",".join(k for k in keys if taken.get(spelled(k), row.id) == row.id)))
    return tuple(found)
