import pandas as pd

from unichest_kedro.leakage import LeakageSettings
from unichest_kedro.pipelines.leakage import create_pipeline
from unichest_kedro.schemas import FilmHashes, LeakagePairs, LeakageSummary, LeakedFilms

from .conftest import film, save_store

SOURCES = ("chestxray14", "siim_acr")


def test_stage_runs_from_image_stores_to_tables_and_figure(tmp_path):
    films = {"chestxray14": {"a": film(1), "b": film(2)}, "siim_acr": {"c": film(1)}}
    splits = {"chestxray14": ["train", "test"], "siim_acr": ["test"]}
    inputs = {"params:leakage": LeakageSettings(n_jobs=1)}
    for source, pictures in films.items():
        inputs[f"{source}_images"] = save_store(tmp_path / source, pictures)
        names = list(pictures)
        inputs[f"{source}_studies"] = pd.DataFrame(
            {"image_id": names, "patient_id": names, "split": splits[source], "path": names}
        )
    made = dict(inputs)
    for node in create_pipeline(SOURCES).nodes:
        made |= node.run({name: made[name] for name in node.inputs})
    for name, schema in (
        ("chestxray14_film_hashes", FilmHashes),
        ("leakage_pairs", LeakagePairs),
        ("leaked_films", LeakedFilms),
        ("leakage_summary", LeakageSummary),
    ):
        schema.validate(made[name])
    assert made["leaked_films"]["image_id"].tolist() == ["c"]
    assert made["siim_acr_thumbnails"].shape == (1, 32, 32)
    assert made["leakage_figure"].figure.axes


def test_a_further_source_leaves_the_hashing_of_the_others_alone():
    def hashing(sources):
        return {
            node.name: (node.inputs, node.outputs) for node in create_pipeline(sources).nodes if "hash" in node.name
        }

    few, more = hashing(SOURCES), hashing((*SOURCES, "mine"))
    assert set(more) - set(few) == {"mine.hash_films"}
    assert all(more[name] == wires for name, wires in few.items())
    assert few["siim_acr.hash_films"][1] == ["siim_acr_film_hashes", "siim_acr_thumbnails"]
