"""Rows of LiteLLM's usage log, as many as wanted, that look like those of a busy lab.

Load is diurnal and weekly and grows; users follow Zipf's law; tokens are log-normal with a Pareto tail; duration is
queue, prompt and answer; answers that are not streamed end when their first token comes, as LiteLLM writes them; 4 %
are cache hits, 2 % fail, and in two incidents a third of them. Metadata are cut down to about what PostgreSQL keeps in
the row itself, so that reading the log costs here at most what it costs a real one.

Everything is made by numpy and joined to COPY's text by pyarrow, whole columns at a time.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

CHUNK = 200_000
COLUMNS = (
    "request_id", "call_type", "api_key", "spend", "total_tokens", "prompt_tokens", "completion_tokens", "startTime",
    "endTime", "request_duration_ms", "completionStartTime", "model", "model_id", "model_group", "custom_llm_provider",
    "api_base", "user", "metadata", "cache_hit", "cache_key", "request_tags", "team_id", "organization_id", "end_user",
    "requester_ip_address", "session_id", "status", "litellm_call_id", "created_at", "updated_at",
)  # fmt: skip
# name of the deployment, name for callers, share, tokens of the answer per second, tokens of the prompt per second
MODELS = (
    ("ollama_chat/qwen2.5", "qwen2.5", 0.42, 45.0, 900.0),
    ("ollama_chat/tinyllama", "tinyllama", 0.22, 110.0, 3000.0),
    ("ollama_chat/phi3", "phi3", 0.20, 38.0, 800.0),
    ("ollama_chat/qwen2.5:14b", "qwen2.5-14b", 0.10, 18.0, 350.0),
    ("ollama/nomic-embed-text", "embed", 0.06, 0.0, 20000.0),
)
EMBEDDING = 4
PRICES = np.array([[2e-7, 6e-7], [5e-8, 5e-8], [1.5e-7, 4e-7], [8e-7, 2.4e-6], [1e-8, 0]])
KEYS = 40
USERS = [
    "ada", "alan", "amina", "barbara", "ben", "carla", "chen", "clara", "david", "dora", "edsger", "elena", "emre",
    "fatima", "felix", "frances", "grace", "hanna", "hugo", "ida", "igor", "ines", "ivan", "jan", "jean", "joan",
    "jonas", "katherine", "ken", "lea", "leo", "lin", "linus", "luca", "maja", "margaret", "maria", "mei", "mohamed",
    "nadia", "niklaus", "noor", "olga", "omar", "pavel", "petra", "radia", "rosa", "samir", "sofia", "stefan",
    "tariq", "tim", "tomas", "vera", "viktor", "wei", "yara", "yuki", "zoe",
]  # fmt: skip
TEAMS = ("nlp-course", "vision-course", "physics", "biology", "linguistics", "library", "theses", "operations")
TAGS = ("course:nlp", "course:cv", "thesis", "batch", "eval", "rag", "agent", "demo")
AGENTS = ("OpenAI/Python 1.99.1", "python-requests/2.32", "OpenWebUI/0.6", "curl/8.5", "langchain/0.3")
ERRORS = (
    ("RateLimitError", "429", 0.35),
    ("Timeout", "408", 0.25),
    ("APIConnectionError", "500", 0.2),
    ("ContextWindowExceededError", "400", 0.12),
    ("AuthenticationError", "401", 0.08),
)
TIMEOUT, CONNECTION = 1, 2
Array = npt.NDArray[Any]


@dataclass
class Lab:
    """Who and what the requests come from.

    Attributes:
        seed: The same seed gives the same rows.
        end: The hour after the last request, UTC.
        days: Days of requests before it.
    """

    seed: int
    end: np.datetime64
    days: int
    dice: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.dice = np.random.default_rng(self.seed)
        self.keys = _hexadecimal(self.dice, KEYS, 32)
        self.teams = _uuids(self.dice, len(TEAMS))
        self.model_ids = _hexadecimal(self.dice, len(MODELS), 32)
        self.users_of_key = self.dice.integers(0, len(USERS), (KEYS, 3))
        self.team_of_key = self.dice.integers(0, len(TEAMS), KEYS)

    def hourly_load(self) -> Array:
        """Relative number of requests in each hour."""
        hours = np.arange(self.days * 24)
        begin = (self.end - np.timedelta64(self.days, "D")).astype("datetime64[h]").astype(int)
        of_day, weekday = (begin + hours) % 24, (3 + (begin + hours) // 24) % 7  # 1970 began on a Thursday
        daily = 0.15 + np.exp(-(((of_day - 14) / 4.5) ** 2))
        weekly = np.where(weekday >= 5, 0.35, 1.0)
        growth = 0.6 + 0.8 * hours / len(hours)
        load: Array = daily * weekly * growth * self.dice.lognormal(0, 0.25, len(hours))
        return load

    def rows(self, count: int) -> Iterator[bytes]:
        """Give `count` rows of the whole time as text for COPY with COLUMNS, in the order of their beginnings."""
        load = self.hourly_load()
        hours = np.repeat(np.arange(len(load)), self.dice.multinomial(count, load / load.sum()))
        relative = load / load.mean()
        begin = self.end - np.timedelta64(self.days, "D")
        incident = np.zeros(len(load), dtype=bool)
        for part, length in ((2 / 3, 9), (9 / 10, 4)):
            incident[int(len(load) * part) : int(len(load) * part) + length] = True
        for first in range(0, count, CHUNK):
            of_chunk = hours[first : first + CHUNK]
            offset = np.sort(of_chunk * 3_600_000 + self.dice.integers(0, 3_600_000, len(of_chunk)))
            start = begin.astype("datetime64[ms]") + offset.astype("timedelta64[ms]")
            yield _text(self._columns(start, relative[of_chunk], incident[of_chunk]))

    def recent(self, count: int, until: np.datetime64, minutes: int) -> bytes:
        """Give rows of the last minutes before an instant."""
        offset = np.sort(self.dice.integers(0, minutes * 60_000, count))
        start = until.astype("datetime64[ms]") - offset[::-1].astype("timedelta64[ms]")
        return _text(self._columns(start, np.ones(count), np.zeros(count, dtype=bool)))

    def _columns(self, start: Array, load: Array, incident: Array) -> list[Any]:
        n, dice = len(start), self.dice
        model = dice.choice(len(MODELS), n, p=[each[2] for each in MODELS])
        key = dice.choice(KEYS, n, p=_zipf(KEYS, 1.05))
        user, team = self.users_of_key[key, dice.integers(0, 3, n)], self.team_of_key[key]
        embeds = model == EMBEDDING
        long = np.where(dice.random(n) < 0.03, dice.pareto(1.5, n) + 4, 1)
        prompt = np.clip(dice.lognormal(5.6, 1.1, n) * long, 4, 32_000).astype(int)
        answer = np.where(embeds, 0, np.clip(dice.lognormal(4.9, 1.0, n), 1, 8192)).astype(int)
        speed = np.array([max(each[3], 1) for each in MODELS])[model] * dice.lognormal(0, 0.18, n)
        speed /= np.maximum(1, np.sqrt(load))
        reading = np.array([each[4] for each in MODELS])[model] * dice.lognormal(0, 0.2, n)
        first = 60 + prompt / reading * 1000 + dice.exponential(120 * load**2, n)
        duration = first + np.where(embeds, 0, answer / speed * 1000)
        cached = (dice.random(n) < 0.04) & ~embeds
        duration = np.where(cached, dice.lognormal(2.3, 0.4, n), duration)
        failed = (dice.random(n) < np.where(incident, 0.35, 0.02)) & ~cached
        error = dice.choice(len(ERRORS), n, p=[each[2] for each in ERRORS])
        streamed = (dice.random(n) < 0.6) & ~embeds & ~cached & ~failed
        quick = failed & (error != TIMEOUT) & (error != CONNECTION)
        duration = np.where(
            quick, dice.lognormal(3.5, 0.6, n), np.where(failed & (error == TIMEOUT), 600_000, duration)
        )
        answer, prompt = np.where(failed, 0, answer), np.where(failed, 0, prompt)
        duration = np.maximum(duration, 1).astype(int)
        spend = np.where(cached | failed, 0, prompt * PRICES[model, 0] + answer * PRICES[model, 1])
        end = start + duration.astype("timedelta64[ms]")
        to_first = np.where(streamed, np.minimum(first.astype(int), duration), duration)
        tag, agent = dice.integers(0, len(TAGS), n), dice.choice(len(AGENTS), n, p=[0.4, 0.2, 0.25, 0.1, 0.05])
        sessions = _uuids(dice, n)
        pool = max(1, n // 40)
        session = np.where(dice.random(n) < 0.3, dice.integers(0, pool, n), np.arange(n))
        ended = pc.cast(pa.array(end), pa.string())
        calls = _uuids(dice, n)
        return [
            _joined("chatcmpl-", _uuids(dice, n)),
            _pick(["acompletion", "aembedding"], embeds.astype(int)),
            self.keys.take(pa.array(key)),
            pc.cast(pa.array(spend), pa.string()),
            *(pc.cast(pa.array(values), pa.string()) for values in (prompt + answer, prompt, answer)),
            pc.cast(pa.array(start), pa.string()),
            ended,
            pc.cast(pa.array(duration), pa.string()),
            pc.cast(pa.array(start + to_first.astype("timedelta64[ms]")), pa.string()),
            _pick([each[0] for each in MODELS], model),
            self.model_ids.take(pa.array(model)),
            _pick([each[1] for each in MODELS], model),
            _pick(["ollama_chat", "ollama"], embeds.astype(int)),
            pa.repeat(pa.scalar("http://ollama:11434"), n),
            _pick(USERS, user),
            self._metadata(failed, error),
            _pick(["None", "False", "True"], np.where(cached, 2, np.where(streamed, 1, 0))),
            _hexadecimal(dice, n, 32),
            _pick([f'["{each}", "User-Agent: {name}"]' for each in TAGS for name in AGENTS], tag * len(AGENTS) + agent),
            self.teams.take(pa.array(team)),
            pa.repeat(pa.scalar(""), n),
            _pick([f"cust-{number}" for number in range(200)], (user * 7 + tag) % 200),
            _pick([f"10.0.{number // 16}.{number}" for number in range(len(USERS))], user),
            sessions.take(pa.array(session)),
            _pick(["success", "failure"], failed.astype(int)),
            calls,
            ended,
            ended,
        ]

    def _metadata(self, failed: Array, error: Array) -> pa.Array:
        overhead = pc.cast(pa.array(np.round(self.dice.lognormal(2, 0.5, len(failed)), 2)), pa.string())
        ends = ["}"] + [
            f', "error_information": {{"error_code": "{code}", "error_class": "{name}", "llm_provider": "ollama_chat",'
            f' "traceback": "", "error_message": "litellm.{name}: upstream failed"}}}}'
            for name, code, _ in ERRORS
        ]
        status = _pick(["success", "failure"], failed.astype(int))
        return _joined(
            '{"status": "', status, '", "attempted_retries": 0, "litellm_overhead_time_ms": ', overhead,
            _pick(ends, np.where(failed, error + 1, 0)),
        )  # fmt: skip


def load(connection: Any, lab: Lab, count: int) -> None:
    """Write rows into an empty log, its indexes afterwards: the same tables in a fraction of the time.

    Args:
        connection: Of psycopg2, as the owner of the tables; the caller commits.
        lab: Where they come from.
        count: How many.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexdef, indexname, EXISTS (SELECT FROM pg_constraint WHERE conname = indexname)"
            " FROM pg_indexes WHERE tablename = 'LiteLLM_SpendLogs'"
        )
        indexes = cursor.fetchall()
        for _, name, is_constraint in indexes:
            table = 'ALTER TABLE "LiteLLM_SpendLogs" DROP CONSTRAINT' if is_constraint else "DROP INDEX"
            cursor.execute(f'{table} "{name}"')
        for text in lab.rows(count):
            copy(cursor, text)
        cursor.execute("SET maintenance_work_mem = '512MB'")
        for definition, name, is_constraint in indexes:
            cursor.execute(definition)
            if is_constraint:
                cursor.execute(f'ALTER TABLE "LiteLLM_SpendLogs" ADD PRIMARY KEY USING INDEX "{name}"')
        keys, teams = lab.keys.to_pylist(), lab.teams.to_pylist()
        for number, (key, team, users) in enumerate(zip(keys, lab.team_of_key, lab.users_of_key, strict=True)):
            cursor.execute(
                'INSERT INTO "LiteLLM_VerificationToken" (token, key_alias, user_id, team_id) VALUES (%s, %s, %s, %s)',
                (key, f"{TEAMS[team]}-{number + 1}", USERS[users[0]], teams[team]),
            )
        cursor.executemany(
            'INSERT INTO "LiteLLM_TeamTable" (team_id, team_alias) VALUES (%s, %s)', zip(teams, TEAMS, strict=True)
        )


