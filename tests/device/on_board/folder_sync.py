"""What `Storage` asks of a Linux, in order: a power cut loses what only has a name in memory."""

import os
import stat
import sys

from boardloop.crypto import sha256
from boardloop.storage import Storage
from boardloop.verify import _Writer

fsync, rename = os.fsync, os.rename


def told_fsync(handle):
    print("sync folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "sync file")
    fsync(handle)


def told_rename(old, new):
    print("rename", new.split("/")[-1])
    rename(old, new)


os.fsync, os.rename = told_fsync, told_rename
store = Storage(sys.argv[1], False)
store.folder("outbox")
store.write("outbox/1.blc", (b"record",))
store.save("1.blc", {"value": 1})
print("model")
writer = _Writer(store, [("model.bin", 5, sha256(b"model")), ("golden.bin", 3, sha256(b"in "))])
writer.write(b"modelin")
writer.write(b" ")
writer.close()
print(writer.complete)
