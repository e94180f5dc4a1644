"""The answers of the stand-in for the Hub, step by step; hub_server receives the requests."""

import hashlib
import json
import threading
from base64 import b64decode
from collections.abc import Mapping
from email.message import Message
from io import BufferedIOBase
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import hub_xet
import yaml
from hub_state import LFS, Blob, Commit, Hub, Repo, User, blob, git_sha1


class Refusal(Exception):
    """An answer other than the requested one."""

    def __init__(self, status: int, message: str, code: str = "", **more: Any) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.more = status, message, code, more


class Api:
    """One method per step, named after it: (repository, rest of the path, body, user) → JSON."""

    hub: Hub
    url: str
    query: dict[str, list[str]]
    more: dict[str, str]
    """Additional headers of the answer."""
    headers: Message
    rfile: BufferedIOBase

    def _user(self) -> User | None:
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if given and given not in self.hub.users:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return self.hub.users.get(given)

    def _repo(self, repo_id: str, user: User | None, *, write: bool = False) -> Repo:
        repo = self.hub.repos.get(repo_id)
        if repo is None or (repo.private and not (user and user.may_read(repo.owner))):
            raise Refusal(404 if user else 401, "Repository not found", "RepoNotFound")
        if write and not (user and user.may_write(repo.owner)):
            raise Refusal(403, "You don't have the rights to write to this repository")
        return repo

    def _commit_of(self, repo: Repo, revision: str) -> Commit:
        commit = repo.at(revision)
        if commit is None:
            raise Refusal(404, "Invalid rev id", "RevisionNotFound")
        return commit

    def _whoami(self, _: str, __: str, ___: bytes, user: User | None) -> Any:
        if user is None:
            raise Refusal(401, "Invalid username or password.")
        orgs = [{"name": name, "roleInOrg": role} for name, role in user.organisations.items()]
        token = {"accessToken": {"displayName": "test", "role": user.role}}
        return {"type": "user", "name": user.name, "orgs": orgs, "auth": {"type": "access_token", **token}}

    def _create(self, _: str, __: str, body: bytes, user: User | None) -> Any:
        request = json.loads(body)
        if user is None:
            raise Refusal(401, "Invalid username or password.")
        owner = request.get("organization") or user.name
        models = "models/" if request.get("type", "model") == "model" else ""
        id_ = f"{models}{owner}/{request['name']}"
        if not user.may_write(owner):
            raise Refusal(403, f"You don't have the rights to create a dataset under the namespace {owner!r}")
        url = f"{self.url}/{id_.removeprefix('models/') if models else f'datasets/{id_}'}"
        if id_ in self.hub.repos:
            raise Refusal(409, "You already created this repo", url=url)
        self.hub.create(id_, user.name, private=request.get("visibility") == "private" and not self.hub.force_public)
        return {"url": url, "name": id_.removeprefix("models/")}

    def _info(self, repo_id: str, rest: str, _: bytes, user: User | None) -> Any:
        repo = self._repo(repo_id, user)
        commit = self._commit_of(repo, rest or "main")
        blobs = "blobs" in self.query

        def sibling(path: str, file: Blob) -> dict[str, Any]:
            entry: dict[str, Any] = {"rfilename": path}
            if blobs:
                entry |= {"size": file.size, "blobId": file.sha1}
                entry |= {"lfs": {"sha256": file.sha256, "size": file.size, "pointerSize": 130}} if file.sha256 else {}
            return entry

        return {
            "_id": "1", "id": repo.name, "author": repo.owner, "sha": commit.oid, "private": repo.private,
            "gated": repo.gated, "disabled": False, "tags": [], "downloads": 0, "likes": 0,
            "lastModified": commit.date, "createdAt": repo.commits[0].date,
            "siblings": [sibling(path, file) for path, file in sorted(commit.tree.items())],
        }  # fmt: skip

    def _settings(self, repo_id: str, _: str, body: bytes, user: User | None) -> Any:
        repo, request = self._repo(repo_id, user, write=True), json.loads(body)
        repo.gated = request.get("gated", repo.gated)
        if "visibility" in request:
            repo.private = request["visibility"] == "private"
        self.hub.log_state(repo, "settings")
        return {"private": repo.private, "gated": repo.gated}

    def _validate_yaml(self, _: str, __: str, body: bytes, ___: User | None) -> Any:
        text = json.loads(body)["content"]
        try:
            parsed = yaml.safe_load(text.split("---\n")[1]) if text.startswith("---\n") else {}
        except yaml.YAMLError as error:
            raise Refusal(400, "bad YAML", errors=[{"message": str(error)}]) from error
        if not isinstance(parsed, dict) or not isinstance(parsed.get("license", ""), str):
            raise Refusal(400, "bad metadata", errors=[{"message": "license must be a string"}])
        return {"errors": [], "warnings": []}

    def _preupload(self, repo_id: str, rest: str, body: bytes, user: User | None) -> Any:
        repo = self._repo(repo_id, user, write=True)
        tree = self._commit_of(repo, rest).tree

        def mode(file: dict[str, Any]) -> dict[str, Any]:
            large = file["path"].endswith(LFS) or file["size"] > 10_000_000
            known = {"oid": tree[file["path"]].oid} if file["path"] in tree else {}
            return {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, **known}

        return {"files": [mode(file) for file in json.loads(body)["files"]]}

    def _lfs_batch(self, repo_id: str, _: str, body: bytes, user: User | None) -> Any:
        repo = self._repo(repo_id, user, write=True)

        def actions(wanted: dict[str, Any]) -> dict[str, Any]:
            if wanted["oid"] in self.hub.uploaded.get(repo_id, ()):
                return wanted
            href = f"{self.url}/lfs/{repo_id}/{wanted['oid']}"
            verify = {"href": f"{self.url}/{repo.path}.git/info/lfs/objects/verify"}
            return {**wanted, "actions": {"upload": {"href": href}, "verify": verify}}

        return {"transfer": "basic", "objects": [actions(wanted) for wanted in json.loads(body)["objects"]]}

    def _receive(self, repo_id: str, oid: str, length: int) -> bytes:
        """Receive an LFS object; one that does not match its digest is discarded."""
        total, path = hashlib.sha256(), self.hub.objects / f"{oid}.{threading.get_ident()}.part"
        with path.open("wb") as file:
            while length and (piece := self.rfile.read(min(length, 2**20))):
                length -= len(piece)
                self.hub.wait_for_line(len(piece))
                total.update(piece)
                file.write(piece)
        if length or total.hexdigest() != oid:
            path.unlink()
            raise Refusal(400, "the bytes do not have this digest")
        path.replace(self.hub.objects / oid)
        with self.hub.lock:
            self.hub.uploaded.setdefault(repo_id, set()).add(oid)
            self.hub.log_state(self.hub.repos[repo_id], "lfs-put")
        return b"{}"

    def _lfs_verify(self, repo_id: str, _: str, body: bytes, user: User | None) -> Any:
        self._repo(repo_id, user, write=True)
        request = json.loads(body)
        path = self.hub.objects / request["oid"]
        sent = self.hub.uploaded.get(repo_id, ())
        if request["oid"] not in sent or path.stat().st_size != request["size"]:
            raise Refusal(404, "Object not found")
        return {}

    def _commit(self, repo_id: str, rest: str, body: bytes, user: User | None) -> Any:
        repo = self._repo(repo_id, user, write=True)
        header, *operations = [json.loads(line) for line in body.splitlines()]
        if header["value"].get("parentCommit") not in (None, repo.head.oid):
            raise Refusal(412, "A commit has happened since. Please refresh and try again.")
        tree = dict(repo.head.tree)
        for operation in operations:
            value = operation["value"]
            if operation["key"] == "file":
                tree[value["path"]] = blob(b64decode(value["content"]))
            elif operation["key"] == "lfsFile":
                if not self._is_stored(repo_id, value["oid"]):
                    raise Refusal(400, f"LFS object {value['oid']} was never uploaded")
                pointer = (
                    f"version https://git-lfs.github.com/spec/v1\noid sha256:{value['oid']}\nsize {value['size']}\n"
                )
                tree[value["path"]] = Blob(value["size"], git_sha1(pointer.encode()), sha256=value["oid"])
            elif operation["key"] == "deletedFile":
                if tree.pop(value["path"], None) is None:
                    raise Refusal(404, "A file with this name doesn't exist", "EntryNotFound")
            else:
                raise Refusal(400, f"unknown operation {operation['key']}")
        commit = repo.commit(user.name if user else "", header["value"]["summary"], tree)
        self.hub.log_state(repo, "commit")
        return {
            "success": True,
            "commitOid": commit.oid,
            "commitUrl": f"{self.url}/{repo.path}/commit/{commit.oid}",
        }

    def _is_stored(self, repo_id: str, oid: str) -> bool:
        """Return whether an object is here, by LFS or by Xet."""
        sent = self.hub.uploaded.setdefault(repo_id, set())
        if self.hub.xet and hub_xet.restore(self.hub.xet, oid, self.hub.objects / oid):
            sent.add(oid)
        return oid in sent

    def _commits(self, repo_id: str, rest: str, _: bytes, user: User | None) -> Any:
        repo = self._repo(repo_id, user)
        newest = repo.commits.index(self._commit_of(repo, rest))
        return [
            {"id": c.oid, "title": c.title, "message": "", "date": c.date, "authors": [{"user": c.user}]}
            for c in reversed(repo.commits[: newest + 1])
        ]

    def _tree(self, repo_id: str, rest: str, _: bytes, user: User | None) -> Any:
        revision, _, folder = rest.partition("/")
        tree = self._commit_of(self._repo(repo_id, user), revision).tree
        below = {path: file for path, file in tree.items() if not folder or path.startswith(f"{folder}/")}
        if not below and folder:
            raise Refusal(404, f"{folder} does not exist", "EntryNotFound")
        if "recursive" in self.query and self.query["recursive"][0].lower() == "true":
            return [*_folders(below), *(_entry(path, file) for path, file in below.items())]
        depth = len(folder.split("/")) if folder else 0
        here = {path: file for path, file in below.items() if len(path.split("/")) == depth + 1}
        folders = sorted({"/".join(path.split("/")[: depth + 1]) for path in below.keys() - here.keys()})
        return [{"type": "directory", "path": path, "oid": "0" * 40, "size": 0} for path in folders] + [
            _entry(path, file) for path, file in here.items()
        ]

    def _paths_info(self, repo_id: str, rest: str, body: bytes, user: User | None) -> Any:
        tree = self._commit_of(self._repo(repo_id, user), rest).tree
        if self.headers.get("Content-Type", "").startswith("application/json"):
            paths = json.loads(body)["paths"]
        else:
            paths = parse_qs(body.decode()).get("paths", [])
        folders = {entry["path"]: entry for entry in _folders(tree)}
        return [
            _entry(path, tree[path]) if path in tree else folders[path] for path in paths if path in {**tree, **folders}
        ]

    def _file(self, repo_id: str, rest: str, user: User | None) -> tuple[int, dict[str, str], bytes | Path]:
        repo = self._repo(repo_id, user)
        revision, _, path = rest.partition("/")
        commit = self._commit_of(repo, revision)
        if (
            repo.gated
            and path != "README.md"
            and not (user and (user.may_read(repo.owner) or user.name in repo.admitted))
        ):
            raise Refusal(403 if user else 401, "Access to dataset is restricted", "GatedRepo")
        if path not in commit.tree:
            raise Refusal(404, "Entry not found", "EntryNotFound")
        file = commit.tree[path]
        headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{file.oid}"', "Accept-Ranges": "bytes"}
        headers["Content-Type"] = "application/octet-stream"
        if not file.sha256:
            return 200, headers, file.content
        headers |= {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
        return 200, headers, self.hub.objects / file.sha256

    def _xet_token(self, repo_id: str, _: str, __: bytes, user: User | None) -> Any:
        self._repo(repo_id, user, write=True)
        if self.hub.xet is None:
            raise Refusal(404, "Xet is not served here")
        given = hub_xet.token(self.hub.xet)
        self.more = given
        expires = int(given["X-Xet-Token-Expiration"])
        return {"casUrl": given["X-Xet-Cas-Url"], "accessToken": given["X-Xet-Access-Token"], "exp": expires}


def _entry(path: str, file: Blob) -> dict[str, Any]:
    lfs = {"lfs": {"oid": file.sha256, "size": file.size, "pointerSize": 130}} if file.sha256 else {}
    return {"type": "file", "path": path, "size": file.size, "oid": file.sha1, **lfs}


def _folders(tree: Mapping[str, Blob]) -> list[dict[str, Any]]:
    names = {"/".join(path.split("/")[:n]) for path in tree for n in range(1, len(path.split("/")))}
    return [{"type": "directory", "path": name, "oid": "0" * 40, "size": 0} for name in sorted(names)]
