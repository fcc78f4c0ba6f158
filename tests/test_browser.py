"""What readers touch, in a real browser: sliders, sampler, game, answers that fold, dark mode."""

from __future__ import annotations

import io
import re
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from scipy.stats import binom

from bloodlib.evaluators.protocol import load_runs
from tools import browser, facts, showcase, slim, stage
from tools.build import build_html
from tools.layout import ROOT, Build

pytestmark = pytest.mark.skipif(browser.find() is None, reason="no Chromium is installed: pages cannot be opened")

PLAY = (ROOT / "book" / "play.md").read_text()
PAGE = """# A page

Cells stick to one another by adhesion.

```{{figure}} wide.png
:alt: Noise, for want of a smear
:width: 60%

A figure.
```

```{{figure}} large.png
:alt: Panels of noise, for want of smears
:width: 100%

A large figure, with words in it.
```

| a table | of numbers | that is | wider than | any phone | in all the world |
|---|---|---|---|---|---|
| 1,000,000 | 2,000,000 | 3,000,000 | 4,000,000 | 5,000,000 | 6,000,000 |

{slider}

{sampler}

{style_explorer}

{game}

:::{{exercise}}
:label: ex-one
What is $1 + 1$?
:::

:::{{solution}} ex-one
:class: dropdown
It is 2.
:::
"""
BOX = """(() => { const b = document.querySelector(".bl-stage").getBoundingClientRect();
    return [b.left, b.top, b.width, b.height]; })()"""
TILES = ["painted", "original"] * 10


def landing(slider: str) -> str:
    """Give the landing page's first screen, with the stored finding; what leads to pages that are not here is words."""
    text = (ROOT / "book" / "index.md").read_text().split("This build was made with")[0]
    finding = facts.headline(load_runs(ROOT / "data" / "results" / "table2"))
    text = text.replace("{{ slider }}", slider.replace(":name: fig-slider", ":name: fig-landing"))
    text = text.replace("{{ headline }}", finding).replace(":link-type: doc\n", "")
    text = re.sub(r"^:link: .*$", ":link: https://example.org", text, flags=re.MULTILINE)
    text = re.sub(r"\{cite:p\}`\w+`", "[Bailo *et al.*, 2019]", text)
    return re.sub(r"\{(?:term|doc)\}`([^`<]*?)(?:\s*<[^`>]*>)?`", r"\1", text)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Build one page with the book's own settings and scripts; its pictures are plain colours."""
    build = Build("smoke", "phantom", root=tmp_path_factory.mktemp("book"))
    book = build.site / "book"
    book.mkdir(parents=True)
    for folder in ("_static", "_extensions"):
        (book / folder).symlink_to(ROOT / "book" / folder)
    static = build.site / "static"
    (static / showcase.FOLDER).mkdir(parents=True)
    names = ["original", "painted", *(f"style_{k}" for k in range(10)), *(f"tile_{k:02d}" for k in range(len(TILES)))]
    for k, name in enumerate(names):
        colour = (7 * k % 256, 90, 255 - 7 * k % 256)
        Image.new("RGB", (64, 36), colour).save(static / showcase.FOLDER / f"{name}.webp", lossless=True)
    noise = np.random.default_rng(0).integers(0, 256, (200, 1500, 3), np.uint8)
    Image.fromarray(noise).save(book / "wide.png")
    Image.fromarray(np.tile(noise, (5, 1, 1))[:930, :1332]).save(book / "large.png")
    made = {"original": "rendered", "styles": 10, "tiles": TILES, "smears": 40, "command": "make book"}
    sampler = re.search(r"^::::\{live-figure\}\n.*?^::::$", PLAY, re.MULTILINE | re.DOTALL)[0]
    shown = showcase.substitutions(made)
    (book / "index.md").write_text(PAGE.format(sampler=sampler, **shown))
    (book / "landing.md").write_text(landing(shown["slider"]))
    (build.site / "_toc.yml").write_text("format: jb-book\nroot: book/index\nchapters:\n- file: book/landing\n")
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    config.pop("bibtex_bibfiles")
    config["sphinx"]["config"].pop("bibtex_reference_style")
    config["html"]["announcement"] = stage.BANNERS["phantom"]
    config["sphinx"]["config"]["html_static_path"] = ["book/_static", "static"]
    (build.site / "_config.yml").write_text(yaml.safe_dump(config))
    assert build_html(build) == 0
    return build.html / "book" / "index.html"


