"""HPACK: what is written every peer reads, what any peer writes is read, and nothing breaks the reader."""

import tracemalloc

import pytest
from hpack import Decoder, Encoder, HPACKError, NeverIndexedHeaderTuple
from hpack.hpack import encode_integer
from hypothesis import given
from hypothesis import strategies as st

from meshgate_chassis.rpc.http2 import headers
from meshgate_chassis.rpc.http2.frames import COMPRESSION_ERROR, ENHANCE_YOUR_CALM, PROTOCOL_ERROR
from meshgate_chassis.rpc.http2.headers import Field, HeaderDecoder, HeaderError, block, literal

LIST_BYTES_MAX = 64 * 1024
NAME_CHARACTERS = [chr(code) for code in range(0x21, 0x7F) if chr(code) != ":" and not chr(code).isupper()]
NAMES = st.sampled_from(
    [name for name, _ in headers._STATIC] + ["grpc-timeout", "te", "x-a-bin"]
) | st.builds(
    lambda colon, name: colon + name,
    st.sampled_from(["", ":"]),
    st.text(alphabet=NAME_CHARACTERS, min_size=1, max_size=150),
)
VALUES = (
    st.sampled_from(["", "200", "POST", "http", "application/grpc", "trailers"])
    | st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=300)
    | st.text(alphabet=st.characters(max_codepoint=0xFF, exclude_characters="\r\n\0"), max_size=20)
)
FIELDS = st.lists(st.tuples(NAMES, VALUES) | st.sampled_from(headers._STATIC), max_size=12)


def by_library(decoder: Decoder, data: bytes) -> list[Field]:
    """What the library reads, as text."""
    return [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in decoder.decode(data, raw=True)
    ]


def raw(fields: list[Field], never_indexed: bool) -> list[tuple[bytes, bytes]]:
    """The fields as the library's encoder takes them."""
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]
    return [NeverIndexedHeaderTuple(*pair) for pair in pairs] if never_indexed else pairs


def refusal(decoder: HeaderDecoder, data: bytes) -> HeaderError:
    """The error that this block must raise."""
    with pytest.raises(HeaderError) as caught:
        decoder.decode(data)
    return caught.value


@given(st.lists(FIELDS, max_size=4))
def test_what_is_written_is_read_by_the_library_and_here(blocks: list[list[Field]]) -> None:
    """Every block by itself: a peer's table stays empty."""
    library, ours = Decoder(), HeaderDecoder(LIST_BYTES_MAX)
    for fields in blocks:
        data = block(fields)
        assert by_library(library, data) == fields
        assert by_library(Decoder(), data) == fields
        assert ours.decode(data) == fields
    assert len(library.header_table.dynamic_entries) == 0


@given(FIELDS)
def test_fields_are_made_one_by_one_or_together(fields: list[Field]) -> None:
    """Literals in a row are a block of the same fields; values may be given as bytes."""
    apart = b"".join(literal(name, value) for name, value in fields)
    assert by_library(Decoder(), apart) == fields
    assert HeaderDecoder(LIST_BYTES_MAX).decode(apart) == fields
    assert b"".join(literal(name, value.encode("latin-1")) for name, value in fields) == apart


