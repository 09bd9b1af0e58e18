"""LiteLLM's management calls: the master key goes to a gateway of the caller's own account, and to nobody else."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from litellm_hub.people.peer import ask
from litellm_hub.people.plan import Call, Found, Plan

PAGE = 100  # LiteLLM gives no more at once
THREADS = 8
TIMEOUT_S = 60.0


class HubError(Exception):
    """The gateway does not do what it was asked for; the message says what it said."""


class Hub:
    """The gateway, as its administrator.

    Args:
        url: Its address on this host. It must run as the caller's own account.
        master_key: LiteLLM's master key.
    """

    def __init__(self, url: str, master_key: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {master_key}", "Content-Type": "application/json"}

    def look(self) -> Found:
        """Read all that there is: three lists, in pages.

        Raises:
            HubError: The gateway refuses.
            OSError: It does not answer, or another account does.
        """
        return Found(
            teams={team["team_id"]: team for team in self._ask("GET", "/team/list")},
            users={user["user_id"]: user for user in self._pages("/user/list?page_size", "users")},
            keys={key["token"]: key for key in self._pages("/key/list?return_full_object=true&size", "keys")},
        )

    def first_model(self) -> str:
        """The name of the lab's default model, for examples; empty where there is none. Raises as `look` does."""
        return next((str(model["id"]) for model in self._ask("GET", "/v1/models")["data"]), "")

    def carry_out(self, plan: Plan) -> list[str]:
        """Make the changes, several people's at the same time.

        Returns:
            What was done, in words.

        Raises:
            HubError: The gateway refuses one; what came before it is done, and the next run does the rest.
            OSError: It does not answer, or another account does.
        """

        def all_of(calls: Sequence[Call]) -> list[str]:
            for call in calls:
                self._ask("POST", call.path, call.body)
            return [call.says for call in calls]

        with ThreadPoolExecutor(THREADS) as pool:
            return [says for step in plan for done in pool.map(all_of, step) for says in done]

    def block(self, hashed: str) -> None:
        """Let a key open nothing from now on. Raises as `look` does."""
        self._ask("POST", "/key/block", {"key": hashed})

    def _pages(self, path: str, item: str) -> Iterator[dict[str, Any]]:
        page = pages = 1
        while page <= pages:
            answer = self._ask("GET", f"{path}={PAGE}&page={page}")
            yield from answer[item]
            page, pages = page + 1, answer.get("total_pages", 1)

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        text = None if body is None else json.dumps(body)
        try:
            answer, content = ask(f"{self._url}{path}", {os.getuid()}, TIMEOUT_S, method, text, **self._headers)
        except http.client.HTTPException as error:
            raise HubError(f"{path.partition('?')[0]}: {error!r}") from error
        if answer.status != http.client.OK:
            raise HubError(f"{path.partition('?')[0]}: {answer.status} {content.decode(errors='replace')[:500]}")
        return json.loads(content)
