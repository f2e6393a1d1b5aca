"""The documentation: what its pages say is held against the code, and the site is built."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest

from coalm.cli import main
from coalm.dialogue import Domain, Request, Slot, Tool, ToolCall, Turn
from coalm.families import FAMILIES

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
FIGURES = sorted((DOCS / "images").glob("*.svg"))
EXAMPLES = sorted((ROOT / "examples" / "extend").glob("*.py"))
FAMILY_PAGES = [page for page in sorted((DOCS / "families").glob("*.md")) if page.stem != "index"]

FENCE = re.compile(
    r"(?:<!-- (?P<mark>[^\n]*?) -->\n)?(?P<ticks>`{3,})(?P<info>[^\n]*)\n(?P<body>.*?)(?P=ticks)", re.DOTALL
)
SPAN = re.compile(r"`([^`\n]+)`")
FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]*")


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, mark: str) -> list[str]:
    """The bodies of a page's blocks behind `<!-- mark -->`."""
    return [found["body"] for found in FENCE.finditer(read(page)) if found["mark"] == mark]


# ── commands ──────────────────────────────────────────────────────────────────────────────────────


@cache
def shown_help(*command: str) -> str:
    """What `coalm … --help` prints; empty where there is no such command."""
    found = subprocess.run(
        [sys.executable, "-m", "coalm", *command, "--help"], capture_output=True, text=True, cwd=ROOT
    )
    return found.stdout if found.returncode == 0 else ""


def commands(page: Path) -> list[str]:
    """All commands of `coalm` on a page, in blocks and in running text, with lines that go on joined."""
    text = read(page)
    lines = [line for found in FENCE.finditer(text) for line in found["body"].replace("\\\n", " ").splitlines()]
    lines += SPAN.findall(FENCE.sub("", text))
    pattern = re.compile(r"^(?:[A-Z_]+=\S+ +|.*-m coalm +|coalm +)+(?=[a-z-])")
    starts = ((line, pattern.match(line.strip())) for line in lines)
    return [line.strip()[found.end() :] for line, found in starts if found and "coalm" in found[0]]


