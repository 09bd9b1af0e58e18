"""Events out of bytes: whatever the network does to the bytes, the events stay the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_hub.client.sse import EVENT_LIMIT, Event, EventDecoder, EventTooLongError


def decode(*parts: bytes) -> list[Event]:
    decoder = EventDecoder()
    return [event for part in parts for event in decoder.feed(part)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: one\n\n", [Event("one")]),
        (b"data:one\n\n", [Event("one")]),
        (b"data:  two spaces\n\n", [Event(" two spaces")]),
        (b"data: one\r\n\r\ndata: two\r\n\r\n", [Event("one"), Event("two")]),
        (b"data: one\r\rdata: two\r\r", [Event("one"), Event("two")]),
        (b"data: a\ndata: b\n\n", [Event("a\nb")]),
        (b"data\n\n", [Event("")]),
        (b": keep-alive\n\ndata: one\n\n", [Event("one")]),
        (b"event: error\ndata: {}\n\ndata: x\n\n", [Event("{}", "error"), Event("x")]),
        (b"id: 7\nretry: 10\nunknown\ndata: one\n\n", [Event("one")]),
        (b"event: alone\n\n", []),
        (b"\xef\xbb\xbfdata: after a byte order mark\n\n", [Event("after a byte order mark")]),
        (b"data: cut off", []),
        (b"data: cut off\n", []),
        (b"data: \xff\n\n", [Event("\N{REPLACEMENT CHARACTER}")]),
        ("data: a\u2028b\x0bc\n\n".encode(), [Event("a\u2028b\x0bc")]),
    ],
)
def test_events_are_read_as_the_standard_has_them(stream: bytes, events: list[Event]) -> None:
    assert decode(stream) == events
    assert decode(*(stream[place : place + 1] for place in range(len(stream)))) == events


def test_an_event_is_given_out_with_its_blank_line() -> None:
    decoder = EventDecoder()
    assert list(decoder.feed(b"data: one\r\n\r")) == [Event("one")]
    assert list(decoder.feed(b"\ndata: two\r\n\r\n")) == [Event("two")]


LINES = st.one_of(
    st.text().map(lambda text: f"data: {text}"),
    st.sampled_from(["", "", "event: error", ": comment", "data", "\r", "data:{}"]),
)


@given(st.lists(LINES), st.sampled_from(["\n", "\r", "\r\n"]), st.data())
def test_any_cut_of_the_bytes_gives_the_same_events(lines: list[str], end: str, data: st.DataObject) -> None:
    stream = end.join([*lines, "", ""]).encode("utf-8", "replace")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    parts = [stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert decode(*parts) == decode(stream)


@pytest.mark.parametrize("piece", [b"x" * 65536, b"data: " + b"x" * 65530 + b"\n"])
def test_an_event_without_end_is_given_up(piece: bytes) -> None:
    with pytest.raises(EventTooLongError, match="longer than"):
        decode(*[piece] * (EVENT_LIMIT // len(piece) + 2))


def test_many_events_together_may_be_longer() -> None:
    piece = b"data: " + b"x" * 100_000 + b"\n\n"
    assert len(decode(*[piece] * 60)) == 60
