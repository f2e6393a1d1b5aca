"""A mixture folder to the Hugging Face Hub, as a data set with its card.

    push(Path("runs/mixture"), "me/my-mixture", dry_run=True)      what would go up; no network, no login
    push(Path("runs/mixture"), "me/my-mixture", private=True)

What `coalm data build` wrote goes up in one commit, `card.md` as `README.md`; what else lies there stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coalm.errors import DataError, MissingExtra

if TYPE_CHECKING:
    from huggingface_hub import HfApi

CARD = "card.md"
NEEDED = ("train.parquet", CARD)
FILES = (*NEEDED, "validation.parquet", "dialogues.parquet", "card.json", "run.json")
PICTURES = "*.svg"


def push(
    folder: Path, repo: str, *, private: bool = False, dry_run: bool = False, api: HfApi | None = None
) -> dict[str, Any]:
    """Upload a mixture to the data set `repo` (owner/name), which is made where there is none.

    Returns what went up (`repo`, `private`, `files` with path and bytes, `dry_run`), and after an upload its
    `url`. `api` is for another endpoint or token.

    Raises:
        DataError: no mixture, a card that the Hub could not read, a bad name, or the Hub refuses.
        MissingExtra: `huggingface_hub` is not installed.
    """
    try:
        import huggingface_hub
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "huggingface_hub", extra="hub") from None
    _check_repo(repo)
    files = _files(folder)
    _check_card(folder / CARD, set(files))
    sizes = [{"path": name, "bytes": path.stat().st_size} for name, path in files.items()]
    plan = {"repo": repo, "private": private, "files": sizes, "dry_run": dry_run}
    if dry_run:
        return plan
    return {**plan, "url": _upload(api or huggingface_hub.HfApi(), repo, private, files)}


def _check_repo(repo: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # not in its __all__

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise DataError(str(error), hint="name it as owner/name") from None
    if "/" not in repo:
        raise DataError(f"`{repo}` has no owner", hint=f"name it as owner/name, such as me/{repo}")


def _files(folder: Path) -> dict[str, Path]:
    """The name that each file of the mixture has on the Hub, and where it lies."""
    for name in NEEDED:
        if not (folder / name).is_file():
            hint = "build a mixture with `coalm data build --corpora DIR --out DIR`"
            raise DataError(f"not a mixture: no {name}", where=folder, hint=hint)
    found = [folder / name for name in FILES if (folder / name).is_file()]
    pictures = sorted(path for path in folder.glob(PICTURES) if path.is_file())
    return {"README.md" if path.name == CARD else path.name: path for path in (*found, *pictures)}


def _check_card(path: Path, names: set[str]) -> None:
    """That the card has a front matter which the Hub can read, and which names only files that go up."""
    import yaml
    from huggingface_hub import DatasetCard

    hint = "build the mixture anew; its card is made with it"
    try:
        card = DatasetCard(path.read_text(encoding="utf-8"))
        facts = card.data.to_dict()  # type: ignore[no-untyped-call]  # untyped there
    except (ValueError, TypeError, yaml.YAMLError) as error:
        raise DataError(f"the front matter cannot be read: {error}", where=path, hint=hint) from None
    if not facts:
        raise DataError("no front matter", where=path, hint=hint)
    for name in _data_files(facts.get("configs")):
        if name not in names:
            raise DataError(f"the front matter names {name}, which is not there", where=path, hint=hint)


def _data_files(configs: Any) -> Iterator[str]:
    for config in configs if isinstance(configs, list) else []:
        match config:
            case {"data_files": [*files]}:
                yield from (str(file["path"]) for file in files if isinstance(file, dict) and "path" in file)


def _upload(api: HfApi, repo: str, private: bool, files: dict[str, Path]) -> str:
    from huggingface_hub import CommitOperationAdd

    operations = [CommitOperationAdd(name, path) for name, path in files.items()]
    try:
        url = api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
        public = private and not api.dataset_info(repo).private
        if not public:
            api.create_commit(
                repo, operations, commit_message="Upload a mixture built by coalm", repo_type="dataset"
            )
    except Exception as error:  # of the Hub's client, its HTTP library, the system
        hint = "is there a network? log in with `hf auth login`, and a token that may write for the owner"
        raise DataError(f"the Hub refuses: {error}", where=repo, hint=hint) from error
    if public:
        hint = "make it private on the Hub, name another, or push without `private`"
        raise DataError("there is such a data set already, and it is public", where=repo, hint=hint)
    return str(url)
