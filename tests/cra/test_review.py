"""Human review: the sample, the answers, the server, and the page in a real browser."""

from __future__ import annotations

import _thread
import http.client
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from coalm.archive import Writer
from coalm.cra.answers import Refused, Review, name_of, summarize_review, write_review
from coalm.cra.findings import QUESTIONS
from coalm.cra.review import draw, open_server, serve_review
from coalm.dialogue import Dialogue, Tool, ToolCall, Turn
from coalm.errors import DataError

ATTACK = "<img src=x onerror=\"document.title='broken into'\"><script>document.title='broken into'</script>"
FIND = Tool(
    "Find",
    "Looks something up",
    {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "where"}, "stars": {"enum": ["1", "2"]}},
        "required": ["city"],
    },
)


def dialogue(number: int, source: str = "sgd") -> Dialogue:
    rows = tuple({"name": f"Place {row}", "city": ATTACK} for row in range(5))
    turns = (
        Turn("user", f"Find me place number {number} {ATTACK}"),
        Turn("assistant", thought=f"I look it up. {ATTACK}", calls=(ToolCall("Find", {"city": ATTACK}),)),
        Turn(
            "tool",
            '[{"name": "Place 0"}, {"name": "Place 1"}, {"name": "Place 2"}] and 2 more results',
            results=rows,
        ),
        Turn("assistant", f"Place 0 is good. {ATTACK}", thought="There are 5 results."),
        Turn("user", "Thanks"),
        Turn("assistant", "Bye.", thought=""),
    )
    return Dialogue(f"train/{number}", source, turns, tools=(FIND,), services=("Hotels", f"Odd_{number % 2}"))


def verdict(one: Dialogue, **failed: str) -> dict[str, Any]:
    """An answer as the page sends it: a no with a remark to the questions that are named."""
    return {"dialogue": name_of(one), "answers": {q: q not in failed for q in QUESTIONS}, "remarks": failed}


# ── the sample ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Writer(tmp_path) as archive:
        for number in range(50):
            archive.add(dialogue(number))
        archive.add(dialogue(7, "sgd-llm"))
    return tmp_path


def test_the_sample_is_drawn_by_seed(folder: Path) -> None:
    sample = draw(folder, 20, seed=3)
    assert len({name_of(one) for one in sample}) == 20
    assert draw(folder, 20, seed=3) == sample
    assert draw(folder, 20, seed=4) != sample
    assert draw(folder, 30, seed=3)[:20] == sample
    assert len(draw(folder, 1000)) == 51
    numbers = [int(one.id.split("/")[1]) for one in sample]
    assert numbers != sorted(numbers)


def test_a_folder_without_dialogues_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no dialogues to look at"):
        draw(tmp_path)
    with Writer(tmp_path):
        pass
    with pytest.raises(DataError, match="no dialogues to review"):
        draw(tmp_path)


# ── answers ───────────────────────────────────────────────────────────────────────────────────────


def test_answers_are_kept_and_the_last_one_counts(tmp_path: Path) -> None:
    sample = [dialogue(0), dialogue(1), dialogue(2)]
    with Review(sample, tmp_path) as review:
        review.answer(verdict(sample[0], type="  seats is text  "))
        review.answer(verdict(sample[0], hallucination="Napa comes\nfrom nowhere"))
        review.answer(verdict(sample[1]))
    with Review(sample, tmp_path) as again:
        assert set(again.answers) == {"sgd/train/0", "sgd/train/1"}
        assert again.answers["sgd/train/0"]["remarks"] == {"hallucination": "Napa comes\nfrom nowhere"}
    summary = summarize_review(tmp_path)
    assert summary["dialogues"] == 2
    assert {kind: rate["count"] for kind, rate in summary["questions"].items()} == {
        "undefined": 0,
        "type": 0,
        "hallucination": 1,
        "reasoning": 0,
    }
    assert summary["any"]["percent"] == 50
    assert 9 < summary["any"]["low"] < 10  # Wilson, one of two
    assert summary["services"]["Odd_1"]["any"]["count"] == 0
    assert summary["services"]["Hotels"]["questions"]["hallucination"]["count"] == 1
    text = write_review(summary)
    assert "- sgd/train/0, argument hallucination: Napa comes from nowhere" in text
    assert "| Odd_0" in text


@pytest.mark.parametrize(
    "found",
    [
        None,
        [],
        {"dialogue": "sgd/train/0"},
        verdict(dialogue(9)),
        verdict(dialogue(0), type=""),
        verdict(dialogue(0), type=" \n "),
        verdict(dialogue(0)) | {"answers": {"undefined": True}},
        verdict(dialogue(0)) | {"answers": dict.fromkeys(QUESTIONS, "yes")},
    ],
)
def test_what_is_no_answer_is_refused(tmp_path: Path, found: Any) -> None:
    with Review([dialogue(0)], tmp_path) as review, pytest.raises(Refused):
        review.answer(found)
    assert (tmp_path / "answers.jsonl").read_bytes() == b""