def copy(cursor: Any, text: bytes) -> None:
    """Write rows into the log."""
    names = ", ".join(f'"{name}"' for name in COLUMNS)
    cursor.copy_expert(f'COPY "LiteLLM_SpendLogs" ({names}) FROM STDIN', io.BytesIO(text))


def _text(columns: list[Any]) -> bytes:
    last = pc.binary_join_element_wise(columns[-1], "", "\n")
    lines = pc.binary_join_element_wise(*columns[:-1], last, "\t").cast(pa.large_string())
    offsets, data = lines.buffers()[1:]
    end = np.frombuffer(offsets, dtype=np.int64)[lines.offset + len(lines)]
    return bytes(memoryview(data)[:end])


def _joined(*parts: Any) -> pa.Array:
    return pc.binary_join_element_wise(*parts, "")


def _pick(words: list[str], places: Array) -> pa.Array:
    return pa.array(words).take(pa.array(places))


def _hexadecimal(dice: np.random.Generator, count: int, size: int) -> pa.Array:
    """Words of 2 * size random hexadecimal digits."""
    digits = dice.bytes(count * size).hex().encode()
    offsets = np.arange(count + 1, dtype=np.int32) * (2 * size)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(digits))


def _uuids(dice: np.random.Generator, count: int) -> pa.Array:
    digits = _hexadecimal(dice, count, 16)
    cut = [
        pc.utf8_slice_codeunits(digits, start, stop) for start, stop in ((0, 8), (8, 12), (13, 16), (17, 20), (20, 32))
    ]
    return pc.binary_join_element_wise(cut[0], cut[1], _joined("4", cut[2]), _joined("a", cut[3]), cut[4], "-")


def _zipf(count: int, exponent: float) -> Array:
    weights = 1 / np.arange(1, count + 1) ** exponent
    chances: Array = weights / weights.sum()
    return chances
