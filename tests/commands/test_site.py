"""The site in a real browser: everything shown, nothing fetched from elsewhere, readable by all."""

import functools
import http.server
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FRONT = ROOT / "notebooks" / "11_phase_summary.ipynb"

PAGES = ["index", "drawings", "helpers", *(path.stem for path in NOTEBOOKS if path != FRONT)]


def call(*command: str | Path) -> None:
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "source"
    call(ROOT / ".site" / "prepare.py", ROOT / "notebooks", folder)
    return folder


@pytest.fixture(scope="module")
def site(source) -> Path:
    pytest.importorskip("myst_nb")
    call("-m", "sphinx", "-q", "-W", "--keep-going", source, source.parent / "html")
    return source.parent / "html"


@pytest.fixture(scope="module")
def address(site):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(site))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM:
        pytest.skip("no chromium here")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser, address):
    """A page that notes complaints and every request that leaves the site."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.complaints = []
    page.on(
        "console",
        lambda m: page.complaints.append(m.text) if m.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on(
        "request",
        lambda r: None if r.url.startswith((address, "data:")) else page.complaints.append(r.url),
    )
    yield page
    page.close()


@pytest.mark.slow
def test_every_page_has_a_source(source):
    assert set(PAGES) <= {path.stem for path in source.iterdir()}


@pytest.mark.nightly
def test_every_page_is_built(site):
    assert {f"{name}.html" for name in PAGES} <= {path.name for path in site.glob("*.html")}


@pytest.mark.nightly
@pytest.mark.parametrize("name", PAGES)
def test_a_page_shows_all_it_has_and_fetches_nothing_from_elsewhere(name, page, address):
    page.goto(f"{address}/{name}.html", wait_until="networkidle")
    assert page.complaints == []
    images = page.eval_on_selector_all("img", "all => all.map(i => [i.naturalWidth, i.alt])")
    assert all(width > 0 and alt for width, alt in images)
    if name[0].isdigit():
        assert len(images) >= 2
        assert "$" not in page.inner_text("article section > p:not(:has(code))")
    if page.locator(".math").count():
        assert page.locator("mjx-container").count() >= page.locator(".math").count()


@pytest.mark.nightly
def test_links_between_pages_lead_somewhere(page, address):
    page.goto(f"{address}/index.html")
    links = page.eval_on_selector_all("a[href]", "all => all.map(a => a.href)")
    inside = {link for link in links if link.startswith(address)}
    cards = {link for link in inside if "#" in link and ".html" in link}
    assert any("01_cnn_filters.html#cnn.learn-filters" in link for link in cards)
    for link in sorted({link.split("#")[0] for link in inside}):
        assert page.request.get(link).status == 200, link
    assert not [link for link in links if link.endswith(".ipynb") and link in inside]


@pytest.mark.nightly
def test_a_verdict_links_to_the_card_that_measured_it(page, address):
    page.goto(f"{address}/index.html")
    page.click('a[href="01_cnn_filters.html#cnn.learn-filters"]')
    page.wait_for_url("**/01_cnn_filters.html#cnn.learn-filters", wait_until="load")
    place = "document.getElementById('cnn.learn-filters').getBoundingClientRect().top"
    page.wait_for_function(f"() => 0 <= {place} && {place} < innerHeight", timeout=20_000)


@pytest.mark.nightly
def test_search_finds_a_topic(page, address):
    page.goto(f"{address}/search.html?q=vanishing")
    page.wait_for_selector("ul.search li a")
    found = page.eval_on_selector_all("ul.search li a", "all => all.map(a => a.href)")
    assert any("03_recurrent_memory" in link for link in found)


@pytest.mark.nightly
def test_there_is_a_dark_mode(page, address):
    page.goto(f"{address}/index.html")
    shade = "getComputedStyle(document.body).backgroundColor"
    seen = set()
    for _ in range(3):
        page.locator("button.theme-toggle:visible").first.click()
        seen.add(page.evaluate(shade))
    assert len(seen) == 2


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["index", "helpers", "01_cnn_filters", "03_recurrent_memory"])
def test_a_page_passes_an_accessibility_check(name, page, address):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.goto(f"{address}/{name}.html", wait_until="networkidle")
    violations = axe.run(page).response["violations"]
    grave = [v for v in violations if v["impact"] in ("serious", "critical")]
    assert not grave, [(v["id"], v["nodes"][0]["html"][:200], len(v["nodes"])) for v in grave]
