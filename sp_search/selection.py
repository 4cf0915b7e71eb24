"""Pure judgement: is it good enough, with confidence? Then which verified program computes least?

A study spends alpha = 1 - confidence over its verification tests in ledger order, alpha_j = alpha * 6 / (pi^2 j^2),
whose sum over all j is alpha. An enumerated distribution needs no test: its accuracy is a fact. All gates must pass,
without a correction between gates (an intersection-union test). scipy is imported where a bound is computed, so that
listing and validating stay fast.
"""

from __future__ import annotations

from math import log, pi, sqrt

from sp_search.records import (
    Assignment,
    Count,
    Interval,
    LevelReport,
    LineageMeasurement,
    LineageReport,
    Measured,
    Sample,
    Selection,
)


def alpha_of_look(confidence: float, look: int) -> float:
    """Return the error probability that the look-th verification test of a study (1, 2, ...) may use."""
    return (1.0 - confidence) * 6.0 / (pi * look) ** 2


def accuracy_low(count: Count, alpha: float) -> float:
    """Return the one-sided lower bound of an accuracy (Clopper and Pearson 1934); the value itself when exact."""
    if count.exact:
        return count.correct / count.n
    if count.correct == 0:
        return 0.0
    from scipy.stats import beta

    return float(beta.ppf(alpha, count.correct, count.n - count.correct + 1))


def accuracy_interval(count: Count, alpha: float) -> Interval:
    """Return the two-sided Clopper-Pearson interval of an accuracy at error `alpha`."""
    value = count.correct / count.n
    if count.exact:
        return Interval(value=value, low=value, high=value, n=count.n, exact=True)
    wrong = Count(correct=count.n - count.correct, n=count.n)
    low, high = accuracy_low(count, alpha / 2), 1.0 - accuracy_low(wrong, alpha / 2)
    return Interval(value=value, low=low, high=high, n=count.n)


def mean_radius(sample: Sample, alpha: float) -> float:
    """Return r with P(|mean - truth| > r) <= 2 alpha, for values in [possible_low, possible_high].

    Empirical Bernstein (Maurer and Pontil 2009, theorem 4):
    sqrt(2 V ln(2/alpha) / n) + 7 range ln(2/alpha) / (3 (n-1)).
    """
    width = sample.possible_high - sample.possible_low
    if sample.exact or width == 0.0:
        return 0.0
    if sample.n < 2:
        return width
    tail = log(2.0 / alpha)
    return sqrt(2.0 * sample.variance * tail / sample.n) + 7.0 * width * tail / (3.0 * (sample.n - 1))


def mean_high(sample: Sample, alpha: float) -> float:
    """Return the one-sided upper confidence bound of a mean."""
    return min(sample.possible_high, sample.mean + mean_radius(sample, alpha))


def mean_interval(sample: Sample, alpha: float) -> Interval:
    """Return the two-sided interval of a mean at error `alpha`."""
    radius = mean_radius(sample, alpha / 2)
    low, high = max(sample.possible_low, sample.mean - radius), min(sample.possible_high, sample.mean + radius)
    # A mean of equal floats can miss the range by rounding; the interval still contains its value.
    return Interval(
        value=sample.mean, low=min(low, sample.mean), high=max(high, sample.mean), n=sample.n, exact=sample.exact
    )


def largest_certifiable(n: int | None, confidence: float) -> float:
    """Return the largest milestone that n held-out examples can certify at the first look (n None: exact, so 1)."""
    return 1.0 if n is None else float(alpha_of_look(confidence, 1) ** (1.0 / n))


def spends_a_look(lineage: LineageMeasurement, assignment: Assignment) -> bool:
    """Whether judging the lineage needs a statistical test (a sampled gate, or a sampled mean under a mean budget)."""
    if not lineage.gates:
        return False
    counts = [*lineage.gates.values(), *(check.count for check in lineage.checks.values())]
    sampled_gate = any(not count.exact for count in counts)
    budget = assignment.budget
    return sampled_gate or (budget.kind == "mean" and not lineage.compute[budget.measure].exact)


