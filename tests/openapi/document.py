"""The document: reading it, and whether it is one.

Debian has no schema of OpenAPI 3.1 itself, so the objects that ours has are listed here, with what they may have.
"""

import json
import re

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

METHODS = ("get", "post", "delete")

# Of OpenAPI 3.1.0, section 4.8: what must be there, and what may. A name with "x-" in front may be everywhere.
OBJECTS = {
    "document": ({"openapi", "info", "paths"}, {"servers", "security", "tags", "components"}),
    "info": ({"title", "version"}, {"summary", "description"}),
    "path": (set(), {"description", "parameters", *METHODS}),
    "operation": ({"operationId", "responses"}, {"tags", "summary", "description", "parameters", "requestBody", "security"}),
    "parameter": ({"name", "in"}, {"description", "required", "style", "explode", "schema", "content", "example"}),
    "body": ({"content"}, {"description", "required"}),
    "response": ({"description"}, {"headers", "content"}),
    "header": (set(), {"description", "required", "schema"}),
    "media": (set(), {"schema", "example", "examples"}),
    "components": (set(), {"schemas", "responses", "parameters", "headers", "securitySchemes"}),
}
BESIDE = ("other-path", "other-method", "preflight")  # of x-every-request, which has "not-http" too


def lines_of(text):
    """The items of a body of lines."""
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def events_of(text):
    """The data of server-sent events (HTML standard, section 9.2.6), of which only `data` is ours; comments aside."""
    items = []
    for event in text.split("\n\n")[:-1]:
        data = [line for line in event.split("\n") if not line.startswith(":")]
        if not data:
            continue
        if any(not line.startswith("data: ") for line in data):
            raise ValueError(f"no line of an event: {data[0]!r}")
        items.append(json.loads("\n".join(line[6:] for line in data)))
    return items


def items_of(media, text):
    return events_of(text) if media == "text/event-stream" else lines_of(text)


def nearest(errors):
    """One of those that are wrong by the alternative that fewest are wrong by: it is the one that was meant."""
    branches = {}
    for error in errors:
        branches.setdefault(error.schema_path[0], []).append(error)
    return min(branches.values(), key=len)[0]


class Document:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.text = file.read()
        self.root = json.loads(self.text, object_pairs_hook=self._object)
        self._validators = {}

    @staticmethod
    def _object(pairs):
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            raise ValueError(f"a name stands twice among {names}")
        return dict(pairs)

    def resolve(self, node):
        while "$ref" in node:
            node = self.at(node["$ref"])
        return node

    def at(self, ref):
        node = self.root
        for part in ref.removeprefix("#/").split("/"):
            node = node[part]
        return node

    def complaint(self, schema, value):
        """What of `value` is not as the schema has it, in one line; None: nothing."""
        key = json.dumps(schema, sort_keys=True)
        if key not in self._validators:
            whole = {"allOf": [schema], "components": self.root["components"]}  # which $ref is looked up in
            self._validators[key] = Draft202012Validator(whole)
        error = next(self._validators[key].iter_errors(value), None)
        while error and error.context:
            error = nearest(error.context)
        return error and f"{error.json_path}: {error.message[:300]}"


