"""How fast the explorers follow, in JupyterLab in a browser: from the key press to the changed picture.

    EACBOOK_RUNS=notebooks/runs python benchmarks/explorers.py

Moves a slider of each explorer by keyboard: 100 moves, each waited for, and then 1,000 without waiting.
Prints the median, 95th percentile and maximum of the first, and of the second the seconds until the
last picture stands, the errors, and how much the kernel's memory has grown. Writes
``benchmarks/results/explorers.json``.
"""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import psutil  # comes with ipykernel
from playwright.sync_api import sync_playwright
from results import keep

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))
from laboratory import (
    VIEWPORT,
    Watch,
    launch_browser,
    open_and_run_all,
    serve_lab,
    shown_bytes,
)

EXPLORERS = {
    "noise-explorer": "01_label_noise.ipynb",
    "attention-explorer": "03_attention.ipynb",
    "loss-explorer": "04_losses.ipynb",
}
MOVES, QUICK_MOVES = 100, 1000

# From the key's event to the load event of the picture that it brought.
WATCH = """box => {
    window.times = [];
    addEventListener('keydown', event => { window.pressed = event.timeStamp; }, true);
    box.querySelector('img').addEventListener('load', event => {
        window.times.push(event.timeStamp - window.pressed);
    });
}"""


def kernel_megabytes() -> float:
    """Memory of the one kernel that runs below this process."""
    children = psutil.Process().children(recursive=True)
    (kernel,) = [p for p in children if "ipykernel_launcher" in " ".join(p.cmdline())]
    return kernel.memory_info().rss / 1e6


def back_and_forth():
    """Keys that lead a slider from one end to the other, again and again."""
    return itertools.cycle(["ArrowRight"] * 12 + ["ArrowLeft"] * 12)


def measure(page, explorer: str) -> dict:
    """The figures of one explorer, whose notebook was run in the page."""
    box = page.locator(f".{explorer}")
    slider, image = box.get_by_role("slider").first, box.locator("img")
    if explorer == "noise-explorer":
        box.get_by_role("combobox").press("Home")
    slider.press("Home")
    page.wait_for_timeout(2000)
    box.evaluate(WATCH)
    keys = back_and_forth()
    for count in range(MOVES):
        slider.press(next(keys))
        page.wait_for_function("count => window.times.length > count", arg=count, timeout=10_000)
    times = pd.Series(page.evaluate("window.times"))
    facts = {
        "explorer": explorer,
        "moves": MOVES,
        "median_ms": times.median(),
        "p95_ms": times.quantile(0.95),
        "max_ms": times.max(),
    }

    before = kernel_megabytes()
    keys = back_and_forth()
    begin = time.perf_counter()
    for _ in range(QUICK_MOVES):
        page.keyboard.press(next(keys))
    last = time.perf_counter()
    shown, end = shown_bytes(image), last
    while time.perf_counter() - end < 2:  # two seconds without a change
        page.wait_for_timeout(20)
        now = shown_bytes(image)
        if now != shown:
            shown, end = now, time.perf_counter()
    grown = kernel_megabytes() - before
    return facts | {
        "quick_moves": QUICK_MOVES,
        "moves_per_second": QUICK_MOVES / (last - begin),
        "lag_s": end - last,
        "kernel_mb": before,
        "kernel_growth": grown / before,
        "errors": len(page.watch.errors),
    }


def main() -> None:
    runs = Path(os.environ.get("EACBOOK_RUNS", "notebooks/runs")).resolve()
    rows = []
    with sync_playwright() as playwright:
        browser = launch_browser(playwright)
        for explorer, notebook in EXPLORERS.items():
            with tempfile.TemporaryDirectory() as place, serve_lab(Path(place), runs) as lab:
                page = browser.new_page(base_url=lab.url, viewport=VIEWPORT)
                page.watch = Watch(lab.url).over(page)
                open_and_run_all(page, notebook)
                rows.append(measure(page, explorer))
                page.close()
        browser.close()
    keep("explorers", rows)
    print(pd.DataFrame(rows).set_index("explorer").T.round(3).to_string())


if __name__ == "__main__":
    main()
