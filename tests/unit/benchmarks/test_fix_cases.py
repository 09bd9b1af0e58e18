from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.fix.cases import read


def test_there_are_six_broken_cells_of_each_of_ten_kinds() -> None:
    cases = read()
    assert len({case.name for case in cases}) == len({case.cell for case in cases}) == 60
    assert set(Counter(case.kind for case in cases).values()) == {6}
    assert len({case.kind for case in cases[:10]}) == 10
    assert all(case.fixed != case.cell and "assert" in case.check for case in cases)
    assert not any(case.check in part for case in cases for part in (*case.setup, case.cell))


def test_a_case_without_a_part_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kind.txt").write_text("=== half\n--- cell\nx\n--- check\nassert x\n")
    with pytest.raises(ValueError, match=r"kind.txt: “half” must have"):
        read(tmp_path)
