"""Nothing that is read from disk may run code: tensors and JSON only."""

import ast
from pathlib import Path

import pytest
from torchvision.models import VGG19_Weights

import bloodlib
from bloodlib.gan.perceptual import load_perceptual

FILES = sorted(Path(bloodlib.__file__).parent.rglob("*.py"))
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal"}
FORBIDDEN_CALLS = {("torch", "load"), ("torch", "save"), ("joblib", "load"), ("joblib", "dump")}


def unsafe(source):
    """Give the lines of a module that could unpickle something."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names = [a.name for a in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if any(name.split(".")[0] in FORBIDDEN_MODULES for name in names):
            found.append(node.lineno)
        if isinstance(node, ast.ImportFrom) and any((node.module, name) in FORBIDDEN_CALLS for name in names):
            found.append(node.lineno)
        if isinstance(node, ast.Attribute) and (getattr(node.value, "id", ""), node.attr) in FORBIDDEN_CALLS:
            found.append(node.lineno)
        if isinstance(node, ast.keyword) and node.arg in ("allow_pickle", "weights_only"):
            safe = getattr(node.value, "value", None) is (node.arg == "weights_only")
            found += [] if safe else [node.value.lineno]
    return found


def test_the_search_finds_what_it_is_for():
    assert unsafe("import pickle") == [1]
    assert unsafe("x = 1\nfrom torch import load") == [2]
    assert unsafe("torch.load(path)") == [1]
    assert unsafe("np.load(path, allow_pickle=True)") == [1]
    assert unsafe("get(url, weights_only=False)") == [1]
    assert unsafe("np.load(path, allow_pickle=False); get(url, weights_only=True); json.load(file)") == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_module_unpickles(path):
    assert unsafe(path.read_text()) == []


def test_downloaded_weights_are_read_as_tensors_only(monkeypatch):
    asked = {}

    def refuse(self, **options):
        asked.update(options)
        raise OSError("no network")

    monkeypatch.setattr(VGG19_Weights, "get_state_dict", refuse)
    with pytest.raises(FileNotFoundError):
        load_perceptual("vgg19")
    assert asked["weights_only"] is True
    assert asked["check_hash"] is True