@pytest.fixture(scope="module")
def window():
    with browser.Browser() as one:
        yield one


@pytest.fixture
def page(window, site):
    """Open the page on a desk, in the light."""
    window.emulate()
    window.open(site)
    return window


def test_page_is_whole_and_asks_nothing_of_other_machines(page):
    page.wait_for("document.querySelector('mjx-container')")  # mathematics is set without a network as well
    assert page.problems == []
    assert [url for url in page.requests if not url.startswith(("file:", "data:"))] == []
    assert page.evaluate("[...document.images].filter((i) => !i.hidden && !i.naturalWidth).length") == 0


def test_sampler_plays_to_the_end_and_again(page):
    sampler = "document.querySelector('[data-play=adhesion]').player"
    page.evaluate("const n = document.querySelector('[name=count]'); n.value = 40; n.dispatchEvent(new Event('input'))")
    page.wait_for(f"{sampler}.layout.cells.length === 40 && !{sampler}.timer")
    assert page.evaluate("document.querySelector('.bl-map .bl-said').textContent").startswith("40 of 40 cells, ")
    assert page.evaluate("document.querySelector('[name=toggle]').textContent") == "Play"
    first = page.evaluate(f"{sampler}.layout.cells.map((c) => c.row)")
    page.click("[name=again]")
    page.wait_for(f"{sampler}.layout.cells.length > 5")
    assert page.evaluate(f"{sampler}.layout.cells.map((c) => c.row)")[:5] != first[:5]


def test_sampler_answers_to_the_keyboard_and_shows_what_it_draws_from(page):
    sampler = "document.querySelector('[data-play=adhesion]').player"
    page.evaluate("document.querySelector('[name=nInit]').focus()")
    page.press("Home")
    page.press("ArrowRight")
    assert page.evaluate(f"{sampler}.settings.nInit") == 2
    assert (
        page.evaluate("document.querySelector('[name=nInit]').parentElement.querySelector('output').textContent") == "2"
    )
    page.evaluate("document.querySelector('[name=toggle]').focus()")
    page.press("Enter")
    before = page.evaluate(f"{sampler}.layout.cells.length")
    page.evaluate("document.querySelector('[name=step]').focus()")
    page.press("Enter")
    assert page.evaluate(f"{sampler}.layout.cells.length") == before + 1
    # The running sum that the picture shows is the map that the next cell is drawn from.
    page.evaluate(f"while ({sampler}.layout.cells.length < 9) {sampler}.advance()")
    off = f"""(() => {{ const p = {sampler}, sum = p.excited.reduce((a, b) => a + b);
        const map = Adhesion.probabilityMap(p.layout.cells, 400, 640, p.settings);
        const off = map.reduce((most, v, k) => Math.max(most, Math.abs(v - p.excited[k] / sum)), 0);
        return off / map.reduce((a, b) => Math.max(a, b)); }})()"""
    assert page.evaluate(off) < 1e-9


def test_divide_moves_by_key_mouse_and_finger(page):
    cut = "document.querySelector('.bl-stage').style.getPropertyValue('--cut')"
    assert page.evaluate(cut) == "50%"
    page.evaluate("document.querySelector('.bl-stage input').focus()")
    page.press("ArrowRight")
    assert page.evaluate(cut) == "51%"
    left, top, width, height = page.evaluate(BOX)
    for kind in ("mousePressed", "mouseReleased"):
        at = {"x": left + 0.25 * width, "y": top + height / 2, "button": "left", "clickCount": 1}
        page.send("Input.dispatchMouseEvent", type=kind, **at)
    assert 23 <= float(page.evaluate(cut)[:-1]) <= 27
    page.emulate(width=390, touch=True)
    left, top, width, height = page.evaluate(BOX)
    page.touch(left + 0.75 * width, top + height / 2)
    page.wait_for(f"parseFloat({cut}) > 70 && parseFloat({cut}) < 80")


