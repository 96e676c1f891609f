"""Management calls, and what they answer."""

from typing import Any

from tests.mesh.subject import Answer, Subject


async def ok(subject: Subject, path: str, **members: Any) -> Any:
    """The answer to a management call that works."""
    answer = await subject.post(path, members)
    assert 200 == answer.status, answer.body
    return answer.json


async def shown(subject: Subject, path: str) -> Any:
    """What a management call shows."""
    answer = await subject.get(path)
    assert 200 == answer.status, answer.body
    return answer.json


async def info(subject: Subject, key: str) -> Any:
    return await shown(subject, f"/key/info?key={key}")


def reason(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json["error"]["type"]
