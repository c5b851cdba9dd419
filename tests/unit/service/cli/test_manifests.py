"""`unlearn manifest`: what the commands print."""

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from service.cli.manifests import app
from service.domain.canary import CanaryRegister

RUNNER = CliRunner()


def planted(folder: Path, *options: str) -> Result:
    source, out, secret = folder / "digits.parquet", folder / "canaries.parquet", folder / "secret.json"
    built = RUNNER.invoke(app, ["build", "digits", "--out", str(source), "--heldout-share", "0.3", "--json"])
    assert built.exit_code == 0, built.output
    named = ["canaries", str(source), "--out", str(out), "--secret", str(secret), "--count", "20"]
    return RUNNER.invoke(app, [*named, *options])


def test_planting_tells_what_to_train_on_and_what_to_keep(tmp_path: Path) -> None:
    done = planted(tmp_path)
    text = " ".join(done.output.split())

    assert done.exit_code == 0, done.output
    assert "Train the model on the train split of this manifest" in text
    assert "--canaries" in text


def test_what_is_printed_for_machines_is_whole_and_names_no_canary(tmp_path: Path) -> None:
    done = planted(tmp_path, "--keep-label", "--json")
    printed = json.loads(done.stdout)
    register = CanaryRegister.from_bytes((tmp_path / "secret.json").read_bytes())

    assert printed["commitment"] == register.commitment
    assert (printed["canaries_in"], printed["canaries_out"]) == (
        len(register.included_ids),
        len(register.excluded_ids),
    )
    assert not any(sample_id in done.output for sample_id in register.sample_ids)
    assert register.key.hex() not in done.output


def test_keys_are_made_anew_each_time(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = (json.loads(planted(tmp_path / name, "--json").stdout)["commitment"] for name in ("a", "b"))

    assert one != other


def test_a_secret_that_exists_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_bytes(b"kept")

    done = planted(tmp_path)
    assert done.exit_code == 1
    assert (tmp_path / "secret.json").read_bytes() == b"kept"
