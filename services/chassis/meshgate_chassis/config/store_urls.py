"""Composes addresses of stores from their parts. Pure; every part is percent-encoded."""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from meshgate_chassis.config.kinds import boolean
from meshgate_chassis.config.model import Secret

ENVIRONMENT = "(environment)"  # the path of a node that no file holds
STARTUP_NODES = "redis_startup_nodes"
CLUSTER_NODES = "REDIS_CLUSTER_NODES"
REDIS_PORT = 6379
TLS_OPTIONS = ("ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname")
POSTGRES_PORT = "5432"


class NodesError(ValueError):
    """The environment does not name the servers of a cluster."""


def redis_url(params: Mapping[str, Any], environ: Mapping[str, str]) -> Secret | None:
    """`params`: url, or host, port, username, password, ssl, ssl_*, db; redis_startup_nodes, whose first it
    names. REDIS_* stand in for what they omit.

    None when neither names a server. Raises ValueError for a REDIS_PORT that is no port.
    """
    if "url" in params:
        url: Secret = params["url"]
        return url
    if not {"host", STARTUP_NODES} & params.keys() and environ.get("REDIS_URL"):
        return Secret(environ["REDIS_URL"])
    nodes = redis_nodes(params, environ)
    host = nodes[0][0] if nodes else params.get("host") or environ.get("REDIS_HOST")
    if not host:
        return None
    port = nodes[0][1] if nodes else params.get("port") or _port(environ.get("REDIS_PORT"))
    username = params.get("username") or environ.get("REDIS_USERNAME") or ""
    password = params["password"].value if "password" in params else environ.get("REDIS_PASSWORD") or ""
    ssl = params.get("ssl", boolean(environ.get("REDIS_SSL", "")))
    credentials = f"{quote(username, safe='')}:{quote(password, safe='')}@" if username or password else ""
    database = f"/{params['db']}" if "db" in params else ""
    server = f"{credentials}{_host(host)}:{port}{database}"
    return Secret(f"rediss://{server}{_tls(params, environ)}" if ssl else f"redis://{server}")


def _tls(params: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    """redis-py's options, as the query of a URL."""
    said = {name: params.get(name, environ.get(f"REDIS_{name.upper()}")) for name in TLS_OPTIONS}
    query = urlencode({name: value for name, value in said.items() if value not in (None, "")})
    return f"?{query}" if query else ""


def redis_nodes(params: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[tuple[str, int], ...]:
    """Of a cluster: redis_startup_nodes, else REDIS_CLUSTER_NODES, the same as JSON; empty: it is none.

    Raises NodesError for JSON that does not name them.
    """
    if STARTUP_NODES in params:
        nodes: tuple[tuple[str, int], ...] = params[STARTUP_NODES]
        return nodes
    written = environ.get(CLUSTER_NODES)
    if not written or {"host", "url"} & params.keys():
        return ()
    try:
        return tuple((str(node["host"]), _port(str(node["port"]))) for node in json.loads(written))
    except (ValueError, KeyError, TypeError):
        raise NodesError('must be JSON as [{"host": "h", "port": "7001"}]') from None


def database_url(environ: Mapping[str, str]) -> Secret | None:
    """DATABASE_URL, else DATABASE_HOST, _USERNAME, _PASSWORD, _NAME."""
    if environ.get("DATABASE_URL"):
        return Secret(environ["DATABASE_URL"])
    host, name = environ.get("DATABASE_HOST"), environ.get("DATABASE_NAME")
    if not host or not name:
        return None
    username = quote(environ.get("DATABASE_USERNAME", ""), safe="")
    password = quote(environ.get("DATABASE_PASSWORD", ""), safe="")
    credentials = f"{username}:{password}@" if password else f"{username}@" if username else ""
    address = host if re.search(r"[^:]:\d+$", host) else f"{_host(host)}:{POSTGRES_PORT}"
    return Secret(f"postgresql://{credentials}{address}/{quote(name, safe='')}")


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _port(value: str | None) -> int:
    """Kubernetes sets REDIS_PORT to tcp://10.0.0.1:6379 for a Service that is called redis."""
    text = (value or str(REDIS_PORT)).rpartition(":")[2]
    if not text.isdigit() or not 0 < int(text) < 65_536:
        raise ValueError("must be a port")
    return int(text)
