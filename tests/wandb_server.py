"""A server on loopback that takes what W&B uploads: as much of its API as a `wandb sync` and an online run call."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PROJECT = {"id": "project", "name": "imagenetd", "entity": {"id": "entity", "name": "lab"}}


@dataclass
class Received:
    """What was uploaded."""

    runs: list[dict[str, Any]] = field(default_factory=list)
    """Variables of each UpsertBucket."""
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_codes: list[int] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    """Files of the run, by name."""
    artifacts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Name -> type, manifest entries (path -> bytes), whether it was committed."""
    unknown: list[str] = field(default_factory=list)
    """Calls that this server does not know."""

    def take(self, path: str, data: bytes) -> None:
        """Keep an upload."""
        kind, _, rest = path.lstrip("/").partition("/")
        if kind == "run-file":
            self.files[rest] = data
            return
        artifact, _, name = rest.partition("/")
        content = self.artifacts[artifact]["manifest" if kind == "manifest" else "files"]
        content[name] = data


class Api:
    """Answers the GraphQL calls of one server at `url`."""

    def __init__(self, url: str, received: Received) -> None:
        self.url, self.received = url, received

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Return the `data` of a call by the name of its operation."""
        found = re.search(r"(?:query|mutation)\s+(\w+)", query)
        name = found.group(1) if found else query[:80]
        calls: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "Viewer": lambda _: {
                "viewer": {"id": "u", "entity": "lab", "username": "u", "email": "", "flags": "{}"}
                | {"teams": {"edges": []}}
            },
            "ServerFeaturesQuery": lambda _: {"serverInfo": {"features": []}},
            "RunResumeStatus": lambda _: {"model": None},
            "RunStoppedStatus": lambda _: {"project": {"run": {"stopped": False}}},
            "ArtifactType": lambda _: {"project": {"artifact": None}},  # no such artifact yet
            "OrganizationCoreWeaveOrganizationID": lambda _: {"entity": None},
            "UpsertBucket": self._run,
            "CreateRunFiles": self._run_files,
            "CreateArtifact": self._artifact,
            "CreateArtifactManifest": self._manifest,
            "UpdateArtifactManifest": self._manifest_again,
            "CreateArtifactFiles": self._artifact_files,
            "CommitArtifact": self._commit,
        }
        if name not in calls:
            self.received.unknown.append(name)
            return {}
        return calls[name](variables)

    def _run(self, sent: dict[str, Any]) -> dict[str, Any]:
        self.received.runs.append(sent)
        bucket = {"id": "bucket", "name": sent["name"], "displayName": sent.get("displayName")}
        more = {"description": "", "config": "{}", "sweepName": None, "historyLineCount": 0}
        return {"upsertBucket": {"bucket": {**bucket, **more, "project": PROJECT}, "inserted": True}}

    def _run_files(self, sent: dict[str, Any]) -> dict[str, Any]:
        files = [{"name": name, "uploadUrl": f"{self.url}/run-file/{name}"} for name in sent["files"]]
        return {"createRunFiles": {"runID": "bucket", "uploadHeaders": [], "files": files}}

    def _artifact(self, sent: dict[str, Any]) -> dict[str, Any]:
        asked = sent["input"]
        name = asked["artifactCollectionName"]
        kept = {"type": asked["artifactTypeName"], "metadata": asked.get("metadata")}
        self.received.artifacts[name] = {**kept, "files": {}, "manifest": {}, "is_committed": False}
        sequence = {"id": "sequence", "latestArtifact": None}
        return {
            "createArtifact": {"artifact": {"id": name, "state": "PENDING", "artifactSequence": sequence}}
        }

    def _manifest(self, sent: dict[str, Any]) -> dict[str, Any]:
        return {"createArtifactManifest": self._manifest_file(sent["artifactID"])}

    def _manifest_again(self, sent: dict[str, Any]) -> dict[str, Any]:
        return {"updateArtifactManifest": self._manifest_file(sent["artifactManifestID"])}

    def _manifest_file(self, artifact: str) -> dict[str, Any]:
        upload = {"uploadUrl": f"{self.url}/manifest/{artifact}/manifest.json", "uploadHeaders": []}
        return {"artifactManifest": {"id": artifact, "file": {"id": artifact, **upload}}}

    def _artifact_files(self, sent: dict[str, Any]) -> dict[str, Any]:
        edges = []
        for asked in sent["input"]["artifactFiles"]:
            artifact, name = asked["artifactID"], asked["name"]
            node = {"storagePath": name, "uploadUrl": f"{self.url}/artifact/{artifact}/{name}"}
            edges.append(
                {
                    "node": {
                        **node,
                        "uploadHeaders": [],
                        "uploadMultipartUrls": None,
                        "artifact": {"id": artifact},
                    }
                }
            )
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def _commit(self, sent: dict[str, Any]) -> dict[str, Any]:
        self.received.artifacts[sent["artifactID"]]["is_committed"] = True
        return {"commitArtifact": {"artifact": {"id": sent["artifactID"], "digest": "digest"}}}


def _stream(received: Received, sent: dict[str, Any]) -> None:
    """Keep a piece of the file stream: history and summary come as lines of JSON."""
    for name, piece in (sent.get("files") or {}).items():
        lines = [json.loads(line) for line in piece["content"] if name.endswith((".jsonl", ".json"))]
        if name == "wandb-history.jsonl":
            received.history += lines
        elif name == "wandb-summary.json":
            received.summary.update(lines[-1])
    if sent.get("complete"):
        received.exit_codes.append(int(sent["exitcode"]))


@contextmanager
def wandb_server() -> Iterator[tuple[str, Received]]:
    """Serve on a free port of loopback; yields the address and what is received, and stops at the end."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        timeout = 30

        def do_POST(self) -> None:
            sent = json.loads(self._body())
            if self.path.endswith("/graphql"):
                self._reply({"data": api.answer(sent["query"], sent.get("variables") or {})})
            elif self.path.endswith("/file_stream"):
                _stream(received, sent)
                self._reply({"limits": {}})
            else:
                received.unknown.append(self.path)
                self._reply({})

        def do_PUT(self) -> None:
            received.take(self.path, self._body())
            self._reply({})

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def _reply(self, content: dict[str, Any]) -> None:
            data = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api = Api(f"http://127.0.0.1:{server.server_port}", received)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield api.url, received
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
