# SPDX-License-Identifier: Apache-2.0
"""Looks for keys in the memory of processes, as somebody with their dump would."""

import base64
import os
import re

SHADOW = (0x7FFF7000, 0x10007FFF8000)  # AddressSanitizer's notes about memory, not memory
CHUNK = 1 << 20


def may_search(pid):
    """Only root may, and not in every container."""
    try:
        with open("/proc/%d/mem" % pid, "rb"):
            return os.geteuid() == 0
    except OSError:
        return False


def needles(key):
    """Each half of the key, as it is and in base64 from each of three offsets: {bytes: form}."""
    found = {}
    for start in (0, len(key) // 2):
        part = key[start:start + len(key) // 2]
        found[part] = "raw"
        for offset in range(3):
            text = base64.b64encode(b"\0" * offset + part)
            found[text[-(-8 * offset // 6):8 * (offset + len(part)) // 6]] = "base64+%d" % (
                (offset - start) % 3)
    return found


def mappings(pid):
    """(start, end, name) of what is readable and in memory."""
    head = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)")
    current = None
    with open("/proc/%d/smaps" % pid, encoding="utf-8", errors="replace") as f:
        for line in f:
            m = head.match(line)
            if m:
                start, end = int(m.group(1), 16), int(m.group(2), 16)
                current = (start, end, m.group(4) or "anonymous")
                readable = m.group(3)[0] == "r" and not m.group(4).startswith("[v")
            elif re.match(r"(Rss|Swap): +[1-9]", line) and current and readable:
                yield current
                current = None


def search(pid, keys):
    """[(key, its form, where, what is around it)], and how many bytes were searched."""
    wanted = {n: (key, form) for key in keys for n, form in needles(key).items()}
    pattern = re.compile(b"|".join(re.escape(n) for n in wanted))
    hits, total = [], 0
    with open("/proc/%d/mem" % pid, "rb", buffering=0) as mem:
        for start, end, name in mappings(pid):
            if start >= SHADOW[0] and end <= SHADOW[1]:
                continue
            at = start
            while at < end:
                try:
                    data = os.pread(mem.fileno(), min(CHUNK + 64, end - at), at)
                except OSError:
                    data = b""
                total += min(CHUNK, len(data))
                for m in pattern.finditer(data):
                    hits.append(wanted[m.group()] + ("%s at %x" % (name, at + m.start()), data[
                        max(0, m.start() - 32):m.end() + 32]))
                at += CHUNK
    return hits, total
