"""JSON text <-> Python values: fast, strict, and with one error.

Invariants: integers of any size survive; NaN, infinities, numbers beyond a double, lone surrogates
and invalid UTF-8 are refused. Every refusal is MeshError INVALID_ARGUMENT/JSON_INVALID.
"""

from typing import Any, Final

import msgspec

from meshgate_chassis.errors import Code, MeshError

JsonObject = dict[str, Any]

_DECODER: Final = msgspec.json.Decoder()
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")  # every digit of a Decimal


def loads(text: bytes | str) -> Any:
    """The value of one JSON text. Raises INVALID_ARGUMENT/JSON_INVALID."""
    try:
        return _DECODER.decode(text)
    except UnicodeDecodeError as error:
        raise _invalid(f"the JSON is not valid UTF-8 ({error.reason})") from error
    except RecursionError as error:
        raise _invalid("the JSON is nested too deeply") from error
    except msgspec.DecodeError as error:
        raise _invalid(f"the text is not valid JSON: {error}") from error


def loads_object(text: bytes | str) -> JsonObject:
    """As `loads`, and the value must be an object."""
    value = loads(text)
    if type(value) is not dict:
        raise _invalid(f"a JSON object is needed, not {kind_name(value)}")
    return value


def dumps(value: object) -> bytes:
    """Compact UTF-8 JSON. Raises INVALID_ARGUMENT/JSON_INVALID for what JSON cannot say."""
    try:
        return _ENCODER.encode(value)
    except UnicodeEncodeError as error:
        raise _invalid("a string holds a lone surrogate") from error
    except RecursionError as error:
        raise _invalid("the value is nested too deeply") from error


def kind_name(value: object) -> str:
    """The JSON kind of a value, with its article, for messages."""
    if value is None:
        return "null"
    return _KIND_NAMES.get(type(value), "something else")


_KIND_NAMES: Final = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
}


def _invalid(message: str) -> MeshError:
    return MeshError(Code.INVALID_ARGUMENT, "JSON_INVALID", message)
