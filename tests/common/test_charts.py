from __future__ import annotations

from xml.etree import ElementTree

from services.common.charts import LONGEST, WIDTH, Bar, columns, rows

SVG = "{http://www.w3.org/2000/svg}"


def test_every_bar_has_its_row_its_name_and_its_tip() -> None:
    bars = [Bar(f"conv{index}", index / 40, f"{index} dB", f"tip {index}") for index in range(40)]
    drawn = ElementTree.fromstring(rows(bars, "title"))
    texts = [one.text for one in drawn.iter(f"{SVG}text")]
    assert texts == [word for bar in bars for word in (bar.name, bar.value)]
    assert [one.text for one in drawn.iter(f"{SVG}title")] == [bar.tip for bar in bars]
    widths = [float(one.get("width", 0)) for one in drawn.iter(f"{SVG}rect")][1::2]
    assert widths == sorted(widths) and widths[-1] < WIDTH


def test_names_are_words_and_long_ones_lose_their_middle() -> None:
    drawn = ElementTree.fromstring(rows([Bar('<b a="1">', 0.5, "&"), Bar("a" * 30 + "b" * 30, None, "float")], "<t>"))
    texts = [one.text or "" for one in drawn.iter(f"{SVG}text")]
    assert texts[:2] == ['<b a="1">', "&"] and len(texts[2]) <= LONGEST and texts[2][0] + texts[2][-1] == "ab"


def test_a_bar_beyond_the_scale_stays_inside() -> None:
    drawn = ElementTree.fromstring(rows([Bar("x", 7.0, "v"), Bar("y", -1.0, "v")], ""))
    assert all(0 <= float(one.get("width", 0)) <= WIDTH for one in drawn.iter(f"{SVG}rect"))


def test_columns_are_as_tall_as_their_counts() -> None:
    drawn = ElementTree.fromstring(columns([0, 5, 10], ["a", "b", "c"], ["-1", "0", "+1"], "t"))
    heights = [float(one.get("height", 0)) for one in drawn.iter(f"{SVG}rect")]
    assert heights[0] == 0 and heights[1] * 2 == heights[2] > 0
    assert [one.text for one in drawn.iter(f"{SVG}text")] == ["5", "10", "-1", "0", "+1"]
    assert columns([0, 0], ["", ""], ["0", "1"], "").count("<rect") == 2
