from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from widgets.fixing.answer import code_of, difference
from widgets.storage.code_blocks import fenced

CELL = "total = 0\nfor n in numbers\n    total += n"
FIXED = "total = 0\nfor n in numbers:\n    total += n"
lines = st.text(st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=12)


@pytest.mark.parametrize(
    "answer",
    [
        f"```python\n{FIXED}\n```",
        f"Here is the corrected cell:\n\n```python\n{FIXED}\n```\n\nThe colon was missing.",
        f"```\n{FIXED}\n```",
        f"~~~py\n{FIXED}\n~~~",
        f"```python\n{FIXED}",
        f"```python\r\n{FIXED}\r\n```".replace("\n", "\r\n").replace("\r\r", "\r"),
        f"   ```python\n    {FIXED.replace(chr(10), chr(10) + '    ')}\n   ```",
        FIXED,
        f"{FIXED}\n",
        f"The colon is missing after numbers.\n\n{FIXED}\n\nNow it runs.",
        f"The cell was\n```python\n{CELL}\n```\nand must be\n```python\n{FIXED}\n```",
        f"```bash\npip install numbers\n```\n```python\n{FIXED}\n```",
        f"```python\nimport numbers\n```\nthen\n```python\n{FIXED}\n```\nwhich prints\n```text\n6\n```",
        f"```python\n{FIXED}\n```\nTo see it:\n```python\nprint(total)\n```",
    ],
)
def test_the_code_is_found(answer: str) -> None:
    assert code_of(answer, CELL) == FIXED


@pytest.mark.parametrize("answer", [f"```python\n{CELL}\n```", CELL, f"```python\n{CELL}   \n\n```", f"\n{CELL}\n"])
def test_an_answer_that_repeats_the_cell_changes_nothing(answer: str) -> None:
    assert code_of(answer, f"{CELL}\n") == f"{CELL}\n"


@pytest.mark.parametrize(
    "answer", ["", "Yes", "I cannot help with that.", "42", "```text\nno code\n```", "```python\n```"]
)
def test_there_may_be_no_code(answer: str) -> None:
    assert code_of(answer, "1 / 0") == ""


def test_magics_and_await_are_code_and_the_cells_own_magic_stays() -> None:
    assert code_of("%matplotlib inline\n!ls\nx = await y()", "x = y()") == "%matplotlib inline\n!ls\nx = await y()"
    assert code_of("```python\nx = 1\n```", "%%time\nx = y") == "%%time\nx = 1"
    assert code_of("```python\n%%time\nx = 1\n```", "%%time\nx = y") == "%%time\nx = 1"
    assert code_of("```python\nx = y\n```", "%%time\nx = y") == "%%time\nx = y"


@given(st.text(max_size=200), st.text(max_size=80))
def test_any_answer_gives_a_text(answer: str, cell: str) -> None:
    assert isinstance(code_of(answer, cell), str)


@given(st.lists(st.sampled_from(["x = 1", "if x:", "    y = '```'", "", "# ~~~", "def f(): pass", "!ls"]), max_size=8))
def test_what_stands_in_a_fence_comes_out_of_it(chosen: list[str]) -> None:
    code = "\n".join(["x = 0", *chosen]).rstrip()
    assert code_of(fenced(code, "python"), "another = cell") == code


@given(st.lists(lines, max_size=8), st.lists(lines, max_size=8))
def test_both_texts_can_be_read_from_the_difference(old: list[str], new: list[str]) -> None:
    found = difference("\n".join(old), "\n".join(new))
    assert [line for sign, line in found if sign != "+"] == "\n".join(old).splitlines()
    assert [line for sign, line in found if sign != "-"] == "\n".join(new).splitlines()
