"""Chromium without a window, driven through the DevTools protocol over a pair of pipes."""

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time

PATIENCE_S = 60


class PageError(Exception):
    """The page did not do what was waited for, or its script failed."""


def _pipe():
    """A pipe whose ends are above those that Chromium expects (3 and 4)."""
    ends = os.pipe()
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in ends]
    for fd in ends:
        os.close(fd)
    return high


class Browser:
    """One browser with one page. Use as a context manager."""

    def __init__(self, program):
        self.home = tempfile.mkdtemp(prefix="skimd-page-")
        self.downloads = os.path.join(self.home, "downloads")
        os.mkdir(self.downloads)
        to_read, self.to = _pipe()
        self.origin, from_write = _pipe()
        arguments = [program, "--headless=new", "--remote-debugging-pipe", f"--user-data-dir={self.home}/profile",
                     "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
                     "--hide-scrollbars", "--force-device-scale-factor=1", "about:blank"]
        if os.geteuid() == 0:  # which its sandbox refuses
            arguments.insert(1, "--no-sandbox")
        log = os.open(os.path.join(self.home, "log"), os.O_WRONLY | os.O_CREAT, 0o600)
        self.pid = os.posix_spawn(shutil.which(program), arguments, os.environ, file_actions=[
            (os.POSIX_SPAWN_DUP2, to_read, 3), (os.POSIX_SPAWN_DUP2, from_write, 4), (os.POSIX_SPAWN_DUP2, log, 2)],
            setpgroup=0)
        for fd in (to_read, from_write, log):
            os.close(fd)
        self.rest = b""
        self.last_id = 0
        self.session = None
        self.complaints = []  # exceptions, and what the console calls an error
        self.downloaded = []  # file names
        self.answers = {}  # what the page is answered in place of the daemon: part of a URL -> (status, JSON)
        self.asked = []  # the requests that were answered so

    def __enter__(self):
        self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=self.downloads, eventsEnabled=True)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *_):
        os.killpg(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        for fd in (self.to, self.origin):
            os.close(fd)
        shutil.rmtree(self.home, ignore_errors=True)

    # -- the protocol ---------------------------------------------------------------------------

    def _send(self, method, parameters):
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.to, data):]
        return self.last_id

    def _receive(self, deadline):
        while b"\0" not in self.rest:
            if not select.select([self.origin], [], [], max(0, deadline - time.monotonic()))[0]:
                raise PageError("the browser does not answer")
            piece = os.read(self.origin, 1 << 20)
            if not piece:
                with open(os.path.join(self.home, "log"), encoding="utf-8", errors="replace") as log:
                    raise PageError("the browser has ended: " + log.read()[-2000:])
            self.rest += piece
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def _hear(self, event):
        parameters = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(parameters["exceptionDetails"])[:500])
            case "Log.entryAdded" if parameters["entry"]["level"] == "error":
                self.complaints.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")
            case "Page.javascriptDialogOpening":
                self.complaints.append("a dialog opened: " + parameters["message"])
                self._send("Page.handleJavaScriptDialog", {"accept": True})
            case "Browser.downloadWillBegin":
                self.begun = parameters["suggestedFilename"]
            case "Browser.downloadProgress" if parameters["state"] == "completed":
                self.downloaded.append(self.begun)
            case "Fetch.requestPaused":
                self._answer(parameters)

    def call(self, method, **parameters):
        """Calls a method of the protocol; what it gives."""
        number = self._send(method, parameters)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            message = self._receive(deadline)
            if message.get("id") == number:
                if "error" in message:
                    raise PageError(f"{method}: {message['error']['message']}")
                return message["result"]
            self._hear(message)

    # -- the page -------------------------------------------------------------------------------

    def open(self, url, width=1100, height=900, scheme="light"):
        """Opens `url` in a window of that size (CSS pixels) and colour scheme."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                  mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=url)
        self.wait(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")

    def run(self, script):
        """The value of a JavaScript expression, awaited where it is a promise."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise PageError(f"{script}: {json.dumps(result['exceptionDetails'])[:500]}")
        return result["result"].get("value")

    def wait(self, condition):
        """Until the condition, a JavaScript expression, is true at a frame of the page."""
        holds = self.run("new Promise((resolve) => { const end = performance.now() + %d; const look = () => {"
                         " if (%s) resolve(true); else if (performance.now() > end) resolve(false);"
                         " else requestAnimationFrame(look); }; look(); })" % (PATIENCE_S * 500, condition))
        if not holds:
            raise PageError(f"it never came to {condition}; the page says: "
                            + str(self.run("document.getElementById('announcement')?.textContent")))

    def key(self, key, code=None, modifiers=0, text=""):
        """Presses and releases a key (modifiers: 2 is Ctrl, 8 Shift)."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, "End": 35, "Home": 36, "ArrowUp": 38, "ArrowDown": 40, " ": 32}
        text = {"Enter": "\r", " ": " "}.get(key, text)
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=code or key, modifiers=modifiers,
                      windowsVirtualKeyCode=codes.get(key, 0), text=text if kind == "keyDown" else "")

    def type(self, text):
        """What a user pastes where the focus is."""
        self.call("Input.insertText", text=text)

    def click(self, selector):
        """Clicks in the middle of an element, where a pointer would."""
        x, y = self.run("(() => { const e = document.querySelector(%s); e.scrollIntoView({block: 'center'});"
                        " const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
                        % json.dumps(selector))
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def download(self, selector):
        """Clicks, waits for the download, and gives the bytes of its file."""
        already = len(self.downloaded)
        self.click(selector)
        deadline = time.monotonic() + PATIENCE_S
        while len(self.downloaded) == already:
            self._hear(self._receive(deadline))
        path = os.path.join(self.downloads, self.downloaded[-1])
        with open(path, "rb") as file:
            content = file.read()
        os.remove(path)
        return content

    def screenshot(self, path, whole=False):
        """Writes a PNG of the window, or of the whole page."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    # -- in place of the daemon -----------------------------------------------------------------

    def answer(self, part, status, document):
        """From now on a request whose URL contains `part` is answered so, and noted in `asked`."""
        self.answers[part] = (status, document)
        self.call("Fetch.enable", patterns=[{"urlPattern": f"*{p}*"} for p in self.answers])

    def answer_no_more(self):
        self.answers.clear()
        self.call("Fetch.disable")

    def _answer(self, paused):
        status, document = next(a for p, a in self.answers.items() if p in paused["request"]["url"])
        self.asked.append(paused["request"])
        self._send("Fetch.fulfillRequest", {
            "requestId": paused["requestId"], "responseCode": status,
            "responseHeaders": [{"name": "Content-Type", "value": "application/json"}],
            "body": base64.b64encode(json.dumps(document).encode()).decode()})
