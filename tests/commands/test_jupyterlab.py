"""The notebooks in JupyterLab, as `make lab` opens them, in a real browser and without network."""

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from helpers.commands.course import notebooks
from helpers.evidence.files import ROOT

SCREENS = ROOT / "build" / "screens"
PATIENCE = 3600  # seconds for the cells of one notebook, where a machine has other things to do
SETTINGS = {
    "ServerApp": {"open_browser": False, "port": 0, "allow_root": True},
    "IdentityProvider": {"token": ""},
    "LabApp": {"expose_app_in_browser": True, "news_url": None},
}
pytestmark = pytest.mark.nightly


class JupyterLab:
    """A notebook in JupyterLab, and what a reader does with it; cells are known by their text."""

    def __init__(self, page, address: str, notebook: str):
        self.page, self.elsewhere = page, []
        page.set_default_timeout(120_000)
        page.on("request", lambda r: None if self._at_home(r.url, address) else self._note(r.url))
        page.goto(f"{address}lab/tree/{notebook}.ipynb?reset")
        page.wait_for_function("window.jupyterapp?.shell?.currentWidget?.context?.isReady")
        page.evaluate("() => { window.panel = jupyterapp.shell.currentWidget; }")
        page.wait_for_function("panel.sessionContext.session?.kernel?.status == 'idle'")

    @staticmethod
    def _at_home(url: str, address: str) -> bool:
        return url.startswith((address, address.replace("http", "ws", 1), "data:", "blob:"))

    def _note(self, url: str) -> None:
        self.elsewhere.append(url)

    def begin(self, command: str) -> None:
        """Start a command of JupyterLab's menus; `wait` for its end."""
        begin = "name => { window.busy = (window.busy || 0) + 1; jupyterapp.commands.execute(name)"
        self.page.evaluate(f"{begin}.finally(() => {{ window.busy -= 1; }}); }}", command)

    def wait(self) -> None:
        """Until every command that was begun is done."""
        self.page.wait_for_function("!window.busy", timeout=1000 * PATIENCE)

    def cells(self) -> list[dict]:
        """All cells as they would be saved."""
        return self.page.evaluate("panel.content.model.toJSON().cells")

    def choose(self, text: str, change: tuple[str, str] | None = None):
        """Select the one code cell that says `text`, with something in it changed; what is seen."""
        sources = [cell["source"] * (cell["cell_type"] == "code") for cell in self.cells()]
        (index,) = [k for k, source in enumerate(sources) if text in "".join(source)]
        self.page.evaluate("k => { panel.content.activeCellIndex = k; }", index)
        self.page.evaluate("k => panel.content.scrollToItem(k, 'start')", index)
        if change:
            assert change[0] in sources[index]
            replaced = sources[index].replace(*change)
            edit = "source => panel.content.activeCell.model.sharedModel.setSource(source)"
            self.page.evaluate(edit, replaced)
        return self.page.locator(f'[data-windowed-list-index="{index}"]')

    def run(self, text: str, change: tuple[str, str] | None = None):
        """Run one cell; returns it as it is seen."""
        cell = self.choose(text, change)
        self.begin("notebook:run-cell")
        self.wait()
        return cell

    def picture(self, name: str) -> None:
        """Keep what is seen, in the light and in the dark."""
        SCREENS.mkdir(parents=True, exist_ok=True)
        for theme in ("Dark", "Light"):
            change = "theme => jupyterapp.commands.execute('apputils:change-theme', { theme })"
            self.page.evaluate(change, f"JupyterLab {theme}")
            self.page.wait_for_function(
                "dark => document.body.dataset.jpThemeLight == String(!dark)", arg=theme == "Dark"
            )
            self.page.screenshot(path=SCREENS / f"{name}-{theme.lower()}.png")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """JupyterLab at work on a copy of the course, for a reader who never used it before."""
    home, course = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("course")
    for room in ("helpers", "data", "notebooks"):
        unneeded = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / room, course / room, ignore=unneeded)
    (home / "jupyter_server_config.json").write_text(json.dumps(SETTINGS))
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "JUPYTER_CONFIG_DIR": str(home)}
    env |= {"JUPYTER_RUNTIME_DIR": str(home), "OMP_NUM_THREADS": "1", "OUTPUTS": "stored"}
    with (home / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "helpers", "lab"],
            cwd=course,
            env=env,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        while not (found := list(home.glob("jpserver-*.json"))):
            assert server.poll() is None, (home / "log").read_text()
            time.sleep(0.2)
        yield json.loads(found[0].read_text())["url"]
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)


@pytest.fixture
def lab(browser, address):
    """Opens a notebook by its name; its kernel ends with the test."""
    page = browser.new_page(viewport={"width": 1280, "height": 1600})
    yield lambda name: JupyterLab(page, address, name)
    page.evaluate("panel.sessionContext.shutdown()")
    page.close()


