"""`include`: further files, relative to the one that names them."""

from tests.unit.chassis.config.loading import Folder

MODEL = "model_list: [{{model_name: {0}, litellm_params: {{model: openai/{0}}}}}]\n"


def test_files_are_merged(folder: Folder) -> None:
    """Lists are appended, sections merged key by key; the included file wins, as in LiteLLM."""
    (folder.path / "sub").mkdir()
    folder.write(MODEL.format("b") + "include: [c.yaml]\nrouter_settings: {num_retries: 5}\n", "sub/b.yaml")
    folder.write(MODEL.format("c") + "general_settings: {master_key: k}\n", "sub/c.yaml")
    config = folder.load(
        "include: [sub/b.yaml]\n" + MODEL.format("a") + "router_settings: {num_retries: 1, timeout: 7}\n"
    )
    assert ["a", "b", "c"] == [each.model_group for each in config.deployments]
    assert (5, 7.0) == (config.router.num_retries, config.router.timeout_s)
    assert config.master_key is not None


def test_sections_of_different_types(folder: Folder) -> None:
    """The included file wins whole; a null of it takes nothing away."""
    folder.write("callback_settings: {a: b}\nrouter_settings: null\n", "b.yaml")
    config = folder.load("include: b.yaml\ncallback_settings: [x]\nrouter_settings: {num_retries: 4}\n")
    assert 4 == config.router.num_retries
    folder.write("router_settings: [x]\n", "b.yaml")
    assert ["error b.yaml:1: router_settings: must be a mapping, not a list"] == folder.lines(
        "include: b.yaml\nrouter_settings: {num_retries: 4}\n"
    )


def test_problems_name_the_included_file(folder: Folder) -> None:
    """File, line and index are those of the file that has the problem."""
    folder.write("model_list:\n  - {model_name: a, litellm_params: {model: openai/x, rpm: x}}\n", "b.yaml")
    assert ["error b.yaml:2: model_list[0].litellm_params.rpm: must be a number, not text"] == folder.lines(
        MODEL.format("a") + "include: b.yaml\n"
    )


def test_a_cycle(folder: Folder) -> None:
    """Is an error, not an endless start."""
    folder.write("include: [config.yaml]\n", "b.yaml")
    assert ["error b.yaml:1: include: a file includes itself, directly or through others"] == folder.lines(
        "include: [b.yaml]\n"
    )
    assert ["error"] == [each.severity for each in folder.check("include: [config.yaml]\n")]


def test_the_depth(folder: Folder) -> None:
    """Five levels below the first file load, six do not."""
    for level in range(1, 7):
        folder.write(MODEL.format(f"m{level}") + f"include: [{level + 1}.yaml]\n", f"{level}.yaml")
    folder.write(MODEL.format("m5"), "5.yaml")
    assert 5 == len(folder.load("include: [1.yaml]\n").deployments)
    folder.write("include: [6.yaml]\n", "5.yaml")
    folder.write(MODEL.format("m6"), "6.yaml")
    assert ["error 5.yaml:1: include: files may include each other 5 deep, not more"] == folder.lines(
        "include: [1.yaml]\n"
    )


def test_a_file_that_is_not_there(folder: Folder) -> None:
    """Is named."""
    assert ["error config.yaml:1: include: there is no file 'b.yaml'"] == folder.lines("include: [b.yaml]\n")
    assert ["error config.yaml:1: include: must be a list, not a number"] == folder.lines("include: 3\n")


def test_the_same_file_twice_is_no_cycle(folder: Folder) -> None:
    """Two branches may share a file."""
    folder.write("include: [c.yaml]\n", "b.yaml")
    folder.write("router_settings: {num_retries: 4}\n", "c.yaml")
    assert 4 == folder.load("include: [b.yaml, c.yaml]\n").router.num_retries
