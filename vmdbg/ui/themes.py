"""Our own themes, beside those of Textual."""

from textual.theme import BUILTIN_THEMES, Theme

DEFAULT = "textual-dark"
OURS = (
    Theme(
        name="vmdbg-dark",  # a tube of amber on slate
        primary="#2f6f9f",
        secondary="#6a7f92",
        accent="#f2a33c",
        warning="#f2c14e",
        error="#ff6b5e",
        success="#7bc88f",
        foreground="#d7dde3",
        background="#0d1117",
        surface="#11171f",
        panel="#1a232e",
        dark=True,
    ),
    Theme(
        name="vmdbg-light",  # a printed manual
        primary="#9ec3e6",
        secondary="#6a7f92",
        accent="#0b5cad",
        warning="#9a5b00",
        error="#b3261e",
        success="#1b6e3c",
        foreground="#1c2126",
        background="#fbfaf7",
        surface="#f6f4ee",
        panel="#e7e3d8",
        dark=False,
    ),
    Theme(
        name="vmdbg-contrast",  # black, white, and two colours that nobody confuses
        primary="#0050c8",
        secondary="#ffffff",
        accent="#ffd400",
        warning="#ffb000",
        error="#ff8c66",
        success="#66c2ff",
        foreground="#ffffff",
        background="#000000",
        surface="#000000",
        panel="#202020",
        dark=True,
    ),
)
NAMES = (*(t.name for t in OURS), *BUILTIN_THEMES)
