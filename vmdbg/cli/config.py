"""vmdbg config: where the settings are, and what is in effect."""

from vmdbg.cli.values import UsageError
from vmdbg.ui.config import ConfigError, Settings, read_settings


def settings() -> Settings:
    """The user's; UsageError if they cannot be."""
    try:
        return read_settings()
    except ConfigError as e:
        raise UsageError(str(e)) from None


def config() -> int:
    """Where the config file is, and what is in effect: theme, key map, and the keys of every binding by its id."""
    from vmdbg.ui import keymaps, themes

    found = settings()
    assert found.path is not None
    print(f"file    {found.path}{'' if found.path.exists() else '  (there is none: all is as it comes)'}")
    print(f"theme   {found.theme:<16} of {', '.join(themes.NAMES)}")
    print(f"keymap  {found.keymap:<16} of {', '.join(keymaps.MAPS)}")
    print("keys")
    for key in found.bindings():
        print(f"  {key.id:<18}{shown(key.keys):<18}{'(yours) ' if key.id in found.keys else ''}{key.help}")
    return 0


def shown(keys: str) -> str:
    from vmdbg.ui.help import key_text

    return key_text(keys) or "-"
