#!/usr/bin/env python3
"""Draws the pictures of the README from the demo data, through the program itself.

    GRATICULE=target/debug/graticule python docs/pictures.py      # needs the Python client, matplotlib, and `make demo-data`
"""
from pathlib import Path

import graticule
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  (the backend is chosen first)

ROOT = Path(__file__).resolve().parents[1]
JULY = "SELECT avg(t2m) - 273.15 AS celsius FROM era5[time('2023-07')] GROUP BY DIMS EXCEPT (time)"


def main() -> None:
    """Serves the demo data, asks, draws."""
    data = ROOT / "demo-data"
    with graticule.serve(roots=[str(data.resolve())]) as db:
        db.execute(f"CREATE CUBE era5 FROM '{data.resolve()}/reanalysis/*.nc'")
        july = db.array(JULY).celsius
    figure, axes = plt.subplots(figsize=(7.2, 3.6), dpi=100)
    mesh = axes.pcolormesh(july.longitude, july.latitude, july, cmap="RdYlBu_r", vmin=-40, vmax=40, rasterized=True)
    figure.colorbar(mesh, ax=axes, label="°C", shrink=0.9)
    axes.set(xlabel="longitude", ylabel="latitude", title=JULY)
    axes.title.set(fontsize=7, fontfamily="monospace")
    figure.tight_layout()
    figure.savefig(ROOT / "docs" / "july.png")


if __name__ == "__main__":
    main()
