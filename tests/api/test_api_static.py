"""The page's files, read as text: every word in every language, nothing inline, nothing from elsewhere, small."""

import json
import re

import pytest

from edge.api.assets import LIMIT_BYTES, STATIC, Assets
from edge.logs.parts import PARTS

SCRIPTS = {path: asset.content.decode() for path, asset in Assets().by_path.items() if path.endswith(".js")}
TABLES = {name: json.loads(STATIC.joinpath("strings", f"{name}.json").read_text()) for name in ("en", "es")}
BUILT = {f"{prefix}.{word}" for prefix, words in {     # keys that are put together from a word of the gateway
    "state": ("ok", "trouble", "reading", "late", "failing", "resting", "starting", "refused", "paused"),
    "grade": ("excellent", "good", "fair", "poor", "lost", "unknown"), "stream": ("alarm", "billing", "instant"),
    "level": ("info", "warning", "error", "critical", "debug"), "role": ("view", "admin"), "logs.part": PARTS, "logs.for": ("1800", "7200", "86400", "0"), "outcome": ("applied", "trial", "refused", "rolled_back"),
}.items() for word in words}


def used() -> set[str]:
    """Keys that the scripts name whole: t("key"), t(x ? "key" : "other")."""
    found = set()
    for text in SCRIPTS.values():
        for call in re.findall(r"\bt\(([^)]*)\)", text):
            found |= set(re.findall(r'"([a-z_]+(?:\.[a-z_]+)*)"', call.partition("{")[0]))
    return found


def test_both_languages_say_the_same_things():
    assert TABLES["en"].keys() == TABLES["es"].keys()
    for key, english in TABLES["en"].items():
        spanish = TABLES["es"][key]
        assert set(re.findall(r"\{\w+\}", english)) == set(re.findall(r"\{\w+\}", spanish)), key
        assert english.strip(), key
        assert spanish.strip(), key


def test_every_word_that_the_page_asks_for_is_there():
    assert len(used()) > 100
    missing = {key for key in used() if key not in TABLES["en"] and not key.endswith(".")}
    assert missing == set()
    assert BUILT - TABLES["en"].keys() == set()


def test_nothing_stands_inline_and_nothing_comes_from_elsewhere():
    page = STATIC.joinpath("index.html").read_text()
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=", page)
    for path, asset in Assets().by_path.items():
        foreign = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", asset.content.decode())) - {"http://www.w3.org"}
        assert foreign == set(), path
    for path, text in SCRIPTS.items():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|\bstyle:", text), path


@pytest.mark.parametrize("path", sorted(SCRIPTS))
def test_every_module_that_is_imported_is_there(path):
    for target in re.findall(r'from "(\.[^"]+)"', SCRIPTS[path]):
        parts = path.split("/")[:-1]
        for step in target.split("/"):
            parts = parts[:-1] if step == ".." else parts if step == "." else [*parts, step]
        assert "/".join(parts) in SCRIPTS, f"{path} imports {target}"


def test_all_of_it_is_small():
    assert sum(len(asset.content) for asset in Assets().by_path.values()) < LIMIT_BYTES


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours (WCAG 2.2, relative luminance)."""
    def luminance(colour: str) -> float:
        parts = [int(colour[place:place + 2], 16) / 255 for place in (1, 3, 5)]
        r, g, b = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [":root {", ':root[data-theme="dark"] {'])
def test_text_is_read_in_the_sun(theme):
    css = STATIC.joinpath("app.css").read_text()
    colour = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", css[css.index(theme):].partition("}")[0]))
    for text, ground, least in (("text", "ground", 12), ("text", "card", 12), ("soft", "ground", 7), ("soft", "card", 7), ("bad", "card", 4.5),
                                ("good", "good-soft", 4.5), ("fair", "fair-soft", 4.5), ("bad", "bad-soft", 4.5), ("calm", "calm-soft", 4.5),
                                ("on-accent", "accent", 7), ("line", "ground", 3), *(("text", f"{band}-band", 7) for band in ("excellent", "good", "fair", "poor", "lost"))):
        assert contrast(colour[text], colour[ground]) >= least, f"{text} on {ground}"