@pytest.mark.parametrize("size_bytes", [0, 1, 126, 127, 128, 254, 255, 256, 16_510, 16_511, 16_512, 50_000])
def test_strings_of_every_length(size_bytes: int) -> None:
    """The borders of HPACK's integers, in values and in names."""
    fields = [("x", "v" * size_bytes), ("n" * max(1, size_bytes // 4), "")]
    data = block(fields)
    assert by_library(Decoder(max_header_list_size=LIST_BYTES_MAX), data) == fields
    assert HeaderDecoder(LIST_BYTES_MAX).decode(data) == fields


def test_the_bytes_of_a_call() -> None:
    """Static fields are one byte, literals are plain."""
    data = block([(":method", "POST"), (":status", "200"), ("te", "trailers"), (":path", b"/a/b")])
    assert data == b"\x83\x88\x00\x02te\x08trailers\x00\x05:path\x04/a/b"


STEPS = st.lists(
    st.tuples(
        FIELDS,
        st.sampled_from(["plain", "huffman", "never", "never huffman", "ours"]),
        st.none() | st.integers(0, 4096),
    ),
    max_size=8,
)


@given(STEPS)
def test_the_table_stays_right_in_any_mixture(steps: list[tuple[list[Field], str, int | None]]) -> None:
    """Blocks that use the table, between blocks that do not: plain, Huffman, indexed or never, resized."""
    encoder, decoder = Encoder(), HeaderDecoder(LIST_BYTES_MAX)
    for fields, how, table_bytes in steps:
        if how == "ours":
            assert decoder.decode(block(fields)) == fields
            continue
        if table_bytes is not None:
            encoder.header_table_size = table_bytes
        data = encoder.encode(raw(fields, "never" in how), huffman="huffman" in how)
        assert decoder.decode(data) == fields


@given(FIELDS, st.sampled_from([0x00, 0x10]))
def test_names_of_the_static_table_with_other_values(fields: list[Field], kind: int) -> None:
    """Literals with an indexed name, never indexed or just not: nearly all that a plain encoder sends."""
    data, expected = b"", []
    for index, (name, _) in enumerate(headers._STATIC, start=1):
        data += bytes([kind | index] if index < 15 else [kind | 15, index - 15]) + b"\x02ab"
        expected.append((name, "ab"))
    assert HeaderDecoder(LIST_BYTES_MAX).decode(data + block(fields)) == expected + fields
    assert by_library(Decoder(max_header_list_size=LIST_BYTES_MAX), data + block(fields)) == expected + fields


HUFFMAN = Encoder().huffman_coder


@given(st.text(alphabet=NAME_CHARACTERS, min_size=1, max_size=300), FIELDS)
def test_one_string_of_a_field_may_be_huffman_coded(text: str, fields: list[Field]) -> None:
    """Name and value each say how they are coded; what follows is not touched."""
    coded = HUFFMAN.encode(text.encode())
    string = bytes(encode_integer(len(coded), 7)) + coded
    coded_string = bytes([string[0] | 0x80]) + string[1:]
    for data, field in (
        (b"\x00\x01n" + coded_string, ("n", text)),
        (b"\x00" + coded_string + b"\x01v", (text, "v")),
        (b"\x10" + coded_string + coded_string, (text, text)),
    ):
        assert HeaderDecoder(LIST_BYTES_MAX).decode(data + block(fields)) == [field, *fields]


@given(FIELDS)
def test_what_meshgate_writes_is_read_without_the_library(fields: list[Field]) -> None:
    """The quick way is taken for all that comes from a peer of our own, or its speed is lost unseen."""
    printable = [(name, value) for name, value in fields if value.isprintable() and len(name) < 127]
    assert HeaderDecoder(LIST_BYTES_MAX)._without_table(block(printable)) == printable


def test_long_values_and_static_names_are_read_without_the_library() -> None:
    """Lengths of one, two and three bytes; names of one byte and two, up to the last of the table."""
    for size_bytes in (0, 126, 127, 128, 254, 255, 256, 300, 16_510):
        fields = [("x", "v" * size_bytes), ("y", "z")]
        assert HeaderDecoder(LIST_BYTES_MAX)._without_table(block(fields)) == fields
    data = b"\x0f\x00\x01v\x1f\x2e\x01v\x0e\x01v\xbd"
    names = ["accept-charset", "www-authenticate", ":status"]
    assert HeaderDecoder(LIST_BYTES_MAX)._without_table(data) == [
        *((name, "v") for name in names),
        ("www-authenticate", ""),
    ]


# Parts of which blocks that are nearly right are made: indexes, kinds, lengths, strings, whole fields.
PARTS = (
    "82 bd be ff 00 0f 10 1f 20 3f 40 41 7f 80 01 026162 811f ffffffffff 0141 02610a 01610162 0001610162 7e "
    "4001630164 0000 000000 0001410162 000161010a 00016181ff"
)
BLOCKS = st.lists(
    st.binary(max_size=60)
    | st.lists(st.sampled_from([bytes.fromhex(part) for part in PARTS.split()]), max_size=10).map(b"".join),
    max_size=4,
)


@given(BLOCKS)
def test_garbage_is_what_the_library_makes_of_it_or_an_error(blocks: list[bytes]) -> None:
    """Any bytes: the fields that the library reads, or HeaderError; it lets through less, never more."""
    library, ours = Decoder(), HeaderDecoder(LIST_BYTES_MAX)
    for data in blocks:
        try:
            expected = by_library(library, data)
        except HPACKError:
            error = refusal(ours, data)
            assert (error.error_code, error.table_intact) == (COMPRESSION_ERROR, False)
            return
        try:
            assert ours.decode(data) == expected
        except HeaderError as error:
            assert (error.error_code, error.table_intact) == (PROTOCOL_ERROR, True)


def test_the_quick_way_reads_nothing_into_a_block() -> None:
    """What it reads the library reads as well, and the table is as before; else it leaves it alone."""
    for first in range(256):
        for second in range(256):
            data = bytes([first, second]) + b"a\x01b"
            try:
                fields = HeaderDecoder(LIST_BYTES_MAX)._without_table(data)
            except IndexError:
                fields = None
            if fields is not None:
                library = Decoder()
                assert by_library(library, data) == fields
                assert len(library.header_table.dynamic_entries) == 0
                assert library.header_table_size == 4_096


MALFORMED = {
    "index 0": "80",
    "index beyond both tables": "be",
    "index far beyond": "ffffff7f",
    "name beyond both tables": "0f2f0161",
    "name far beyond": "0fffff7f0161",
    "index without its end": "ff",
    "index that goes on": "ffff",
    "name index without its end": "0f",
    "only a kind": "00",
    "only a kind that is indexed": "40",
    "name shorter than its length": "0005616263",
    "no value": "000161",
    "value shorter than its length": "0001610562",
    "length without its end": "0001617f",
    "length that goes on": "0001617f80",
    "length that goes on twice": "0001617f8080",
    "length of 2 to the 35th": "0001617fffffffff7f",
    "length of 2 to the 70th": "0001617f" + "ff" * 9 + "7f",
    "name of 2 to the 70th": "007f" + "ff" * 9 + "7f",
    "integer without an end": "0001617f" + "80" * 60_000,
    "index without an end": "ff" + "80" * 60_000,
    "Huffman with padding of zeros": "0001618100",
    "Huffman with padding of a byte": "00016182ffff",
    "Huffman with its end mark": "00016184ffffffff",
    "Huffman shorter than its length": "00016185aa",
    "size above what is allowed": "3fe21f",
    "size of 2 to the 70th": "3f" + "ff" * 9 + "7f",
    "size after a field": "8220",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
@pytest.mark.parametrize("before", [b"", b"\x83\x00\x02te\x08trailers"], ids=["first", "later"])
def test_a_malformed_block_costs_the_connection(data: str, before: bytes) -> None:
    """COMPRESSION_ERROR, the table is lost, and no memory is taken for lengths that are only claimed."""
    decoder = HeaderDecoder(LIST_BYTES_MAX)
    whole = before + bytes.fromhex(data)
    tracemalloc.start()
    try:
        error = refusal(decoder, whole)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (error.error_code, error.table_intact) == (COMPRESSION_ERROR, False)
    assert peak_bytes < 2_000_000


@pytest.mark.parametrize("how", ["ours", "huffman", "indexed"])
def test_the_limit_of_a_list_is_exact(how: str) -> None:
    """Name, value and 32 for each field; the table survives a list that is a little too long."""
    fields = [("x-long", "v" * 300), ("te", "trailers"), (":method", "POST")]
    size_bytes = sum(len(name) + len(value) + 32 for name, value in fields)

    def encoded() -> bytes:
        if how == "ours":
            return block(fields)
        return encoder.encode(raw(fields, False), huffman=how == "huffman")

    encoder = Encoder()
    decoder = HeaderDecoder(size_bytes)
    assert [decoder.decode(encoded()) for _ in range(3)] == [fields] * 3
    encoder = Encoder()
    decoder = HeaderDecoder(size_bytes - 1)
    for _ in range(3):
        error = refusal(decoder, encoded())
        assert (error.error_code, error.table_intact) == (ENHANCE_YOUR_CALM, True)
    assert decoder.decode(encoder.encode([(b"x-long", b"v" * 200)])) == [("x-long", "v" * 200)]


BOMBS = {
    "one large entry of the table, many times": b"\x40\x01a\x7f\xa1\x1e" + b"v" * 4_000 + b"\xbe" * 60_000,
    "static fields": b"\x90" * 100_000,
    "empty literals": b"\x00\x01a\x00" * 25_000,
    "entries that are added": b"\x40\x01a\x00" * 25_000,
    "a value of Huffman's shortest codes": b"\x00\x01a\xff\x80\xf0\x05" + b"\x00" * 96_511,
    "resizing without an end": b"\x20" * 100_000 + b"\x80",
    "a block beyond any list": b"\x83" * 1_000_000,
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_a_small_block_does_not_become_a_large_list(bomb: bytes) -> None:
    """A bomb is refused on the way; what it takes is a small multiple of the limit."""
    decoder = HeaderDecoder(LIST_BYTES_MAX)
    tracemalloc.start()
    try:
        refusal(decoder, bomb)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 100 * LIST_BYTES_MAX


def allowed(name: bytes) -> bool:
    """RFC 9113, 8.2.1, letter by letter."""
    rest = name.removeprefix(b":")
    return bool(rest) and all(
        0x21 <= byte <= 0x7E and byte != 0x3A and not 0x41 <= byte <= 0x5A for byte in rest
    )


def plain(name: bytes, value: bytes) -> bytes:
    """A literal of any bytes, each shorter than 127."""
    return bytes([0, len(name)]) + name + bytes([len(value)]) + value


@given(st.binary(max_size=3) | st.sampled_from(NAME_CHARACTERS).map(str.encode))
def test_names_that_http_2_forbids(name: bytes) -> None:
    """Capitals, controls, spaces, colons within, none at all: refused both ways, and only this stream is."""
    decoder = HeaderDecoder(LIST_BYTES_MAX)
    blocks = [plain(name, b"v"), Encoder().encode([(name, b"v")])]
    if allowed(name):
        assert [decoder.decode(data) for data in blocks] == [[(name.decode(), "v")]] * 2
        assert literal(name.decode(), "v") == blocks[0]
        return
    for data in blocks:
        error = refusal(decoder, data)
        assert (error.error_code, error.table_intact) == (PROTOCOL_ERROR, True)
    with pytest.raises(ValueError, match="no header field"):
        literal(name.decode("latin-1"), "v")


@pytest.mark.parametrize("bad", [b"\n", b"\r", b"\0"])
@pytest.mark.parametrize("around", [(b"", b""), (b"a", b"b"), (b"a", b""), (b"", b"b")])
def test_values_that_http_2_forbids(bad: bytes, around: tuple[bytes, bytes]) -> None:
    """Line ends and NUL are refused both ways, the table goes on, and the text does not tell the value."""
    value = bad.join(around)
    encoder, decoder = Encoder(), HeaderDecoder(LIST_BYTES_MAX)
    for data in (plain(b"authorization", value), encoder.encode([(b"authorization", value)])):
        error = refusal(decoder, data)
        assert (error.error_code, error.table_intact) == (PROTOCOL_ERROR, True)
        assert error.text == "no header value, of authorization"
    assert decoder.decode(encoder.encode([(b"te", b"trailers")])) == [("te", "trailers")]
    for given_value in (value, value.decode()):
        with pytest.raises(ValueError, match="no header field"):
            literal("authorization", given_value)


def test_a_text_beyond_latin_1_is_no_value() -> None:
    """It has no bytes of its own: gRPC sends such texts encoded."""
    with pytest.raises(ValueError, match="latin-1"):
        literal("x", "你")


def test_the_text_of_an_error_holds_no_value() -> None:
    """A block that cannot be read may hold a key; the log must not."""
    error = refusal(HeaderDecoder(LIST_BYTES_MAX), b"\x40\x0dauthorization\x0asecret")
    assert "secret" not in str(error)
    assert (error.__cause__, error.__suppress_context__) == (None, True)


def test_a_list_belongs_to_who_asked() -> None:
    """A block that comes again is a list of its own."""
    decoder = HeaderDecoder(LIST_BYTES_MAX)
    data = block([(":status", "200"), ("content-type", "application/grpc")])
    for _ in range(3):
        fields = decoder.decode(data)
        assert fields == [(":status", "200"), ("content-type", "application/grpc")]
        fields.clear()


def test_what_a_connection_remembers_is_limited() -> None:
    """A peer that never repeats itself takes no more memory."""
    decoder = HeaderDecoder(LIST_BYTES_MAX)
    for number in range(1_000):
        assert decoder.decode(block([(f"x-{number}", "v")])) == [(f"x-{number}", "v")]
        long = ("n" * 100 + str(number), "v" * 100)
        assert decoder.decode(block([long])) == [long]
    assert len(decoder._known_names) == headers.KNOWN_NAMES_MAX
    assert max(map(len, decoder._known_names)) <= headers.KNOWN_NAME_BYTES_MAX
    assert len(decoder._known_blocks) == headers.KNOWN_BLOCKS_MAX
    assert max(map(len, decoder._known_blocks)) <= headers.KNOWN_BLOCK_BYTES_MAX
