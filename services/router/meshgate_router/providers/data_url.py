"""`data:` URLs and the media types that names of files tell. Pure."""

import re
from dataclasses import dataclass, field
from typing import Final

from meshgate_router.providers.base import unfit

_DATA_URL: Final = re.compile(r"data:([\w.+/-]+)(?:;[\w=.+-]+)*;base64,", re.ASCII)
_ENDING: Final = re.compile(r"\.(\w{2,5})(?:[?#]|$)", re.ASCII)
_MEDIA_TYPES: Final = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "webp": "image/webp",
    "heic": "image/heic",
    "heif": "image/heif",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "webm": "video/webm",
}


@dataclass(frozen=True, slots=True)
class DataUrl:
    """`base64`: the data as it stands in the URL."""

    media_type: str
    base64: str = field(repr=False)


def data_url(url: str, path: str) -> DataUrl:
    """Raises ProviderError FIELD_INVALID naming `path`."""
    match = _DATA_URL.match(url)
    if match is None:
        raise unfit(path, "must be a base64 data: URL")
    return DataUrl(match[1].lower(), url[match.end() :])


def media_type_of(url: str) -> str | None:
    """What the ending of a URL's path says; None when it says nothing."""
    match = _ENDING.search(url)
    return _MEDIA_TYPES.get(match[1].lower()) if match else None
