"""Writes times.json: CF times as cftime reads them.

usage: python make_times.py          (needs cftime and numpy)

Each case has units, calendar (null: none given), a stored type and values; `microseconds` are the instants counted from 1970-01-01 in the same
calendar, `epoch` that of the reference time,
`text` the times as ISO text. Cases with `refused` are units that cftime refuses as well.
"""
import json
from pathlib import Path

import cftime
import numpy as np

CASES = [
    ("hours since 1800-01-01", "standard", "f4", [1882440, 1882620, 1883178]),
    ("hours since 1900-01-01 00:00:0.0", None, "i4", [0, 1, 876576, 1043136]),
    ("days since 1850-1-1", "gregorian", "f8", [0.5, 15.5, 62000.125]),
    ("days since 1-1-1", None, "f8", [735000.0, 735000.25, 0, 577735, 577736, 577737]),
    ("hours since 1-1-1 00:00:0.0", "standard", "f8", [17666280.0, 17666304.0]),
    ("days since 1582-10-15", "standard", "i4", [-1, 0, 1]),
    ("days since 1582-10-04", "Gregorian", "i4", [-1, 0, 1, 2]),
    ("days since 1500-02-29", "standard", "i4", [0, 1, 365]),
    ("days since 0001-01-01", "proleptic_gregorian", "i8", [0, 735000]),
    ("days since -4712-01-01 12:00:00", "proleptic_gregorian", "i8", [0, 2440587]),
    ("seconds since 1970-01-01T00:00:00Z", "standard", "i8", [0, 1, -1, 4102444800]),
    ("seconds since 1970-01-01T00:00:00", "proleptic_gregorian", "f8", [0.125, 1e9 + 0.5]),
    ("milliseconds since 1970-01-01", None, "i8", [1577836800123]),
    ("msecs since 1970-01-01", None, "i8", [1577836800123]),
    ("microseconds since 1970-01-01", None, "i8", [1577836800123456]),
    ("minutes since 2000-01-01 12:30", None, "i4", [0, 61]),
    ("mins since 2000-01-01 12:30", None, "i4", [0, 61]),
    ("secs since 1981-01-01 00:00:00", None, "i4", [1_200_000_000]),
    ("hr since 2000-01-01", None, "i2", [7]),
    ("h since 2000-01-01", None, "i2", [7]),
    ("d since 2000-01-01", None, "i2", [7]),
    ("DAYS since 2000-01-01", None, "i2", [7]),
    ("seconds since 1992-10-8 15:15:42.5 -06:00", None, "i4", [0, 3600]),
    ("hours since 1990-01-01 00:00:00 +01:00", None, "i4", [0]),
    ("hours since 1990-01-01 00:00:00 UTC", None, "i4", [0]),
    ("days since 2000-01-01 00:00:00.123456", None, "i4", [0]),
    ("days since 1850-01-01", "noleap", "f8", [0.5, 36524.5]),
    ("days since 1850-01-01", "365_day", "f8", [0.5]),
    ("days since 1850-03-01", "all_leap", "f8", [0.5]),
    ("days since 1850-02-30", "360_day", "f8", [0.5]),
    ("days since 1850-01-01", "julian", "f8", [0.5]),
    ("days since -4712-01-01", "julian", "i4", [2440587]),
    ("days since 2000-01-01", "360_day", "i4", [0, 29, 30, 59, 359, 360, 719, 720, -1, -720_000]),
    ("days since 2000-01-01", "NOLEAP", "f8", [58, 59, 60, 364.75, 365, 1460.0000115740741]),
    ("hours since 2000-01-01", "366_day", "i4", [1416, 1440, 8784]),
    ("months since 1850-01-01", "360_day", "i4", [0, 1, 13, 1200]),
    ("common_years since 1850-01-01", "noleap", "i4", [0, 1, 150]),
    ("seconds since 1900-02-29 12:00", "julian", "i8", [0, 86400, 3_155_760_000]),
    ("days since 1582-10-01", "julian", "i4", [3, 4, 13, 14]),
    ("days since 0000-01-01", "noleap", "f8", [0, 164569.0, 3649999.5]),
    ("days since 1500-02-29", "standard", "i4", [-1, 0, 1, 30_178, 30_179]),
    ("milliseconds since 2001-01-01", "noleap", "i8", [1, 86_400_250]),
]
REFUSED = [
    ("days since 1990-02-30", "standard"), ("days since 1582-10-10", "standard"), ("barf since 2000-01-01", None), 
    ("days since 2000-13-01", None), ("days since 1850-02-29", "noleap"), ("days since 2000-01-01", "lunar"),
]


def text(date):
    """ISO text without decimals that say nothing."""
    iso = date.isoformat()
    return iso.rstrip("0") if "." in iso else iso


def main():
    out = []
    for units, calendar, dtype, values in CASES:
        cal = (calendar or "standard").lower()
        since = "microseconds since 1970-01-01"
        dates = cftime.num2date(np.array(values, dtype), units, cal, only_use_cftime_datetimes=True)
        epoch = cftime.date2num(cftime.num2date(0, units, cal, only_use_cftime_datetimes=True), since, calendar=cal)
        out.append({"units": units, "calendar": calendar, "type": dtype, "values": values, "microseconds": [int(v) for v in np.ravel(cftime.date2num(dates, since, calendar=cal))],
                    "epoch": int(epoch), "text": [text(d) for d in np.ravel(dates)]})
    for units, calendar in REFUSED:
        try:
            cftime.num2date(0, units, calendar or "standard")
        except (ValueError, TypeError):
            out.append({"units": units, "calendar": calendar, "refused": True})
        else:
            raise SystemExit(f"cftime reads {units}")
    Path(__file__).with_name("times.json").write_text("[\n" + ",\n".join(json.dumps(c) for c in out) + "\n]\n")


if __name__ == "__main__":
    main()
