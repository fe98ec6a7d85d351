"""The messages of the protocol: JSON-RPC 2.0, and the parameters of the methods that are served.

Nothing here depends on a transport. What a client sends is read once by the strict reader that all
channels share, and then given its types; members that the protocol does not define are ignored.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from kaizen_nexus.http.strict_json import loads

__all__ = [
    "CONNECTION_CLOSED",
    "HANDSHAKE",
    "HEADER_MISMATCH",
    "INTERNAL_ERROR",
    "INVALID_PARAMS",
    "INVALID_REQUEST",
    "METHOD_NOT_FOUND",
    "MODERN",
    "PARSE_ERROR",
    "UNSUPPORTED_VERSION",
    "CallParams",
    "Era",
    "Json",
    "ListParams",
    "ListenParams",
    "Message",
    "NotAMessageError",
    "ProtocolError",
    "Reply",
    "RequestId",
    "encode",
    "error_reply",
    "read",
    "result_reply",
    "typed_params",
]

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
CONNECTION_CLOSED = -32000
HEADER_MISMATCH = -32020
UNSUPPORTED_VERSION = -32022

KEY = "io.modelcontextprotocol/"
VERSION_KEY = f"{KEY}protocolVersion"
CAPABILITIES_KEY = f"{KEY}clientCapabilities"

Json: TypeAlias = dict[str, Any]
"""An object of the protocol, as it is on the wire."""
RequestId: TypeAlias = int | str

encode = msgspec.json.Encoder().encode


class ProtocolError(Exception):
    """A request that is answered with a JSON-RPC error.

    Parameters
    ----------
    code, message
        The error's code, and what went wrong.
    data
        More about it, where the protocol says what.
    """

    def __init__(self, code: int, message: str, data: Any = UNSET) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


class NotAMessageError(ValueError):
    """JSON that is neither a request nor a notification nor an answer."""


class Message(msgspec.Struct):
    """A request, or a notification if it has no id, or an answer if it has no method."""

    jsonrpc: Literal["2.0"]
    id: RequestId | UnsetType | None = UNSET
    method: str | UnsetType = UNSET
    params: Json | UnsetType | None = UNSET
    result: Json | UnsetType = UNSET
    error: Json | UnsetType = UNSET

    @property
    def request_id(self) -> RequestId | None:
        """The id of a request; None if this is something else."""
        return self.id if self.method is not UNSET and isinstance(self.id, (int, str)) else None

    @property
    def meta(self) -> Any:
        """The ``_meta`` of the parameters, whatever it is; None if there is none."""
        return self.params.get("_meta") if self.params else None


class Reply(NamedTuple):
    """An answer as JSON text, and the code of the error that it is, if it is one."""

    body: bytes
    error: int | None = None


class _Implementation(msgspec.Struct):
    name: str
    version: str
    title: str | None = None


class _Elicitation(msgspec.Struct):
    form: Json | None = None
    url: Json | None = None


class _Sampling(msgspec.Struct):
    context: Json | None = None
    tools: Json | None = None


class _Capabilities(msgspec.Struct):
    elicitation: _Elicitation | None = None
    experimental: dict[str, Json] | None = None
    extensions: dict[str, Json] | None = None
    roots: Json | None = None
    sampling: _Sampling | None = None


class _Meta(msgspec.Struct, rename={"token": "progressToken"}):
    """The ``_meta`` of a request of a client that began with a handshake."""

    token: int | str | UnsetType = UNSET


_LogLevel = Literal["alert", "critical", "debug", "emergency", "error", "info", "notice", "warning"]


class _Envelope(
    _Meta,
    kw_only=True,
    rename={
        "token": "progressToken",
        "version": VERSION_KEY,
        "capabilities": CAPABILITIES_KEY,
        "client": f"{KEY}clientInfo",
        "log_level": f"{KEY}logLevel",
    },
):
    """The ``_meta`` of every request since 2026-07-28."""

    version: str
    capabilities: _Capabilities
    client: _Implementation | None = None
    log_level: _LogLevel | None = None


class _Params(msgspec.Struct, kw_only=True, rename={"meta": "_meta"}):
    meta: _Meta | None = None


class CallParams(_Params, kw_only=True):
    """Parameters of ``tools/call``."""

    name: str
    arguments: Json | None = None

    @property
    def token(self) -> int | str | None:
        """What the client wants to be told of the call's progress with; None if it does not."""
        token = self.meta.token if self.meta else UNSET
        return None if token is UNSET else token


