"""Tools of an MCP server, over its standard streams or HTTP.

    with tools_from_mcp(["python", "server.py"]) as tools:
        Agent(model, tools)

The connection lives on an event loop and a thread of its own, from the `with` (or the call) until `close`. What
a server says of its tools is what a stranger says: a tool runs without a person's leave only where it calls
itself read-only, or where you say so.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any, Self

from coalm.agent.naming import rename_properties, writable
from coalm.agent.running import Failure
from coalm.agent.tools import LIMIT, TIMEOUT, AgentTool, check_schema
from coalm.dialogue import Tool
from coalm.errors import AgentError, did_you_mean, need

START_SECONDS = 30.0
_MOST_PAGES = 100


def tools_from_mcp(
    server: str | Sequence[str],
    *,
    allow: Collection[str] | None = None,
    confirm: Collection[str] | None = None,
    token: str = "",
    environment: Mapping[str, str] | None = None,
    prefix: str = "",
    timeout: float = TIMEOUT,
    limit: int = LIMIT,
) -> McpTools:
    """The tools of a server: a command with its arguments (stdio), or an http(s) address (streamable HTTP).

    - `allow`: only these tools, by the server's names; all by default.
    - `confirm`: tools that ask a person first; by default all that do not call themselves read-only.
    - `token`: the environment variable that holds a bearer token, for an address.
    - `environment`: variables for a command beside the usual ones (PATH, HOME …): it does not see ours.
    - `prefix`: put before each name, where two servers have tools of one name.

    Raises:
        AgentError: the server does not start or answer, or has no tool of a name in `allow` or `confirm`.
        MissingExtra: `mcp` is not installed.
    """
    need("mcp", extra="mcp")
    where = server if isinstance(server, str) else " ".join(server)
    connection = _Connection(server, where, token, environment or {})
    try:
        described = connection.list_tools()
        known = {tool.name for tool in described}
        for name in {*(allow or ()), *(confirm or ())} - known:
            raise AgentError(f"the server has no tool `{name}`", where=where, hint=did_you_mean(name, known))
        chosen = [tool for tool in described if allow is None or tool.name in allow]
        tools = [_tool(connection, tool, confirm, prefix, timeout, limit) for tool in chosen]
    except BaseException:
        connection.close()
        raise
    return McpTools(tools, connection)


class McpTools(tuple[AgentTool, ...]):
    """The tools, and the connection to their server: close it, or use `with`."""

    _connection: _Connection

    def __new__(cls, tools: Sequence[AgentTool], connection: _Connection) -> Self:
        made = super().__new__(cls, tools)
        made._connection = connection
        return made

    def close(self) -> None:
        """End the connection; a server that we started ends with it."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Connection:
    """A client on a thread of its own, opened and closed by one and the same task, as its library wants it."""

    def __init__(
        self, server: str | Sequence[str], where: str, token: str, environment: Mapping[str, str]
    ) -> None:
        self._where = where
        self._client: Any = None
        self._failure: BaseException | None = None
        self._ready = threading.Event()
        # Not `with`: what the server says is kept for as long as the connection; closed in `close`.
        self._errors: Any = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._task = self._loop.create_task(self._serve(server, token, dict(environment)))
        self._thread = threading.Thread(target=self._run, name="coalm-mcp", daemon=True)
        self._thread.start()
        if not self._ready.wait(START_SECONDS) or self._failure is not None:
            what = self._failure or f"no answer in {START_SECONDS:g} seconds"
            hint = self._last_words() or "does the command start by itself, is the address right?"
            self.close()
            raise AgentError(f"the MCP server cannot be used: {_innermost(what)}", where=where, hint=hint)

    def list_tools(self) -> list[Any]:
        """All the server's tools, page after page."""
        found: list[Any] = []
        cursor = None
        for _ in range(_MOST_PAGES):
            page = self._ask(self._client.list_tools(cursor=cursor), START_SECONDS)
            found += page.tools
            cursor = page.next_cursor
            if not cursor:
                break
        return found

    def call(self, name: str, timeout: float, arguments: Mapping[str, Any]) -> Any:
        """What a tool of the server returns, or a Failure. Runs on the thread of a tool call."""
        call = self._client.call_tool(name, dict(arguments), read_timeout_seconds=timeout)
        return _result(self._ask(call, timeout))

    def close(self) -> None:
        end = self._stop.set if self._client is not None else self._task.cancel
        with suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(end)
        self._thread.join(START_SECONDS)
        self._errors.close()

    def _ask(self, question: Any, timeout: float) -> Any:
        if not self._thread.is_alive():
            question.close()
            raise AgentError("the connection to the MCP server is closed", where=self._where)
        future = asyncio.run_coroutine_threadsafe(question, self._loop)
        try:
            return future.result(timeout)
        except TimeoutError:
            future.cancel()
            raise TimeoutError(f"the MCP server did not answer in {timeout:g} seconds") from None

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._task)
        except BaseException as error:
            self._failure = error
        finally:
            self._ready.set()
            self._loop.close()

    async def _serve(self, server: str | Sequence[str], token: str, environment: dict[str, str]) -> None:
        from mcp import Client, StdioServerParameters, stdio_client
        from mcp.client.streamable_http import streamable_http_client

        async with AsyncExitStack() as stack:
            transport: Any
            if isinstance(server, str):
                http = None
                if token:
                    import httpx2

                    headers = {"Authorization": f"Bearer {_secret(token)}"}
                    http = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=300.0))
                transport = streamable_http_client(server, http_client=http)
            else:
                command, *arguments = server
                parameters = StdioServerParameters(command=command, args=arguments, env=environment)
                transport = stdio_client(parameters, errlog=self._errors)
            self._client = await stack.enter_async_context(Client(transport))
            self._ready.set()
            await self._stop.wait()

    def _last_words(self) -> str:
        """The end of what a command wrote on its standard error."""
        self._errors.seek(0)
        return str(self._errors.read())[-500:].strip()


