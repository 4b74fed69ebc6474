"""The real page in a headless Chromium: what a reader does, and that nothing leaves the machine."""

import base64
import csv
import os
import shutil
import socket
import subprocess
import sys
import time
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

pytest.importorskip("nicegui", reason='the page needs nicegui: pip install "unichest_kedro[app]"')
playwright = pytest.importorskip("playwright.sync_api", reason="the page's test needs playwright, of the extra dev")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")

START_SECONDS = 240
WAIT_MS = 60_000
QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")


@pytest.fixture(scope="module")
def address(model_folder, tmp_path_factory):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    # NiceGUI would take a process with pytest's variable for one of its own tests.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    command = [sys.executable, "-m", "unichest_kedro.app", "--model", model_folder, "--port", str(port)]
    with log.open("w") as output:
        server = subprocess.Popen(
            [*map(str, command), "--device", "cpu"], stdout=output, stderr=output, env=environment, cwd=log.parent
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address, server, log)
        yield address
    finally:
        server.terminate()
        server.wait(20)
    assert [path.name for path in log.parent.iterdir()] == ["log"]
    assert "Traceback" not in log.read_text()


def _wait_for(address, server, log):
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        try:
            urlopen(address, timeout=5).close()
            return
        except URLError:
            assert server.poll() is None, log.read_text()
            time.sleep(0.2)
    pytest.fail(f"the page did not start: {log.read_text()}")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", *QUIET])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address):
    """A tab of its own; at its end, no error on the console, and no request to another host."""
    tab = browser.new_page(viewport={"width": 1200, "height": 900})
    tab.set_default_timeout(WAIT_MS)
    errors, hosts = [], set()
    tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    tab.on("websocket", lambda socket: hosts.add(urlsplit(socket.url).netloc))
    tab.goto(address)
    yield tab
    tab.close()
    assert not errors
    assert hosts - {""} == {urlsplit(address).netloc}  # data: and blob: have no host


def _drop(tab, dropped, *names):
    tab.set_input_files("input[type=file]", [dropped[name] for name in names])


def _drop_with_the_mouse(tab, path):
    """Let a file fall onto the page as a browser does."""
    carried = tab.evaluate_handle(
        """([name, content]) => {
            const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
            const carried = new DataTransfer();
            carried.items.add(new File([bytes], name));
            return carried;
        }""",
        [path.name, base64.b64encode(path.read_bytes()).decode()],
    )
    tab.dispatch_event(".drop", "dragover", {"dataTransfer": carried})
    tab.dispatch_event(".drop .q-uploader__dnd", "drop", {"dataTransfer": carried})


def _picture(tab, caption):
    """The picture, once its caption says that it is there."""
    tab.get_by_text(caption, exact=True).wait_for()
    return tab.locator("img.film").get_attribute("src")


def _changed(tab, former):
    """The picture, once it is another one than before."""
    tab.wait_for_function("former => document.querySelector('img.film').src !== former", arg=former)
    return tab.locator("img.film").get_attribute("src")


def _findings(tab):
    tab.locator(".bar").first.wait_for()
    return [bar.get_attribute("data-finding") for bar in tab.locator(".bar").all()]


def test_a_film_is_dropped_and_its_bars_and_maps_are_looked_at(page, dropped, viewer):
    assert page.get_by_text("Research use only. Not a medical device.").is_visible()
    _drop_with_the_mouse(page, dropped["a.png"])
    page.locator(".bar").first.wait_for()
    table = viewer.model.predict(dropped["a.png"])
    ranked = table.sort_values(["calibrated", "probability"], ascending=False)  # without a calibration: last
    assert _findings(page) == list(ranked["finding"])
    assert page.get_by_text("Not calibrated: scores").count() == 1

    effusion, other = page.locator("[data-finding='pleural effusion']"), page.locator("[data-finding=pneumothorax]")
    row = table.set_index("finding").loc["pleural effusion"]
    assert f"{row['calibrated']:.0%}" in effusion.inner_text()
    assert row["above"]
    assert "above" in effusion.inner_text()
    assert effusion.locator(".threshold").is_visible()
    assert "above" not in other.inner_text()

    chosen = page.locator(".bar[aria-pressed=true]").get_attribute("data-finding")
    first = _picture(page, f"Where the network looked for: {chosen.capitalize()}")
    (other if chosen == "pleural effusion" else effusion).click()
    second = _changed(page, first)
    page.get_by_role("switch", name="Heat map").click()
    film = _changed(page, second)
    assert len({first, second, film}) == 3
    page.get_by_text("The film alone.").wait_for()
    page.locator("[data-finding='No Finding']").click()
    page.get_by_text("“No Finding” has no heat map").wait_for()


