"""Builders for compression tests."""

from meshgate_compression.messages import Message, Part
from meshgate_compression.tokens import O200K, Tokenizers

count = Tokenizers().count(O200K)

TOPICS = ("harbour", "library", "orchard", "railway", "theatre", "brewery", "museum", "lighthouse")


def paragraph(topic: str) -> str:
    """Five sentences about one thing."""
    return (
        f"The {topic} stands at the edge of the old town and can be seen from far away. "
        f"Few visitors know how the {topic} came to be built in this unlikely place. "
        f"A merchant named Oskar Lind{topic} paid for the {topic} out of his own pocket. "
        f"People of the neighbourhood still tell stories about that generous gesture. "
        f"Every spring the {topic} is cleaned and painted by a group of volunteers."
    )


def document() -> str:
    """Eight paragraphs, about 650 tokens."""
    return "\n\n".join(paragraph(topic) for topic in TOPICS)


def message(role: str, *texts: str) -> Message:
    """A message with these texts as its parts."""
    return Message(role, tuple(Part(text) for text in texts))


def text_of(messages: tuple[Message, ...] | list[Message], index: int) -> str:
    """The text of a message with one part."""
    text = messages[index].parts[0].text
    assert text is not None
    return text