class Inspection:
    """Goes through the whole document; `faults` are what is wrong with it."""

    def __init__(self, document):
        self.document = document
        self.faults = []
        self.seen_refs = set()
        self.operation_ids = set()
        self._whole()

    def _fault(self, where, what):
        self.faults.append(f"{where}: {what}")

    def _keys(self, kind, node, where):
        needed, allowed = OBJECTS[kind]
        names = {name for name in node if not name.startswith("x-")}
        for name in needed - names:
            self._fault(where, f"has no {name}")
        for name in names - needed - allowed:
            self._fault(where, f"{name} is not known")

    def _whole(self):
        root = self.document.root
        self._keys("document", root, "document")
        self._keys("info", root["info"], "info")
        self._refs(root, "document")
        if self.faults:
            return
        for path, item in root["paths"].items():
            self._path(path, item)
        beside = root["x-every-request"]
        for name, part in [("x-every-request", beside)] + [(name, beside[name]) for name in (*BESIDE, "not-http")]:
            self._responses(part["responses"], name)
        self._headers(beside["headers"], "x-every-request")
        self._components(root["components"])

    def _refs(self, node, where):
        if isinstance(node, dict):
            if "$ref" in node:
                self.seen_refs.add(node["$ref"])
                try:
                    self.document.at(node["$ref"])
                except (KeyError, TypeError):
                    self._fault(where, f"{node['$ref']} is not there")
            for name, value in node.items():
                self._refs(value, f"{where}/{name}")
        elif isinstance(node, list):
            for i, value in enumerate(node):
                self._refs(value, f"{where}/{i}")

    def _path(self, path, item):
        self._keys("path", item, path)
        shared = item.get("parameters", [])
        for method in METHODS:
            if method in item:
                self._operation(f"{method} {path}", path, item[method], shared)

    def _operation(self, where, path, operation, shared):
        self._keys("operation", operation, where)
        name = operation.get("operationId")
        if name in self.operation_ids:
            self._fault(where, f"there is another operation {name}")
        self.operation_ids.add(name)
        known = {tag["name"] for tag in self.document.root["tags"]}
        for tag in set(operation.get("tags", [])) - known:
            self._fault(where, f"there is no tag {tag}")
        parameters = [self.document.resolve(p) for p in shared + operation.get("parameters", [])]
        for parameter in parameters:
            self._parameter(parameter, where)
        in_path = {p["name"] for p in parameters if p["in"] == "path"}
        if in_path != set(re.findall(r"{(\w+)}", path)):
            self._fault(where, f"its parameters in the path are {in_path}")
        if "requestBody" in operation:
            self._keys("body", operation["requestBody"], where)
            self._content(operation["requestBody"]["content"], where)
        self._responses(operation["responses"], where)

    def _parameter(self, parameter, where):
        where = f"{where}, parameter {parameter['name']}"
        self._keys("parameter", parameter, where)
        if ("schema" in parameter) == ("content" in parameter):
            self._fault(where, "has not one of schema and content")
        if parameter["in"] == "path" and parameter.get("required") is not True:
            self._fault(where, "is in the path, and not required")
        if "content" in parameter:
            self._content(parameter["content"], where)
        else:
            self._schema(parameter["schema"], where)
            if "example" in parameter:
                self._example(parameter["schema"], parameter["example"], where)

    def _responses(self, responses, where):
        for status, response in responses.items():
            if not re.fullmatch("[1-5][0-9][0-9]", status):
                self._fault(where, f"{status} is no status")
            self._response(self.document.resolve(response), f"{where}, {status}")

    def _response(self, response, where):
        self._keys("response", response, where)
        self._headers(response.get("headers", {}), where)
        self._content(response.get("content", {}), where)

    def _headers(self, headers, where):
        for name, header in headers.items():
            header = self.document.resolve(header)
            self._keys("header", header, f"{where}, {name}")
            self._schema(header["schema"], f"{where}, {name}")

    def _content(self, content, where):
        for media, node in content.items():
            self._keys("media", node, f"{where}, {media}")
            examples = [node["example"]] if "example" in node else []
            examples += [e["value"] for e in node.get("examples", {}).values()]
            self._schema(node["schema"], f"{where}, {media}")
            for example in examples:
                self._example(node["schema"], example, f"{where}, {media}")
                if "x-item-schema" in node:
                    for item in items_of(media, example):
                        self._example(node["x-item-schema"], item, f"{where}, {media}")

    def _components(self, components):
        self._keys("components", components, "components")
        for name, schema in components["schemas"].items():
            self._schema(schema, f"schema {name}")
        for kind, members in components.items():
            for name in members:
                ref = f"#/components/{kind}/{name}"
                if ref not in self.seen_refs and kind != "securitySchemes":
                    self._fault(ref, "is not used")

    def _schema(self, schema, where):
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            self._fault(where, error.message)
        for example in schema.get("examples", []):
            self._example(schema, example, where)

    def _example(self, schema, example, where):
        complaint = self.document.complaint(schema, example)
        if complaint:
            self._fault(where, f"example: {complaint}")