def tap(page, selector):
    """Touch the middle of an element."""
    page.touch(*page.centre_of(selector))


def test_sampler_answers_to_a_finger(page):
    page.emulate(width=390, height=844, touch=True)
    sampler = "document.querySelector('[data-play=adhesion]').player"
    tap(page, "[name=again]")  # it may have come to its end while the page was opened
    tap(page, "[name=toggle]")
    page.wait_for(f"!{sampler}.timer")
    before = page.evaluate(f"{sampler}.layout.cells.length")
    tap(page, "[name=step]")
    page.wait_for(f"{sampler}.layout.cells.length === {before + 1}")
    assert page.evaluate("document.querySelector('[name=toggle]').textContent") == "Play"
    tap(page, "[name=toggle]")
    page.wait_for(f"{sampler}.layout.cells.length > {before + 1}")
    assert page.evaluate("document.querySelector('[name=toggle]').textContent") == "Pause"


def test_sampler_waits_for_those_who_asked_for_less_motion(window, site):
    window.emulate(calm=True)
    window.open(site)
    sampler = "document.querySelector('[data-play=adhesion]').player"
    assert window.evaluate("document.querySelector('[name=toggle]').textContent") == "Play"
    window.evaluate("new Promise((done) => setTimeout(done, 300))")
    assert window.evaluate(f"{sampler}.layout.cells.length") == 0
    window.click("[name=toggle]")
    window.wait_for(f"{sampler}.layout.cells.length > 2")
    assert window.evaluate("document.querySelector('[name=toggle]').textContent") == "Pause"


def test_styles_and_game_answer_to_a_finger(page):
    page.emulate(width=390, height=844, touch=True)
    page.centre_of("[name=style]")
    box = "(() => { const b = document.querySelector('[name=style]').getBoundingClientRect();"
    left, top, width, height = page.evaluate(f"{box} return [b.left, b.top, b.width, b.height]; }})()")
    page.touch(left + 0.95 * width, top + height / 2)
    page.wait_for("document.querySelector('[name=style]').value >= 8")
    shown = "[...document.querySelectorAll('.bl-styles img')].filter((i) => !i.hidden).map((i) => i.alt)"
    at = page.evaluate("document.querySelector('[name=style]').value")
    assert page.evaluate(shown) == [f"One painted mask in the looks of cluster {at}"]
    tap(page, ".bl-game [name=painted]")
    page.wait_for("document.querySelector('.bl-count').textContent.startsWith('Tile 2 of 20')")
    assert page.evaluate("document.querySelector('[data-play=game]').game.answers") == ["painted"]


def test_styles_are_shown_one_at_a_time(page):
    shown = "[...document.querySelectorAll('.bl-styles img')].filter((i) => !i.hidden).map((i) => i.alt)"
    assert page.evaluate(shown) == ["One painted mask in the looks of cluster 0"]
    page.evaluate("document.querySelector('[name=style]').focus()")
    page.press("End")
    assert page.evaluate(shown) == ["One painted mask in the looks of cluster 9"]


@pytest.mark.parametrize(
    ("right", "said"), [(20, "you did see a difference."), (10, "does not show"), (2, "wrong way")]
)
def test_game_counts_and_says_what_it_means(page, right, said):
    for k, kind in enumerate(TILES):
        other = {"painted": "original", "original": "painted"}[kind]
        page.evaluate(f"document.querySelector('[name={kind if k < right else other}]').focus()")
        page.press("Enter")
    text = page.evaluate("document.querySelector('.bl-game .bl-said').textContent")
    assert text.startswith(f"{right} of 20 right, {5 * right} %. ")
    assert said in text
    tiles = page.evaluate("[...document.querySelectorAll('.bl-game figcaption')].map((c) => c.textContent)")
    assert sum("✓" in tile for tile in tiles) == right
    assert page.evaluate("[...document.querySelectorAll('.bl-game figure')].every((f) => f.offsetWidth > 0)")