def test_a_changed_dialogue_has_to_be_judged_again(tmp_path: Path) -> None:
    sample = [dialogue(0), dialogue(1)]
    with Review(sample, tmp_path) as review:
        for one in sample:
            review.answer(verdict(one))
    changed = [replace(sample[0], turns=sample[0].turns[:-1]), sample[1]]
    with Review(changed, tmp_path) as review:
        assert list(review.answers) == ["sgd/train/1"]
    assert summarize_review(tmp_path, changed)["dialogues"] == 1
    assert summarize_review(tmp_path)["dialogues"] == 2


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing has been judged"):
        summarize_review(tmp_path)
    (tmp_path / "answers.jsonl").write_text('{"dialogue": "a"}\n')
    with pytest.raises(DataError, match=r"answers\.jsonl:1: not an answer"):
        summarize_review(tmp_path)


def test_an_answer_cut_off_by_a_kill_is_asked_again(tmp_path: Path) -> None:
    sample = [dialogue(0), dialogue(1)]
    with Review(sample, tmp_path) as review:
        review.answer(verdict(sample[0]))
        review.answer(verdict(sample[1]))
    path = tmp_path / "answers.jsonl"
    path.write_bytes(path.read_bytes()[:-30])
    assert summarize_review(tmp_path)["dialogues"] == 1


