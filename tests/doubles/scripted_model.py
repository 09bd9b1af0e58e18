"""A model that does what the prompt tells it, for what the small real model cannot: call tools, and fail on command.

It speaks the OpenAI API as a runtime does, so that a real gateway can stand before it. The last prompt is the order:

    call NAME {"argument": 1}    ask for a tool; further lines that begin with `call` ask for more in the same answer.
                                 With the results it says "NAME answered: RESULT". A line `then` begins another round.
    slow COUNT SECONDS           COUNT words, one every so many seconds
    die                          half an answer, then the connection is gone
    silent                       half an answer, then nothing more
    fail                         half an answer, then an error inside the stream
    malformed                    half an answer, then an event that is no JSON
    loading                      refuses with 503, as llama.cpp does while it loads a model
    no tools                     refuses with 400, as Ollama does for a model that cannot call tools
    … say "JSON"                 this text, wherever it stands in the prompt, the last one of several
    … slowly say "JSON"          the same, a word every half second
    (anything else)              "You said: …"

Run alone: python -m tests.doubles.scripted_model PORT
"""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.unit.client.scripted_hub import Reply, ScriptedHub, answer_lines, chunk, scripted_hub

NAME = "scripted"


@contextmanager
def scripted_model(port: int = 0) -> Iterator[ScriptedHub]:
    """Run the model; the hub that is returned tells its address and what it was asked."""
    with scripted_hub(port) as running:
        running.models = (NAME,)
        running.reply = reply_to
        yield running


def reply_to(body: dict[str, Any]) -> Reply:
    """Return the answer to a chat request."""
    order, since = _order(body["messages"])
    words = order.split()
    if said := re.findall(r'(slowly )?\bsay ("(?:[^"\\]|\\.)*")', order):
        slowly, text = said[-1]
        return Reply(answer_lines(re.findall(r"\s*\S+\s*", json.loads(text))), pause=0.5 if slowly else 0)
    match words:
        case ["call" | "then", *_]:
            return _tool_reply(order, since)
        case ["slow", count, seconds]:
            return Reply(answer_lines([f"word{number} " for number in range(int(count))]), pause=float(seconds))
        case ["die"]:
            return _half(ending="lost")
        case ["silent"]:
            return _half(ending="silent")
        case ["fail"]:
            error = {"error": {"message": "the model crashed", "type": "server_error", "code": 500}}
            return _half(f"data: {json.dumps(error)}")
        case ["malformed"]:
            return _half('data: {"choices": [{')
        case ["loading"]:
            error = {"message": "Loading model", "type": "unavailable_error", "code": 503}
            return Reply(refusal=(503, {"error": error}))
        case ["no", "tools"]:
            error = {"message": f"registry.ollama.ai/library/{NAME}:latest does not support tools"}
            return Reply(refusal=(400, {"error": {**error, "type": "api_error", "code": None}}))
    return Reply(answer_lines(["You said: ", *re.findall(r"\S+\s*", order)]))


def _half(*lines: str, ending: str = "whole") -> Reply:
    """Return half an answer; its pieces take their time, or the gateway would see the failure before the text."""
    return Reply([*map(chunk, ["Once ", "upon ", "a "]), *lines], pause=0.1, ending=ending)


def _order(messages: list[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """Return the last prompt and the messages after it."""
    last = max((place for place, message in enumerate(messages) if message["role"] == "user"), default=None)
    if last is None:
        return "", []
    content = messages[last]["content"]
    text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    # What is attached comes before the prompt itself.
    return text.rpartition("~~~~\n\n")[2].strip(), messages[last + 1 :]


def _tool_reply(order: str, since: list[dict[str, Any]]) -> Reply:
    rounds = [part.strip().splitlines() for part in re.split(r"^then\s*$", order, flags=re.MULTILINE)]
    done = sum(1 for message in since if message.get("tool_calls"))
    if done < len(rounds):
        return Reply(_call_lines(rounds[done], done))
    calls = [call for message in since for call in message.get("tool_calls") or ()]
    names = {call["id"]: call["function"]["name"] for call in calls}
    told = [
        f"{names.get(message['tool_call_id'])} answered: {message['content']}\n"
        for message in since
        if message["role"] == "tool"
    ]
    return Reply(answer_lines(told))


def _call_lines(lines: list[str], done: int) -> list[str]:
    """Return the events of an answer that asks for tools, the arguments in pieces as real models send them."""
    events = [chunk("Let me look. ")]
    for index, line in enumerate(lines):
        _, name, arguments = line.split(maxsplit=2)
        call = {"index": index, "id": f"call_{done}_{index}", "type": "function"}
        first = {**call, "function": {"name": name, "arguments": ""}}
        events.append(chunk(delta={"tool_calls": [first]}))
        for piece in re.findall(r".{1,7}", arguments):
            events.append(chunk(delta={"tool_calls": [{"index": index, "function": {"arguments": piece}}]}))
    usage = {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}
    return [*events, chunk(finish_reason="tool_calls"), chunk(usage=usage), "data: [DONE]"]


def main() -> None:
    """Serve on the port that is given until SIGINT or SIGTERM."""
    stop = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    with scripted_model(int(sys.argv[1])) as model:
        print(f"serving {NAME} at {model.url}", flush=True)
        signal.sigwait(stop)


if __name__ == "__main__":
    main()
