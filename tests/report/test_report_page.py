"""The report's page in a browser: nothing cut, nothing overflowing, tables that sort."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest
from test_report import study

from merginguriel.report import pages
from merginguriel.report.report import build

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--virtual-time-budget=5000",
)  # fmt: skip
# Opens all that is folded, measures, sorts the first table by its first column, and writes what it saw into the page.
CHECK = """
document.querySelectorAll("details").forEach(d => d.open = true);
const wider = e => e.scrollWidth > e.clientWidth + 1;
const name = e => e.tagName + " " + e.textContent.trim().slice(0, 60);
const all = s => Array.from(document.querySelectorAll(s));
const scrolls = e => getComputedStyle(e).overflowX !== "visible";
const first = document.querySelector("table"), column = () => Array.from(first.tBodies[0].rows).map(r => r.cells[0].textContent);
const seen = {
  width: innerWidth, page: document.documentElement.scrollWidth,
  cut: all("td, th, p, li, h1, h2, h3, figcaption, summary").filter(wider).map(name),
  overflow: all(".wide, figure").filter(e => wider(e) && !scrolls(e)).map(name),
  scrolling: all(".wide, figure").filter(e => wider(e) && scrolls(e)).map(name),
  images: all("img").filter(i => i.naturalWidth === 0).length,
  sticky: all("th").every(e => getComputedStyle(e).position === "sticky"),
  before: column(),
};
const head = first.tHead.rows[0].cells[0];
head.click(); seen.up = column(); head.click(); seen.down = column();
document.body.innerHTML = ""; document.body.setAttribute("data-seen", JSON.stringify(seen));
"""


def opened(page, width, folder):
    """What the page shows at this width, as CHECK measures it."""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy".*?/>', "", page.read_text(encoding="utf-8"))
    copy = folder / f"page-{width}.html"
    copy.write_text(text.replace("</body>", f"<script>{CHECK}</script></body>"), encoding="utf-8")
    command = (BROWSER, *FLAGS, f"--user-data-dir={folder / 'profile'}", f"--window-size={width},900", "--dump-dom",
               copy.as_uri())  # fmt: skip
    dom = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    found = re.search(r'data-seen="([^"]*)"', dom)
    assert found, dom[:2000]
    return json.loads(
        found[1].replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    )


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_the_page_cuts_nothing_and_sorts_in_a_browser(tmp_path):
    pages.write(build(study(tmp_path)), tmp_path / "out")
    for width in (1300, 700):
        seen = opened(tmp_path / "out" / "report.html", width, tmp_path)
        assert abs(seen["width"] - width) <= 20 and seen["page"] <= seen["width"]
        assert (seen["cut"], seen["overflow"], seen["images"], seen["sticky"]) == ([], [], 0, True)
        assert seen["up"] == sorted(seen["before"]) and seen["down"] == seen["up"][::-1]
        assert not seen["scrolling"] or width < 1200
