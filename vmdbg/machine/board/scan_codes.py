"""Keys and their scan codes: set 2, which the keyboard sends, and set 1, which the 8042 makes of it (IBM PS/2 TR, keyboard)."""

# fmt: off
# Set 2 make codes of the 83 keys that have no prefix, in the order of set 1: number k of the list is scan code k + 1 there
SET_2 = (
    0x76, 0x16, 0x1E, 0x26, 0x25, 0x2E, 0x36, 0x3D, 0x3E, 0x46, 0x45, 0x4E, 0x55, 0x66, 0x0D,  # esc 1-0 - = backspace tab
    0x15, 0x1D, 0x24, 0x2D, 0x2C, 0x35, 0x3C, 0x43, 0x44, 0x4D, 0x54, 0x5B, 0x5A, 0x14,        # q-p [ ] enter ctrl
    0x1C, 0x1B, 0x23, 0x2B, 0x34, 0x33, 0x3B, 0x42, 0x4B, 0x4C, 0x52, 0x0E, 0x12, 0x5D,        # a-l ; ' ` shift backslash
    0x1A, 0x22, 0x21, 0x2A, 0x32, 0x31, 0x3A, 0x41, 0x49, 0x4A, 0x59, 0x7C, 0x11, 0x29, 0x58,  # z-/ right shift, keypad *, alt space caps
    0x05, 0x06, 0x04, 0x0C, 0x03, 0x0B, 0x83, 0x0A, 0x01, 0x09, 0x77, 0x7E,                    # f1-f10 num lock, scroll lock
    0x6C, 0x75, 0x7D, 0x7B, 0x6B, 0x73, 0x74, 0x79, 0x69, 0x72, 0x7A, 0x70, 0x71,              # keypad 7 8 9 - 4 5 6 + 1 2 3 0 .
)
NAMES = (
    "esc", *"1234567890-=", "backspace", "tab", *"qwertyuiop[]", "enter", "ctrl", *"asdfghjkl;'`", "shift", "\\",
    *"zxcvbnm,./", "right_shift", "keypad_*", "alt", " ", "caps_lock", *(f"f{n}" for n in range(1, 11)), "num_lock", "scroll_lock",
    *(f"keypad_{c}" for c in "789-456+1230."),
)
EXTENDED = dict(  # after E0
    keypad_enter=0x5A, right_ctrl=0x14, right_alt=0x11, home=0x6C, up=0x75, page_up=0x7D, left=0x6B, right=0x74, end=0x69,
    down=0x72, page_down=0x7A, insert=0x70, delete=0x71, left_meta=0x1F, right_meta=0x27, menu=0x2F,
)
# fmt: on
KEYS: dict[str, bytes] = {name: bytes([code]) for name, code in zip(NAMES, SET_2, strict=True)}
KEYS |= {"f11": b"\x78", "f12": b"\x07", "keypad_/": b"\xe0\x4a"} | {name: bytes([0xE0, code]) for name, code in EXTENDED.items()}
SHIFTED = dict(zip('!@#$%^&*()_+{}:"~|<>?', "1234567890-=[];'`\\,./"))

# The 8042's translation, for bytes below 84h
TO_SET_1 = bytearray(range(0x84))
for number, code in enumerate(SET_2):
    TO_SET_1[code] = number + 1
for code, number in {
    0x78: 0x57,
    0x07: 0x58,
    0x61: 0x56,
    0x84 - 1: 0x41,
    0x1F: 0x5B,
    0x27: 0x5C,
    0x2F: 0x5D,
    0x7F: 0x54,
    0x00: 0xFF,
}.items():
    TO_SET_1[code] = number


def keys_of(character: str) -> tuple[str, ...]:
    """The keys to press together for a character on a US keyboard; () if there are none."""
    plain = {"\n": "enter", "\r": "enter", "\t": "tab", "\x08": "backspace", "\x7f": "backspace", "\x1b": "esc"}.get(character, character)
    if plain in KEYS:
        return (plain,)
    if character.isascii() and character.lower() in KEYS:
        return "shift", character.lower()
    if character in SHIFTED:
        return "shift", SHIFTED[character]
    if len(character) == 1 and 1 <= ord(character) <= 26:
        return "ctrl", chr(ord(character) + 96)
    return ()
