"""Answers that were written down in the tests (tests/support/transcript.h), held against the document."""

import json
import re
import urllib.parse

from document import BESIDE, METHODS, items_of

# Fields that are HTTP's own business (RFC 9110 and 9112), and so nobody's to describe.
FRAMING = {"connection", "content-length", "content-type", "date", "transfer-encoding"}


class Answer:
    """One of them. `method` is None where nothing is known of the request, `status` where it did not come yet."""

    def __init__(self, line):
        raw = json.loads(line)
        self.method = raw.get("method")
        self.target = raw.get("target", "")
        self.request_fields = fields_of(raw.get("fields", ""))
        self.sent = raw.get("sent")
        if "answer" in raw:
            head, body, self.is_whole = split(raw["answer"])
        else:
            head, body, self.is_whole = raw["head"], raw["body"], True
        found = re.match(r"HTTP/1\.[01] (\d{3}) ", without_interim(head))
        self.status = found and found.group(1)
        self.fields = fields_of(without_interim(head))
        self.media = self.fields.get("content-type")
        self.body = body.encode("latin-1").decode("utf-8", errors="strict" if self.is_whole else "ignore")

    def __str__(self):
        return f"{self.method or 'unknown request'} {self.target[:100]} -> {self.status} {self.media}"


def fields_of(text):
    pairs = (line.strip("\r").partition(":") for line in text.split("\n") if ":" in line)
    return {name.lower(): value.strip() for name, _, value in pairs}


def without_interim(head):
    """Without what was said before the answer: 100 Continue."""
    while re.match(r"HTTP/1\.[01] 1\d\d ", head):
        head = head.partition("\r\n\r\n")[2]
    return head


def split(answer):
    """Head, body without transfer coding, and whether all of it is there, of an answer as it came."""
    head, gap, body = without_interim(answer).partition("\r\n\r\n")
    fields = fields_of(head)
    if fields.get("transfer-encoding") == "chunked":
        body, is_whole = without_chunks(body)
    elif "content-length" in fields:
        is_whole = len(body) >= int(fields["content-length"])
        body = body[:int(fields["content-length"])]
    else:
        is_whole = '"type":"end"' in body
    return head, body, bool(gap) and is_whole


def without_chunks(body):
    pieces = []
    while True:
        size, gap, rest = body.partition("\r\n")
        if not gap:
            return "".join(pieces), False
        length = int(size, 16)
        if length == 0:
            return "".join(pieces), True
        pieces.append(rest[:length])
        body = rest[length + 2:]


