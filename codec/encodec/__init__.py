"""EnCodec: model, configuration, feature extractor, checkpoints, and the codec made of them."""

from codec.encodec.codec import EncodecCodec
from codec.encodec.config import EncodecConfig
from codec.encodec.feature_extraction import BatchFeature, EncodecFeatureExtractor
from codec.encodec.model import EncodecModel
from codec.encodec.outputs import EncodecDecoderOutput, EncodecEncoderOutput, EncodecOutput

__all__ = [
    "BatchFeature",
    "EncodecCodec",
    "EncodecConfig",
    "EncodecDecoderOutput",
    "EncodecEncoderOutput",
    "EncodecFeatureExtractor",
    "EncodecModel",
    "EncodecOutput",
]
