"""Operations of an HTTP service as tools, by its OpenAPI 3 document.

    tools_from_openapi(Path("shop.yaml"), "https://shop.example", allow=["listOrders", "POST /orders"],
                       auth={"key": "SHOP_KEY"})

Only operations in the allow-list become tools. Secrets are read from environment variables when a call is made,
and are never part of what a model sees. `references.py` reads a document's schemas, `http.py` sends calls.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from coalm.agent.http import Field, Operation, Secret, Service
from coalm.agent.naming import writable
from coalm.agent.references import Document
from coalm.agent.tools import LIMIT, TIMEOUT, AgentTool, check_schema
from coalm.dialogue import Tool
from coalm.errors import AgentError, DataError, did_you_mean, need

MAX_BYTES = 1 << 20
_METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
_READING = ("get", "head", "options")
_BODIES = ("application/json", "application/x-www-form-urlencoded")
# Parameters that OpenAPI itself says are to be ignored: they belong to bodies and security schemes.
_NOT_OURS = ("accept", "content-type", "authorization")


def tools_from_openapi(
    document: Path | str | Mapping[str, Any],
    base_url: str = "",
    *,
    allow: Collection[str],
    auth: Mapping[str, str] | None = None,
    confirm: Collection[str] | None = None,
    prefix: str = "",
    timeout: float = TIMEOUT,
    limit: int = LIMIT,
    max_bytes: int = MAX_BYTES,
) -> tuple[AgentTool, ...]:
    """Tools for the operations in `allow`, each by its `operationId` or as `GET /orders/{id}`.

    - `document`: a file in JSON or YAML, or what was read from one.
    - `base_url`: where the service is; by default the first server that the document names.
    - `auth`: security scheme of the document -> environment variable with its key, its token or, for basic
      authentication, `user:password`.
    - `confirm`: operations that ask a person first, named as in `allow`; by default all but GET, HEAD and
      OPTIONS, which count as read-only.
    - `max_bytes`: an answer that is larger is not read on. Redirects are followed within the service only.

    Properties of a JSON body become arguments beside the other parameters, unless names collide or the body is
    no plain object: then the body is one argument, `body`.

    Raises:
        DataError: the file is missing or broken.
        AgentError: not OpenAPI 3, no such operation, a part that cannot be sent, or no secret for a scheme.
        MissingExtra: `httpx2` is not installed.
    """
    need("httpx2", extra="agent")
    root, where = _read(document)
    if not str(root.get("openapi", "")).startswith("3."):
        hint = "convert it first" if "swagger" in root else ""
        raise AgentError(
            f"not OpenAPI 3: {root.get('openapi') or root.get('swagger')!r}", where=where, hint=hint
        )
    reader = Document(root, where)
    address = base_url or next((str(server.get("url", "")) for server in root.get("servers") or ()), "")
    service = Service(address, timeout, max_bytes)
    found = _operations(reader)
    for name in (*allow, *(confirm or ())):
        if name not in found:
            raise AgentError(f"no operation `{name}`", where=where, hint=did_you_mean(name, found))
    tools: dict[str, AgentTool] = {}
    for name in dict.fromkeys(allow):
        method, path, item, operation = found[name]
        try:
            secrets = _secrets(reader, operation, auth or {})
            built, parameters = _build(reader, method, path, item, operation, secrets)
        except AgentError as error:
            raise AgentError(error.what, where=f"{where}: {name}", hint=error.hint) from None
        called = writable(prefix + str(operation.get("operationId") or f"{method}{path}"), tools)
        about = str(operation.get("description") or operation.get("summary") or "").strip()
        tool = Tool(called, about, parameters)
        check_schema(tool)
        asks = method not in _READING if confirm is None else _is_among(name, found, confirm)
        run = partial(service.call, built)
        tools[called] = AgentTool(tool, run, method in _READING, asks, timeout, limit)
    return tuple(tools.values())


def _read(document: Path | str | Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    if isinstance(document, Mapping):
        return document, "the OpenAPI document"
    import yaml

    path = Path(document)
    try:
        text = path.read_text(encoding="utf-8")
        read = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except FileNotFoundError:
        raise DataError("no such file", where=path) from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DataError(f"neither JSON nor YAML: {error}", where=path) from None
    if not isinstance(read, Mapping):
        raise AgentError("not an OpenAPI document", where=path)
    return read, str(path)


_Found = tuple[str, str, Mapping[str, Any], Mapping[str, Any]]


def _operations(reader: Document) -> dict[str, _Found]:
    """Both names of every operation -> method, path, path item, operation."""
    found: dict[str, _Found] = {}
    for path, item in (reader.root.get("paths") or {}).items():
        item = reader.resolve(item)
        for method in _METHODS:
            if isinstance(operation := item.get(method), Mapping):
                row = (method, str(path), item, operation)
                found[f"{method.upper()} {path}"] = row
                if name := operation.get("operationId"):
                    found[str(name)] = row
    return found


def _is_among(name: str, found: Mapping[str, _Found], names: Collection[str]) -> bool:
    return any(found[other][:2] == found[name][:2] for other in names)


# ── an operation ──────────────────────────────────────────────────────────────────────────────────


def _build(
    reader: Document,
    method: str,
    path: str,
    item: Mapping[str, Any],
    operation: Mapping[str, Any],
    secrets: tuple[Secret, ...],
) -> tuple[Operation, dict[str, Any]]:
    """How to send an operation, and the JSON Schema of its arguments."""
    if not path.startswith("/"):
        raise AgentError("a path that does not begin with /")
    fields: dict[str, Field] = {}
    properties: dict[str, Any] = {}
    required: list[str] = []

    def add(field: Field, schema: dict[str, Any], needed: bool) -> None:
        name = writable(field.name, fields)
        fields[name], properties[name] = field, schema
        if needed:
            required.append(name)

    for parameter in _parameters(reader, item, operation):
        place, name = str(parameter.get("in")), str(parameter.get("name"))
        needed = bool(parameter.get("required")) or place == "path"
        if place == "header" and name.lower() in _NOT_OURS:
            continue
        if place not in ("path", "query", "header"):
            if needed:
                raise AgentError(f"parameter `{name}` in {place} cannot be sent")
            continue
        schema = reader.schema(_schema_of(reader, parameter))
        if about := parameter.get("description"):
            schema["description"] = str(about)
        style = str(parameter.get("style") or ("form" if place == "query" else "simple"))
        field = Field(place, name, style, bool(parameter.get("explode", style == "form")))
        add(field, schema, needed)
    kind, whole = "", False
    if body := reader.resolve(operation.get("requestBody") or {}):
        kind, schema = _body(reader, body)
        needed = bool(body.get("required"))
        whole = "properties" not in schema or bool(set(schema["properties"]) & set(properties))
        if whole:
            add(Field("body", "body"), schema, needed)
        else:
            for name, part in schema["properties"].items():
                add(Field("body", name), part, needed and name in (schema.get("required") or ()))
    open_places = set(re.findall(r"\{([^}]*)\}", path))
    if missing := open_places - {field.name for field in fields.values() if field.place == "path"}:
        raise AgentError(f"the path has no parameter for {', '.join(sorted(missing))}")
    built = Operation(method.upper(), path, fields, kind, whole, secrets)
    closed = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return built, closed


def _parameters(
    reader: Document, item: Mapping[str, Any], operation: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    """An operation's parameters; those of its path hold where it has none of that name and place."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for parameter in [*(item.get("parameters") or ()), *(operation.get("parameters") or ())]:
        parameter = reader.resolve(parameter)
        found[str(parameter.get("in")), str(parameter.get("name"))] = parameter
    return list(found.values())


