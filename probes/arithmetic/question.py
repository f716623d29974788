"""What a sum of concepts should show, from the conditions of its concepts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from dcgan_probe.errors import InputError
from dcgan_probe.latents.concepts import Concepts
from dcgan_probe.recognition.classifiers import Classifier, wanted

ROUNDING = 1e-9  # six sixths are not quite 1


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of a sum of concepts.

    conditions: by concept, the labels that it must have (true) and must not have. asked: the same
    of the sum. base: the last concept that is added.
    """

    labels: tuple[str, ...]
    conditions: Mapping[str, Mapping[str, bool]]
    asked: Mapping[str, bool]
    base: str

    @classmethod
    def read(
        cls, factors: Mapping[str, float], concepts: Concepts | None, classifier: Classifier
    ) -> Question:
        """Sum the conditions of concepts, as 0 and 1: asked is what is then 1 or more, 0 or less.

        Raises InputError for a concept without conditions, a label that the classifier does not
        know, and a sum that asks for nothing.
        """
        conditions = {name: _conditions(name, concepts, classifier) for name in factors}
        asked = _sum_conditions(factors, conditions)
        if not asked:
            raise InputError(
                "arithmetic: found a sum that no label says anything about, expected conditions "
                "('shows') of its concepts that come out as 1 or more, or 0 or less"
            )
        labels = tuple(classifier.labels)
        return cls(labels=labels, conditions=conditions, asked=asked, base=base_of(factors))

    @property
    def changed(self) -> list[str]:
        """The labels that are asked for and that the base does not meet."""
        base = self.conditions[self.base]
        return [label for label, yes in self.asked.items() if base.get(label) != yes]

    def describe(self, labels: Sequence[str]) -> tuple[str, ...]:
        """Labels that are asked for, as "smile" or "not smile"."""
        return tuple(label if self.asked[label] else f"not {label}" for label in labels)

    def columns(self, conditions: Mapping[str, bool]) -> list[tuple[int, bool]]:
        """Conditions by the column of their label, as `classifiers.agreement` takes them."""
        return [(self.labels.index(label), yes) for label, yes in conditions.items()]

    def others(self, probabilities: Tensor) -> list[int]:
        """Columns of labels that are not asked for and should not change.

        A label that is the opposite of one that is asked for in all of N x L probabilities is left
        out: to ask for one is to change the other.
        """
        asked = [self.labels.index(label) for label in self.asked]
        opposites = {
            other
            for label in asked
            for other in range(probabilities.shape[1])
            if (probabilities[:, label] + probabilities[:, other] - 1).abs().max() < 1e-4
        }
        columns = range(len(self.labels))
        return [i for i in columns if self.labels[i] not in self.asked and i not in opposites]


def base_of(factors: Mapping[str, float]) -> str:
    """The last name that is added: what a sum changes. InputError if none is added."""
    added = [name for name, factor in factors.items() if factor > 0]
    if not added:
        raise InputError("arithmetic: found a sum that adds nothing, expected a concept to change")
    return added[-1]


def _conditions(name: str, concepts: Concepts | None, classifier: Classifier) -> dict[str, bool]:
    concept = concepts.named.get(name) if concepts else None
    if concept is None or not concept.shows:
        raise InputError(
            f"arithmetic: {name}: found nothing that it shows, expected a concept with conditions "
            "that can be measured (concepts add --shows)"
        )
    labels = list(classifier.labels)
    return {labels[i]: yes for i, yes in wanted(classifier, concept.shows)}


def _sum_conditions(
    factors: Mapping[str, float], conditions: Mapping[str, Mapping[str, bool]]
) -> dict[str, bool]:
    """The labels that all concepts have a condition on, and whose sum is 1 or more, 0 or less.

    Twice a smile is a smile.
    """
    asked = {}
    for label in conditions[next(iter(factors))]:
        if all(label in conditions[name] for name in factors):
            value = sum(factor * conditions[name][label] for name, factor in factors.items())
            if not ROUNDING < value < 1 - ROUNDING:
                asked[label] = value > ROUNDING
    return asked
