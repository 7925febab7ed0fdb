from __future__ import annotations

from xml.etree import ElementTree

from services.common.curve_chart import HEIGHT, WIDTH, Line, curve_chart

SVG = "{http://www.w3.org/2000/svg}"


def test_a_line_goes_from_the_axis_through_its_points_and_has_its_dot() -> None:
    line = Line('<cat & "dog">', "#123456", (0.5, 1.0), (1.0, 0.25), dot=(0.5, 1.0))
    drawn = ElementTree.fromstring(curve_chart([line, Line("none", "#000", (), ())], "title", "Recall", "Precision"))
    (path,) = drawn.iter(f"{SVG}polyline")
    points = [tuple(map(float, pair.split(","))) for pair in path.attrib["points"].split()]
    assert len(points) == 3 and points[0][1] == points[1][1] < points[2][1]  # down the screen: lower precision
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
    (dot,) = drawn.iter(f"{SVG}circle")
    assert (float(dot.attrib["cx"]), float(dot.attrib["cy"])) == points[1]
    assert [one.text for one in drawn.iter(f"{SVG}title")] == ['<cat & "dog">']
