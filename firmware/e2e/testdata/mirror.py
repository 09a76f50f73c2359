"""Mirrors an index as the standard mirror client does, with Python's own clients.

mirror.py MASTER FOLDER

The first run takes list_packages_with_serial, later ones changelog_since_serial; of
each project that changed it reads /pypi/NAME/json, refuses a stale one, and fetches
and verifies every file with its core metadata. The last line of its output is JSON.
"""

import datetime, hashlib, json, os, sys, urllib.parse, urllib.request, xmlrpc.client

master, folder = sys.argv[1], sys.argv[2]
rpc = xmlrpc.client.ServerProxy(master + "/pypi/", allow_none=True)
status = os.path.join(folder, "status")


def get(url):
    if not url.startswith("http"):
        url = master + url
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.headers, answer.read()


def store(url, content, digest):
    assert hashlib.sha256(content).hexdigest() == digest, url
    path = urllib.parse.unquote(urllib.parse.urlparse(url).path)
    assert path.startswith("/packages/") and ".." not in path, path
    path = os.path.join(folder, "web", path[1:])
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(content)


try:
    with open(status) as f:
        synced = int(f.read())
except FileNotFoundError:
    synced = 0
if synced:
    todo = {}
    for name, version, timestamp, action, serial in rpc.changelog_since_serial(synced):
        todo[name] = max(serial, todo.get(name, 0))
else:
    todo = rpc.list_packages_with_serial()
target = max([synced, *todo.values()])
assert synced or target == rpc.changelog_last_serial(), (target, rpc.changelog_last_serial())

fetched, listed, gone = 0, {}, []
for name, serial in sorted(todo.items()):
    try:
        headers, body = get("/pypi/%s/json" % name)
    except urllib.error.HTTPError as e:
        assert e.code == 404, e
        gone.append(name)
        continue
    assert int(headers["X-PyPI-Last-Serial"]) >= serial, (name, serial, headers["X-PyPI-Last-Serial"])
    about = json.loads(body)
    assert about["last_serial"] >= serial
    info, files = about["info"], []
    for version, release in about["releases"].items():
        for f in release:
            datetime.datetime.fromisoformat(f["upload_time_iso_8601"].replace("Z", "+00:00"))
            _, content = get(f["url"])
            assert len(content) == f["size"], f
            store(f["url"], content, f["digests"]["sha256"])
            files.append(f["filename"])
            fetched += 1
            if f["core-metadata"]:
                _, metadata = get(f["url"] + ".metadata")
                store(f["url"] + ".metadata", metadata, f["core-metadata"]["sha256"])
        _, body = get("/pypi/%s/%s/json" % (name, version))
        one = json.loads(body)
        assert one["urls"] == release and "releases" not in one and one["info"]["version"] == version, one
    assert about["urls"] == (about["releases"][info["version"]] if info["version"] else [])
    listed[name] = {"files": sorted(files), "version": info["version"], "requires": info["requires_dist"],
                    "python": info["requires_python"], "name": info["name"]}
with open(status, "w") as f:
    f.write(str(target))
print(json.dumps({"todo": len(todo), "fetched": fetched, "listed": listed, "gone": gone}))
