"""What Azure needs beside a key and an address."""

from tests.unit.chassis.config.loading import Folder


def test_version_and_login(folder: Folder) -> None:
    """A version as text, a token of Entra ID as a header; neither is a default of requests."""
    found = folder.deployment(
        "{model: azure/d, api_base: 'https://r', api_version: 2024-06-01, azure_ad_token: secret-token}"
    )

    assert ("azure", "d", "2024-06-01") == (found.provider, found.upstream_model, found.api_version)
    assert {"Authorization": "Bearer secret-token"} == found.extra_headers
    assert {} == found.request_defaults
    assert "secret-token" not in repr(found)


def test_the_environment_fills_in(folder: Folder) -> None:
    """Version, address and key; other providers have no version."""
    environ = {"AZURE_API_VERSION": "v1", "AZURE_API_BASE": "https://r", "AZURE_API_KEY": "k"}
    entry = "{{model_name: {0}, litellm_params: {{model: {0}}}}}"
    text = f"model_list: [{entry.format('azure/d')}, {entry.format('openai/x')}]"
    azure, openai = folder.load(text, environ).deployments

    assert ("v1", "https://r") == (azure.api_version, azure.api_base)
    assert azure.api_key is not None
    assert openai.api_version is None
