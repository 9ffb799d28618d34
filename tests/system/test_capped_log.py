"""A log keeps its two ends."""

from __future__ import annotations

from mglubench.system.capped_log import NOTICE, CappedLog, Ends


def written(path, *parts, head=10, tail=5):
    log = CappedLog(path, head, tail)
    for part in parts:
        log.feed(part)
    log.close()
    return path.read_bytes()


def test_a_short_log_is_kept_as_it_is(tmp_path):
    assert written(tmp_path / "log", b"one ", b"two") == b"one two"
    assert written(tmp_path / "log", b" three") == b"one two three"


def test_a_long_log_loses_its_middle_and_says_so(tmp_path):
    assert written(tmp_path / "log", b"0123456", b"789abcdefgh") == b"0123456789" + NOTICE + b"defgh"


def test_it_stays_short_however_often_it_goes_on(tmp_path):
    for _ in range(20):
        found = written(tmp_path / "log", b"0123456789abcdefghij")
    assert found == b"0123456789" + NOTICE + b"fghij"
    assert written(tmp_path / "log", b"XY") == b"0123456789" + NOTICE + b"hijXY"


def test_the_beginning_is_there_before_the_end(tmp_path):
    log = CappedLog(tmp_path / "log")
    log.feed(b"words")
    assert (tmp_path / "log").read_bytes() == b"words"
    log.close()


def test_a_log_that_cannot_be_written_is_lost_in_silence(tmp_path):
    log = CappedLog(tmp_path / "nowhere" / "log")
    log.feed(b"words")
    log.close()


def test_both_ends_in_memory():
    ends = Ends(4, 3)
    for letter in b"abcdefghij":
        ends.feed(bytes([letter]))
    assert ends.text() == "abcd" + NOTICE.decode() + "hij"
    short = Ends(4, 3)
    short.feed(b"abcdefg")
    assert short.text() == "abcdefg"
