"""The llmlingua compressor with a tiny model built here: real loading, real scoring, a real worker."""

import string
from pathlib import Path
from typing import Any

import pytest

from meshgate_chassis.clock import SystemClock
from meshgate_chassis.config.model import CompressionConfig
from meshgate_chassis.errors import MeshError
from meshgate_compression.app import _defaults, _worker_arguments
from meshgate_compression.conversation import compress_conversation
from meshgate_compression.extractive import Section
from meshgate_compression.jobs import Job
from meshgate_compression.llmlingua import LLMLINGUA, LlmLingua, missing_packages
from meshgate_compression.messages import Message, Part, Passage, Place
from meshgate_compression.policy import Policy
from meshgate_compression.render import MARK
from meshgate_compression.settings import CompressionSettings
from meshgate_compression.tokens import O200K, Tokenizers
from meshgate_compression.worker import PoolLimits, WorkerPool

needs_model_library = pytest.mark.skipif(
    bool(missing_packages()), reason="needs the extra [llmlingua]: torch and transformers"
)
TEXT = (
    'In 1873 the keeper Oskar Lind wrote that the old lamp was very dim indeed, and said "it will not last". '
    "See https://example.org/lamp for more. The very same day it rained, and quite heavily it seems.\n"
    "```\nlamp = 12\n```\n"
) * 30
count = Tokenizers().count(O200K)


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier with random weights that tells letters apart; saved as LLMLingua-2 models are."""
    torch: Any = pytest.importorskip("torch")
    transformers: Any = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("model")
    letters = [*string.ascii_letters, *string.digits, *string.punctuation]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    tokenizers: Any = pytest.importorskip("tokenizers")
    pieces = tokenizers.BertWordPieceTokenizer(
        vocab={word: index for index, word in enumerate(words)}, lowercase=False
    )
    marks = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=pieces, **marks).save_pretrained(folder)
    torch.manual_seed(7)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.BertConfig(vocab_size=len(words), num_labels=2, **sizes)
    transformers.BertForTokenClassification(config).save_pretrained(folder)
    return folder


def settings_with(model_path: Path | None) -> CompressionSettings:
    return CompressionSettings(
        llmlingua_model_path=model_path, MESHGATE_MESH_SECRET="a secret for tests, long"
    )


def passage(text: str = TEXT, fixed: tuple[tuple[int, int], ...] = ()) -> Passage:
    return Passage((Place(0, 0),), (Section(text, fixed),), 0.5, "")


@needs_model_library
def test_half_of_the_words_stay_in_their_order(model_path: Path) -> None:
    """Numbers, quotes, links, names, code and what the caller fixed stay as they are; twice is once."""
    compressor = LlmLingua(model_path)
    (short,) = compressor(passage(fixed=((0, 30),)), count)

    assert 0.5 <= count(short) / count(TEXT) < 0.75  # what must stay comes on top
    assert short.startswith(TEXT[:30])
    for protected in (
        "1873",
        "Oskar Lind",
        '"it will not last"',
        "https://example.org/lamp",
        "lamp = 12\n```",
    ):
        assert TEXT.count(protected) == short.count(protected)
    kept = short.replace(MARK, "").split()
    words = iter(TEXT.split())
    assert [word for word in kept if not any(word in given for given in words)] == []
    assert [short] == compressor(passage(short), count)


@needs_model_library
def test_the_model_decides(model_path: Path) -> None:
    """Words whose tokens have the higher probability stay: the scores are its own, over all windows."""
    compressor = LlmLingua(model_path)
    text = "alpha beta gamma delta " * 400
    scores = {text[s:e]: p for s, e, p in compressor._token_scores(text)}
    (short,) = compressor(passage(text), count)

    mean = {w: sum(scores[c] for c in w) / len(w) for w in ("alpha", "beta", "gamma", "delta")}
    worst = min(mean, key=lambda word: mean[word])
    best = max(mean, key=lambda word: mean[word])
    assert short.count(best) > short.count(worst)


@needs_model_library
async def test_a_worker_serves_it(model_path: Path) -> None:
    """The worker process loads the model at its start, and answers as this process does."""
    settings = settings_with(model_path)
    message = Message("user", (Part(f"<context>{TEXT}</context>\nWho wrote of the lamp?"),))
    job = Job((message,), Policy(), LLMLINGUA, O200K)
    limits = PoolLimits(workers=1, job_s_max=60, start_s_max=120)
    async with WorkerPool(limits, SystemClock(), _worker_arguments(settings)) as pool:
        outcome = await pool.run(job, 60)

    own = {LLMLINGUA: LlmLingua(model_path)}
    assert compress_conversation(job.messages, job.policy, LLMLINGUA, count, own) == outcome
    assert outcome.tokens_after < 0.8 * outcome.tokens_before


def test_without_the_extra_the_start_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a folder that holds no model is told as well; nothing is downloaded in its stead."""
    settings = settings_with(tmp_path)
    monkeypatch.setattr("meshgate_compression.app.missing_packages", lambda: ["torch"])
    with pytest.raises(MeshError, match=r"meshgate-compression\[llmlingua\]"):
        _worker_arguments(settings)
    monkeypatch.setattr("meshgate_compression.app.missing_packages", list)
    with pytest.raises(MeshError, match=r"config\.json"):
        _worker_arguments(settings)


def test_it_can_be_asked_for_only_with_a_model(tmp_path: Path) -> None:
    """Without a path it is an unknown compressor: at the start, and by request."""
    wanted = CompressionConfig(compressor=LLMLINGUA)
    with pytest.raises(MeshError, match="not one of extractive, none"):
        _defaults(wanted, settings_with(None))
    assert LLMLINGUA == _defaults(wanted, settings_with(tmp_path)).compressor
    assert LLMLINGUA not in _defaults(CompressionConfig(), settings_with(None)).compressors
