"""The driver of an app whose browser may go and come again."""

from textual import events, messages
from textual.drivers.web_driver import WebDriver
from textual.geometry import Size

SET_UP = (
    "\x1b[?1049h",  # the alternate screen
    "\x1b[?1000h\x1b[?1003h\x1b[?1015h\x1b[?1006h",  # the mouse: buttons, any motion, positions in decimal
    "\x1b[?25l",  # no cursor
    "\x1b[?2004h",  # pastes are marked
)


class Driver(WebDriver):
    """A packet "attach" with a size prepares a new terminal and draws all of the screen; the server's end is the app's."""

    def on_meta(self, packet_type: str, payload: dict[str, object]) -> None:
        if packet_type == "attach":
            self._loop.call_soon_threadsafe(self.attach, Size(int(str(payload["width"])), int(str(payload["height"]))))
        else:
            super().on_meta(packet_type, payload)

    def attach(self, size: Size) -> None:
        """In the app's own thread: nothing else is being written."""
        for sequence in SET_UP:
            self.write(sequence)
        self._size = (size.width, size.height)
        self._app.post_message(events.Resize(size, size))
        self._app.call_later(self._app.screen.refresh)

    def run_input_thread(self) -> None:
        super().run_input_thread()
        if not self.exit_event.is_set():  # nobody is there to write to it any more
            self._loop.call_soon_threadsafe(self._app.post_message, messages.ExitApp())
