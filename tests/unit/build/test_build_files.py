"""The Dockerfile and the patterns of files to leave out, as Docker and the commit's links name them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pipeline.base.errors import StageFailed
from pipeline.config.models import Build
from stages.build.build_files import BuildFiles
from stages.build.context import build_context
from stages.source.checkout import GitCheckout
from tests.support.repository import Work

DOCKERFILE = "FROM scratch\nCOPY . /\n"


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


def committed(work: Work, files: dict[str, str], links: dict[str, str] | None = None) -> GitCheckout:
    """Commit files and symbolic links, and return the commit."""
    for name, target in (links or {}).items():
        (work.path / name).parent.mkdir(parents=True, exist_ok=True)
        (work.path / name).symlink_to(target)
    for name, text in files.items():
        work.commit(text, name)
    repository = work.open()
    return repository.checkout(repository.resolve("main"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "# FROM scratch\n",
        "ARG VERSION=1\n",
        "ARG A=1 \\\nFROM scratch\n",
        "# escape=` and more\nARG A=1 `\nFROM scratch\n",
        "# other=1\n# escape=`\nARG A=1 \\\nFROM scratch\n",
        "# check=skip=all\n# escape=`\nARG A=1 \\\nFROM scratch\n",
        "# check=skip=all\n# escape=`\nARG A=1 `\nFROM scratch\n",
        "ARG A=1\fFROM scratch\n",
        "ARG A=1\u2028FROM scratch\n",
        "RUN <<END\nFROM scratch\nEND\n",
        "ONBUILD FROM scratch\n",
        "FROMscratch\n",
        "shop.dockerfile",
    ],
)
def test_a_dockerfile_without_from_never_reaches_a_builder(text: str, work: Work) -> None:
    """One of a single ARG ends the whole daemon of Docker 20.10."""
    checkout = committed(work, {"shop/Dockerfile": text, "shop/shop.dockerfile": DOCKERFILE})
    with pytest.raises(StageFailed) as caught:
        BuildFiles.read(checkout, Build(context="shop"))
    assert caught.value.message == "shop/Dockerfile has no FROM, so there is nothing to build"
    assert "FROM python" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("names", "config", "found"),
    [
        (["Dockerfile"], {}, "Dockerfile"),
        (["dockerfile"], {}, "dockerfile"),
        (["dockerfile", "Dockerfile"], {}, "Dockerfile"),
        (["shop/dockerfile"], {"context": "shop"}, "dockerfile"),
        (["docker/dockerfile"], {"dockerfile": "docker/Dockerfile"}, None),
        (["containerfile"], {"dockerfile": "Containerfile"}, None),
    ],
)
def test_the_name_of_the_dockerfile(names: list[str], config: dict[str, str], found: str | None, work: Work) -> None:
    """As for Docker, lower case is enough unless a name is set."""
    checkout, build = committed(work, dict.fromkeys(names, DOCKERFILE)), Build.model_validate(config)
    if found is None:
        with pytest.raises(StageFailed, match=f"has no {build.dockerfile}"):
            BuildFiles.read(checkout, build)
    else:
        assert BuildFiles.read(checkout, build).dockerfile == found


def test_patterns_named_after_the_dockerfile(work: Work) -> None:
    """BuildKit prefers them, also to an empty file. The classic builder does not know them."""
    files = {"b/Dockerfile": DOCKERFILE, "b/Dockerfile.dockerignore": "own", ".dockerignore": "common"}
    found = BuildFiles.read(committed(work, files), Build(dockerfile="b/Dockerfile"))
    assert found.patterns(own=True) == "own"
    assert found.patterns(own=False) == "common"


def extracted(checkout: GitCheckout, found: BuildFiles, root: Path) -> AbstractContextManager[Path]:
    return build_context(checkout, "shop", root / "context", lambda: lambda _: False, 10**9, found.contents)


LINKS = [
    {"shop/Dockerfile": "../docker/Dockerfile", "shop/.dockerignore": "../common.ignore"},
    {"shop/Dockerfile": "../second", "second": "docker/Dockerfile", "shop/.dockerignore": "conf/ignore"},
    {"shop/Dockerfile": "conf/Dockerfile", "shop/conf/Dockerfile": "../../docker/Dockerfile"},
]


@pytest.mark.parametrize("links", LINKS)
def test_links_out_of_the_context_are_followed(links: dict[str, str], work: Work, tmp_path: Path) -> None:
    """A builder gets the content as files, and the digest for the image's key tells a change of it."""
    files = {"common.ignore": "secret.txt", "shop/conf/ignore": "secret.txt", "docker/Dockerfile": DOCKERFILE}
    checkout = committed(work, files, links)
    found = BuildFiles.read(checkout, Build(context="shop"))
    assert found.text == DOCKERFILE
    assert found.patterns(own=False) == ("secret.txt" if "shop/.dockerignore" in links else "")
    with extracted(checkout, found, tmp_path) as folder:
        written = {name: (folder / name).read_bytes() for name in found.contents if not (folder / name).is_symlink()}
    assert written == found.contents
    changed = committed(work, {"docker/Dockerfile": f"{DOCKERFILE}USER 1\n"})
    assert changed.tree("shop") == checkout.tree("shop")
    assert BuildFiles.read(changed, Build(context="shop")).digest != found.digest


@pytest.mark.parametrize(("link", "kept"), [("../docker", False), ("conf", True), (".", True)])
def test_a_dockerfile_below_a_folder_that_is_a_link(link: str, kept: bool, work: Work, tmp_path: Path) -> None:
    """Only a link that leads out of the context is replaced."""
    names = ("shop/conf/Dockerfile", "docker/Dockerfile", "shop/Dockerfile")
    checkout = committed(work, dict.fromkeys(names, DOCKERFILE), {"shop/build": link})
    found = BuildFiles.read(checkout, Build(context="shop", dockerfile="build/Dockerfile"))
    with extracted(checkout, found, tmp_path) as folder:
        assert (folder / "build").is_symlink() == kept
        assert (folder / "build" / "Dockerfile").read_text() == DOCKERFILE


@pytest.mark.parametrize("name", ["Dockerfile", ".dockerignore", "Dockerfile.dockerignore"])
def test_a_link_out_of_the_repository_is_refused(name: str, work: Work) -> None:
    """Whether or not the builder would read it."""
    files = {} if name == "Dockerfile" else {"Dockerfile": DOCKERFILE}
    checkout = committed(work, {"a": "1", **files}, {name: "/etc/hostname"})
    with pytest.raises(StageFailed, match=f"{name} of commit .* leads out of the repository"):
        BuildFiles.read(checkout, Build())
