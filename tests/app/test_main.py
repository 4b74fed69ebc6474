"""Starting the page: what a user can mend has one message."""

import socket
import sys

import pytest

from unichest_kedro.app.__main__ import check_library, check_port, main, read_settings
from unichest_kedro.errors import SettingsError


def test_the_command_line_is_read():
    assert read_settings([]).model is None
    settings = read_settings(["--model", "/m", "--port", "9000", "--device", "cpu"])
    assert (str(settings.model), settings.port, settings.device) == ("/m", 9000, "cpu")


@pytest.mark.parametrize(
    ("arguments", "message"), [(["--port", "70000"], "--port 70000"), (["--device", "tpu"], "--device tpu")]
)
def test_a_wrong_value_is_named(arguments, message):
    with pytest.raises(SettingsError, match=message):
        read_settings(arguments)


def test_a_taken_port_is_said():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SettingsError, match="cannot be listened at"):
            check_port(taken.getsockname()[1])


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "nicegui", None)
    with pytest.raises(SettingsError, match=r"unichest_kedro\[app\]"):
        check_library()


def test_errors_end_the_command_with_their_message(tmp_path, monkeypatch):
    pytest.importorskip("nicegui")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["--port", "0"])
    assert "--port 0" in str(end.value)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(SystemExit) as end:
        main(["--port", str(port)])
    assert "no trained model" in str(end.value)
