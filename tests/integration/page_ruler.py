"""Measures a page in a real browser: how wide it is, and how small its words are. The page itself has no script."""

import json
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

_RULER = """<!DOCTYPE html><meta charset="utf-8"><body style="margin:0">
<iframe src="{url}" style="border:0;width:{width}px;height:2000px"></iframe>
<pre id="said"></pre><script>
addEventListener("load", () => {{
  const page = document.querySelector("iframe").contentDocument;
  const sizes = [];
  const walker = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {{
    const of = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !of.getClientRects().length || of.closest("title")) continue;
    const svg = of.closest("svg");
    const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
    const size = parseFloat(page.defaultView.getComputedStyle(of).fontSize);
    sizes.push([scale * size, walker.currentNode.textContent.trim()]);
  }}
  sizes.sort((one, other) => one[0] - other[0]);
  const [smallest_px, said] = sizes[0];
  const found = {{width: page.scrollingElement.scrollWidth, smallest_px, said, texts: sizes.length}};
  document.querySelector("#said").textContent = JSON.stringify(found);
}});
</script>"""


class Ruled(NamedTuple):
    """What the browser says of a page."""

    width: int  # of what it holds: more than the window has is scrolled sideways
    smallest_px: float  # of its words, as they are shown
    said: str  # the smallest of them
    texts: int


def ruled(browser: list[str], page: Path, width: int, folder: Path) -> Ruled:
    """`browser`: its command and flags; `folder`: where the ruler may lie."""
    ruler = folder / f"ruler-{width}.html"
    ruler.write_text(_RULER.format(url=page.as_uri(), width=width), encoding="utf-8")
    flags = ["--allow-file-access-from-files", "--virtual-time-budget=10000", "--dump-dom", ruler.as_uri()]
    shown = subprocess.run([*browser, *flags], capture_output=True, text=True, timeout=120, check=True).stdout
    (said,) = re.findall(r'<pre id="said">(.*?)</pre>', shown, re.DOTALL)
    return Ruled(**json.loads(said.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")))
