"""The site in a real browser: everything shown, nothing fetched from elsewhere, readable by all."""

import functools
import http.server
import re
import subprocess
import sys
import threading
from itertools import groupby
from pathlib import Path

import pytest

import helpers
from helpers.commands import front, heads
from helpers.commands.course import notebooks
from helpers.course import redpen
from helpers.evidence.files import ROOT

NOTEBOOKS = [path.stem for path in notebooks()]
ROOMS = [path.parent.name for path in sorted((ROOT / "helpers").glob("*/__init__.py"))]
PAGES = ["index", "drawings", "helpers", *(f"helpers-{room}" for room in ROOMS), *NOTEBOOKS]
PHONE = {"width": 390, "height": 844}


def call(*command: str | Path) -> None:
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "source"
    call(ROOT / ".site" / "prepare.py", folder)
    return folder


@pytest.fixture(scope="module")
def site(source) -> Path:
    pytest.importorskip("myst_nb")
    call("-m", "sphinx", "-qWc", ROOT / ".site", "--keep-going", source, source.parent / "html")
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


@pytest.mark.nightly
def test_every_page_has_a_source(source):
    assert set(PAGES) <= {path.stem for path in source.iterdir()}


@pytest.mark.nightly
def test_helpers_come_in_the_order_of_the_house(source):
    listed = re.findall(r"^helpers-(\w+)$", (source / "helpers.md").read_text(), re.M)
    assert sorted(listed) == ROOMS
    assert listed == sorted(ROOMS, key=lambda room: helpers.__doc__.index(f"\n{room} "))


@pytest.mark.nightly
def test_every_page_is_built_and_says_what_it_is_about(site):
    for name in PAGES:
        page = (site / f"{name}.html").read_text(encoding="utf-8")
        for tag in ('name="description"', 'property="og:title"', 'property="og:description"'):
            assert re.search(f'<meta {tag} content="[^"]{{8,}}">', page), (name, tag)


@pytest.mark.nightly
def test_no_page_names_a_resource_of_another_host(site):
    loads = r"(?:<(?:script|img|link|iframe|source)\b[^>]*?(?:src|href)=|@import |url\()"
    for file in [*site.rglob("*.html"), *site.rglob("*.css")]:
        assert not re.search(loads + "['\"]?https?:", file.read_text(encoding="utf-8")), file.name


@pytest.mark.nightly
def test_without_an_address_no_page_leads_to_a_repository(site):
    assert front.address() == ""
    for name in PAGES:
        page = (site / f"{name}.html").read_text(encoding="utf-8")
        assert f'href="{heads.PLACEHOLDER}' not in page and 'href="https://colab' not in page


@pytest.mark.nightly
@pytest.mark.parametrize("name", PAGES)
def test_a_page_shows_all_it_has_and_fetches_nothing_from_elsewhere(name, page, address):
    page.goto(f"{address}/{name}.html", wait_until="networkidle")
    assert page.complaints == []
    images = page.eval_on_selector_all("img", "all => all.map(i => [i.naturalWidth, i.alt])")
    assert all(width > 0 and alt for width, alt in images)
    if name in NOTEBOOKS:
        assert len(images) >= 2
        assert "$" not in page.inner_text("article section > p:not(:has(code))")
    if page.locator(".math").count():
        assert page.locator("mjx-container").count() >= page.locator(".math").count()
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.nightly
def test_the_front_page_is_the_red_pen_and_a_card_for_each_notebook(page, address):
    page.goto(f"{address}/index.html")
    assert page.locator(".recap li").first.bounding_box()["y"] < 900  # in sight at once
    assert page.locator(".recap .mark").count() == sum(map(len, redpen.recap().values()))
    cards = page.locator(".cards li")
    assert cards.count() == len(NOTEBOOKS)
    for card, name in zip(cards.all(), NOTEBOOKS, strict=True):
        assert card.locator("a").get_attribute("href") == f"{name}.html"
        assert card.locator("img").count() == 1 and re.search(r"\d+ s to run", card.inner_text())


@pytest.mark.nightly
def test_every_correction_leads_to_the_card_that_measured_it(page, address):
    page.goto(f"{address}/index.html")
    links = page.eval_on_selector_all(".recap ins a", "all => all.map(a => a.href)")
    assert links
    for place, anchors in groupby(sorted(links), lambda link: link.split("#")[0]):
        page.goto(place)
        gone = [a for a in anchors if not page.locator(f'[id="{a.split("#")[1]}"]').count()]
        assert not gone


@pytest.mark.nightly
def test_links_between_pages_lead_somewhere(page, address):
    page.goto(f"{address}/index.html")
    links = page.eval_on_selector_all("a[href]", "all => all.map(a => a.href)")
    inside = {link for link in links if link.startswith(address)}
    for link in sorted({link.split("#")[0] for link in inside}):
        assert page.request.get(link).status == 200, link
    assert not [link for link in inside if link.endswith(".ipynb")]


@pytest.mark.nightly
def test_a_correction_brings_its_card_into_sight(page, address):
    page.goto(f"{address}/index.html")
    page.click('.recap a[href="01_cnn_filters.html#cnn.learn-filters"]')
    page.wait_for_url("**/01_cnn_filters.html#cnn.learn-filters", wait_until="load")
    place = "document.getElementById('cnn.learn-filters').getBoundingClientRect().top"
    page.wait_for_function(f"() => 0 <= {place} && {place} < innerHeight", timeout=20_000)


@pytest.mark.nightly
def test_folds_open(page, address):
    page.goto(f"{address}/01_cnn_filters.html")
    folds = page.locator("details.hide > summary").all()
    assert len(folds) > 5 and not page.locator("details.hide pre:visible").count()
    for fold in folds[:3]:
        fold.click()
        assert fold.locator("xpath=..").locator("pre").first.is_visible()


@pytest.mark.nightly
def test_search_finds_a_topic(page, address):
    page.goto(f"{address}/search.html?q=vanishing")
    page.wait_for_selector("ul.search li a")
    found = page.eval_on_selector_all("ul.search li a", "all => all.map(a => a.href)")
    assert any("03_recurrent_memory" in link for link in found)


@pytest.mark.nightly
def test_the_red_pen_and_figures_follow_the_page_into_the_dark(page, address):
    page.goto(f"{address}/index.html")
    shade = "e => getComputedStyle(e).backgroundColor"
    scheme = "e => getComputedStyle(e).colorScheme"
    seen = set()
    for _ in range(3):
        page.locator("button.theme-toggle:visible").first.click()
        looks = page.eval_on_selector("body", shade), page.eval_on_selector(".sheet", shade)
        seen.add((*looks, page.eval_on_selector(".cards img", scheme).replace("normal", "light")))
    assert {one[2] for one in seen} >= {"light", "dark"}
    assert len({one[0] for one in seen}) == len({one[1] for one in seen}) == 2


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        *((name, "light") for name in PAGES),
        *((name, "dark") for name in ("index", "helpers-nets", "01_cnn_filters")),
    ],
)
def test_a_page_passes_an_accessibility_check(name, scheme, page, address):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{address}/{name}.html", wait_until="networkidle")
    found = axe.run(page).response["violations"]
    assert not found, [(v["id"], v["nodes"][0]["html"][:200], len(v["nodes"])) for v in found]
