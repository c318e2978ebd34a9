"""What of a shard is done, before it goes on."""

from mfr_kit.augment.journal import count_done, journal_of, write_note
from mfr_kit.data.photographs.photos import Photo


def test_what_is_done_is_counted_without_a_line_that_a_kill_left(tmp_path):
    assert count_done(tmp_path, 0) == 0
    path = journal_of(tmp_path, 0)
    path.parent.mkdir(parents=True)
    with path.open("wb") as journal:
        for count in (3, 2):
            chunk = [Photo(f"p/{n}.jpg", "p", "nonmask", f"p/{n}") for n in range(count)]
            write_note(journal, chunk, None, [], [])
    assert count_done(tmp_path, 0) == 5
    path.write_bytes(path.read_bytes()[:-1])
    assert count_done(tmp_path, 0) == 3
