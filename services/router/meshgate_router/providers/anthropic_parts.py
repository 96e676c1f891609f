"""Content parts in OpenAI's shape -> Anthropic's content blocks: pure, JSON in and out."""

from typing import Any, Final

from meshgate_chassis.chat.json import JsonObject
from meshgate_router.providers.base import unfit
from meshgate_router.providers.data_url import data_url

_PDF: Final = "application/pdf"


def blocks_of(content: Any, path: str) -> list[JsonObject]:
    """The blocks of a message's content. Texts without a visible character are left out: Anthropic refuses
    them. Raises ProviderError FIELD_INVALID naming the part."""
    if content is None:
        return []
    if isinstance(content, str):
        return [text_block(content)] if content.strip() else []
    if not isinstance(content, list):
        raise unfit(f"{path}.content", "must be a string or a list")
    blocks = []
    for index, part in enumerate(content):
        block = _block(part, f"{path}.content[{index}]")
        if block.get("type") != "text" or str(block.get("text", "")).strip():
            blocks.append(block)
    return blocks


def text_block(text: str) -> JsonObject:
    return {"type": "text", "text": text}


def marked(blocks: list[JsonObject], owner: JsonObject) -> list[JsonObject]:
    """A message's own cache mark belongs on its last block."""
    mark = owner.get("cache_control")
    if mark is not None and blocks:
        blocks[-1] = {**blocks[-1], "cache_control": mark}
    return blocks


def _block(part: Any, path: str) -> JsonObject:
    if not isinstance(part, dict):
        raise unfit(path, "must be an object")
    kind = part.get("type")
    if kind == "image_url":
        return marked([_image(part.get("image_url"), path)], part)[0]
    if kind == "file":
        return marked([_document(part.get("file"), path)], part)[0]
    if kind == "refusal":
        return text_block(str(part.get("refusal", "")))
    if kind == "input_audio":
        raise unfit(path, "is audio, which Anthropic does not take")
    return part  # Text is the same on both sides; anything else is a block of Anthropic's own.


def _image(image: Any, path: str) -> JsonObject:
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str):
        raise unfit(f"{path}.image_url.url", "must be a string")
    if not url.startswith("data:"):
        return {"type": "image", "source": {"type": "url", "url": url}}
    return {"type": "image", "source": _base64(url, f"{path}.image_url.url")}


def _document(file: Any, path: str) -> JsonObject:
    if not isinstance(file, dict):
        raise unfit(f"{path}.file", "must be an object")
    data, where = file.get("file_data"), file.get("file_id")
    if data is None and isinstance(where, str) and where.startswith(("http://", "https://")):
        return {"type": "document", "source": {"type": "url", "url": where}}
    if not isinstance(data, str):
        raise unfit(
            f"{path}.file.file_data", "is required: ids of other providers' files mean nothing to Anthropic"
        )
    if data.startswith("data:"):
        source = _base64(data, f"{path}.file.file_data")
    else:
        source = {"type": "base64", "media_type": _PDF, "data": data}
    if source["media_type"].startswith("image/"):
        return {"type": "image", "source": source}
    block: JsonObject = {"type": "document", "source": source}
    if isinstance(file.get("filename"), str):
        block["title"] = file["filename"]
    return block


def _base64(url: str, path: str) -> JsonObject:
    data = data_url(url, path)
    return {"type": "base64", "media_type": data.media_type, "data": data.base64}