class ListParams(_Params):
    """Parameters of ``tools/list``."""

    cursor: str | None = None


class InitializeParams(_Params, rename="camel"):
    """Parameters of ``initialize``."""

    protocol_version: str
    capabilities: _Capabilities
    client_info: _Implementation


class _Filter(msgspec.Struct, rename="camel"):
    tools_list_changed: bool | None = None


class ListenParams(_Params, kw_only=True):
    """Parameters of ``subscriptions/listen``."""

    meta: _Envelope
    notifications: _Filter


class _EnvelopedParams(_Params, kw_only=True):
    meta: _Envelope


class _EnvelopedCall(CallParams, kw_only=True):
    meta: _Envelope


class _EnvelopedList(ListParams, kw_only=True):
    meta: _Envelope


class Era(NamedTuple):
    """Versions of the protocol that are spoken in the same way."""

    versions: tuple[str, ...]
    methods: dict[str, type[_Params]]
    """The methods that are served, and their parameters."""
    is_enveloped: bool
    """Whether each request carries in its ``_meta`` what a handshake settles otherwise."""


HANDSHAKE = Era(
    ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"),
    {
        "initialize": InitializeParams,
        "ping": _Params,
        "tools/list": ListParams,
        "tools/call": CallParams,
    },
    is_enveloped=False,
)
MODERN = Era(
    ("2026-07-28",),
    {
        "server/discover": _EnvelopedParams,
        "tools/list": _EnvelopedList,
        "tools/call": _EnvelopedCall,
        "subscriptions/listen": ListenParams,
    },
    is_enveloped=True,
)


def read(text: bytes | bytearray) -> Message:
    """Return the message that `text` is.

    Raises
    ------
    StrictJsonError
        It is not JSON, or JSON that parsers read differently.
    NotAMessageError
        It is JSON, and something else: a batch, for example.
    """
    try:
        message = msgspec.convert(loads(text), Message)
    except msgspec.ValidationError as error:
        raise NotAMessageError(str(error)) from None
    is_answer = message.method is UNSET
    has_outcome = message.result is not UNSET or message.error is not UNSET
    if (is_answer and not has_outcome) or (not is_answer and message.id is None):
        raise NotAMessageError("neither a request nor a notification nor an answer")
    return message


def typed_params(era: Era, message: Message) -> _Params:
    """Return the parameters of a request.

    Raises
    ------
    ProtocolError
        There is no such method in this era, or its parameters are others.
    """
    params_type = era.methods.get(str(message.method))
    if params_type is None:
        raise ProtocolError(METHOD_NOT_FOUND, "Method not found", message.method)
    try:
        return msgspec.convert(message.params or {}, params_type)
    except msgspec.ValidationError:
        raise ProtocolError(INVALID_PARAMS, "Invalid request parameters", "") from None


class _Error(msgspec.Struct):
    code: int
    message: str
    data: Any = UNSET


class _ErrorReply(msgspec.Struct, tag_field="jsonrpc", tag="2.0"):
    id: RequestId | None
    error: _Error


class _ResultReply(msgspec.Struct, tag_field="jsonrpc", tag="2.0"):
    id: RequestId | None
    result: Any


def error_reply(request_id: RequestId | None, error: ProtocolError) -> Reply:
    """Return the answer to a request that failed; its id is None if it cannot be read."""
    details = _Error(error.code, error.message, error.data)
    return Reply(encode(_ErrorReply(request_id, details)), error.code)


def result_reply(request_id: RequestId | None, result: Any) -> Reply:
    """Return the answer to a request; the result is whatever has a JSON form."""
    return Reply(encode(_ResultReply(request_id, result)))