# ── the server ────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def serving(review: Review) -> Iterator[ThreadingHTTPServer]:
    with open_server(review) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(
    server: ThreadingHTTPServer, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_the_server_serves_its_own_page_and_no_other(tmp_path: Path) -> None:
    sample = [dialogue(0)]
    with Review(sample, tmp_path) as review, serving(review) as server:
        assert server.server_address[0] == "127.0.0.1"
        assert ask(server, "GET", "/")[0] == 200
        for path in (
            "/review.py",
            "/../checks.py",
            "/page/review.html",
            "/api/dialogues/1",
            "/api/dialogues/-1",
        ):
            assert ask(server, "GET", path)[0] == 404
        assert ask(server, "POST", "/", {})[0] == 404
        status, body = ask(server, "POST", "/api/answers", verdict(sample[0], type=""))
        assert (status, json.loads(body)["error"]) == (422, "Incorrect argument type: a no needs a remark")
        assert ask(server, "POST", "/api/answers", {"x": "y" * 70_000})[0] == 413
        evil = {"Host": f"evil.example:{server.server_port}"}
        assert ask(server, "GET", "/api/overview", **evil)[0] == 403
        assert ask(server, "POST", "/api/answers", verdict(sample[0]), Origin="http://evil.example")[0] == 403
        assert review.answers == {}
        assert ask(server, "POST", "/api/answers", verdict(sample[0]))[0] == 200
        assert list(review.answers) == ["sgd/train/0"]


def test_a_taken_port_is_an_error(tmp_path: Path) -> None:
    review = Review([dialogue(0)], tmp_path)
    with review, open_server(review) as server, pytest.raises(DataError, match="cannot serve on port"):
        serve_review([dialogue(0)], tmp_path, server.server_port)


def test_serving_stops_with_the_keyboard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def ready(url: str) -> None:
        assert url.startswith("http://127.0.0.1:")
        threading.Timer(0.2, _thread.interrupt_main).start()

    serve_review([dialogue(0)], tmp_path, 0, ready)
    assert "0 of 1 dialogues are judged" in capsys.readouterr().err


# ── the page ──────────────────────────────────────────────────────────────────────────────────────

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no Chromium here (on Debian: apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def review(tmp_path: Path) -> Iterator[Review]:
    with Review([dialogue(number) for number in range(3)], tmp_path) as review:
        yield review


@pytest.fixture
def page(browser: Any, review: Review) -> Iterator[Any]:
    """The opened page. What it complains of, or asks of anyone else, fails the test."""
    with serving(review) as server:
        address = f"http://127.0.0.1:{server.server_port}/"
        context = browser.new_context(color_scheme="light", viewport={"width": 1300, "height": 900})
        page = context.new_page()
        trouble: list[str] = []
        page.on("console", lambda message: "422" in message.text or trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("request", lambda request: request.url.startswith(address) or trouble.append(request.url))
        page.goto(address)
        page.wait_for_selector(".exchange")
        yield page
        context.close()
    assert trouble == []


def place(page: Any) -> str:
    return str(page.text_content("#place"))


def wait_for(page: Any, text: str) -> None:
    page.wait_for_function("text => document.getElementById('place').textContent === text", arg=text)


@pytest.mark.browser
def test_a_dialogue_is_judged_by_keyboard(page: Any, review: Review) -> None:
    assert place(page) == "Dialogue 1 of 3"
    for key in "yyyy":
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    wait_for(page, "Dialogue 2 of 3")
    assert all(review.answers["sgd/train/0"]["answers"].values())
    assert page.text_content("#count") == "1 of 3 judged"
    assert page.locator("#marks .fine").count() == 1


@pytest.mark.browser
def test_a_no_without_a_remark_is_refused(page: Any, review: Review) -> None:
    for key in ("y", "n"):
        page.keyboard.press(key)
    remark = page.locator(".question:nth-child(2) textarea")
    assert remark.evaluate("node => node === document.activeElement")
    page.keyboard.press("Enter")
    assert "needs a remark" in page.text_content("#message")
    page.keyboard.press("Escape")
    for key in ("3", "y", "y", "Enter"):
        page.keyboard.press(key)
    assert "needs a remark" in page.text_content("#message")
    assert place(page) == "Dialogue 1 of 3"
    assert review.answers == {}
    page.keyboard.type("y and n are letters here: two")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    wait_for(page, "Dialogue 2 of 3")
    row = review.answers["sgd/train/0"]
    assert row["answers"] == {"undefined": True, "type": False, "hallucination": True, "reasoning": True}
    assert row["remarks"] == {"type": "y and n are letters here: two"}
    assert page.locator("#marks .faulty").count() == 1


@pytest.mark.browser
def test_an_open_question_is_shown(page: Any, review: Review) -> None:
    page.keyboard.press("y")
    page.click("#save")
    assert page.text_content("#message") == "Question 2 is still open."
    assert review.answers == {}


@pytest.mark.browser
def test_a_reload_goes_on_where_it_was(page: Any, review: Review) -> None:
    for key in ("y", "y", "y", "y", "ArrowRight"):  # leaving a finished dialogue saves it, too
        page.keyboard.press(key)
    wait_for(page, "Dialogue 2 of 3")
    page.reload()
    wait_for(page, "Dialogue 2 of 3")
    page.keyboard.press("ArrowLeft")
    wait_for(page, "Dialogue 1 of 3")
    assert page.locator(".yes[aria-pressed=true]").count() == 4
    page.keyboard.press("4")
    page.keyboard.press("n")
    page.keyboard.type("on second thoughts")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    wait_for(page, "Dialogue 2 of 3")
    assert review.answers["sgd/train/0"]["remarks"] == {"reasoning": "on second thoughts"}


@pytest.mark.browser
def test_the_result_counts(page: Any, review: Review) -> None:
    for number in range(3):
        wait_for(page, f"Dialogue {number + 1} of 3")
        for index in range(4):
            page.keyboard.press("n" if (number, index) == (1, 2) else "y")
            if (number, index) == (1, 2):
                page.keyboard.type("made up")
                page.keyboard.press("Enter")
        page.keyboard.press("Enter")
    page.wait_for_selector("#result[open]")
    rows = [row.split("\t") for row in page.inner_text(".rates").splitlines()]
    assert rows[3][:3] == ["Argument hallucination", "1", "33.3 %"]
    assert rows[5][:3] == ["Any of these", "1", "33.3 %"]
    assert summarize_review(review.out)["any"]["count"] == 1


@pytest.mark.browser
def test_it_can_be_done_by_pointer(page: Any, review: Review) -> None:
    for box in range(1, 5):
        page.click(f".question:nth-child({box}) .yes")
    page.keyboard.press("Enter")
    wait_for(page, "Dialogue 2 of 3")
    page.click("#back")
    wait_for(page, "Dialogue 1 of 3")
    assert len(review.answers) == 1


@pytest.mark.browser
def test_all_of_the_dialogue_is_there_and_none_of_it_runs(page: Any) -> None:
    text = page.inner_text("#conversation")
    assert text.count(ATTACK) >= 5
    assert "Place 2" in text
    assert "Place 4" not in text
    assert "no thought" in text
    page.click("summary")
    assert "Place 4" in page.inner_text("#conversation")
    page.click(".function")
    assert page.inner_text("#list h3") == "Find"
    assert "optional" in page.inner_text("#list")
    page.keyboard.press("Escape")
    assert page.locator("#conversation img, #conversation script").count() == 0
    assert page.title() == "Review · CoALM-IT"


@pytest.mark.browser
def test_the_theme_toggles_and_is_kept(page: Any) -> None:
    def background() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    light = background()
    page.click("#theme")
    dark = background()
    assert dark != light
    page.reload()
    page.wait_for_selector(".exchange")
    assert background() == dark
    page.click("#theme")
    assert background() == light


@pytest.mark.browser
def test_an_answer_that_is_not_saved_is_not_lost(
    page: Any, review: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(review: Review, found: Any) -> None:
        raise Refused("the disk is full")

    monkeypatch.setattr(Review, "answer", full)
    for key in ("y", "y", "y", "y", "Enter"):
        page.keyboard.press(key)
    page.get_by_text("Not saved: the disk is full").wait_for()
    assert place(page) == "Dialogue 1 of 3"
    monkeypatch.undo()
    page.keyboard.press("Enter")
    wait_for(page, "Dialogue 2 of 3")
    assert len(review.answers) == 1


@pytest.mark.browser
def test_it_fits_a_phone(browser: Any, review: Review) -> None:
    with serving(review) as server:
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.wait_for_selector(".exchange")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.close()
