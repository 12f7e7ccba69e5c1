"""The progress bar: one display, fed by updates, replaced by a line; silent where it should be."""

import pytest

from helpers.course import progress
from helpers.course.progress import Progress


class Screen:
    """What a cell shows: a text for every display, and how often it was drawn."""

    def __init__(self):
        self.texts, self.drawn = [], 0

    def display(self, data, raw, display_id=False):
        self.texts.append(data["text/plain"])
        self.drawn += 1
        place = len(self.texts) - 1

        class Handle:
            @staticmethod
            def update(data, raw):
                self.texts[place] = data["text/plain"]
                self.drawn += 1

        return Handle() if display_id else None


@pytest.fixture
def screen(monkeypatch) -> Screen:
    """A screen, and a clock that goes on by a second whenever it is looked at."""
    clock = iter(range(1000))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    found = Screen()
    monkeypatch.setattr(progress, "display", found.display)
    return found


def test_one_display_counts_updates_and_gives_way_to_the_line(screen):
    with Progress("adding", show=True) as bar:
        bar.expect(10)
        bar.expect(10)
        for arm in ("RNN", "LSTM"):
            for _ in range(5):
                bar.tick(arm, 2)
            (text,) = screen.texts
            assert (
                text.startswith(f"adding, {arm}: ") and ("50%" if arm == "RNN" else "100%") in text
            )
        assert "20/20 [00:" in text and " updates]" in text
        bar.line = "adding: 4 stored networks, 2 of them replayed here: equal"
    assert screen.texts == [bar.line] and screen.drawn > 5


def test_where_outputs_are_checked_only_the_line_is_shown(screen):
    with Progress("adding", show=False) as bar:
        bar.expect(2)
        bar.tick("RNN", 2)
        assert screen.texts == []
        bar.line = "adding: equal"
    assert screen.texts == ["adding: equal"] and screen.drawn == 1


@pytest.mark.parametrize("ticks", [0, 3])
def test_an_interrupt_says_what_was_kept(screen, ticks):
    with pytest.raises(KeyboardInterrupt), Progress("adding", show=True) as bar:
        for _ in range(ticks):
            bar.tick("RNN", 1)
        raise KeyboardInterrupt
    said = "adding: interrupted; what is finished is kept, run the cell to go on"
    assert screen.texts == [said]


def test_an_error_leaves_no_bar_behind(screen):
    with pytest.raises(ValueError), Progress("adding", show=True) as bar:
        bar.tick("RNN", 1)
        bar.tick("RNN", 1)
        raise ValueError
    assert screen.texts == ["adding: broke off"]
    with pytest.raises(ValueError), Progress("other", show=False):
        raise ValueError
    assert len(screen.texts) == 1
