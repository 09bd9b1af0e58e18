"""The cell magic `%%chat`: a cell's text is the prompt, and the answer is the cell's output.

    %load_ext widgets

    %%chat -m smollm2 --attach df --to summary
    What does this frame show?

The answer streams as text and stays in the notebook as formatted text. All such cells of a kernel make one
conversation, saved like those of a panel; `%chat` shows it in one. Interrupting the kernel stops the answer.
"""

from __future__ import annotations

import queue
import sys
from html import escape
from typing import Any

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring
from IPython.display import clear_output, display

from litellm_hub.client import HubClient
from litellm_hub.client.errors import HubError
from litellm_hub.client.figures import money
from widgets.answer_html import to_html
from widgets.conversations.answer_task import AnswerTask, Settings
from widgets.conversations.conversation import Event
from widgets.conversations.library import Library, OpenConversation
from widgets.panels.chat_panel import ChatPanel
from widgets.panels.notebook import attach_variables
from widgets.storage.document import Answer, Attached, Figures
from widgets.tools.toolbox import Toolbox

# A signal that comes between Python's last look and the wait does not end the wait: it is seen when the wait is over.
_WAKE_S = 0.2
_FAULT = "color: var(--jp-error-color1, #b00020)"
_QUIET = "color: var(--jp-ui-font-color2, #666); font-size: 0.85em"


def _unquoted(text: str) -> str:
    """Return an option's value without the quotes around it, which IPython leaves in place."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


@magics_class
class ChatMagics(Magics):
    """The magics of one kernel."""

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self._shell = shell
        self._library = Library.at()
        self._opened: OpenConversation | None = None

    @magic_arguments()
    @argument(
        "-m", "--model", type=_unquoted, default="", help="model; default: the one used last, else the hub's first"
    )
    @argument("-t", "--temperature", type=float, help="randomness, 0 to 2; default: the hub's")
    @argument("-n", "--max-tokens", type=int, help="longest answer in tokens; default: the hub's")
    @argument("-s", "--system", type=_unquoted, default="", help="what the model is told first (in quotes)")
    @argument(
        "--attach", action="append", default=[], metavar="VARIABLE", help="goes along with the prompt; repeatable"
    )
    @argument("--to", default="", metavar="VARIABLE", help="gets the answer's text")
    @argument("--new", action="store_true", help="begin a new conversation")
    @line_cell_magic
    def chat(self, line: str, cell: str | None = None) -> ChatPanel | None:
        """Ask a model. `%chat` alone shows the conversation of this kernel's cells in a panel.

        Each cell that runs adds to the conversation, a cell that runs again as well. Braces in the prompt mean
        themselves; use --attach to show variables to the model.
        """
        options = parse_argstring(self.chat, line)
        if options.new or self._opened is None:
            if self._opened is not None:
                self._library.release(self._opened)
            self._opened = self._library.new()
        if cell is None:
            return ChatPanel(conversation=self._opened.id, model=options.model)
        if not cell.strip():
            raise UsageError("The prompt is blank: write it into the cell, below the line with %%chat.")
        if options.to and not options.to.isidentifier():
            raise UsageError(f"--to {options.to!r} is no name of a variable.")
        answer = self._ask(self._opened, cell.strip(), options)
        if options.to:
            self._shell.user_ns[options.to] = answer.text
        return None

    def _ask(self, opened: OpenConversation, prompt: str, options: Any) -> Answer:
        client = HubClient()
        refusal: HubError | None = None
        model, attached = options.model, list[Attached]()
        try:
            model = model or self._usual_model(client)
            attached = attach_variables(options.attach, None)
        except HubError as error:
            refusal = error
        except (LookupError, ValueError) as error:
            refusal = HubError(str(error), "Attach variables that the notebook has.")
        answer_id = opened.conversation.ask(prompt, model, attached, system_prompt=options.system)
        settings = Settings(model, options.system, options.temperature, options.max_tokens)
        task = AnswerTask(opened.conversation, answer_id, client, settings, Toolbox(), refusal=refusal)
        opened.task = task
        self._show(opened, task)
        self._library.settle(opened)
        return task.answer()

    def _usual_model(self, client: HubClient) -> str:
        model = self._library.usual_model(client.models())
        if not model:
            raise HubError("The hub offers no model to this key.", "Ask for a key that may use one.")
        return model

    def _show(self, opened: OpenConversation, task: AnswerTask) -> None:
        """Write the answer to the cell's output while it comes, and then once more as formatted text."""
        news: queue.Queue[Event | None] = queue.Queue()
        opened.conversation.connect(news.put)
        task.done.add_done_callback(lambda _: news.put(None))
        task.start()
        try:
            self._write(news, task)
        finally:
            opened.conversation.disconnect(news.put)
        answer = task.answer()
        if getattr(self._shell, "kernel", None) is None:  # a terminal: what is written stays
            sys.stdout.write(f"\n\n{_fault(answer)}{_in_words(answer.model, answer.figures)}\n")
            return
        clear_output(wait=True)
        display({"text/html": _as_html(answer), "text/plain": f"{answer.text}\n{_fault(answer)}"}, raw=True)

    @staticmethod
    def _write(news: queue.Queue[Event | None], task: AnswerTask) -> None:
        while True:
            try:
                event = news.get(timeout=_WAKE_S)
                if event is None:
                    return
                if event["type"] == "delta" and event["id"] == task.answer_id:
                    sys.stdout.write(event["text"])
                    sys.stdout.flush()
            except queue.Empty:
                continue
            except KeyboardInterrupt:
                task.stop()


def load(shell: InteractiveShell) -> None:
    """Give a shell the magics."""
    shell.register_magics(ChatMagics(shell))


def _fault(answer: Answer) -> str:
    if answer.reason:
        return f"{answer.reason} {answer.remedy}\n"
    return "Stopped.\n" if answer.state == "stopped" else ""


def _as_html(answer: Answer) -> str:
    fault = _fault(answer).strip()
    parts = [to_html(answer.text)]
    if fault:
        style = _FAULT if answer.reason else _QUIET
        parts.append(f'<p role="status" style="{style}">{escape(fault)}</p>')
    parts.append(f'<p style="{_QUIET}">{escape(_in_words(answer.model, answer.figures))}</p>')
    return "\n".join(parts)


def _in_words(model: str, figures: Figures) -> str:
    """Return what an answer took, as people read it."""
    parts = [model]
    for name, words in [
        ("first_token_s", "{:.2f} s to the first token"),
        ("tokens_per_s", "{:.1f} tokens/s"),
        ("prompt_tokens", "{:,} tokens in"),
        ("completion_tokens", "{:,} out"),
        ("cost", "${}"),
    ]:
        value = figures.get(name)
        if value is not None:
            parts.append(words.format(money(value) if name == "cost" else value))
    return " · ".join(part for part in parts if part)
