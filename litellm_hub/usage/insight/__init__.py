"""What the usage log lets one expect: unusual hours, the coming weeks, and when the lab will be too small.

The functions take frames that `litellm_hub.usage` gives and return a `Finding`: a sentence in plain words and a small
table. Where the data do not suffice the sentence says what is missing, and the table is empty.
"""

from litellm_hub.usage.insight.anomalies import unusual_error_rate, unusual_latency, unusual_volume
from litellm_hub.usage.insight.capacity import capacity, median_wait, service_time, slots_needed
from litellm_hub.usage.insight.findings import Finding
from litellm_hub.usage.insight.forecasting import forecast
from litellm_hub.usage.insight.series import complete

__all__ = [
    "Finding",
    "capacity",
    "complete",
    "forecast",
    "median_wait",
    "service_time",
    "slots_needed",
    "unusual_error_rate",
    "unusual_latency",
    "unusual_volume",
]
