"""The report in a browser: nothing overflows or is loaded, and all can be read, narrow and wide, light and dark."""

import shutil

import numpy as np
import pytest
from report_pages import HOSTILE
from samples import forest
from sklearn.datasets import load_digits, load_wine

from ensemble_1d import Ensemble
from ensemble_1d.reporting.report import report_of

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium"),
    # Playwright's own loop leaves a socket to the collector when the browser has gone.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
OPTIONS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run"),
)

OVERFLOWING = """() => {
  const wide = document.documentElement.clientWidth, found = [];
  if (document.documentElement.scrollWidth > wide) found.push("the page");
  for (const each of document.body.querySelectorAll("*")) {
    const box = each.getBoundingClientRect();
    if (!each.closest(".scroll") && (box.right > wide + 0.5 || box.left < -0.5))
      found.push(each.tagName + " " + each.textContent.slice(0, 40));
  }
  return found;
}"""
"""Elements beyond the page, but for those in a box that scrolls."""

CLIPPED = """() => [...document.querySelectorAll("svg")].flatMap(svg => {
  const frame = svg.getBoundingClientRect();
  return [...svg.querySelectorAll("text")].filter(each => {
    const box = each.getBoundingClientRect();
    return box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1
      || box.bottom > frame.bottom + 1;
  }).map(each => each.textContent);
})"""
"""Texts of charts that reach beyond their chart."""

OVERLAPPING = """() => [...document.querySelectorAll("svg")].flatMap(svg => {
  const texts = [...svg.querySelectorAll("text")].map(each => [each.textContent, each.getBoundingClientRect()]);
  return texts.flatMap(([one, a], i) => texts.slice(i + 1).filter(([, b]) =>
    a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 2 && b.top < a.bottom - 2
  ).map(([other]) => one + " | " + other));
})"""
"""Pairs of texts of one chart that stand on each other."""

CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgba = color => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = each => {
    const layers = [];
    for (let node = each; node; node = node.parentElement) layers.push(rgba(getComputedStyle(node).backgroundColor));
    return layers.reverse().reduce(
      (below, [r, g, b, a]) => [r, g, b].map((v, i) => v * a / 255 + below[i] * (1 - a / 255)), [255, 255, 255]);
  };
  const found = [];
  for (const each of document.body.querySelectorAll("*")) {
    const own = [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!own || !each.getClientRects().length) continue;
    const style = getComputedStyle(each), ink = each.closest("svg") ? style.fill : style.color;
    const [one, other] = [light(rgba(ink)), light(ground(each))];
    found.push([(Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05), each.textContent.slice(0, 40)]);
  }
  return found;
}"""
"""The contrast of every text with its ground, as the Web Content Accessibility Guidelines 2.2 define it."""


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window."""
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        yield chromium
        chromium.close()


def classification():
    """Return a model of ten classes, and rows."""
    X, y = load_digits(return_X_y=True)
    members = [("wood", forest(random_state=0)), ("stump", forest(max_depth=2))]
    return Ensemble(members, cv=3, random_state=0).fit(X[:600], y[:600]), X[600:1000], y[600:1000]


def regression():
    """Return a model of values of some digits, and rows."""
    X, y = load_wine(return_X_y=True)
    target = X[:, 0] * 1e6 + y
    return forest(task="regression").fit(X[::2, 1:], target[::2]), X[1::2, 1:], target[1::2]


def names():
    """Return a model whose names are long, wide, or HTML, and rows."""
    pandas = pytest.importorskip("pandas")
    X, y = load_wine(return_X_y=True)
    columns = [HOSTILE, "体温の平均値と分散の合計の長い名前", "W" * 80, *(f"längliches Merkmal {i}" for i in range(10))]
    frame = pandas.DataFrame(X, columns=columns)
    labels = np.array([HOSTILE, "良性の腫瘍の長い名前の分類", "m" * 70])[y]
    members = [("W" * 60, forest(max_depth=2)), ("分類器の長い名前であるものの一つ", forest())]
    return Ensemble(members, cv=3, random_state=0).fit(frame[::2], labels[::2]), frame[1::2], labels[1::2]


@pytest.fixture(scope="module", params=[classification, regression, names])
def path(request, tmp_path_factory):
    """A page on the disk."""
    return report_of(*request.param(), budgets=(2048, 8192)).save(tmp_path_factory.mktemp("report") / "report.html")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1200])
def test_the_page_can_be_read(path, browser, width, scheme):
    """At either width and in either scheme nothing overflows, is cut, collides, is faint, or comes from elsewhere."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(path.as_uri())
    page.evaluate("() => document.querySelectorAll('details').forEach(each => each.open = true)")
    assert asked == [path.as_uri()]
    assert said == []
    assert page.evaluate(OVERFLOWING) == []
    assert page.evaluate(CLIPPED) == []
    assert page.evaluate(OVERLAPPING) == []
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 100
    assert [each for each in contrasts if each[0] < 4.5] == []
    ground = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 24, 29)")
    page.close()


def test_the_frame_of_a_notebook_shows_the_page(browser, path):
    """The page stands in its sandboxed frame, whole."""
    from ensemble_1d.reporting.report import Report

    report = Report(title="Frame", summary="", html=path.read_text(encoding="utf-8"))
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    page.set_content(f"<!DOCTYPE html><body>{report._repr_html_()}</body>")
    inside = page.frames[1]
    assert inside.locator("h2").count() >= 7
    assert inside.locator("svg").count() >= 3
    page.close()


def test_the_page_prints_on_paper(browser, path):
    """On paper the colours are those of the light page, and no table is cut."""
    page = browser.new_page(viewport={"width": 760, "height": 1000}, color_scheme="dark")
    page.goto(path.as_uri())
    page.emulate_media(media="print")
    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("() => getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.close()
