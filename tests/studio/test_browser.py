"""The studio as its user has it: in a real Chromium, which is skipped, saying so, where there is
none.
"""

import shutil
import threading

import cv2
import numpy as np
import pytest

from mfr_kit.data.images import encode
from mfr_kit.masks import drawn_heads
from mfr_kit.studio.options import StudioOptions
from mfr_kit.studio.server import Server
from tests.studio.conftest import flat_picture, need, write_model

pytestmark = pytest.mark.slow
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
PATIENCE_MS = 120_000  # two cores that others use too


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """A browser whose webcam shows a drawn head, bigger in every other picture."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no Chromium here ({', '.join(NAMES)}): apt-get install chromium")
    camera = tmp_path_factory.mktemp("camera") / "head.mjpeg"
    camera.write_bytes(b"".join(webcam_pictures()))
    flags = [*FLAGS, f"--use-file-for-fake-video-capture={camera}"]
    with api.sync_playwright() as played:
        browser = played.chromium.launch(executable_path=found, args=flags)
        yield browser
        browser.close()


def webcam_pictures() -> list[bytes]:
    """JPEGs of 640x480, as Chromium reads them for a camera."""
    head = drawn_heads.draw(160, 5, 0, 0, 3)[0]
    shown = []
    for side in (400, 460) * 8:
        picture = np.full((480, 640, 3), 150, np.uint8)
        top, left = (480 - side) // 2, (640 - side) // 2
        picture[top : top + side, left : left + side] = cv2.resize(head, (side, side))
        bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        shown.append(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())
    return shown


@pytest.fixture(scope="module")
def server(shown, tmp_path_factory):
    """A studio with two models of its own."""
    need("yunet")
    folder = tmp_path_factory.mktemp("models")
    own = [str(write_model(folder / f"{name}.onnx")) for name in ("first", "second")]
    with Server(StudioOptions(folders=[shown], port=0, model=own)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def pictures(tmp_path):
    """Photographs of two heads, and one without a face."""
    paths = {name: tmp_path / f"{name}.png" for name in ("a", "b", "faceless")}
    for person, name in enumerate("ab"):
        image = cv2.resize(drawn_heads.draw(160, 5, 0, 0, person)[0], (320, 320))
        paths[name].write_bytes(encode(image, ".png"))
    paths["faceless"].write_bytes(flat_picture())
    return paths


@pytest.fixture
def page(chromium, server):
    """The page, opened by its address; afterwards it must have asked nobody else, and broken no
    rule of its own.
    """
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    opened, asked, wrong = context.new_page(), [], []
    context.on("request", lambda request: asked.append(request.url))
    opened.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.goto(server.address)
    yield opened
    own = f"http://127.0.0.1:{server.server_port}/"
    assert [url for url in asked if not url.startswith((own, "data:", "blob:"))] == []
    assert any(url.startswith(own) for url in asked)
    # a refused photograph is the only thing that may be logged
    assert [line for line in wrong if "status of 400" not in line] == []
    context.close()


def go(page, name: str) -> None:
    page.click(f"nav a[href='#{name}']")
    page.wait_for_selector(f"main[data-view={name}]")


PICTURE = ".stage .picture"


def picture(page) -> str:
    """What is shown once all that was asked for is drawn."""
    page.wait_for_selector(f"{PICTURE}:not([aria-busy]) img:not([hidden])")
    return page.get_attribute(f"{PICTURE} img", "src")


def test_upload_and_mask(page, pictures):
    seen = [picture(page)]
    page.set_input_files("input[type=file]", pictures["a"])
    seen.append(picture(page))
    assert "320 × 320 pixels" in page.inner_text(".facts")
    page.select_option("#kind", "cloth")
    seen.append(picture(page))
    page.click(".look >> text=cloth-plain")
    seen.append(picture(page))
    assert page.get_attribute(".look[aria-pressed=true]", "aria-pressed") == "true"
    assert page.inner_text(".look[aria-pressed=true]") == "cloth-plain"
    page.fill("#slider-top", "45")
    seen.append(picture(page))
    assert page.inner_text("output[for=slider-top]") == "45.0 mm"
    page.fill("#slider-yaw", "40")
    seen.append(picture(page))
    page.select_option("#style", "askew")
    seen.append(picture(page))
    page.click("text=Draw another")
    seen.append(picture(page))
    page.check("text=without mask")
    seen.append(picture(page))
    assert len(set(seen)) == len(seen)
    assert page.locator("[role=alert]:visible").count() == 0


def test_a_photograph_without_a_face_says_so_and_the_next_one_works(page, pictures):
    before = picture(page)
    page.set_input_files("input[type=file]", pictures["faceless"])
    page.wait_for_selector("text=no face found in the photograph (300x200 pixels)")
    assert picture(page) == before
    page.set_input_files("input[type=file]", pictures["b"])
    assert picture(page) != before
    assert page.is_hidden("text=no face found")


def test_compare_and_switch_the_model(page, pictures):
    go(page, "compare")
    for side in "ab":
        page.set_input_files(f"#side-{side} input[type=file]", pictures[side])
    page.wait_for_selector("[data-model='second.onnx'] .pair")
    for name in ("first.onnx", "second.onnx"):
        verdicts = page.locator(f"[data-model='{name}'] .verdict").all_inner_texts()
        assert len(verdicts) == 4
        # the thresholds of the tests' models: any masked pair is one person's, two masks never
        assert verdicts[1:] == ["same person", "same person", "different people"]
    page.select_option("#model-2", label="none")
    page.wait_for_selector("[data-model='second.onnx']", state="detached")
    page.select_option("#model-1", label="second.onnx")
    page.wait_for_selector("[data-model='first.onnx']", state="detached")
    assert page.locator("[data-model='second.onnx'] .pair").count() == 4
    assert page.input_value("#far") == "0.001"
    # they are still there after a look at something else
    go(page, "runs")
    go(page, "compare")
    page.wait_for_selector("[data-model='first.onnx'] .pair")


def test_webcam(page):
    before = picture(page)
    page.click("text=Webcam")
    page.wait_for_selector("text=Take photograph")
    page.click("text=Take photograph")
    page.wait_for_selector("video", state="hidden")
    taken = picture(page)
    assert taken != before
    assert "640 × 480 pixels" in page.inner_text(".facts")
    assert page.evaluate("document.querySelector('video').srcObject") is None

    page.click("text=Webcam")
    page.wait_for_selector("text=Take photograph")
    page.click("text=Live")
    # the page's policy keeps Playwright's own waiting for a script out
    shown = page.locator(f"{PICTURE} img")
    expect = pytest.importorskip("playwright.sync_api").expect
    for _ in range(2):  # it goes on
        before = shown.get_attribute("src")
        expect(shown).not_to_have_attribute("src", before, timeout=PATIENCE_MS)
    assert shown.is_visible()
    page.click("text=Stop webcam")
    page.wait_for_selector("text=Take photograph", state="hidden")
    assert page.locator("[role=alert]:visible").count() == 0


def test_a_face_of_a_set_goes_on_to_masks_and_to_compare(page):
    go(page, "sets")
    page.fill("#search", "p02")
    page.wait_for_selector(".person >> nth=1", state="detached")
    page.click(".person")
    page.wait_for_selector("#person figure")
    assert page.locator("#person .group").count() == 2
    assert page.locator("#person figure").count() == 4
    page.click("#person figure >> nth=0 >> text='A'")
    page.wait_for_selector("text=now choose the other one")
    page.click("#person figure >> nth=1 >> text='B'")
    page.wait_for_selector("main[data-view=compare] .pair")
    go(page, "sets")
    page.click(".person")
    page.click("#person figure >> nth=0 >> text='Mask'")
    page.wait_for_selector("main[data-view=masks]")
    page.wait_for_selector("text=112 × 112 pixels")


def test_curves_and_a_report(page, server):
    go(page, "runs")
    page.wait_for_selector(".charts svg")
    assert "validation" in page.locator(".charts h3").all_inner_texts()
    with page.expect_popup() as opened:
        page.click("text=Open report.html")
    report = opened.value
    report.wait_for_load_state()
    assert report.title() == "r"
    assert report.evaluate("window.origin") == "null"  # shut in: it may ask for nothing
    page.wait_for_selector("main[data-view=runs]")


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", ["masks", "compare", "sets", "runs"])
def test_nothing_is_wider_than_the_screen(page, width, name, pictures):
    page.set_viewport_size({"width": width, "height": 800})
    go(page, name)
    if name == "masks":
        picture(page)
    if name == "compare":
        for side in "ab":
            page.set_input_files(f"#side-{side} input[type=file]", pictures[side])
        page.wait_for_selector(".pair")
    if name == "sets":
        page.click(".person")
        page.wait_for_selector("#person figure")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
