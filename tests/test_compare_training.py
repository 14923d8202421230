"""How `klv compare` trains and scores one run."""

import numpy as np
import pytest

from keras_lstm_variants import tasks
from keras_lstm_variants.compare import training
from keras_lstm_variants.compare.generate_text import generate_text
from keras_lstm_variants.compare.settings import Run, Settings
from keras_lstm_variants.tasks.task import scored_arrays


@pytest.fixture(scope="module")
def text_task(words_file):
    return tasks.load("text", text_file=words_file)


def test_batches_have_one_shape_and_follow_the_text(text_task):
    batches = training.Batches(text_task, Settings(batch=8, steps=20), seed=1)
    stream = "".join(text_task.symbols[k] for k in text_task.train)
    first = batches[0][0].copy()
    for x, y in (batches[k] for k in range(len(batches))):
        assert x.shape == y.shape == (8, 20)
        np.testing.assert_array_equal(x[:, 1:], y[:, :-1])
        assert "".join(text_task.symbols[k] for k in x[3]) in stream
    batches.on_epoch_end()
    assert np.any(batches[0][0] != first)
    again = training.Batches(text_task, Settings(batch=8, steps=20), seed=1)
    np.testing.assert_array_equal(again[0][0], first)


def test_scores_count_every_real_step_once(text_task):
    x, y, batch = scored_arrays(text_task, "test")
    assert len(x) % batch == 0
    assert len(text_task.test) - 1 - x.size < len(x)
    np.testing.assert_array_equal(x.ravel()[1:], y.ravel()[:-1])
    assert x.shape[1] <= 2000


def test_score_is_the_mean_of_bits(text_task):
    settings = Settings(units=4, embedding=3)
    model = training.make_model("LSTM", settings, text_task)
    scorer = training.make_scorer(model, text_task)
    x, y, _ = scored_arrays(text_task, "valid")
    logits = model.predict(x, verbose=0).astype("float64")
    chances = np.exp(logits - logits.max(-1, keepdims=True))
    chances /= chances.sum(-1, keepdims=True)
    bits = -np.log2(np.take_along_axis(chances, y[..., None], -1)).mean()
    assert training.score(scorer, text_task, "valid") == pytest.approx(bits, rel=1e-5)


@pytest.mark.parametrize("kind", ["adding", "digits"])
@pytest.mark.slow
def test_other_tasks_are_scored_in_their_metric(kind):
    task = tasks.load(kind)
    model = training.make_model("GRU", Settings(units=4), task)
    value = training.score(training.make_scorer(model, task), task, "test")
    predicted = model.predict(task.test[0], verbose=0)
    if kind == "adding":
        expected = np.mean((predicted - task.test[1]) ** 2)
    else:
        expected = 100 * np.mean(predicted.argmax(-1) != task.test[1])
    assert value == pytest.approx(expected, rel=1e-4)


def test_every_gate_of_every_variant_starts_alike(text_task):
    settings = Settings(units=32)
    for variant in ("GRU", "LSTM", "CoupledLSTM", "Elman"):
        layer = training.make_layer(variant, settings, text_task)
        layer.build((None, None, 16))
        for block in np.split(layer.cell.recurrent_kernel.numpy(), len(layer.gates), 1):
            np.testing.assert_allclose(block.T @ block, np.eye(32), atol=1e-4)
        bound = np.sqrt(6 / (16 + 32))
        largest = np.max(np.abs(layer.cell.kernel.numpy()))
        assert 0.9 * bound < largest <= bound


def test_forget_bias_where_there_is_a_gate(text_task):
    for value in (2.0, "chrono"):
        settings = Settings(units=4, forget_bias=value)
        assert training.make_layer("LSTM", settings, text_task).forget_bias == value
        training.make_layer("Elman", settings, text_task)
    assert training.make_layer("LSTM", settings, text_task).max_timesteps == settings.steps


@pytest.mark.slow
def test_learns_what_can_be_learned(text_task):
    settings = Settings(units=32, epochs=4, steps=20, embedding=8, jit=False)
    reports = []
    model, record = training.train(Run("GRU", 0), settings, text_task, reports.append)
    baselines = text_task.baselines
    assert record["test"] < 0.75 * baselines["memoryless"]["test"]
    assert [r["epoch"] for r in reports if "epoch" in r] == [1, 2, 3, 4]
    curve = [row["valid"] for row in record["curve"]]
    assert record["valid"] == min(curve) == curve[record["best_epoch"] - 1]
    assert record["parameters"] == model.count_params()
    scorer = training.make_scorer(model, text_task)
    assert training.score(scorer, text_task, "test") == pytest.approx(record["test"])
    written = generate_text(model, text_task.symbols, "a", 300)
    assert written == generate_text(model, text_task.symbols, "a", 300)
    assert len(written) == 300
    words = set("".join(text_task.symbols[k] for k in text_task.train).split()[1:-1])
    assert np.mean([w in words for w in written.split()[1:-1]]) > 0.5


@pytest.mark.slow
def test_the_test_split_is_scored_with_the_weights_that_validated_best(text_task, monkeypatch):
    seen = []

    def score(scorer, task, split):
        seen.append((split, scorer.get_weights()))
        return float(len(seen))

    monkeypatch.setattr(training, "score", score)
    settings = Settings(units=4, epochs=2, steps=20, embedding=3, jit=False)
    training.train(Run("Elman", 0), settings, text_task)
    (_, best), (_, last), (split, tested) = seen
    assert split == "test" and not np.array_equal(best[0], last[0])
    assert all(map(np.array_equal, tested, best))


@pytest.mark.slow
def test_same_seed_same_record(text_task):
    settings = Settings(units=4, epochs=1, steps=20, embedding=3, jit=False)
    records = [training.train(Run("LSTM", s), settings, text_task)[1] for s in (0, 0, 1)]
    assert records[0]["curve"] == records[1]["curve"] != records[2]["curve"]
    assert records[0]["test"] == records[1]["test"]


@pytest.mark.slow
def test_a_diverging_run_says_so(text_task):
    settings = Settings(units=4, epochs=1, steps=20, learning_rate=float("inf"), jit=False)
    with pytest.raises(training.Diverged, match="no longer a number in epoch 1"):
        training.train(Run("LSTM", 0), settings, text_task)


def test_text_is_written_step_by_step_as_the_model_would(text_task):
    settings = Settings(units=5, embedding=3, layers=2)
    model = training.make_model("PeepholeLSTM", settings, text_task)
    prompt = "".join(text_task.symbols[k] for k in text_task.test[:9])
    first = generate_text(model, text_task.symbols, prompt, 1, temperature=1e-6)
    scores = model.predict(text_task.test[None, :9], verbose=0)[0, -1, :-1]
    assert first == text_task.symbols[scores.argmax()]