def test_other_findings_are_asked_in_words_and_marked(page, dropped):
    _drop(page, dropped, "b.dcm")
    page.locator(".bar").first.wait_for()
    before = _findings(page)
    box = page.locator(".ask input")
    box.fill("rib fracture; ptx")
    page.get_by_role("button", name="Ask").click()
    asked = page.locator("[data-finding='rib fracture']")
    asked.wait_for()
    assert set(_findings(page)) == {*before, "rib fracture"}  # ptx is pneumothorax, which is there
    assert "never asked in training" in asked.inner_text()
    assert page.get_by_text("never asked in training").count() == 1
    _picture(page, "Where the network looked for: Rib fracture")

    box.fill("ptx")
    box.press("Enter")
    _picture(page, "Where the network looked for: Pneumothorax")
    page.locator(".added .q-chip__icon--remove").click()
    asked.wait_for(state="detached")
    assert set(_findings(page)) == set(before)


def test_unreadable_and_unfit_files_are_named_and_the_page_goes_on(page, dropped, tmp_path):
    _drop(page, dropped, "notes.png")
    page.get_by_text("notes.png: cannot be read: not a DICOM, PNG or JPEG file").wait_for()
    _drop(page, dropped, "side <b>.png", "a.png")
    page.get_by_text("This may be no upright frontal chest film: looks like a lateral film").wait_for()
    assert page.locator(".bar").count() == 0
    page.locator(".thumb[title='a.png']").click()
    page.locator(".bar").first.wait_for()
    assert not page.locator(".warning").is_visible()

    rows = _table(page, tmp_path)
    assert {row["film"] for row in rows} == {"notes.png", "side <b>.png", "a.png"}
    numbers = {name: [row["probability"] for row in rows if row["film"] == name] for name in ("a.png", "side <b>.png")}
    assert all(numbers["a.png"])
    assert not any(numbers["side <b>.png"])

    page.locator(".thumb[title^=side]").click()
    page.get_by_role("button", name="Show the findings all the same").click()
    page.locator(".bar").first.wait_for()
    assert page.locator(".warning").is_visible()
    assert all(row["probability"] for row in _table(page, tmp_path) if row["film"] == "side <b>.png")

    page.get_by_role("button", name="Forget all films").click()
    page.get_by_text("No film yet").wait_for()
    assert page.locator(".bar").count() == page.locator(".thumb").count() == 0
    _drop(page, dropped, "a.png")
    page.locator(".bar").first.wait_for()


def _table(tab, folder):
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Table of all films").click()
    assert download.value.suggested_filename == "predictions.csv"
    download.value.save_as(folder / "got.csv")
    with (folder / "got.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_films_of_one_tab_are_not_in_another(page, browser, address, dropped):
    _drop(page, dropped, "a.png")
    page.locator(".bar").first.wait_for()
    other = browser.new_page()
    other.goto(address)
    other.get_by_text("No film yet").wait_for()
    assert other.locator(".thumb").count() == 0
    other.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_screen_holds_the_page_in_light_and_dark(browser, address, dropped, scheme):
    context = browser.new_context(viewport={"width": 380, "height": 800}, color_scheme=scheme)
    tab = context.new_page()
    tab.goto(address)
    _drop(tab, dropped, "a.png")
    tab.locator(".bar").first.wait_for()
    assert tab.evaluate("document.documentElement.scrollWidth") <= 380
    ink, paper = (
        tab.evaluate(f"getComputedStyle(document.body).{name}").strip("rgb()").split(", ")
        for name in ("color", "backgroundColor")
    )
    brighter = sum(map(int, paper)) > sum(map(int, ink))
    assert brighter == (scheme == "light")
    tab.mouse.wheel(0, 2000)
    assert tab.locator(".disclaimer").bounding_box()["y"] >= 0
    context.close()


def test_other_names_for_this_machine_are_refused(address):
    with pytest.raises(HTTPError) as refused:
        urlopen(Request(address, headers={"Host": "films.example"}), timeout=10)
    assert refused.value.code == 400
