"""pydantic-ai: an agent that runs a tool, a typed result, a stream and an error."""

import asyncio
import json
import os

from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


class City(BaseModel):
    """A city."""

    name: str
    inhabitants: int


async def main() -> None:
    client = AsyncOpenAI(base_url=os.environ["BASE_URL"], api_key=os.environ["API_KEY"], max_retries=0)
    model = OpenAIChatModel("demo", provider=OpenAIProvider(openai_client=client))
    asked: list[str] = []
    agent = Agent(model)

    @agent.tool_plain
    def get_weather(city: str) -> str:
        """Weather of a city."""
        asked.append(city)
        return "18 degrees"

    weather = await agent.run("How is the weather in Paris?")
    typed = await Agent(model, output_type=City).run("Tell me about Paris")
    pieces = []
    async with Agent(model).run_stream("What is the capital of Spain?") as stream:
        async for piece in stream.stream_text(delta=True, debounce_by=None):
            pieces.append(piece)
        usage = stream.usage() if callable(stream.usage) else stream.usage
    try:
        await Agent(model).run("Hello demo:fail=400")
        status = 0
    except ModelHTTPError as error:
        status = error.status_code
    print(
        json.dumps(
            {
                "asked": asked,
                "weather": weather.output,
                "typed": typed.output.model_dump(),
                "streamed": "".join(pieces),
                "pieces": len(pieces),
                "output_tokens": usage.output_tokens,
                "status": status,
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(main())