def texts(cell) -> str:
    """What a cell shows, as text."""
    return "\n".join(cell.locator(".jp-OutputArea-output").all_inner_texts())


@pytest.mark.parametrize("name", [path.stem for path in notebooks()])
def test_run_all_runs_all_and_widgets_answer(name, lab):
    opened = lab(name)
    opened.begin("notebook:run-all-cells")
    opened.wait()
    code = [cell for cell in opened.cells() if cell["cell_type"] == "code"]
    shown = [output for cell in code for output in cell["outputs"]]
    assert not [output for output in shown if output["output_type"] == "error"]
    assert all(cell["execution_count"] for cell in code)
    assert not [o for o in shown if "your own experiment" in str(o)]  # all of it is the evidence's
    opened.choose("lab.close()")
    opened.picture(f"lab-{name}-end")
    for number, cell in enumerate(code):
        if choices := explored(cell["source"]):
            explore(opened, cell["source"], choices)
            opened.picture(f"lab-{name}-widget-{number}")
    assert opened.elsewhere == []


def explored(source: str) -> int:
    """How many choices a cell's `figures.explore` offers; 0 where it does not call it."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    called = [call for call in calls if ast.unparse(call.func) == "figures.explore"]
    return sum(len(call.keywords) for call in called)


def explore(opened: JupyterLab, source: str, choices: int) -> None:
    """Choose something else in every list of a widget: the picture is another one each time."""
    widget = opened.choose(source)
    assert widget.locator("select").count() == choices
    for choice in widget.locator("select").all():
        before = widget.locator("img").get_attribute("src")
        labels = choice.locator("option").all_inner_texts()
        chosen = choice.locator("option:checked").inner_text()
        choice.select_option(next(label for label in reversed(labels) if label != chosen))
        opened.page.wait_for_function(
            "before => panel.content.activeCell.node.querySelector('img')?.src != before",
            arg=before,
        )
        assert widget.locator("img").get_attribute("alt")


def test_a_change_trains_before_ones_eyes_and_an_interruption_does_no_harm(lab):
    opened = lab("00_start_here")
    opened.begin("notebook:run-all-cells")
    opened.wait()
    mine = opened.choose('"your-turn"', ("updates = 30", "updates = 4_000"))
    opened.begin("notebook:run-cell")
    mine.get_by_text(re.compile(r"^your-turn, \w+: +\d+%\|.* updates/s\]$")).wait_for()
    opened.picture("lab-progress")
    opened.begin("notebook:interrupt-kernel")
    mine.get_by_text("interrupted; what is finished is kept, run the cell to go on").wait_for()
    opened.wait()
    opened.run('"your-turn"', ("updates = 4_000", "updates = 240"))
    assert "your-turn: your own experiment, 8 networks trained here" in texts(mine)
    drawn = opened.run("if mine.own:")
    assert "yours, 240 updates" in drawn.locator("figcaption").inner_text()
    opened.picture("lab-own")
    opened.run('"your-turn"', ("updates = 240", "updates = 30"))
    assert "your-turn: 24 stored networks, 2 of them replayed here: equal" in texts(mine)


def test_a_card_of_a_changed_experiment_says_that_it_is_the_readers(lab):
    opened = lab("02_cnn_training_loop")
    opened.choose("single = lab.experiment(")
    opened.begin("notebook:run-all-above")
    opened.wait()
    opened.run("single = lab.experiment(", ("steps=1,", "steps=2,"))
    card = opened.run('lab.judge("cnn.not-once"')
    assert "Yours. It is not the registered experiment, so it is no verdict" in texts(card)
    assert "On the evidence: " in texts(card)
    opened.picture("lab-card")


def test_folds_open(lab):
    opened = lab("00_start_here")
    set_up = opened.choose("ARCHIVE =")
    set_up.locator(".jp-InputPlaceholder").click()
    set_up.locator(".jp-InputArea-editor").wait_for()
    longer = opened.choose("both = {")
    longer.locator(".jp-InputPlaceholder").click()
    longer.locator("summary").click()
    longer.locator("figcaption").first.wait_for()
    card = opened.choose("cards.show_verdict(")
    card.locator("summary").click()
    assert "Expected: the CNN behind" in card.locator("details").inner_text()
    opened.picture("lab-fold")


def test_after_a_restart_a_cell_from_the_middle_says_what_to_run(lab):
    opened = lab("00_start_here")
    cell = opened.run("scores = 100 * runs.final()")
    assert "NameError: name 'runs' is not defined" in texts(cell)
    assert "Choose Run > Run All Above Selected Cell, then run this cell again." in texts(cell)
    opened.picture("lab-restarted")
    opened.begin("notebook:run-all-above")
    opened.wait()
    cell = opened.run("scores = 100 * runs.final()")
    assert "NameError" not in texts(cell) and cell.locator("img").count() == 1
