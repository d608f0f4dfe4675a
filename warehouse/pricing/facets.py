"""What of a request chooses among the prices of its model."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Facets:
    """What of a request, besides provider, model and time, chooses among its prices."""

    prompt_tokens: int = 0
    region: str | None = None
    execution_mode: str | None = None
    image_quality: str | None = None
    image_size: str | None = None
    has_images: bool = False
    has_output_tokens: bool = False
    minute_of_day: int = 0
    """Of the request's time in UTC."""
