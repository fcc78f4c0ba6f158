"""Downloads: every byte checked, nothing left behind, no network where the cache is full."""

from __future__ import annotations

import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

import bloodlib
from bloodlib import datasets
from bloodlib.datasets import registry
from bloodlib.quoted import quoted

FILES = {"a.txt": b"first", "Dataset 1/001.bmp": b"second", "Dataset 1/sub/ö.txt": b"third"}
ENCODED = ("a.txt", "Dataset%201/001.bmp", "Dataset%201/sub/%C3%B6.txt")
HASHES = {
    encoded: "sha256:" + hashlib.sha256(content).hexdigest()
    for encoded, content in zip(ENCODED, FILES.values(), strict=True)
}


class _Quiet(SimpleHTTPRequestHandler):
    asked: list[str]

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.asked.append(self.path)
        if self.path.startswith("/short/"):  # promises more than it sends
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"fir")
            self.close_connection = True
            return
        super().do_GET()


@pytest.fixture
def server(tmp_path):
    """Serve FILES over HTTP; gives the base URL, the served folder and the paths asked for."""
    served = tmp_path / "served"
    for name, content in FILES.items():
        (served / name).parent.mkdir(parents=True, exist_ok=True)
        (served / name).write_bytes(content)
    handler = type("Handler", (_Quiet,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(served))) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}", served, handler.asked
        http.shutdown()
        thread.join()


def fetch(folder, base_url, hashes=HASHES):
    return registry.fetch_files(folder, base_url, hashes, progress=False, title="set")


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("scheme", ["http", "file"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_files_arrive_under_their_decoded_names(tmp_path, server, scheme, slash):
    url, served, _ = server
    base = (url if scheme == "http" else served.as_uri()) + slash
    assert fetch(tmp_path / "home" / "set", base) == tmp_path / "home" / "set"
    assert content(tmp_path / "home" / "set") == FILES


def test_full_cache_needs_no_network_and_is_not_written(tmp_path, server):
    url, served, asked = server
    for path in served.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    fetch(served, url)
    fetch(served, "http://127.0.0.1:9/nowhere")
    assert asked == []
    for path in served.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def test_only_what_is_missing_is_downloaded(tmp_path, server):
    url, _, asked = server
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.txt").write_bytes(FILES["a.txt"])
    fetch(tmp_path / "set", url)
    assert asked == ["/Dataset%201/001.bmp", "/Dataset%201/sub/%C3%B6.txt"]


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_wrong_checksum_names_all_and_leaves_nothing(tmp_path, server, scheme):
    url, served, _ = server
    (served / "Dataset 1" / "001.bmp").write_bytes(b"tampered")
    found, expected = hashlib.sha256(b"tampered").hexdigest(), HASHES["Dataset%201/001.bmp"]
    with pytest.raises(ValueError, match="hash") as caught:
        fetch(tmp_path / "set", url if scheme == "http" else served.as_uri())
    for part in ("001.bmp", expected, found):
        assert part in str(caught.value)
    assert content(tmp_path / "set") == {"a.txt": b"first"}  # what came before is whole, and kept
    assert not (tmp_path / "set" / "Dataset 1").exists()


def test_wrong_file_in_the_cache_is_named_and_not_touched(tmp_path, server):
    url, served, asked = server
    (served / "a.txt").write_bytes(b"mine")
    with pytest.raises(
        ValueError, match=r"a\.txt: expected sha256:[0-9a-f]{64} but the cached file is sha256:"
    ) as caught:
        fetch(served, url)
    assert hashlib.sha256(b"mine").hexdigest() in str(caught.value)
    assert (served / "a.txt").read_bytes() == b"mine"
    assert asked == []


@pytest.mark.parametrize("part", ["short", "absent"])
def test_broken_download_leaves_nothing(tmp_path, server, part):
    url, _, _ = server
    with pytest.raises((ValueError, OSError), match=r"a\.txt: .*(hash|BLOODLIB_DATA)"):
        fetch(tmp_path / "home" / "set", f"{url}/{part}/")
    assert not (tmp_path / "home").exists()


def test_refusals_of_the_server_are_told(tmp_path, server):
    with pytest.raises(OSError, match=r"absent/a\.txt \(HTTP status 404\); check the network"):
        fetch(tmp_path / "set", f"{server[0]}/absent/")


def test_interrupted_download_leaves_nothing(tmp_path, server, monkeypatch):
    def stop(url, output, pooch):
        with open(output, "wb") as handle:
            handle.write(b"fi")
        raise KeyboardInterrupt

    monkeypatch.setattr(registry, "_downloader", lambda url: stop)
    with pytest.raises(KeyboardInterrupt):
        fetch(tmp_path / "set", server[0])
    assert not (tmp_path / "set").exists()


def test_no_network_says_how_to_go_on(tmp_path):
    with pytest.raises(OSError, match=r"a\.txt: missing, .*127\.0\.0\.1:9/a\.txt \(ConnectionError\).*BLOODLIB_DATA"):
        fetch(tmp_path / "set", "http://127.0.0.1:9")


@pytest.mark.parametrize("path", ["../a.txt", "%2E%2E/a.txt", "/etc/a.txt"])
def test_a_registry_cannot_reach_outside_its_folder(tmp_path, path):
    with pytest.raises(ValueError, match="outside the set's own folder"):
        fetch(tmp_path, "file:///", {path: "sha256:0"})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# base_url: https://x\n", "at least one"),
        ("a sha256:1\n", "base_url"),
        ("# base_url: https://x\na\n", "line 2: found 'a'"),
        ("# base_url: https://x\na md5:1\n", "line 2"),
    ],
)
def test_broken_registries_are_named(tmp_path, text, found):
    (tmp_path / "r.txt").write_text(text)
    with pytest.raises(ValueError, match=rf"r\.txt.*{found}"):
        registry.read_registry(tmp_path / "r.txt")


