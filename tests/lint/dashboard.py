# SPDX-License-Identifier: Apache-2.0
"""contrib/keyferry-dashboard.json: panels lie beside each other, say what they show and in which unit,
and are coloured by thresholds that go upwards.  (Their expressions are test_prometheus's.)"""

import json
import os
import re
import sys

COLUMNS = 24
UNITS = {  # and what an expression in it looks like
    "short": r"^(?!.*\brate\().*$",
    "ops": r"\brate\(",
    "s": r"seconds|_age",
    "bytes": r"bytes|secure_heap|memory",
    "Bps": r"\brate\(.*bytes",
}
COLOURS = {"green", "yellow", "orange", "red"}


def where(panel):
    return "panel %s (%s)" % (panel.get("id"), panel.get("title"))


def cells(panel):
    g = panel["gridPos"]
    return {(x, y) for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])}


def places(panels):
    """Nothing covers anything else, or sticks out; and what is below a row begins there."""
    taken = {}
    for p in panels:
        g = p["gridPos"]
        if g["x"] < 0 or g["y"] < 0 or g["w"] < 1 or g["h"] < 1 or g["x"] + g["w"] > COLUMNS:
            yield "%s: sticks out: %s" % (where(p), g)
        for cell in cells(p):
            if cell in taken:
                yield "%s: covers %s" % (where(p), where(taken[cell]))
                break
            taken[cell] = p
    tops = [p["gridPos"]["y"] for p in panels]
    if tops != sorted(tops):
        yield "panels do not stand in the order in which they are seen"


def thresholds(panel, steps):
    values = [s["value"] for s in steps[1:]]
    if not steps or steps[0]["value"] is not None:
        yield "%s: the first threshold has to be without a value" % where(panel)
    elif any(v is None for v in values) or values != sorted(set(values)):
        yield "%s: thresholds do not go upwards: %s" % (where(panel), values)
    colours = [s["color"] for s in steps]
    if not COLOURS.issuperset(colours) or len(set(colours)) != len(colours):
        yield "%s: colours %s" % (where(panel), colours)


def words(panel):
    defaults = panel.get("fieldConfig", {}).get("defaults", {})
    unit = defaults.get("unit")
    if not panel.get("description", "").endswith("."):
        yield "%s: has no description that is a sentence" % where(panel)
    if unit not in UNITS:
        yield "%s: has no unit, or one that is not known here: %s" % (where(panel), unit)
    targets = panel.get("targets", [])
    if not targets:
        yield "%s: asks for nothing" % where(panel)
    for t in targets:
        if unit in UNITS and not re.search(UNITS[unit], t["expr"]):
            yield "%s: is this in %s: %s" % (where(panel), unit, t["expr"])
    if len(targets) > 1 and len({t.get("legendFormat") for t in targets}) < len(targets):
        yield "%s: two lines with one name" % where(panel)
    if panel["type"] == "stat" or "thresholds" in defaults:
        yield from thresholds(panel, defaults.get("thresholds", {}).get("steps", []))


def faults(dashboard):
    panels = dashboard["panels"]
    for what in ("id", "title"):
        found = [p.get(what) for p in panels if what == "id" or p["type"] != "row"]
        if None in found or "" in found:
            yield "a panel without %s" % what
        for twice in sorted({str(v) for v in found if found.count(v) > 1}):
            yield "two panels with the %s %s" % (what, twice)
    yield from places(panels)
    for p in panels:
        if p["type"] != "row":
            yield from words(p)


def main():
    path = os.path.join(sys.argv[1], "contrib", "keyferry-dashboard.json")
    with open(path, encoding="utf-8") as f:
        found = list(faults(json.load(f)))
    for line in found:
        print("keyferry-dashboard.json: " + line)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
