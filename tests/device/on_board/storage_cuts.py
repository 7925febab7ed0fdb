"""Every power cut there can be, at every operation on the storage, on three kinds of file system."""

from card import Card, PowerCut, insert


def check_documents(kind):
    """Cut a rewrite anywhere, and the reading after it: there is the old or the new document, never none."""
    outcomes = {}
    for cut in range(1, 40):
        for second_cut in range(1, 8):
            card = Card(kind)
            store = insert(card)
            store.save("x.json", {"value": "old"})
            card.left = cut
            try:
                store.save("x.json", {"value": "new"})
                finished = True
            except PowerCut:
                finished = False
            card.left = second_cut
            try:
                insert(card).load("x.json")
            except PowerCut:
                pass
            card.left = 0
            value = insert(card).load("x.json")["value"]
            assert value == "new" or not finished, (kind, cut, second_cut)
            assert value in ("old", "new")
            assert insert(card).load("x.json")["value"] == value
            assert list(card.files) == ["/card/x.json"], card.files.keys()
            outcomes[value] = True
            card.left = cut
            try:
                insert(card).save("x.json", {"value": "third"})
            except PowerCut:
                pass
            card.left = 0
            assert insert(card).load("x.json")["value"] in (value, "third")
    assert len(outcomes) == 2


def check_rubbish(kind):
    """Documents that are cut, empty or zeroed by the file system are as if absent; the next best one is taken."""
    for rubbish in (b"", b"{", b'{"value": "n', b"\0\0\0\0\0\0\0\0", b"[1]", b"\xff\xfe", b'"text"'):
        card = Card(kind)
        store = insert(card)
        card.files["/card/x.json"] = rubbish
        assert store.load("x.json") == {}
        card.files["/card/x.json.bak"] = b'{"value": "old"}'
        card.files["/card/x.json.new"] = rubbish
        assert store.load("x.json") == {"value": "old"}
        assert list(card.files) == ["/card/x.json"]


class StillPort:
    chunk = 1920

    def __init__(self, free):
        self.space = free

    def free(self):
        return self.space


class StillLink:
    ready = False


class StillClock:
    def now(self):
        return 0


def open_box(card, free=1000000):
    from boardloop.outbox import Outbox

    return Outbox(StillPort(free), insert(card), StillLink(), StillClock(), print)


def check_presses(kind):
    """A press whose `add` returned is on storage after any cut, whole, and no seq is ever given twice."""
    from boardloop.outbox import Full

    for cut in range(1, 30):
        card = Card(kind)
        seen = []
        for _ in range(4):  # four boots, each cut at the same place
            card.left = 0
            box = open_box(card)
            card.left = cut
            try:
                for _ in range(3):
                    seen.append(box.add("label", b"\xff\xd8picture", 1, 1, 0))
            except PowerCut:
                pass
        card.left = 0
        box = open_box(card)
        assert len(set(seen)) == len(seen)
        for seq in seen:
            record = card.files["/card/outbox/%08d.blc" % seq]
            assert record.startswith(b"BLC1") and record.endswith(b"\xff\xd8picture"), (cut, seq)
        assert box.waiting >= len(seen)
        assert not [name for name in card.files if "/outbox/" in name and name.endswith(".new")]
        for name in list(card.files):
            if "/outbox/" in name:
                del card.files[name]
        assert open_box(card).add("", b"x", 1, 1, 0) > max(seen + [0]), "the numbers outlive the files"
    try:
        open_box(Card(kind), 32000).add("", b"x", 1, 1, 0)
    except Full:
        return
    raise AssertionError("a full storage takes no press")


for kind in ("posix", "refuse", "fat"):
    check_documents(kind)
    check_rubbish(kind)
    check_presses(kind)
print("no power cut hurts")
