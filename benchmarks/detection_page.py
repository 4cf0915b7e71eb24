"""The tables of docs/detection.md from the rows of `benchmarks.detection`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from benchmarks.detection import DEAR, KEPT, KINDS
from benchmarks.search.page import filled, table

Row = dict[str, Any]
PAGE = Path(__file__).parents[1] / "docs" / "detection.md"
FOUND, ALARMS = 0.9, 0.05
"""What counts as caught: found at least so often, with at most so many false alarms."""


class Share(NamedTuple):
    """How many of how many nets are flagged."""

    events: int
    of: int

    @property
    def value(self) -> float:
        return self.events / self.of

    def bound(self, side: str) -> float:
        """Return the one-sided 95 % bound (Clopper-Pearson): `less` from above, `greater` from below."""
        from scipy.stats import binomtest

        interval = binomtest(self.events, self.of, alternative=side).proportion_ci(0.95, method="exact")
        return float(interval.high if side == "less" else interval.low)

    def interval(self) -> str:
        """Return the two-sided 95 % interval in words (Clopper-Pearson)."""
        from scipy.stats import binomtest

        interval = binomtest(self.events, self.of).proportion_ci(0.95, method="exact")
        return f"{_two(interval.low)} to {_two(interval.high)}"


class Pair(NamedTuple):
    """Finds on planted nets and false alarms on honest twins."""

    finds: Share
    alarms: Share

    @property
    def catches(self) -> bool:
        return self.finds.value >= FOUND and self.alarms.value <= ALARMS

    @property
    def surely(self) -> bool:
        """Whether both bounds lie on the right side."""
        return self.finds.bound("greater") >= FOUND and self.alarms.bound("less") <= ALARMS

    def said(self) -> str:
        """Return finds / false alarms, bold where it catches; 0 where it flags nothing."""
        if not self.finds.events + self.alarms.events:
            return "0"
        mark = "**" if self.catches else ""
        return f"{mark}{_two(self.finds.value)}{mark} / {_two(self.alarms.value)}"


def _two(value: float) -> str:
    return f"{value:.2f}".removeprefix("0")


def pair(said: Row) -> Pair | None:
    """Return an audit's finds and false alarms; None where it had a question for none of the nets."""
    if not any(one is not None for group in ("planted", "twins") for one in said[group]["low"]):
        return None
    return Pair(*(Share(len(said[group]["flagged"]), len(said[group]["low"])) for group in ("planted", "twins")))


def pairs(kind: Row) -> dict[str, Pair]:
    """Return those of all audits that had a question."""
    found = {name: pair(said) for name, said in kind["audits"].items()}
    return {name: one for name, one in found.items() if one is not None}


def any_of(kind: Row, *, dear: bool) -> Pair:
    """Return how many nets at least one audit flags; with the dear audits, of the nets that all audits heard."""
    heard = [said for name, said in kind["audits"].items() if dear or name not in DEAR]
    shares = []
    for group in ("planted", "twins"):
        of = min(len(said[group]["low"]) for said in heard)
        flagged = {place for said in heard for place in said[group]["flagged"] if place < of}
        shares.append(Share(len(flagged), of))
    return Pair(*shares)


def main_table(rows: Row) -> str:
    """Return a row a kind: its harm, who catches it, and what the panel as a whole flags."""
    body = []
    for name, kind in rows["kinds"].items():
        by = pairs(kind)
        caught = sorted((one for one in by if by[one].catches), key=lambda one: (-by[one].finds.value, one))
        said = ", ".join(f"`{one}`{'*' * by[one].surely}" for one in caught) or f"**nothing**; {_best(by)}"
        harm = _two(fmean(kind["harm"])) if kind["harmful"] else "none"
        some, every = any_of(kind, dear=False), any_of(kind, dear=True)
        body.append([f"`{name}`", harm, said, _of(some.finds), _of(some.alarms), _of(every.finds), _of(every.alarms)])
    heads = [
        "planted",
        "harm",
        "caught by",
        "any of the others flags it",
        "or a twin",
        "any audit flags it",
        "or a twin",
    ]
    return table(heads, body)


def _of(share: Share) -> str:
    return f"{share.events} of {share.of}"


def _best(by: Mapping[str, Pair]) -> str:
    """Return the best that is not good enough: of the audits that leave twins alone, else of all."""
    calm = {name: one for name, one in by.items() if one.alarms.value <= ALARMS} or by
    name = max(calm, key=lambda one: calm[one].finds.value)
    finds, alarms = calm[name]
    return f"at best `{name}`, {_of(finds)}, and {_of(alarms)} twins"


def full_table(rows: Row) -> str:
    """Return audits by kinds: finds / false alarms."""
    kinds = {name: pairs(kind) for name, kind in rows["kinds"].items()}
    body = [
        [f"`{audit}`", *(by[audit].said() if audit in by else "" for by in kinds.values())] for audit in _audits(rows)
    ]
    return table(["audit", *(f"`{name}`" for name in kinds)], body)


