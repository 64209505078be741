"""The harness's adaptor for Graticule: the program as a child process, asked through its Python client, in arrays where the
answer is an array and in rows where it is a list. `run.py` puts this file into the harness as `systems/ours.py`.

Environment: GRATICULE (the program), OURS_FORM rows|array (default array), OURS_SOURCE nc|zarr for D1 (default nc),
OURS_ARGS (more arguments for `serve`), OURS_STATS (a file that gets one JSON line with the server's peak memory a run).
"""
import json, os, shlex

import numpy as np

from workloads import BOX, DRY, H_HI, H_LO, H_N, HOT, P_LAT, P_LON, SLICE_TIME, WORKLOADS

from ._sql import SqlBase, col

CLEAR = "scl IN (4, 5, 6, 7) AND b08 > 0 AND b04 > 0"


class Rows(SqlBase):
    """Every workload as SQL rows."""

    overrides = {
        "W4": "SELECT time, wavg(t2m, cos(radians(latitude))) AS v FROM era5 GROUP BY time ORDER BY time",
        "W13": "SELECT time, wavg(sst, cos(radians(lat))) AS v FROM sst GROUP BY time ORDER BY time",
        "W14": f"SELECT histogram(t2m, {H_LO}, {H_HI}, {H_N}) AS h FROM era5",
    }

    def warm_imports(self):
        import graticule, xarray  # noqa: F401

    def setup(self, ctx, wid):
        import graticule

        self.c, self.wid = ctx, wid
        self.db = graticule.serve(roots=[ctx.root], arguments=shlex.split(os.environ.get("OURS_ARGS", "--cache 256MiB")))
        d1 = ctx.p("d1/era5.zarr") if os.environ.get("OURS_SOURCE") == "zarr" else ctx.p("d1/nc/*.nc")
        cubes = {
            "D1": f"CREATE CUBE era5 FROM '{d1}'",
            "D2": f"CREATE CUBE s2 FROM '{ctx.p('d2/*.tif')}' AXIS time FROM FILENAME '_(\\d{{8}})_' FORMAT '%Y%m%d'"
            " VARIABLE FROM FILENAME '_(B04|B08|SCL)\\.tif$'",
            "D3": f"CREATE CUBE sst FROM '{ctx.p('d3/*.nc')}'",
        }
        if wid == "W3c":
            self.db.execute(f"CREATE CUBE era5 FROM '{ctx.p('d1/classic/*.nc')}'")
        elif wid != "W13":
            self.db.execute(cubes[WORKLOADS[wid].data])
        if wid in ("W9", "W9b"):
            zones = ctx.d1_polys if wid == "W9" else ctx.d2_polys
            self.db.execute(f"CREATE EXTERNAL TABLE zones STORED AS GEOPARQUET LOCATION '{zones}'")
        self.create_sst = cubes["D3"].replace("CREATE", "CREATE OR REPLACE")

    def query(self, sql):
        return self.db.sql(sql)

    def W3c(self):
        return self.W3()

    def W14(self):
        return np.array(self.query(self.sql("W14")).column("h")[0].as_py(), np.int64)

    def W9(self):
        found = self.query("SELECT z.id, time, avg(t2m) AS v FROM era5 JOIN zones z ON ST_Covers(z.geom, CELL(era5)) GROUP BY z.id, time ORDER BY z.id, time")
        return col(found, "v").reshape(-1, self.c.nt)

    def W9b(self):
        return col(self.query("SELECT z.id, avg(b08) AS v FROM s2[time(INDEX 0)] JOIN zones z ON ST_Covers(z.geom, CELL(s2)) GROUP BY z.id ORDER BY z.id"), "v")

    def W13(self):
        self.db.execute(self.create_sst)
        return col(self.query(self.sql("W13")), "v")

    def close(self):
        path = os.environ.get("OURS_STATS")
        if path:
            status = open(f"/proc/{self.db.process.pid}/status").read()
            peak = int(status.split("VmHWM:")[1].split()[0]) / 1000
            with open(path, "a") as out:
                out.write(json.dumps({"workload": self.wid, "server_peak_mb": round(peak)}) + "\n")
        self.db.close()


class Arrays(Rows):
    """What is an array in the client's hands is asked for as one."""

    def array(self, sql, name):
        return self.db.arrays(sql)[name]

    def W1(self):
        return self.array(f"SELECT t2m FROM era5[latitude(EXACT {P_LAT}), longitude(EXACT {P_LON})]", "t2m")

    def W2(self):
        (south, north), (west, east) = BOX["lat"], BOX["lon"]
        box = f"time('{str(SLICE_TIME)[:19]}'), latitude({south}:{north}), longitude({west}:{east})"
        return self.array(f"SELECT t2m FROM era5[{box}]", "t2m")

    def W3(self):
        return self.array("SELECT avg(t2m) AS v FROM era5 GROUP BY DIMS EXCEPT (time)", "v").astype(np.float32, copy=False)

    def W5(self):
        found = self.db.arrays("SELECT avg(t2m) AS v, var_pop(t2m) AS s, count(t2m) AS n FROM era5 GROUP BY month(time), latitude, longitude")
        std = np.sqrt((found["s"] * found["n"]).sum(0) / self.c.nt)
        return np.concatenate([found["v"], std[None]]).astype(np.float32)

    def W6(self):
        return self.array("SELECT max(t2m) AS v FROM era5 GROUP BY date_trunc('day', time), latitude, longitude", "v")

    def W7(self):
        return self.array(f"SELECT max((b08 - b04) / (b08 + b04)) FILTER (WHERE {CLEAR}) AS v FROM s2 GROUP BY DIMS EXCEPT (time)", "v")

    def W8(self):
        both = ", ".join(f"median({b}) FILTER (WHERE {CLEAR}) AS {b}m" for b in ("b04", "b08"))
        found = self.db.arrays(f"SELECT {both} FROM s2 GROUP BY DIMS EXCEPT (time)")
        return np.stack([found["b04m"], found["b08m"]]).astype(np.float32)

    def W10a(self):
        return self.array("SELECT avg(b08) AS v FROM s2[time(INDEX 0)] GROUP BY coarsen(y, 4), coarsen(x, 4)", "v").astype(np.float32)

    def W10b(self):
        transform, height, width = self.c.warp_grid()
        west, north, side = transform.c, transform.f, transform.a
        bounds = f"[{west!r}, {north - height * side!r}, {west + width * side!r}, {north!r}]"
        warped = f"WARP(s2[time(INDEX 0)], crs => 'EPSG:4326', resolution => {side!r}, method => 'bilinear', bounds => {bounds})"
        return self.array(f"SELECT b08 AS v FROM {warped}", "v").astype(np.float32, copy=False)

    def W11(self):
        return self.array("SELECT avg(b08) AROUND (y(-1:1), x(-1:1)) AS v FROM s2[time(INDEX 0)]", "v").astype(np.float32)

    def W12(self):
        return self.array(f"SELECT t2m FROM era5[time(INDEX 0:{self.c.n12 - 1})]", "t2m")

    def W16(self):
        return self.array(f"SELECT count(*) FILTER (WHERE t2m > {HOT} AND tp < {DRY}) AS v FROM era5 GROUP BY DIMS EXCEPT (time)", "v")


System = Rows if os.environ.get("OURS_FORM") == "rows" else Arrays
