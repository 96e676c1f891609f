"""instructor: typed answers through tools and through JSON schemas, one that is streamed in parts."""

import json
import os

import instructor
import openai
from pydantic import BaseModel


class User(BaseModel):
    """Somebody."""

    name: str
    age: int


def main() -> None:
    client = openai.OpenAI(base_url=os.environ["BASE_URL"], api_key=os.environ["API_KEY"], max_retries=0)
    messages = [{"role": "user", "content": "Extract: Ada is 36 years old"}]
    found = {}
    for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA):
        typed = instructor.from_openai(client, mode=mode)
        user, raw = typed.create_with_completion(
            model="demo", messages=messages, response_model=User, max_retries=0
        )
        found[mode.name] = {"user": user.model_dump(), "tokens": raw.usage.total_tokens}
    typed = instructor.from_openai(client, mode=instructor.Mode.TOOLS)
    parts = list(typed.create_partial(model="demo", messages=messages, response_model=User))
    found["partial"] = {"user": parts[-1].model_dump(), "parts": len(parts)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
