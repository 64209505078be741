"""The notebook magics in an IPython shell without a terminal."""

import pytest

IPython = pytest.importorskip("IPython")


@pytest.fixture
def shell():
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    shell.run_line_magic("load_ext", "graticule")
    yield shell
    shell.reset(new_session=False)


def test_a_cell_shows_a_table_and_keeps_it(bare, shell):
    shell.user_ns["db"] = bare
    shell.run_line_magic("graticule", "db")
    shown = shell.run_cell_magic("graticule", "answer", "SELECT 1 AS a UNION ALL SELECT 2")
    assert sorted(shown["a"]) == [1, 2]
    assert shell.user_ns["answer"].num_rows == 2


def test_an_error_is_printed_with_its_place(db, shell, capsys):
    shell.user_ns["db"] = db
    shell.run_cell_magic("graticule", "", "SELECT nothing_like_it FROM era5")
    assert "line 1, column 8" in capsys.readouterr().out


def test_a_wrong_option_shows_the_usage(shell, capsys):
    shell.run_cell_magic("graticule", "--nonsense", "SELECT 1")
    assert "--map" in capsys.readouterr().out
