"""What the gateway refuses with 400 before anything else looks at a request: wrong types."""

from meshgate_chassis.chat.json import JsonObject


def validate_request(body: JsonObject) -> None:
    """Raises `invalid_field` with a path as OpenAI writes it (`messages[0].role`)."""
    raise NotImplementedError
