"""Make docs/page.png: the page at `/` in the middle of a short story, its left half in light and its right in dark.

Needs Chromium, and a font with Chinese characters (Debian: chromium, fonts-noto-cjk). The server is the real one, on
a free port; the story is clicked through in a real browser.
"""

from __future__ import annotations

import base64
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from time import monotonic, sleep

from playwright.sync_api import Page, ViewportSize, sync_playwright

PICTURE = Path(__file__).with_name("page.png")
SIZE: ViewportSize = {"width": 1280, "height": 800}
CHROMIUM = "/usr/bin/chromium"
# The system's own proxy settings must not come between.
open_url = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@contextmanager
def server() -> Iterator[str]:
    """The URL of a server that runs until the end of the block."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("presence-server")), "--port", str(port)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(url)
        yield url
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """The service's own port if nobody listens there, else any."""
    with socket() as probe:
        taken = probe.connect_ex(("127.0.0.1", 8004)) == 0
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1]) if taken else 8004


def wait_until_ready(url: str) -> None:
    deadline = monotonic() + 15
    while True:
        try:
            with open_url(f"{url}/readyz", timeout=1):
                return
        except OSError:
            if monotonic() > deadline:
                raise
            sleep(0.1)


def tell_the_story(page: Page, url: str) -> None:
    """502 is busy on two devices, 501 went idle and lost the network a moment ago."""
    page.goto(f"{url}/?people=501,502")
    for user in (501, 502):
        page.locator(f'[data-testid="person-{user}"][data-state="online"]').wait_for()
    second = b'{"userId": 502, "deviceId": "phone", "platform": "IOS"}'
    request = urllib.request.Request(f"{url}/api/v1/presence/online", second, {"Content-Type": "application/json"})
    open_url(request, timeout=5).close()
    page.get_by_test_id("status-text-502").fill("In a meeting until three")
    page.get_by_test_id("busy-502").click()
    page.locator('[data-testid="sees-501-502"][data-status="BUSY"]').wait_for()
    page.get_by_test_id("idle-501").click()
    page.locator('[data-testid="sees-502-501"][data-status="AWAY"]').wait_for()
    page.get_by_test_id("pull-501").click()
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(2600)


def both_halves(page: Page, light: bytes, dark: bytes) -> bytes:
    """The left half of one picture beside the right half of the other."""
    sources = [f"data:image/png;base64,{base64.b64encode(image).decode()}" for image in (light, dark)]
    page.set_content(
        f"""<style>
          body {{ margin: 0; position: relative }}
          img {{ display: block }}
          img + img {{ position: absolute; inset: 0; clip-path: inset(0 0 0 50%) }}
        </style>
        <img src="{sources[0]}"><img src="{sources[1]}">"""
    )
    page.wait_for_function("[...document.images].every((image) => image.complete)")
    return page.screenshot(full_page=True)


def main() -> None:
    with server() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        tell_the_story(page, url)
        light = page.screenshot(full_page=True)
        page.emulate_media(color_scheme="dark")
        page.wait_for_timeout(400)  # colours change softly
        dark = page.screenshot(full_page=True)
        PICTURE.write_bytes(both_halves(browser.new_page(viewport=SIZE), light, dark))
        browser.close()


if __name__ == "__main__":
    main()
