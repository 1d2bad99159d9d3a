"""Options of the test run, the core it shares, and what it leaves out: long forms run only where `-m` names them."""

import os

import pytest

CONFIG = "VMDBG_CONFIG"  # of the user who runs the tests: not theirs
LONG = pytest.StashKey[int]()


def pytest_configure(config):
    os.environ[CONFIG] = os.devnull


def pytest_addoption(parser):
    parser.addoption("--update-goldens", action="store_true", help="write the golden texts anew instead of comparing with them")


def pytest_collection_modifyitems(config, items):
    """Leave out tests marked `slow`, unless the expression of `-m` speaks of them."""
    if "slow" in config.option.markexpr:
        return
    long = [item for item in items if item.get_closest_marker("slow")]
    if long:
        config.stash[LONG] = len(long)
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]


def pytest_terminal_summary(terminalreporter, config):
    if LONG in config.stash:
        terminalreporter.write_line(
            f"{config.stash[LONG]} long forms were left out: pytest -m slow runs them, -m 'slow or not slow' everything"
        )


def needs_core(item: pytest.Item) -> bool:
    return (
        "threaded" in item.nodeid
        or "/examples/" in item.nodeid
        or any(item.get_closest_marker(name) is not None for name in ("tmux", "core"))
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Build the core before the first test, if any that was chosen needs it: once, and not within some test's time."""
    if session.config.option.collectonly or session.testsfailed or not any(needs_core(item) for item in session.items):
        return
    from vmdbg.machine import core

    if core.path().exists():
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line("building the core, once for all tests (a minute or two)", flush=True)
    core.build()
