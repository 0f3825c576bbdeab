"""Every probability of every network as a table, to two decimals of a per cent."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from normzoo.app.components.tables import csv_link, sortable
from normzoo.inference.predict import Prediction
from normzoo.variants import short_name


def tabulate(classes: Mapping[str, tuple[str, ...]], predictions: Mapping[str, Prediction]) -> str:
    """The table with its CSV link, as HTML: a row for each class, the most probable on average first.

    Args:
        classes: variant -> what its network can tell apart; those of a set can tell the same apart.
    """
    if not predictions:
        return ""
    names = next(classes[variant] for variant in predictions)
    columns = {variant: prediction.probabilities for variant, prediction in predictions.items() if classes[variant] == names}
    order = np.argsort(-np.mean(list(columns.values()), axis=0), kind="stable")
    numbers = pd.DataFrame({"Class": [names[k] for k in order]})
    texts = numbers.copy()
    for variant, values in columns.items():
        title = f"{short_name(variant)} (%)"
        numbers[title] = 100 * values[order]
        texts[title] = [f"{100 * value:.2f}" for value in values[order]]
    caption = "How probable each network finds each class, most probable on average first"
    return sortable(numbers, texts, caption) + csv_link(texts, "normzoo-probabilities.csv")
