"""A client of the hub: which models there are, how the hub is, and streamed chat.

    from litellm_hub.client import HubClient

    client = HubClient()  # address and key from LITELLM_BASE_URL and LITELLM_API_KEY
    with client.stream_chat("smollm2", [{"role": "user", "content": "Hello"}]) as answer:
        for delta in answer:
            print(delta.text, end="")
    print(answer.usage, answer.time_to_first_token)

Nothing is ever retried behind the caller's back: each call is one request and at most one bill. Keys appear in no
message, log or repr. All exceptions are in `litellm_hub.client.errors`.
"""

from litellm_hub.client.client import HubClient, HubState, HubStatus, Message
from litellm_hub.client.errors import HubError
from litellm_hub.client.model_info import Delay, Memory, ModelInfo
from litellm_hub.client.stream import ChatStream, Delta, Usage
from litellm_hub.client.tool_calls import ToolCall

__all__ = [
    "ChatStream",
    "Delay",
    "Delta",
    "HubClient",
    "HubError",
    "HubState",
    "HubStatus",
    "Memory",
    "Message",
    "ModelInfo",
    "ToolCall",
    "Usage",
]
