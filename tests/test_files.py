"""A folder and a zip of the same files are the same tree, wherever they lie."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from coalm.errors import DataError
from coalm.files import open_tree

FILES = {"train/b.json": '{"n": 2}', "train/a.json": '{"n": 1}', "extra/train/c.json": "3", "readme.txt": "é"}


def write_folder(folder: Path) -> Path:
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def write_zip(path: Path, prefix: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__MACOSX/train/a.json", "junk")
        for name, text in FILES.items():
            archive.writestr(prefix + name, text)
    return path


@pytest.fixture(params=["folder", "zip", "nested zip", "capitals", "the folder itself", "the zip itself"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    match request.param:
        case "folder":
            write_folder(tmp_path / "corpus")
        case "zip":
            write_zip(tmp_path / "corpus.zip")
        case "nested zip":
            write_zip(tmp_path / "corpus.zip", prefix="corpus-main/data/")
        case "capitals":
            write_folder(tmp_path / "Corpus")
        case "the folder itself":
            return write_folder(tmp_path / "corpus")
        case "the zip itself":
            return write_zip(tmp_path / "renamed.zip")
    return tmp_path


def test_files_are_found_and_read(root: Path) -> None:
    tree = open_tree(root, ["other", "corpus"], holding="train/a.json")
    names = tree.glob("train/*.json")
    assert [name.rpartition("/")[2] for name in names] == ["a.json", "b.json", "c.json"]  # least nested first
    assert tree.read_json(tree.find("train/b.json")) == {"n": 2}
    assert tree.read_bytes(tree.find("readme.txt")).decode() == "é"
    assert tree.where(names[0]) == f"{tree.path}/{names[0]}"


def test_the_folders_own_name_counts(tmp_path: Path) -> None:
    write_folder(tmp_path / "corpus")
    tree = open_tree(tmp_path / "corpus" / "train", ["corpus"], holding="train/a.json")
    assert tree.find("train/a.json") == "a.json"


def test_a_namesake_without_the_files_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    write_zip(tmp_path / "corpus.zip")
    assert open_tree(tmp_path, ["corpus"], holding="train/a.json").path.name == "corpus.zip"


def test_missing_corpus_says_what_and_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        open_tree(tmp_path, ["corpus"], holding="train/a.json", hint="get it from the moon")
    assert str(tmp_path) in str(caught.value)
    assert "corpus.zip" in caught.value.what
    assert "train/a.json" in caught.value.what
    assert caught.value.hint == "get it from the moon"


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        open_tree(tmp_path / "nowhere", ["corpus"], holding="a.json")


def test_missing_file_names_the_tree(tmp_path: Path) -> None:
    write_folder(tmp_path / "corpus")
    with pytest.raises(DataError, match=r"dev/\*\.json"):
        open_tree(tmp_path, ["corpus"], holding="train/a.json").find("dev/*.json")


def test_broken_json_and_broken_zip(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "corpus")
    (folder / "train" / "a.json").write_text('{"n": ')
    with pytest.raises(DataError, match=r"train/a\.json"):
        open_tree(tmp_path, ["corpus"], holding="train/a.json").read_json("train/a.json")
    (tmp_path / "broken.zip").write_bytes(b"PK not a zip")
    with pytest.raises(DataError, match=r"broken\.zip"):
        open_tree(tmp_path, ["broken"], holding="train/a.json")
