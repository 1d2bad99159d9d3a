"""The terminal at the serial port: tables of what is sent and what is seen, and bytes that make no sense."""

from hypothesis import given
from hypothesis import strategies as st

from vmdbg.debugger.picture import PLAIN, Ink
from vmdbg.debugger.terminal import COLUMNS, LINES, ROWS, Terminal
from vmdbg.monitor.transcript import Transcript


def transcript(data: bytes) -> Transcript:
    log = Transcript()
    for byte in data:
        log.say(byte)
    return log


SEEN = [
    ("lines end with CR and LF", b"one\r\ntwo\r\n", "one\ntwo"),
    ("CR alone writes over", b"12345\rab", "ab345"),
    ("BS moves back, and erases nothing", b"abc\x08\x08X", "aXc"),
    ("a shell's erase", b"abc\x08 \x08", "ab"),
    ("tabs are 8 apart", b"a\tb", "a       b"),
    ("cursor up, column, erase to the end of the line", b"first\r\nsecond\x1b[A\x1b[3G\x1b[K", "fi\nsecond"),
    ("position, then clear below", b"a\r\nb\r\nc\x1b[2;1H\x1b[J", "a"),
    ("insert and delete characters", b"abc\x1b[2G\x1b[@X\x1b[3G\x1b[P", "aXc"),
    ("insert a line", b"a\r\nb\x1b[1;1H\x1b[LX", "X\na\nb"),
    ("UTF-8", "é√".encode(), "é√"),
    ("a title is not text", b"\x1b]0;title\x07text", "text"),
    ("long lines wrap", b"x" * 81, "x" * 80 + "\nx"),
]


def test_what_is_sent_is_seen():
    for claim, data, text in SEEN:
        t = Terminal()
        t.feed(data)
        assert t.picture().text == text, claim


def test_pieces_of_any_size_show_the_same():
    data = b"".join(d for _, d, _ in SEEN) + b"\x1b[1;31mred\x1b[0m"
    whole, single = Terminal(), Terminal()
    whole.feed(data)
    for n in range(len(data)):
        single.feed(data[n : n + 1])
    assert whole.picture() == single.picture()


def test_colours():
    t = Terminal()
    t.feed(b"\x1b[31mred\x1b[1;44mbold\x1b[0mplain\x1b[7mback\x1b[0;38;5;208mindexed\x1b[38;2;1;2;3mtrue")
    assert t.picture().rows[0] == (
        ("red", Ink("aa0000")),
        ("bold", Ink("aa0000", "0000aa", bold=True)),
        ("plain", PLAIN),
        ("back", Ink(reverse=True)),
        ("indexed", Ink("ff8700")),
        ("true", Ink("010203")),
    )


def test_what_scrolls_off_is_kept_and_bounded():
    t = Terminal()
    t.feed(b"".join(b"%d\r\n" % n for n in range(ROWS + 10)))
    assert t.picture().text.splitlines()[:2] == ["0", "1"]
    assert t.picture().cursor == (ROWS + 10, 0)
    t.feed(b"\n" * (LINES + 100))
    assert len(t.picture().rows) == LINES + ROWS


def test_it_answers_where_the_cursor_is():
    """busybox's shell asks this before every prompt."""
    said = []
    t = Terminal(said.append)
    t.follow(transcript(b"ab\x1b[6n"))
    assert said == [b"\x1b[1;3R"]


def test_going_back_in_time_shows_what_was_seen_then():
    """And what was asked is not answered again, on the way back or on the way there."""
    said = []
    t, log = Terminal(said.append), transcript(b"one\r\n\x1b[6ntwo\r\n")
    t.follow(log)
    assert (t.picture().text, len(said)) == ("one\ntwo", 1)
    log.restore(5)
    t.follow(log)
    assert t.picture().text == "one"
    for byte in b"\x1b[6ntwo":
        log.say(byte)
    t.follow(log)
    assert (t.picture().text, len(said)) == ("one\ntwo", 1)
    assert not t.behind(log.said)


ODD = [
    b"\x1b[",
    b"\x1b]",
    b"\x1b(",
    b"\x1b%",
    b"?",
    b";",
    b"9" * 30,
    b"\xc2\xb2",
    b"\xcc\x81",
    b"\x1b7",
    b"\x1b8",
    b"\x1b[?3h",
    b"$",
    b"\x9b",
]
ODD += [b"$", b"\x9b"] + [bytes([c]) for c in b"mHLMPXJKABCDrhlcn@d\r\n\x08\x0e"]


@given(st.lists(st.one_of(st.sampled_from(ODD), st.binary(max_size=8)), max_size=60))
def test_nothing_breaks_it(pieces):
    """Whatever comes: it stays 80 by 24, and shows what is written next after a reset."""
    t = Terminal()
    t.feed(b"".join(pieces))
    picture = t.picture()
    assert len(picture.rows) <= LINES + ROWS
    assert all(sum(len(text) for text, _ in row) <= 40 * COLUMNS for row in picture.rows)
    t.feed(b"\x18\x07\x1b\\" + b"x" * 3000 + b"\x18\x1bc\x1b%G\x1bchello")
    assert (t.lines.columns, t.lines.lines) == (COLUMNS, ROWS)
    assert t.picture().text.endswith("hello")


def test_sequences_that_do_not_end_take_no_memory():
    t = Terminal()
    t.feed(b"\x1b]" + b"x" * 100_000 + b"\r\nhello")
    assert t.picture().text.endswith("hello")
    t.feed(b"\x1b[" + b"1;" * 100_000 + b"\x18\r\nagain")
    assert t.picture().text.endswith("again")
    t.feed(b"e" + "\u0301".encode() * 10_000 + b"\x1b7" * 10_000)
    assert sum(len(c.data) for row in t.lines.buffer.values() for c in row.values()) < 40 * COLUMNS
    assert len(t.lines.savepoints) < 1000
