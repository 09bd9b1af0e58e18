"""What the usage log lets one expect: unusual hours, the coming weeks, and when the lab will be too small.

The functions take frames that `litellm_hub.usage` gives and return a `Finding`: a sentence in plain words and a small
table. Where the data do not suffice the sentence says what is missing, and the table is empty.
"""

from litellm_hub.usage.insight.anomalies import unusual_error_rate, unusual_latency, unusual_volume
from litellm_hub.usage.insight.capacity import NO_ANSWERS, Growth, capacity, growth, scenarios, service_times
from litellm_hub.usage.insight.findings import Finding
from litellm_hub.usage.insight.forecasting import forecast
from litellm_hub.usage.insight.queueing import INDEPENDENT, Bursts, Service, Wait, slots_needed, wait
from litellm_hub.usage.insight.series import complete

__all__ = [
    "INDEPENDENT",
    "NO_ANSWERS",
    "Bursts",
    "Finding",
    "Growth",
    "Service",
    "Wait",
    "capacity",
    "complete",
    "forecast",
    "growth",
    "scenarios",
    "service_times",
    "slots_needed",
    "unusual_error_rate",
    "unusual_latency",
    "unusual_volume",
    "wait",
]