def test_game_ends_at_its_verdict_and_begins_anew(page):
    game = "document.querySelector('[data-play=game]').game"
    names = "[...document.querySelectorAll('.bl-game img')].map((i) => i.alt)"
    before = page.evaluate(names)
    for _ in range(2):
        for _ in TILES:
            page.evaluate("document.querySelector('.bl-game [name=painted]').focus()")
            page.press("Enter")
        assert page.evaluate("document.activeElement === document.querySelector('.bl-game .bl-said')")
        # In whatever order they come, half of the tiles are painted.
        assert page.evaluate("document.activeElement.textContent").startswith("10 of 20 right, 50 %. ")
        assert page.evaluate("document.querySelector('.bl-game [name=painted]').offsetWidth") == 0
        assert page.evaluate(names) != before
        page.click(".bl-game [name=again]")
        assert page.evaluate(f"{game}.answers") == []
        assert page.evaluate("document.activeElement.name") == "original"
        assert page.evaluate(names) == before
        assert sorted(page.evaluate(f"{game}.order")) == list(range(20))
        assert (
            page.evaluate("[...document.querySelectorAll('.bl-game figure')].filter((f) => f.offsetWidth).length") == 1
        )
    assert page.evaluate(f"{game}.order") != list(range(20))


def test_chance_is_the_binomial_tail(page):
    tails = page.evaluate("Array.from({length: 21}, (_, k) => BlindGame.byChance(k, 20))")
    np.testing.assert_allclose(tails, binom.sf(np.arange(-1, 20), 20, 0.5), rtol=1e-12)
    low, high, often = map(int, re.search(r"(\d+) to\s+(\d+) right happen in (\d+) of 100", PLAY).groups())
    assert round(100 * (binom.cdf(high, 20, 0.5) - binom.cdf(low - 1, 20, 0.5))) == often


def test_answers_are_folded_until_they_are_asked_for(page):
    visible = (
        "document.querySelector('.solution.dropdown .admonition-content, .solution.dropdown section').offsetHeight"
    )
    page.wait_for("document.querySelector('.solution.dropdown.toggle-hidden')")
    folded = page.evaluate("document.querySelector('.solution.dropdown').offsetHeight")
    page.click(".solution.dropdown .admonition-title")
    page.wait_for(f"{visible} > 0 && document.querySelector('.solution.dropdown').offsetHeight > {folded}")
    page.click(".solution.dropdown .admonition-title")
    page.wait_for("document.querySelector('.solution.dropdown.toggle-hidden')")


def test_figure_is_small_until_it_is_opened(page):
    figure = "document.querySelector('img[alt^=Noise]')"
    page.wait_for(f"{figure}.complete")
    assert page.evaluate(f"{figure}.currentSrc.endsWith('/_images/wide.thumb.webp')")
    assert page.evaluate(f"{figure}.naturalWidth") == slim.WIDTH_PX
    width, height, room = page.evaluate(f"[{figure}.width, {figure}.height, {figure}.closest('figure').offsetWidth]")
    assert 0.55 * room < width <= 0.6 * room
    assert height == pytest.approx(width * 200 / 1500, abs=1)
    full = page.evaluate("document.querySelector('a.bl-full').href")
    assert Path(full).stem == "wide"
    assert full not in page.requests
    page.click("a.bl-full")
    page.wait_for(f"location.href === '{full}' && document.images[0].naturalWidth === 1500")


def test_figure_can_be_read_on_a_phone(page):
    page.emulate(width=390, height=844, touch=True)
    style = (ROOT / "bloodlib" / "plots.mplstyle").read_text()
    points, dpi = (float(re.search(rf"^{name}: (.+)$", style, re.MULTILINE)[1]) for name in ("font.size", "figure.dpi"))
    for alt, pixels in (("Noise", 1500), ("Panels", 1332)):
        figure = f"document.querySelector('img[alt^={alt}]')"
        page.wait_for(f"{figure}.complete")
        wide, high, room = page.evaluate(f"[{figure}.width, {figure}.height, {figure}.parentElement.clientWidth]")
        assert points / 72 * dpi * wide / pixels > 8.5, "words of the figure, in pixels of the phone"
        assert high >= 200
        assert page.evaluate(f"{figure}.parentElement.scrollWidth") == pytest.approx(wide, abs=1)
        assert room < 390 < wide
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_landing_page_says_it_in_one_screen(page, site):
    page.open(site.with_name("landing.html"))
    page.wait_for("document.querySelector('.bl-stage.bl-live img').complete")
    ends = "[...document.querySelectorAll('.bl-stage, .finding, .path .sd-card')].map((e) => e.getBoundingClientRect())"
    boxes = page.evaluate(f"{ends}.map((b) => [b.top, b.bottom, b.width])")
    assert len(boxes) == 5
    assert all(0 < top < bottom <= 900 for top, bottom, _ in boxes), boxes
    assert boxes[0][2] > 400


