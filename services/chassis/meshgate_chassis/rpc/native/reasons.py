"""Why no connection could be made, in words for people. Pure."""

import errno
import os
import socket
import ssl


def why_not(error: OSError, limit_s: float) -> str:
    """Of an attempt to connect, or to look a name up, that could take `limit_s`."""
    if isinstance(error, TimeoutError) and not error.errno:
        return f"no answer within {limit_s:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        told = (error.reason or "it does not speak TLS").replace("_", " ").lower()
        return f"TLS failed: {told}"
    if isinstance(error, socket.gaierror):
        if error.errno == socket.EAI_AGAIN:
            return "nobody can be asked for the name's addresses"
        return "the name is not known"
    if error.errno == errno.ENOENT:
        return "there is no such socket"
    if error.errno:
        return os.strerror(error.errno).lower()
    return str(error) or "the connection was closed"
