"""A scripted hub as a process of its own, so that it can be killed in mid-answer.

A prompt "short" gets three counted words at once, any other a thousand at the given pace.

Usage: python -m tests.browser.counting_hub PORT WORDS_PER_SECOND
"""

from __future__ import annotations

import sys
from http.server import ThreadingHTTPServer
from typing import Any

from tests.unit.client.scripted_hub import Reply, ScriptedHub, answer_lines, handler


def main() -> None:
    """Serve until the process is killed."""
    port, pace = int(sys.argv[1]), float(sys.argv[2])

    def reply(body: dict[str, Any]) -> Reply:
        short = body["messages"][-1]["content"] == "short"
        words = [f"word{number} " for number in range(1, 4 if short else 1001)]
        return Reply(answer_lines(words), pause=0 if short else 1 / pace)

    ThreadingHTTPServer(("127.0.0.1", port), handler(ScriptedHub(reply=reply))).serve_forever()


if __name__ == "__main__":
    main()