class Check:
    """`complaints` are told; `used` has what of the document was answered: (method, path, status, type)."""

    def __init__(self, document):
        self.document = document
        self.complaints = []
        self.used = set()
        self.answers = self.items = 0
        self._fine = set()  # items that were looked at already

    def add(self, line):
        answer = Answer(line)
        if not answer.status:
            return
        self.answers += 1
        places = self._places(answer)
        refusals = []
        for place, response in places:
            complaints = [] if place[0] == "not-http" else self._compare(answer, response)
            if not complaints:
                self._use(answer, place)
                return
            refusals += complaints
        what = refusals if refusals else [f"status {answer.status} is not described"]
        self.complaints += [f"{answer}: {complaint}" for complaint in what[:3]]

    # -- what describes it -----------------------------------------------------------------------

    def _places(self, answer):
        """The (place, response) that may describe an answer: one of them must."""
        beside = self.document.root["x-every-request"]
        if answer.method is None and "x-content-type-options" not in answer.fields:
            return self._of(beside["not-http"], ("not-http", ""), answer)
        found = self._of(beside, ("every request", ""), answer)
        if answer.method is None:
            found += [place for path, item in self.document.root["paths"].items()
                      for method in METHODS if method in item
                      for place in self._of(item[method], (method.upper(), path), answer)]
            parts = BESIDE
        elif answer.status == "204" and answer.method == "OPTIONS":
            parts = ("preflight",)
        else:
            more, parts = self._operation(answer)
            found = more + found
        for name in parts:
            found += self._of(beside[name], (name, ""), answer)
        return found

    def _operation(self, answer):
        path = urllib.parse.urlsplit(answer.target).path
        method = "get" if answer.method == "HEAD" else answer.method.lower()
        for template, item in self.document.root["paths"].items():
            if re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path):
                if method in item:
                    return self._of(item[method], (answer.method, template), answer), ()
                return [], ("other-method",)
        return [], ("other-path",)

    def _of(self, node, place, answer):
        response = node["responses"].get(answer.status)
        return [(place, self.document.resolve(response))] if response else []

    def _use(self, answer, place):
        if answer.method is None and place[0] != "every request":
            return
        self.used.add((*place, answer.status, answer.media if answer.status == "200" else None))

    # -- whether it does -------------------------------------------------------------------------

    def _compare(self, answer, response):
        try:
            return self._fields(answer, response) + self._content(answer, response) + self._request(answer)
        except ValueError as error:  # no JSON, no UTF-8
            return [str(error)]

    def _fields(self, answer, response):
        described = {**self.document.root["x-every-request"]["headers"], **response.get("headers", {})}
        complaints = []
        names = set()
        for name, header in described.items():
            header = self.document.resolve(header)
            names.add(name.lower())
            value = answer.fields.get(name.lower())
            if value is None:
                complaints += [f"has no field {name}"] if header.get("required") else []
                continue
            if header["schema"].get("type") == "integer":
                value = int(value)
            complaint = self.document.complaint(header["schema"], value)
            complaints += [f"{name}: {complaint}"] if complaint else []
        for name in set(answer.fields) - names - FRAMING:
            complaints.append(f"the field {name} is not described")
        return complaints

    def _content(self, answer, response):
        content = response.get("content", {})
        if not content:
            return [f"has a body, {answer.body[:60]!r}"] if answer.body else []
        if answer.media not in content:
            return [f"the type {answer.media} is not described"]
        if answer.method == "HEAD":
            return ["HEAD has a body"] if answer.body else []
        media = content[answer.media]
        if "x-item-schema" in media:
            return self._items(answer, media["x-item-schema"])
        if not answer.is_whole:
            return []
        value = json.loads(answer.body) if answer.media.endswith("json") else answer.body
        complaint = self.document.complaint(media["schema"], value)
        return [complaint] if complaint else []

    def _items(self, answer, schema):
        end = "\n\n" if answer.media == "text/event-stream" else "\n"
        items = items_of(answer.media, answer.body[:answer.body.rfind(end) + len(end)])
        complaints = []
        for item in items:
            self.items += 1
            key = self._kin(item)
            if key in self._fine:
                continue
            complaint = self.document.complaint(schema, item)
            if complaint:
                complaints.append(f"{complaint} in {json.dumps(item)[:300]}")
            self._fine.add(key)
        if answer.is_whole:
            complaints += self._count(items)
        return complaints

    @staticmethod
    def _kin(item):
        """The same for results that are told apart by place, address and duration alone."""
        plain = {name: value for name, value in item.items() if name not in ("index", "duplicate_of", "body_bytes")}
        for name in ("url", "final_url"):
            if name in plain:
                plain[name] = re.sub("[0-9]+", "0", plain[name])
        if "timing_ms" in plain:
            plain["timing_ms"] = {name: value >= 0 for name, value in plain["timing_ms"].items()}
        for name in ("index", "duplicate_of", "body_bytes"):
            if name in item:
                plain[name] = isinstance(item[name], int) and item[name] >= 0
        return json.dumps(plain)

    @staticmethod
    def _count(items):
        """What no schema can say: the end, and that it adds up."""
        if not items or items[-1]["type"] != "end":
            return ["there is no end"]
        end, results = items[-1], items[:-1]
        if sorted(r["index"] for r in results) != list(range(end["total"])):
            return [f"{len(results)} results, and a total of {end['total']}, or an index that is not one of theirs"]
        counts = {status: sum(r["status"] == status for r in results) for status in ("ok", "failed", "cancelled")}
        wrong = {status for status, count in counts.items() if end[status] != count}
        return [f"the end counts other {wrong}"] if wrong else []

    # -- the request of a batch that was taken ---------------------------------------------------

    def _request(self, answer):
        if answer.method != "POST" or answer.status != "200" or answer.sent is None:
            return []
        operation = self.document.root["paths"][urllib.parse.urlsplit(answer.target).path]["post"]
        return self._query(answer, operation) + self._sent(answer, operation["requestBody"]["content"])

    def _query(self, answer, operation):
        parameters = {}
        for node in operation["parameters"]:
            parameter = self.document.resolve(node)
            if parameter["in"] == "query":
                parameters[parameter["name"]] = parameter
        complaints = []
        query = urllib.parse.urlsplit(answer.target).query
        for name, text in urllib.parse.parse_qsl(query, keep_blank_values=True):
            if name not in parameters:
                complaints.append(f"takes {name}, which is not described")
                continue
            schema, value = self._value(parameters[name], text)
            complaint = self.document.complaint(schema, value)
            complaints += [f"takes {name}={text}: {complaint}"] if complaint else []
        return complaints

    def _value(self, parameter, text):
        if "content" in parameter:
            return parameter["content"]["application/json"]["schema"], json.loads(text)
        kind = self.document.resolve(parameter["schema"]).get("type")
        if kind == "array":
            return parameter["schema"], [part.strip() for part in text.split(",")]
        return parameter["schema"], int(text) if kind == "integer" else text

    def _sent(self, answer, content):
        media = answer.request_fields.get("content-type", "").partition(";")[0]
        if not media:
            return []
        if media not in content:
            return [f"takes a body of type {media}, which is not described"]
        text = answer.sent.encode("latin-1").decode("utf-8", errors="replace")
        if "x-item-schema" in content[media]:
            pairs = [(content[media]["x-item-schema"], item) for item in items_of(media, text)]
        else:
            pairs = [(content[media]["schema"], json.loads(text) if media.endswith("json") else text)]
        complaints = (self.document.complaint(schema, value) for schema, value in pairs)
        return [f"takes a body: {complaint}" for complaint in complaints if complaint]