@cache
def known(command: str) -> tuple[str, str]:
    """The command that a line calls (`data build`), and its help."""
    words = command.split()
    name = words[:2] if words[0] == "data" and len(words) > 1 else words[:1]
    return " ".join(name), shown_help(*name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_their_options_exist(page: Path) -> None:
    for command in commands(page):
        if command.startswith("--"):
            continue
        name, told = known(command.split("#")[0])
        assert told or name == "data", f"coalm {name}"
        options = set(FLAG.findall(told))
        for option, value in re.findall(r"(--[a-z][\w-]*)(?:[ =]([\w-]+))?", command):
            assert option in options, f"coalm {command}"
            choices = re.search(rf"{option} \{{([\w,-]+)\}}", told)
            assert not choices or value in choices[1].split(","), f"coalm {command}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_options_in_running_text_exist(page: Path) -> None:
    """`--limit 20` stands alone; options of other programs have an underscore, or stand with their program."""
    every = {flag for name in ALL_COMMANDS for flag in FLAG.findall(shown_help(*name.split()))}
    programs = [*(ROOT / "benchmarks").glob("*.py"), ROOT / "src" / "coalm" / "nano.py"]
    every |= {flag for path in programs for flag in FLAG.findall(read(path))}
    for span in SPAN.findall(FENCE.sub("", read(page))):
        if span.startswith("--") and "_" not in span.split()[0]:
            assert set(FLAG.findall(span)) <= every | {"--help"}, span


ALL_COMMANDS = (
    *("data build", "data show", "data fetch", "data cra", "data check", "data review", "data push"),
    *("train", "merge", "card", "export", "eval", "score", "report", "chat", "serve", "demo"),
)


def test_the_quick_start_is_the_readme_s() -> None:
    """What a test of the README runs as it stands."""
    run = blocks(ROOT / "README.md", "run")[0].splitlines()
    here = [line for block in blocks(DOCS / "quickstart.md", "readme") for line in block.splitlines()]
    assert here == [line for line in run if line.startswith("coalm ")]


def test_commands_that_are_marked_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = [line for page in PAGES[1:] for block in blocks(page, "run") for line in block.splitlines()]
    assert len(found) >= 2
    for line in found:
        words = shlex.split(line)
        assert words[:2] == ["PYTHONPATH=.", "coalm"]
        assert main(words[2:]) == 0, capsys.readouterr().err
    assert '"value": 100.0' in capsys.readouterr().out


# ── examples ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_short_and_shown_whole(path: Path) -> None:
    text = read(path)
    assert len(text.splitlines()) < 60
    assert f'```python title="examples/extend/{path.name}"\n{text}```' in read(DOCS / "extending.md")


def test_a_corpus_is_one_file(tmp_path: Path) -> None:
    """The page's command, elsewhere and in two processes: nothing of the package is changed."""
    (command,) = [line for line in commands(DOCS / "extending.md") if "--sources" in line]
    program = [sys.executable, "-m", "coalm", *command.split()[:-1], str(tmp_path / "out"), "--json"]
    paths = os.pathsep.join([str(ROOT), *sys.path])
    done = subprocess.run(
        program, cwd=ROOT, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=True
    )
    (card,) = json.loads(done.stdout)["sources"].values()
    assert card["tasks"] == {"state": 4}
    assert "| counter |" in read(tmp_path / "out" / "card.md")


# ── families ──────────────────────────────────────────────────────────────────────────────────────

AREA = {"type": "string", "description": "part of town", "enum": ["north", "south"]}
PRICE = {"type": "number", "description": "highest price of a night", "default": 80.0}
TOOLS = (
    Tool(
        "find_hotel",
        "Find places to stay",
        {"type": "object", "properties": {"area": AREA, "price": PRICE}, "required": ["area"]},
    ),
    Tool("say_time", "What time it is", {"type": "object", "properties": {}, "required": []}),
)
HOTEL = Domain("hotel", (Slot("area", "part of town", ("north", "south")), Slot("stars")), "places to stay")
DOMAINS = (HOTEL, Domain("taxi", (Slot("leave", "when to leave"),)))
TURNS = (Turn("user", "A room in the south, please."),)
REQUESTS = {
    "call": Request("call", TURNS, TOOLS),
    "act": Request("act", TURNS, TOOLS),
    "state": Request("state", TURNS, domains=DOMAINS),
}


def marked(page: Path, kind: str) -> list[tuple[str, str, str]]:
    """(task, family, body) of the blocks behind `<!-- kind: task [family] -->`; or the page's family."""
    found = []
    for block in FENCE.finditer(read(page)):
        words = (block["mark"] or "").split()
        if words[:1] == [f"{kind}:"]:
            found.append((words[1], words[2] if len(words) > 2 else page.stem, block["body"]))
    return found


@pytest.mark.parametrize("page", FAMILY_PAGES, ids=lambda page: page.stem)
def test_a_family_s_prompts_are_what_it_renders(page: Path) -> None:
    for task, name, body in marked(page, "prompt"):
        family = FAMILIES[name]
        prompt = family.render(family.split(REQUESTS[task])[0])
        text = prompt.text or "\n".join(text for _, text in prompt.messages)
        for piece in re.split(r"…|\n", body):
            assert piece.strip() in text, piece


@pytest.mark.parametrize("page", FAMILY_PAGES, ids=lambda page: page.stem)
def test_a_family_s_answers_are_read(page: Path) -> None:
    answers = marked(page, "answer")
    assert answers
    for task, name, body in answers:
        family = FAMILIES[name]
        reply = family.read(body.rstrip("\n"), family.split(REQUESTS[task])[0])
        assert reply.error is None, body
        if task == "state":
            assert reply.state == {"hotel": {"area": "south"}}
        else:
            assert reply.calls == (ToolCall("find_hotel", {"area": "south"}),)


def test_each_family_has_a_page() -> None:
    listed = read(DOCS / "families" / "index.md")
    for name in FAMILIES:
        assert f"`{name}`" in listed
    assert {page.stem for page in FAMILY_PAGES} <= set(FAMILIES)


# ── pages ─────────────────────────────────────────────────────────────────────────────────────────


def test_errors_in_troubleshooting_are_those_of_the_code() -> None:
    code = "\n".join(read(path) for path in sorted((ROOT / "src" / "coalm").rglob("*.py")))
    rows = re.findall(r"^\| (`.*?) \| ", read(DOCS / "troubleshooting.md"), re.MULTILINE)
    assert len(rows) > 40
    for told in (span for row in rows for span in SPAN.findall(row)):
        for piece in told.split("…"):
            assert piece.strip() in code, told


@pytest.mark.parametrize("path", FIGURES, ids=lambda path: path.stem)
def test_figures_stand_alone_and_follow_the_reader_s_colours(path: Path) -> None:
    root = ElementTree.parse(path).getroot()
    assert root.get("viewBox", "").startswith("0 0 400 ")  # a phone's width, so that texts stay legible there
    assert "prefers-color-scheme: dark" in read(path)
    assert not re.search(r"href|url\(|@import", read(path))
    names = {element.tag.rpartition("}")[2] for element in root}
    assert {"title", "desc"} <= names
    assert any(f"images/{path.name}" in read(page) for page in PAGES)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does: a warning is an error (and none at all with `--quiet`)."""
    folder = tmp_path_factory.mktemp("site")
    program = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) >= len(PAGES) - 1
    loads = re.compile(r"<(?:link|script|img|iframe|source)\b[^>]*?(?:href|src)=[\"']?(?:https?:)?//[^>]*")
    for page in pages:
        assert loads.findall(read(page)) == []
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(?:@import|url\()[\"' ]*(?:https?:)?//", read(sheet))


@pytest.mark.browser
def test_the_site_is_read_and_searched_from_files(site: Path) -> None:
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no Chromium here (on Debian: apt-get install chromium)")
    sync = pytest.importorskip("playwright.sync_api")
    with sync.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        page = browser.new_page(viewport={"width": 390, "height": 844})
        asked, errors = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        for name in ("index.html", "pipeline.html", "families/index.html", "troubleshooting.html"):
            page.goto((site / name).as_uri())
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
            assert page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)"), name
        page.locator("label[for=__search]:visible").first.click()
        page.locator(".md-search__input").press_sequentially("noisy channel")
        page.locator(".md-search-result__item").first.wait_for(timeout=10_000)
        assert "NC-Latent-TOD" in page.locator(".md-search-result__list").inner_text()
        assert errors == []
        assert [url for url in asked if url.startswith("http")] == []
        browser.close()
