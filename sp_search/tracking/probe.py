"""Asks whether a tracking server answers at all, in seconds and before MLflow is loaded: a dead one costs nothing.

And says in a line what went wrong with it.
"""

from __future__ import annotations

import os
import ssl
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

PATIENCE_S = 5.0
LOGIN_ERRORS = dict.fromkeys(
    ("UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"),
    "the server refuses the login (401): MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
    "MLFLOW_TRACKING_TOKEN, have to be what it knows",
) | {"PERMISSION_DENIED": "the login may not write there (403): whoever made experiment and model has to permit it"}


def require_answer(uri: str) -> None:
    """Return when something at an http(s) address answers, whatever it says; other stores are not asked.

    Proxies and certificates are those of the environment, as MLflow takes them.

    Raises:
        ConnectionError: nothing answers within `PATIENCE_S`.
    """
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https"):
        return
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2], path=f"{parts.path.rstrip('/')}/health").geturl()
    try:
        urlopen(Request(address), timeout=PATIENCE_S, context=_context()).close()  # noqa: S310  # http or https
    except HTTPError:
        return  # it answers
    except (URLError, HTTPException, OSError) as error:
        raise ConnectionError(f"{address} does not answer: {getattr(error, 'reason', error)}") from error


def in_words(error: Exception) -> str:
    """Return an error of a store in a line; of a login that was refused, what to do."""
    code = getattr(error, "error_code", None)
    if code in LOGIN_ERRORS:
        return LOGIN_ERRORS[code]
    return f"{type(error).__name__}: {str(error).splitlines()[0][:160] if str(error) else ''}"


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH"))
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() == "true":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
