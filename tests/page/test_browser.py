"""Pages in a real browser: what is drawn, hovering and keys, a telephone, contrast, and what axe-core finds.

They skip where there is no Chromium with its driver, or no selenium; axe-core comes with a package of Python.
"""

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from laconic.cli import run
from laconic.lc.log import write_log
from laconic.lc.schedule import Progress
from laconic.models import nets
from laconic.models.checkpoints import save_checkpoint
from laconic.models.params import params_of
from laconic.page.record import record_page

pytest.importorskip("selenium", reason="no selenium: pip install 'laconic[dev]'")
from selenium import webdriver
from selenium.webdriver.common.keys import Keys

SCHEMES = ("light", "dark")


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    binary, driver = (next(filter(None, map(shutil.which, names)), None) for names in (
        ("chromium", "chromium-browser", "google-chrome"), ("chromedriver",)))  # fmt: skip
    if binary is None or driver is None:
        pytest.skip("no Chromium with its driver on the path: apt install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(argument)
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield opened
    opened.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    """A page of one file with all that a file, a checkpoint, data and a log can say, and one of two files."""
    folder = tmp_path_factory.mktemp("pages")
    net, log = folder / "net.safetensors", folder / "run.jsonl"
    save_checkpoint(net, params_of(nets.build("lenet300", (1, 8, 8))), nets.identity("lenet300", "digits", "pixels/16"))
    write_log(log, [Progress(n, 0.01 * n, 1 / (n + 1), 0.5**n, None, None, 1.0, 999, {"error": 9.0}) for n in range(9)])
    two = ["--against", str(net), "--samples", "60", "--quiet"]
    for command in (
        ["compress", str(net), "-o", str(folder / "a.lac"), "--bits", "1.5", "--quality", "fast", "--quiet"],
        ["compress", str(net), "-o", str(folder / "b.lac"), "--keep", "0.1", "--quiet"],
        [
            "report",
            str(folder / "a.lac"),
            "-o",
            str(folder / "one.html"),
            "--run",
            str(log),
            "--data",
            "digits",
            "--time",
            *two,
        ],
        [
            "compare",
            str(folder / "a.lac"),
            str(folder / "b.lac"),
            "-o",
            str(folder / "two.html"),
            "--data",
            "digits",
            *two,
        ],
        ["report", str(folder / "b.lac"), "-o", str(folder / "alone.html"), "--quiet"],
    ):
        assert run(command) == 0
    record = {"samples": 9, "rows": [{"net": "a", "bits": 1.5}], "deep": [{"net": "b", "files": [{"bytes": 7}]}]}
    (folder / "record.html").write_text(record_page("bench", {**record, "commit": 40 * "c"}), encoding="utf-8")
    return {name: folder / f"{name}.html" for name in ("one", "two", "alone", "record")}


def show(browser, page, *, width=1280, scheme="light"):
    """Open a page at a width in a scheme of colours; nothing may be said on the console."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(page.as_uri())
    browser.execute_script("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert browser.get_log("browser") == []


AREAS = """
const map = [...document.querySelectorAll('svg.treemap')].find(one => one.getBoundingClientRect().width > 0);
const whole = map.getBoundingClientRect();
return [...map.querySelectorAll('.cell')].map(cell => {
  const box = cell.querySelector('rect').getBBox();
  return [cell.getAttribute('aria-label'), box.width * box.height / (whole.width * whole.height)];
});
"""


@pytest.mark.parametrize("width", [1280, 390])
def test_areas_are_shares_of_the_file(browser, pages, width):
    show(browser, pages["one"], width=width)
    areas = browser.execute_script(AREAS)
    size = (pages["one"].parent / "a.lac").stat().st_size
    assert sum(share for _, share in areas) == pytest.approx(1, abs=2e-3)
    rows = browser.execute_script(
        "return [...document.querySelectorAll('#tensors tbody tr')].map(row => [row.cells[0].textContent,"
        " Number(row.cells[2].textContent.replaceAll(',', ''))])"
    )
    told = dict(rows)
    assert sum(told.values()) == size
    for label, share in areas:
        name = label.partition(", ")[0].removeprefix("Tensor ").replace("Header names", "header")
        if name == "Tensors 3 small ones: bias":
            told[name] = sum(told.pop(f"fc{number}.bias") for number in (1, 2, 3))
        assert share == pytest.approx(told.pop(name) / size, abs=2e-3), label
    assert not told


def test_hovering_and_keys_tell_of_a_tensor(browser, pages):
    show(browser, pages["one"])

    def told():
        return browser.execute_script("return document.querySelector('#readout dd').textContent")

    cells = [one for one in browser.find_elements("css selector", ".cell") if one.is_displayed()]
    assert told() == "fc2.weight"
    webdriver.ActionChains(browser).move_to_element(cells[1]).perform()
    assert told() == "fc1.weight"
    for key, cell in ((Keys.TAB, 0), (Keys.ARROW_RIGHT, 1), (Keys.END, -1), (Keys.ARROW_LEFT, -2), (Keys.HOME, 0)):
        for _ in range(40):  # Tab goes to links and choices before
            webdriver.ActionChains(browser).send_keys(key).perform()
            if key != Keys.TAB or browser.switch_to.active_element == cells[0]:
                break
        assert browser.switch_to.active_element == cells[cell], key
        assert told() in cells[cell].get_attribute("aria-label")


def test_colours_change_to_the_damage(browser, pages):
    show(browser, pages["one"])
    colour = "return getComputedStyle(document.querySelector('.cell rect')).fill"
    before = browser.execute_script(colour)
    browser.find_element("css selector", "input[value=harm]").click()
    assert browser.execute_script(colour) != before
    assert browser.find_element("css selector", ".legend.d").is_displayed()
    assert not browser.find_element("css selector", ".legend.q").is_displayed()


SMALL = """
const small = new Set();
for (const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); walker.nextNode();) {
  const parent = walker.currentNode.parentElement;
  if (walker.currentNode.textContent.trim() && parent.closest('script, style, caption') === null
      && parent.getClientRects().length && parseFloat(getComputedStyle(parent).fontSize) < 12)
    small.add(parent.outerHTML);
}
return [...small];
"""


@pytest.mark.parametrize("name", ["one", "two", "alone", "record"])
def test_a_telephone_scrolls_one_way_and_reads_all_text(browser, pages, name):
    show(browser, pages[name], width=390)
    assert browser.execute_script("return document.documentElement.scrollWidth") == 390
    assert browser.execute_script(SMALL) == []


CONTRAST = """
const parts = text => text.match(/[\\d.]+/g).map(Number);
const linear = value => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
const ratio = (one, other) => (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
const ground = element => {
  for (let one = element; one; one = one.parentElement) {
    const rect = one.matches('g.cell') && one.querySelector(':scope > rect');
    const colour = parts(rect ? getComputedStyle(rect).fill : getComputedStyle(one).backgroundColor);
    if (rect || colour.length === 3 || colour[3] > 0) return colour;
  }
  return [255, 255, 255];
};
const found = [];
for (const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); walker.nextNode();) {
  const parent = walker.currentNode.parentElement;
  if (!walker.currentNode.textContent.trim() || !parent.getClientRects().length) continue;
  const style = getComputedStyle(parent);
  found.push([ratio(light(parts(parent.closest('svg') ? style.fill : style.color)), light(ground(parent))),
              parent.tagName + ': ' + walker.currentNode.textContent.trim().slice(0, 40)]);
}
return found;
"""


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ["one", "two"])
def test_text_stands_out_in_both_schemes(browser, pages, name, scheme):
    show(browser, pages[name], scheme=scheme)
    for paint in ("by-bits", "by-harm"):
        browser.execute_script(f"document.querySelector('.map').className = 'map {paint}'")
        for step in range(6):
            browser.execute_script(
                "document.querySelectorAll('.cell:not(.plain)').forEach(one =>"
                f" one.setAttribute('class', 'cell q{step} d{step}'))"
            )
            found = browser.execute_script(CONTRAST)
            assert len(found) > 100
            assert [text for ratio, text in found if ratio < 4.5] == []


@pytest.mark.parametrize("name", ["one", "two", "alone", "record"])
def test_axe_finds_no_serious_fault(browser, pages, name):
    package = importlib.util.find_spec("axe_core_python")
    if package is None or package.origin is None:
        pytest.skip("no axe-core: pip install 'laconic[dev]'")
    script = (Path(package.origin).parent / "axe.min.js").read_text(encoding="utf-8")
    show(browser, pages[name])
    browser.execute_script(script)
    found = browser.execute_async_script("axe.run({resultTypes: ['violations']}).then(arguments[0])")
    faults = [
        (one["id"], [node["html"][:200] for node in one["nodes"]])
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    assert not faults
    assert len(found["passes"]) > 15


def test_paper_is_white_and_has_no_controls(browser, pages):
    show(browser, pages["one"])
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert not browser.find_element("css selector", "nav").is_displayed()
    assert not browser.find_element("css selector", "#readout").is_displayed()
    assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(253, 253, 252)"
