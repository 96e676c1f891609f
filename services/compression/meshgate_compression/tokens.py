"""Token counts by the model's own tokenizer.

Invariants: nothing is loaded on import; a tokenizer is loaded at its first use and once per
process. Models whose tokenizer is not published are counted with o200k, which is near enough for
a ratio (the count before and after err alike).
"""

from collections.abc import Callable, Mapping

from rs_bpe.bpe import openai

Count = Callable[[str], int]  # Tokens of a text.

O200K = "o200k"
CL100K = "cl100k"
_CL100K_PREFIXES = ("gpt-4-", "gpt-3.5", "gpt-35", "text-embedding-", "gpt-4:")


def tokenizer_of(model: str) -> str:
    """The name of a model's tokenizer; the model may carry its provider, "azure/gpt-4"."""
    name = model.rsplit("/", 1)[-1].lower()
    if name == "gpt-4" or name.startswith(_CL100K_PREFIXES):
        return CL100K
    return O200K


class Tokenizers:
    """Counting functions by tokenizer name."""

    def __init__(self) -> None:
        self._loaders: Mapping[str, Callable[[], openai.Tokenizer]] = {
            O200K: openai.o200k_base,
            CL100K: openai.cl100k_base,
        }
        self._counts: dict[str, Count] = {}

    def count(self, name: str) -> Count:
        """The counting function of a tokenizer named by `tokenizer_of`."""
        if name not in self._counts:
            self._counts[name] = self._loaders[name]().count
        return self._counts[name]
