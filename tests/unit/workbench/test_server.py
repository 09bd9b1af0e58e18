from __future__ import annotations

import json

from litellm_hub.workbench import server


def test_notebooks_come_once_and_keep_what_was_changed(tmp_path):
    source, home = tmp_path / "source", tmp_path / "home"
    source.mkdir()
    notebook = {"cells": [], "metadata": {"language_info": {"name": "python", "version": ""}}, "nbformat": 4}
    (source / "chat.ipynb").write_text(json.dumps(notebook))
    (source / "welcome.md").write_text("one")
    assert server.bring_notebooks(source, home) == [home / "notebooks/chat.ipynb"]
    assert (home / "notebooks").stat().st_mode & 0o077 == 0
    assert server.bring_notebooks(source, home) == []
    (home / "notebooks/welcome.md").write_text("mine")
    (source / "welcome.md").write_text("two")
    assert server.bring_notebooks(source, home) == []
    assert (home / "notebooks/welcome.md").read_text() == "mine"


def test_links_follow_the_team_and_spare_what_is_no_link(tmp_path):
    (tmp_path / "hand-in").mkdir()
    server.lay_links(tmp_path, {"materials": "/shared/a/materials", "hand-in": "/shared/a/hand-in/anna"})
    assert str((tmp_path / "materials").readlink()) == "/shared/a/materials"
    assert not (tmp_path / "hand-in").is_symlink()
    server.lay_links(tmp_path, {"materials": "/shared/b/materials"})
    assert str((tmp_path / "materials").readlink()) == "/shared/b/materials"
