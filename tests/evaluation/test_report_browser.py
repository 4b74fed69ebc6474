"""The page in a real browser: headless Chromium, where the machine has it."""

import os
import shutil

import pytest

from unichest_kedro.evaluation.report import CAPTIONS, render_report
from unichest_kedro.evaluation.style import message, new_figure

from .conftest import EIGHT, make_scores
from .report_tables import make_content, png

PHONE, DESK = 390, 1280
PAPER = 680
"""Width in pixels of an A4 page between its margins."""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The page of a run with all eight sources."""
    figures = {name: png(message(new_figure(12, 4), name)) for name in CAPTIONS}
    page = tmp_path_factory.mktemp("page") / "report.html"
    page.write_text(render_report(make_content(make_scores(findings=EIGHT), figures=figures)), encoding="utf-8")
    return page.as_uri()


@pytest.fixture(scope="module")
def chromium():
    """A browser, or a skip that says what is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    path = os.environ.get("UNICHEST_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(names)} is on the PATH (or set UNICHEST_CHROMIUM)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def opened(chromium, address, width, **options):
    """The page, and everything that the browser complained of or asked for."""
    page = chromium.new_page(viewport={"width": width, "height": 900}, **options)
    heard = []
    page.on("console", lambda said: heard.append(said.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("request", lambda asked: heard.append(asked.url) if not asked.url.startswith("data:") else None)
    page.goto(address)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    return page, heard


def wider_than_screen(page):
    """Elements that stick out of the page to the right and do not lie in something that scrolls."""
    return page.evaluate(
        """() => [...document.querySelectorAll('body *')]
            .filter(one => !one.closest('.wide, pre') && one.getBoundingClientRect().right > innerWidth + 1)
            .map(one => one.tagName + ' ' + one.className + ' ' + one.textContent.slice(0, 40))"""
    )


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_it_opens_without_a_complaint_a_request_or_overflow(chromium, address, width):
    page, heard = opened(chromium, address, width)
    assert heard == [address]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert wider_than_screen(page) == []
    assert page.evaluate("[...document.images].every(one => one.complete && one.naturalWidth > 0)")
    page.close()


def test_every_link_of_the_contents_leads_to_a_section(chromium, address):
    page, _ = opened(chromium, address, DESK)
    targets = page.evaluate("[...document.querySelectorAll('nav a')].map(one => one.hash)")
    assert len(targets) >= 14
    assert all(page.evaluate("hash => document.querySelector(hash).offsetHeight > 0", target) for target in targets)
    page.close()


def contrast(page, selector):
    """Contrast of text and page (WCAG 2), from 1 to 21."""
    return page.evaluate(
        """selector => {
            const light = colour => colour.match(/[0-9.]+/g).slice(0, 3).map(Number).map(c => c / 255)
                .map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
                .reduce((sum, c, k) => sum + c * [0.2126, 0.7152, 0.0722][k], 0);
            const ink = light(getComputedStyle(document.querySelector(selector)).color);
            const paper = light(getComputedStyle(document.body).backgroundColor);
            return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
        }""",
        selector,
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(chromium, address, scheme):
    page, _ = opened(chromium, address, DESK, color_scheme=scheme)
    for selector in ("h1", "td", ".note", ".interval", "summary", ".right b", ".wrong b"):
        assert contrast(page, selector) >= 4.5, selector
    page.close()


def test_in_print_it_is_light_and_everything_is_open(chromium, address):
    page, _ = opened(chromium, address, DESK, color_scheme="dark")
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = false)")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.is_visible("nav")
    hidden = page.evaluate(
        "[...document.querySelectorAll('details table')].filter(one => one.getBoundingClientRect().height == 0).length"
    )
    assert hidden == 0
    page.close()


def test_on_paper_no_table_is_cut_off(chromium, address):
    page, _ = opened(chromium, address, PAPER)
    page.emulate_media(media="print")
    wide = page.evaluate(
        """() => [...document.querySelectorAll('table, img, pre')]
            .filter(one => one.getBoundingClientRect().right > innerWidth + 1)
            .map(one => one.textContent.slice(0, 60))"""
    )
    assert wide == []
    page.close()
