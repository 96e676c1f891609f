"""langchain-openai: an answer, a stream, a tool, a structured answer, a batch and an error."""

import json
import os

import openai
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel


@tool
def get_weather(city: str) -> str:
    """Weather of a city."""
    return f"18 degrees in {city}"


class City(BaseModel):
    """A city."""

    name: str
    inhabitants: int


def main() -> None:
    model = ChatOpenAI(
        model="demo", base_url=os.environ["BASE_URL"], api_key=os.environ["API_KEY"], max_retries=0
    )
    question = "What is the capital of France?"
    whole = model.invoke(question)
    chunks = list(model.stream(question, stream_usage=True))
    streamed = chunks[0]
    for chunk in chunks[1:]:
        streamed = streamed + chunk
    asked = [HumanMessage("How is the weather in Paris?")]
    called = model.bind_tools([get_weather]).invoke(asked)
    call = called.tool_calls[0]
    results = [ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])]
    answered = model.bind_tools([get_weather]).invoke([*asked, called, *results])
    structured = model.with_structured_output(City, method="json_schema").invoke("Tell me about Paris")
    batch = model.batch([question, "What is the capital of Italy?"])
    try:
        model.invoke("Hello demo:fail=400")
        error = ""
    except openai.BadRequestError as refused:
        error = refused.body["message"]
    print(
        json.dumps(
            {
                "text": whole.content,
                "usage": whole.usage_metadata["total_tokens"],
                "finish_reason": whole.response_metadata["finish_reason"],
                "streamed": streamed.content,
                "chunks": len(chunks),
                "streamed_usage": streamed.usage_metadata["total_tokens"],
                "tool": [call["name"], sorted(call["args"])],
                "answered": answered.content,
                "structured": structured.model_dump(),
                "batch": [each.content for each in batch],
                "error": error,
            }
        )
    )


if __name__ == "__main__":
    main()
