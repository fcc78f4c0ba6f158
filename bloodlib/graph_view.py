"""A graph in space that the reader turns: one piece of HTML with its own few lines of script, nothing loaded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

import numpy as np

_PAGE = """<div class="graph-view">
<canvas id="%(id)s" width="720" height="520" tabindex="0" role="img" aria-label="%(alt)s"
 style="max-width:100%%;background:#fff;border:1px solid #bbb;touch-action:none;cursor:grab"></canvas>
<p style="font-size:.9em">Drag to turn, wheel or + and − for size. Keys: arrows, Home.</p>
<script>
(function () {
  var graph = %(graph)s, canvas = document.getElementById("%(id)s"), pen = canvas.getContext("2d");
  var start = [0.5, -0.35, 1], view = start.slice(), held = null;
  function turned(p) {
    var a = Math.cos(view[0]), b = Math.sin(view[0]), c = Math.cos(view[1]), d = Math.sin(view[1]);
    var x = a * p[0] + b * p[2], z = a * p[2] - b * p[0], y = c * p[1] - d * z;
    z = d * p[1] + c * z;
    var scale = 150 * view[2] * 3 / (3 - z);
    return [360 + scale * x, 260 - scale * y, z, scale / 150];
  }
  function draw() {
    var places = graph.places.map(turned);
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, 720, 520);
    pen.strokeStyle = "rgba(80,80,80,.35)";
    pen.beginPath();
    graph.edges.forEach(function (e) {
      pen.moveTo(places[e[0]][0], places[e[0]][1]);
      pen.lineTo(places[e[1]][0], places[e[1]][1]);
    });
    pen.stroke();
    places.map(function (p, k) { return k; }).sort(function (i, j) { return places[i][2] - places[j][2]; })
      .forEach(function (k) {
        pen.beginPath();
        pen.arc(places[k][0], places[k][1], Math.max(1, graph.sizes[k] * places[k][3]), 0, 2 * Math.PI);
        pen.fillStyle = graph.colours[k];
        pen.fill();
        pen.strokeStyle = "#333";
        pen.stroke();
      });
  }
  canvas.addEventListener("pointerdown", function (e) {
    held = [e.clientX, e.clientY];
    canvas.setPointerCapture(e.pointerId);
  });
  canvas.addEventListener("pointermove", function (e) {
    if (!held) return;
    view[0] += (e.clientX - held[0]) / 150;
    view[1] += (e.clientY - held[1]) / 150;
    held = [e.clientX, e.clientY];
    draw();
  });
  ["pointerup", "pointercancel"].forEach(function (n) { canvas.addEventListener(n, function () { held = null; }); });
  canvas.addEventListener("wheel", function (e) {
    e.preventDefault();
    view[2] = Math.min(4, Math.max(0.3, view[2] * Math.exp(-e.deltaY / 800)));
    draw();
  }, { passive: false });
  canvas.addEventListener("keydown", function (e) {
    var turn = { ArrowLeft: [0, -0.1], ArrowRight: [0, 0.1], ArrowUp: [1, -0.1], ArrowDown: [1, 0.1] }[e.key];
    if (turn) view[turn[0]] += turn[1];
    else if (e.key === "+" || e.key === "-") view[2] *= e.key === "+" ? 1.1 : 1 / 1.1;
    else if (e.key === "Home") view = start.slice();
    else return;
    e.preventDefault();
    draw();
  });
  draw();
})();
</script>
</div>"""


def graph_view(
    places: np.ndarray, edges: Sequence[tuple[int, int]], sizes: np.ndarray, colours: Sequence[str], alt: str
) -> str:
    """Write the HTML of a graph that can be turned by mouse, finger or keyboard, with no file or host behind it.

    Parameters
    ----------
    places : float (n, 3)
        Each axis from 0 to 1, as `bloodlib.sampler.graph.dgm_layout` gives them.
    edges : sequence of (int, int)
        Positions in `places`.
    sizes : float (n,)
        Radius of each node in pixels.
    colours : sequence of str
        CSS colour of each node.
    alt : str
        What a reader who sees no canvas is told.

    Returns
    -------
    str
        Of one page no two views may have the same `alt`, from which the canvas takes its id.

    Raises
    ------
    ValueError
        If there is not one size and one colour per node, or an edge names a node that does not exist.

    Notes
    -----
    Perspective from three half sides away; nodes are drawn from back to front. Book: chapter 13.
    """
    count = len(places)
    if len(sizes) != count or len(colours) != count:
        raise ValueError(f"{count} places, {len(sizes)} sizes and {len(colours)} colours came; one of each per node")
    if any(not 0 <= node < count for edge in edges for node in edge):
        raise ValueError(f"edges: one names a node that is none of 0 to {count - 1}")
    graph = {
        "places": np.round(2 * np.asarray(places) - 1, 3).tolist(),
        "edges": [list(map(int, edge)) for edge in edges],
        "sizes": np.round(sizes, 1).tolist(),
        "colours": list(colours),
    }
    marker = "graph-" + "".join(c for c in alt.lower() if c.isalnum())[:40]
    content = json.dumps(graph, separators=(",", ":")).replace("</", "<\\/")  # no text may end the script
    return _PAGE % {"id": marker, "graph": content, "alt": escape(alt, quote=True)}
