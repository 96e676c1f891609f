"""Content parts in OpenAI's shape -> Gemini's parts: pure, JSON in and out."""

from collections.abc import Iterator
from typing import Any, Final

from meshgate_chassis.chat.json import JsonObject
from meshgate_router.providers.base import unfit
from meshgate_router.providers.data_url import data_url, media_type_of

_AUDIO_TYPES: Final = {"mp3": "audio/mpeg", "wav": "audio/wav"}
_YOUTUBE: Final = ("https://www.youtube.com/", "https://youtube.com/", "https://youtu.be/")
_RESOLUTIONS: Final = {"low": "MEDIA_RESOLUTION_LOW", "high": "MEDIA_RESOLUTION_HIGH"}


def parts_of(content: Any, path: str) -> list[JsonObject]:
    """The parts of a message's content, without empty texts: Gemini refuses them.

    Raises ProviderError FIELD_INVALID naming the part.
    """
    if content is None:
        return []
    if isinstance(content, str):
        return [{"text": content}] if content else []
    if not isinstance(content, list):
        raise unfit(f"{path}.content", "must be a string or a list")
    parts = [_part(part, f"{path}.content[{index}]") for index, part in enumerate(content)]
    return [part for part in parts if part != {"text": ""}]


def text_of_parts(content: Any, path: str) -> tuple[str, list[JsonObject]]:
    """The texts of a content, joined, and its other parts."""
    parts = parts_of(content, path)
    return "".join(part.get("text", "") for part in parts), [part for part in parts if "text" not in part]


def media_resolution(messages: list[Any]) -> str | None:
    """What the `detail` of the images amounts to; Gemini has one for all. None: nothing was said."""
    details = set(_details(messages))
    found = "high" if "high" in details else "low" if "low" in details else ""
    return _RESOLUTIONS.get(found)


def _details(messages: list[Any]) -> Iterator[Any]:
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else ():
            image = part.get("image_url") if isinstance(part, dict) else None
            if isinstance(image, dict) and isinstance(image.get("detail"), str):
                yield image["detail"]


def _part(part: Any, path: str) -> JsonObject:
    if not isinstance(part, dict):
        raise unfit(path, "must be an object")
    kind = part.get("type")
    if kind == "text":
        return {"text": str(part.get("text", ""))}
    if kind in ("image_url", "video_url"):
        return _linked(part.get(kind), f"{path}.{kind}")
    if kind == "input_audio":
        return _audio(part.get("input_audio"), f"{path}.input_audio")
    if kind == "file":
        return _file(part.get("file"), f"{path}.file")
    if kind == "refusal":
        return {"text": str(part.get("refusal", ""))}
    if kind is None and part:
        return part  # One of Gemini's own.
    raise unfit(path, f"is of the type {kind!r}, which Gemini has nothing like")


def _linked(value: Any, path: str) -> JsonObject:
    """An object with a URL, or the URL alone. `format`: LiteLLM's member for its media type."""
    url = value.get("url") if isinstance(value, dict) else value
    if not isinstance(url, str):
        raise unfit(f"{path}.url", "must be a string")
    given = value.get("format") if isinstance(value, dict) else None
    return _media(url, given, f"{path}.url")


def _media(url: str, given_type: Any, path: str) -> JsonObject:
    if url.startswith("data:"):
        data = data_url(url, path)
        return {"inlineData": {"mimeType": data.media_type, "data": data.base64}}
    media_type = given_type if isinstance(given_type, str) else media_type_of(url)
    if media_type is None and url.startswith(_YOUTUBE):
        media_type = "video/mp4"
    return {"fileData": {"fileUri": url} | ({"mimeType": media_type} if media_type else {})}


def _audio(audio: Any, path: str) -> JsonObject:
    if not isinstance(audio, dict) or not isinstance(audio.get("data"), str):
        raise unfit(f"{path}.data", "must be a string")
    kind = str(audio.get("format", "wav"))
    return {"inlineData": {"mimeType": _AUDIO_TYPES.get(kind, f"audio/{kind}"), "data": audio["data"]}}


def _file(file: Any, path: str) -> JsonObject:
    if not isinstance(file, dict):
        raise unfit(path, "must be an object")
    data, where = file.get("file_data"), file.get("file_id")
    if isinstance(data, str):
        if data.startswith("data:"):
            return _media(data, None, f"{path}.file_data")
        media_type = media_type_of(str(file.get("filename", ""))) or "application/pdf"
        return {"inlineData": {"mimeType": media_type, "data": data}}
    if isinstance(where, str) and ":" in where:
        return _media(where, file.get("format"), f"{path}.file_id")
    raise unfit(f"{path}.file_data", "is required: an id that is no URI means nothing to Gemini")
