"""What the edge knows of the prompts it has sent."""

from meshgate_edge.compression.prompt_memory import BLOCK_CHARACTERS, Outlook, PromptMemory, marks_of
from meshgate_protos.chat.v1 import chat_pb2 as chat

DOCUMENT = "".join(f"Line {number} of the document. " for number in range(600))
assert len(DOCUMENT) > 3 * BLOCK_CHARACTERS


def user(text: str) -> chat.Message:
    return chat.Message(role="user", text=text)


def said(text: str) -> chat.Message:
    return chat.Message(role="assistant", text=text)


SYSTEM = chat.Message(role="system", text="Be brief.")
FIRST = [SYSTEM, user(f"{DOCUMENT}\n\nWho?")]
SECOND = [*FIRST, said("He."), user("When?")]
THIRD = [*SECOND, said("Then."), user("Where?")]


class Subject:
    """A memory and prompts of one scope."""

    def __init__(self, marks_max: int = 1_000) -> None:
        self.memory = PromptMemory(marks_max)

    def outlook(self, messages: list[chat.Message], scope: str = "m") -> Outlook:
        return self.memory.outlook(marks_of(scope, messages), messages)

    def sent(self, messages: list[chat.Message], first_touched: int | None, scope: str = "m") -> None:
        self.memory.remember(marks_of(scope, messages), first_touched)


def test_a_first_prompt_is_fresh() -> None:
    """All of it may be shortened, and nothing is cached."""
    assert Outlook() == Subject().outlook(FIRST)


def test_history_that_nobody_knows_was_sent_as_it_is() -> None:
    """Somebody had this conversation without compression: up to its last answer it stays."""
    assert Outlook(first_touched=4, cached_given=4, repeats=2) == Subject().outlook(THIRD)


def test_a_conversation_that_was_compressed_goes_on_so() -> None:
    """From the same message on, in all later turns."""
    subject = Subject()
    subject.sent(FIRST, 1)
    assert Outlook(1, cached_given=1, cached_compressed=2, repeats=1) == subject.outlook(SECOND)
    subject.sent(SECOND, 1)
    assert Outlook(1, cached_given=1, cached_compressed=4, repeats=2) == subject.outlook(THIRD)


def test_a_conversation_that_was_sent_as_given_stays_so() -> None:
    """Only what is new may be shortened."""
    subject = Subject()
    subject.sent(FIRST, None)
    assert Outlook(2, cached_given=2) == subject.outlook(SECOND)
    subject.sent(SECOND, 3)
    assert Outlook(3, cached_given=3, cached_compressed=4, repeats=2) == subject.outlook(THIRD)


def test_another_question_about_the_same_document() -> None:
    """How many asked before is counted; what stands before the document was never touched."""
    subject = Subject()
    other = [SYSTEM, user(f"{DOCUMENT}\n\nWhy?")]
    subject.sent(FIRST, 1)
    assert Outlook(1, cached_given=1, shared=2, repeats=1) == subject.outlook(other)
    subject.sent(other, 1)
    third = [SYSTEM, user(f"{DOCUMENT}\n\nWhence?")]
    assert Outlook(1, cached_given=1, shared=2, repeats=2) == subject.outlook(third)
    subject.sent(third, None)
    assert Outlook(2, cached_given=2) == subject.outlook([SYSTEM, user(f"{DOCUMENT}\n\nWhither?")])


def test_another_end_of_the_same_conversation() -> None:
    """Finished turns are compressed alike whatever follows them."""
    subject = Subject()
    subject.sent(FIRST, 1)
    subject.sent(SECOND, 1)

    edited = [*FIRST, said("He."), user("Really?")]
    assert Outlook(1, cached_given=1, cached_compressed=3) == subject.outlook(edited)


def test_a_shared_system_prompt_is_no_reason_to_leave_a_document_alone() -> None:
    """It is cached as it is, and compression never touches it."""
    subject = Subject()
    subject.sent(FIRST, 1)

    assert Outlook(1, cached_given=1) == subject.outlook([SYSTEM, user("Something else entirely.")])


def test_scopes_know_nothing_of_each_other() -> None:
    """Tenants, models and policies have caches of their own."""
    subject = Subject()
    subject.sent(FIRST, 1, "tenant a")

    assert Outlook(first_touched=2, cached_given=2) == subject.outlook(SECOND, "tenant b")


def test_it_is_bounded_and_forgets_the_oldest_first() -> None:
    """A prompt that was forgotten is history that nobody knows."""
    subject = Subject(marks_max=20)
    subject.sent(FIRST, 1)
    for number in range(100):
        subject.sent([user(f"Prompt {number}")], 0)
        assert len(subject.memory) <= 20

    assert Outlook(first_touched=2, cached_given=2) == subject.outlook(SECOND)


def test_texts_are_not_confused_with_their_borders() -> None:
    """The same characters in other messages or parts are another prompt."""
    subject = Subject()
    subject.sent([user("ab"), user("c")], 0)

    assert Outlook() == subject.outlook([user("a"), user("bc")])
    assert Outlook() == subject.outlook([said("ab"), user("c")][1:])
