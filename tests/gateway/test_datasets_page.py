"""The page Data sets in a real Chromium."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser import Tab
from tests.gateway.canned import BOARDS, cell_jpeg
from tests.gateway.page_site import Site


def test_a_new_capture_appears_by_itself(tab: Tab, site: Site) -> None:
    tab.go(f"/projects/{site.project}/datasets")
    expect(tab.at("capture")).to_have_count(72)
    capture = site.world.collector.press(BOARDS[0], "defective")
    expect(tab.at("capture").first).to_have_attribute("data-id", capture.id)
    tab.at("more").click()
    expect(tab.at("capture")).to_have_count(len(site.world.collector.captures))


def test_filters_show_counts_and_choose(tab: Tab, site: Site) -> None:
    tab.go(f"/projects/{site.project}/datasets")
    captures = list(site.world.collector.captures.values())
    some = [one for one in captures if one.label == "defective"]
    expect(tab.at("filter-defective")).to_contain_text(str(len(some)))
    tab.at("filter-defective").click()
    expect(tab.at("capture")).to_have_count(len(some))
    tab.choose("filter-board", f"{BOARDS[1]} · {sum(one.board_id == BOARDS[1] for one in captures)}")
    expect(tab.at("capture")).to_have_count(sum(one.board_id == BOARDS[1] for one in some))
    tab.at("filter-all").click()
    expect(tab.at("filter-all")).to_contain_text(str(len(site.world.collector.captures)))


def test_captures_are_relabelled_and_deleted(tab: Tab, site: Site) -> None:
    tab.go(f"/projects/{site.project}/datasets")
    tiles = tab.at("capture")
    first, second = (tiles.nth(place).get_attribute("data-id") or "" for place in (0, 1))
    tab.at("capture", id=first).click()
    tab.at("capture", id=second).click()
    expect(tab.at("selection")).to_contain_text("2 selected")
    tab.choose("relabel", "functional")
    expect(tab.at("selection")).to_be_hidden()
    expect(tab.at("capture", id=first)).to_contain_text("functional")
    assert site.world.collector.captures[second].label == "functional"
    tab.at("capture", id=second).click()
    tab.at("delete").click()
    tab.at("delete-confirm").click()
    expect(tab.at("capture", id=second)).to_have_count(0)
    assert second not in site.world.collector.captures


def test_a_capture_is_looked_at(tab: Tab, site: Site) -> None:
    tab.go(f"/projects/{site.project}/datasets")
    tab.at("capture").nth(2).hover()
    tab.at("zoom").nth(2).click()
    expect(tab.at("photo")).to_contain_text("224 × 224")
    expect(tab.at("selection")).to_be_hidden()


def test_files_are_uploaded_with_a_label(tab: Tab, site: Site) -> None:
    tab.go(f"/projects/{site.project}/datasets")
    tab.may_fail = True  # one of the files
    tab.at("upload").click()
    tab.choose("upload-label", "defective")
    files = [("a.jpg", cell_jpeg(7001, True)), ("same.jpg", cell_jpeg(7001, True)), ("no.jpg", b"GIF89a")]
    tab.at("upload-files").set_input_files(
        [{"name": name, "mimeType": "image/jpeg", "buffer": data} for name, data in files]
    )
    expect(tab.at("upload-state")).to_have_text("1 pictures stored, 1 were there already")
    expect(tab.at("upload-error")).to_have_text("no.jpg: The file is not a JPEG. Save it as JPEG.")
    uploaded = next(reversed(site.world.collector.captures.values()))
    assert (uploaded.label, uploaded.board_id) == ("defective", "")
    expect(tab.at("capture").first).to_have_attribute("data-id", uploaded.id)
