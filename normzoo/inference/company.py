"""Photos in company: what the networks answer with remembered statistics, and with those of the photos beside each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from normzoo.inference.predict import Prediction, predict_many
from normzoo.inference.statistics import Statistics, remembers
from normzoo.pretrained.registry import Model

#: Networks without remembered statistics get photos in multiples of so many, blank ones at the end: processors sum in another
#: order for other numbers of photos, and what does not depend on the company shall be seen to be the same to the last bit.
_EVEN = 8
_BLANK = Image.new("RGB", (8, 8))


@dataclass(frozen=True)
class CompanyAnswers:
    """Answers of one network to the photos of a company."""

    variant: str
    depends: bool  # whether the network takes statistics of the company
    remembered: tuple[Prediction, ...]  # with remembered statistics, photo by photo
    own: tuple[Prediction, ...]  # with those that were asked for

    @property
    def changed(self) -> tuple[int, ...]:
        """The photos that are answered differently."""
        pairs = zip(self.remembered, self.own, strict=True)
        return tuple(number for number, (before, after) in enumerate(pairs) if before.label != after.label)

    @property
    def largest_change(self) -> float:
        """The largest change of any probability; 0.0 means that all are the same to the last bit."""
        pairs = zip(self.remembered, self.own, strict=True)
        return max((float(np.abs(a.probabilities - b.probabilities).max()) for a, b in pairs), default=0.0)


def answer_company(
    models: Mapping[str, Model], images: Sequence[Image.Image], statistics: Statistics
) -> dict[str, CompanyAnswers]:
    """Return what each network answers to photos that go through together, beside what it answers to each by itself.

    The answers to each by itself are computed among blank photos in the place of every other one, so that it is seen, and not
    presupposed, that some networks answer the same.

    Args:
        models: as for `predict`.
        images: RGB, of any size.
        statistics: of networks that remember some; see `normzoo.inference.statistics`.

    Raises:
        ConfigError: a norm would have to take its statistics from a single value.
    """
    halves = [
        _predict_evenly(models, [image if number % 2 == half else _BLANK for number, image in enumerate(images)])
        for half in (0, 1)
    ]
    alone = [halves[number % 2][number] for number in range(len(images))]
    together = _in_company(models, images, statistics)
    return {
        variant: CompanyAnswers(
            variant,
            remembers(model.network),
            tuple(answers[variant] for answers in alone),
            tuple(answers[variant] for answers in together),
        )
        for variant, model in models.items()
    }


def answer_in_companies(
    models: Mapping[str, Model], images: Sequence[Image.Image], statistics: Statistics, size: int, draws: int, seed: int = 0
) -> dict[str, tuple[str, tuple[float, ...]]]:
    """Return how probable each network finds its own answer to the first image, among others that are drawn at random.

    Args:
        models, statistics: as for `answer_company`.
        images: the one in question, then those that the others are drawn from.
        size: of each company, the one in question included; at most all of them.
        draws: companies.
        seed: of the drawing.

    Returns:
        variant -> its answer with remembered statistics, and the probability of that class in each company.
    """
    first, others = images[0], images[1:]
    dice = np.random.default_rng(seed)
    number = min(size - 1, len(others))
    companies = [[first, *(others[i] for i in dice.choice(len(others), number, replace=False))] for _ in range(draws)]
    own_answers = _predict_evenly(models, [first])[0]
    best = {variant: int(answer.probabilities.argmax()) for variant, answer in own_answers.items()}
    found: dict[str, list[float]] = {variant: [] for variant in models}
    for company in companies:
        for variant, answer in _in_company(models, company, statistics)[0].items():
            found[variant].append(float(answer.probabilities[best[variant]]))
    return {variant: (own_answers[variant].label, tuple(values)) for variant, values in found.items()}


def _in_company(
    models: Mapping[str, Model], images: Sequence[Image.Image], statistics: Statistics
) -> list[dict[str, Prediction]]:
    """Return the answers to images that go through together, photo by photo."""
    dependent = {variant: model for variant, model in models.items() if remembers(model.network)}
    independent = {variant: model for variant, model in models.items() if variant not in dependent}
    if statistics == "remembered" or not images:
        found = [_predict_evenly(part, images) for part in (dependent, independent)]
    else:
        found = [predict_many(dependent, images, 1, statistics), _predict_evenly(independent, images)]
    return [own | others for own, others in zip(*found, strict=True)]


def _predict_evenly(models: Mapping[str, Model], images: Sequence[Image.Image]) -> list[dict[str, Prediction]]:
    if not images:
        return []
    return predict_many(models, [*images, *[_BLANK] * (-len(images) % _EVEN)], 1)[: len(images)]
