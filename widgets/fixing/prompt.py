"""What a model is asked when a cell is to be corrected or changed, and the completion itself.

Pure but for `complete`; the notebook's buttons and `benchmarks/fix` ask by these same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from litellm_hub.client import ChatStream, HubClient, Message
from litellm_hub.client.errors import HubError
from litellm_hub.client.tokens import estimate_tokens
from widgets.storage.code_blocks import fenced
from widgets.storage.document import Attached

SYSTEM = (
    "You edit cells of a Jupyter notebook in Python. You answer with the whole new cell in one ```python block, "
    "without explanations. Change only what is needed and keep the names that the cell assigns."
)
FIX = "Write the whole cell again, corrected, so that it runs and does what it was meant to do."
EXPLAIN = "Explain this error: what it means, what in the cell causes it, and how to correct it."
WHOLE_ERROR = 16  # lines of a traceback that are shown as they are
MOST_MESSAGE = 8  # lines of the message that a longer one ends with
MOST_ANSWER = 1024  # tokens, for cells that are not longer themselves
MOST_LETTERS = 2000  # of the traceback: some messages hold a whole page


class UnfinishedError(HubError):
    """The answer reached its limit, so that the cell would be half of one."""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """A cell that is to be corrected, or changed where there is a wish.

    Attributes:
        source: Its code.
        error: The traceback that it ended with; empty if it did not fail.
        wish: How it is to be changed, in words; empty where the error is to be corrected.
        variables: The variables that it names, as its kernel tells them.
        others: Names of further variables that there are.
        hint: What the kernel knows of a name that was not found, in a sentence.
        notebook: Name of the notebook.
    """

    source: str
    error: str = ""
    wish: str = ""
    variables: list[Attached] = []
    others: list[str] = []
    hint: str = ""
    notebook: str = ""


def messages(cell: Cell) -> list[Message]:
    """Return the conversation that asks for a cell anew."""
    parts = [variable.text for variable in cell.variables]
    if cell.others:
        parts.append(f"Further variables of the notebook: {', '.join(cell.others)}")
    parts.append(f"The cell:\n{fenced(cell.source, 'python')}")
    if cell.error:
        parts.append(f"It fails:\n{fenced(error_end(cell.error))}")
    if cell.hint:
        parts.append(cell.hint)
    wish = f"Write the whole cell again with this change and nothing else changed: {cell.wish}"
    parts.append(wish if cell.wish else FIX)
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "\n\n".join(parts)}]


def explained(cell: Cell) -> list[Attached]:
    """Return what goes along with the request to explain a cell's error."""
    where = f" of the notebook {cell.notebook}" if cell.notebook else ""
    texts = {
        "cell": f"The cell{where}:\n{fenced(cell.source, 'python')}",
        "error": f"The error that it ends with:\n{fenced(error_end(cell.error))}",
    }
    return [
        Attached(name=name, kind=f"the {name}", text=text, tokens=estimate_tokens(text)) for name, text in texts.items()
    ]


def error_end(traceback: str) -> str:
    """Return of a traceback the message and the lines of cells that led to it.

    What lies between, in libraries, says more to people than to small models, which lose their way in it.
    """
    lines = traceback.strip().splitlines()
    if len(lines) > WHOLE_ERROR:
        blank = max((place for place, line in enumerate(lines) if not line.strip()), default=-1)
        message = lines[blank + 1 :] or lines
        lines = [*_cell_lines(lines[: blank + 1]), *message[:2], *message[2:][-(MOST_MESSAGE - 2) :]]
    text = "\n".join(lines)
    return text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS // 4]} … {text[-3 * MOST_LETTERS // 4 :]}"


def _cell_lines(lines: Sequence[str]) -> list[str]:
    found, within = [], False
    for line in lines:
        if "Cell In[" in line or line.startswith("File "):
            within = "Cell In[" in line
        if within and (line.startswith("-") or "Cell In[" in line) and not line.startswith("-----------"):
            found.append(line)
    return found


def complete(client: HubClient, model: str, cell: Cell, opened: Callable[[ChatStream], None] = lambda _: None) -> str:
    """Ask a model for a cell anew, at temperature 0.

    Args:
        client: The hub.
        model: Name of the model.
        cell: The cell.
        opened: Gets the stream before the request leaves; whoever closes it ends the request, and the answer is empty.

    Returns:
        The answer as the model gave it; `widgets.fixing.answer.code_of` takes the code out.

    Raises:
        UnfinishedError: The answer is longer than a cell may be.
        HubError: There is no answer, or it was cut; see `ChatStream`.
    """
    longest = max(MOST_ANSWER, 2 * estimate_tokens(cell.source))
    with client.stream_chat(model, messages(cell), temperature=0, max_tokens=longest) as stream:
        opened(stream)
        for _ in stream:
            pass
        if stream.finish_reason == "length":
            raise UnfinishedError(
                f"{model} did not come to an end.", "Divide the cell, or choose another model in the chat."
            )
        return "" if stream.closed else stream.text
