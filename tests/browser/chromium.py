"""The Chromium of the tests: an installed one, else the one that npm has.

npm's is packed for Lambda. It is unpacked once, to ``.cache/chromium``, with the libraries that a bare machine lacks.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).parents[2]
UNPACKED = ROOT / ".cache/chromium"
INSTALLED = ("google-chrome-stable", "google-chrome", "chromium", "chromium-browser")
UNPACK = """
import chromium, { inflate } from "@sparticuz/chromium";
await chromium.executablePath();
await inflate("node_modules/@sparticuz/chromium/bin/al2023.tar.br");
"""
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{fonts}</dir><cachedir>{fonts}-cache</cachedir></fontconfig>
"""
"""fontconfig's settings. The package's own name Lambda's folders, and Chromium crashes where it finds no font."""


SHIFTS = """() => new Promise(resolve => {
  const jumps = [];
  const at = rect => `${Math.round(rect.x)},${Math.round(rect.y)}`;
  const name = node => node ? `${node.nodeName.toLowerCase()} “${node.textContent.trim().slice(0, 30)}”` : "something";
  const moved = ({ node, previousRect, currentRect }) => `${name(node)} from ${at(previousRect)} to ${at(currentRect)}`;
  new PerformanceObserver(list => {
    for (const each of list.getEntries()) jumps.push([each.value, each.sources.map(moved)]);
  }).observe({ type: "layout-shift", buffered: true });
  setTimeout(() => resolve(jumps), 500);
})"""
"""The jumps of a page since its begin and for another while (Layout Instability, W3C): how far each is, and what moved.
A sum of less than 0.1 is good."""


@dataclass(frozen=True)
class Chromium:
    program: str
    variables: dict[str, str] = field(default_factory=dict)


def chromium() -> Chromium:
    """Raises ``RuntimeError`` where there is none: these tests are never left out in silence."""
    for name in INSTALLED:
        if found := shutil.which(name):
            return Chromium(found)
    program = UNPACKED / "chromium"
    if not program.exists():
        _unpack()
    settings = UNPACKED / "fonts.conf"
    settings.write_text(FONTS.format(fonts=escape(str(UNPACKED / "fonts"))))
    libraries = f"{UNPACKED / 'al2023/lib'}:{UNPACKED}"
    return Chromium(str(program), {"LD_LIBRARY_PATH": libraries, "FONTCONFIG_FILE": str(settings)})


def _unpack() -> None:
    UNPACKED.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", UNPACK],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(UNPACKED)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        shutil.rmtree(UNPACKED, ignore_errors=True)
        raise RuntimeError(
            "There is no browser for these tests: no Chrome or Chromium is installed, and npm's can't be unpacked. "
            f"Run `make setup`, or install chromium.\n{done.stderr}"
        )
