"""The callback LiteLLM runs around each call: checks the prompt, and lets no answer go before its usage is on disk."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

from litellm.integrations.custom_logger import CustomLogger

from litellm_hub.proxy import failures, guards
from litellm_hub.proxy.recorder import TICKET, Outcome, Recorder
from litellm_hub.proxy.runtime import RuntimeTransport

# The calls LiteLLM prices and logs. Others (files, model lists, health) are journaled when they are logged,
# but nothing waits for them.
CALLS = frozenset(
    {
        *("completion", "acompletion", "text_completion", "atext_completion"),
        *("embeddings", "embedding", "aembedding", "responses", "aresponses", "anthropic_messages"),
    }
)
COUNTED = "lab_prompt_tokens"


class LabHandler(CustomLogger):
    """Guards and journal as one LiteLLM callback."""

    def __init__(
        self,
        recorder: Recorder,
        deployments: Callable[[str], Sequence[Mapping[str, Any]]],
        catalogue: Callable[[], Sequence[Mapping[str, Any]]],
        refuse: Callable[[guards.RefusedError], Exception],
        fire_deferred: Callable[[dict[str, Any]], None],
        transport: RuntimeTransport,
    ) -> None:
        """Take what is specific to the running proxy.

        Args:
            recorder: Knows what became of each call's usage.
            deployments: Returns the router's deployments of a model name.
            catalogue: Returns the deployments of all models.
            refuse: Turns the guard's error into the proxy's own error type.
            fire_deferred: LiteLLM's start of the logging of a stream, which it puts off for guardrails.
            transport: The way to the runtimes.
        """
        super().__init__()
        self._recorder = recorder
        self._deployments = deployments
        self._catalogue = catalogue
        self._refuse = refuse
        self._transport = transport
        self._fire_deferred = fire_deferred

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str
    ) -> None:
        """Begin to watch the call's usage, and refuse a prompt longer than the model's context."""
        logging_obj = data.get("litellm_logging_obj")
        if call_type not in CALLS or logging_obj is None:
            return
        self._recorder.expect(logging_obj)
        if "embedding" in call_type:
            return
        deployments = self._deployments(str(data.get("model")))
        context = guards.widest_context(deployments)
        try:
            guards.check_abilities(data, deployments, self._catalogue)
            if context is not None:
                setattr(logging_obj, COUNTED, await guards.check_prompt(data, context))
        except guards.RefusedError as error:
            raise self._refuse(error) from error

    async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], call_type: Any) -> dict[str, Any]:
        """Send the call over the transport that cares for runtimes."""
        self._transport.give_client(kwargs)
        return kwargs

    async def async_post_call_success_hook(self, data: dict[str, Any], user_api_key_dict: Any, response: Any) -> None:
        """Hold a plain answer until its usage is on disk; refuse one that the runtime did not finish."""
        outcome = _watched(data)
        if outcome is None:
            return
        logging_obj = data["litellm_logging_obj"]
        details = logging_obj.model_call_details
        provider = details.get("custom_llm_provider")
        if provider in guards.PROVIDERS and guards.lacks_ending(details.get("original_response")):
            raise guards.cut_answer(data.get("model"), provider)
        deferred = logging_obj.enqueue_deferred_logging
        if deferred is not None:  # with guardrails LiteLLM would log only after this hook, which waits for the log
            logging_obj.enqueue_deferred_logging = None
            deferred()
        await self._recorded(outcome, data)

    async def async_post_call_streaming_iterator_hook(
        self, user_api_key_dict: Any, response: Any, request_data: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        """Pass a stream on, but hold back its end until the usage is on disk.

        The chunk with the finish reason already tells a client that the answer is whole, so it waits as well.
        """
        outcome = _watched(request_data)
        if outcome is None:
            async for chunk in response:
                yield chunk
            return
        held: list[Any] = []
        try:
            async for chunk in response:
                if held or guards.is_final(chunk):
                    held.append(chunk)
                else:
                    yield chunk
        except Exception as error:
            failure = failures.runtime_failure(error)
            if failure is None:
                raise
            raise failure from error
        if not held:
            raise guards.cut_answer(request_data.get("model"), "")
        self._fire_deferred(request_data)
        await self._recorded(outcome, request_data)
        for chunk in held:
            yield chunk

    async def _recorded(self, outcome: Outcome, data: dict[str, Any]) -> None:
        await outcome.recorded()
        counted = getattr(data["litellm_logging_obj"], COUNTED, None)
        guards.warn_if_prompt_was_cut(data.get("model"), counted, outcome.prompt_tokens)


# The one handler of this process: LiteLLM may load its callbacks again, and the journal has one owner.
installed: LabHandler | None = None


def _watched(data: dict[str, Any]) -> Outcome | None:
    return getattr(data.get("litellm_logging_obj"), TICKET, None)