def alarms_table(rows: Row) -> str:
    """Return how often each audit flags honest twins, over all kinds, and what it costs."""
    body = []
    for audit in _audits(rows):
        heard = [kind["audits"][audit] for kind in rows["kinds"].values()]
        alarms = [one.alarms for one in map(pair, heard) if one is not None]
        if alarms:
            body.append([f"`{audit}`", *_pooled(alarms), f"{1000 * fmean(one['seconds'] for one in heard):.0f} ms"])
    for name, dear in (("any but the dear", False), ("any of all", True)):
        body.append([name, *_pooled([any_of(kind, dear=dear).alarms for kind in rows["kinds"].values()]), ""])
    return table(["audit", "flags of twins", "share", "95 % interval", "worst kind", "a program"], body)


def _pooled(shares: Sequence[Share]) -> list[str]:
    whole, worst = Share(*map(sum, zip(*shares, strict=True))), max(shares, key=lambda one: one.value)
    return [_of(whole), f"{whole.value:.3f}".removeprefix("0"), whole.interval(), _of(worst)]


def left_out_table(rows: Row) -> str:
    """Return finds / false alarms where an audit's threshold came from the twins of the other kinds."""
    from sp_search.plugins import find

    body = []
    for audit in _audits(rows):
        part = find("audits", audit)()
        cells = []
        for name, kind in rows["kinds"].items():
            others = [one["audits"][audit]["honest"] for other, one in rows["kinds"].items() if other != name]
            known = part.calibration([value for honest in others for value in honest])  # type: ignore[attr-defined]
            own = kind["audits"][audit]
            cells.append("" if known is None or pair(own) is None else _beyond(own, known.threshold).said())
        if any(cells) and not any(kind["audits"][audit]["pooled"] for kind in rows["kinds"].values()):
            body.append([f"`{audit}`", *cells])
    return table(["audit", *(f"`{name}`" for name in rows["kinds"])], body)


def without_twins_table(rows: Row) -> str:
    """Return finds / false alarms of the audits whose threshold needs no honest program."""
    body = []
    for audit in _audits(rows):
        cells = []
        for kind in rows["kinds"].values():
            own = kind["audits"][audit]
            if own["alone"] is None or pair(own) is None:
                cells.append("")
            elif "without_twins" in own:
                groups = (own["without_twins"][group] for group in ("planted", "twins"))
                cells.append(Pair(*(Share(len(one["flagged"]), len(one["low"])) for one in groups)).said())
            else:
                cells.append(_beyond(own, own["alone"]).said())
        if any(cells):
            body.append([f"`{audit}`", *cells])
    return table(["audit", *(f"`{name}`" for name in rows["kinds"])], body)


def _beyond(said: Row, threshold: float) -> Pair:
    def share(lows: Iterable[float | None]) -> Share:
        lows = list(lows)
        return Share(sum(low is not None and low > threshold for low in lows), len(lows))

    return Pair(*(share(said[group]["low"]) for group in ("planted", "twins")))


def sizes(rows: Row) -> str:
    """Return of how many nets the tables speak."""
    of, missing = rows["sizes"], [f"`{name}`" for name in KINDS if name not in rows["kinds"]]
    last = rows["seed"] + max(of["twins"], of["planted"]) - 1
    minutes = sum(kind["seconds"] for kind in rows["kinds"].values()) / 60
    text = (
        f"Net seeds {rows['seed']} to {last}. {of['twins']} twins a kind: {of['twins'] // 2} calibrate, the others are "
        f"judged; {of['planted']} planted nets. The dear audits ({', '.join(f'`{one}`' for one in DEAR)}): "
        f"{of['dear_twins'] // 2} twins calibrate, {of['dear_twins'] // 2} are judged; {of['dear_planted']} planted "
        f"nets. {minutes:.0f} minutes of one core."
    )
    return text + (f" Not run yet: {', '.join(missing)}." if missing else "")


def summary(rows: Row) -> str:
    """Return in words which kinds are caught, surely or not, and which are not."""
    groups: dict[str, list[str]] = {
        "Caught surely": [],
        "Caught in these nets, with a bound on the wrong side": [],
        "**Not caught by any audit**": [],
    }
    surely, caught, missed = groups.values()
    for name, kind in rows["kinds"].items():
        found = pairs(kind).values()
        group = surely if any(one.surely for one in found) else caught if any(one.catches for one in found) else missed
        group.append(f"`{name}`")
    return "\n".join(f"- {what}: {', '.join(names) or 'none'}." for what, names in groups.items())


def _audits(rows: Row) -> list[str]:
    return [one["kind"] for one in rows["settings"]]


def parts(rows: Row) -> dict[str, Callable[[], str]]:
    """Return what the page says, by the name of its markers."""
    written = {
        "sizes": sizes,
        "summary": summary,
        "main": main_table,
        "full": full_table,
        "alarms": alarms_table,
        "left_out": left_out_table,
        "without_twins": without_twins_table,
    }
    return {name: partial(part, rows) for name, part in written.items()}


def write() -> None:
    """Write the tables into the page."""
    rows = json.loads(KEPT.read_text(encoding="utf-8"))
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), parts(rows)), encoding="utf-8")
    print(f"written: {PAGE}")
