"""Drive headless Chromium over its DevTools protocol: to test pages, to audit them and to print them."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NAVIGATED = "Inspected target navigated or closed"  # what Chromium answers while another page is being opened
_READ_FILES = "--allow-file-access-from-files"  # so that a test may read a picture's pixels back
_FLAGS = (
    "--headless=new",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)


def find() -> str | None:
    """Give the path of Chromium or Chrome, None where there is none; `BLOODLIB_CHROMIUM` comes first."""
    return os.environ.get("BLOODLIB_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """Hold one page of a headless browser; a context manager.

    Attributes
    ----------
    problems : list of str
        Errors that the console showed, and exceptions, since the last `open`.
    requests : list of str
        Addresses that were asked for since the last `open`.

    Parameters
    ----------
    patience_s : float
        How long a page may take to load, a command to answer and a condition to come true.
    read_files : bool
        Whether a page may read other files, which readers' browsers forbid.

    Raises
    ------
    FileNotFoundError
        If no Chromium is found.
    RuntimeError
        If it does not start, a page is not loaded in time, or a script in the page fails.
    """

    def __init__(self, patience_s: float = 60, read_files: bool = True) -> None:
        self.patience_s = patience_s
        program = find()
        if program is None:
            raise FileNotFoundError(
                f"no Chromium found: install one of {', '.join(NAMES)}, or set BLOODLIB_CHROMIUM to its path"
            )
        self.problems: list[str] = []
        self.requests: list[str] = []
        self._last, self._events = 0, []
        self._profile = tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True)
        sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        allowed = [_READ_FILES] if read_files else []
        command = [program, *_FLAGS, *allowed, *sandbox, f"--user-data-dir={self._profile.name}", "about:blank"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self._connect()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connect(self) -> None:
        import urllib.request

        import websocket

        announced = Path(self._profile.name) / "DevToolsActivePort"
        until = time.monotonic() + self.patience_s
        while not (announced.exists() and announced.read_text().count("\n")):
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{self._process.args[0]} did not start (exit status {self._process.poll()})")
            time.sleep(0.05)
        port = announced.read_text().split("\n")[0]
        plain = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with plain.open(f"http://127.0.0.1:{port}/json/list", timeout=self.patience_s) as reply:
            page = next(one for one in json.load(reply) if one["type"] == "page")
        self._socket = websocket.create_connection(
            page["webSocketDebuggerUrl"], timeout=self.patience_s, http_no_proxy=["127.0.0.1"], suppress_origin=True
        )
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **given: Any) -> dict[str, Any]:
        """Send one command of the protocol and give its result."""
        self._last += 1
        self._socket.send(json.dumps({"id": self._last, "method": method, "params": given}))
        while True:
            said = json.loads(self._socket.recv())
            if said.get("id") == self._last:
                if "error" in said:
                    raise RuntimeError(f"{method}: {said['error']['message']}")
                return said["result"]
            self._note(said)

    def _note(self, event: dict[str, Any]) -> None:
        name, about = event.get("method"), event.get("params", {})
        self._events.append(name)
        if name == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])
        elif name == "Runtime.exceptionThrown":
            thrown = about["exceptionDetails"]
            self.problems.append(thrown.get("exception", {}).get("description") or thrown["text"])
        elif name == "Runtime.consoleAPICalled" and about["type"] == "error":
            self.problems.append(" ".join(str(one.get("value", one.get("description"))) for one in about["args"]))
        elif name == "Log.entryAdded" and about["entry"]["level"] == "error":
            self.problems.append(about["entry"]["text"] + " " + about["entry"].get("url", ""))

    def open(self, address: str | Path) -> None:
        """Open a file or an address, and wait until it is loaded."""
        url = address.resolve().as_uri() if isinstance(address, Path) else address
        self.problems, self.requests, self._events = [], [], []
        self.send("Page.navigate", url=url)
        until = time.monotonic() + self.patience_s
        while "Page.loadEventFired" not in self._events:
            if time.monotonic() > until:
                raise RuntimeError(f"{url}: not loaded within {self.patience_s:g} s")
            self._note(json.loads(self._socket.recv()))

    def evaluate(self, script: str) -> Any:
        """Run JavaScript in the page, wait for its promise if it is one, and give its value."""
        done = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in done:
            thrown = done["exceptionDetails"]
            raise RuntimeError(thrown.get("exception", {}).get("description") or thrown["text"])
        return done["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Wait until a JavaScript expression is true."""
        until = time.monotonic() + self.patience_s
        while not self._holds(condition):
            if time.monotonic() > until:
                raise RuntimeError(f"not within {self.patience_s:g} s: {condition}")
            time.sleep(0.05)

    def _holds(self, condition: str) -> bool:
        try:
            return self.evaluate(f"Boolean({condition})")
        except RuntimeError as error:
            if NAVIGATED not in str(error):
                raise
            return False  # asked of a page that was being left

    def emulate(
        self, width: int = 1280, height: int = 900, dark: bool = False, touch: bool = False, calm: bool = False
    ) -> None:
        """Set the size of the window in pixels, and what the reader's system asks for; calm: for less motion."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch)
        self.send("Emulation.setTouchEmulationEnabled", enabled=touch)
        asked = {"prefers-color-scheme": "dark" if dark else "light"}
        asked["prefers-reduced-motion"] = "reduce" if calm else "no-preference"
        features = [{"name": name, "value": value} for name, value in asked.items()]
        self.send("Emulation.setEmulatedMedia", media="screen", features=features)

    def press(self, key: str, ctrl: bool = False) -> None:
        """Press a key, such as ``ArrowRight``, ``Tab``, ``Enter``, ``Home`` or a letter, perhaps with Control."""
        codes = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Home": 36, "End": 35}
        codes |= {"Tab": 9, "Enter": 13, " ": 32}
        about = {"key": key, "windowsVirtualKeyCode": codes.get(key, ord(key[0].upper())), "modifiers": 2 * ctrl}
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 and not ctrl else "")
        self.send("Input.dispatchKeyEvent", type="keyDown", **about, **({"text": text} if text else {}))
        self.send("Input.dispatchKeyEvent", type="keyUp", **about)

    def centre_of(self, selector: str) -> tuple[float, float]:
        """Scroll an element into view and give its middle, in pixels of the window."""
        return tuple(
            self.evaluate(
                f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
                "e.scrollIntoView({block: 'center', behavior: 'instant'}); const b = e.getBoundingClientRect();"
                "return [b.left + b.width / 2, b.top + b.height / 2]; })()"
            )
        )

    def click(self, selector: str) -> None:
        """Click into the middle of an element with the mouse."""
        x, y = self.centre_of(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def touch(self, x: float, y: float) -> None:
        """Put a finger down on the window and lift it."""
        self.send("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        self.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def screenshot(self, path: Path, whole: bool = True) -> Path:
        """Write a PNG of the page as it stands, or of the window alone."""
        shot = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **self._clip(whole))
        path.write_bytes(base64.b64decode(shot["data"]))
        return path

    def _clip(self, whole: bool) -> dict[str, Any]:
        if not whole:
            return {}
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}

    def pdf(self, path: Path) -> Path:
        """Print the page on A4."""
        printed = self.send(
            "Page.printToPDF",
            printBackground=True,
            paperWidth=8.27,
            paperHeight=11.69,
            generateDocumentOutline=True,
            generateTaggedPDF=True,
            transferMode="ReturnAsStream",
        )
        with path.open("wb") as file:
            while True:
                part = self.send("IO.read", handle=printed["stream"], size=2**20)
                file.write(base64.b64decode(part["data"]) if part.get("base64Encoded") else part["data"].encode())
                if part["eof"]:
                    return path

    def close(self) -> None:
        """End the browser that this object started."""
        if hasattr(self, "_socket"):
            self._socket.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._profile.cleanup()
