"""Data sets as zip archives: in from YOLO, COCO, Pascal VOC or one folder a label, and out again.

    opening.py     the zip, within bounds            recognise.py   which form it has
    entries.py     what a form says of a picture     yolo.py coco.py voc.py folders.py   one reader a form
    geometry.py    boxes clipped and turned          pictures.py    any picture as an upright JPEG
    importing.py   all of it into a project          exporting.py   a version as a zip

Nothing here unpacks to the disk, and nothing but importing.py and exporting.py knows the collector.
"""
