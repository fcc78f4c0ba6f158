"""Links to other sites are found, asked for, and warned of where they are dead."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tools import links


class Answers(BaseHTTPRequestHandler):
    """Answer with the status that the path names."""

    def do_GET(self):
        self.send_response(int(self.path.strip("/")))
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def host():
    """Serve on this machine, since tests ask no other one."""
    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def site(tmp_path):
    (tmp_path / "index.html").write_text(
        '<a href="https://a.example/x#part">a</a><a href="b.html">b</a><a href="mailto:a@b.example">m</a>'
    )
    (tmp_path / "b.html").write_text('<a href="https://a.example/x">a</a><a href="http://c.example/">c</a>')
    (tmp_path / "_static").mkdir()
    (tmp_path / "_static" / "theme.html").write_text('<a href="https://theme.example/">t</a>')
    return tmp_path


def test_only_links_to_other_sites_are_listed_each_once(site, tmp_path):
    assert links.outward(site) == {"http://c.example/": ["b.html"], "https://a.example/x": ["b.html", "index.html"]}
    with pytest.raises(FileNotFoundError, match=r"no index\.html; was the book built\?"):
        links.outward(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("status", "alive"), [(200, True), (403, True), (429, True), (404, False), (410, False), (503, False)]
)
def test_a_site_is_dead_if_it_says_so_or_breaks(host, status, alive, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert (links.fault(f"{host}/{status}") == "") is alive


def test_no_answer_and_no_address_are_faults(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert links.fault("http://127.0.0.1:9/") != ""  # nobody answers at the port of discarded data
    assert links.fault("https://") != ""


def test_what_fails_once_is_asked_again(site):
    asked = []

    def ask(address):
        asked.append(address)
        return "" if "a.example" in address and asked.count(address) > 1 else "no answer"

    assert links.dead(links.outward(site), ask) == {"http://c.example/": "no answer"}
    assert len(asked) == 4


def test_dead_links_are_warnings_unless_asked_otherwise(site, monkeypatch, capsys):
    monkeypatch.setattr(links, "dead", lambda found: {"http://c.example/": "404 Not Found"})
    assert links.main([str(site)]) == 0
    assert "::warning::http://c.example/: 404 Not Found (from b.html)" in capsys.readouterr().out
    assert links.main([str(site), "--strict"]) == 1
