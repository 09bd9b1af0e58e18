from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_hub.client import HubClient
from tests.unit.client.scripted_hub import Reply, answer_lines, scripted_hub
from widgets.fixing.prompt import MOST_LETTERS, Cell, UnfinishedError, complete, error_end, explained, messages
from widgets.storage.document import Attached

SHORT = "Cell In[2], line 1\n----> 1 1 / 0\n\nZeroDivisionError: division by zero"
LONG = "\n".join(
    [
        "-" * 75,
        "KeyError                                  Traceback (most recent call last)",
        "File /lib/pandas/core/indexes/base.py:3812, in Index.get_loc(self, key)",
        *(f"   {number} inside of pandas" for number in range(3805, 3812)),
        "-> 3812     return self._engine.get_loc(casted_key)",
        "",
        "KeyError: 'year'",
        "",
        "The above exception was the direct cause of the following exception:",
        "",
        "KeyError                                  Traceback (most recent call last)",
        "Cell In[3], line 2",
        "      1 frame = make()",
        "----> 2 frame['year']",
        "",
        "File /lib/pandas/core/frame.py:4107, in DataFrame.__getitem__(self, key)",
        "-> 4107     indexer = self.columns.get_loc(key)",
        "",
        "KeyError: 'year'",
    ]
)


def text_of(cell: Cell) -> str:
    system, user = messages(cell)
    assert (system["role"], user["role"]) == ("system", "user")
    return user["content"]


def test_a_fix_is_asked_for_with_all_that_is_known() -> None:
    frame = Attached(name="frame", kind="DataFrame", text="The notebook's variable `frame`: columns a, b")
    cell = Cell(source="frame['c']", error=SHORT, variables=[frame], others=["other"], hint="There is no `c`.")
    text = text_of(cell)
    places = [text.index(part) for part in (frame.text, "other", "```python\nframe['c']\n```", SHORT, cell.hint)]
    assert places == sorted(places)
    assert text.endswith("does what it was meant to do.")


def test_a_wish_is_the_last_word() -> None:
    text = text_of(Cell(source="x = 1", wish="use two"))
    assert text.endswith("use two")
    assert "fails" not in text


def test_a_cell_with_fences_does_not_end_its_block() -> None:
    assert "````python\nx = '''\n```\n'''\n````" in text_of(Cell(source="x = '''\n```\n'''"))


def test_of_a_traceback_the_cell_and_the_message_are_told() -> None:
    assert error_end(SHORT) == SHORT
    assert error_end(LONG).splitlines() == ["Cell In[3], line 2", "----> 2 frame['year']", "KeyError: 'year'"]


@given(st.text())
def test_a_traceback_of_any_form_is_told_within_bounds(traceback: str) -> None:
    assert len(error_end(traceback * 20)) <= MOST_LETTERS + 10


def test_an_explanation_gets_cell_and_error() -> None:
    cell, error = explained(Cell(source="1 / 0", error=SHORT, notebook="n.ipynb"))
    assert (cell.name, error.name) == ("cell", "error")
    assert "1 / 0" in cell.text
    assert "n.ipynb" in cell.text
    assert "ZeroDivisionError" in error.text
    assert error.tokens > 10


def test_the_model_is_asked_without_chance_and_an_answer_without_an_end_is_none() -> None:
    with scripted_hub() as hub:
        client = HubClient(hub.url, "sk-test")
        assert complete(client, "m", Cell(source="1 / 0", error=SHORT)) == "Hello"
        assert hub.requests[-1]["temperature"] == 0
        assert hub.requests[-1]["model"] == "m"
        hub.reply = lambda _: Reply(answer_lines(["```python\nx ="], reason="length"))
        with pytest.raises(UnfinishedError, match="come to an end"):
            complete(client, "m", Cell(source="1 / 0"))
        hub.reply = lambda _: Reply(answer_lines(["a"] * 50), pause=0.05)
        assert complete(client, "m", Cell(source="1 / 0"), lambda stream: stream.close()) == ""
