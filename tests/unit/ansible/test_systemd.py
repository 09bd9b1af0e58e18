"""Names and words of unit files."""

from pathlib import Path

import pytest

from ansible.module_utils import lab_systemd


@pytest.mark.parametrize(
    ("home", "words", "name"),
    [
        ("/opt/genailabs", ("jupyterlab",), "genailabs-jupyterlab"),
        ("/srv/lab", ("jupyterlab",), "genailabs-8f527650-jupyterlab"),
        ("/opt/genailabs", ("", "ollama"), "ollama"),
        ("/srv/lab", ("", "ollama"), "ollama-8f527650"),
    ],
)
def test_the_default_labs_units_have_plain_names(home: str, words: tuple[str, ...], name: str) -> None:
    assert lab_systemd.unit_name(home, *words) == name


def test_words_keep_their_meaning_in_a_unit_file() -> None:
    assert lab_systemd.quoted('a "b" \\ 5% $HOME') == '"a \\"b\\" \\\\ 5%% $HOME"'
    assert lab_systemd.quoted("$HOME", command=True) == '"$$HOME"'


def test_only_a_labs_own_files_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab_systemd, "UNITS", str(tmp_path))
    ours = tmp_path / "genailabs-jupyterlab.service"
    ours.write_text(lab_systemd.mark("/opt/genailabs", "notebook/jupyterlab") + "\n[Unit]\n")
    (tmp_path / "theirs.service").write_text("[Unit]\n")
    (tmp_path / "other.service").write_text(lab_systemd.mark("/opt/genailabs2", "notebook/jupyterlab") + "\n")
    (tmp_path / "alias.service").symlink_to(ours)
    assert lab_systemd.marked_files("/opt/genailabs") == {"notebook/jupyterlab": [ours]}
