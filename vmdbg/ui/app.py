"""The app: panes over snapshots, keys that become lines of commands."""

import re
import sys
from collections.abc import Callable, Iterable, Sequence

from textual.app import App, ComposeResult, SystemCommand
from textual.binding import Binding, BindingsMap, BindingType
from textual.containers import Container
from textual.screen import Screen
from textual.widgets import Footer, Tab, Tabs

from vmdbg.debugger.causes import Autopsy
from vmdbg.debugger.commands.registry import COMMANDS
from vmdbg.debugger.screens.snapshot import Snapshot
from vmdbg.debugger.session import Session
from vmdbg.debugger.unattended.script import ScriptLine
from vmdbg.ui.config import Settings
from vmdbg.ui.console import Console
from vmdbg.ui.devices import Devices
from vmdbg.ui.disassembly import Disassembly
from vmdbg.ui.help import Help
from vmdbg.ui.interrupts import Interrupts
from vmdbg.ui.keymaps import bound
from vmdbg.ui.keys import Key
from vmdbg.ui.output import Output
from vmdbg.ui.page_walk import PageWalk
from vmdbg.ui.prompt import Prompt
from vmdbg.ui.protocol import Answered, Going, Refused, Taken
from vmdbg.ui.registers import Registers
from vmdbg.ui.rings import Rings
from vmdbg.ui.session_thread import SessionThread
from vmdbg.ui.source import Source
from vmdbg.ui.stack import Stack
from vmdbg.ui.status import Status
from vmdbg.ui.themes import OURS
from vmdbg.ui.timeline import Timeline
from vmdbg.ui.view import View
from vmdbg.ui.views import VIEWS

PANES = ("registers", "stack", "console", "output", "interrupts", "paging")  # that tabs choose from in a narrow terminal
AT_ONCE = re.compile(r"prompt|type$")  # actions that decide where the next key goes
MAIN = re.compile(r"prompt|type$|toggle_breakpoint|console|next_pane|source")  # actions on what only the main screen has
MOUSE = ("focus", "maximize", "minimize")  # what may be done with the mouse while keys are the guest's
RUNNING = "The machine is running: space pauses it"
HANDING_OVER = 0.0005  # seconds that the machine, back from compiled code, waits for the app's thread at most, and the other way round
BELOW = ("console", "output")  # that share the lowest place where there is no room for both
FOLLOWING: tuple = (
    Status,
    Rings,
    Disassembly,
    Source,
    Registers,
    Stack,
    Console,
    Interrupts,
    PageWalk,
    Timeline,
)  # the snapshots


def bindings(keys: tuple[Key, ...]) -> list[BindingType]:
    """The bindings of a key map; a line of commands becomes the action `command`.

    What opens the command line or the guest's console has priority, that is, it is done before the next key is looked at:
    whatever is typed after it belongs there, however fast.
    """
    found: list[BindingType] = []
    for k in keys:
        if not k.keys:
            continue
        action = f"command({k.does[2:]!r})" if k.does.startswith(": ") else k.does
        found.append(
            Binding(bound(k.keys), action, k.label or k.help, show=bool(k.label), id=k.id, priority=AT_ONCE.match(action) is not None)
        )
    return found


