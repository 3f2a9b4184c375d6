"""Headers that name credentials instead of holding them: checked when they are written, filled when a tool is called."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

from pydantic import SecretStr

from pointsman.credentials.using import CredentialUse, RunUser
from pointsman.kit.problems import FieldError, InvalidRequest, Kind, Problem
from pointsman.kit.scrubbing import HIDDEN, is_secret_name, scrub_text, spellings

_REFERENCE = re.compile(r"\$\{(token|secret):([A-Za-z0-9][A-Za-z0-9_.-]{0,99})\}")
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\t]")
# Those belong to the connection or to the request's own shape, which the gateway decides.
_NOT_YOURS = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"),
        *("transfer-encoding", "upgrade", "host", "content-length", "content-encoding", "expect"),
    }
)
_MOST_HEADERS = 32
_LONGEST_VALUE = 8192
_HOW = "Write ${token:INTEGRATION_KEY} for the credential of the run's user, ${secret:NAME} for one of the operator's secrets."


class HeaderNotFilled(Problem):
    """A header names a secret that the operator has not set, or what is set there cannot be part of a header, a line break for example.

    An operator sets `POINTSMAN_SECRETS__<NAME>` to a text of visible ASCII characters and starts the gateway again.
    """

    kind = Kind.CONFLICT
    code = "header-not-filled"
    title = "A header of a tool cannot be filled"


class Filled(dict[str, str]):
    """Headers as they are sent; never to be stored or logged. `scrub` takes what was filled in out of what comes back."""

    def __init__(self, headers: Mapping[str, str], secrets: Sequence[str]) -> None:
        super().__init__(headers)
        self._spellings = sorted({one for secret in secrets for one in spellings(secret)}, key=len, reverse=True)

    def __repr__(self) -> str:
        """Their names."""
        return f"Filled({', '.join(self)})"

    def scrub(self, text: str) -> str:
        """The text without the secrets, also where they were quoted or encoded."""
        for spelling in self._spellings:
            if spelling in text:
                text = text.replace(spelling, HIDDEN)
        return text


class References:
    """Knows what headers may name: users' credentials and the operator's secrets."""

    def __init__(self, credentials: CredentialUse, secrets: Mapping[str, SecretStr]) -> None:
        """`secrets` are those of the settings, by their names in lower case."""
        self._credentials = credentials
        self._secrets = secrets

    def check_headers(self, headers: Mapping[str, str], *, operator: bool, pointer: str = "/headers") -> None:
        """Refuse what could not be sent or would store a secret. Raises InvalidRequest with pointers below `pointer`.

        Only what an `operator` writes may name the operator's secrets: anybody else would have them sent wherever they like.
        """
        errors = [] if len(headers) <= _MOST_HEADERS else [FieldError(pointer, f"There may be at most {_MOST_HEADERS} headers.")]
        seen: set[str] = set()
        for name, value in headers.items():
            place = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
            wrong = "This header is there twice." if name.lower() in seen else _wrong_name(name) or self._wrong_value(name, value, operator)
            seen.add(name.lower())
            errors += [FieldError(place, wrong)] if wrong else []
        if errors:
            raise InvalidRequest("The headers cannot be used as they are.", hint=_HOW, errors=tuple(errors))

    async def fill(self, headers: Mapping[str, str], user: RunUser, tool: str) -> Filled:
        """The headers with what they name. Raises HeaderNotFilled and what `CredentialUse.use` raises."""
        filled: dict[str, str] = {}
        secrets: list[str] = []
        for name, value in headers.items():
            known: dict[str, str] = {}
            for kind, named in dict.fromkeys(_REFERENCE.findall(value)):
                secret = await self._credentials.use(user, named, tool=tool) if kind == "token" else self._secret(named)
                known[f"${{{kind}:{named}}}"] = secret
                secrets.append(secret)
            filled[name] = _REFERENCE.sub(lambda found, known=known: known[found.group()], value)
        return Filled(filled, secrets)

    def _wrong_value(self, name: str, value: str, operator: bool) -> str | None:
        if _UNPRINTABLE.search(value) or value != value.strip() or len(value) > _LONGEST_VALUE:
            return f"A value is at most {_LONGEST_VALUE} printable ASCII characters on one line, without spaces around them."
        rest = _REFERENCE.sub("", value)
        if "${" in rest:
            return f"This is no reference. {_HOW}"
        named = [secret for kind, secret in _REFERENCE.findall(value) if kind == "secret"]
        if named and not operator:
            return "Only what an operator writes may name the operator's secrets. Use ${token:INTEGRATION_KEY}."
        for secret in named:
            if secret.lower() not in self._secrets:
                return f"There is no secret {secret}: an operator sets POINTSMAN_SECRETS__{secret.upper()}.{self._closest(secret)}"
        if (rest == value != "" and is_secret_name(name)) or scrub_text(rest) != rest:
            return f"A secret is named, not written here. {_HOW}"
        return None

    def _closest(self, name: str) -> str:
        close = difflib.get_close_matches(name.lower(), self._secrets, n=1)
        return f" Did you mean {close[0]}?" if close else ""

    def _secret(self, name: str) -> str:
        held = self._secrets.get(name.lower())
        if held is None:
            raise HeaderNotFilled(f"The secret {name} is not set here.", hint=f"An operator sets POINTSMAN_SECRETS__{name.upper()}.")
        value = held.get_secret_value()
        if _UNPRINTABLE.search(value):
            detail = f"The secret {name} holds a line break or another character that no header may have."
            raise HeaderNotFilled(detail, hint=f"An operator corrects POINTSMAN_SECRETS__{name.upper()}.")
        return value


def is_settable(name: str) -> bool:
    """Whether this is the name of a header that a tool may set."""
    return _wrong_name(name) is None


def _wrong_name(name: str) -> str | None:
    if not _NAME.fullmatch(name):
        return "This is no name of a header: letters, digits and dashes."
    return "The gateway sets this header itself." if name.lower() in _NOT_YOURS else None
