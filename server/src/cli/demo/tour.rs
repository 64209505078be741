//! The guided set of queries: what each shows, in one sentence, and how its answer is drawn.

use colorous::Gradient;

/// One stop of the tour.
pub struct Stop {
    /// What it shows, in one sentence.
    pub about: &'static str,
    /// The query.
    pub sql: &'static str,
    /// How its answer is drawn.
    pub drawn: Drawn,
}

/// How an answer is drawn.
pub enum Drawn {
    /// As rows.
    Table,
    /// As text of several lines (a plan).
    Text,
    /// As a map of its one variable; the unit stands in the legend.
    Map(Gradient, &'static str),
    /// As a line over its first column; the unit stands at the other axis.
    Series(&'static str),
}

/// The cubes that the tour uses, made of the files in a folder, each with what it shows.
pub fn cubes(folder: &str) -> [(&'static str, String); 2] {
    let quoted = folder.replace('\'', "''");
    [
        (
            "A cube is made of files where they lie; only their headers are read.",
            format!("CREATE CUBE era5 FROM '{quoted}/reanalysis/*.nc'"),
        ),
        (
            "Scenes with one band per file become one cube; what is only in their names becomes coordinates and variables.",
            format!(
                "CREATE CUBE s2 FROM '{quoted}/scenes/*.tif'\n  AXIS time FROM FILENAME '_(\\d{{8}})_' FORMAT '%Y%m%d'\n  \
                 VARIABLE FROM FILENAME '_(B\\d\\d|SCL)\\.tif$'"
            ),
        ),
    ]
}

/// The queries, in the order in which they are shown.
pub const STOPS: [Stop; 9] = [
    Stop {
        about: "One place through a month: cells are named by coordinates, not by files or positions.",
        sql: "SELECT time, t2m - 273.15 AS celsius\nFROM era5[time('2023-07'), latitude(48.85), longitude(2.35)]\nORDER BY time",
        drawn: Drawn::Series("°C"),
    },
    Stop {
        about: "One moment everywhere: the answer is an array with its axes, drawn here as a map.",
        sql: "SELECT t2m - 273.15 AS celsius\nFROM era5[time('2023-07-15T12:00')]",
        drawn: Drawn::Map(colorous::VIRIDIS, "°C"),
    },
    Stop {
        about: "The mean of the year: DIMS EXCEPT keeps all axes but one, whatever they are called.",
        sql: "SELECT avg(t2m) - 273.15 AS celsius\nFROM era5\nGROUP BY DIMS EXCEPT (time)",
        drawn: Drawn::Map(colorous::VIRIDIS, "°C"),
    },
    Stop {
        about: "The climate of a region by month: groups are functions of an axis, and the result is plain rows.",
        sql: "SELECT month(time) AS month, round(avg(t2m) - 273.15, 1) AS mean, round(min(t2m) - 273.15, 1) AS coldest,\n       \
              round(max(t2m) - 273.15, 1) AS warmest\n\
              FROM era5[latitude(40:55), longitude(0:15)]\nGROUP BY month(time)\nORDER BY month",
        drawn: Drawn::Table,
    },
    Stop {
        about: "From pole to pole: the mean of each circle of latitude.",
        sql: "SELECT latitude, avg(t2m) - 273.15 AS celsius\nFROM era5\nGROUP BY latitude\nORDER BY latitude",
        drawn: Drawn::Series("°C"),
    },
    Stop {
        about: "Hot and dry hours of a summer: several variables in one condition, counted in every cell.",
        sql: "SELECT 6 * count(*) FILTER (WHERE t2m > 303.15 AND tp < 0.0001) AS hours\n\
              FROM era5[time('2023-06':'2023-08')]\nGROUP BY DIMS EXCEPT (time)",
        drawn: Drawn::Map(colorous::INFERNO, "hours"),
    },
    Stop {
        about: "One satellite scene: the vegetation index out of two bands; clouds are in the way.",
        sql: "SELECT (b08 - b04) / (b08 + b04) AS ndvi\nFROM s2[time('2023-06-02')]",
        drawn: Drawn::Map(colorous::YELLOW_GREEN, "NDVI"),
    },
    Stop {
        about: "The greenest clear view of the season: a FILTER masks the clouds, max() looks through all scenes.",
        sql: "SELECT max((b08 - b04) / (b08 + b04)) FILTER (WHERE scl IN (4, 5, 6, 7)) AS ndvi\n\
              FROM s2[time('2023-05':'2023-08')]\nGROUP BY DIMS EXCEPT (time)",
        drawn: Drawn::Map(colorous::YELLOW_GREEN, "NDVI"),
    },
    Stop {
        about: "What such a query reads, and how: only chunks that it needs, reduced tile by tile where they are decoded.",
        sql: "EXPLAIN SELECT avg(t2m) FROM era5[time('2023-07'), latitude(40:55)]\nGROUP BY DIMS EXCEPT (time)",
        drawn: Drawn::Text,
    },
];
