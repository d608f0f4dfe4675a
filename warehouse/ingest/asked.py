"""What was asked of a provider: the kind of request, by its path, and what its body says about it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import cast

Body = Mapping[str, object]


class Makes(StrEnum):
    """What a request is for, where that decides how it is billed."""

    TEXT = "text"
    IMAGES = "images"
    SPEECH = "speech"
    TRANSCRIPT = "transcript"
    VIDEO = "video"
    TRAINING = "training"
    BATCH_RESULTS = "batch results"


_IMAGE_MODEL = r"imagen|image-generat|titan-image|nova-canvas|stability\.|stable-diffusion|flux|seedream"
_PATHS: tuple[tuple[re.Pattern[str], Makes], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), makes)
    for pattern, makes in (
        (r"/images/(?:generations|edits|variations)", Makes.IMAGES),
        (rf"/(?:models?|deployments)/[^/]*(?:{_IMAGE_MODEL})[^/]*(?::predict$|/invoke$|:rawPredict$)", Makes.IMAGES),
        (r"/audio/speech|/text-to-speech/", Makes.SPEECH),
        (r"/audio/(?:transcriptions|translations)|/speech-to-text", Makes.TRANSCRIPT),
        (r"/videos(?:/generations|/[^/]+/remix)?$|:predictLongRunning$", Makes.VIDEO),
        (r"/fine[-_]tuning/jobs|/fine-tunes", Makes.TRAINING),
        (r"/batches/[^/]+/(?:output|results)$", Makes.BATCH_RESULTS),
    )
)
_QUERY = re.compile(r"[?#].*$")


@dataclass(frozen=True)
class Asked:
    """A request as far as its billing needs it."""

    url: str = ""
    method: str = "POST"
    body: Body = field(default_factory=dict[str, object])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Of the request, names in lower case."""
    answered: Mapping[str, str] = field(default_factory=dict[str, str])
    """Headers of the answer, names in lower case."""

    @cached_property
    def makes(self) -> Makes:
        return _made_at(_QUERY.sub("", self.url))

    @property
    def is_new(self) -> bool:
        """False for a look at something that was asked for earlier, such as a poll of a video."""
        return self.method.upper() not in {"GET", "HEAD", "DELETE"}

    def says(self, *names: str) -> object:
        """The first of these parameters that is there, in the body or in what bodies of Google call parameters."""
        for holder in (self.body, part(self.body, "parameters"), part(self.body, "generationConfig")):
            for name in names:
                if holder.get(name) is not None:
                    return holder[name]
        return None


@lru_cache(maxsize=1024)
def _made_at(path: str) -> Makes:
    """What requests to a path are for. Applications send to few paths."""
    return next((makes for pattern, makes in _PATHS if pattern.search(path)), Makes.TEXT)


def part(holder: Body, name: str) -> Body:
    """An object within an object; an empty one where it is none."""
    value = holder.get(name)
    return cast("Body", value) if isinstance(value, dict) else {}
