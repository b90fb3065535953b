"""The base images of a Dockerfile."""

from __future__ import annotations

import pytest

from stages.build.dockerfile import base_images


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
        ("", {}, []),
    ],
)
def test_base_images(dockerfile: str, args: dict[str, str], images: list[str]) -> None:
    """With arguments put in; earlier stages and scratch left out."""
    assert base_images(dockerfile, args) == images
