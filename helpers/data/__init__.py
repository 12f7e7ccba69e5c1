"""Data: everything a network is trained on, as tensors in three splits."""

from helpers.data.dataset import IGNORED, PAD, DataError, Dataset, Split, check_split
from helpers.data.loading import load, load_plays, load_public, load_reviews, resolve_device
from helpers.data.mnist1d import make_mnist1d
from helpers.data.seeded import Elsewhere, Resplit, Source, changed, drawn, public
from helpers.data.streams import stream, stream_seed
from helpers.data.tasks import (
    adding_problem,
    copy_memory,
    digit_rows,
    find_symbol,
    key_token,
    remember_symbol,
    reset_sum,
    shrink,
    which_came_first,
)
from helpers.data.threads import threads
