"""A finished run as a Hugging Face dataset."""

import datasets

from tokenize_pipeline.commit import RunFolder
from tokenize_pipeline.errors import ConfigurationError


def load_tokens(url: str, streaming: bool = False) -> datasets.Dataset | datasets.IterableDataset:
    """The rows of every committed part of an output, in the order of the plan.

    Args:
        url: OUTPUT of a run: local folder or any fsspec URL.
        streaming: read row group by row group as the dataset is iterated over, copying nothing.

    Raises:
        DamagedOutputError: there is no run at `url`.
        ConfigurationError: the run has no rows yet, or none at all.
    """
    folder = RunFolder(url)
    folder.identity()  # says clearly that there is no run
    parts = folder.part_urls()
    if not parts:
        raise ConfigurationError(f"{url} has no committed rows to load")
    return datasets.load_dataset("parquet", data_files=parts, split="train", streaming=streaming)