def test_figures_to_play_with_have_numbers_and_captions(page):
    captions = page.evaluate(
        "[...document.querySelectorAll('.live-figure > figcaption')].map((c) => c.textContent.trim())"
    )
    assert len(captions) == 4
    assert len({re.match(r"Fig\. (\d+) ", caption)[1] for caption in captions}) == 4
    assert all(len(caption.split()) > 8 for caption in captions)
    notes = page.evaluate(
        "[...document.querySelectorAll('details.how-made')].map((d) => d.previousElementSibling.tagName)"
    )
    assert notes == ["FIGURE"] * 3  # the sampler's note stands on its own page


def test_search_finds_offline_what_is_typed(site):
    with browser.Browser(read_files=False) as reader:
        reader.emulate()
        reader.open(site)
        reader.press("k", ctrl=True)
        reader.wait_for("document.activeElement.name === 'q'")
        reader.send("Input.insertText", text="adhesive")
        reader.press("Enter")
        reader.wait_for("location.pathname.endsWith('/search.html') && document.querySelector('#search-results li')")
        reader.wait_for("document.querySelector('#search-results').textContent.includes('found 1 page')")
        assert reader.evaluate("document.querySelector('#search-results li a').textContent") == "A page"
        assert reader.problems == []
        assert [url for url in reader.requests if not url.startswith(("file:", "data:"))] == []
        reader.open(f"{(site.parent.parent / 'search.html').as_uri()}?q=haematocrit")
        reader.wait_for("document.querySelector('#search-results').textContent.includes('did not match any')")


def picture(page, selector):
    """The pixels in the middle of an element as the screen shows them."""
    x, y = (round(at) for at in page.centre_of(selector))
    shot = page.send("Page.captureScreenshot", format="png")["data"]
    whole = np.array(Image.open(io.BytesIO(b64decode(shot))).convert("RGB"))
    return whole[y - 10 : y + 10, x - 20 : x + 20]


def test_a_table_fades_where_it_goes_on(page):
    fade = "getComputedStyle(document.querySelector('.pst-scrollable-table-container')).maskImage"
    assert page.evaluate(fade) == "none", "it fits on a desk"
    page.emulate(width=390, height=844, touch=True)
    page.wait_for(f"{fade}.startsWith('linear-gradient')")
    page.evaluate("document.querySelector('.pst-scrollable-table-container').scrollLeft = 9999")
    page.wait_for(f"{fade} === 'none'")


def test_dark_mode_leaves_pixels_alone(page):
    light = picture(page, ".bl-styles img")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.evaluate("document.documentElement.dataset.theme = document.documentElement.dataset.mode = 'dark'")
    page.wait_for(f"getComputedStyle(document.body).backgroundColor !== '{ground}'")
    np.testing.assert_array_equal(picture(page, ".bl-styles img"), light)


def test_nothing_is_wider_than_a_phone(page):
    page.emulate(width=390, height=844, touch=True)
    page.wait_for("window.innerWidth === 390")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_page_that_is_being_left_is_asked_again(monkeypatch):
    reader = object.__new__(browser.Browser)
    reader.patience_s = 5.0
    answers = iter([RuntimeError(f"Runtime.evaluate: {browser.NAVIGATED}"), False, True, RuntimeError("no such thing")])

    def answer(self, script):
        said = next(answers)
        if isinstance(said, Exception):
            raise said
        return said

    monkeypatch.setattr(browser.Browser, "evaluate", answer)
    reader.wait_for("true")
    with pytest.raises(RuntimeError, match="no such thing"):
        reader.wait_for("true")
