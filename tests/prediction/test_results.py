"""Kept results: a stopped run goes on, a changed film is answered anew, nothing is lost or mixed up."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from unichest_kedro.prediction import results as results_module
from unichest_kedro.prediction.inputs import list_films
from unichest_kedro.prediction.questions import ask
from unichest_kedro.prediction.results import predict_films
from unichest_kedro.prediction.settings import PredictSettings
from unichest_kedro.prediction.table import PredictedFilms, Predictions

from .conftest import make_model

SETTINGS = PredictSettings(batch_size=2, part_size=2, num_workers=0, precision="float32")


@pytest.fixture
def many(tmp_path, films):
    """Ten films and two files that cannot be read."""
    root = tmp_path / "many"
    root.mkdir()
    for number in range(10):
        film = np.roll(films[number % 6], number // 6, axis=0)
        Image.fromarray(film).save(root / f"{number:02d}.png")
    (root / "05b.png").write_bytes(b"")
    (root / "07b.png").write_bytes(b"no picture")
    return root


@pytest.fixture
def counted(monkeypatch):
    """Which pictures are really answered."""
    asked = []
    real = results_module.answer

    def answer(model, questions, pictures, **options):
        asked.extend(pictures)
        return real(model, questions, pictures, **options)

    monkeypatch.setattr(results_module, "answer", answer)
    return asked


def run(model, root, tmp_path, findings=(), settings=SETTINGS, **options):
    return predict_films(
        model, ask(model, findings, model.folder), list_films(root), settings, tmp_path / "parts", **options
    )


def whole(results):
    return pd.concat(results.predictions(), ignore_index=True)


def test_tables_have_every_film_in_order(model, many, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        results = run(model, many, tmp_path)
    films = PredictedFilms.validate(results.film_table())
    assert list(films["film"]) == sorted(path.name for path in many.iterdir())
    assert films["status"].value_counts().to_dict() == {"answered": 10, "unreadable": 2}
    assert films.set_index("film").loc["05b.png", "reason"] == "file is empty (0 bytes)"
    assert "12 films: 10 answered, 0 with a warning, 2 unreadable" in caplog.text
    assert "Cannot be read: 05b.png: file is empty" in caplog.text
    table = Predictions.validate(whole(results))
    assert len(table) == 12 * 3
    np.testing.assert_allclose(
        table.loc[table["film"] == "03.png", "probability"],
        model.predict(many / "03.png", precision="float32")["probability"],
        atol=1e-6,
    )
    assert table.loc[table["film"] == "05b.png", "warning"].iloc[0] == "cannot be read: file is empty (0 bytes)"


def test_worker_processes_give_the_same(model, many, tmp_path):
    here = whole(run(model, many, tmp_path))
    there = whole(run(model, many, tmp_path / "other", settings=SETTINGS.model_copy(update={"num_workers": 2})))
    pd.testing.assert_frame_equal(here, there)


def test_a_stopped_run_goes_on_where_it_was(model, many, tmp_path, monkeypatch, counted, caplog):
    real = results_module._write_part
    written = []

    def stop(folder, batches):
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(1)
        return real(folder, batches)

    monkeypatch.setattr(results_module, "_write_part", stop)
    with pytest.raises(KeyboardInterrupt):
        run(model, many, tmp_path)
    monkeypatch.setattr(results_module, "_write_part", real)
    counted.clear()
    with caplog.at_level(logging.INFO):
        results = run(model, many, tmp_path)
    assert len(counted) == 12 - 6
    assert "Going on: 6 of 12" in caplog.text
    expected = whole(run(model, many, tmp_path / "fresh"))
    pd.testing.assert_frame_equal(whole(results), expected)


def test_only_new_changed_and_unreadable_films_are_answered_again(model, many, tmp_path, counted, films):
    first = whole(run(model, many, tmp_path))
    counted.clear()
    Image.fromarray(films[4]).save(many / "00.png")
    Image.fromarray(films[5]).save(many / "05b.png")
    Image.fromarray(films[2]).save(many / "99.png")
    results = run(model, many, tmp_path)
    assert sorted(Path(path).name for path in counted) == ["00.png", "05b.png", "07b.png", "99.png"]
    second = whole(results).set_index(["film", "finding"])["probability"]
    old = first.set_index(["film", "finding"])["probability"]
    assert (second.loc["03.png"] == old.loc["03.png"]).all()
    assert (second.loc["00.png"] != old.loc["00.png"]).any()
    assert second.loc["05b.png"].notna().all()
    assert results.film_table().set_index("film").loc["07b.png", "status"] == "unreadable"


def test_a_film_that_has_gone_is_named(model, many, tmp_path):
    films = list_films(many)
    (many / "00.png").unlink()
    results = predict_films(model, ask(model), films, SETTINGS, tmp_path / "parts")
    row = results.film_table().set_index("film").loc["00.png"]
    assert (row["status"], row["reason"]) == ("unreadable", "file is not there")


def test_another_model_other_findings_and_another_precision_are_kept_apart(model, many, tmp_path, counted):
    run(model, many, tmp_path)
    other = make_model()
    other.set_ratios(1, 0)
    for asked, findings, changes in (
        (other, (), {}),
        (model, ("ptx",), {}),
        (model, (), {"precision": "bfloat16"}),
    ):
        counted.clear()
        run(asked, many, tmp_path, findings, SETTINGS.model_copy(update=changes))
        assert len(counted) == 12
    assert len(list((tmp_path / "parts").iterdir())) == 4
    counted.clear()
    run(model, many, tmp_path)
    assert len(counted) == 2  # the unreadable ones


def test_a_damaged_part_and_what_a_killed_run_left_are_cleared_away(model, many, tmp_path, counted, caplog):
    results = run(model, many, tmp_path)
    expected = whole(results)
    parts = sorted(results.folder.glob("part-*.parquet"))
    parts[0].write_bytes(b"half")
    (results.folder / ".part-x.1.writing").write_bytes(b"half")
    counted.clear()
    again = run(model, many, tmp_path)
    assert "damaged" in caplog.text
    assert len(counted) in (2, 3, 4)
    pd.testing.assert_frame_equal(whole(again), expected)
    assert not list(results.folder.glob(".*"))


def test_one_file_under_two_names_is_answered_once(model, many, tmp_path, counted):
    table = tmp_path / "two.csv"
    table.write_text(f"id,path\nfirst,{many}/00.png\nsecond,{many}/00.png\n")
    results = run(model, table, tmp_path)
    assert len(counted) == 1
    answers = whole(results).set_index("film")["probability"]
    assert answers.loc["first"].tolist() == answers.loc["second"].tolist()


def test_pieces_of_tables_join_to_the_whole(model, many, tmp_path, monkeypatch):
    results = run(model, many, tmp_path)
    expected = whole(results)
    monkeypatch.setattr(results_module, "_FILMS_AT_ONCE", 5)
    assert len(list(results.predictions())) == 3
    pd.testing.assert_frame_equal(whole(results), expected)


def test_parts_hold_no_more_films_than_asked_for(model, many, tmp_path):
    results = run(model, many, tmp_path)
    sizes = [pq.read_metadata(path).num_rows for path in results.folder.glob("part-*.parquet")]
    assert max(sizes) <= 2
    assert sum(sizes) == 12