def _schema_of(reader: Document, parameter: Mapping[str, Any]) -> Mapping[str, Any]:
    """A parameter's schema, which may stand under a media type instead."""
    for content in (parameter.get("content") or {}).values():
        return dict(reader.resolve(content).get("schema") or {})
    return dict(parameter.get("schema") or {})


def _body(reader: Document, body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """(media type, schema) of a request body; what only answers hold (`readOnly`) is left out."""
    content = body.get("content") or {}
    for kind in _BODIES:
        for name, media in content.items():
            if name.split(";")[0].strip().lower() == kind or (kind == _BODIES[0] and name.endswith("+json")):
                return kind, reader.body_schema(media.get("schema") or {})
    raise AgentError(
        f"a body of {', '.join(content) or 'no known type'} cannot be sent", hint=", ".join(_BODIES)
    )


# ── secrets ───────────────────────────────────────────────────────────────────────────────────────


def _secrets(reader: Document, operation: Mapping[str, Any], auth: Mapping[str, str]) -> tuple[Secret, ...]:
    """The secrets that an operation wants: of its alternatives the first for which there are all variables."""
    schemes = (reader.root.get("components") or {}).get("securitySchemes") or {}
    for name in auth:
        if name not in schemes:
            raise AgentError(f"no security scheme `{name}`", hint=did_you_mean(name, schemes))
    alternatives = operation.get("security", reader.root.get("security")) or [{}]
    for alternative in alternatives:
        if all(name in auth for name in alternative):
            chosen = tuple(_secret(reader.resolve(schemes[name]), auth[name]) for name in alternative)
            for secret in chosen:
                if not os.environ.get(secret.variable):
                    raise AgentError(f"the environment variable {secret.variable} is not set")
            return chosen
    wanted = " or ".join(" and ".join(alternative) for alternative in alternatives)
    raise AgentError(f"it wants {wanted}", hint='auth={"scheme": "ENVIRONMENT_VARIABLE"}')


def _secret(scheme: Mapping[str, Any], variable: str) -> Secret:
    match scheme.get("type"), str(scheme.get("scheme", "")).lower():
        case "apiKey", _:
            return Secret(variable, str(scheme.get("in")), str(scheme.get("name")))
        case "http", "basic":
            return Secret(variable, "basic", "Authorization")
        case ("http", "bearer") | ("oauth2" | "openIdConnect", _):
            return Secret(variable, "bearer", "Authorization")
        case kind, how:
            raise AgentError(f"a security scheme of type {kind} {how} is not known".replace("  ", " "))
