"""The base images of a Dockerfile."""

from __future__ import annotations

import pytest

from stages.build.dockerfile import Inputs, inputs_of, platform_arguments


@pytest.mark.parametrize(
    ("dockerfile", "args", "images"),
    [
        ("FROM python:3.12", {}, ["python:3.12"]),
        ("from python:3.12 as base\nFROM base", {}, ["python:3.12"]),
        ("FROM a AS x\nFROM b\nCOPY --from=x / /", {}, ["a", "b"]),
        ("ARG V=3.12\nFROM python:${V}", {}, ["python:3.12"]),
        ("ARG V=3.12\nFROM python:$V-slim", {"V": "3.13"}, ["python:3.13-slim"]),
        ('ARG I="python:3"\nFROM ${I}', {}, ["python:3"]),
        ("ARG V\nFROM python:${V:-3.11}", {}, ["python:3.11"]),
        ("ARG V=3 W='4'\nARG I=python:${V}.${W}\nFROM ${I}", {"W": "5"}, ["python:3.5"]),
        ("ARG D\nFROM python${D:+:debug}", {"D": "1"}, ["python:debug"]),
        ("FROM scratch\nCOPY a /", {}, []),
        ("FROM --platform=linux/amd64 python:3", {}, ["python:3"]),
        ("# FROM nothing\nFROM \\\n  python:3", {}, ["python:3"]),
        ("FROM a\nARG B=c\nFROM b", {}, ["a", "b"]),
        ("ARG I\nFROM ${I}", {}, []),
        ('FROM "python:3"', {}, ["python:3"]),
        ("FROM 'python':3", {}, ["python:3"]),
        ('FROM ${T:-"python:3"}', {}, ["python:3"]),
        ("ARG T=\"a b\" U='c'\nFROM $U", {}, ["c"]),
        ("ARG V=3.12.1\nFROM python:${V%.*}", {}, ["python:3.12"]),
        ("ARG V=3.12.1\nFROM python:${V%%.*}", {}, ["python:3"]),
        ("ARG V=v3.12\nFROM python:${V#v}", {}, ["python:3.12"]),
        ("ARG V=a/b/c\nFROM ${V##*/}-${V/b/d}-${V//\\//-}", {}, ["c-a/d/c-a-b-c"]),
        ("ARG V=3\nFROM python:${V:?missing}", {}, ["python:3"]),
        ("ARG V=\nFROM python:${V:?missing}", {}, []),
        ("FROM python:${V:-3}", {"V": "4"}, ["python:3"]),
        ("FROM python:3$V", {"V": "4"}, ["python:3"]),
        ("FROM a\x85b", {}, []),
        ("FROM a\nLABEL x=a\fFROM b\u2028FROM c\nCOPY --from=d / /", {}, ["a", "d"]),
        ("FROM a\r\nCOPY --from=b / /\r\n", {}, ["a", "b"]),
        ("# escape=` and more\nFROM `\n  a", {}, ["a"]),
        ("ARG A=" + "${A:-" * 10_000 + "\nFROM $A", {}, []),
        ("", {}, []),
    ],
)
def test_base_images(dockerfile: str, args: dict[str, str], images: list[str]) -> None:
    """With arguments put in; earlier stages and scratch left out."""
    assert inputs_of(dockerfile, args, every_stage=True) == Inputs(tuple(images))


