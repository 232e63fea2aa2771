"""Networks that read and write sequences of tokens."""

from jaxnets.models.sequence.encoder_decoder import EncoderDecoder
from jaxnets.models.sequence.language_model import LanguageModel
from jaxnets.models.sequence.regressor import SequenceRegressor

__all__ = ["EncoderDecoder", "LanguageModel", "SequenceRegressor"]
