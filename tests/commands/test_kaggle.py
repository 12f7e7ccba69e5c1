"""What goes to Kaggle: as its command line wants it, and at work where it would lie there."""

import json
import re
import shutil
import zipfile
from pathlib import Path
from unittest.mock import MagicMock

import nbformat
import pytest

import helpers
from helpers.commands import heads, kaggle
from helpers.commands.cli import main
from helpers.commands.course import NotebookError, notebooks
from helpers.evidence import files
from helpers.evidence.files import ROOT

OWNER = "some-name"
DATASET = f"{OWNER}/phase-03-measured"
STEMS = [path.stem for path in notebooks()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Everything for Kaggle, as `make kaggle OWNER=some-name` writes it."""
    build = tmp_path_factory.mktemp("build")
    (build / "kaggle" / "12_of_yesterday").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kaggle, "build_folder", lambda: build)
        return kaggle.write(OWNER)


def metadata(folder, kind):
    return json.loads((folder / f"{kind}-metadata.json").read_text())


@pytest.mark.slow
def test_there_is_a_dataset_and_every_notebook_and_nothing_else(folder):
    assert sorted(path.name for path in folder.iterdir()) == [*STEMS, "dataset"]


def test_the_dataset_follows_the_rules_of_the_command_line(folder):
    found = metadata(folder / "dataset", "dataset")
    owner, slug = found["id"].split("/")
    assert owner == OWNER and 6 <= len(slug) <= 50 and 6 <= len(found["title"]) <= 50
    assert [set(one) for one in found["licenses"]] == [{"name"}]


def test_the_dataset_holds_helpers_and_data_whole(folder):
    for room in ("helpers", "data"):
        files = {path.relative_to(ROOT) for path in (ROOT / room).rglob("*") if path.is_file()}
        sent = (path for path in (folder / "dataset" / room).rglob("*") if path.is_file())
        kept = {path for path in files if "__pycache__" not in path.parts}
        assert {path.relative_to(folder / "dataset") for path in sent} == kept
    assert (folder / "dataset" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def version_of(folder, stem="00_start_here"):
    """The version in a notebook and in the dataset."""
    notebook = (folder / stem / f"{stem}.ipynb").read_text()
    text = (folder / "dataset" / "helpers" / "__init__.py").read_text()
    stated = re.search(r"VERSION = .\"([\w.+]+)", notebook)[1]
    return stated, re.search(r'^__version__ = "(.+?)"', text, re.M)[1]


def test_notebooks_and_dataset_of_one_day_have_one_version(folder):
    for stem in STEMS:
        stated, there = version_of(folder, stem)
        assert stated == there and re.fullmatch(rf"{helpers.__version__}\+[0-9a-f]{{8}}", there)


@pytest.mark.slow
def test_another_content_is_another_version(folder, tmp_path, monkeypatch):
    for room in ("helpers", "data", "notebooks"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=kaggle.LEFT_OUT)
    shutil.copy(ROOT / "LICENSE", tmp_path)
    monkeypatch.setattr(kaggle, "build_folder", lambda: tmp_path / "build")
    monkeypatch.setattr(kaggle, "ROOT", tmp_path)
    assert version_of(kaggle.write(OWNER)) == version_of(folder)
    with (tmp_path / "data" / "registry" / "claims.toml").open("a") as file:
        file.write("\n")
    assert version_of(kaggle.write(OWNER)) != version_of(folder)


@pytest.mark.parametrize("stem", STEMS)
def test_a_notebook_follows_the_rules_of_the_command_line(stem, folder):
    found = metadata(folder / stem, "kernel")
    title, (owner, slug) = found["title"], found["id"].split("/")
    assert owner == OWNER and 5 <= len(title) <= 50
    assert re.sub(r"[^a-z0-9]+", "-", title.lower()) == slug  # else Kaggle takes another address
    assert (folder / stem / found["code_file"]).is_file()
    assert (found["language"], found["kernel_type"]) == ("python", "notebook")
    assert found["is_private"] is True and found["enable_internet"] is False
    assert found["enable_gpu"] is found["enable_tpu"] is False
    assert found["dataset_sources"] == [metadata(folder / "dataset", "dataset")["id"]]


@pytest.mark.slow
@pytest.mark.parametrize("stem", STEMS)
def test_a_notebook_names_its_dataset_and_leads_to_its_neighbours_there(stem, folder):
    there = nbformat.read(folder / stem / f"{stem}.ipynb", as_version=4)
    here = nbformat.read(ROOT / "notebooks" / f"{stem}.ipynb", as_version=4)
    changed = [
        (a.source, b.source)
        for a, b in zip(here.cells, there.cells, strict=True)
        if a.source != b.source
    ]
    assert sum(f"attach the dataset {DATASET}," in after for _, after in changed) == 1
    for before, after in changed:
        if heads.MARK not in after:
            assert re.search(r"\]\(\d\d_\w+\.ipynb\)", before) and ".ipynb)" not in after
    linked = set(re.findall(rf"kaggle.com/code/{OWNER}/([\w-]+)\)", str(changed)))
    assert linked <= {kaggle.slug(name) for name in STEMS}


@pytest.mark.parametrize("owner", ["", "a b", "a/b", "two_words", "-a", "é", "a\n", "../x"])
def test_what_is_no_account_is_refused_in_one_sentence(owner, capsys):
    assert main(["kaggle", f"--owner={owner}"]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"FAILED OWNER is {owner!r}: give your Kaggle account")
    with pytest.raises(NotebookError):
        kaggle.write(owner)


def test_the_commands_keep_folders_and_name_what_is_there(folder):
    said = kaggle.commands(folder, OWNER)
    for line in re.findall(r"kaggle datasets (?:create|version) .*", said):
        assert f"-p {folder}/dataset --dir-mode zip --keep-tabular" in line
    assert f"for one in {folder}/[0-9]*; do kaggle kernels push" in said
    assert f"push -p {folder}/00_start_here" in said and DATASET in said


# --- the command line itself --------------------------------------------------------------------


@pytest.fixture
def official(monkeypatch, tmp_path):
    """Kaggle's own client, whose requests and uploads are kept instead of sent."""
    for name, value in {"USERNAME": OWNER, "KEY": "none", "CONFIG_DIR": str(tmp_path)}.items():
        monkeypatch.setenv(f"KAGGLE_{name}", value)
    module = pytest.importorskip("kaggle.api.kaggle_api_extended")
    api, sent = module.KaggleApi(), {}

    def upload(path, *_):
        with zipfile.ZipFile(path) if path.endswith(".zip") else open(path) as file:
            sent[Path(path).name] = file.namelist() if path.endswith(".zip") else file.read()
        return "token"

    client = MagicMock()
    monkeypatch.setattr(api, "config_values", {api.CONFIG_NAME_USER: OWNER}, raising=False)
    monkeypatch.setattr(api, "build_kaggle_client", lambda *_: client)
    monkeypatch.setattr(api, "dataset_status", MagicMock(side_effect=module.HTTPError))
    monkeypatch.setattr(api, "_upload_blob", upload)
    return api, client.__enter__.return_value, sent


def test_the_official_client_takes_the_dataset_with_its_folders(official, folder):
    api, client, sent = official
    api.dataset_create_new(
        str(folder / "dataset"), quiet=True, convert_to_csv=False, dir_mode="zip"
    )
    (request,), _ = client.datasets.dataset_api_client.create_dataset.call_args
    assert (request.owner_slug, request.slug) == tuple(DATASET.split("/")) and request.is_private
    assert set(sent) == {"LICENSE", "data.zip", "helpers.zip"} and len(request.files) == 3
    assert "registry/claims.toml" in sent["data.zip"] and "__init__.py" in sent["helpers.zip"]
    api.dataset_create_version(str(folder / "dataset"), "new", quiet=True, dir_mode="zip")
    assert client.datasets.dataset_api_client.create_dataset_version.called


def test_the_official_client_takes_every_notebook(official, folder, capsys):
    api, client, _ = official
    for stem in STEMS:
        api.kernels_push(str(folder / stem))
        (request,), _ = client.kernels.kernels_api_client.save_kernel.call_args
        assert request.slug == f"{OWNER}/{kaggle.slug(stem)}" and request.is_private
        assert not request.enable_internet and request.dataset_data_sources == [DATASET]
    assert "does not resolve" not in capsys.readouterr().out


def test_a_disk_that_fills_while_a_folder_is_copied_has_its_cure():
    left_out = shutil.Error([("a", "b", "[Errno 28] No space left on device: 'b'")])
    assert files.cure(left_out) == "make room on the disk" and not files.cure(shutil.Error([]))
