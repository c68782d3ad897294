"""Secrets in URLs: refused where they are given, and taken out of every text that leaves us.

A URL is kept in plans, parts and reports, and stands in logs and process lists; none of them is a
place for a password. Every filesystem reads credentials from elsewhere: the environment, the files
of the cloud's own tools, `~/.config/fsspec`.
"""

import re

from tokenize_pipeline.errors import ConfigurationError

_HIDDEN = "***"
_NAMES = (
    r"[\w.-]*(?:token|secret|passw(?:or)?d|pwd|signature|credential|api[_-]?key|access[_-]?key(?:id)?"
    r"|auth(?:orization)?)[\w.-]*|sig|key"
)
_USER = re.compile(r"(\w://)[^/?#\s'\"]*@")
_PARAMETER = re.compile(rf"([?&;](?:{_NAMES})=)[^&;#\s'\"<>]+", re.IGNORECASE)
_ASSIGNED = re.compile(
    r"(\b(?:aws_)?(?:secret_access_key|session_token)\b['\"]?\s*[=:]\s*['\"]?)[^\s'\",}]+",
    re.IGNORECASE,
)
_HEADER = re.compile(r"(\b(?:Bearer|Basic)\s+)[\w.~+/=-]{8,}")


def without_secrets(text: str) -> str:
    """`text` with what looks like a secret replaced by asterisks."""
    text = _USER.sub(rf"\1{_HIDDEN}@", text)
    for pattern in (_PARAMETER, _ASSIGNED, _HEADER):
        text = pattern.sub(rf"\1{_HIDDEN}", text)
    return text


def refuse_secrets(url: str) -> None:
    """Make sure that a URL may be written down.

    Raises:
        ConfigurationError: there is a password, a token or a signature in it.
    """
    if "://" in url and (_USER.search(url) or _PARAMETER.search(url)):
        raise ConfigurationError(
            f"there is a secret in the URL {without_secrets(url)}, and URLs are written into the "
            "dataset; give credentials through the environment or ~/.config/fsspec instead"
        )