class Debugger(App):
    """`opening()` makes the session, in the session's own thread."""

    CSS_PATH = "app.tcss"
    TITLE = "vmdbg"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide"), (160, "-roomy")]

    def __init__(self, guest: str, opening: Callable[[], Session], settings: Settings = Settings(), script: Sequence[ScriptLine] = ()):
        super().__init__()
        self.key_map = settings.bindings()
        self._bindings = BindingsMap.merge([self._bindings, BindingsMap(bindings(self.key_map))])
        for theme in OURS:
            self.register_theme(theme)
        self.theme = settings.theme
        self.guest = guest
        self.session_thread = SessionThread(opening, self.post_message, settings.keymap, script)
        self.snapshot: Snapshot | None = None
        self.refusal: Refused | None = None
        self.autopsy: Autopsy | None = None  # the last that was shown
        self.typed = ""  # the last line of the command line

    def compose(self) -> ComposeResult:
        yield Status(self.guest)
        with Container(id="panes"):
            yield Rings()
            yield Disassembly()
            yield Source()
            yield Tabs(*(Tab(name, id=f"tab-{name}") for name in PANES), id="tabs")
            yield Registers()
            yield Stack()
            yield Interrupts()
            yield PageWalk()
            yield Console()
            yield Output()
        yield Timeline()
        yield Prompt(self.session_thread.complete)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        self.query_one(Disassembly).focus()
        self._front("console")
        self.query_one(Tabs).active = f"tab-{PANES[0]}"
        self._choose(PANES[0])
        self.session_thread.start()

    def on_unmount(self) -> None:
        self.session_thread.end()

    # ---- From the session ---------------------------------------------------------------------------------------------

    @property
    def leaving(self) -> bool:
        """Whether the panes are gone already, while the session's thread still has something to say."""
        return not self.query("#output")

    def on_taken(self, message: Taken) -> None:
        if self.leaving:
            return
        self.snapshot = self.session_thread.seen()
        self.query_one("#panes").set_class(self.snapshot.bits == 64, "-bits64")
        for view in FOLLOWING:
            self.query_one(view).update_from(self.snapshot)
        if isinstance(self.screen, (Devices, View)):
            self.screen.update_from(self.snapshot)

    def on_answered(self, message: Answered) -> None:
        if self.leaving:
            return
        self.query_one(Output).add(message.line, message.answer, message.failed)
        if not self.session_thread.on_its_way:
            self.query_one(Timeline).going(None)
        if self.snapshot is not None and self.snapshot.stop.has("shutdown") and self.snapshot.autopsy is not self.autopsy:
            self.autopsy = self.snapshot.autopsy
            self.action_view("autopsy")
        elif message.answer and (message.scripted or message.line == self.typed):
            self._front("output")
        elif self.query_one(Console).news():
            self._front("console")
        self.typed = ""
        if isinstance(self.screen, View):
            self.screen.answered(message)
        if message.failed:
            self.notify(message.answer[0], severity="warning", markup=False)

    def on_going(self, message: Going) -> None:
        if not self.leaving and self.session_thread.travelling:
            self.query_one(Timeline).going(message.done)

    def on_refused(self, message: Refused) -> None:
        self.refusal = message
        self.exit(return_code=message.status)

    # ---- From the user ------------------------------------------------------------------------------------------------

    def on_prompt_entered(self, message: Prompt.Entered) -> None:
        self.typed = message.line
        self.action_command(message.line)

    def on_console_typed(self, message: Console.Typed) -> None:
        self.session_thread.give(message.data, message.keys)

    def on_timeline_measured(self, message: Timeline.Measured) -> None:
        self.session_thread.look_at_timeline(message.columns)

    def on_timeline_wanted(self, message: Timeline.Wanted) -> None:
        if not self.session_thread.go(message.position):
            self.query_one(Timeline).going(None)
            self.notify(RUNNING, severity="warning")

    def on_code_pane_toggled(self) -> None:
        self.action_toggle_breakpoint()

    def on_tabs_tab_activated(self, message: Tabs.TabActivated) -> None:
        if message.tab.id is not None:
            self._choose(message.tab.id.removeprefix("tab-"))

    def action_command(self, line: str) -> None:
        if not self.session_thread.submit(line):
            self.notify(RUNNING, severity="warning")

    def action_pause(self) -> None:
        if self.session_thread.busy:
            self.session_thread.pause()
        else:
            self.session_thread.submit("continue")

    def action_cancel(self) -> None:
        """End a journey through history, or a search of it."""
        self.session_thread.cancel()

    def action_move(self, by: int) -> None:
        self.query_one(Timeline).action_move(by)

    def action_stop(self, by: int) -> None:
        self.query_one(Timeline).action_stop(by)

    def action_end(self, by: int) -> None:
        self.query_one(Timeline).action_end(by)

    def action_toggle_breakpoint(self) -> None:
        address = self.listing.address
        if address is not None:
            self.action_command(f"toggle {address:#x}")
        elif isinstance(self.listing, Source):
            self.notify("There is no code at this line", severity="warning")

    @property
    def listing(self) -> Disassembly | Source:
        """The one of the two that is shown."""
        return self.query_one(Source) if self.query_one("#panes").has_class("-source") else self.query_one(Disassembly)

    def action_source(self) -> None:
        """Lines of source instead of the disassembly, or the other way round."""
        before = self.listing
        wanted = isinstance(before, Disassembly)
        self.query_one("#panes").set_class(wanted, "-source")
        self.session_thread.look_at_source(wanted)
        if before.has_focus or self.focused is None:
            self.listing.focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys are the guest's in its console; letters are letters in the command line; other screens have keys of their own."""
        if isinstance(self.focused, Console):
            return action in MOUSE
        if len(self.screen_stack) > 1 and MAIN.match(action):
            return False
        return not AT_ONCE.match(action) or not isinstance(self.focused, Prompt)

    def action_prompt(self, beginning: str) -> None:
        self.pop_view()  # the palette offers commands on every screen
        self.query_one(Prompt).open(beginning)

    def action_console(self) -> None:
        self.query_one(Console).turn()

    def action_type(self) -> None:
        """From now on keys go to the guest."""
        self.action_pane("console")
        self.screen.set_focus(self.query_one(Console))  # at once: what is typed next belongs there

    def action_pane(self, name: str) -> None:
        self.query_one(Tabs).active = f"tab-{name}"
        self._choose(name)
        if name in BELOW:
            self._front(name)
        if not self.screen.has_class("-narrow") and name != "console":
            self.query_one(f"#{name}").focus()

    def _choose(self, name: str) -> None:
        for each in PANES:
            self.query_one(f"#{each}").set_class(each == name, "-chosen")

    def _front(self, name: str) -> None:
        """Show the console or the output of commands in the place that they share."""
        for each in BELOW:
            self.query_one(f"#{each}").set_class(each == name, "-front")

    def action_next_pane(self, by: int) -> None:
        """The pane `by` places further: tabs show it where there is no room for all."""
        active = str(self.query_one(Tabs).active).removeprefix("tab-")
        self.action_pane(PANES[(PANES.index(active) + by) % len(PANES)])

    # ---- The other screens --------------------------------------------------------------------------------------------

    def look(self, wanted: tuple[str, str] | None) -> None:
        self.session_thread.look(wanted)

    def pop_view(self) -> None:
        """Back to the main screen."""
        if isinstance(self.screen, View):
            self.pop_screen()
            self.look(None)
        elif len(self.screen_stack) > 1:
            self.screen.dismiss(None)

    def action_main(self) -> None:
        self.pop_view()

    def action_view(self, name: str) -> None:
        """Another screen (views.VIEWS)."""
        if isinstance(self.screen, VIEWS[name]):
            return
        self.pop_view()
        view = VIEWS[name]()
        self.look(view.wanted)
        self.push_screen(view)

    def action_devices(self) -> None:
        self.pop_view()
        self.session_thread.look_at_devices(True)
        self.push_screen(Devices(), lambda _: self.session_thread.look_at_devices(False))

    def action_help(self) -> None:
        self.push_screen(Help(self.key_map))

    def get_system_commands(self, screen: Screen) -> Iterable[SystemCommand]:
        yield from super().get_system_commands(screen)
        for key in self.key_map:
            if key.does.startswith("view("):
                yield SystemCommand(f"Screen: {key.id}", key.help, lambda name=key.id: self.action_view(name))
        for c in COMMANDS.values():
            yield SystemCommand(c.usage, c.help, lambda c=c: self.action_prompt(f"{c.name} "))


def run(guest: str, opening: Callable[[], Session], settings: Settings = Settings(), script: Sequence[ScriptLine] = ()) -> tuple[int, str]:
    """Run the app until the user leaves, and `script` first; exit status, and a sentence if there was no session."""
    app = Debugger(guest, opening, settings, script)
    sys.setswitchinterval(HANDING_OVER)
    app.run()
    return app.return_code or 0, app.refusal.text if app.refusal else ""
