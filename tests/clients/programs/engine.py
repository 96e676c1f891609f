"""A real engine with a model of no size: llama.cpp's server over random weights, written by `gguf`.

    python engine.py FOLDER PORT

Its tokens are single characters, so that a text has one way to be tokenized, and an answer that goes on from
a prefix is exactly the rest of the answer. Rows of the output that are zero are never chosen at temperature
0: the model says lower-case letters and spaces until a limit of tokens stops it.
"""

import signal
import string
import sys
from pathlib import Path

import gguf
import numpy as np
import xllamacpp

WIDTH, HEADS, FEED_FORWARD, CONTEXT, SEED = 64, 4, 128, 512, 7
SPACE = "\u2581"
SPECIAL = ["<unk>", "<s>", "</s>"]
BYTES = [f"<0x{number:02X}>" for number in range(256)]
SAID = [*string.ascii_lowercase, SPACE]
HEARD = [*string.ascii_uppercase, *string.digits, *".,:;!?<>|'\"-()\n"]
TEMPLATE = (
    "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def write_model(path: Path) -> None:
    """A llama of one layer."""
    tokens = [*SPECIAL, *BYTES, *SAID, *HEARD]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    kinds += [gguf.TokenType.BYTE] * len(BYTES) + [gguf.TokenType.NORMAL] * (len(SAID) + len(HEARD))
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(TEMPLATE)
    for name, tensor in tensors(len(tokens)).items():
        writer.add_tensor(name, tensor.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tensors(token_count: int) -> dict[str, np.ndarray]:
    """Random, but for the rows of what is never said."""
    random = np.random.default_rng(SEED)

    def matrix(rows: int, columns: int) -> np.ndarray:
        return random.normal(0.0, 1.0 / np.sqrt(columns), (rows, columns))

    output = np.zeros((token_count, WIDTH))
    start = len(SPECIAL) + len(BYTES)
    output[start : start + len(SAID)] = random.normal(0.0, 1.0, (len(SAID), WIDTH))
    return {
        "token_embd.weight": random.normal(0.0, 1.0, (token_count, WIDTH)),
        "blk.0.attn_norm.weight": np.ones(WIDTH),
        "blk.0.attn_q.weight": matrix(WIDTH, WIDTH),
        "blk.0.attn_k.weight": matrix(WIDTH, WIDTH),
        "blk.0.attn_v.weight": matrix(WIDTH, WIDTH),
        "blk.0.attn_output.weight": matrix(WIDTH, WIDTH),
        "blk.0.ffn_norm.weight": np.ones(WIDTH),
        "blk.0.ffn_gate.weight": matrix(FEED_FORWARD, WIDTH),
        "blk.0.ffn_up.weight": matrix(FEED_FORWARD, WIDTH),
        "blk.0.ffn_down.weight": matrix(WIDTH, FEED_FORWARD),
        "output_norm.weight": np.ones(WIDTH),
        "output.weight": output,
    }


def main(folder: str, port: str) -> None:
    """Until SIGTERM."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # before threads start
    path = Path(folder) / "tiny.gguf"
    write_model(path)
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.model_alias = {"tiny"}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = int(port)
    parameters.n_ctx = CONTEXT
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = 1
    parameters.ui = False
    parameters.offline = True
    parameters.warmup = False
    server = xllamacpp.Server(parameters)
    signal.sigwait({signal.SIGTERM})
    del server  # ends its threads


if __name__ == "__main__":
    main(*sys.argv[1:])
