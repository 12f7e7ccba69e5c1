"""benchmarks/many.py and language.py: smoke runs, and unequal work is noticed."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import many_report
from many_report import UnequalWorkError, check_equal_work

pytestmark = pytest.mark.nightly

SCRIPT = Path(many_report.__file__).with_name("many.py")
LOOP = {
    "task": "rnn-50",
    "system": "loop",
    "pack": None,
    "repeat": 0,
    "networks": 4,
    "steps": 100,
    "batch_size": 32,
    "parameters": 1674,
    "seconds": 2.0,
    "compile_seconds": 0.0,
    "load": 0.0,
    "losses": [1.0, 1.02, 0.98, 1.01],
}
OURS = LOOP | {"system": "ours", "losses": [1.03, 0.99, 1.0, 1.01], "seconds": 0.5}
ABSENT = dict.fromkeys(("ray", "jax"), "not installed: No module named 'it'")


@pytest.fixture
def many_tasks():
    """Imported when a test runs, as `language` is: torchvision takes two seconds."""
    return importlib.import_module("many_tasks")


@pytest.fixture
def language():
    return importlib.import_module("language")


def test_quick_run_of_the_loop_and_ours(tmp_path):
    command = [sys.executable, SCRIPT, "--quick", "--device", "cpu"]
    page, runs = tmp_path / "MANY.md", tmp_path / "many.json"
    command += ["--skip", "joblib", "ray", "jax", "--page", page, "--json", runs]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(runs.read_text())
    assert set(report) == {"machine", "settings", "missing", "runs", "memory"}
    assert {"cnn1d", "rnn-50"} == {run["task"] for run in report["runs"]}
    assert {("loop", None), ("ours", None), ("ours", 4)} == {
        (run["system"], run["pack"]) for run in report["runs"]
    }
    assert all(
        run["seconds"] > 0 and len(run["losses"]) == run["networks"] for run in report["runs"]
    )
    assert {("loop", 1), ("ours", 4)} == {(m["system"], m["pack"]) for m in report["memory"]}
    title, made, text = page.read_text().split("\n\n", 2)
    assert title == "# Many networks" and "`python benchmarks/many.py --quick" in made
    assert done.stdout.endswith(text) and str(tmp_path) not in made
    assert "| rnn-50 | ours |" in text and "| rnn-50 | jax | skipped |" in text


def test_equal_work_passes():
    check_equal_work([LOOP, OURS], steps=100)


@pytest.mark.parametrize(
    "broken",
    [
        {"steps": 50},
        {"batch_size": 64},
        {"parameters": 1642},  # one bias is missing
        {"losses": [1.0, 1.0, 1.0]},  # a network is missing
        {"losses": [1.9, 2.0, 2.1, 2.0]},  # trains worse
        {"losses": [0.5, 0.5, 0.5, 0.5]},  # trains better, so something else
        {"losses": [1.0, 1.0, 1.0, float("nan")]},
    ],
    ids=str,
)
def test_unequal_work_is_an_error(broken):
    with pytest.raises(UnequalWorkError, match="rnn-50, ours, pack None"):
        check_equal_work([LOOP, OURS | broken], steps=100)


def test_the_loop_itself_must_make_all_steps():
    with pytest.raises(UnequalWorkError, match="loop"):
        check_equal_work([LOOP | {"steps": 99}, OURS], steps=100)


def test_ratios_are_paired_within_a_repeat():
    slow = {"repeat": 1, "seconds": 6.0}
    runs = [LOOP, OURS, LOOP | slow, OURS | slow]
    table = many_report.sweep_table(many_report.costs(runs), {"joblib": "skipped"} | ABSENT)
    ours = table.set_index("system").loc["ours"]
    assert ours["ms a network and step"] == "8.12 (1.25 to 15)"
    assert ours["times the loop's speed"] == "2.5 (1 to 4)"


def test_a_system_that_is_not_installed_is_a_row():
    table = many_report.sweep_table(many_report.costs([LOOP, OURS]), ABSENT | {"joblib": "skipped"})
    assert table.set_index("system").networks["jax"].startswith("not installed")


def test_the_networks_of_users_and_ours_have_equal_parameters(many_tasks):
    for name in many_tasks.TASKS:
        task = many_tasks.make_task(name)
        assert many_tasks.count(task.ours()) == task.parameters


def test_the_networks_of_users_and_ours_compute_the_same(many_tasks):
    for name in ("rnn-50", "lstm-50", "gru-50"):
        task = many_tasks.make_task(name)
        plain, ours = task.plain(), task.ours()
        weights = plain.state_dict()
        ours.load_state_dict({k.replace("layer.", "cell."): v for k, v in weights.items()})
        x = task.data.train.x[:8]
        torch.testing.assert_close(plain(x), ours(x))


@pytest.mark.parametrize("name", ["rnn-50", "gru-50"])
def test_jax_computes_what_torch_does(name, many_tasks):
    pytest.importorskip("jax")
    pytest.importorskip("optax")
    import jax
    import many_jax

    many_jax.Jax("cpu")
    task = many_tasks.make_task(name)
    shapes, apply = many_jax.network(task)
    weights = many_jax.initial(shapes, jax.random.key(0))
    w = {k: torch.tensor(v.tolist()).T.contiguous() for k, v in weights.items()}
    plain = task.plain()
    names = ["inputs", "hidden", "inputs_bias", "hidden_bias", "head", "head_bias"]
    plain.load_state_dict(dict(zip(plain.state_dict(), (w[k] for k in names), strict=True)))
    x = task.data.train.x[:8]
    expected = torch.tensor(apply(weights, x.numpy()).tolist())
    torch.testing.assert_close(plain(x), expected)


def test_quick_run_of_language_models(language, tmp_path, capsys):
    """The losses of both arms agree, else the script would stop."""
    quick = ["--hidden", "6", "--cores", "1", "--networks", "2", "--loop-networks", "2"]
    quick += ["--steps", "3", "--repeats", "1", "--json", str(tmp_path / "runs.json")]
    language.main(quick)
    printed = capsys.readouterr().out
    assert all(f"| {cell} 6 | 1 |" in printed for cell in ("RNN", "GRU", "LSTM"))
    assert "| nucleus 0.9 | 1 |" in printed
    runs = json.loads((tmp_path / "runs.json").read_text())["runs"]
    assert len(runs) == 6 and all(run["tokens_a_second"] > 0 for run in runs)


def test_language_models_that_learn_differently_are_an_error(language):
    run = {"cell": "GRU", "hidden": 6, "losses": [2.0, 2.1]}
    language.check_equal_work([run, run | {"losses": [2.001, 2.1]}])
    for wrong in (2.2, float("nan")):
        with pytest.raises(RuntimeError, match="GRU 6: mean loss"):
            language.check_equal_work([run, run | {"losses": [wrong, 2.1]}])


@pytest.mark.parametrize("wrong", [["--steps", "0"], ["--loop-networks", "99"], ["--cores", "0"]])
def test_language_arguments_are_checked(wrong, language):
    with pytest.raises(SystemExit):
        language.arguments(wrong)


def test_commands_are_read_from_what_run_all_says():
    commands = importlib.import_module("commands")
    said = "04_lstm_and_gru_gates    55 s   94 cells   1410 networks stored,   1 here  8 verdicts"
    (row,) = commands.notebooks(said).to_dict("records")
    assert row["replayed in"] == "55 s" and row["stored networks"] == "1,410"
    assert float(row["proved in"].removesuffix(" h")) > 0
