"""A configuration file as editors of every system write it, and what it may not hold."""

import json
from pathlib import Path

import pytest

from lopt.cli import main
from lopt.meta.config import TrainConfig

TINY = [
    *("--task", "quadratic", "--optimizer", "linear", "--estimator", "exact"),
    *("--horizon", "5", "--truncation", "5", "--pairs", "1", "--outer-steps", "1"),
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    ("name", "text"),
    [("a.toml", "horizon = 7\n"), ("A.TOML", "horizon = 7\n"), ("a.json", '{"horizon": 7}')],
)
def test_it_is_read_behind_a_byte_order_mark_and_under_a_name_in_capitals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, encoding: str
) -> None:
    (tmp_path / name).write_bytes(text.encode(encoding))
    assert main(["train", "--config", str(tmp_path / name), "--show-config"]) == 0
    assert json.loads(capsys.readouterr().out)["horizon"] == 7


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("null", "it must be an object with keys; it is null"),
        ("[1]", "it must be an object with keys; it is [1]"),
        ('{"config": []}', "its config must be an object with keys"),
        ('{"horizon": null}', "horizon must be of type int; it is null"),
        ('{"horizon": true}', "horizon must be of type int; it is true"),
        ('{"horizon": 1e3}', "horizon must be of type int; it is 1000.0"),
        ('{"sigma": NaN}', "the number NaN, which is not finite"),
        ('{"sigma": {}}', "sigma must be of type float; it is an object of 0"),
        ('{"rules": [1]}', "rules[0] must be of type str; it is 1"),
        ('{"horizon": 5, "horizon": 6}', "the key 'horizon' twice"),
        ('{"nominal_step": -1}', "nominal_step must be finite and at least 0; it is "),
        ('{"nominal_step": 1e300}', "nominal_step must be finite and at least 0; it is "),
        ('{"outer_steps": 1' + "0" * 30 + "}", "outer_steps must be at most 99999999"),
    ],
)
def test_a_value_that_cannot_be_meant_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, complaint: str
) -> None:
    (tmp_path / "a.json").write_text(text)
    assert main(["train", "--config", str(tmp_path / "a.json"), "--show-config"]) == 2
    captured = capsys.readouterr()
    assert complaint in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999"])
@pytest.mark.parametrize("name", ["nominal-step", "sigma", "weight-decay"])
def test_a_number_that_is_not_finite_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    run = tmp_path / "run"
    assert main(["train", "--run", str(run), *TINY, f"--{name}", value]) == 2
    assert "finite" in capsys.readouterr().err
    assert not run.exists()


@pytest.mark.parametrize(
    "field", ["nominal_step", "nominal_exponent", "blackbox_step", "blackbox_exponent"]
)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_constant_of_a_configuration_is_finite(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{field} must be finite"):
        TrainConfig(**{field: value})  # type: ignore[arg-type]


def test_a_negative_step_in_scientific_notation_is_a_value(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["train", "--show-config", *TINY, "--nominal-step", "-1e-3"]) == 0
    assert json.loads(capsys.readouterr().out)["nominal_step"] == -1e-3
