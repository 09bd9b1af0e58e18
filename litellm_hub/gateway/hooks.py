"""The callback LiteLLM runs around each call: checks the request, and lets no answer go before its usage is on disk."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from litellm.integrations.custom_logger import CustomLogger

from litellm_hub.gateway import admission, failures, guards
from litellm_hub.gateway.accounts import CALLS, Accounts, Watch, has_row, is_cut
from litellm_hub.gateway.runtime import RuntimeTransport

COUNTED = "lab_prompt_tokens"


class LabHandler(CustomLogger):
    """Guards and accounting as one LiteLLM callback."""

    def __init__(
        self,
        accounts: Accounts,
        proxy: Any,
        refuse: Callable[[guards.RefusedError], Exception],
        transport: RuntimeTransport,
        queues: admission.Admission,
    ) -> None:
        """Take what is specific to the running proxy.

        Args:
            accounts: Makes the usage entries.
            proxy: LiteLLM's module `proxy_server`.
            refuse: Turns a guard's error into the proxy's own error type.
            transport: The way to the runtimes.
            queues: Where requests wait for a slot of their model.
        """
        super().__init__()
        self._accounts = accounts
        self._proxy = proxy
        self._refuse = refuse
        self._transport = transport
        self._queues = queues

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str
    ) -> None:
        """Begin to watch the call's usage, and refuse what the model cannot take."""
        self._queues.identify(user_api_key_dict)
        logging_obj = data.get("litellm_logging_obj")
        if call_type not in CALLS or logging_obj is None:
            return
        visit = admission.current()
        self._accounts.expect(logging_obj, *([visit.settle] if visit else []))
        if "embedding" in call_type:
            return
        deployments = self.deployments(str(data.get("model")))
        context = guards.widest_context(deployments)
        try:
            guards.check_abilities(data, deployments, self.deployments)
            if context is not None:
                setattr(logging_obj, COUNTED, await guards.check_prompt(data, context))
        except guards.RefusedError as error:
            raise self._refuse(error) from error

    async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], call_type: Any) -> dict[str, Any]:
        """Send the call over the transport that cares for runtimes; one that names a deployment waits for it here."""
        info = kwargs.get("model_info") or {}
        if self._queues.lacks(info):
            await self._queues.admitted([each for each in self.deployments() if each["model_info"]["id"] == info["id"]])
        self._transport.give_client(kwargs)
        return kwargs

    async def async_filter_deployments(
        self,
        model: str,
        healthy_deployments: list[dict[str, Any]],
        messages: Any,
        request_kwargs: dict[str, Any] | None = None,
        parent_otel_span: Any = None,
    ) -> list[dict[str, Any]]:
        """Let the call wait until it has a slot, and choose the deployment that it is of."""
        # LiteLLM leaves those out after this hook, where it tries a call again.
        failed = (request_kwargs or {}).get("_excluded_deployment_ids") or ()
        left = [each for each in healthy_deployments if each["model_info"]["id"] not in failed]
        return list(await self._queues.admitted(left or healthy_deployments))

    async def async_post_call_success_hook(self, data: dict[str, Any], user_api_key_dict: Any, response: Any) -> None:
        """Hold a plain answer until its usage is on disk; refuse one that the runtime did not finish."""
        watch = self._accounts.watch(data)
        if watch is None:
            return
        logging_obj = data["litellm_logging_obj"]
        if (deferred := logging_obj.enqueue_deferred_logging) is not None:
            logging_obj.enqueue_deferred_logging = None  # with guardrails, LiteLLM would log only after this hook
            deferred()
        await self._recorded(watch, data)
        if is_cut(logging_obj.model_call_details):
            raise has_row(guards.cut_answer(data.get("model"), logging_obj.model_call_details["custom_llm_provider"]))

    async def async_post_call_streaming_iterator_hook(
        self, user_api_key_dict: Any, response: Any, request_data: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        """Pass a stream on, but hold back its end until the usage is on disk.

        The chunk with the finish reason already tells a client that the answer is whole, so it waits as well.
        """
        watch = self._accounts.watch(request_data)
        held: list[Any] = []
        passed = 0
        try:
            async for chunk in response:
                if watch is not None and (held or guards.is_final(chunk)):
                    held.append(chunk)
                else:
                    passed += 1
                    yield chunk
        except (GeneratorExit, asyncio.CancelledError):
            if watch is not None:
                self._accounts.left(request_data, watch, passed)
            raise
        except Exception as error:
            failure = failures.runtime_failure(error)
            if failure is None:
                raise
            raise failure from error
        if watch is None:
            return
        if not held:
            cut = guards.cut_answer(request_data.get("model"), "")
            raise has_row(cut) if watch.claimed else cut
        self._proxy.ProxyLogging.fire_deferred_stream_logging(request_data)
        await self._recorded(watch, request_data)
        for chunk in held:
            yield chunk

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: datetime, end_time: datetime
    ) -> None:
        """Put an answered call into the journal."""
        await self._accounts.succeeded(kwargs, response_obj, start_time, end_time)

    async def async_post_call_failure_hook(
        self,
        request_data: dict[str, Any],
        original_exception: Exception,
        user_api_key_dict: Any,
        traceback_str: str | None = None,
    ) -> None:
        """Put a failed call of a known key into the journal; one whose caller left while it waited asked nothing."""
        if isinstance(original_exception, admission.ClientLeftError):
            return
        await self._accounts.failed(request_data, original_exception, user_api_key_dict)

    async def _recorded(self, watch: Watch, data: dict[str, Any]) -> None:
        await watch.recorded()
        counted = getattr(data["litellm_logging_obj"], COUNTED, None)
        guards.warn_if_prompt_was_cut(data.get("model"), counted, watch.prompt_tokens)

    def deployments(self, model: str | None = None) -> Sequence[Mapping[str, Any]]:
        """Return the router's deployments of a model, by default of all."""
        router = self._proxy.llm_router
        return (router.get_model_list(model_name=model) or []) if router is not None else []


# The one handler of this process: LiteLLM may load its callbacks again, and the journal has one owner.
installed: LabHandler | None = None
