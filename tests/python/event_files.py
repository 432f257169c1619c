"""Reads event files as TensorBoard does: records framed by masked CRC32C, in each an Event (worker/event.proto)."""

import glob
import os
import struct

from worker import event_pb2


def _table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _table()


def masked_crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def records(path):
    """The records of a file, each checked."""
    with open(path, "rb") as file:
        while True:
            head = file.read(8)
            if not head:
                return
            (size,) = struct.unpack("<Q", head)
            (crc,) = struct.unpack("<I", file.read(4))
            assert crc == masked_crc32c(head), "a length is damaged"
            data = file.read(size)
            (crc,) = struct.unpack("<I", file.read(4))
            assert len(data) == size and crc == masked_crc32c(data), "a record is damaged"
            yield data


def events(folder):
    """The events of each file of `folder`, by the files' names."""
    return [[event_pb2.Event.FromString(record) for record in records(path)]
            for path in sorted(glob.glob(os.path.join(glob.escape(folder), "*tfevents*")))]


def values(file):
    """(step, value) of all summaries in a file's events, by their tags."""
    found = {}
    for event in file:
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value))
    return found