@pytest.mark.parametrize(
    ("dockerfile", "images"),
    [
        ("FROM a\nCOPY --from=lib:stable /x /", ["a", "lib:stable"]),
        ("FROM a\nCOPY --chmod=755 --from=lib:stable /x /", ["a", "lib:stable"]),
        ("FROM a AS one\nFROM b\nCOPY --from=0 / /\nCOPY --from=ONE / /", ["a", "b"]),
        ("FROM a\nRUN --mount=type=bind,from=tool:1,target=/t /t/run", ["a", "tool:1"]),
        ("FROM a\nRUN --mount=type=bind,FROM=tool:1,target=/t /t/run", ["a", "tool:1"]),
        ('FROM a\nRUN --mount=type=bind,"from=tool:1",target=/t /t/run', ["a", "tool:1"]),
        ("FROM a\nRUN --mount='type=bind,target=/my t,from=tool:1' /t/run", ["a", "tool:1"]),
        ('FROM a\nRUN --mount=type=bind,\\"target=/a,b\\",From=tool:1 /t/run', ["a", "tool:1"]),
        ('FROM a\nCOPY --from="lib:1" / /', ["a", "lib:1"]),
        ("FROM a AS x\nFROM b\nRUN --mount=type=cache,target=/c --mount=from=x,target=/t true", ["a", "b"]),
        ("FROM a AS unused\nFROM b", ["b"]),
        ("FROM a AS one\nFROM one AS two\nFROM c AS unused\nFROM two", ["a"]),
        ("FROM a AS a\nFROM a", ["a"]),
        ("# escape=`\nFROM `\n a", ["a"]),
        ("\ufeffFROM a", ["a"]),
        ("FROM a\nRUN <<EOF\nFROM no\nEOF\nCOPY --from=b / /", ["a", "b"]),
        ("FROM a\nRUN cat <<-'END' > /x && true\nFROM no\n\tEND\nCOPY --from=b / /", ["a", "b"]),
        ("FROM a\nCOPY <<one <<two /\nFROM no\none\nFROM no\ntwo\nCOPY --from=b / /", ["a", "b"]),
        ("FROM a AS x\nRUN echo $((1<<y)) <<<here\nFROM b\nCOPY --from=x / /", ["a", "b"]),
        ("FROM a AS x\nRUN echo <<never\nFROM b\nCOPY --from=x / /", ["a", "b"]),
        ("FROM a\nRUN one \\\n# a comment\n\n  two\nCOPY --from=b / /", ["a", "b"]),
        ("FROM a-${TARGETARCH}-${BUILDOS}", ["a-arm64-linux"]),
        ("ARG TARGETARCH\nFROM a-$TARGETARCH", ["a-arm64"]),
        ("ARG TARGETARCH=x\nFROM a-$TARGETARCH", ["a-x"]),
        ("ARG A\nARG B=${A:-${C:-d}}\nFROM $B", ["d"]),
        ("ARG A=\nFROM b${A-x}${A+y}", ["by"]),
    ],
)
def test_every_image_that_the_last_stage_needs(dockerfile: str, images: list[str]) -> None:
    """Also those that steps copy from or mount. Stages that are not needed are left out."""
    arguments = platform_arguments("linux/amd64", "linux/arm64")
    assert set(inputs_of(dockerfile, {}, platforms=arguments).images) == set(images)


def test_the_inputs_of_a_target() -> None:
    """Later stages do not count. The classic builder builds all earlier ones."""
    dockerfile = "FROM a AS one\nFROM b AS two\nFROM c\n"
    assert inputs_of(dockerfile, {}, target="two").images == ("b",)
    assert inputs_of(dockerfile, {}, target="TWO", every_stage=True).images == ("a", "b")
    assert inputs_of(dockerfile, {}, target="0").images == ("a",)


@pytest.mark.parametrize(
    ("step", "remote"),
    [
        ("ADD https://example.org/a /", ("https://example.org/a",)),
        ('ADD ["https://example.org/a", "b", "/"]', ("https://example.org/a",)),
        ('ADD ["https://example.org/a","/"]', ("https://example.org/a",)),
        ('ADD ["a","https://example.org/a","/"]', ("https://example.org/a",)),
        ('ADD --link ["https:\\/\\/example.org/a","/"]', ("https://example.org/a",)),
        ("ADD ['https://example.org/a', '/']", ()),
        ('ADD "https://example.org/a" /', ("https://example.org/a",)),
        ('ADD ht"tps://"example.org/a /', ("https://example.org/a",)),
        ("ADD me@example.org:a.git /", ("me@example.org:a.git",)),
        ("ADD " + "[" * 100_000, ()),
        ("ADD --chown=1:1 git@example.org:a.git#main /", ("git@example.org:a.git#main",)),
        ("ADD $URL /", ("$URL",)),
        ("ADD --checksum=sha256:0 https://example.org/a /", ()),
        ("ADD a.tar b.tar /", ()),
        ("RUN curl https://example.org/a", ()),
    ],
)
def test_addresses_whose_content_may_change(step: str, remote: tuple[str, ...]) -> None:
    """One with a checksum has the same content each time, or the build fails."""
    assert inputs_of(f"FROM a\n{step}\n", {}).remote == remote
    assert inputs_of(f"FROM a AS unused\n{step}\nFROM b", {}).remote == ()
