"""The site (make site), opened from disk in a browser without network."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import nbformat
import pytest
from laboratory import (
    NOTEBOOKS,
    PAGE,
    PICTURE,
    PLOTLY,
    ROOT,
    VIEWPORT,
    WIDGET,
    Watch,
    empty_pictures,
)
from playwright.sync_api import expect

pytest.importorskip("sphinx_book_theme", reason="the site's packages need Python 3.11")

SAVED = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))
OURS = re.compile(
    "https://(?:github.com|colab.research.google.com/github)/eacbook/eacbook/(?:blob|tree)/main/([^#?]+)"
)
PHONE = {"width": 390, "height": 800}


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder of the site, made from nothing as ``make site`` does."""
    place = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--quiet", "--jobs", "auto"]
    command += ["-c", "docs", ".", str(place / "html")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return place / "html"


@pytest.fixture(scope="session")
def pages(site):
    """Every page, relative to the site."""
    found = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    return sorted(name for name in found if not name.startswith("_static/"))


@pytest.fixture
def tab(browser, site):
    """A page from disk under watch; there must be no error afterwards, and no request outside."""
    page = browser.new_page(viewport=VIEWPORT)
    watch = Watch(site.as_uri()).over(page)
    yield page
    page.close()
    assert watch.outside == [] and watch.errors == []


class Links(HTMLParser):
    """What a page refers to, and the names by which others refer to its parts."""

    def __init__(self, path: Path):
        super().__init__()
        self.targets, self.names = set(), set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        of = dict(attributes)
        self.names |= {of[key] for key in ("id", "name") if of.get(key)}
        self.targets |= {of[key] for key in ("href", "src") if of.get(key)}


def test_no_link_is_dead(site, pages):
    """Within the site, and into the repository at its hosts; nothing else can be seen from here.

    What the site has itself, it does not fetch from there.
    """
    links = {(site / name).as_uri(): Links(site / name) for name in pages}
    dead = []
    for address, page in links.items():
        for target in page.targets:
            whole = urlsplit(urljoin(address, target))
            if whole.scheme == "file":
                goal = whole._replace(fragment="").geturl()
                there = Path(unquote(whole.path)).is_file()
                if whole.fragment and goal in links:
                    there = unquote(whole.fragment) in links[goal].names
            else:
                ours = OURS.match(target)
                there = not ours or (ROOT / unquote(ours[1])).exists()
                if ours and "colab" not in target:
                    there &= Path(ours[1]).with_suffix(".html").as_posix() not in pages
            if not there:
                dead.append((address, target))
    assert dead == []


def test_every_page_opens(site, pages, tab):
    """And nothing on it is wider than a phone's screen, so that a reader need not push it about."""
    assert len(pages) > 80
    tab.set_viewport_size(PHONE)
    broken, wide = [], []
    for name in pages:
        if name == "index.html":
            continue  # it goes on by itself, as test_light_or_dark_is_the_readers_choice sees
        tab.goto((site / name).as_uri())
        broken += [(name, image) for image in empty_pictures(tab)]
        if tab.evaluate("document.scrollingElement.scrollWidth > innerWidth"):
            wide.append(name)
    assert broken == [] and wide == []


def test_next_and_previous_lead_through_the_book(site):
    way = ["docs/index", *(f"notebooks/{path.stem}" for path in SAVED)]
    for before, after in zip(way, way[1:], strict=False):
        assert goal_of("right-next", site / f"{before}.html") == site / f"{after}.html"
        assert goal_of("left-prev", site / f"{after}.html") == site / f"{before}.html"


def goal_of(kind: str, page: Path) -> Path:
    (link,) = re.findall(rf'<a class="{kind}"\s+href="([^"]+)"', page.read_text(encoding="utf-8"))
    return (page.parent / link).resolve()


@pytest.mark.parametrize("path", SAVED, ids=lambda path: path.stem)
def test_a_notebook_shows_what_was_saved(site, tab, path):
    """Its pictures with their names, those of the explorers among them; its figures; its quiz."""
    tab.goto((site / "notebooks" / f"{path.stem}.html").as_uri())
    colab = (
        f"https://colab.research.google.com/github/eacbook/eacbook/blob/main/notebooks/{path.name}"
    )
    assert tab.locator(f'.bd-header-article a[href="{colab}"]').count() == 1
    saved = [output for output in outputs_of(path) if "data" in output]
    pages = [output.data.get(PAGE, "") for output in saved]
    figures = [output for output in saved if PLOTLY in output.data]
    pictures = [
        (hashlib.sha256(b64decode(output.data[PICTURE])).hexdigest(), alt_of(output))
        for output in saved
        if PICTURE in output.data and not {PLOTLY, PAGE} & set(output.data)
    ]
    shown = tab.locator("div.cell_output img[src*='_images/']").evaluate_all(
        "images => images.map(image => [image.src, image.alt])"
    )
    assert [(Path(urlsplit(address).path).stem, alt) for address, alt in shown] == pictures
    expect(tab.locator(".plotly-figure .main-svg:first-child")).to_have_count(len(figures))
    quizzes = tab.locator(".eacbook-quiz")
    assert quizzes.count() == sum('class="eacbook-quiz"' in page for page in pages)
    for fold in quizzes.locator("details").all()[:1]:
        fold.locator("summary").press("Enter")
        expect(fold).to_have_attribute("open", "")


def test_explorers_are_among_what_is_shown():
    kinds = [set(output.get("data", {})) for path in SAVED for output in outputs_of(path)]
    assert sum({WIDGET, PICTURE} <= kind for kind in kinds) >= 4


def outputs_of(path: Path) -> list[nbformat.NotebookNode]:
    cells = nbformat.read(path, as_version=4).cells
    return [output for cell in cells for output in cell.get("outputs", [])]


def alt_of(output: nbformat.NotebookNode) -> str:
    return output.metadata.get(PICTURE, {}).get("alt", "")


def test_the_map_of_the_features_is_alive(site, tab):
    tab.goto((site / "notebooks/05_features.html").as_uri())
    explorer = tab.locator(".eacbook-features")
    epoch, slider = explorer.locator("output"), explorer.get_by_role("slider")
    before = epoch.text_content()
    slider.press("Home")
    expect(epoch).not_to_have_text(before)
    explorer.get_by_role("application").first.press("ArrowRight")
    expect(explorer.locator(".card p")).not_to_be_empty()


def test_the_film_of_the_losses_plays(site, tab):
    tab.goto((site / "notebooks/04_losses.html").as_uri())
    film = tab.locator(".plotly-figure:has(.slider-container)")
    label = film.locator(".slider-group > .slider-label")
    before = label.text_content()
    film.locator(".updatemenu-button").first.click()
    expect(label).not_to_have_text(before)


def test_the_search_finds_pages_and_words(site, tab):
    tab.goto((site / "search.html").as_uri() + "?q=memorised")
    results = tab.locator("#search-results li a")
    expect(results.filter(has_text="Baseline against EAC")).to_be_visible()
    tab.goto((site / "docs/index.html").as_uri())
    tab.keyboard.press("Control+k")
    tab.keyboard.type("inject_noise")
    tab.keyboard.press("Enter")
    expect(results.first).to_be_visible()
    results.first.click()
    expect(tab.locator("article h1").first).to_be_visible()


def test_light_or_dark_is_the_readers_choice(site, tab):
    """And the next page remembers it."""
    tab.emulate_media(color_scheme="light")
    tab.goto((site / "index.html").as_uri())
    expect(tab).to_have_url((site / "docs/index.html").as_uri())
    expect(tab.get_by_label("Color mode")).to_be_visible()  # the page is there
    background = "getComputedStyle(document.body).backgroundColor"
    light = tab.evaluate(background)
    tab.get_by_label("Color mode").click()
    tab.get_by_role("button", name="Dark").click()
    dark = tab.evaluate(background)
    assert dark != light
    tab.goto((site / "notebooks/02_baseline_vs_eac.html").as_uri())
    assert tab.evaluate(background) == dark
