"""Networks that read and write sequences of tokens."""

from jaxnets.models.sequence.answerers import GlimpseAnswerer, PictureGrid, SpatialMemory
from jaxnets.models.sequence.captioners import AttendingCaptioner, Captioner
from jaxnets.models.sequence.encoder_decoder import EncoderDecoder
from jaxnets.models.sequence.language_model import LanguageModel
from jaxnets.models.sequence.regressor import SequenceRegressor
from jaxnets.models.sequence.rnn_search import RNNSearch
from jaxnets.models.sequence.speller import Speller
from jaxnets.models.sequence.transformer import Transformer
from jaxnets.models.sequence.walker import Walker

__all__ = [
    "AttendingCaptioner",
    "Captioner",
    "EncoderDecoder",
    "GlimpseAnswerer",
    "LanguageModel",
    "PictureGrid",
    "RNNSearch",
    "SequenceRegressor",
    "SpatialMemory",
    "Speller",
    "Transformer",
    "Walker",
]
