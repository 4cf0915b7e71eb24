"""What `sp-search simulate` found, in words and tables."""

from __future__ import annotations

from typing import Any

from sp_search.terminal import plain, table


def lines_of(payload: dict[str, Any]) -> list[str]:
    """Say it in words and tables."""
    oracle = dict(payload["oracle"])
    settings = ", ".join(f"{key} {plain(value)}" for key, value in oracle.items() if key != "kind")
    least, known = payload["least"], payload["least"] is not None
    unit = "C*" if known else "unit"
    members, lineages = _count(payload["members"], "member"), _count(payload["replicas"], "lineage")
    lines = [
        f"{payload['name']}: {payload['scheduler']['kind']} in the world of {oracle['kind']} ({settings})",
        f"C* {least:g}, {payload['least_means']}; one lineage there costs {payload['price']:g}"
        if known
        else f"there is no C*, {payload['least_means']}: prices are the oracle's",
        f"{members} x {lineages}, {payload['lineages_to_fail']} fail a budget; "
        f"means over {_count(len(payload['seeds']), 'seed')} from {payload['seeds'][0]}",
        "",
        *table([_HEADS, *(_cells(at) for at in payload["workers"])]),
        "",
        f"least cap found over {unit}, median over seeds, by what was spent:",
        *_curve_table(payload["workers"], unit),
    ]
    if "misbehaving" in payload["workers"][0]:
        lines += ["", *_truth_table(payload["workers"])]
    crashes = [(at["workers"], at["crashes"]) for at in payload["workers"] if "crashes" in at]
    if crashes:
        lines += ["", f"crashes, seed {payload['seeds'][0]}:", *(_crash_words(*one, unit) for one in crashes)]
    return lines


_HEADS = (
    "workers",
    "met",
    "false",
    "found / C*",
    "below C*",
    "covers C*",
    "cost / C*",
    "trials",
    "time / C*",
    "utilisation",
)


def _cells(at: dict[str, Any]) -> tuple[str, ...]:
    least, middle, most = at["found"] or (None, None, None)
    return (
        str(at["workers"]),
        f"{at['met']:.0%}",
        f"{at['false']:.0%}",
        "-" if middle is None else f"{middle:.3g} ({least:.3g} to {most:.3g})",
        *("-" if at[key] is None else f"{at[key]:.0%}" for key in ("lucky", "covered")),
        f"{at['cost']:.3g}",
        f"{at['trials']:.4g}",
        f"{at['time']:.3g}",
        f"{at['utilisation']:.0%}",
    )


def _curve_table(workers: list[dict[str, Any]], unit: str) -> list[str]:
    longest = max((at["curve"] for at in workers), key=len)
    header = (f"spent / {unit}", *(_count(at["workers"], "worker") for at in workers))
    rows = []
    for index, (spent, _) in enumerate(longest):
        reached = [at["curve"][min(index, len(at["curve"]) - 1)][1] for at in workers]
        rows.append((f"{spent:g}", *("-" if cap is None else f"{cap:.3g}" for cap in reached)))
    return table([header, *rows])


def _truth_table(workers: list[dict[str, Any]]) -> list[str]:
    """Say what is true of the selected programs; a search that selected none counts as one that did no harm."""
    header = ("workers", "selected one", "that misbehaves", "that deceives", "that harms in deployment")
    rows = [
        (
            str(at["workers"]),
            f"{at['selected']} of {at['misbehaving']['n']}",
            *(_share(at[kind]) for kind in ("misbehaving", "deceptive", "harmful")),
        )
        for at in workers
    ]
    said = "share of searches [95 % interval] whose selected program misbehaves, ... (no search was told):"
    return [said, *table([header, *rows])]


def _share(share: dict[str, Any]) -> str:
    return f"{share['value']:.3g} [{share['low']:.3f}, {share['high']:.3f}]"


def _crash_words(workers: int, crashes: dict[str, Any], unit: str) -> str:
    return (
        f"  {_count(workers, 'worker')}: died after {crashes['crashes']} of {crashes['lines']} ledger lines, "
        f"the same answer and visits after {crashes['same']}; a crash throws away {crashes['lost']:.2g} {unit} "
        f"of training, {crashes['most_lost']:.2g} at most"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
