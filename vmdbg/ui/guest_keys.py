"""What a key pressed in the console means to the guest: bytes of a terminal for its serial port, keys of a PC for its keyboard."""

from vmdbg.machine.board.scan_codes import KEYS, keys_of

# What a terminal sends for keys that are no characters (ECMA-48; xterm's for those that it does not know)
BYTES = {
    "enter": b"\r",
    "tab": b"\t",
    "escape": b"\x1b",
    "backspace": b"\x7f",
    "up": b"\x1b[A",
    "down": b"\x1b[B",
    "right": b"\x1b[C",
    "left": b"\x1b[D",
    "home": b"\x1b[H",
    "end": b"\x1b[F",
    "insert": b"\x1b[2~",
    "delete": b"\x1b[3~",
    "pageup": b"\x1b[5~",
    "pagedown": b"\x1b[6~",
    "shift+tab": b"\x1b[Z",
} | dict(
    zip(
        (f"f{n}" for n in range(1, 13)),
        [b"\x1bOP", b"\x1bOQ", b"\x1bOR", b"\x1bOS", *(b"\x1b[%d~" % n for n in (15, 17, 18, 19, 20, 21, 23, 24))],
    )
)
NAMES = {"escape": "esc", "pageup": "page_up", "pagedown": "page_down"}  # Textual's names where the keyboard has others
MODIFIERS = ("ctrl", "shift", "alt")


def serial_bytes(key: str, character: str | None) -> bytes:
    """What a terminal sends for a key of Textual's; b'' for none."""
    if key in BYTES:
        return BYTES[key]
    if key.startswith("alt+") and len(key) == 5:
        return b"\x1b" + key[4:].encode()
    if character:
        return character.encode()
    if key.startswith("ctrl+") and len(key) == 6 and "a" <= key[5] <= "z":
        return bytes([ord(key[5]) & 31])
    return b""


def keyboard_keys(key: str, character: str | None) -> tuple[str, ...]:
    """The keys of a PC's keyboard that go down together; () where it has none."""
    *held, last = key.split("+") if len(key) > 1 else [key]
    last = NAMES.get(last, last)
    if last in KEYS and (held or len(last) > 1) and all(m in MODIFIERS for m in held):
        return (*held, last)
    return keys_of(character) if character else ()
