"""Text: from characters to ids, windows, counts, and back to text."""

from helpers.data.dataset import PAD
from helpers.text.byte_pairs import BytePairs, train_bpe
from helpers.text.language import Stateful, nats, text_data
from helpers.text.ngrams import NGrams
from helpers.text.sampling import continue_text, sample_next
from helpers.text.tokens import RESERVED, UNK, Vocabulary, as_ids, characters, words
from helpers.text.windows import mask, pad, windows
