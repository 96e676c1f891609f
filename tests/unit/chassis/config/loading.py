"""Reads configurations that tests write as text."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import dedent

from meshgate_chassis.config import check_config, load_config
from meshgate_chassis.config.model import ConfigProblem, Deployment, GatewayConfig

FILES = Path(__file__).parent / "files"


class Folder:
    """A folder of configuration files."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, text: str, name: str = "config.yaml") -> Path:
        """Writes a file; the indentation of the test is removed."""
        target = self.path / name
        target.write_text(dedent(text))
        return target

    def load(self, text: str, environ: Mapping[str, str] | None = None) -> GatewayConfig:
        """The configuration."""
        return load_config(self.write(text), environ or {})

    def check(self, text: str, environ: Mapping[str, str] | None = None) -> Sequence[ConfigProblem]:
        """The problems."""
        return check_config(self.write(text), environ or {})

    def lines(self, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
        """The problems as an operator sees them, without the folder: `error config.yaml:1: ...`."""
        return [
            f"{problem.severity} {problem}".replace(f"{self.path}/", "")
            for problem in self.check(text, environ)
        ]

    def deployment(
        self, params: str, environ: Mapping[str, str] | None = None, info: str = "{}"
    ) -> Deployment:
        """The one deployment of `litellm_params: {...}`."""
        text = f"model_list: [{{model_name: m, litellm_params: {params}, model_info: {info}}}]"
        (found,) = self.load(text, environ).deployments
        return found
