"""The page of a served model in a real browser: by keyboard, on a phone, in the dark, with nothing from elsewhere."""

import shutil

import pytest

from served import patients, served

pytest.importorskip("fastapi")
playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no browser here")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with served(patients(tmp_path_factory.mktemp("page"))) as (address, _):
        yield address


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(address, browser):
    """A phone in the dark; the addresses that it asks for and what goes wrong in it are kept."""
    page = browser.new_page(viewport={"width": 420, "height": 900}, color_scheme="dark")
    page.asked, page.errors = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(address)
    yield page
    assert not page.errors and all(url.startswith(address) for url in page.asked)
    page.close()


def test_a_sample_is_predicted_by_keyboard_alone(page):
    for number in ("2", "1.5"):
        page.keyboard.press("Tab")
        page.keyboard.type(number)
    page.keyboard.press("Enter")
    page.wait_for_selector("#answer dl")
    told = page.locator("#answer").inner_text()
    assert "used\nlab" in told and "measure next" in told and "set that holds the truth 90 times in 100" in told
    shares = [float(row.split("\n")[1].rstrip(" %")) for row in page.locator(".share").all_inner_texts()]
    assert shares == sorted(shares, reverse=True) and 99.8 < sum(shares) < 100.2
    assert not page.locator("#answer b").count() and "<b>well</b>" in told, "names of classes are text, not markup"


def test_an_empty_sample_is_answered_from_the_prior(page):
    page.get_by_role("button", name="Predict").click()
    page.wait_for_selector("#answer dl")
    assert "nothing: this is what the classes" in page.locator("#answer").inner_text()


def test_what_is_no_number_is_told_where_it_stands(page):
    box = page.get_by_label("gait.b")
    box.fill("much")
    box.press("Enter")
    page.wait_for_selector("[role=alert]")
    assert '"much" is no number' in page.locator("[role=alert]").inner_text()
    assert box.evaluate("e => e === document.activeElement")
    page.get_by_role("button", name="Clear").click()
    assert page.locator("#answer").inner_text() == ""


def test_the_page_fits_a_phone_and_is_dark(page):
    page.get_by_label("voice.a").fill("1")
    page.get_by_label("voice.a").press("Enter")
    page.wait_for_selector("#answer dl")
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(int(part) for part in colour[4:-1].split(",")) < 64, colour


def test_a_refusal_of_the_server_is_shown_as_text(page):
    page.evaluate("document.querySelector('fieldset').dataset.modality = '<i>eyes</i>'")
    page.get_by_label("lab.a").fill("1")
    page.get_by_label("lab.a").press("Enter")
    page.wait_for_selector("[role=alert]")
    assert "'<i>eyes</i>' of sample '0' is unknown" in page.locator("[role=alert]").inner_text()
