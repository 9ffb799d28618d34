"""What shells, locales, editors and mishaps make of ncu's CSV: the same figures, or one line that says why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from mglubench.errors import UsageError
from mglubench.results.csv_numbers import decimal_mark, number
from mglubench.results.read_ncu import parse_csv, read_csv

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
RAW, DETAILS = ((FIXTURES / f"ncu_{page}.csv").read_text() for page in ("raw", "details"))
READ, WRITTEN, TIME = "dram__bytes_read.sum", "dram__bytes_write.sum", "gpu__time_duration.sum"
SECTORS = "lts__t_sectors_op_read.sum"
FIGURES = {READ: 147e6, WRITTEN: 28e3, TIME: 70e3, SECTORS: 4_600_000}


def metrics(text):
    """The figures of the only kernel of a details page."""
    (kernel,) = parse_csv(text)
    return kernel.metrics


def details(**cells):
    """The details page with other figures: ``read="1,5 Mbyte"``."""
    text = DETAILS
    for name, plain in {"read": '"Mbyte","147.00"', "time": '"us","70.00"', "sectors": '"sector","4,600,000"'}.items():
        if name in cells:
            figure, _, unit = cells[name].rpartition(" ")
            text = text.replace(plain, f'"{unit}","{figure}"')
    return text


def unquoted(text, delimiter):
    """As a spreadsheet or PowerShell saves it: another delimiter, quotes only where they are needed."""
    import csv
    import io

    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\r\n").writerows(csv.reader(io.StringIO(text)))
    return out.getvalue()


def test_rows_that_end_under_the_headings_of_rules_are_read():
    found = metrics((FIXTURES / "ncu_short_rows_details.csv").read_text())
    assert found == {READ: 147e6, WRITTEN: 28e3, TIME: 70e3}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r\r\n", "\r"])
def test_every_encoding_and_line_end_gives_the_same(tmp_path, encoding, end):
    for text in (RAW, DETAILS):
        (tmp_path / "x.csv").write_bytes(text.replace("\n", end).encode(encoding))
        assert read_csv(tmp_path / "x.csv") == parse_csv(text)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("page", [RAW[RAW.index('"ID"') : RAW.index("==PROF== Disc")], DETAILS], ids=["raw", "details"])
def test_other_delimiters_and_quotes_only_where_needed_give_the_same(delimiter, page):
    assert parse_csv("sep=;\r\n" + unquoted(page, delimiter)) == parse_csv(page)


@pytest.mark.parametrize(
    ("read", "time", "sectors"),
    [
        ("147,00 Mbyte", "70,00 us", "4.600.000 sector"),
        ("147,00 Mbyte", "70,00 us", "4 600 000 sector"),
        ("147,00 Mbyte", "70,00 us", "4\u00a0600\u00a0000 sector"),
        ("147,00 Mbyte", "70,00 us", "4\u202f600\u202f000 sector"),
        ("147,00 Mbyte", "70,00 us", "4\u2009600\u2009000 sector"),
        ("147.00 Mbyte", "70.00 us", "4'600'000 sector"),
        ("147.00 Mbyte", "70.00 us", "4\u2019600\u2019000 sector"),
        ("14,70,00,000 byte", "70.00 us", "46,00,000 sector"),
        ("147.000.000 byte", "70.000 ns", "4.600.000 sector"),
        ("147,000,000 byte", "70,000 ns", "4,600,000 sector"),
        ("0,147 Gbyte", "0,070 ms", "4,6 Msector"),
        ("1.47e+08 byte", "7e4 nsecond", "4600 Ksector"),
        ("147.00 (0: 70.00; 1: 77.00) Mbyte", "70.00 (0: 70.00) us", "4,600,000 sector"),
        ("143554.6875 KiB", "70.0 usecond", "4600000 sector"),
    ],
)
def test_locales_units_and_instances_give_the_same_figures(read, time, sectors):
    text = details(read=read, time=time, sectors=sectors)
    text = text.replace('"28.00"', '"28,00"') if ",00 M" in read or "0," in read[:2] else text
    text = text.replace('"Kbyte","28.00"', '"byte","28.000"') if read.startswith("147.000") else text
    text = text.replace('"12,345"', '"1"')
    assert metrics(text) == pytest.approx(FIGURES)


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_a_no_break_space_of_windows_groups(tmp_path, encoding):
    text = details(sectors="4\u00a0600\u00a0000 sector")
    (tmp_path / "x.csv").write_bytes(text.encode(encoding))
    assert read_csv(tmp_path / "x.csv")[0].metrics == pytest.approx(FIGURES)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (details(read="147,00 Mbyte"), "written in two different ways"),
        (details(sectors="4.600.000 sector"), "written in two different ways"),
        (details(read="1,2345,6 Mbyte"), "'1,2345,6' is no number"),
        (details(read="1_000 Mbyte"), "'1_000' is no number"),
        (details(read="-147.00 Mbyte"), "below zero"),
        (details(read="\u0661\u0664\u0667\u066b\u0660\u0660 Mbyte"), "is no number"),
        (details(read="\u2212147.00 Mbyte"), "is no number"),
        (details(read="147\u066b00 Mbyte"), "is no number"),
        (details(read="147.00 us"), "has the unit 'us', which is one of time"),
        (details(read="147.00 furlong"), "unknown unit 'furlong'"),
        (details(read="147.00 "), "has no unit"),
        (DETAILS.replace('"', ""), "quotes"),
        (DETAILS[:-30], "cut short"),
        (DETAILS.replace('"147.00",""', '"147.00,""'), "damaged"),
        (DETAILS.replace('"0","4242"', '"","4242"', 1), "units|no ID|damaged"),
        (DETAILS.replace('\n"0","4242"', ' "0","4242"', 1), "no column|headings|damaged"),
        (DETAILS + DETAILS[DETAILS.index("\n") + 1 :].replace("147.00", "148.00"), "two values"),
        (DETAILS + DETAILS[DETAILS.index("\n") + 1 :].replace("flash<4>", "other"), "another name"),
        (RAW.replace('"","",', '"-","",', 1), "piece of a row"),
        (RAW.replace(RAW.splitlines()[4] + "\n", ""), "no line of units"),
        (RAW.replace('"byte","byte"', '"byte",""'), "has no unit"),
        (RAW.replace(',"40.25"', ""), "cut short"),
        (RAW.replace('"40.25"', '"40.25","1"'), "headings"),
        (RAW.replace('"4","4242"', '"3","4242"'), "twice"),
        (RAW + "\0", "NUL"),
        (DETAILS.replace("Metric Value", "Metric Average"), "no column 'Metric Value'"),
    ],
)
def test_what_cannot_be_trusted_is_refused_with_how_to_export(tmp_path, text, complaint):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(UsageError, match=rf"{complaint}.*LC_ALL=C .*--page raw --print-units base") as caught:
        read_csv(tmp_path / "x.csv")
    assert "\n" not in str(caught.value)


def test_full_ambiguity_is_refused():
    lines = DETAILS.splitlines()
    text = "\n".join((lines[0], lines[1].replace("147.00", "12.345"))) + "\n"
    with pytest.raises(ValueError, match=r"'12.345' can be read in two ways"):
        parse_csv(text)


def test_one_cell_that_nobody_wants_decides_for_the_file():
    text = details(read="1,234 Mbyte", time="70 us", sectors="4600000 sector").replace("28.00", "28")
    assert metrics(text.replace("12,345", "1,5"))[READ] == pytest.approx(1.234e6)
    assert metrics(text.replace("12,345", "1.5"))[READ] == 1234e6


@pytest.mark.parametrize("cell", ["n/a", "(!) n/a", "nan", "inf", "", " ", "no metrics", "(0: 1.0; 1: 2.0)"])
def test_a_cell_without_a_figure_is_blank(cell):
    (kernel,) = parse_csv(details(read=f"{cell} Mbyte"))
    assert READ not in kernel.metrics
    assert kernel.blank == {READ}
    assert kernel.metrics[TIME] == 70e3


def test_logs_between_and_after_and_a_repeated_header_change_nothing():
    head, *rows = DETAILS.splitlines()
    noisy = ["==PROF== Connected", head]
    for row in rows:
        noisy += [row, "==PROF== Profiling", 'a program says "hello, world', "", head]
    assert parse_csv("\n".join([*noisy, "==PROF== Disconnected"]) + "\n") == parse_csv(DETAILS)
    assert parse_csv("no line end" + DETAILS) == parse_csv(DETAILS)


def test_two_tables_of_one_report_count_a_kernel_once_and_join_its_metrics():
    assert parse_csv(RAW + RAW) == parse_csv(RAW)
    head, *rows = DETAILS.splitlines()
    twice = "\n".join([head, *rows[:2], head, *rows[2:]]) + "\n"
    assert parse_csv(twice) == parse_csv(DETAILS)
    other = DETAILS.replace("147.00", "148.00")
    assert [kernel.metrics[READ] for kernel in parse_csv(DETAILS + other)] == [147e6, 148e6]


def test_a_rule_may_span_lines():
    text = (FIXTURES / "ncu_short_rows_details.csv").read_text()
    assert parse_csv(text.replace("advice in words, ", "advice in words,\nand\n")) == parse_csv(text)


def test_an_unquoted_last_figure_without_a_line_end_may_be_cut():
    page = RAW[RAW.index('"ID"') : RAW.index('"4","4242"')]
    text = unquoted(page, ",").rstrip()
    with pytest.raises(ValueError, match=r"may have been cut short"):
        parse_csv(text)
    assert len(parse_csv(text + "\n")) == 4
    assert metrics(unquoted(DETAILS, ",").rstrip()) == metrics(DETAILS)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("==PROF== Connected\n==ERROR== An error\n==ERROR== not compatible\n", "ncu said: ==ERROR== An error ==ERR"),
        ("==WARNING== No kernels were profiled.\n", "ncu said: ==WARNING== No kernels were profiled"),
        ('"Kernel Name","Metric Name","Metric Average"\n', "it is a summary"),
        ('"Time (%)","Total Time (ns)"\n', "nsys export --type sqlite"),
        ('"Session","Value"\n', "session page"),
        ("\n\n", "it is empty"),
    ],
)
def test_a_file_without_a_table_says_what_it_is(text, complaint):
    with pytest.raises(ValueError, match=rf"no header line.*{complaint}"):
        parse_csv(text)


@pytest.mark.parametrize(
    ("cells", "mark"),
    [
        (["147,00"], ","),
        (["1,234.5"], "."),
        (["1.234.567"], ","),
        (["0.123"], "."),
        (["1234,567"], ","),
        (["4 600,123"], ","),
        (["1,234e5"], ","),
        (["12,345", "12.345", "7", "n/a", "x1,5"], None),
    ],
)
def test_what_tells_the_decimal_mark(cells, mark):
    assert decimal_mark(cells) == mark


def test_numbers_need_proper_groups():
    assert number("12,34,567.8", ".") == 1234567.8
    assert number("12,345", ",") == 12.345
    for text in ("1,23", "1,2345", "12,3,456", "1 234,567"):
        with pytest.raises(ValueError, match="no number"):
            number(text, ".")
