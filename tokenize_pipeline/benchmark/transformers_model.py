"""The model of transformers with the weights of ours: the only place that imports transformers."""

from typing import Any

from codec.encodec import EncodecConfig, EncodecModel
from tokenize_pipeline.errors import ConfigurationError


def transformers_version() -> str:
    """Version of the transformers installed.

    Raises:
        ConfigurationError: it is not.
    """
    return str(_import_transformers().__version__)


def make_reference(ours: EncodecModel) -> Any:
    """The transformers model with the weights of ours.

    Ours are plain; theirs are weight-normalized, g * v / ||v||, where v is ours and g its norm.
    """
    transformers = _import_transformers()
    theirs = transformers.EncodecModel(_reference_config(ours.config)).eval()
    plain = ours.state_dict()
    weights = {}
    for name, like in theirs.state_dict().items():
        base, _, part = name.partition(".parametrizations.weight.")
        if not part:
            weights[name] = plain[name]
        elif part == "original1":
            weights[name] = plain[f"{base}.weight"]
        else:
            norm = plain[f"{base}.weight"].flatten(1).norm(dim=1)
            weights[name] = norm.view(like.shape)
    theirs.load_state_dict(weights)
    return theirs


def _reference_config(config: EncodecConfig) -> Any:
    values = config.to_dict()  # its bandwidths are floats, which transformers insists on
    del values["architectures"], values["model_type"]
    return _import_transformers().EncodecConfig(**values)


def _import_transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ConfigurationError(
            "the benchmark compares with transformers, which is not installed: "
            "pip install transformers"
        ) from error
    return transformers
