"""The server as a process: OpenAI's own client talks to it, with tools, streamed and not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.models.tiny import save_llama
from tests.serving.running import CLOCK, WEATHER, Running, serving, write_script

openai = pytest.importorskip("openai")

CALL = "Thought: The user wants the weather.\nAction: find_weather(city='Graz', days=2)"
TELL = "Thought: It is there.\nSystem: Sunny in Graz,\nfor two days."
SCRIPT = {
    "chat": [CALL, TELL],
    "both": ["Thought: Two things.\nAction: find_weather(city='Graz'), tell_time()\nObservation: made up"],
    "plain": ["Hello there, how are you?"],
    "broken": ["Thought: Hm.\nAction: find_weather(city="],
    "unlabelled": ["I will not keep to the form."],
    **{f"c{number}": [f"System: answer {number}a", f"System: answer {number}b"] for number in range(32)},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("server")
    with serving(folder, write_script(folder / "script.jsonl", SCRIPT), "--name", "coalm-test") as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[Any]:
    with openai.OpenAI(base_url=server.url, api_key="none", max_retries=0, timeout=20) as client:
        yield client


def ask(client: Any, text: str = "Weather in Graz?", **fields: Any) -> Any:
    fields = {"model": "coalm-test", "messages": [{"role": "user", "content": text}], **fields}
    return client.chat.completions.create(**fields)


def test_a_conversation_with_a_tool(client: Any) -> None:
    messages: list[Any] = [{"role": "user", "content": "Weather in Graz?"}]
    first = ask(client, messages=messages, tools=[WEATHER]).choices[0]
    assert first.finish_reason == "tool_calls"
    assert first.message.content is None
    assert first.message.reasoning_content == "The user wants the weather."
    (call,) = first.message.tool_calls
    assert call.function.name == "find_weather"
    assert json.loads(call.function.arguments) == {"city": "Graz", "days": 2}
    messages += [first.message, {"role": "tool", "tool_call_id": call.id, "content": "sunny, sunny"}]
    second = ask(client, messages=messages, tools=[WEATHER]).choices[0]
    assert second.finish_reason == "stop"
    assert second.message.content == "Sunny in Graz,\nfor two days."
    assert second.message.tool_calls is None


def test_streams_hold_what_whole_answers_hold(client: Any) -> None:
    for user in ("chat", "both", "plain", "broken", "unlabelled"):
        tools = {} if user == "plain" else {"tools": [WEATHER, CLOCK]}
        whole = ask(client, user=user, **tools).choices[0]
        said: dict[str, Any] = {"content": "", "thought": "", "calls": {}, "finish": None}
        for chunk in ask(client, user=user, stream=True, **tools):
            delta = chunk.choices[0].delta
            said["content"] += delta.content or ""
            said["thought"] += getattr(delta, "reasoning_content", None) or ""
            said["finish"] = chunk.choices[0].finish_reason
            for call in delta.tool_calls or []:
                made = said["calls"].setdefault(call.index, ["", ""])
                made[0] += call.function.name or ""
                made[1] += call.function.arguments or ""
        calls = [[call.function.name, call.function.arguments] for call in whole.message.tool_calls or []]
        assert said["finish"] == whole.finish_reason
        assert said["content"] == (whole.message.content or "")
        assert list(said["calls"].values()) == calls
        assert user not in ("chat", "both") or said["thought"] == whole.message.reasoning_content


def test_several_calls_or_one(client: Any) -> None:
    both = ask(client, user="both", tools=[WEATHER, CLOCK]).choices[0].message.tool_calls
    assert [call.function.name for call in both] == ["find_weather", "tell_time"]
    assert len({call.id for call in both}) == 2
    one = ask(client, user="both", tools=[WEATHER, CLOCK], parallel_tool_calls=False).choices[0].message
    assert [call.function.name for call in one.tool_calls] == ["find_weather"]


def test_tool_choice(client: Any) -> None:
    named = {"type": "function", "function": {"name": "find_weather"}}
    for choice in ("required", named):
        assert ask(client, tools=[WEATHER], tool_choice=choice).choices[0].message.tool_calls
        with pytest.raises(openai.InternalServerError, match="did not write the call"):
            ask(client, user="c1", tools=[WEATHER], tool_choice=choice)
    none = ask(client, tools=[WEATHER], tool_choice="none").choices[0]
    assert none.message.tool_calls is None
    assert none.message.content == CALL
    other = {"type": "function", "function": {"name": "tell_time"}}
    with pytest.raises(openai.InternalServerError, match="did not write the call"):
        ask(client, tools=[WEATHER, CLOCK], tool_choice=other)


def test_a_required_call_that_does_not_come_ends_a_stream_with_an_error(client: Any) -> None:
    stream = ask(client, user="c1", tools=[WEATHER], tool_choice="required", stream=True)
    assert next(stream).choices[0].delta.content == ""
    with pytest.raises(openai.APIError, match="did not write the call"):
        next(stream)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": 0.5}, "temperature"),  # a replayed model does not draw
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 5000}, "max_tokens"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [WEATHER, WEATHER]}, "tools.[1].function.name"),
        ({"tools": [{"type": "web_search"}]}, "tools.[0].type"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages.[0].role"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages.[0].content.[0]",
        ),
        ({"messages": [{"role": "tool", "tool_call_id": "a", "content": "x"}]}, "messages.[0].tool_call_id"),
        ({"extra_body": {"functions": [{}]}}, "functions"),
        ({"extra_body": {"wish": 1}}, "wish"),
    ],
)
def test_what_is_not_supported_is_named(client: Any, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, **fields)
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"
    assert param.rpartition(".")[2].strip("[]") in caught.value.message


def test_what_changes_nothing_is_taken(client: Any) -> None:
    fields = {"n": 1, "temperature": 0, "top_p": 0.5, "seed": 3, "presence_penalty": 0, "store": False}
    extra = {"metadata": {"a": "b"}, "parallel_tool_calls": True, "logit_bias": {}, "stop": None}
    assert ask(client, user="plain", **fields, **extra).choices[0].message.content == SCRIPT["plain"][0]


def test_stop_texts_cut(client: Any) -> None:
    assert ask(client, user="plain", stop=[", how"]).choices[0].message.content == "Hello there"


def test_the_script_ends(client: Any) -> None:
    with pytest.raises(openai.InternalServerError, match="no step 0 of item nobody"):
        ask(client, user="nobody")


def test_thirty_two_conversations_are_not_mixed(server: Running) -> None:
    def talk(number: int) -> list[str]:
        with openai.OpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
            messages: list[Any] = [{"role": "user", "content": "one"}]
            said = []
            for _ in range(2):
                answer = ask(client, messages=messages, user=f"c{number}", tools=[WEATHER])
                said.append(answer.choices[0].message.content)
                messages += [{"role": "assistant", "content": said[-1]}, {"role": "user", "content": "two"}]
            return said

    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(talk, range(32)))
    assert found == [[f"answer {number}a", f"answer {number}b"] for number in range(32)]


def test_models_health_and_metrics(server: Running, client: Any) -> None:
    assert [model.id for model in client.models.list()] == ["coalm-test"]
    base = server.url.removesuffix("/v1")
    health = client._client.get(f"{base}/health")
    assert health.json() == {"status": "ok"}
    assert re.fullmatch(r"req_[0-9a-f]{24}", health.headers["x-request-id"])
    ask(client, user="plain")
    figures = client._client.get(f"{base}/metrics").text
    found = re.search(r'coalm_requests_total{path="/v1/chat/completions",status="200"} (\d+)', figures)
    assert found
    assert int(found[1]) >= 1
    assert "coalm_first_text_seconds_bucket" in figures


def test_the_log_says_what_but_not_the_contents(server: Running, client: Any) -> None:
    answer = client.chat.completions.with_raw_response.create(
        model="m", messages=[{"role": "user", "content": "a secret wish"}], user="plain"
    )
    found: list[dict[str, Any]] = []
    deadline = time.monotonic() + 10
    while not found and time.monotonic() < deadline:  # the line is written once the answer has been sent
        found = [row for row in server.rows() if row.get("id") == answer.headers["x-request-id"]]
    (row,) = found
    assert (row["status"], row["path"], row["finish"]) == (200, "/v1/chat/completions", "stop")
    assert row["ms"] > 0
    assert "secret wish" not in server.log.read_text()
    assert SCRIPT["plain"][0] not in server.log.read_text()


def test_a_local_model_streams_counts_and_is_left(tmp_path: Path) -> None:
    """The same server over a real, if tiny, model: usage, a client that vanishes, contents in the log."""
    model = save_llama(tmp_path / "model", positions=4096)
    with (
        serving(tmp_path, str(model), "--max-tokens", "2000", "--log-contents") as running,
        openai.OpenAI(base_url=running.url, api_key="none", max_retries=0) as client,
    ):
        whole = ask(client, max_tokens=12)
        assert 0 < whole.usage.completion_tokens <= 12
        options = {"include_usage": True}
        *chunks, last = ask(client, max_tokens=12, stream=True, stream_options=options)
        assert last.choices == []
        assert last.usage == whole.usage
        said = [chunk.choices[0].delta.content or "" for chunk in chunks]
        assert "".join(said) == whole.choices[0].message.content
        assert sum(map(bool, said)) > 3
        assert {chunk.choices[0].finish_reason for chunk in chunks} == {None, whole.choices[0].finish_reason}
        drawn = [
            ask(client, max_tokens=12, temperature=1, seed=seed).choices[0].message.content
            for seed in (1, 1, 2)
        ]
        assert drawn[0] == drawn[1] != drawn[2]
        with pytest.raises(openai.BadRequestError) as caught:
            ask(client, "word " * 9000)
        assert caught.value.code == "context_length_exceeded"
        named = {"type": "function", "function": {"name": "tell_time"}}
        with pytest.raises(
            openai.InternalServerError, match="did not write the call"
        ):  # random weights write no call
            ask(client, tools=[CLOCK], tool_choice=named, max_tokens=4)
        written = [row["text"] for row in running.rows() if row["event"] == "answered"]
        assert written[-1].startswith("Action: tell_time(")

        stream = ask(client, "go on", max_tokens=2000, stream=True)
        next(iter(stream))
        stream.close()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and not running.rows()[-1].get("gone"):
            time.sleep(0.02)
        assert running.rows()[-1]["gone"]
        figures = client._client.get(running.url.replace("/v1", "/metrics")).text
        assert "coalm_running_requests 0.0" in figures
        assert "coalm_clients_gone_total 1.0" in figures
        assert any(row["event"] == "asked" and "Graz" in json.dumps(row["body"]) for row in running.rows())


def test_a_server_that_others_reach_wants_a_key() -> None:
    command = [sys.executable, "-m", "coalm", "serve", "replay:none", "--host", "0.0.0.0"]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "wants a key" in refused.stderr
