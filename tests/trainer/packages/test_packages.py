"""The table of packages, and what holds for each kind."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from io import BytesIO

import pytest

from services.common.errors import FailedPrecondition, Internal, InvalidInput
from services.trainer.convert import TARGETS
from services.trainer.packages import PACKAGES, PackageContent, build, kinds
from services.trainer.packages.archive import pack
from services.trainer.packages.program import shown_names

Content = Callable[..., PackageContent]


def test_every_target_comes_in_a_package_and_in_one_zip() -> None:
    for target in TARGETS:
        assert len([kind for kind in kinds(target) if kind != "kfpkg"]) == 1, target
    assert kinds("k210-kmodel-v3") == ("k210-zip", "kfpkg")
    assert kinds("k211") == ()
    assert {kind for target in TARGETS for kind in kinds(target)} <= set(PACKAGES)


def test_the_same_content_gives_the_same_bytes(content: Content) -> None:
    for kind in kinds("k210-kmodel-v3"):
        assert build(kind, content()) == build(kind, content())


def test_names_in_an_archive_suit_every_unpacker(content: Content) -> None:
    with zipfile.ZipFile(BytesIO(build("k210-zip", content(model_id="a/../\\b 猫"))[1])) as archive:
        for about in archive.infolist():
            assert about.filename.isascii() and not set(about.filename) & set("\\/: ")
            assert about.date_time == (1980, 1, 1, 0, 0, 0) and about.external_attr >> 16 == 0o644


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a\\b", "a/../b", ""])
def test_a_name_that_leads_out_of_the_folder_is_never_packed(name: str) -> None:
    with pytest.raises(Internal):
        pack({name: b""})


def test_a_package_of_another_target_is_refused_with_those_that_fit(content: Content) -> None:
    with pytest.raises(FailedPrecondition, match=r"k210-kmodel-v3 .* v831-zip") as caught:
        build("v831-zip", content())
    assert caught.value.fix == "Choose one of: k210-zip, kfpkg."


def test_an_unknown_package_is_answered_with_the_known_ones(content: Content) -> None:
    with pytest.raises(InvalidInput, match="k210-zip, kfpkg, v831-zip, files"):
        build("exe", content())


def test_a_package_without_labels_is_refused(content: Content) -> None:
    with pytest.raises(InvalidInput, match="labels"):
        content(labels=())


def test_names_for_the_display_are_ascii_and_distinct() -> None:
    assert shown_names(("cat", "猫", "狗 dog", "é", "a\tb", " x")) == ["cat", "#1", "#2 dog", "#3", "#4 ab", "#5 x"]
