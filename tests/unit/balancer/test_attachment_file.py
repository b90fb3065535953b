"""The files of what is attached and of what the gateway agent keeps, if another program damages them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.balancer.attachments.fault import AttachmentFault
from pipeline.balancer.attachments.record import AttachmentFile, AttachmentRecord
from pipeline.balancer.gateway.numbers import NumberFile, Numbers
from pipeline.balancer.gateway.wanted_gateway import GatewayFile

_DAMAGED = (
    *("", "{", "\0", "1", "null", '"text"', "[1, 2]", "[null]", "[[]]", '{"a": 1}', '[{"addresses": "text"}]'),
    *('{"endpoints": [1]}', '{"endpoints": 1, "pools": 2, "groups": 3}', '{"appliances": [1], "pools": {}}'),
)
_RECORD = AttachmentRecord("vpce-1", "clients", "namespace", "lab", "012345678")


@pytest.mark.parametrize("content", _DAMAGED)
def test_damaged_files_are_as_missing_ones(content: str, tmp_path: Path) -> None:
    for name in ("attachments.json", "gateway-numbers.json", "gateway.json"):
        (tmp_path / name).write_text(content)
    assert AttachmentFile(tmp_path).read() == {}
    assert NumberFile(tmp_path).read() == Numbers()
    assert GatewayFile(tmp_path).found() is None


def test_file_that_cannot_be_written(tmp_path: Path) -> None:
    """The fault names the file and not a device."""
    (tmp_path / "attachments.json").mkdir()
    message = f"cannot write {tmp_path / 'attachments.json'}: Is a directory"
    for records in ([_RECORD], []):
        with pytest.raises(AttachmentFault, match=f"^{re.escape(message)}$"):
            AttachmentFile(tmp_path).write(records)


def test_records_are_read_as_written(tmp_path: Path) -> None:
    file = AttachmentFile(tmp_path)
    file.write([_RECORD])
    assert file.read() == {_RECORD.key: _RECORD}
    file.write([])
    assert not [*tmp_path.iterdir()]
