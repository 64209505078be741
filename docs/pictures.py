#!/usr/bin/env python3
"""Runs every query of tutorial.md on the demo data, through the program itself, and draws its pictures.

    GRATICULE=target/debug/graticule python docs/pictures.py      # needs the Python client, matplotlib, and `make demo-data`
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Callable

import graticule
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  (the backend is chosen first)

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"
#: A query, and the picture that stands below it, if one does.
BLOCK = re.compile(r"```sql\n(?P<sql>.*?)```(?:\s*!\[(?P<title>.*?)\]\(pictures/(?P<name>.*?)\.png\))?", re.S)


def main() -> None:
    """Serves the demo data, asks, draws."""
    PICTURES.mkdir(exist_ok=True)
    text = (ROOT / "docs" / "tutorial.md").read_text()
    with graticule.serve(roots=[str(ROOT / "demo-data")]) as db:
        for block in BLOCK.finditer(text):
            sql = block["sql"].strip().rstrip(";").replace("demo-data/", f"{ROOT}/demo-data/")
            if block["name"] is None:
                db.execute(sql)
                continue
            draw = DRAWN[block["name"]]
            figure = draw(db, sql)
            figure.suptitle(block["title"], fontsize=9)
            figure.savefig(PICTURES / f"{block['name']}.png", dpi=80)
            plt.close(figure)
            print(f"docs/pictures/{block['name']}.png")


def maps(*pick: dict[str, Any], names: list[str] | None = None, **style: Any) -> Callable[[Any, str], Any]:
    """One map a selection from the answer (or a variable of it)."""

    def draw(db: Any, sql: str) -> Any:
        answer = db.array(sql)
        shown = [answer[name] for name in names or list(answer.data_vars)[:1]]
        panels = [array.isel(p) for array in shown for p in (pick or ({},))]
        figure, axes = plt.subplots(1, len(panels), figsize=(7.2, 3.4) if len(panels) > 1 or panels[0].shape[1] > panels[0].shape[0] else (4.8, 4), layout="constrained", squeeze=False)
        for ax, panel in zip(axes[0], panels, strict=True):
            y, x = panel.dims
            # The few largest values should not take all colours.
            low, high = panel.quantile([0.01, 0.99]).values
            mesh = ax.pcolormesh(panel[x], panel[y], panel, rasterized=True, **{"vmin": low, "vmax": high, **style})
            ax.set(xlabel=x, ylabel=y)
            ax.ticklabel_format(useOffset=False, style="plain")
            ax.tick_params(labelsize=6)
            figure.colorbar(mesh, ax=ax, label=str(panel.name), shrink=0.8)
        return figure

    return draw


def lines(x: str, y: str, by: str | None = None) -> Callable[[Any, str], Any]:
    """A line for each value of a column."""

    def draw(db: Any, sql: str) -> Any:
        table = db.sql(sql).to_pandas()
        figure, ax = plt.subplots(figsize=(7.2, 3), layout="constrained")
        for name, part in table.groupby(by) if by else [(None, table)]:
            ax.plot(part[x], part[y], label=name, linewidth=1, marker="." if len(part) < 40 else None)
        ax.set(xlabel=x, ylabel=y)
        if by:
            ax.legend(fontsize=7)
        return figure

    return draw


def bars(db: Any, sql: str) -> Any:
    """How many cells each bin has."""
    table = db.sql(sql).to_pandas()
    figure, ax = plt.subplots(figsize=(7.2, 3), layout="constrained")
    ax.bar(table["bin"] * 20 - 10, table["n"], width=18)
    ax.set(xlabel="elevation, m", ylabel="cells")
    return figure


WARM = dict(cmap="RdYlBu_r")
GREEN = dict(cmap="YlGn", vmin=0, vmax=0.9)
LAND = dict(cmap="terrain")
DRAWN = {
    "01-box": maps(**WARM),
    "02-ndvi": maps(dict(time=0), **GREEN),
    "03-mean": maps(**WARM, vmin=-40, vmax=40),
    "04-global": lines("time", "celsius"),
    "05-anomaly": maps(dict(time=180), cmap="RdBu_r", vmin=-15, vmax=15),
    "06-composite": maps(**GREEN),
    "07-regions": lines("month", "celsius", by="name"),
    "07-parcels": lines("time", "ndvi", by="crop"),
    "08-neighbours": maps(names=["smooth", "slope"], cmap="gist_earth"),
    "09-coarse": maps(**LAND),
    "10-distribution": bars,
    "11-regrid": maps(**WARM, vmin=-40, vmax=40),
    "12-warp": maps(**WARM),
}

if __name__ == "__main__":
    main()
