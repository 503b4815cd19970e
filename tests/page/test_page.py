"""Pages: what they hold, that names in them are text, and how large they are."""

import json
import math
import re
from dataclasses import replace
from html import unescape

import numpy as np

from laconic.format.codes import DenseCode
from laconic.insight.comparison import compared
from laconic.page.document import Column, table
from laconic.page.one_file import report_page
from laconic.page.prose import prose_page
from laconic.page.record import record_page
from laconic.page.several import several_page

RNG = np.random.default_rng(0)


def dense(*shape):
    return DenseCode.of(RNG.normal(size=shape).astype(np.float32))


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_names_with_markup_are_text(report_of):
    name = "</script><img src=x onerror=alert(1)>\"'&{{$title}}\x1b.weight"
    page = report_page(report_of({name: dense(40, 30)}, net="<b>net</b>", data="$x"), "1")
    assert "<img" not in page
    assert "<b>net" not in page
    assert page.count("</script>") == 2
    assert name in [value for cell in data_of(page)["cells"] for _, value in cell]
    assert "&lt;b&gt;net&lt;/b&gt; on $x" in page
    assert "\x1b" not in page.partition('id="data"')[0], "no page holds a control character"
    assert "<td><i></td>" not in table("<i>", [Column("<i>"), Column("b")], [("a", "c")])


def test_a_thousand_tensors_are_gathered_and_all_in_the_table(report_of):
    names = [f"layer{number}.{kind}" for number in range(500) for kind in ("weight", "bias")]
    page = report_page(report_of({name: dense(6, 5) if "weight" in name else dense(6) for name in names}), "1")
    cells = data_of(page)["cells"]
    assert len(cells) <= 12
    assert any(value.startswith("500 small ones") for cell in cells for _, value in cell)
    told = unescape(page.replace("<wbr>", ""))
    assert all(f'<th scope="row">{name}</th>' in told for name in names)


def test_a_hundred_layers_take_less_than_a_megabyte(report_of):
    weights = {f"block{number}.conv.weight": RNG.normal(size=(16, 8, 3, 3)).astype(np.float32) for number in range(100)}
    report = report_of({name: DenseCode.of(np.round(weight, 1)) for name, weight in weights.items()})
    report = replace(report, changes=compared(weights, {name: np.round(w, 1) for name, w in weights.items()}))
    page = report_page(report, "1")
    assert page.count('class="histogram"') == 100
    assert len(page.encode()) < 1_000_000


def test_empty_parts_name_the_option_that_fills_them(report_of):
    page = report_page(report_of({"w": dense(4, 4)}), "1")
    said = re.findall(r'<p class="empty">(.*?)</p>', page)
    assert len(said) == 6
    assert all("<code>--against REFERENCE</code>" in one or "<code>--run LOG</code>" in one for one in said)
    assert "From the checkpoint to the file" in page


def test_nothing_is_fetched(report_of):
    report = report_of({"w": dense(30, 64)}, reference_bytes="9999")
    for page in (report_page(report, "1"), several_page([report, replace(report, file="b.lac")], "1")):
        assert "default-src 'none'" in page
        assert not re.findall(r'(?:src|href)="(?!#|data:)', page)
        assert not re.findall(r"url\(|@import|https?:(?!//www.w3.org/2000/svg)", page)


def test_bars_are_of_all_bytes(report_of):
    report = report_of({f"w{number}": dense(number + 1, 50) for number in range(40)}, net="n")
    page = report_page(report, "1")
    body = re.search(r'aria-label="Bytes of each tensor.*?<tbody>(.*?)</tbody>', page, re.DOTALL)[1]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in body.split("</tr>")[:-1]]
    assert sum(int(cells[1].replace(",", "")) for cells in rows) == report.account.file_bytes


def test_markdown_becomes_a_page_with_its_figures_within():
    table = "| a | b |\n|---|---:|\n| x | 1 |"
    text = f"# Title & more\n\nAn *opening* <b>.\n\n## Part one\n\n{table}\n\n![figure](f.png)\n![gone](g.png)\n"
    page = prose_page(text, {"f.png": b"\x89PNG"}, "foot")
    assert "<title>Title &amp; more</title>" in page
    assert "<em>opening</em> &lt;b&gt;." in page
    assert '<h2 id="part-1-title">Part one</h2><div class="frame"' in page
    assert page.count("<img") == 1
    assert 'src="data:image/png;base64,iVBORw=="' in page
    assert "gone" in page
    assert 'style="text-align:right">1</td>' in page
    assert "<title>Report</title>" in prose_page("no heading", {}, "")


def test_a_record_is_shown_whole_and_last_how_it_was_made():
    record = {
        "commit": "c0ffee", "machine": "<two> cores", "samples": 1280, "note": "a note of some words",
        "rows": [{"net": "<b>", "bytes": 12345, "kl": {"mean": 0.25, "error": None}}, {"net": "b", "again": True}],
        "figures": {"one": {"curve": [1.5, 2.5]}, "two": {"curve": list(range(99))}},
        "points": [{"net": "deep", "files": [{"bytes": 77}]}, {"net": "flat"}],
        "names": ["x", "y"],
    }  # fmt: skip
    text = record_page("bench", record, "foot")
    for shown in ("1,280", "a note of some words", "&lt;b&gt;", "12,345", "kl, mean", "0.2500", "1.500, 2.500",
                  "99 values", "1: net deep", "77", "x, y", "&lt;two&gt; cores", "yes", "foot"):  # fmt: skip
        assert shown in text, shown
    assert "<b>" not in text
    assert text.index("How it was made</h2>") > text.index("2: net flat")
    assert "3 rows" not in record_page("", [{"row": number} for number in range(3)])
    assert "<summary>101 rows</summary>" in record_page("", [{"row": number} for number in range(101)])
    for odd in ([], {}, None, "text", [None], {"rows": [{}]}, {"a": [[1], {"b": []}]}, {"n": math.nan, "m": 10**40}):
        assert "<h1>" in record_page("odd", odd), odd