@pytest.mark.parametrize(
    ("name", "files"), [("chula_rbc12", 170), ("wbc_segmentation", 804), ("bccd", 733), ("pbc_subset", 650)]
)
def test_registries_are_complete_and_empty_caches_are_counted(tmp_path, monkeypatch, name, files):
    monkeypatch.setenv("BLOODLIB_DATA", str(tmp_path))
    found = registry.status(name)
    assert (found.present, found.missing, found.complete, found.folder) == (0, files, False, tmp_path / name)
    base_url, hashes = registry.read_registry(registry.package_data("registries", f"{name}.txt"))
    assert base_url.startswith("https://")
    assert all(len(value) == len("sha256:") + 64 for value in hashes.values())


def test_cache_is_the_users_own_without_a_choice(monkeypatch):
    monkeypatch.delenv("BLOODLIB_DATA", raising=False)
    assert registry.data_home().name == "bloodlib"


@pytest.mark.real
@pytest.mark.parametrize("name", ["chula_rbc12", "wbc_segmentation", "bccd", "pbc_subset"])
def test_filled_cache_is_verified(real_data, name, capsys):
    if not registry.status(name).complete:
        pytest.skip(f"the cache holds no complete {name}")
    assert registry.fetch(name) == real_data / name
    assert "100%" in capsys.readouterr().err


def test_every_set_has_licence_and_size():
    for entry in registry.available():
        assert entry.licence
        assert entry.holds
        assert (entry.megabytes > 0) == (entry.name != "phantom")


# --- names, titles, splits


def test_unknown_names_and_splits_list_the_legal_ones():
    with pytest.raises(
        ValueError, match=r"called 'chula'; names are phantom, chula_rbc12, bccd, a folder needs images/"
    ):
        bloodlib.load("chula")
    with pytest.raises(ValueError, match="split is 'dev'; allowed are train, fit, validation, test, all"):
        bloodlib.load("phantom", split="dev")
    with pytest.raises(ValueError, match=r"'chula' is not a data set; sets to download are chula_rbc12, wbc_seg"):
        registry.fetch("chula")
    with pytest.raises(ValueError, match="'phantom' is rendered on demand"):
        registry.status("phantom")


@pytest.mark.parametrize("name", ["pbc_subset", "wbc_segmentation"])
def test_sets_without_instance_masks_say_so(name):
    with pytest.raises(ValueError, match=rf"{name} holds .* no instance mask.*data fetch {name}"):
        bloodlib.load(name)


def test_a_folder_takes_no_options(tmp_path):
    with pytest.raises(ValueError, match="a folder takes no option 'shape'"):
        bloodlib.load(tmp_path, shape=(300, 480))


def test_titles(tmp_path):
    assert datasets.title("chula_rbc12") == "Chula RBC-12"
    assert datasets.title(tmp_path / "my smears") == "my smears"


def test_options_reach_the_set():
    smears = bloodlib.load("phantom", split="test", shape=(96, 160))
    assert len(smears) == 40
    assert smears[0].image.shape == (96, 160, 3)


# --- numbers of the papers


def test_quoted_numbers_and_groups():
    assert quoted("bailo2019.table1.rbcs_per_image_mean") == 669
    assert quoted("bailo2019.table1")["rbcs_per_image_std"] == 149


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("bailo2018", "under the top there is .*bailo2019"),
        ("bailo2019.table1.mean", r"under bailo2019\.table1 there is .*rbcs_per_image_mean"),
        ("bailo2019.table1.rbcs_per_image_mean.x", "the value 669 and nothing below"),
    ],
)
def test_unknown_quotes_say_what_is_there(key, found):
    with pytest.raises(ValueError, match=found):
        quoted(key)
