"""The results of a comparison: the table, the verdict, the learning curves."""

import io
import statistics
from collections import defaultdict
from typing import Any

from keras_lstm_variants._cli.tables import aligned, number
from keras_lstm_variants.compare.settings import Settings
from keras_lstm_variants.core.registry import get_variant, list_variants
from keras_lstm_variants.plots import _style
from keras_lstm_variants.tasks import Task

Record = dict[str, Any]


def by_variant(records: list[Record]) -> dict[str, list[Record]]:
    """Records of each variant by seed; the variant with the best mean validation first."""
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in sorted(records, key=lambda r: r["seed"]):
        groups[record["variant"]].append(record)
    return dict(sorted(groups.items(), key=lambda item: mean(item[1], "valid")))


def mean(records: list[Record], key: str) -> float:
    return statistics.fmean(r[key] for r in records)


def spread(records: list[Record], key: str) -> str:
    """Mean and, from two seeds on, standard deviation."""
    text = number(mean(records, key))
    if len(records) > 1:
        text += f" ± {number(statistics.stdev(r[key] for r in records))}"
    return text


def milliseconds(group: list[Record], records: list[Record]) -> str:
    """Median time of a step, with the number of threads where runs differ in it."""
    text = f"{statistics.median(r['ms_per_step'] for r in group):.1f}"
    if len({r["threads"] for r in records}) > 1:
        threads = "/".join(sorted({str(r["threads"]) for r in group}))
        text += f" ({threads} thread{'s' if threads != '1' else ''})"
    return text


def forget_bias(variant: str, settings: Settings) -> str:
    if variant not in list_variants():  # of a module that is not imported this time
        return "?"
    cell = get_variant(variant).cell_class
    if not cell.forget_gate:
        return "-"
    if settings.forget_bias is None:
        return f"{cell.usual_forget_bias_text or format(cell.usual_forget_bias, 'g')} (usual)"
    return f"{settings.forget_bias}"


def missed(group: list[Record], task: Task) -> tuple[str, ...]:
    """Of validation and test, where the mean of a variant does not beat the baseline."""
    baseline = task.baselines[task.target]
    names = {"valid": "validation", "test": "test"}
    return tuple(name for key, name in names.items() if not mean(group, key) < baseline[key])


def table(records: list[Record], failed: dict[str, int], settings: Settings, task: Task) -> str:
    """One row a variant, best validation score first, then the baselines."""
    head = ["variant", "parameters", "seeds", "forget bias", "validation", "test"]
    head += ["best epoch", "ms/step"]
    rows = []
    for variant, group in by_variant(records).items():
        above = missed(group, task)
        rows.append(
            [
                variant,
                f"{group[0]['parameters']:,}",
                str(len(group)),
                forget_bias(variant, settings),
                spread(group, "valid") + (" *" if "validation" in above else ""),
                spread(group, "test") + (" *" if "test" in above else ""),
                "/".join(str(r["best_epoch"]) for r in group),
                milliseconds(group, records),
            ]
        )
    rows += [[v, "", "", "", f"{n} run(s) failed", "", "", ""] for v, n in failed.items()]
    for name, scores in task.baselines.items():
        valid, test = number(scores["valid"]), number(scores["test"])
        rows.append([f"({name})", "", "", "", valid, test, "", ""])
    return "\n".join([aligned(head, rows), *_notes(records, task)])


def _notes(records: list[Record], task: Task) -> list[str]:
    """A line for each way in which variants do not beat the baseline, with their names."""
    names: dict[tuple[str, ...], list[str]] = {}
    for variant, group in by_variant(records).items():
        names.setdefault(missed(group, task), []).append(variant)
    notes = {
        ("validation", "test"): "in validation and test: no use of memory is shown.",
        ("validation",): "in validation, but better in test: not sure yet.",
        ("test",): "in test, but better in validation, which chose the epoch: not sure yet.",
    }
    return [
        f"* {', '.join(names[where])}: no better than the baseline {task.target} {note}"
        for where, note in notes.items()
        if where in names
    ]


def verdict(records: list[Record], task: Task) -> str:
    """Which variant is better, and on what evidence."""
    groups = by_variant(records)
    if not groups:
        return "No run finished, so there is nothing to compare."
    (best, its), *others = groups.items()
    text = f"Best by validation: {best} ({number(mean(its, 'valid'))} {task.metric})."
    if not others:
        return text
    second, theirs = others[0]
    by_seed = {r["seed"]: r["valid"] for r in theirs}
    gaps = [by_seed[r["seed"]] - r["valid"] for r in its if r["seed"] in by_seed]
    gap = mean(theirs, "valid") - mean(its, "valid")
    text += f" {second} is {number(gap)} behind"
    if len(gaps) < 2:
        return text + ": one seed each, so this may be chance; --seeds 3 tells more."
    won = sum(g > 0 for g in gaps)
    text += f", and {best} is better in {won} of {len(gaps)} seeds (per seed: mean gap "
    text += (
        f"{number(statistics.fmean(gaps))}, standard deviation {number(statistics.stdev(gaps))})."
    )
    error = statistics.stdev(gaps) / len(gaps) ** 0.5
    clear = won == len(gaps) and statistics.fmean(gaps) > 2 * error
    return text + (
        " The gap is more than twice its standard error."
        if clear
        else " Seeds alone may explain a gap of this size: call it a tie."
    )


def draw_curves(records: list[Record], task: Task) -> bytes:
    """Validation score over epochs, a colour and a line style for each variant; as PNG.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    many = len(by_variant(records)) > 6
    figure = _style.new_figure(11, 6) if many else _style.new_figure(8, 5)
    axes = figure.add_subplot()
    values = []
    # A variant keeps its colour, whatever its rank and its company.
    names = dict.fromkeys([*list_variants(), *by_variant(records)])
    place = {name: k for k, name in enumerate(names)}
    for variant, group in by_variant(records).items():
        for j, record in enumerate(group):
            epochs = [row["epoch"] for row in record["curve"]]
            valid = [row["valid"] for row in record["curve"]]
            values += valid
            axes.plot(
                epochs,
                valid,
                **_style.look(place[variant]),
                markersize=4,
                alpha=1 if len(group) == 1 else 0.7,
                label=f"{variant} (best {number(mean(group, 'valid'))})" if j == 0 else None,
            )
    _draw_baselines(axes, task, values)
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"validation, {task.metric} (lower is better)")
    axes.set_title(f"klv compare: {task.name}")
    _style.whole_numbers(axes.xaxis)
    axes.grid(alpha=0.3)
    if many:  # beside the curves, not over them
        figure.legend(loc="outside right upper")
    else:
        axes.legend()
    image = io.BytesIO()
    figure.savefig(image, dpi=120)
    return image.getvalue()


def _draw_baselines(axes: Any, task: Task, values: list[float]) -> None:
    """Lines for the baselines that are near the curves, whose `values` these are."""
    height = max(values) - min(values)
    drawn: list[float] = []
    for name, scores in task.baselines.items():
        score = scores["valid"]
        # One far above all curves would only squeeze them.
        if score >= max(values) + 0.2 * height:
            continue
        axes.axhline(score, color="0.35", linewidth=1, linestyle=(0, (1, 2)))
        near = any(abs(score - other) < 0.05 * height for other in drawn)
        drawn.append(score)
        axes.annotate(
            f"baseline: {name} {number(score)}",
            (1, score),
            xycoords=("axes fraction", "data"),
            xytext=(-4, -11 if near else 3),
            textcoords="offset points",
            ha="right",
            color="0.25",
            fontsize=9,
        )
