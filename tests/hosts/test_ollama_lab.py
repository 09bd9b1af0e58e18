"""A whole lab on Ollama (the double, from a local mirror): what callers of the hub see when things go wrong."""

import json
import urllib.error
import urllib.request

import pytest

from tests.support.lab import Lab, playbook

pytestmark = pytest.mark.lab


def chat(lab: Lab, prompt: str = "Say hello.", model: str = "phi", **options: object) -> dict:
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": 8, **options}
    return lab.hub("/v1/chat/completions", body, key=lab.notebook_key)


def refusal(lab: Lab, prompt: str = "Say hello.", **options: object) -> tuple[int, str]:
    with pytest.raises(urllib.error.HTTPError) as error:
        chat(lab, prompt, **options)
    return error.value.code, json.loads(error.value.read())["error"]["message"]


def test_people_see_the_catalogues_names(ollama: Lab):
    assert sorted(ollama.models) == ["phi", "tinyllama"]
    assert chat(ollama)["choices"][0]["message"]["content"]


def test_a_prompt_that_ollama_would_cut_is_refused_by_its_own_word(ollama: Lab):
    # 1,000 tokens by the gateway's count and 3,000 by the model's; Ollama's own setting is 4096, the model's 2048.
    code, message = refusal(ollama, "สวัสดีครับ " * 150)
    assert code == 400
    assert "exceeds the available context size (2048 tokens)" in message


def test_tools_for_a_model_without_are_refused_and_the_ones_that_can_are_named(ollama: Lab):
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    code, message = refusal(ollama, tools=[tool])
    assert code == 400
    assert message == "The model 'phi' cannot call tools. Models that can: tinyllama."


def test_an_answer_cut_by_a_killed_runtime_is_an_error_and_the_runtime_comes_back(ollama: Lab):
    story = {"messages": [{"role": "user", "content": "Write a very long story."}], "temperature": 0}  # never short
    body = {"model": "phi", "stream": True, "max_tokens": 1500, **story}
    request = urllib.request.Request(
        f"{ollama.hub_url}/v1/chat/completions",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {ollama.notebook_key}", "Content-Type": "application/json"},
    )
    lines, before = [], set()
    with urllib.request.urlopen(request, timeout=60) as answer:
        for line in answer:
            if line.startswith(b"data: "):
                lines.append(line)
                if len(lines) == 5:
                    before = servers(ollama)
                    ollama.kill("runtime")
    assert b"data: [DONE]" not in b"".join(lines)
    assert b'"error"' in lines[-1]
    ollama.wait_ready(60)
    assert len(before) > 1, "the server and its models' processes"
    assert not before & servers(ollama), "the model process of the killed server is left"


def servers(lab: Lab) -> set[int]:
    """The processes of Ollama and of its loaded models."""
    return {process for process, command in lab.processes().items() if "/lib/ollama/" in command}


def test_a_runtime_that_is_down_gives_that_reason_and_recovers_by_itself(ollama: Lab):
    ollama.kill("runtime")
    code, message = refusal(ollama)
    assert code >= 500
    assert "The model's runtime does not answer." in message
    ollama.wait_ready(60)


def test_a_model_that_the_runtime_lost_gives_that_reason_each_time(ollama: Lab, mirrored: dict[str, object]):
    request = urllib.request.Request(
        f"http://127.0.0.1:{mirrored['runtime_port']}/api/delete", data=b'{"model": "phi:latest"}', method="DELETE"
    )
    urllib.request.urlopen(request, timeout=10).close()
    answers = [refusal(ollama) for _ in range(3)]
    assert {code for code, _ in answers} == {404}
    assert all("phi" in message and "not found" in message for _, message in answers)


def test_the_runtime_can_be_changed(ollama: Lab, mirrored: dict[str, object]):
    changed = playbook("site", mirrored | {"lab_runtime": "llama_cpp"})
    assert changed.returncode == 0, changed.stdout[-6000:]
    assert ollama.models == ["smollm2"]
    assert chat(ollama, model="smollm2")["choices"]
    assert not servers(ollama)
