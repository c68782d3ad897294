"""Secrets are refused where they are given, and taken out of what is said and written."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import MeanCodec
from tests.pipeline.audio_files import write_noise
from tokenize_pipeline import cli
from tokenize_pipeline.config import TokenizeConfig
from tokenize_pipeline.credentials import refuse_secrets, without_secrets
from tokenize_pipeline.errors import ConfigurationError
from tokenize_pipeline.records import Failure, Shard, SourceItem
from tokenize_pipeline.worker import Worker

SECRET = "hunter2hunter2"  # noqa: S105
WITH_SECRETS = [
    f"s3://key:{SECRET}@bucket/speech",
    f"s3://{SECRET}@bucket/speech",
    f"http://user:{SECRET}@host/a.wav",
    f"http://user:with/{SECRET}@host/a.wav".replace("with/", "with%2F"),
    f"https://host/a.wav?token={SECRET}",
    f"https://host/a.wav?x=1&X-Amz-Signature={SECRET}&y=2",
    f"https://host/a.wav?X-Amz-Credential={SECRET}%2F2025&X-Amz-Expires=1",
    f"https://host/a.wav?sv=1&sig={SECRET}",
    f"https://host/a.wav?access_key={SECRET}",
    f"https://host/a.wav?AWSAccessKeyId={SECRET}",
    f"hf://datasets/x/y?api_key={SECRET}",
]
WITHOUT_SECRETS = [
    "/home/me@work/a:b.wav",
    "s3://bucket/speech/a@b.wav",
    "https://host/a.wav?download=1&keyboard=us",
    "https://host/monkey?monkey=1",
    "hf://datasets/org/name@main/data",
    "memory://x/?*.wav",
]


@pytest.mark.parametrize("url", WITH_SECRETS)
def test_urls_with_secrets_are_refused_without_repeating_them(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigurationError, match="there is a secret in the URL") as caught:
        refuse_secrets(url)
    assert SECRET not in str(caught.value)
    for arguments in ([url, "--output", str(tmp_path / "out")], [str(tmp_path), "--output", url]):
        assert cli.main(["tokenize", *arguments]) == 2
    written = capsys.readouterr()
    assert SECRET not in written.out + written.err
    assert "there is a secret in the URL" in written.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", WITHOUT_SECRETS)
def test_other_urls_are_taken_as_they_are(url: str) -> None:
    refuse_secrets(url)
    assert without_secrets(f"cannot read {url}, sorry") == f"cannot read {url}, sorry"


@pytest.mark.parametrize("url", WITH_SECRETS)
@settings(deadline=None, max_examples=25)
@given(before=st.text(max_size=20), after=st.sampled_from(["", " ", "'", '"', "\n", ", and more"]))
def test_no_text_keeps_a_secret(url: str, before: str, after: str) -> None:
    assert SECRET not in without_secrets(f"{before} {url}{after}")


@pytest.mark.parametrize(
    "text",
    [
        f"AWS_SECRET_ACCESS_KEY={SECRET}",
        f"{{'aws_secret_access_key': '{SECRET}', 'region': 'x'}}",
        f"Authorization: Bearer {SECRET}",
    ],
)
def test_settings_and_headers_in_texts(text: str) -> None:
    assert SECRET not in without_secrets(text)
    assert without_secrets(without_secrets(text)) == without_secrets(text)


def test_errors_of_libraries_reach_neither_records_nor_the_driver_with_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library that puts into its message what it was given."""

    def refuse(_item: SourceItem) -> None:
        raise OSError(f"401 for https://user:{SECRET}@host/a.wav?token={SECRET}")

    monkeypatch.setattr("tokenize_pipeline.shard.read_recordings", refuse)
    path = write_noise(tmp_path / "a.wav", 0.1, 0)
    worker = Worker(TokenizeConfig((str(path),), str(tmp_path / "out")), use_gpu=False)
    worker._codec = MeanCodec()
    failure = worker.work(Shard(0, "0" * 10, (SourceItem("a", str(path), 1, ""),)), 1)
    assert isinstance(failure, Failure)
    assert "401 for https://***@host/a.wav?token=***" in failure.cause
    assert SECRET not in json.dumps(failure.cause)
    assert not failure.blames_shard
