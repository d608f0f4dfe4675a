"""How a request was served: the tier, the region, and what images it made, from request and answer.

The answer knows better than the request: a request for priority may have been served as standard.
"""

import re

from warehouse.ingest.asked import Asked, Makes
from warehouse.ingest.bodies import Answer, tier_word
from warehouse.ingest.providers import region_of

PROVISIONED, BATCH, PRIORITY, FLEX, FAST = "provisioned", "batch", "priority", "flex", "fast"
MODES = {
    "priority": PRIORITY,
    "flex": FLEX,
    "batch": BATCH,
    "fast": FAST,
    "provisioned": PROVISIONED,
    "provisioned_throughput": PROVISIONED,
    "reserved": PROVISIONED,
    "on_demand_priority": PRIORITY,
    "on_demand_flex": FLEX,
}
"""Words of providers for a tier → ours. Any other is the standard tier: default, auto, standard, on_demand, scale."""
STANDARD = ("standard", "default", "auto", "on_demand", "on-demand", "scale", "standard_only")
_BATCH_PATH = re.compile(r"/batches/|:batchGenerateContent|/batchPredictionJobs|/model-invocation-job")
_PROVISIONED_MODEL = re.compile(r"provisioned-model(?:/|%2F)", re.IGNORECASE)
_UTILIZATION, _SPILLED = "azure-openai-deployment-utilization", "x-ms-spillover-from-"
_TIER_HEADERS = ("x-gemini-service-tier", "x-amzn-bedrock-service-tier")
_REGION = re.compile(r"[a-z]{2,}[a-z0-9-]*")
_NO_REGION = {"", "global", "not_available", "unknown", "auto"}


def served(asked: Asked, answer: Answer) -> dict[str, str | None]:
    """The columns of a row that tell how it was served."""
    has_size = asked.makes in (Makes.IMAGES, Makes.VIDEO)
    return {
        "execution_mode": mode_of(asked, answer),
        "region": _region(asked, answer),
        "image_quality": (answer.quality or _word(asked.says("quality"))) if has_size else None,
        "image_size": (answer.size or _word(asked.says("size", "resolution"))) if has_size else None,
    }


def mode_of(asked: Asked, answer: Answer) -> str | None:
    """The tier that served a request; None for the standard one."""
    if _is_provisioned(asked, answer):
        return PROVISIONED
    if asked.makes is Makes.BATCH_RESULTS or _BATCH_PATH.search(asked.url):
        return BATCH
    told = [answer.tier, answer.speed, *(asked.answered.get(name) for name in _TIER_HEADERS)]
    if any(told):
        return next((MODES[word.lower()] for word in told if word and word.lower() in MODES), None)
    wished = (asked.body.get("service_tier"), asked.body.get("serviceTier"), asked.body.get("speed"))
    words = [tier_word(value) for value in wished]
    return next((MODES[word.lower()] for word in words if word and word.lower() in MODES), None)


def _is_provisioned(asked: Asked, answer: Answer) -> bool:
    """Traffic on throughput that was bought by the hour: said by Vertex AI and Bedrock, shown by Azure's headers."""
    if answer.tier and MODES.get(answer.tier.lower()) == PROVISIONED:
        return True
    if _PROVISIONED_MODEL.search(asked.url) or _PROVISIONED_MODEL.search(str(asked.body.get("modelId", ""))):
        return True
    spilled = any(name.startswith(_SPILLED) for name in asked.answered)
    return _UTILIZATION in asked.answered and not spilled


def _region(asked: Asked, answer: Answer) -> str | None:
    geography = (answer.region or "").lower()
    told = None if geography in _NO_REGION else geography
    named = asked.headers.get("x-portkey-aws-region") or asked.headers.get("x-portkey-vertex-region")
    found = (region_of(asked.url) or told or named or "").lower()
    return found if _REGION.fullmatch(found) else None


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None