def _tool(
    connection: _Connection,
    described: Any,
    confirm: Collection[str] | None,
    prefix: str,
    timeout: float,
    limit: int,
) -> AgentTool:
    read_only = bool(described.annotations and described.annotations.read_only_hint)
    parameters, names = rename_properties(described.input_schema or {})
    tool = Tool(writable(f"{prefix}{described.name}"), described.description or "", parameters)
    check_schema(tool)
    return AgentTool(
        tool,
        partial(_call, connection, described.name, names, timeout),
        read_only=read_only,
        confirm=not read_only if confirm is None else described.name in confirm,
        timeout=timeout,
        limit=limit,
    )


def _call(
    connection: _Connection,
    name: str,
    names: Mapping[str, str],
    timeout: float,
    arguments: Mapping[str, Any],
) -> Any:
    return connection.call(name, timeout, {names.get(key, key): value for key, value in arguments.items()})


def _result(result: Any) -> Any:
    """Structured content where there is any, else the texts; pictures and sounds are named, not shown."""
    texts = [_block(block) for block in result.content]
    if result.is_error:
        return Failure(" ".join(texts) or "the tool failed")
    found = result.structured_content
    if found is not None:
        # Servers wrap what is no object as {"result": …}.
        return found["result"] if isinstance(found, Mapping) and set(found) == {"result"} else found
    return texts[0] if len(texts) == 1 else texts


def _block(block: Any) -> str:
    if block.type == "text":
        return str(block.text)
    if block.type == "resource" and getattr(block.resource, "text", None) is not None:
        return str(block.resource.text)
    kind = getattr(block, "mime_type", None) or getattr(block, "uri", None) or ""
    return f"({block.type} {kind})"


def _secret(variable: str) -> str:
    if not (value := os.environ.get(variable)):
        raise AgentError(f"the environment variable {variable} is not set")
    return value


def _innermost(error: BaseException | str) -> str:
    """The cause that a group of exceptions holds."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else error