def judge(measured: Measured, assignment: Assignment, confidence: float, looks: int) -> tuple[LevelReport, int]:
    """Judge one member's lineages in index order.

    Args:
        measured: what the runner saw.
        assignment: what it was asked.
        confidence: of the whole study.
        looks: verification tests that the study has spent so far.

    Returns:
        The report for the scheduler and the new number of looks.
    """
    reports, costs = [], []
    for lineage in measured.lineages:
        tested = spends_a_look(lineage, assignment)
        looks += tested
        alpha = alpha_of_look(confidence, max(looks, 1))
        report, cost = _judge_lineage(lineage, assignment, alpha)
        reports.append(report.model_copy(update={"look": looks if tested else 0}))
        costs += [cost] if report.passed else []
    judged = LevelReport(
        member=measured.member,
        visit=measured.visit,
        level=measured.level,
        attempt=measured.attempt,
        lineages=reports,
        cheapest_pass=min(costs, default=None),
        training_flops=measured.training_flops,
    )
    return judged, looks


def _judge_lineage(lineage: LineageMeasurement, assignment: Assignment, alpha: float) -> tuple[LineageReport, float]:
    """Return the verdict on one lineage, and its cost in the measure of the budget."""
    budget = assignment.budget
    required = _required(lineage, assignment.milestone)
    good = bool(lineage.gates) and all(accuracy_low(count, alpha) >= least for count, least in required)
    sample = lineage.compute.get(budget.measure)
    cost, fits = budget.cap, True
    if sample is not None:
        # Under a max budget the axis makes more than the cap impossible; a measured excess would be a broken meter.
        cost = mean_high(sample, alpha) if budget.kind == "mean" else sample.possible_high
        fits = cost <= budget.cap * (1 + 1e-9)
    report = LineageReport(
        lineage=lineage.lineage,
        seed=lineage.seed,
        tried=good or _could_pass(lineage, assignment.milestone, alpha),
        passed=good and fits,
        shortfall=_shortfall(lineage, required, assignment.milestone),
        mean_compute=None if sample is None else mean_interval(sample, alpha),
        max_compute=None if sample is None else sample.possible_high,
    )
    return report, cost


def _shortfall(lineage: LineageMeasurement, required: list[tuple[Count, float]], milestone: float) -> float | None:
    """Return by how much a lineage misses what it has to show, on its gates or else as training last saw it."""
    if lineage.gates:
        return max(least - count.correct / count.n for count, least in required)
    seen = lineage.diagnostics.get("validation_accuracy")
    return None if seen is None else milestone - float(seen)


def _could_pass(lineage: LineageMeasurement, milestone: float, alpha: float) -> bool:
    """Whether the draws were large enough for this look: else a failure says nothing of the program."""
    required = _required(lineage, milestone)
    return all(count.exact or alpha ** (1.0 / count.n) >= least for count, least in required)


def _required(lineage: LineageMeasurement, milestone: float) -> list[tuple[Count, float]]:
    """Return every count that has to be good enough, with the share that it must surely reach."""
    gates = [(count, milestone) for count in lineage.gates.values()]
    return gates + [(check.count, check.least) for check in lineage.checks.values()]


def cost_bound(selection: Selection, lineage: LineageMeasurement, confidence: float) -> float:
    """Return the least cap that a verified program keeps: what it can spend, or the upper bound of its mean."""
    budget, sample = selection.budget, lineage.compute.get(selection.budget.measure)
    if sample is None:
        return budget.cap
    alpha = alpha_of_look(confidence, max(selection.look, 1))
    return min(budget.cap, mean_high(sample, alpha) if budget.kind == "mean" else sample.possible_high)


def cheapest(candidates: list[tuple[Selection, LineageMeasurement]]) -> tuple[Selection, LineageMeasurement] | None:
    """Return the verified program that computes least, or None.

    What counts is the study's own measure: the cap for max budgets, the executed mean for mean budgets. Ties go to
    fewer FLOPs (the most available, then the mean, for max budgets; the other way round for mean budgets), then to
    fewer parameters, then to the lower index. Accuracy above the milestone never counts.
    """

    def order(candidate: tuple[Selection, LineageMeasurement]) -> tuple[float, ...]:
        selection, lineage = candidate
        mean = lineage.compute["flops"].mean if "flops" in lineage.compute else selection.cost
        costs = (lineage.max_available_flops, mean)
        first, second = costs if selection.budget.kind == "max" else costs[::-1]
        return selection.cost, first, second, lineage.parameters, selection.member, selection.lineage

    return min(candidates, key=order, default=None)
